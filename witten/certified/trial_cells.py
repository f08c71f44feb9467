"""Where the line is cut into cells: ends beyond which nothing counts, wells, and cells over which f changes by about s."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import reach

__all__ = ["Wells", "cell_nodes", "outward_ends", "wells"]

Array = NDArray[np.float64]
# 2 (f(end) - f(outermost minimum))/s: what lies beyond is e^-48 of that well.
DROP = 48.0
SCAN = 4001


@dataclass(frozen=True)
class Wells:
    """Minima, and the highest points between neighbours; `deepest` is a number of a minimum."""

    minima: Array
    cuts: Array
    depths: Array

    def keeping(self, n: int) -> Array:
        """The n cuts that part the deepest wells, ascending: those of the greatest persistence."""
        return np.sort(self.cuts[np.argsort(-self.depths, kind="stable")[:n]])


def wells(objective: Objective, box: tuple[float, float] | None) -> Wells:
    """The minima of f, at an end of the box too, and the cuts between them with their persistence."""
    x = np.unique(reach(objective).points[0])
    if box is not None:
        x = np.unique([box[0], *x[(x > box[0]) & (x < box[1])], box[1]])
    f = objective(x[None])
    padded = np.concatenate([[np.inf], f, [np.inf]])
    low = (padded[1:-1] < padded[:-2]) & (padded[1:-1] <= padded[2:])
    minima = np.flatnonzero(low)
    tops = [a + int(np.argmax(f[a : b + 1])) for a, b in zip(minima[:-1], minima[1:], strict=True)]
    return Wells(x[minima], x[tops], _persistence(f[minima], f[tops]))


def _persistence(minima: Array, tops: Array) -> Array:
    """How far each top is above the higher of the two lowest minima that it joins, going from low tops to high ones."""
    lowest = list(minima)
    depths = np.empty(tops.size)
    left, right = list(range(tops.size)), list(range(1, tops.size + 1))
    group = list(range(minima.size))
    for k in np.argsort(tops, kind="stable"):
        a, b = group[left[k]], group[right[k]]
        depths[k] = tops[k] - max(lowest[a], lowest[b])
        lowest[a] = min(lowest[a], lowest[b])
        group = [a if g == b else g for g in group]
    return depths


def outward_ends(objective: Objective, s: float, found: Wells) -> list[tuple[float, ...]]:
    """Places beyond the outermost minima, left and right, from the first on at which f has risen enough, outwards."""
    return [
        tuple(_rising(objective, s, float(found.minima[0]), -1)),
        tuple(_rising(objective, s, float(found.minima[-1]), 1)),
    ]


def _rising(objective: Objective, s: float, start: float, side: int) -> list[float]:
    distances = np.geomspace(1e-12, 1e12, 2401)
    with np.errstate(all="ignore"):
        rise = objective((start + side * distances)[None]) - objective(np.array([start]))
    enough = np.flatnonzero(2 / s * rise >= DROP)
    if not enough.size:
        raise ConvergenceError(f"{objective.name} does not rise enough {'beyond' if side > 0 else 'before'} {start:g}")
    return [float(start + side * d) for d in distances[enough[0] : enough[0] + 400 : 4]]


def cell_nodes(objective: Objective, s: float, ends: tuple[float, float], fixed: Array, change: float) -> Array:
    """Nodes, the fixed points among them: over a cell 2 f/s changes by about `change`, and little beyond second order."""
    x = _scan(objective, ends)
    middle = ((x[1:] + x[:-1]) / 2)[None]
    with np.errstate(all="ignore"):
        slope, bend = objective.gradient(middle)[0], objective.hessian(middle)[0, 0]
    density = np.sqrt((2 * slope / s) ** 2 + abs(2 * bend / s)) / change + 24 / (ends[1] - ends[0])
    count = np.concatenate([[0.0], np.cumsum(density * np.diff(x))])
    inner = np.sort([p for p in fixed if ends[0] < p < ends[1]])
    stops = np.interp([ends[0], *inner, ends[1]], x, count)
    pieces = [np.linspace(a, b, max(2, int(np.ceil(b - a)) + 1))[:-1] for a, b in zip(stops[:-1], stops[1:], strict=True)]
    nodes = np.interp(np.concatenate([*pieces, stops[-1:]]), count, x)
    exact = np.concatenate([[ends[0]], inner, [ends[1]]])
    nodes[np.searchsorted(np.concatenate([*pieces, stops[-1:]]), stops)] = exact
    return np.unique(nodes)


def _scan(objective: Objective, ends: tuple[float, float]) -> Array:
    """Points that see f near its critical points, however far these lie from one another."""
    critical = reach(objective).points[0]
    away = np.geomspace(1e-9, 1.0, 200) * (ends[1] - ends[0])
    x = np.concatenate([np.linspace(*ends, SCAN), *(c + np.concatenate([-away, away]) for c in critical)])
    return np.unique(x[(x >= ends[0]) & (x <= ends[1])])
