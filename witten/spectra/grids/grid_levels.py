"""Rates on grids whose cells are halved, and what is known of their limits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.domains.sublevel import LARGEST_GRID
from witten.linalg.richardson import extrapolated_logs
from witten.operators.differences.cell_averages import is_smooth
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.operators.differences.truncation_error import second_order_errors
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.rayleigh_ritz import RitzPairs

__all__ = ["GridLevels"]

# Rates below this part of the operator's scale have a term in h^2 that rounding hides.
LOST, TINIEST = 1e-16, float(np.finfo(float).tiny)

Array = NDArray[np.float64]


@dataclass(eq=False)
class GridLevels:
    """Rates on nested grids, coarse to fine. They are logarithms and errors relative, so that no learning rate is too
    small.

    Parameters
    ----------
    wanted : how many rates
    rtol : wanted relative error
    walls : whether measure is cut off by walls: sums over cells are then less exact, and only a series in h^2
    """

    wanted: int
    rtol: float
    walls: bool
    log_rates: list[Array] = field(default_factory=list)
    second_order: list[Array] = field(default_factory=list)
    noise: Array | float = 0.0
    erratic: float = 0.0
    smooth: int = 0
    lost: bool = False

    def add(self, discretisation: FiniteDifferences, operator: WittenLaplacian, pairs: RitzPairs) -> None:
        """The next grid. Whether f is smooth is asked of the formula, and of f itself on the last grid."""
        self.log_rates.append(pairs.log_rates)
        self.erratic = _erratic(discretisation, operator.learning_rate)
        self.smooth = 0 if self.erratic else self.smooth + 1
        self.lost = bool((pairs.rates[: self.wanted] <= LOST * operator.scale).any())
        known = not (self.walls or discretisation.kinked.any())
        self.second_order.append(_second_order(discretisation, operator, pairs) if known else 0 * pairs.rates)
        self.noise = np.maximum(self.noise, 2 * pairs.relative_errors(self.wanted))

    @property
    def of_fourth_order(self) -> bool:
        """Whether the term in h^2 is known, and the rest a series."""
        return not (self.walls or self.erratic)

    def limits(self) -> tuple[Array, Array]:
        """The wanted rates, and their errors without rounding, from two grids or more.

        Grids that do not resolve f are no part of a series, even if their steps should look like one."""
        alike = min(map(len, self.log_rates))
        levels, terms = ([each[:alike] for each in grids] for grids in (self.log_rates, self.second_order))
        # A term that finer grids have lost is taken off on none, or their values would not make one series.
        everywhere = np.where((np.array(terms) == 0).any(axis=0), 0.0, np.array(terms))
        if self.of_fourth_order:
            last = max(self.smooth, 2)
            log_rates, errors = extrapolated_logs(levels[-last:], corrections=list(everywhere[-last:]))
            if self.smooth == 1 and len(levels) > 2:  # a last step that is small by accident
                before = levels[-3] - everywhere[-3] - levels[-2] + everywhere[-2]
                errors = np.maximum(errors, abs(before) / 16)
        else:
            log_rates, errors = extrapolated_logs(levels, erratic=self.erratic)
        return log_rates[: self.wanted], errors[: self.wanted]

    def are_enough(self, errors: Array, grid: Grid) -> bool:
        """Whether errors are below rtol/2 on enough grids, or the next grid is too large."""
        if grid.n_nodes * 2**grid.dimension > LARGEST_GRID[grid.dimension]:
            return True
        finished = errors <= np.maximum(0.5 * self.rtol, self.noise)
        return bool(finished.all()) and len(self.log_rates) >= self._fewest(grid.dimension)

    def _fewest(self, dimension: int) -> int:
        """Fewer grids cannot tell a small error from two that cancel, which is enough for four digits where the term in
        h^2 is known, too: two series agree. On a line one more costs nothing."""
        if self.erratic > 1:
            return 4
        two = self.of_fourth_order and not self.lost
        return (2 if two else 3) + (self.rtol < 3e-5 or dimension == 1)


def _second_order(discretisation: FiniteDifferences, operator: WittenLaplacian, pairs: RitzPairs) -> Array:
    """The term in h^2 of each rate, relative to it; 0 where rounding is more than that."""
    errors = second_order_errors(discretisation, operator.learning_rate, pairs.psi)
    return np.where(pairs.rates > LOST * operator.scale, errors / np.maximum(pairs.rates, TINIEST), 0.0)


def _erratic(discretisation: FiniteDifferences, s: float) -> float:
    """What `extrapolated_logs` should know of f on its finest grid: 0 if f is smooth, 1 if averages take its kinks into
    account, or where half a cell ends at an absorbing face, 2 if it has some, or bends that are not resolved, and
    nothing does."""
    if discretisation.kinked.any():
        return 1.0
    smooth = 1.0 if discretisation.grid.absorbing else 0.0
    return smooth if is_smooth(discretisation.grid, discretisation.values, s) else 2.0
