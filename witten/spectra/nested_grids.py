"""The spectrum of an objective to a wanted accuracy: domain, nested grids and solver chosen, every error measured."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import Sublevel, rounding, sublevel, too_small
from witten.errors import AccuracyWarning, ConvergenceError, RequestError
from witten.linalg.richardson import extrapolated_logs
from witten.objectives.growth.conditions import Bottom, essential_spectrum
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import reach
from witten.operators.cell_averages import is_smooth
from witten.operators.finite_differences import FiniteDifferences
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.continuous_spectrum import Attempt, Gap, continuous_from, gap_beside
from witten.spectra.solvers.combined import Solver, TwoScales, adapted, merged, planned
from witten.spectra.solvers.eigensolve import default_solver, require_count
from witten.spectra.solvers.lanczos import Lanczos, count_below
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs, functions
from witten.spectra.spectrum import RESOLVED, Spectrum

__all__ = ["refined_spectrum"]

LARGEST_GRID = {1: 2_000_000, 2: 1_200_000, 3: 2_500_000}
# Margins beyond which a domain is not widened; cuts at 20 cost e^{-40} where there is a gap to the next rates, more
# just below a continuous spectrum.
LARGEST_MARGIN = {1: 400.0, 2: 40.0, 3: 20.0}
# By how much of s a domain is widened at a time, and nodes on which that is measured.
STEP = 4.0
ENOUGH = {1: 1000, 2: 1, 3: 1}
MOST_EIGENVALUES = 50
# What lies so many s above the saddles of a user's box counts less than rounding, unless a mode lives there.
BOX_MARGIN = 20.0
# Walls are spoken of where a rate would change by so much without them.
WALLS_MATTER = 1e-3
# Rates below this are those of barriers.
TINY = 1e-6
# A logarithm of a ratio of rates that makes block iterations fast.
WELL_ABOVE = np.log(8.0)
# The part of its maximum down to which a ground state is divided by.
NOT_TINY = 1e-150
# Wells beyond those asked for whose modes are computed along, so that the guards lie above the small rates.
MORE_WELLS = 4


def refined_spectrum(
    objective: Objective,
    learning_rate: float,
    k: int,
    *,
    rtol: float = 1e-4,
    box: Sequence[tuple[float, float]] | None = None,
    choose: Callable[[int, int], Solver] = default_solver,
) -> Spectrum:
    """The k lowest rates at learning rate s, zero included, each with an error bar of at most rtol times the rate.

    The bar adds what was measured of the discretisation (nested grids, extrapolated), of the truncation of space (a
    wider domain on the first grid) and of the eigensolver (residuals). Where a bar stays wider than asked for, an
    AccuracyWarning says so.

    Parameters
    ----------
    objective : in 1, 2 or 3 dimensions
    learning_rate : s > 0
    k : number of eigenvalues, the zero counted
    rtol : wanted relative error
    box : (low, high) per axis, whose walls reflect, instead of all of space; what lies outside does not count
    choose : (number of nodes, dimension) -> the solver for a grid that is not the first

    Where k = 2 and there is no eigenvalue below the continuous spectrum, the second rate is its bottom.

    Raises
    ------
    RequestError
        if f has no Gibbs measure or no gap, is constant or not finite, or an argument is out of range.
    ConvergenceError
        if a solver fails, or there are too few eigenvalues below the continuous spectrum.
    """
    _require(objective, learning_rate, k, rtol, box)
    began = time.perf_counter()
    bottom = essential_spectrum(objective, learning_rate) if box is None else Bottom(np.inf)
    within = None if box is None else Box.of(box)

    def compute(grid: Grid, pairs_needed: int, cut: NDArray[np.float64], tolerance: float = rtol) -> Computed:
        return _computed(objective, learning_rate, grid, pairs_needed, cut, tolerance, choose)

    grid, pairs_needed, cut, first = _truncation(objective, learning_rate, k - 1, rtol, within)
    found = compute(grid, pairs_needed, cut)
    log_rates, errors, continuous = found.log_rates, found.errors, False
    if np.isfinite(bottom.rate) and k == 2:
        gap = _gap_beside(objective, learning_rate, bottom, found, rtol, compute)
        log_rates, errors, continuous, found = np.log([gap.rate]), np.array([gap.error]), gap.continuous, gap.result
    _require_isolated(objective, learning_rate, np.exp(log_rates), bottom, continuous)
    _warn_if_wide(objective, learning_rate, log_rates, errors, rtol)
    return Spectrum(
        learning_rate=learning_rate,
        rates=np.append(0.0, np.exp(log_rates)),
        errors=np.append(0.0, errors * np.exp(log_rates)),
        modes=functions(found.operator, found.pairs)[np.append(0, found.order + 1)],
        grid=found.operator.grid,
        objective=objective.name,
        solver=found.solver,
        n_dofs=found.operator.n_dofs,
        seconds=time.perf_counter() - began,
        log_rates=np.append(-np.inf, log_rates),
        relative_errors=np.append(0.0, errors),
        continuous=continuous,
        notes=_notes(objective, learning_rate, bottom, within, grid, pairs_needed, first),
        examined=_examined(objective, within),
    )


def _notes(
    objective: Objective,
    s: float,
    bottom: Bottom,
    box: Box | None,
    grid: Grid,
    pairs_needed: int,
    log_rates: NDArray[np.float64],
) -> tuple[str, ...]:
    """What a reader should know: what is undecided far out, and how much the walls of a box matter.

    An AccuracyWarning says the latter, too: who gives a box may have all of space in mind."""
    notes = [bottom.note] if bottom.note else []
    worst = 0.0 if box is None else _without_walls(objective, s, box, grid, pairs_needed, log_rates)
    if worst > WALLS_MATTER:
        notes.append(
            f"the walls of the box {box} reflect, and they matter: were they a little further out, the rate would "
            f"change by {worst:.0%}"
        )
        warnings.warn(f"{objective.name} at learning rate {s:g}: {notes[-1]}", AccuracyWarning, stacklevel=3)
    return tuple(notes)


def _without_walls(
    objective: Objective, s: float, box: Box, grid: Grid, pairs_needed: int, log_rates: NDArray[np.float64]
) -> float:
    """By what part the wanted rates change when cells around a box join in; 0 where there are none, or too many."""
    region = sublevel(objective, s, wells=log_rates.size, margin=BOX_MARGIN, box=box)
    try:
        wide = region.wider(grid, region.level)
        if wide is None:
            return 0.0
        outer = _rates_on(objective, s, wide, pairs_needed, log_rates.size)
    except (ConvergenceError, RequestError):
        return 0.0
    return float(_shared(*_changes(log_rates, outer)).max(initial=0.0))


def _examined(objective: Objective, box: Box | None) -> str:
    """How far f was looked at; "" for all of space."""
    if box is not None:
        return f"the box {box}, whose walls reflect"
    known = reach(objective)
    return "" if known.complete else known.examined


@dataclass(frozen=True, eq=False)
class Computed:
    """The wanted rates in one domain: logarithms ascending, their relative errors, and how they were found.

    `first` is the first grid; `order` tells which of the pairs each rate is."""

    first: Grid
    log_rates: NDArray[np.float64]
    errors: NDArray[np.float64]
    order: NDArray[np.int64]
    operator: WittenLaplacian
    pairs: RitzPairs
    solver: str


def _computed(
    objective: Objective,
    s: float,
    grid: Grid,
    pairs_needed: int,
    cut: NDArray[np.float64],
    rtol: float,
    choose: Callable[[int, int], Solver],
) -> Computed:
    """As many rates as `cut` has values on a first grid and finer ones."""
    log_rates, errors, operator, pairs, solver = _refined(objective, s, grid, cut.size, pairs_needed, rtol, choose)
    # Each value is extrapolated by itself; nearly equal ones can change places.
    order = np.argsort(log_rates, kind="stable")
    errors = errors + cut + rounding_error(objective, s, grid)
    return Computed(grid, log_rates[order], errors[order], order, operator, pairs, solver)


def _gap_beside(
    objective: Objective,
    s: float,
    bottom: Bottom,
    found: Computed,
    rtol: float,
    compute: Callable[[Grid, int, NDArray[np.float64], float], Computed],
) -> Gap[Computed]:
    """The gap below a finite bottom, from what the usual domain gave and wider ones."""
    def widen(margin: float) -> Domain | None:
        try:
            grid = sublevel(objective, s, margin=margin).grid()
        except RequestError:  # no such grid
            return None
        return Domain(grid, compute) if grid.n_nodes * 16**grid.dimension <= LARGEST_GRID[grid.dimension] else None

    return gap_beside(bottom, s, _attempt(found), widen, rtol)


@dataclass(frozen=True, eq=False)
class Domain:
    """A first grid that reaches higher, for a mode that ends slowly."""

    grid: Grid
    compute: Callable[[Grid, int, NDArray[np.float64], float], Computed]

    @property
    def extent(self) -> float:
        return float(self.grid.box.widths.max())

    def attempt(self, tolerance: float) -> Attempt[Computed]:
        """The lowest rate, to a relative error."""
        return _attempt(self.compute(self.grid, 1 + GUARDS, np.zeros(1), tolerance))


def _attempt(found: Computed) -> Attempt[Computed]:
    """The lowest rate, in a domain as long as its longest side."""
    extent = float(found.operator.grid.box.widths.max())
    return Attempt(float(np.exp(found.log_rates[0])), float(found.errors[0]), extent, found)


def rounding_error(objective: Objective, s: float, grid: Grid) -> float:
    """What rounding may change in a rate, as a part of it: in sums over a hundred thousand edges and more about 1e-11,
    and in weights e^{-2f/s} what f is off."""
    return 1e-11 + 4 * rounding(objective, grid) / s


def _truncated(
    objective: Objective, s: float, wanted: int, rtol: float, box: Box | None
) -> tuple[Grid, int, NDArray[np.float64]]:
    """A first grid, the number of pairs to compute, and how far a wider domain moves the wanted rates on it."""
    grid, pairs_needed, cut, log_rates = _truncation(objective, s, wanted, rtol, box)
    return grid, pairs_needed, cut * np.exp(log_rates)


def _truncation(
    objective: Objective, s: float, wanted: int, rtol: float, box: Box | None
) -> tuple[Grid, int, NDArray[np.float64], NDArray[np.float64]]:
    """A first grid, the number of pairs to compute, what a still wider domain would change in the wanted rates, as
    parts of them, and these rates as logarithms.

    A box of the user's is all of space: its walls reflect, and nothing is cut.

    The domain is widened in steps, as long as a step of STEP s changes them; what the steps beyond would add follows
    from the last two. All is measured on the first grid, refined: coarse cells make the effect of a cut too small.
    """
    if box is not None:
        return _in_box(objective, s, wanted, box)
    margin = max(3.0 - 0.5 * np.log(rtol), 5.0)
    while True:
        region = sublevel(objective, s, wells=max(wanted, 1), margin=margin)
        pairs_needed = wanted + GUARDS + max(0, min(region.wells - 1 - wanted, MORE_WELLS))
        grid = _fine_enough(region.grid(), 4 * pairs_needed)
        levels = [_rates_on(objective, s, grid, pairs_needed, wanted)]
        slow = _slow_level(region, levels[0][wanted - 1], wanted)
        level = max(region.level + STEP * s, slow)
        wide = region.wider(grid, level)
        if wide is None:
            return grid, pairs_needed, np.zeros(wanted), levels[0][:wanted]
        levels.append(_rates_on(objective, s, wide, pairs_needed, wanted))
        change = _shared(*_changes(*levels))[:wanted]
        if grid.dimension == 3:
            # A wider domain costs too much to be more than a measure: what it changes is what the smaller one lacks.
            rest = 3 * change
            if (rest <= 0.2 * rtol).all() or (margin >= LARGEST_MARGIN[3] and slow <= region.level):
                return grid, pairs_needed, rest, levels[0][:wanted]
            margin = max(margin + 2.0, (slow - region.height) / s)
            continue
        rest = change
        if (change > 1e-3 * rtol).any() and (wider := region.wider(wide, level + STEP * s)) is not None:
            levels.append(_rates_on(objective, s, wider, pairs_needed, wanted))
            last = _shared(*_changes(*levels[1:]))[:wanted]
            rest = 2 * last / (1 - np.minimum(last / np.maximum(change, 1e-300), 0.9))
        if (rest <= 0.2 * rtol).all() or margin >= LARGEST_MARGIN[objective.dimension]:
            return wide, pairs_needed, rest, levels[1][:wanted]
        margin = max(1.3 * margin, (slow - region.height) / s)


def _in_box(
    objective: Objective, s: float, wanted: int, box: Box
) -> tuple[Grid, int, NDArray[np.float64], NDArray[np.float64]]:
    """As `_truncation`, in a box: cells that matter to no mode as slow as those wanted are left out."""
    region = sublevel(objective, s, wells=max(wanted, 1), margin=BOX_MARGIN, box=box)
    while True:
        pairs_needed = wanted + GUARDS + max(0, min(region.wells - 1 - wanted, MORE_WELLS))
        grid = _fine_enough(region.grid(), 4 * pairs_needed)
        log_rates = _rates_on(objective, s, grid, pairs_needed, wanted)
        if log_rates[wanted - 1] > np.log(TINY):
            slow = region.slow_places(1.2 * np.exp(log_rates[wanted - 1])).level + 2 * s
        else:
            slow = sublevel(objective, s, wells=2 * wanted + 4, margin=BOX_MARGIN, box=box).level
        if slow <= region.level or grid.n_nodes == np.prod(grid.shape):
            return grid, pairs_needed, np.zeros(wanted), log_rates[:wanted]
        region = replace(region, level=max(slow, region.level + BOX_MARGIN * s))


def _rates_on(objective: Objective, s: float, grid: Grid, k: int, wanted: int) -> NDArray[np.float64]:
    """The logarithms of the k lowest rates, or at least of the wanted ones, on a grid refined at least once."""
    fine = _fine_enough(grid.refined(), ENOUGH[grid.dimension])
    _require_affordable(objective, s, fine)
    return _first_pairs(objective, s, fine, k, wanted)[1].log_rates


def _slow_level(region: Sublevel, log_rate: float, wanted: int) -> float:
    """Up to which f there may be other modes as slow as the last one wanted.

    Only wells make a rate tiny, and the more persistent ones the smaller; other rates ask for all that is flat. Where
    that has no end the spectrum is continuous, and `gap_beside` tells how far to go.
    """
    s = region.learning_rate
    if log_rate > np.log(TINY):
        found = region.slow_places(1.2 * np.exp(log_rate))
        endless = not found.end and np.isfinite(essential_spectrum(region.objective, s).rate)
        return region.level if endless else found.level + 2 * s
    margin = (region.level - region.height) / s
    return sublevel(region.objective, s, wells=2 * wanted + 4, margin=margin).level


def _changes(inner: NDArray[np.float64], outer: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By what part rates change when space grows, from their logarithms; and the logarithms of the former."""
    both = min(inner.size, outer.size)
    return abs(np.expm1(np.minimum(outer[:both] - inner[:both], 700.0))), inner[:both]


def _shared(changes: NDArray[np.float64], log_rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest of the changes of rates so close that they may come in another order on finer grids."""
    near = abs(log_rates[:, None] - log_rates) <= 0.1
    shared: NDArray[np.float64] = np.where(near, changes, 0.0).max(axis=1)
    return shared


def _fine_enough(grid: Grid, nodes: int) -> Grid:
    while grid.n_nodes < nodes:
        grid = grid.refined()
    return grid


def _first_pairs(objective: Objective, s: float, grid: Grid, k: int, wanted: int) -> tuple[Solver, RitzPairs]:
    """The solver for this grid and finer ones, and the k lowest pairs, or at least the wanted ones; none is missed.

    Bisection and committors miss none by themselves; otherwise pairs are counted by inertia.
    """
    operator = FiniteDifferences(objective, grid).assemble(s)
    solver, pairs = planned(operator, k, wanted, default_solver(operator.n_dofs, grid.dimension))
    if not isinstance(solver.fast if isinstance(solver, TwoScales) else solver, Lanczos):
        return solver, pairs
    for seed in range(4):
        if _none_missed(operator, pairs):
            return solver, pairs.lowest(k)
        random = np.random.default_rng(seed).standard_normal((operator.n_dofs, 4))
        block = np.column_stack([pairs.psi, random])
        pairs = merged(pairs, Lanczos(polish=30).solve(operator, block.shape[1], block))
    raise ConvergenceError(
        f"Lanczos keeps missing eigenvalues of {objective.name} at learning rate {s:g}; ask for more of them"
    )


def _none_missed(operator: WittenLaplacian, pairs: RitzPairs) -> bool:
    """Whether as many eigenvalues lie below the widest gap between the guards as were found there."""
    low, high = pairs.rates[-GUARDS - 1 : -1], pairs.rates[-GUARDS:]
    at = int((high / low).argmax())
    bound = 0.5 * (low[at] + high[at])
    if bound < 1e-10 * operator.scale:
        return True  # so close to zero that signs of pivots mean nothing; residuals guard these
    return count_below(operator, bound) == pairs.rates.size - GUARDS + at


def _refined(
    objective: Objective,
    s: float,
    grid: Grid,
    wanted: int,
    pairs_needed: int,
    rtol: float,
    choose: Callable[[int, int], Solver],
) -> tuple[NDArray[np.float64], NDArray[np.float64], WittenLaplacian, RitzPairs, str]:
    """Halve the cells until the wanted rates, extrapolated, have errors below rtol/2, or the grid is too large.

    Whether f is smooth is asked of the formula, and of f itself on the last grid. Rates are logarithms and errors
    relative, so that no learning rate is too small.
    """
    levels: list[NDArray[np.float64]] = []
    noise = np.zeros(wanted)
    coarse = None
    # Three grids cannot tell a small error from two that cancel; that is enough for four digits.
    # On a line a fourth costs nothing.
    fewest = 3 if rtol >= 3e-5 and grid.dimension > 1 else 4
    solver, pairs = _first_pairs(objective, s, grid, pairs_needed, wanted)
    while True:
        discretisation = FiniteDifferences(objective, grid)
        operator = discretisation.assemble(s)
        if coarse is not None:
            solver = adapted(solver, choose(operator.n_dofs, grid.dimension))
            pairs = solver.solve(operator, pairs_needed, _start(coarse, pairs.psi, operator))
        levels.append(pairs.log_rates)
        noise = np.maximum(noise, 2 * pairs.relative_errors(wanted))
        if len(levels) >= 2:
            known = min(map(len, levels))
            erratic = _erratic(discretisation, s)
            limits = extrapolated_logs([level[:known] for level in levels], erratic=erratic)
            log_rates, errors = (array[:wanted] for array in limits)
            unfinished = errors > np.maximum(0.5 * rtol, noise)
            enough = len(levels) >= (fewest if erratic <= 1 else 4)
            if (enough and not unfinished.any()) or grid.n_nodes * 2**grid.dimension > LARGEST_GRID[
                grid.dimension
            ]:
                return log_rates, errors + noise, operator, pairs, f"fd {solver.name}"
            pairs_needed = _guarded(pairs.log_rates, wanted)
        coarse, grid = operator, grid.refined()


def _start(coarse: WittenLaplacian, psi: NDArray[np.float64], fine: WittenLaplacian) -> NDArray[np.float64]:
    """Modes (n, k) on the next grid: as multiples of the ground state, which are smooth, where it is not tiny."""
    low, high = coarse.log_ground_state[:, None], fine.log_ground_state[:, None]
    tiny = np.log(NOT_TINY) + low.max()
    u = coarse.grid.prolongate(np.where(low > tiny, psi * np.exp(-np.maximum(low, tiny)), 0.0))
    return np.where(high > tiny, np.exp(high) * u, coarse.grid.prolongate(psi))


def _guarded(log_rates: NDArray[np.float64], wanted: int) -> int:
    """How many pairs make a block that converges to the wanted ones soon: one of its last is well above them."""
    apart = int(np.searchsorted(log_rates, log_rates[wanted - 1] + WELL_ABOVE)) + 1
    return min(max(wanted + GUARDS, apart), log_rates.size)


def _erratic(discretisation: FiniteDifferences, s: float) -> float:
    """What `extrapolated_logs` should know of f on its finest grid: 0 if f is smooth, 1 if averages take its kinks into
    account, 2 if it has some, or bends that are not resolved, and nothing does."""
    if discretisation.kinked.any():
        return 1.0
    return 0.0 if is_smooth(discretisation.grid, discretisation.values, s) else 2.0


def _require(objective: Objective, s: float, k: int, rtol: float, box: Sequence[tuple[float, float]] | None) -> None:
    if not (np.isfinite(s) and s > 0):
        raise RequestError(f"learning rate must be positive, got {s}")
    if not 0 < rtol < 1:
        raise RequestError(f"rtol must lie between 0 and 1, got {rtol}")
    if objective.dimension > 3:
        raise RequestError(
            f"{objective.name} has dimension {objective.dimension}; grids go up to 3: "
            "use theory or sampling (landscape, dynamics) for more"
        )
    if objective.is_constant:
        raise RequestError(
            f"{objective.name} is constant: it has no minima to converge to; give an objective that varies"
        )
    if box is not None and len(box) != objective.dimension:
        raise RequestError(f"the box has {len(box)} intervals, {objective.name} has dimension {objective.dimension}")
    require_count(k, MOST_EIGENVALUES)


def _require_affordable(objective: Objective, s: float, grid: Grid) -> None:
    if grid.n_nodes * 2**grid.dimension > LARGEST_GRID[grid.dimension]:
        raise ConvergenceError(too_small(objective, s, grid.n_nodes))


def _require_isolated(
    objective: Objective, s: float, rates: NDArray[np.float64], bottom: Bottom, continuous: bool = False
) -> None:
    """Rates below the continuous spectrum are eigenvalues and stand; there are none above its bottom."""
    if not np.isfinite(bottom.rate):
        return
    if not continuous and rates.size > 1 and rates[-1] >= 0.99 * bottom.rate:
        raise ConvergenceError(continuous_from(objective.name, s, bottom.rate, rates.size))
    what = "there is no eigenvalue below: that is the gap" if continuous else "the rates below it stand"
    warnings.warn(
        f"{objective.name} grows too slowly for the Villani condition: at learning rate {s:g} the spectrum is "
        f"continuous from rate {bottom.rate:.6g} on; {what}",
        AccuracyWarning,
        stacklevel=3,
    )


def _warn_if_wide(
    objective: Objective, s: float, log_rates: NDArray[np.float64], errors: NDArray[np.float64], rtol: float
) -> None:
    at = int(errors.argmax()) if errors.size else 0
    if errors.size == 0 or errors[at] <= rtol:
        return
    which = "the rate" if errors.size == 1 else f"rate {at + 1} of {errors.size}"
    message = f"{objective.name} at learning rate {s:g}: {which} "
    if errors[at] > RESOLVED:
        bound = (log_rates[at] + np.log1p(errors[at])) / np.log(10)
        message += f"is too small to be resolved (below 1e{bound:.1f})"
    else:
        message += f"is known to a relative error of {errors[at]:.1e}, not to {rtol:g}"
    warnings.warn(message, AccuracyWarning, stacklevel=3)
