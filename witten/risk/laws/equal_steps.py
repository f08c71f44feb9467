"""Many equal steps of a law on one grid: powers of the matrix once these pay, in the plane by Krylov subspaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.risk.laws.krylov_powers import krylov_powers
from witten.risk.laws.semi_lagrangian import SemiLagrangian
from witten.sgd.steps.transfer_operator import TransferOperator

__all__ = ["NEGLIGIBLE_MASS", "Propagator", "Segment", "Step", "one_step"]

Array = NDArray[np.float64]
# Equal steps from which on, and nodes up to which, powers of the matrix are formed.
POWERS_FROM, DENSE_UP_TO = 40, 700
# Equal steps in the plane from which on they are combined.
KRYLOV_FROM = 200
# Mass that moves between two nodes in a step and is neglected, relative to the total.
NEGLIGIBLE_MASS = 1e-22

Step = TransferOperator | SemiLagrangian


def one_step(step: Step, masses: Array) -> Array:
    """Masses at the nodes a step later."""
    if isinstance(step, TransferOperator):
        return step.adjoint(masses, NEGLIGIBLE_MASS * float(abs(masses).sum()))
    return step.adjoint(masses)


@dataclass(eq=False)
class Propagator:
    """Many equal steps: a power of the matrix once that pays; in the plane `KrylovPowers`."""

    step: Step
    powers: dict[int, Array] = field(default_factory=dict)

    def along(self, masses: Array, counts: list[int]) -> Iterator[tuple[int, Array]]:
        """(k, masses k steps later) for these k >= 0, ascending."""
        run, begun, done = None, 0, 0
        long = self.step.grid.dimension > 1 and counts[-1] >= KRYLOV_FROM
        for k in counts:
            if not long:
                masses, done = self.moved(masses, k - done), k
                yield k, masses
                continue
            while run is None or k - begun > run.last:
                if run is not None:
                    masses, begun = run.after(run.last), begun + run.last
                run = krylov_powers(self.one, masses, counts[-1] - begun)
            yield k, run.after(k - begun)

    def sums(self, masses: Array, values: Array, last: int) -> tuple[Array, Array]:
        """values (n, m) summed over the masses k steps later, k = 0, ..., last, (last + 1, m); and the last masses."""
        out, done = np.empty((last + 1, values.shape[1])), 0
        while True:
            run = krylov_powers(self.one, masses, last - done)
            end = min(done + run.last, last)
            out[done : end + 1] = run.sums(values, end - done + 1)
            masses, done = run.after(end - done), end
            if done == last:
                return out, masses

    def one(self, masses: Array) -> Array:
        """A step later."""
        return one_step(self.step, masses)

    def moved(self, masses: Array, count: int) -> Array:
        if count in self.powers:
            return np.asarray(masses @ self.powers[count])
        if isinstance(self.step, TransferOperator) and count >= POWERS_FROM and masses.size <= DENSE_UP_TO:
            self.powers[count] = np.linalg.matrix_power(self.step.dense(), count)
            return self.moved(masses, count)
        for _ in range(count):
            masses = self.one(masses)
        return masses


@dataclass(eq=False)
class Segment:
    """Steps on one grid: the law after `begun` steps, and how many more are asked for, the last one at the end."""

    grid: Grid
    mover: Propagator
    masses: Array
    begun: int
    counts: NDArray[np.int64]

    def laws(self) -> Iterator[tuple[int, Array]]:
        """(k, masses) after k steps from the start, at those asked for; `masses` are then the last ones."""
        for ahead, law in self.mover.along(self.masses, self.counts.tolist()):
            self.masses = law
            yield self.begun + ahead, law

    def means(self, values: Array) -> Array:
        """The mean of values (n,) after the steps asked for; of those who have not left, as what has is not counted."""
        both = np.column_stack([values, np.ones(values.size)])
        if self.counts.size > KRYLOV_FROM and self.counts[-1] - self.counts[0] == self.counts.size - 1:
            found, self.masses = self.mover.sums(self.masses, both, int(self.counts[-1]))
            sums = found[self.counts[0] :]
        else:
            sums = np.array([masses @ both for _, masses in self.laws()])
        return np.asarray(sums[:, 0] / sums[:, 1])
