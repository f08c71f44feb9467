"""The law of SGD along a schedule, step by step: no paths, no intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import ConvergenceError, RequestError
from witten.objectives import Objective
from witten.operators.collocation import chebyshev_points, interpolation_matrix
from witten.operators.noise import GaussianNoise
from witten.operators.transfer import TransferOperator, on_grid
from witten.risk.long_runs import long_run
from witten.risk.push_and_blur import PushAndBlur, resampled
from witten.risk.terms import Term
from witten.schedules import Schedule
from witten.spectra.operator_spectrum import leading_masses
from witten.spectra.state_reduction import StateReduction
from witten.spectra.transfer_spectrum import first_domain

__all__ = ["LawOfSGD", "each_rate", "gibbs_points", "gibbs_risk", "stationary_risk"]

Array = NDArray[np.float64]
# Nodes per standard deviation of the noise of a step; how many nodes along an axis, at least and at most.
PER_DEVIATION, FEWEST = 2.0, 48
MOST = {1: 2400, 2: 200}
# A grid serves learning rates down to this part of the one it was made for, times its spacing.
SERVES = 1.3
# Mass that may be lost over a whole schedule before the box is enlarged, and how often it is.
LOST, ENLARGED = 1e-8, 6
# Equal steps from which on, and nodes up to which, powers of the matrix are formed.
POWER, DENSE = 40, 700
# Learning rates at which the plateau is computed; it is interpolated where a schedule has more.
PLATEAUS = 20
# Equal steps in the plane from which on they are combined.
LONG = 200
# A law whose highest quarter of frequencies holds more than this part of it is narrower than the grid can show.
UNSEEN = 1e-3
# What moves from one node to another in a step and is not looked at, as a part of all: a million of them are nothing.
NEGLIGIBLE = 1e-22


Step = TransferOperator | PushAndBlur


def _one_step(step: Step, masses: Array) -> Array:
    if isinstance(step, TransferOperator):
        return step.adjoint(masses, NEGLIGIBLE * float(abs(masses).sum()))
    return step.adjoint(masses)


@dataclass(eq=False)
class _Mover:
    """Many equal steps: a power of the matrix, once it is worth to form it; in the plane `LongRun`."""

    step: Step
    powers: dict[int, Array] = field(default_factory=dict)

    def along(self, masses: Array, counts: list[int]) -> Iterator[tuple[int, Array]]:
        """(k, masses k steps later) for these k >= 0, ascending."""
        run, begun, done = None, 0, 0
        long = self.step.grid.dimension > 1 and counts[-1] >= LONG
        for k in counts:
            if not long:
                masses, done = self.moved(masses, k - done), k
                yield k, masses
                continue
            while run is None or k - begun > run.last:
                if run is not None:
                    masses, begun = run.after(run.last), begun + run.last
                run = long_run(lambda m: _one_step(self.step, m), masses, counts[-1] - begun)
            yield k, run.after(k - begun)

    def moved(self, masses: Array, count: int) -> Array:
        if count in self.powers:
            return np.asarray(masses @ self.powers[count])
        if isinstance(self.step, TransferOperator) and count >= POWER and masses.size <= DENSE:
            self.powers[count] = np.linalg.matrix_power(self.step.dense(), count)
            return self.moved(masses, count)
        for _ in range(count):
            masses = _one_step(self.step, masses)
        return masses


@dataclass(frozen=True, eq=False)
class LawOfSGD:
    """masses <- masses P_s, one step after the other, on grids as fine as the noise of each step needs.

    Parameters
    ----------
    term : a function of one or two variables, with its start
    schedule : in discrete time
    noise : sigma
    nodes : per standard deviation of the noise, at least; with 2 the law is exact to rounding, with 1.5 to 1e-9
    """

    term: Term
    schedule: Schedule
    noise: float = 1.0
    nodes: float = PER_DEVIATION

    def __post_init__(self) -> None:
        if any(stage.flow for stage in self.schedule.stages):
            raise RequestError(
                "a stage in continuous time is none of SGD; use the method 'spectral', or leave :flow away"
            )
        if self.term.objective.dimension > 2:
            raise RequestError(
                f"{self.term.objective.name} is no sum of functions of one variable, and its law is computed up to "
                "dimension 2; use the method 'simulate'"
            )

    @cached_property
    def box(self) -> Box:
        """Where the law of the largest learning rate lives, and the way there from the start."""
        f, s = self.term.objective, float(self.schedule.learning_rates.max())
        box = _domain(f, s, self.noise)
        x = self.term.start
        way = [x]
        for each in self.schedule.learning_rates[:50].tolist():
            x = x - each * f.gradient(x)
            way.append(x)
        reach = 9 * s * self.noise
        low = np.minimum(box.lower, np.min(way, axis=0) - reach)
        high = np.maximum(box.upper, np.max(way, axis=0) + reach)
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (high - low).max() < 1e6):
            raise ConvergenceError(f"descent on {f.name} from {way[0].tolist()} runs away; take smaller learning rates")
        return Box(tuple(low.tolist()), tuple(high.tolist()))

    def risks(self, steps: NDArray[np.int64]) -> tuple[Array, float]:
        """E f_i - min f_i at these steps, shape (n,), and the part of the mass that left the box on the way.

        Raises
        ------
        ConvergenceError
            if mass keeps leaving, or the law becomes narrower than the finest grid.
        """
        box = self.box
        found, lost = self._followed(box, steps)
        for _ in range(ENLARGED):
            if lost < LOST:
                break
            box, before = box.expanded(0.1, 0.1), lost
            larger, lost = self._followed(box, steps)
            # Where runs escape to infinity, a larger box only makes the cells coarser.
            if lost > 0.3 * before:
                return found, before
            found = larger
        return found, lost

    def _followed(self, box: Box, steps: NDArray[np.int64]) -> tuple[Array, float]:
        out = [float(self.term.excess(self.term.start[:, None])[0])] if steps[0] == 0 else []
        values, masses = None, np.ones(1)
        for _, grid, masses in self.laws(box, steps[steps > 0]):
            if values is None or values[0] is not grid:
                values = grid, self.term.excess(grid.points)
            # What has left is not counted: the mean is that of those who have not.
            out.append(float(masses @ values[1] / masses.sum()))
        return np.array(out), max(0.0, 1.0 - float(masses.sum()))

    def laws(self, box: Box, steps: NDArray[np.int64]) -> Iterator[tuple[int, Grid, Array]]:
        """(k, grid, masses) after these numbers k > 0 of steps, ascending."""
        f, x, done = self.term.objective, self.term.start, 0
        grid, masses = self._grid(box, self.schedule.learning_rates[0], None), None
        for run in self.schedule.runs():
            finer = self._grid(box, run.learning_rate, grid)
            if finer is not grid and masses is not None:
                _require_seen(grid, masses, run.learning_rate)
                masses = resampled(masses, grid, finer)
            grid, begun, last = finer, done, done + run.steps
            mover = _Mover(self.step(grid, run.learning_rate))
            if masses is None:
                # The first step from a point is exact.
                masses, done = mover.step.around(x - run.learning_rate * f.gradient(x)), 1
            asked = np.union1d(steps[(steps > begun) & (steps <= last)], [last])
            for ahead, law in mover.along(masses, (asked - done).tolist()):
                masses = law
                if ahead + done in steps:
                    yield ahead + done, grid, masses
            done = last
        if masses is not None:
            _require_seen(grid, masses, run.learning_rate)

    def _grid(self, box: Box, learning_rate: float, grid: Grid | None) -> Grid:
        """The grid in use, if it is right for this learning rate, or a better one."""
        wanted = learning_rate * self.noise / self.nodes
        most = MOST[box.dimension]
        if grid is not None:
            finest = np.array(grid.shape) >= most
            if ((grid.spacing <= wanted) | finest).all() and (grid.spacing > wanted / 8).any():
                return grid
        cells = np.clip(np.ceil(SERVES * box.widths / wanted), FEWEST, most)
        shape = tuple(int(n) + int(n) % 2 for n in cells)
        return grid if grid is not None and grid.shape == shape else Grid(box, shape)

    def step(self, grid: Grid, learning_rate: float) -> Step:
        """One step at a learning rate, by windows where the noise is resolved."""
        f, d = self.term.objective, self.term.objective.dimension
        deviations = np.full(d, learning_rate * self.noise)
        operator = on_grid(f, learning_rate, grid, np.eye(d), deviations)
        if (deviations >= 1.5 * grid.spacing).all():
            return operator
        return PushAndBlur(grid, operator.images, deviations)

    def plateaus(self) -> dict[float, float]:
        """The stationary excess risk at each learning rate of the schedule."""
        return each_rate(self.schedule, lambda s: stationary_risk(self, s))


@lru_cache(maxsize=512)
def _domain(f: Objective, learning_rate: float, noise: float) -> Box:
    """Asked for again and again while a schedule is planned."""
    return first_domain(f, learning_rate, 6, GaussianNoise.isotropic(f.dimension, learning_rate * noise), None).box


def stationary_risk(law: LawOfSGD, learning_rate: float) -> float:
    """E f_i - min f_i under the stationary law of the chain.

    Where the noise is too narrow for a grid it is eps(s) (1 + c s), eps that of the Gibbs measure and c from the
    smallest learning rate that a grid can show: the two laws differ by O(s).
    """
    if law.noise * learning_rate >= 2 * _narrowest(law):
        return _stationary(law, learning_rate)
    least = 2 * _narrowest(law) / law.noise
    excess = _stationary(law, least) / gibbs_risk(law.term, least * law.noise**2) - 1.0
    return gibbs_risk(law.term, learning_rate * law.noise**2) * (1.0 + excess * learning_rate / least)


def _narrowest(law: LawOfSGD) -> float:
    """The spacing of the finest grid."""
    return float(law.box.widths.max() / MOST[law.box.dimension])


def _stationary(law: LawOfSGD, learning_rate: float) -> float:
    grid = law._grid(law.box, learning_rate, None)
    step = law.step(grid, learning_rate)
    assert isinstance(step, TransferOperator)  # the caller has seen to that
    excess = law.term.excess(grid.points)
    lowest = int(excess.argmin())
    if grid.dimension == 1:
        # What leaves the box comes back at the minimum: right as long as next to nothing does.
        chain = step.dense()
        chain[:, lowest] += step.killed
        masses = StateReduction.of(chain, lowest).stationary
    if grid.dimension > 1 or masses @ step.killed > LOST:
        gibbs = np.exp(-2.0 * excess / (learning_rate * law.noise**2))
        masses = leading_masses(lambda m: step.adjoint(m, NEGLIGIBLE), step.n_dofs, gibbs / gibbs.sum())
    return float(masses @ excess)


def gibbs_risk(term: Term, learning_rate: float) -> float:
    """eps(s) = E_mu f - min f, mu = exp(-2 f/s), by the trapezoid rule."""
    points = gibbs_points(term.objective, learning_rate)
    excess = term.excess(points)
    weights = np.exp(-2.0 * excess / learning_rate)
    return float(weights @ excess / weights.sum())


def gibbs_points(f: Objective, learning_rate: float) -> Array:
    """Nodes of a uniform grid that sees exp(-2 f/s), shape (d, n)."""
    from witten.domains.sublevel import sublevel

    found = sublevel(f, learning_rate, wells=6, margin=20.0)
    cells = {1: 4000, 2: 500, 3: 120}[f.dimension]
    return Grid(found.box, (cells,) * f.dimension).points


def each_rate(schedule: Schedule, value) -> dict[float, float]:  # type: ignore[no-untyped-def]
    """value(s) at each learning rate of a schedule, interpolated in logarithms where there are many."""
    s = np.unique(schedule.learning_rates)
    if s.size <= PLATEAUS:
        return {each: value(each) for each in s.tolist()}
    log_s = np.log(s)
    nodes = chebyshev_points(log_s[0], log_s[-1], PLATEAUS)
    at_nodes = np.log([max(value(each), 1e-300) for each in np.exp(nodes).tolist()])
    return dict(zip(s.tolist(), np.exp(interpolation_matrix(nodes, log_s) @ at_nodes).tolist(), strict=True))


def _require_seen(grid: Grid, masses: Array, learning_rate: float) -> None:
    """ConvergenceError where most of it has left, or the law is narrower than the cells."""
    if not masses.sum() > 0.5:
        raise ConvergenceError(f"at learning rate {learning_rate:g} most runs run away; take smaller learning rates")
    plane = masses.reshape(grid.shape)
    for axis in range(grid.dimension):
        c = abs(np.fft.rfft(plane.sum(axis=tuple(a for a in range(grid.dimension) if a != axis))))
        if c[3 * c.size // 4 :].max() > UNSEEN * c[0]:
            raise ConvergenceError(
                f"at learning rate {learning_rate:g} the law is narrower than {grid.spacing.min():.2g}, the smallest "
                "cells that are taken; use the method 'spectral' or 'simulate', or end at a larger learning rate"
            )
