"""What the stationary law mu_s ~ e^{-2f/s} shows on a grid: where paths are, how fast they move, and where wells are.

Up to three dimensions. Nothing here is a rate: the grid tells where to start paths, how long a step may be, and which
wells are deep beside the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from witten.dynamics.equilibrium.wells import Wells, find_wells
from witten.dynamics.paths.ensemble import CoreMap
from witten.errors import RequestError
from witten.objectives import Objective
from witten.objectives.growth.conditions import continuous_spectrum

__all__ = ["DEEP", "Thermal", "thermal"]

Array = NDArray[np.float64]
CELLS = {1: 4000, 2: 300, 3: 60}
# f at the rim of the box is above everything that matters by so many s.
RIM = 10.0
MOST_GROWTH = 200
# Height, in s and per half a degree of freedom, up to which a point is one that paths often visit.
OFTEN = 8.0
# A well is watched if f must rise by this many s before it joins a deeper one.
DEEP = 1.5
# A core reaches up to this height above its minimum: in s for each dimension, and as a part of the depth.
CORE_HEIGHT, CORE_PART = 0.5, 0.4


@dataclass(frozen=True, eq=False)
class Thermal:
    """f on the cells of a box around {f <= top + 10 s}, top the highest saddle between wells.

    Attributes
    ----------
    objective, s : f and the effective learning rate s sigma^2
    wells : all wells, the lowest first
    low, spacing : the grid's corner and the sides of its cells, shape (d,)
    values : f at the centres of the cells, shape (n_1, ..., n_d)
    """

    objective: Objective
    s: float
    wells: Wells
    low: Array
    spacing: Array
    values: Array

    @cached_property
    def deep(self) -> NDArray[np.int64]:
        """The wells that are deep beside the noise, by their place in `wells`; the lowest always."""
        found = np.flatnonzero(self.wells.depths > DEEP * self.s)
        return found if found.size else np.zeros(1, dtype=np.int64)

    @cached_property
    def barrier(self) -> float:
        """The largest depth of a well other than the lowest; 0 where there is none."""
        finite = np.isfinite(self.wells.depths)
        return float(np.max(self.wells.depths[finite], initial=0.0))

    @cached_property
    def stiffness(self) -> float:
        """The largest |eigenvalue| of Hess f where paths often are; a kink counts with (jump of grad f)^2/s.

        Over a length l noise makes up for a jump J if J l = s, and J/l is the curvature seen there.
        """
        often = self.values <= self.wells.floors[0] + (OFTEN + 0.5 * self.values.ndim) * self.s
        often |= self.values <= self.wells.top + self.s
        curvatures: Array = np.abs(np.linalg.eigvalsh(self._hessians(often)))
        curvature = max(float(np.max(curvatures, initial=0.0)), float(np.max(np.abs(self._in_wells), initial=0.0)))
        jump = self._jump(often, curvature)
        return max(curvature, jump * jump / self.s, 1e-300)

    @cached_property
    def softness(self) -> float:
        """The smallest curvature at the deep minima, a thousandth of the largest at least."""
        return max(float(self._in_wells.min()), 1e-3 * max(float(self._in_wells.max()), self.stiffness))

    @property
    def softest(self) -> float:
        """The smallest curvature at the deep minima that is positive, however small; else `softness`."""
        positive = self._in_wells[self._in_wells > 0]
        return float(positive.min()) if positive.size else self.softness

    @cached_property
    def _in_wells(self) -> Array:
        """The curvatures at the deep minima, 0 at kinks, shape (m, d)."""
        hessians = np.moveaxis(self.objective.piecewise_hessian(self.wells.minima[:, self.deep]), -1, 0)
        return np.asarray(np.linalg.eigvalsh(np.where(np.isfinite(hessians), hessians, 0.0)))

    def _jump(self, mask: NDArray[np.bool_], curvature: float) -> float:
        """The largest change of grad f from one cell of the mask to the next that curvature does not explain."""
        slopes = np.full((self.values.ndim, self.values.size), np.nan)
        cells = np.flatnonzero(mask)
        slopes[:, cells] = self.objective.gradient(self.centres(cells))
        slopes = slopes.reshape(-1, *self.values.shape)
        largest = 0.0
        for axis, h in enumerate(self.spacing):
            jumps = np.abs(np.diff(slopes, axis=1 + axis)) - 2 * curvature * h
            largest = max(largest, float(np.max(jumps, where=np.isfinite(jumps), initial=0.0)))
        return largest

    def _hessians(self, mask: NDArray[np.bool_]) -> Array:
        points = self.centres(np.flatnonzero(mask))
        some = points[:, :: max(1, points.shape[1] // 4000)]
        hessians = np.moveaxis(self.objective.piecewise_hessian(some), -1, 0)
        return hessians[np.isfinite(hessians).all(axis=(1, 2))]

    def centres(self, cells: NDArray[np.int64]) -> Array:
        """The centres of cells, by their number on the grid, shape (d, n)."""
        index = np.array(np.unravel_index(cells, self.values.shape))
        return self.low[:, None] + (index + 0.5) * self.spacing[:, None]

    def height(self, part: float) -> float:
        """f above which there is only a part of the measure, on the grid."""
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
        points = self.centres(cells) + (random.random((self.low.size, count)) - 0.5) * self.spacing[:, None]
        return points[:, random.permutation(count)]

    def cores(self) -> CoreMap:
        """A core around each deep minimum: what hangs together with it below a height."""
        labels = np.zeros(self.values.shape, dtype=np.int16)
        for number, k in enumerate(self.deep.tolist(), start=1):
            depth = self.wells.depths[k]
            depth = depth if math.isfinite(depth) else self.wells.top - self.wells.floors[k]
            height = min(CORE_HEIGHT * self.values.ndim * self.s, CORE_PART * depth)
            parts, _ = label(self.values <= self.wells.floors[k] + height)
            cell = np.floor((self.wells.minima[:, k] - self.low) / self.spacing).astype(int)
            cell = np.clip(cell, 0, np.array(self.values.shape) - 1)
            part = parts[tuple(cell)]
            labels[parts == part if part else _one(parts.shape, cell)] = number
        return CoreMap.on_grid(self.low, self.spacing, labels)


def _one(shape: tuple[int, ...], cell: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A mask of one cell."""
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(cell)] = True
    return mask


def thermal(objective: Objective, s: float, *, seed: int = 0) -> Thermal:
    """The grid at the effective learning rate s.

    Raises
    ------
    RequestError
        above three dimensions, and where e^{-2f/s} has no integral.
    """
    continuous_spectrum(objective, s)
    wells = find_wells(objective)
    low, high = wells.low.copy(), wells.high.copy()
    for _ in range(MOST_GROWTH):
        values, sides = on_cells(objective, low, high)
        change = _change(values, max(wells.top, float(values.min())) + RIM * s, high - low)
        if change is None:
            return Thermal(objective, s, wells, low, sides, values)
        low, high = low + change[0], high + change[1]
    raise RequestError(f"{objective.name} does not rise by {RIM * s:.4g} around its wells; give a confining objective")


def on_cells(objective: Objective, low: Array, high: Array) -> tuple[Array, Array]:
    """f at the centres of the cells of a box, inf where it is not a number, and the sides of the cells."""
    shape = (CELLS[objective.dimension],) * objective.dimension
    sides = (high - low) / shape
    with np.errstate(all="ignore"):
        values = np.asarray(objective(centres_of(low, sides, shape)), dtype=float)
    return np.where(np.isnan(values), np.inf, values).reshape(shape), sides


def centres_of(low: Array, sides: Array, shape: tuple[int, ...]) -> Array:
    """The centres of all cells of a grid, shape (d, n)."""
    return np.asarray(low[:, None] + (np.indices(shape).reshape(low.size, -1) + 0.5) * sides[:, None])


def _change(values: Array, height: float, widths: Array) -> tuple[Array, Array] | None:
    """How to move the corners of the box so that f is below the height in most of it and nowhere on its rim."""
    inside = values <= height
    low, high = np.zeros(values.ndim), np.zeros(values.ndim)
    for axis in range(values.ndim):
        others = tuple(a for a in range(values.ndim) if a != axis)
        span = np.flatnonzero(inside.any(axis=others))
        n = values.shape[axis]
        low[axis] = -0.25 if span[0] == 0 else 0.0
        high[axis] = 0.25 if span[-1] == n - 1 else 0.0
    if low.any() or high.any():
        return low * widths, high * widths
    for axis in range(values.ndim):
        others = tuple(a for a in range(values.ndim) if a != axis)
        span = np.flatnonzero(inside.any(axis=others))
        n = values.shape[axis]
        if span[-1] - span[0] < 0.5 * n:
            low[axis], high[axis] = (span[0] - 2 - 0.02 * n) / n, (span[-1] + 3 + 0.02 * n - n) / n
    return (np.maximum(low, 0.0) * widths, np.minimum(high, 0.0) * widths) if low.any() or high.any() else None
