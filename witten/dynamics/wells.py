"""The wells of f as the sampling route finds them: descents from many places, and the merge tree of f on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from witten.errors import RequestError
from witten.objectives import Objective
from witten.objectives.merge_tree import merge_tree

__all__ = ["Wells", "descended", "find_wells", "scattered_minima"]

Array = NDArray[np.float64]
STARTS = 60
# Cells along each axis of the grid whose merge tree is looked at.
CELLS = {1: 4000, 2: 280, 3: 56}
# The box grows until f at its faces is above all barriers by this part of the range of heights.
MARGIN = 0.25
MOST_GROWTH = 40
SAME = 1e-4
# Descents that end nearer to each other than this end in one minimum.
ONE_PLACE = 1e-2
# The same for descents from a few points near the origin, in any dimension.
FEW_STARTS, FARTHEST, NEAR = 24, 3.0, 1e-3


@dataclass(frozen=True, eq=False)
class Wells:
    """The minima, the lowest first, and how deep their wells are.

    Attributes
    ----------
    minima : shape (d, m)
    floors : f there, shape (m,)
    depths : how far f must rise from each until the well joins a deeper one, shape (m,); inf for the first. As far as
        a grid tells
    low, high : a box that holds them and the ways between them, shape (d,)
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


def find_wells(objective: Objective, *, seed: int = 0) -> Wells:
    """The wells of f in one to three dimensions.

    Raises
    ------
    RequestError
        above three dimensions, and where no descent ends or f does not rise around the minima.
    """
    if objective.dimension > 3:
        raise RequestError(f"wells are looked for in up to 3 dimensions, {objective.name} has {objective.dimension}")
    x = descended(objective, _scattered(objective.dimension, seed))
    low, high = _first_box(x)
    for _ in range(MOST_GROWTH):
        f, axes = _on_grid(objective, low, high)
        tree = merge_tree(f)
        joined = np.isfinite(tree.saddles)
        floor = float(f.min())
        top = float(np.max(tree.saddles[joined], initial=floor))
        wanted = top + MARGIN * max(top - floor, 0.1 * _rise(f, floor))
        grown = _grown(f, low, high, wanted)
        if grown is None:
            return _found(objective, f, axes, wanted)
        low, high = grown
    lowest = x[:, [int(np.argmin(objective(x)))]]
    if np.max(np.abs(x - lowest)) > ONE_PLACE * (1 + np.max(np.abs(lowest))):
        raise RequestError(f"{objective.name} does not rise around its minima; give a confining objective")
    # The floor of a long valley rises less than any part of what is beside it, and breaks into puddles on a grid.
    return Wells(lowest, np.asarray(objective(lowest), dtype=float), np.array([np.inf]), *_first_box(x))


def _scattered(dimension: int, seed: int) -> Array:
    points = np.random.default_rng(seed).normal(size=(dimension, STARTS))
    return points * np.geomspace(0.05, 20.0, STARTS)


def descended(objective: Objective, starts: Array, reach: Array | None = None) -> Array:
    """Where descents end, those that do, shape (d, n); with a reach (d,), not further from the start than that."""
    ends = []
    for x in starts.T:
        bounds = None if reach is None else list(zip(x - reach, x + reach, strict=True))
        with np.errstate(all="ignore"):
            end = minimize(
                objective, x, jac=objective.gradient, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}
            )
        if np.isfinite(end.fun) and np.abs(end.x).max() < 1e4:
            ends.append(end.x)
    if not ends:
        raise RequestError(f"no descent on {objective.name} ends in a minimum; give a confining objective")
    return np.array(ends).T


def scattered_minima(objective: Objective, seed: int) -> Array:
    """Where descents from scattered points end, each place once, in any dimension, shape (d, m).

    Raises
    ------
    RequestError
        if none ends.
    """
    scales = np.geomspace(0.05, FARTHEST, FEW_STARTS)
    starts = np.random.default_rng(seed).normal(size=(objective.dimension, FEW_STARTS)) * scales
    found: list[Array] = []
    for start in starts.T:
        with np.errstate(all="ignore"):
            end = minimize(objective, start, jac=objective.gradient, method="L-BFGS-B", options={"maxiter": 500})
        scale = 1 + float(np.abs(end.x).max())
        far = all(np.abs(end.x - other).max() > NEAR * scale for other in found)
        if np.isfinite(end.fun) and scale < 1e4 and far:
            found.append(end.x)
    if not found:
        raise RequestError(f"no descent on {objective.name} ends in a minimum; give a confining objective")
    return np.array(found).T


def _first_box(x: Array) -> tuple[Array, Array]:
    low, high = x.min(axis=1), x.max(axis=1)
    width = np.maximum(high - low, 0.3 * float(np.max(high - low, initial=0.0)))
    width = np.where(width > 1e-3, width, 1.0)
    middle = (low + high) / 2
    return middle - 0.7 * width, middle + 0.7 * width


def _on_grid(objective: Objective, low: Array, high: Array) -> tuple[Array, list[Array]]:
    cells = CELLS[objective.dimension]
    axes = [np.linspace(a, b, cells) for a, b in zip(low, high, strict=True)]
    mesh = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    with np.errstate(all="ignore"):
        f = np.asarray(objective(mesh), dtype=float)
    return np.where(np.isnan(f), np.inf, f).reshape((cells,) * len(axes)), axes


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


def _found(objective: Objective, f: Array, axes: list[Array], wanted: float) -> Wells:
    """The wells, seen again on a grid of the box that holds {f <= wanted} and no more."""
    places = [axis[where] for axis, where in zip(axes, np.nonzero(f <= wanted), strict=True)]
    low, high = (np.array([side(place) for place in places]) for side in (np.min, np.max))
    f, near = _on_grid(objective, low, high)
    tree = merge_tree(f)
    cells = np.unravel_index(tree.minima, f.shape)
    # The lowest node is within a cell of the minimum, and a descent that knows no bounds may leap into another well.
    starts = np.array([axis[index] for axis, index in zip(near, cells, strict=True)])
    x = descended(objective, starts, reach=2 * (high - low) / (np.array(f.shape) - 1))
    floors = np.asarray(objective(x), dtype=float)
    kept: list[int] = []
    for i in range(x.shape[1]):
        if all(np.linalg.norm((x[:, i] - x[:, k]) / (high - low)) > SAME for k in kept):
            kept.append(i)
    order = sorted(kept, key=lambda i: (np.isfinite(tree.saddles[i]), floors[i]))
    depths = np.where(np.isfinite(tree.saddles), tree.saddles - floors, np.inf)[order]
    box = np.array([axis[[0, -1]] for axis in axes])
    return Wells(x[:, order], floors[order], depths, box[:, 0], box[:, 1])
