"""Critical points of a function without a formula in one to three dimensions: Newton's method from a dense grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from witten.landscape.critical.critical_point import distinct, hessians, polished
from witten.objectives.objective import Objective

__all__ = ["grid_search"]

Array = NDArray[np.float64]
# Nodes along each axis in 1, 2 and 3 dimensions, at the first go and at the last.
NODES = {1: (2000, 16_000), 2: (120, 360), 3: (32, 72)}


def grid_search(objective: Objective, corners: Array) -> tuple[Array, int, tuple[str, ...]]:
    """The critical points (d, n) in a box with corners (2, d), nodes along an axis, notes on what a check left open.

    Starts are the nodes where f, or |grad f| by differences, is smaller than at the neighbours. Where f rises out of
    the box all round, the sum of (-1)^index over all critical points is 1 (Poincaré and Hopf): if it is not, the
    grid is refined."""
    nodes, finest = NODES[objective.dimension]
    while True:
        x, outward = _searched(objective, corners, nodes)
        total = int(np.sum(np.sign(np.linalg.det(hessians(objective, x))))) if x.size else 0
        if not outward or total == 1 or nodes >= finest:
            break
        nodes = min(2 * nodes, finest)
    if not outward or total == 1:
        return x, nodes, ()
    return x, nodes, (f"the sum of (-1)^index is {total}, not 1: a critical point was missed, or one is degenerate",)


def _searched(objective: Objective, corners: Array, nodes: int) -> tuple[Array, bool]:
    """The critical points that Newton's method finds from a grid, and whether f rises outwards on all its rim."""
    axes = [np.linspace(a, b, nodes) for a, b in corners.T]
    mesh = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    with np.errstate(all="ignore"):
        f = np.asarray(objective(mesh), dtype=float).reshape((nodes,) * len(axes))
        slopes: list[Array] = [np.asarray(np.gradient(f, x, axis=i)) for i, x in enumerate(axes)]
        steepness = np.sqrt(sum(slope**2 for slope in slopes))
    low = np.zeros(f.shape, dtype=bool)
    for values in (f, steepness):
        values = np.where(np.isfinite(values), values, np.inf)
        low |= np.isfinite(values) & (values <= minimum_filter(values, size=3, mode="nearest"))
    starts = mesh[:, low.ravel()]
    spacing = max(axis[1] - axis[0] for axis in axes)
    x, converged = polished(objective, starts, steps=40, reach=2 * spacing)
    keep = converged & np.all((x >= corners[0][:, None]) & (x <= corners[1][:, None]), axis=0)
    keep &= _vanishes(objective, x)
    return x[:, keep][:, distinct(x[:, keep], 1e-5)], _rises_outwards(slopes)


def _vanishes(objective: Objective, x: Array) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        slope = np.linalg.norm(objective.gradient(x), axis=0)
        return slope <= 1e-6 * np.linalg.norm(hessians(objective, x), axis=(1, 2)) * (1 + np.linalg.norm(x, axis=0))


def _rises_outwards(slopes: list[Array]) -> bool:
    ends = [(slope.take(-1, axis), slope.take(0, axis)) for axis, slope in enumerate(slopes)]
    return all(bool((last > 0).all() and (first < 0).all()) for last, first in ends)
