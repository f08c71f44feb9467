"""Small rates by committors, the others by an ordinary eigensolver: which of the two knows a rate better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from witten.linalg.merge_tree import merge_tree_of_graph
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.committors.graph import Committors
from witten.spectra.solvers.rayleigh_ritz import RitzPairs
from witten.spectra.solvers.sturm import Chain

__all__ = ["Solver", "TwoScales", "adapted", "merged", "planned"]

# Committors alone are used where the relative errors of all wanted rates are below this: nothing is left to gain.
ENOUGH = 1e-10
# Barriers below this many s leave a rate above e^{-16} or so, where an ordinary solver has ten digits and more.
SHALLOW = 8.0


class Solver(Protocol):
    """A solver: small frozen settings and one method."""

    @property
    def name(self) -> str: ...

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state, ascending; `start` (n, any) spans a first guess."""
        ...


@dataclass(frozen=True)
class TwoScales:
    """Committors for the exponentially small rates, `fast` for all; each rate from the one with the smaller error.

    >>> f, grid = witten.gallery.double_well(), witten.Grid(witten.Box((-1.5,), (1.5,)), (800,))
    >>> solver = witten.spectra.TwoScales(witten.spectra.Lanczos())
    >>> curve = witten.sweep(witten.FiniteDifferences(f, grid), (0.01,), solver=solver)
    >>> print(f"{curve.rates[0]:.1e}")
    8.6e-23
    """

    fast: Solver
    slow: Committors = Committors()

    @property
    def name(self) -> str:
        return f"{self.slow.name}+{self.fast.name}"

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` (n, any) adds its span to what the solvers find."""
        slow = self.slow.solve(operator, k)
        return merged(slow, self.fast.solve(operator, k, _started(slow, start)))


def planned(operator: WittenLaplacian, k: int, wanted: int, fast: Solver) -> tuple[Solver, RitzPairs]:
    """The solver that fits an operator, and what it finds: the k lowest pairs, or at least the `wanted` lowest of them.

    A chain where there is one dimension; committors alone where they leave nothing to gain, not at all where the
    smaller errors are those of `fast`, and otherwise both.
    """
    if operator.grid.is_chain:
        return Chain(), Chain().solve(operator, k)
    slow = Committors().solve(operator, k) if wanted and _deep(operator) else Committors().nothing(operator)
    if wanted and slow.rates.size >= wanted and slow.relative[:wanted].max() <= ENOUGH:
        return Committors(), slow
    pairs = merged(slow, fast.solve(operator, k, _started(slow, None)))
    return (fast if np.isnan(pairs.relative).all() else TwoScales(fast)), pairs


def _deep(operator: WittenLaplacian) -> bool:
    """Whether a barrier is so high that rounding could touch a rate, or that committors could know it better."""
    a, s = operator.matrix, operator.learning_rate
    found = merge_tree_of_graph(a.indptr, a.indices, operator.values, SHALLOW * s)
    return found.minima.size > 1


def adapted(solver: Solver, fast: Solver) -> Solver:
    """The same plan for an operator of another size, for which `fast` is the ordinary solver."""
    if isinstance(solver, Chain | Committors):
        return solver
    return replace(solver, fast=fast) if isinstance(solver, TwoScales) else fast


def merged(slow: RitzPairs, fast: RitzPairs) -> RitzPairs:
    """Each of the pairs from where its relative error is the smaller one; both start with the lowest."""
    m = min(slow.rates.size, fast.rates.size)
    better = np.zeros(fast.rates.size, dtype=bool)
    better[:m] = slow.relative[:m] < fast.relative_errors(fast.rates.size)[:m]

    def chosen(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
        out = theirs.copy()
        out[..., better] = ours[..., : better.size][..., better[: ours.shape[-1]]]
        return out

    names = ("rates", "psi", "residuals", "noise", "log_rates", "relative", "modes")
    return RitzPairs(*(chosen(getattr(slow, name), getattr(fast, name)) for name in names))


def _started(slow: RitzPairs, start: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """A start that holds the small modes, which are all alike to a solver that inverts: it could overlook some."""
    if not slow.rates.size:
        return start
    return slow.psi if start is None else np.column_stack([slow.psi, start])
