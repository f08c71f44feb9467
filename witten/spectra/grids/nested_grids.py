"""The spectrum of an objective to a wanted accuracy: domain, nested grids and solver chosen, every error measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.domains.grid import Grid
from witten.domains.sublevel import LARGEST_GRID, sublevel
from witten.errors import RequestError
from witten.objectives.growth.conditions import Bottom, essential_spectrum
from witten.objectives.objective import Objective
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.checks import (
    examined,
    given_box,
    notes,
    require_isolated,
    require_request,
    require_walls,
    warn_if_wide,
)
from witten.spectra.continuous_spectrum import Attempt, Gap, gap_beside
from witten.spectra.grids.grid_levels import GridLevels
from witten.spectra.solvers.combined import Solver, adapted
from witten.spectra.solvers.complete_pairs import complete_pairs
from witten.spectra.solvers.eigensolve import default_solver
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs, functions
from witten.spectra.spectrum import Spectrum
from witten.spectra.truncation import require_room, rounding_error, truncation

__all__ = ["NestedGrids", "prolongated", "refined_spectrum"]

# A logarithm of a ratio of rates that makes block iterations fast.
WELL_ABOVE = np.log(8.0)
# The part of its maximum down to which a ground state is divided by.
NOT_TINY = 1e-150

Array = NDArray[np.float64]


def refined_spectrum(
    objective: Objective,
    learning_rate: float,
    k: int,
    *,
    rtol: float = 1e-4,
    box: Sequence[tuple[float, float]] | None = None,
    absorbing: bool = False,
    choose: Callable[[Grid], Solver] = default_solver,
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
    box : (low, high) per axis that is not periodic, whose walls reflect, instead of all of space; what lies outside
        does not count
    absorbing : whether the walls of the box absorb: the rates are those of leaving it, and there is no zero among them
    choose : the solver for a grid that is not the first

    Where k = 2 and there is no eigenvalue below the continuous spectrum, the second rate is its bottom.

    Raises
    ------
    RequestError
        if f has no Gibbs measure or no gap, is constant or not finite, or an argument is out of range.
    ConvergenceError
        if a solver fails, or there are too few eigenvalues below the continuous spectrum.
    """
    require_request(objective, learning_rate, k, rtol, box)
    require_walls(objective, box, absorbing)
    began = stopwatch.seconds()
    bottom = essential_spectrum(objective, learning_rate) if box is None else Bottom(np.inf)
    within = None if box is None else given_box(objective, box)
    kept = truncation(objective, learning_rate, k if absorbing else k - 1, rtol, within, absorbing)
    grids = NestedGrids(objective, learning_rate, rtol, choose, walls=within is not None)
    found = grids.solve(kept.grid, kept.pairs_needed, kept.cut)
    log_rates, errors, continuous = found.log_rates, found.errors, False
    if absorbing:
        return exits(found, objective, rtol, stopwatch.seconds() - began)
    if np.isfinite(bottom.rate) and k == 2:
        gap = grids.gap_beside(bottom, found)
        log_rates, errors, continuous, found = np.log([gap.rate]), np.array([gap.error]), gap.continuous, gap.result
        kept = replace(kept, sought="") if continuous else kept  # the bottom is found far out
    require_isolated(objective, learning_rate, np.exp(log_rates), bottom, continuous)
    warn_if_wide(objective, learning_rate, log_rates, errors, rtol)
    return Spectrum.above_zero(
        log_rates,
        errors,
        learning_rate=learning_rate,
        modes=functions(found.operator, found.pairs)[np.append(0, found.order + 1)],
        grid=found.operator.grid,
        objective=objective.name,
        solver=found.solver,
        n_dofs=found.operator.n_dofs,
        seconds=stopwatch.seconds() - began,
        continuous=continuous,
        notes=notes(objective, learning_rate, bottom, within, kept),
        examined=examined(objective, within),
    )


def exits(found: Computed, objective: Objective, rtol: float, seconds: float) -> Spectrum:
    """The rates of leaving a box, and modes that vanish on its faces, of unit norm in L2(mu_s) of the box."""
    operator, n = found.operator, found.operator.grid.n_nodes
    s = operator.learning_rate
    warn_if_wide(objective, s, found.log_rates, found.errors, rtol)
    inside = operator.log_ground_state[:n]
    norm = np.exp(0.5 * np.logaddexp.reduce(2 * inside))
    modes = functions(operator, found.pairs)[found.order + 1]
    modes = (modes[:, :n] - modes[:, n:]) * norm
    rates = np.exp(found.log_rates)
    return Spectrum(
        learning_rate=s,
        rates=rates,
        errors=found.errors * rates,
        modes=modes * np.sign(modes @ np.exp(2 * inside))[:, None],
        grid=replace(operator.grid, absorbing=False),
        objective=objective.name,
        solver=found.solver,
        n_dofs=operator.n_dofs,
        seconds=seconds,
        log_rates=found.log_rates,
        relative_errors=found.errors,
        examined=f"the box {operator.grid.box}, whose walls absorb",
        exits=True,
    )


@dataclass(frozen=True, eq=False)
class Computed:
    """The wanted rates in one domain: logarithms ascending, their relative errors, and how they were found.

    `first` is the first grid; `order` tells which of the pairs each rate is."""

    first: Grid
    log_rates: Array
    errors: Array
    order: NDArray[np.int64]
    operator: WittenLaplacian
    pairs: RitzPairs
    solver: str


@dataclass(frozen=True, eq=False)
class NestedGrids:
    """Cells halved until the wanted rates, extrapolated, are known to rtol.

    Parameters
    ----------
    objective : f
    learning_rate : s
    rtol : wanted relative error
    choose : the solver for a grid that is not the first
    walls : whether measure is cut off by walls: sums over cells are then less exact, and only a series in h^2
    """

    objective: Objective
    learning_rate: float
    rtol: float
    choose: Callable[[Grid], Solver] = default_solver
    walls: bool = False

    def solve(self, grid: Grid, pairs_needed: int, cut: Array, tolerance: float | None = None) -> Computed:
        """As many rates as `cut`, the error of the truncation, has values, on a first grid and finer ones."""
        rtol = self.rtol if tolerance is None else tolerance
        log_rates, errors, operator, pairs, solver = self._refined(grid, cut.size, pairs_needed, rtol)
        # Each value is extrapolated by itself; nearly equal ones can change places.
        order = np.argsort(log_rates, kind="stable")
        errors = errors + cut + rounding_error(self.objective, self.learning_rate, grid)
        return Computed(grid, log_rates[order], errors[order], order, operator, pairs, solver)

    def gap_beside(self, bottom: Bottom, found: Computed) -> Gap[Computed]:
        """The gap below a finite bottom of the continuous spectrum, from what the usual domain gave and wider ones."""
        return gap_beside(bottom, self.learning_rate, _attempt(found), self._wider, self.rtol)

    def _wider(self, margin: float) -> Domain | None:
        """A domain that reaches so many s above the wells; None where that is too large."""
        try:
            grid = sublevel(self.objective, self.learning_rate, margin=margin).grid()
        except RequestError:  # no such grid
            return None
        return Domain(grid, self) if grid.n_nodes * 16**grid.dimension <= LARGEST_GRID[grid.dimension] else None

    def _refined(
        self, grid: Grid, wanted: int, pairs_needed: int, rtol: float
    ) -> tuple[Array, Array, WittenLaplacian, RitzPairs, str]:
        """Halve the cells until the wanted rates have errors below rtol/2, or the grid is too large."""
        levels, coarse, grid = GridLevels(wanted, rtol, self.walls), None, grid.cropped()
        at_first = pairs_needed
        while True:
            discretisation = FiniteDifferences(self.objective, grid)
            operator = discretisation.assemble(self.learning_rate)
            if coarse is None:
                solver, pairs = complete_pairs(operator, pairs_needed, wanted)
            else:
                solver = adapted(solver, self.choose(grid))
                pairs = solver.solve(operator, pairs_needed, prolongated(coarse, pairs.psi, operator))
                if pairs.rates.size < wanted:  # committors of so many wells do not fit on so many nodes
                    solver, pairs = complete_pairs(operator, at_first, wanted)
            levels.add(discretisation, operator, pairs)
            if coarse is not None:
                log_rates, errors = levels.limits()
                if levels.are_enough(errors, grid):
                    return log_rates, errors + levels.noise, operator, pairs, f"fd {solver.name}"
                pairs_needed = _guarded(pairs.log_rates, wanted)
            require_room(grid, halvings=1)
            coarse, grid = operator, grid.refined()


@dataclass(frozen=True, eq=False)
class Domain:
    """A first grid that reaches higher, for a mode that ends slowly."""

    grid: Grid
    grids: NestedGrids

    @property
    def extent(self) -> float:
        return self.grid.extent

    def attempt(self, tolerance: float) -> Attempt[Computed]:
        """The lowest rate, to a relative error."""
        return _attempt(self.grids.solve(self.grid, 1 + GUARDS, np.zeros(1), tolerance))


def _attempt(found: Computed) -> Attempt[Computed]:
    """The lowest rate, in a domain as long as its longest side."""
    grid, psi = found.operator.grid, found.pairs.psi[:, found.order[0]]
    rate = float(np.exp(found.log_rates[0]))
    return Attempt(rate, float(found.errors[0]), grid.extent, _over_walls(grid, psi**2), found)


def _over_walls(grid: Grid, masses: Array) -> float:
    """The integral over the faces between nodes and what is no node, from the masses of the cells."""
    total = 0.0
    for axis, h in enumerate(grid.spacing):
        if not grid.periodic[axis]:
            around = [(1, 1) if a == axis else (0, 0) for a in range(grid.dimension)]
            active = np.moveaxis(np.pad(grid.mask, around), axis, 0)
            faces = (~active[2:]).astype(int) + ~active[:-2]
            total += float(np.sum(faces * np.moveaxis(grid.expand(masses, 0.0), axis, 0))) / h
    return total


def prolongated(coarse: WittenLaplacian, psi: Array, fine: WittenLaplacian) -> Array:
    """Modes (n, k) on the next grid: as multiples of the ground state, which are smooth, where it is not tiny."""
    low, high = coarse.log_ground_state[:, None], fine.log_ground_state[:, None]
    tiny = np.log(NOT_TINY) + low.max()
    u = coarse.grid.prolongate(np.where(low > tiny, psi * np.exp(-np.maximum(low, tiny)), 0.0))
    return np.where(high > tiny, np.exp(high) * u, coarse.grid.prolongate(psi))


def _guarded(log_rates: Array, wanted: int) -> int:
    """How many pairs make a block that converges to the wanted ones soon: one of its last is well above them."""
    apart = int(np.searchsorted(log_rates, log_rates[wanted - 1] + WELL_ABOVE)) + 1
    return min(max(wanted + GUARDS, apart), log_rates.size)
