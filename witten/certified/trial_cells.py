"""Where the line is cut into cells: ends beyond which little lies, wells, and cells over which f changes by about s."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import reach, rise

__all__ = ["Places", "Wells", "cell_nodes", "outward_ends", "wells"]

Array = NDArray[np.float64]
# 2 (f(end) - f(outermost minimum))/s: what lies beyond is e^-48 of that well.
DROP = 48.0
SCAN = 4001
MOST_CELLS = 5_000
# How much more 2 f/s may change over a cell than the square root of its second order.
STEEPER = 3.0


@dataclass(frozen=True)
class Wells:
    """Minima, and the highest points between neighbours; `deepest` is a number of a minimum."""

    minima: Array
    cuts: Array
    depths: Array

    def keeping(self, n: int) -> Array:
        """The n cuts that part the deepest wells, ascending: those of the greatest persistence."""
        return np.sort(self.cuts[np.argsort(-self.depths, kind="stable")[:n]])


def wells(objective: Objective) -> Wells:
    """The minima of f on the line, and the cuts between them."""
    return _wells(objective, np.unique(reach(objective).points[0]))


def wells_on(objective: Objective, box: tuple[float, float]) -> Wells:
    """Those of an interval, to about a thousandth of it; the ends may be minima."""
    return _wells(objective, np.linspace(*box, SCAN))


def _wells(objective: Objective, x: Array) -> Wells:
    f = np.asarray(objective(x[None]))
    if not np.isfinite(f).all() or not f.size:
        raise ConvergenceError(f"{objective.name} is not finite, or has no minimum, where it is looked at")
    padded = np.concatenate([[np.inf], f, [np.inf]])
    minima = np.flatnonzero((padded[1:-1] < padded[:-2]) & (padded[1:-1] <= padded[2:]))
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


@dataclass(frozen=True)
class Places:
    """Where the line may end on one side, outwards, and a rate that should be low beside what can live beyond."""

    ends: tuple[float, ...]
    rate: float


def outward_ends(objective: Objective, s: float, found: Wells) -> tuple[Places, Places]:
    """Beyond the outermost minima, left and right, where f has risen enough."""
    width = min(float(rise(objective, np.array([x]), s).min()) for x in found.minima)
    rate = 8 * s / width**2  # two times the second rate of a quadratic
    left, right = (_places(objective, s, float(x), side) for x, side in ((found.minima[0], -1), (found.minima[-1], 1)))
    return Places(left, rate), Places(right, rate)


def _places(objective: Objective, s: float, start: float, side: int) -> tuple[float, ...]:
    distances = np.geomspace(1e-12, 1e12, 2401)
    with np.errstate(all="ignore"):
        height = objective((start + side * distances)[None]) - objective(np.array([start]))
        enough = np.flatnonzero(2 / s * height >= DROP)
    if not enough.size:
        raise ConvergenceError(f"{objective.name} does not rise enough {'beyond' if side > 0 else 'before'} {start:g}")
    return tuple(float(start + side * d) for d in distances[enough[0] : enough[0] + 400 : 4])


def cell_nodes(objective: Objective, s: float, ends: tuple[float, float], found: Wells, change: float) -> Array:
    """Nodes, minima and cuts among them: over a cell 2 f/s changes by a few times `change`, bends by its square;
    ConvergenceError where there would be too many."""
    fixed = np.unique(np.append(found.minima, found.cuts))
    x = _scan(ends, fixed)
    middle = ((x[1:] + x[:-1]) / 2)[None]
    with np.errstate(all="ignore"):
        slope, bend = objective.gradient(middle)[0], objective.hessian(middle)[0, 0]
    at_least = 16 / (ends[1] - ends[0])
    density = (np.sqrt(abs(2 * bend / s)) + abs(2 * slope / s) / STEEPER + at_least) / change
    count = np.concatenate([[0.0], np.cumsum(density * np.diff(x))])
    if not count[-1] <= MOST_CELLS:
        raise ConvergenceError(f"it takes more than {MOST_CELLS} cells; raise the learning rate, or choose another box")
    inner = fixed[(fixed > ends[0]) & (fixed < ends[1])]
    stops = np.interp([ends[0], *inner, ends[1]], x, count)
    counts = np.maximum(np.ceil(np.diff(stops)).astype(int), 1)
    pieces = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(stops[:-1], stops[1:], counts, strict=True)]
    nodes = np.interp(np.concatenate([*pieces, stops[-1:]]), count, x)
    exact = np.concatenate([[ends[0]], inner, [ends[1]]])
    nodes[np.searchsorted(np.concatenate([*pieces, stops[-1:]]), stops)] = exact
    return np.unique(nodes)


def _scan(ends: tuple[float, float], points: Array) -> Array:
    """Points that see f near its wells and cuts, however far these lie from one another."""
    away = np.geomspace(1e-9, 1.0, 200) * (ends[1] - ends[0])
    x = np.concatenate([np.linspace(*ends, SCAN), *(c + np.concatenate([-away, away]) for c in points)])
    return np.unique(x[(x >= ends[0]) & (x <= ends[1])])
