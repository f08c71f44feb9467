"""The wells of f as the sampling route finds them: around the critical points that are known, by descents and by the
merge tree of f on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from witten.domains.vertex_grid import VertexGrid
from witten.errors import RequestError
from witten.linalg.merge_tree import merge_tree
from witten.objectives import Objective
from witten.objectives.topography.critical_set import reach
from witten.objectives.topography.scaled_coordinates import Units, units_around

__all__ = ["Wells", "descended", "find_wells", "scattered_minima", "units_of_wells"]

Array = NDArray[np.float64]
# The lowest of the critical points known, from so many of which the box is made: its cells must tell them apart.
MOST_POINTS = {1: 1000, 2: 150, 3: 60}
# Cells along each axis of the grid whose merge tree is looked at.
CELLS_OF_MERGE_TREE = {1: 4000, 2: 280, 3: 56}
# The box grows until f at its faces is above all barriers by this part of the range of heights.
MARGIN = 0.25
MOST_GROWTH = 40
SAME = 1e-4
# A valley whose lows spread over more than this part of the box is a long one.
ONE_PLACE = 1e-2
# Descents from a few points in any dimension, how far away they start, and how near, beside that, two ends are one.
FEW_STARTS, FARTHEST, NEAR = 24, 3.0, 1e-3
# Wells lie about so many lengths apart over which grad f is linear; units that differ by less are as good.
ACROSS, ALIKE = 4.0, 8.0


@dataclass(frozen=True, eq=False)
class Wells:
    """The minima, the lowest first, and how deep their wells are.

    Attributes
    ----------
    minima : shape (d, m)
    floors : f there, shape (m,)
    depths : how far f must rise from each until the well joins a deeper one, shape (m,); inf for the first. As far as
        a grid tells
    low, high : a box that holds them and the paths between them, shape (d,)
    """

    minima: Array
    floors: Array
    depths: Array
    low: Array
    high: Array

    @property
    def top(self) -> float:
        """The height over which the last two wells join; the lowest minimum if there is one well."""
        joined = np.isfinite(self.depths)
        return float(np.max((self.floors + self.depths)[joined], initial=self.floors[0]))

    @property
    def exits(self) -> Array:
        """How far f must rise from each until the well joins another, shape (m,): up to `top` from the deepest."""
        return np.where(np.isfinite(self.depths), self.depths, self.top - self.floors)

    def deeper_than(self, height: float) -> NDArray[np.int64]:
        """The wells of that depth, or of a depth that is not known; the lowest always."""
        return np.flatnonzero(~(self.depths <= height))


@lru_cache(maxsize=8)
def find_wells(objective: Objective) -> Wells:
    """The wells of f in one to three dimensions; RequestError above three dimensions, and where f does not rise around
    the minima."""
    if objective.dimension > 3:
        raise RequestError(f"wells are looked for in up to 3 dimensions, {objective.name} has {objective.dimension}")
    known = reach(objective)
    if not known.points.size:
        raise RequestError(f"{objective.name} does not rise around any point; give a confining objective")
    x = known.points[:, : MOST_POINTS[objective.dimension]]
    first = low, high = _first_box(x, known.scale)
    for _ in range(MOST_GROWTH):
        grid = VertexGrid.between(low, high, CELLS_OF_MERGE_TREE[objective.dimension])
        f = grid.evaluate(objective)
        tree = merge_tree(f)
        joined = np.isfinite(tree.saddles)
        floor = float(f.min())
        top = float(np.max(tree.saddles[joined], initial=floor))
        wanted = top + MARGIN * max(top - floor, 0.1 * _rise(f, floor))
        grown = _grown(f, low, high, wanted)
        if grown is None:
            return _found(objective, grid, f, wanted)
        low, high = grown
    lowest = x[:, [0]]
    spread = float(np.max(np.abs(x - lowest)) / np.max(first[1] - first[0]))
    if floor < float(objective(lowest)[0]) or spread > ONE_PLACE:
        raise RequestError(f"{objective.name} does not rise around its minima; give a confining objective")
    # The floor of a long valley rises less than any part of what is beside it, and breaks into puddles on a grid.
    return Wells(lowest, np.asarray(objective(lowest), dtype=float), np.array([np.inf]), *first)


def descended(objective: Objective, starts: Array, reach: Array) -> Array:
    """Where descents end that may go as far as `reach` (d,) from their starts, shape (d, n)."""
    return np.array([_descended(objective, x, reach) for x in starts.T]).T


def _descended(objective: Objective, start: Array, unit: Array) -> Array:
    """The end of one descent, in lengths `unit` (d,) and with a slope of 1 at the start: tolerances are of that."""
    slope = float(np.linalg.norm(unit * objective.gradient(start)))
    if not (np.isfinite(slope) and slope > 0):
        return start
    floor = float(objective(start))
    with np.errstate(all="ignore"):
        end = minimize(
            lambda z: (float(objective(start + unit * z)) - floor) / slope, np.zeros_like(start),
            jac=lambda z: unit * objective.gradient(start + unit * z) / slope, method="L-BFGS-B",
            bounds=[(-1.0, 1.0)] * start.size, options={"maxiter": 200, "ftol": 1e-14, "gtol": 1e-9},
        )  # fmt: skip
    return np.asarray(start + unit * end.x) if np.isfinite(end.fun) and end.fun <= 0 else start


@lru_cache(maxsize=8)
def units_of_wells(objective: Objective) -> Units:
    """The coordinates in which descents start, in any dimension: around where one from the origin ends, in a multiple
    of the length over which grad f is linear there; those of f where these are about the same."""
    end = minimize(objective, np.zeros(objective.dimension), jac=objective.gradient, method="L-BFGS-B").x
    found = units_around(objective, end[:, None])
    length = ACROSS * found.length
    if float(abs(end).max()) <= FARTHEST * length:
        return Units((0.0,) * end.size, 1.0 if 1 / ALIKE <= length <= ALIKE else length)
    return Units(found.centre, length)


def scattered_minima(objective: Objective, seed: int) -> Array:
    """Where descents from points scattered around the origin end, each place once, in any dimension, shape (d, m);
    RequestError if none ends."""
    scales = np.geomspace(0.05, FARTHEST, FEW_STARTS)
    starts = np.random.default_rng(seed).normal(size=(objective.dimension, FEW_STARTS)) * scales
    found: list[Array] = []
    for start in starts.T:
        with np.errstate(all="ignore"):
            end = minimize(objective, start, jac=objective.gradient, method="L-BFGS-B", options={"maxiter": 500})
        near = NEAR * (float(np.abs(end.x).max()) + float(np.abs(end.x - start).max()))
        if np.isfinite(end.fun) and all(np.abs(end.x - other).max() > near for other in found):
            found.append(end.x)
    if not found:
        raise RequestError(f"no descent on {objective.name} ends in a minimum; give a confining objective")
    return np.array(found).T


def _first_box(x: Array, scale: float) -> tuple[Array, Array]:
    """A box around points; where they are one, or on a line along an axis, as wide as f asks for."""
    low, high = x.min(axis=1), x.max(axis=1)
    width = np.maximum(high - low, 0.3 * float(np.max(high - low, initial=0.0)))
    width = np.where(width > 0, width, 2 * scale)
    middle = (low + high) / 2
    return middle - 0.7 * width, middle + 0.7 * width


def _rise(f: Array, floor: float) -> float:
    finite = f[np.isfinite(f)]
    return float(np.median(finite)) - floor


def _grown(f: Array, low: Array, high: Array, wanted: float) -> tuple[Array, Array] | None:
    """A box larger on the sides where f does not reach the height that is wanted; None if it does everywhere."""
    new_low, new_high = low.copy(), high.copy()
    step = 0.15 * (high - low)
    for axis in range(f.ndim):
        faces = f.take(0, axis=axis), f.take(-1, axis=axis)
        new_low[axis] -= step[axis] * (faces[0].min() < wanted)
        new_high[axis] += step[axis] * (faces[1].min() < wanted)
    if (new_low == low).all() and (new_high == high).all():
        return None
    return new_low, new_high


def _found(objective: Objective, grid: VertexGrid, f: Array, wanted: float) -> Wells:
    """The wells, seen again on a grid of the box that holds {f <= wanted} and no more."""
    places = [axis[where] for axis, where in zip(grid.axes, np.nonzero(f <= wanted), strict=True)]
    low, high = (np.array([side(place) for place in places]) for side in (np.min, np.max))
    near = VertexGrid.between(low, high, CELLS_OF_MERGE_TREE[objective.dimension])
    tree = merge_tree(near.evaluate(objective))
    cells = np.unravel_index(tree.minima, near.shape)
    # The lowest node is within a cell of the minimum, and a descent that knows no bounds may leap into another well.
    starts = np.array([axis[index] for axis, index in zip(near.axes, cells, strict=True)])
    x = descended(objective, starts, reach=2 * near.spacing)
    floors = np.asarray(objective(x), dtype=float)
    kept: list[int] = []
    for i in range(x.shape[1]):
        if all(np.linalg.norm((x[:, i] - x[:, k]) / (high - low)) > SAME for k in kept):
            kept.append(i)
    order = sorted(kept, key=lambda i: (np.isfinite(tree.saddles[i]), floors[i]))
    depths = np.where(np.isfinite(tree.saddles), tree.saddles - floors, np.inf)[order]
    return Wells(x[:, order], floors[order], depths, np.array(grid.box.lower), np.array(grid.box.upper))
