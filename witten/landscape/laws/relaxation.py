"""How fast a well relaxes along its axes at a finite temperature, where the curvature at its bottom is not all of f."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from witten.landscape.laws.first_order import PointExpansion

__all__ = ["slowest_relaxation"]

Array = NDArray[np.float64]
# Distances from the bottom, in units of the thermal width sqrt(T/h) there: fine beside it, far beyond it.
DISTANCES = 0.4 * np.sinh(np.linspace(0.0, 9.0, 181)[1:])
# Heights in units of T up to which a well is looked at, and part of the way to its saddle that is a barrier.
HIGHEST, BARRIER = 16.0, 0.9


def slowest_relaxation(well: PointExpansion, t: float) -> float:
    """min_i h_i g_i / min_i h_i over the axes u_i of a minimum, h_i its curvatures: g_i is the smallest positive
    eigenvalue of -(d^2/dy^2 - V' d/dy), V(y) = (f(x + y sqrt(T/h_i) u_i) - f(x))/T, on the well, which ends at
    the first barrier as high as its saddle. g_i = 1 where f is quadratic.

    Exact for a sum of functions of one variable each along the axes, an estimate else: what a curved valley does is not
    in it."""
    y = np.concatenate([-DISTANCES[::-1], [0.0], DISTANCES])
    middles = 0.5 * (y[1:] + y[:-1])
    found = []
    for h, axis in zip(well.local.curvatures, well.local.axes.T, strict=True):
        v, between = (_excess(well, t, axis, points) for points in (y, middles))
        found.append(float(h) * _gap(y, v, between, _ends(v, well.energy / t)))
    return min(found) / float(well.local.curvatures[0])


def _excess(well: PointExpansion, t: float, axis: Array, y: Array) -> Array:
    """V at distances y; inf where f is not finite."""
    with np.errstate(all="ignore"):
        v = (np.asarray(well.objective(well.x[:, None] + math.sqrt(t) * np.outer(axis, y))) - well.value) / t
    return np.nan_to_num(v, nan=np.inf, posinf=np.inf)


def _ends(v: Array, barrier: float) -> slice:
    """From the bottom on either side to HIGHEST, or to the top of the first barrier."""
    middle = v.size // 2
    ends = []
    for side in (v[middle::-1], v[middle:]):
        top = np.maximum.accumulate(side)
        over = (side < top) & (top >= BARRIER * barrier) | (side > HIGHEST)
        first = int(over.argmax()) if over.any() else side.size - 1
        ends.append(int(side[: first + 1].argmax()) if side[first] <= HIGHEST else first)
    return slice(middle - ends[0], middle + ends[1] + 1)


def _gap(y: Array, v: Array, between: Array, part: slice) -> float:
    """The second eigenvalue of the weighted graph on some of the nodes."""
    y, v, between = y[part], v[part], between[part.start : part.stop - 1]
    widths = np.gradient(y)
    with np.errstate(over="ignore", under="ignore"):
        rates = np.exp(np.minimum(v[:-1] - between, 300.0)), np.exp(np.minimum(v[1:] - between, 300.0))
    up, down = (rate / np.diff(y) / width for rate, width in zip(rates, (widths[:-1], widths[1:]), strict=True))
    diagonal = np.append(up, 0.0) + np.insert(down, 0, 0.0)
    return float(eigh_tridiagonal(diagonal, -np.sqrt(up * down), eigvals_only=True, select="i", select_range=(1, 1))[0])
