"""Cells that hold a kink of f: their weights are averages, not those of a point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.special import logsumexp

from witten.domains.grid import Grid
from witten.objectives.objective import Objective
from witten.objectives.symbolic.interval_arithmetic import singularities_met

__all__ = ["Averages", "is_smooth", "kinked_cells"]

Array = NDArray[np.float64]
# Points along each axis of a cell, in 1, 2 and 3 dimensions; points at a time.
POINTS = {1: 512, 2: 32, 3: 6}
BLOCK = 2**20
# Fourth differences that matter, in units of s; how much they grow where the step is doubled, if f is smooth.
MATTERS, GROWTH = 1e-6, 8.0
GAUSS = np.array([-0.5, 0.5]) / np.sqrt(3.0)


def kinked_cells(objective: Objective, grid: Grid) -> NDArray[np.bool_]:
    """The nodes with a kink or another singularity of f no further away than one cell along each axis, shape (n,).

    Proved by intervals from the formula; where there is none, nothing is known, and no node is named.
    """
    if objective.formula is None or not objective.singularities:
        return np.zeros(grid.n_nodes, dtype=bool)
    met, points, h = singularities_met(objective), grid.points, grid.spacing[:, None]
    near = met(points - h, points + h)
    for at in _blocks(np.flatnonzero(near), 1):
        # Enclosures over small boxes are sharper.
        found = np.zeros(at.size, dtype=bool)
        for corner in product((-1.0, -0.5, 0.0, 0.5), repeat=grid.dimension):
            lower = points[:, at] + np.array(corner)[:, None] * h
            found |= met(lower, lower + 0.5 * h)
        near[at] = found
    return near


def is_smooth(grid: Grid, values: Array, s: float) -> bool:
    """Whether f looks smooth on a grid, from its values at the nodes: its fourth differences grow with the step.

    Over a kink those with twice the step are twice as large, where f is smooth and resolved about 16 times. Differences
    that do not matter to e^{-2f/s}, or are rounding, are passed over.
    """
    f = grid.expand(values)
    matters = max(MATTERS * s, 1e3 * float(np.finfo(float).eps * abs(values).max()))
    for axis, n in enumerate(grid.shape):
        if n > 8:
            along = np.moveaxis(f, axis, 0)
            around = np.concatenate([along[-4:], along, along[:4]]) if grid.periodic[axis] else along
            near, wide = (_fourth(around, step) for step in (1, 2))
            known = np.isfinite(near) & np.isfinite(wide)
            near, wide = (maximum_filter(np.where(known, each, 0.0), 9) for each in (near, wide))
            if ((near > matters) & (wide < GROWTH * near)).any():
                return False
    return True


def _fourth(f: Array, step: int) -> Array:
    """|fourth difference| along the first axis, four cells from its ends; not finite where a value is not."""
    n = len(f) - 8
    a, b, c, d, e = (f[4 + i * step : 4 + i * step + n] for i in range(-2, 3))
    with np.errstate(invalid="ignore"):
        return np.asarray(abs(a - 4 * b + 6 * c - 4 * d + e))


@dataclass(frozen=True, eq=False)
class Averages:
    """Weights of cells and edges that are means over them.

    A cell has the mass mean e^{-2f/s}, an edge the conductance mean 1/(mean e^{2f/s} along it), the outer mean over the
    face that it crosses. Taken at a point either is off by O(h) where there is a kink, by an amount that depends on
    where in the cell it lies: rates are then off by O(h^2) with a large and erratic factor. Means are taken by Gauss's
    rule of two points along each axis, and near a kink by the midpoint rule on a fine lattice.

    Parameters
    ----------
    objective : f
    grid : Grid
    near : which nodes are near a kink, (n,)
    """

    objective: Objective
    grid: Grid
    near: NDArray[np.bool_]

    def values(self, s: float) -> Array:
        """-(s/2) log mean e^{-2f/s} over each cell, (n,)."""
        return -0.5 * s * self._means(
            np.arange(self.near.size), self.near, None, lambda f: logsumexp(-2.0 / s * f, axis=(1, 2))
        )

    def log_conductances(self, nodes: NDArray[np.int64], others: NDArray[np.int64], axis: int, s: float) -> Array:
        """log mean 1/(mean e^{2f/s}) for the edges along an axis from these nodes to the others."""
        near = self.near[nodes] | self.near[others]

        def mean(f: Array) -> Array:
            # The mean over m points along the edge and f.shape[1] lines.
            return np.asarray(logsumexp(-logsumexp(2.0 / s * f, axis=2), axis=1) + 2 * np.log(f.shape[2]))

        return self._means(nodes, near, axis, mean)

    def _means(
        self, nodes: NDArray[np.int64], near: NDArray[np.bool_], axis: int | None, mean: Callable[[Array], Array]
    ) -> Array:
        """mean(f at the points of each cell or edge, (k, lines, m)), less the logarithm of the number of points."""
        out = np.empty(nodes.size)
        for part, rule in ((near, _midpoints(POINTS[self.grid.dimension])), (~near, GAUSS)):
            offsets = self._offsets(rule, axis)
            for at in _blocks(np.flatnonzero(part), offsets[0].size):
                out[at] = mean(self._sampled(nodes[at], offsets)) - np.log(offsets[0].size)
        return out

    def _offsets(self, rule: Array, axis: int | None) -> Array:
        """From a node to the points of its cell, or of its edge along an axis; that axis last, (d, m^(d-1), m)."""
        d = self.grid.dimension
        steps = [(rule + 0.5 * (a == axis)) * h for a, h in enumerate(self.grid.spacing)]
        offsets = np.stack(np.meshgrid(*steps, indexing="ij"))
        return np.moveaxis(offsets, 1 + (axis or 0), -1).reshape(d, -1, rule.size)

    def _sampled(self, nodes: NDArray[np.int64], offsets: Array) -> Array:
        """f at the offsets from these nodes, (k, lines, m); +inf where it is not a number."""
        d = self.grid.dimension
        points = self._points[:, nodes, None] + offsets.reshape(d, 1, -1)
        values = np.asarray(self.objective(points.reshape(d, -1)), dtype=float)
        return np.where(np.isnan(values), np.inf, values).reshape(nodes.size, *offsets.shape[1:])

    @cached_property
    def _points(self) -> Array:
        return self.grid.points


def _midpoints(m: int) -> Array:
    return (np.arange(m) + 0.5) / m - 0.5


def _blocks(nodes: NDArray[np.int64], points: int) -> list[NDArray[np.int64]]:
    return np.array_split(nodes, 1 + nodes.size * points // BLOCK)
