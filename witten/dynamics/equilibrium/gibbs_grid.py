"""The Gibbs measure mu_s ~ e^{-2f/s} on a grid, in up to three dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.dynamics.equilibrium.wells import Wells
from witten.errors import RequestError
from witten.objectives import Objective

__all__ = ["GibbsGrid", "gibbs_grid"]

Array = NDArray[np.float64]
CELLS_OF_WEIGHTS = {1: 4000, 2: 300, 3: 60}
# f at the rim of the box is above everything that matters by so many s.
RIM = 10.0
MOST_GROWTH = 200


@dataclass(frozen=True, eq=False)
class GibbsGrid:
    """The weights e^{-2f/s} of the cells of a full grid.

    Attributes
    ----------
    s : the effective learning rate s sigma^2
    grid : the cells
    values : f at their centres, shape (n_1, ..., n_d); inf where it is not a number
    """

    s: float
    grid: Grid
    values: Array

    @classmethod
    def on(cls, objective: Objective, s: float, box: Box) -> GibbsGrid:
        """On the cells of a box."""
        grid = Grid(box, (CELLS_OF_WEIGHTS[box.dimension],) * box.dimension)
        return cls(s, grid, grid.evaluate(objective))

    def log_measure(self, values: Array, spacing: Array) -> float:
        """log of the integral of e^{-2(f - min f)/s} over cells with these f, min f that of the whole grid."""
        with np.errstate(divide="ignore"):
            total = np.exp(-2 * (values - self.values.min()) / self.s).sum()
            return float(np.log(total) + np.log(spacing).sum())

    def share(self, values: Array, spacing: Array) -> float:
        """Of the measure, what lies in cells with these f."""
        return min(math.exp(self.log_measure(values, spacing) - self._log_total), 1.0)

    @cached_property
    def _log_total(self) -> float:
        return self.log_measure(self.values, self.grid.spacing)

    def height(self, part: float) -> float:
        """f above which there is only this part of the measure."""
        values = np.sort(self.values, axis=None)
        cumulative = np.cumsum(np.exp(-2 * (values - values[0]) / self.s))
        return float(values[min(int(np.searchsorted(cumulative, (1 - part) * cumulative[-1])), values.size - 1)])

    def sample(self, count: int, seed: int, *, without: float = 0.0) -> Array:
        """Points drawn from mu_s, constant on each cell, in strata: shape (d, count); `without` the highest part."""
        random = np.random.default_rng(seed)
        weights = np.exp(-2 * (self.values - self.values.min()) / self.s).ravel()
        weights = np.where(self.values.ravel() <= self.height(without), weights, 0.0) if without else weights
        cumulative = np.cumsum(weights)
        at = (np.arange(count) + random.random(count)) / count * cumulative[-1]
        cells = np.minimum(np.searchsorted(cumulative, at, side="right"), weights.size - 1)
        points = self.grid.points[:, cells]
        points = points + (random.random(points.shape) - 0.5) * self.grid.spacing[:, None]
        return points[:, random.permutation(count)]


def gibbs_grid(objective: Objective, s: float, wells: Wells) -> GibbsGrid:
    """On the cells of a box around {f <= top + 10 s}, top the highest saddle between wells; RequestError where f does
    not rise so far."""
    low, high = wells.low.copy(), wells.high.copy()
    for _ in range(MOST_GROWTH):
        found = GibbsGrid.on(objective, s, Box.of(list(zip(low, high, strict=True))))
        change = _change(found.values, max(wells.top, float(found.values.min())) + RIM * s, high - low)
        if change is None:
            return found
        low, high = low + change[0], high + change[1]
    raise RequestError(f"{objective.name} does not rise by {RIM * s:.4g} around its wells; give a confining objective")


def _change(values: Array, height: float, widths: Array) -> tuple[Array, Array] | None:
    """How to move the corners of the box so that f is below the height in most of it and nowhere on its rim."""
    inside, n = values <= height, np.array(values.shape)
    spans = [np.flatnonzero(inside.any(axis=tuple(set(range(values.ndim)) - {axis}))) for axis in range(values.ndim)]
    first, last = (np.array([span[end] for span in spans]) for end in (0, -1))
    low, high = np.where(first == 0, -0.25, 0.0), np.where(last == n - 1, 0.25, 0.0)
    if low.any() or high.any():
        return low * widths, high * widths
    small = last - first < 0.5 * n
    low = np.where(small, np.maximum((first - 2 - 0.02 * n) / n, 0.0), 0.0)
    high = np.where(small, np.minimum((last + 3 + 0.02 * n - n) / n, 0.0), 0.0)
    return (low * widths, high * widths) if small.any() else None
