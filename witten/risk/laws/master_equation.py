"""The marginal distribution of SGD along a schedule, step by step: no paths, no intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import ConvergenceError, RequestError
from witten.linalg.gth_elimination import StateReduction
from witten.objectives import Objective
from witten.risk.escape import distance, never_returns
from witten.risk.laws.equal_steps import NEGLIGIBLE_MASS, Propagator, Segment, Step, one_step
from witten.risk.laws.gibbs_risk import each_rate, gibbs_risk
from witten.risk.laws.semi_lagrangian import SemiLagrangian, resampled
from witten.risk.separable import Term
from witten.schedules import Schedule
from witten.sgd.arnoldi import leading_masses
from witten.sgd.chain_domain import first_domain
from witten.sgd.steps.step_noise import UniformNoise
from witten.sgd.steps.transfer_operator import REACH, TransferOperator, somewhere

__all__ = ["MarginalRisk", "MasterEquation"]

Array = NDArray[np.float64]
# Nodes per standard deviation of the noise of a step; how many nodes along an axis, at least and at most.
NODES_PER_DEVIATION, FEWEST_NODES = 2.0, 48
MOST_NODES = {1: 2400, 2: 200}
# A grid serves learning rates down to this part of the one it was made for, times its spacing.
GRID_SERVES = 1.3
# Mass that may be lost over a whole schedule before the box is enlarged, and how often it is.
LOST_MASS, MOST_ENLARGEMENTS = 1e-8, 6
# Relative difference of the plateaus in two boxes that is accepted where mass leaves both.
PLATEAU_TOLERANCE = 0.05
# Rounding of a risk, relative to it or to that at the start.
ROUNDING = 1e-12
# Far from the origin x is rounded to EPS |x|; over the width of a box, and so many times it, that changes a risk.
ROUNDING_FACTOR, EPS = 200.0, float(np.finfo(float).eps)
# Mass at a node that is not followed on the way to the box, as a part of all.
DROPPED_MASS = 1e-17
# Noise that is followed so much of a box far is narrow; mass at a node, as a part of all, that counts where it is not.
NARROW_NOISE, BULK_MASS = 0.25, 1e-3
# How much wider a box may be for a start outside, and of how many steps it holds the way.
MOST_WIDENING, FIRST_STEPS = 3.0, 50
# A law whose highest quarter of frequencies holds more than this part of it is narrower than the grid can show.
UNRESOLVED_PART = 1e-3


@dataclass(frozen=True, eq=False)
class MarginalRisk:
    """The risk of one term under the marginal distribution of SGD.

    Attributes
    ----------
    risks : E f_i - min f_i, shape (n,), of those who have not left the box
    bars : half-widths of their error bars: rounding, what has left, and what a larger box would say
    lost : the part of the mass that has left the box
    box : the box; where next to nothing leaves it no larger one says anything else
    """

    risks: Array
    bars: Array
    lost: float
    box: Box


@dataclass(frozen=True, eq=False)
class MasterEquation:
    """masses <- masses P_s, one step after the other, on grids as fine as the noise of each step needs.

    A start far outside of the box where the law of the largest learning rate lives is followed on its way there, on
    grids that go along.

    Parameters
    ----------
    term : a function of one or two variables, with its start
    schedule : in discrete time
    noise : sigma
    nodes : per standard deviation of the noise, at least; with 2 the law is exact to rounding, with 1.5 to 1e-9
    most : part of the largest number of cells along an axis that may be taken
    """

    term: Term
    schedule: Schedule
    noise: float = 1.0
    nodes: float = NODES_PER_DEVIATION
    most: float = 1.0

    def __post_init__(self) -> None:
        if any(stage.flow for stage in self.schedule.stages):
            raise RequestError(
                "SGD has no stages in continuous time; use the method 'spectral', or leave out :flow"
            )
        if self.term.objective.dimension > 2:
            raise RequestError(
                f"{self.term.objective.name} is not a sum of functions of one variable, and its distribution is "
                "computed up to dimension 2; use the method 'simulate'"
            )

    @cached_property
    def box(self) -> Box:
        """Where the law of the largest learning rate lives."""
        return _domain(self.term.objective, float(self.schedule.learning_rates.max()), self.noise)

    def _with_start(self) -> Box:
        """The box, and the start with its first steps where that makes it not much wider and noise is narrow."""
        f, x, box = self.term.objective, self.term.start, self.box
        way, s = [x], float(self.schedule.learning_rates.max())
        with np.errstate(all="ignore"):
            for each in self.schedule.learning_rates[:FIRST_STEPS].tolist():
                x = x - each * f.gradient(x)
                way.append(x)
        low, high = np.min(way, axis=0) - REACH * s * self.noise, np.max(way, axis=0) + REACH * s * self.noise
        low, high = np.minimum(box.lower, low), np.maximum(box.upper, high)
        near = ((high - low) < MOST_WIDENING * box.widths).all()
        narrow = (REACH * s * self.noise < NARROW_NOISE * box.widths).all()
        return Box(tuple(low.tolist()), tuple(high.tolist())) if near and narrow else box

    def risks(self, steps: NDArray[np.int64]) -> MarginalRisk:
        """E f_i - min f_i at these steps, ascending; ConvergenceError if mass keeps leaving, or the law becomes
        narrower than the finest grid."""
        box = self._with_start()
        found, lost = self.propagated(box, steps)
        bars = np.full(found.size, lost * self._top(box))
        for _ in range(MOST_ENLARGEMENTS):
            if lost < LOST_MASS:
                break
            wide, before = box.expanded(0.1, 0.1), lost
            larger, lost = self.propagated(wide, steps)
            bars = abs(larger - found)
            # Where runs escape to infinity, no box ends it.
            if lost > 0.3 * before:
                lost = before
                break
            box, found, bars = wide, larger, np.full(found.size, lost * self._top(wide))
        farthest = float(np.max(np.maximum(np.abs(box.lower), np.abs(box.upper)) / box.widths))
        rounded = ROUNDING + ROUNDING_FACTOR * EPS * farthest
        bars = bars + rounded * np.maximum(found, min(found[0], self._top(box)))
        return MarginalRisk(found, bars, lost, box)

    def error(self, steps: NDArray[np.int64], found: MarginalRisk) -> Array:
        """What half as many cells change, shape (n,), where the noise of a step is narrower than the cells; else 0."""
        least = float(self.schedule.learning_rates[: int(steps[-1])].min(initial=np.inf)) * self.noise
        if least >= 1.5 * found.box.widths.max() / (self.most * MOST_NODES[found.box.dimension]):
            return np.zeros(steps.size)
        rough = replace(self, most=0.5 * self.most)
        return np.asarray(abs(rough.propagated(found.box, steps)[0] - found.risks))

    def _top(self, box: Box) -> float:
        """The largest f_i - min f_i on the rim of a box, at the middles of its sides: where mass leaves."""
        middle = 0.5 * (np.array(box.lower) + box.upper)
        sides = np.repeat(middle[:, None], 2 * middle.size, axis=1)
        for axis in range(middle.size):
            sides[axis, 2 * axis : 2 * axis + 2] = box.lower[axis], box.upper[axis]
        return float(np.nanmax(self.term.excess(sides)))

    def propagated(self, box: Box, steps: NDArray[np.int64]) -> tuple[Array, float]:
        out = [self.term.excess(self.term.start[:, None])] if steps[0] == 0 else []
        grid, excess, masses = None, np.zeros(0), np.ones(1)
        for segment in self._segments(box, steps[steps > 0]):
            if grid is not segment.grid:
                grid, excess = segment.grid, self.term.excess(segment.grid.points)
            means, wanted = segment.means(excess), np.isin(segment.begun + segment.counts, steps)
            out.append(means[wanted])
            masses = segment.masses
        return np.concatenate(out), max(0.0, 1.0 - float(masses.sum()))

    def laws(self, box: Box, steps: NDArray[np.int64]) -> Iterator[tuple[int, Grid, Array]]:
        """(k, grid, masses) after these numbers k > 0 of steps, ascending."""
        for segment in self._segments(box, steps):
            yield from ((k, segment.grid, masses) for k, masses in segment.laws() if k in steps)

    def _segments(self, box: Box, steps: NDArray[np.int64]) -> Iterator[Segment]:
        """Steps from the start to the last one asked for, in pieces; `masses` of each are used when it has been."""
        done, grid, masses = 0, None, np.ones(1)
        for run in self.schedule.runs(int(steps[-1]) if steps.size else 0):
            last = done + run.steps
            while done < last and (grid is None or grid.box is not box):
                grid, masses = self._approach(box, run.learning_rate, done, grid, masses)
                done += 1
                if done in steps:
                    propagator = Propagator(self.step(grid, run.learning_rate))
                    yield Segment(grid, propagator, masses, done, np.zeros(1, int))
            if done == last or grid is None:
                continue
            finer = self.grid_on(box, run.learning_rate, grid)
            if finer is not grid:
                _require_seen(grid, masses, run.learning_rate)
                masses = resampled(masses, grid, finer)
            grid = finer
            asked = np.union1d(steps[(steps > done) & (steps <= last)], [last]) - done
            segment = Segment(grid, Propagator(self.step(grid, run.learning_rate)), masses, done, asked)
            yield segment
            masses, done = segment.masses, last
        if grid is not None:
            _require_seen(grid, masses, run.learning_rate)

    def _approach(
        self, box: Box, learning_rate: float, done: int, grid: Grid | None, masses: Array
    ) -> tuple[Grid, Array]:
        """One step of a law that is not yet in the box: a grid around where it goes, or that of the box, and masses."""
        f, s = self.term.objective, learning_rate
        x = self.term.start[:, None] if grid is None else grid.points
        kept = abs(masses) > DROPPED_MASS * abs(masses).sum()
        x, masses = x[:, kept], masses[kept]
        with np.errstate(all="ignore"):
            images = x - s * f.gradient(x)
        outwards = ~(distance(box, images) <= max(distance(box, x).max(), 1.0))
        if outwards.any():
            outwards[outwards] = never_returns(f, images[:, outwards], self.schedule.learning_rates[done + 1 :], box)
            images, masses = images[:, ~outwards], masses[~outwards]
            if not masses.sum() > 0.5:
                where = ", ".join(f"{each:.6g}" for each in self.term.start)
                raise ConvergenceError(f"descent on {f.name} from ({where}) diverges; take smaller learning rates")
        reach = REACH * s * self.noise
        low, high = images.min(axis=1) - reach, images.max(axis=1) + reach
        if (reach < NARROW_NOISE * box.widths).all():
            arrived = (low >= box.lower).all() and (high <= box.upper).all()
        else:
            # Noise as wide as the box takes some of the law out of it from wherever it is.
            arrived = (distance(box, images[:, masses > BULK_MASS * masses.sum()]) <= 1).all()
        target = box if arrived else Box(tuple(low.tolist()), tuple(high.tolist()))
        grid = self.grid_on(target, s, None)
        return grid, one_step(self._step_of(grid, s, images), masses)

    def grid_on(self, box: Box, learning_rate: float, grid: Grid | None) -> Grid:
        """The grid in use, if it is right for this learning rate, or a better one."""
        wanted = learning_rate * self.noise / self.nodes
        most = int(self.most * MOST_NODES[box.dimension])
        if grid is not None:
            finest = np.array(grid.shape) >= most
            if ((grid.spacing <= wanted) | finest).all() and (grid.spacing > wanted / 8).any():
                return grid
        cells = np.clip(np.ceil(GRID_SERVES * box.widths / wanted), FEWEST_NODES, most)
        shape = tuple(int(n) + int(n) % 2 for n in cells)
        return grid if grid is not None and grid.shape == shape else Grid(box, shape)

    def step(self, grid: Grid, learning_rate: float) -> Step:
        """One step at a learning rate, by windows where the noise is resolved."""
        f = self.term.objective
        with np.errstate(all="ignore"):
            images = grid.points - learning_rate * f.gradient(grid.points)
        return self._step_of(grid, learning_rate, somewhere(images))

    def _step_of(self, grid: Grid, learning_rate: float, images: Array) -> Step:
        """From points whose images (d, m) are given to the nodes of a grid."""
        f, d = self.term.objective, self.term.objective.dimension
        deviations = np.full(d, learning_rate * self.noise)
        if (deviations >= 1.5 * grid.spacing).all():
            return TransferOperator(grid, np.eye(d), images, deviations, learning_rate, f.name, f(grid.points))
        return SemiLagrangian(grid, images, deviations)

    def plateaus(self) -> dict[float, float]:
        """The stationary excess risk at each learning rate of the schedule."""
        return each_rate(self.schedule, lambda s: _stationary_risk(self, s))


@lru_cache(maxsize=512)
def _domain(f: Objective, learning_rate: float, noise: float) -> Box:
    """Cached: planning a schedule asks for the same one many times."""
    return first_domain(UniformNoise.of_sgd(f, learning_rate, noise), 6).box


def _stationary_risk(law: MasterEquation, learning_rate: float) -> float:
    """E f_i - min f_i under the stationary law of the chain.

    Where the noise is too narrow for a grid it is eps(s) (1 + c s), eps that of the Gibbs measure and c from the
    smallest learning rate that a grid can show: the two laws differ by O(s).
    """
    if law.noise * learning_rate >= 2 * _narrowest(law):
        return _stationary(law, learning_rate)
    least = 2 * _narrowest(law) / law.noise
    excess = _stationary(law, least) / gibbs_risk(law.term, least, law.noise) - 1.0
    return gibbs_risk(law.term, learning_rate, law.noise) * (1.0 + excess * learning_rate / least)


def _narrowest(law: MasterEquation) -> float:
    """The spacing of the finest grid."""
    return float(law.box.widths.max() / MOST_NODES[law.box.dimension])


def _stationary(law: MasterEquation, learning_rate: float) -> float:
    """On the box; where part of the law leaves it in every step, nan unless a larger one says the same."""
    risk, leak = _stationary_in(law, learning_rate, law.box)
    if leak <= LOST_MASS:
        return risk
    wide, _ = _stationary_in(law, learning_rate, law.box.expanded(0.1, 0.1))
    return risk if abs(wide - risk) < PLATEAU_TOLERANCE * risk else np.nan


def _stationary_in(law: MasterEquation, learning_rate: float, box: Box) -> tuple[float, float]:
    """The mean under the (quasi-)stationary law in a box, and what leaves it in a step."""
    grid = law.grid_on(box, learning_rate, None)
    step = law.step(grid, learning_rate)
    assert isinstance(step, TransferOperator)  # the caller has seen to that
    excess = law.term.excess(grid.points)
    lowest = int(excess.argmin())
    if grid.dimension == 1:
        # What leaves the box comes back at the minimum: right as long as next to nothing does.
        chain = step.dense()
        chain[:, lowest] += step.killed
        masses = StateReduction.of(chain, lowest).stationary
    if grid.dimension > 1 or masses @ step.killed > LOST_MASS:
        gibbs = np.exp(-2.0 * excess / (learning_rate * law.noise**2))
        masses = leading_masses(lambda m: step.adjoint(m, NEGLIGIBLE_MASS), step.n_dofs, gibbs / gibbs.sum())
    return float(masses @ excess), float(masses @ step.killed)


def _require_seen(grid: Grid, masses: Array, learning_rate: float) -> None:
    """ConvergenceError where most of it has left, or the law is narrower than the cells."""
    if not masses.sum() > 0.5:
        raise ConvergenceError(f"at learning rate {learning_rate:g} most runs diverge; take smaller learning rates")
    plane = masses.reshape(grid.shape)
    for axis in range(grid.dimension):
        c = abs(np.fft.rfft(plane.sum(axis=tuple(a for a in range(grid.dimension) if a != axis))))
        if c[3 * c.size // 4 :].max() > UNRESOLVED_PART * c[0]:
            raise ConvergenceError(
                f"at learning rate {learning_rate:g} the distribution is narrower than {grid.spacing.min():.2g}, the "
                "smallest cells of a grid; use the method 'spectral' or 'simulate', or end at a larger learning rate"
            )
