"""The way between two wells: the minimum-energy path, the committor along it, and where that is one half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from witten.errors import ConvergenceError
from witten.explanation.explanation import Passage
from witten.explanation.relief import Pass, Relief
from witten.landscape.critical.saddle_connections import descent_paths
from witten.landscape.landscape import Saddle
from witten.objectives import Objective
from witten.spectra.committor import Committor

__all__ = ["followed", "with_committor"]

Array = NDArray[np.float64]
# Points of a path, evenly spread.
POINTS = 2001
# Descents must end this near to the wells, as a part of the length of the path.
ARRIVED = 1e-2


def followed(objective: Objective, relief: Relief, way: Sequence[Pass], start: int, end: int) -> Passage:
    """The path of steepest descent from the passes on the way, both sides of each, from one minimum to another; the
    numbers are those of the minima.

    On a line it is the interval between them.

    Raises
    ------
    ConvergenceError
        where the descents do not join: at kinks and flat places, or across the end of a circle.
    """
    saddle = max(way, key=lambda p: p.value)
    if objective.dimension == 1:
        ends = relief.minima[0, [start, end]]
        if objective.periodic_axes[0] and not (ends.min() < saddle.x[0] < ends.max()):
            raise ConvergenceError("the path crosses the end of the circle; give --periodic another interval")
        points, error = np.linspace(ends[0], ends[1], POINTS)[None], 4 * float(np.spacing(abs(ends).max()))
    else:
        fine = _descents(objective, relief, way, start, end)
        points = _evenly(fine)
        # What chords between the points of the descents cut off, seen with every other of them.
        error = 4 * float(_lengths(fine)[-1] - _lengths(np.hstack([fine[:, ::2], fine[:, -1:]]))[-1])
    lengths = _lengths(points)
    at = float(lengths[np.linalg.norm(points - saddle.x[:, None], axis=0).argmin()])
    if objective.dimension == 1:
        at = float(abs(saddle.x[0] - points[0, 0]))
    heights = np.asarray(objective(points), dtype=float)
    return Passage(start, end, saddle, points, heights, lengths, max(error, 0.0), at)


def _descents(objective: Objective, relief: Relief, way: Sequence[Pass], start: int, end: int) -> Array:
    """The descents, one after the other, shape (d, n)."""
    if any(not np.isfinite(p.curvatures).all() or p.curvatures[0] >= 0 for p in way):
        raise ConvergenceError("a pass on the way is a kink or flat: no path of steepest descent leaves it")
    if objective.periods:
        raise ConvergenceError("paths of steepest descent are not followed around circles")
    tops = tuple(Saddle(p.x, p.value, p.curvatures) for p in way)
    here, pieces = start, []
    for p, sides in zip(way, descent_paths(objective, tops), strict=True):
        there = p.ends[1] if p.ends[0] == here else p.ends[0]
        gaps = [[np.linalg.norm(side[:, -1] - relief.minima[:, k]) for k in (here, there)] for side in sides]
        swapped = gaps[0][0] + gaps[1][1] > gaps[0][1] + gaps[1][0]
        first, last = sides[::-1] if swapped else sides
        ends = relief.minima[:, [here]], relief.minima[:, [there]]
        pieces += [ends[0], first[:, ::-1], last[:, 1:], ends[1]]
        length = float(_lengths(np.hstack(pieces[-4:]))[-1])
        if max(np.linalg.norm(first[:, -1:] - ends[0]), np.linalg.norm(last[:, -1:] - ends[1])) > ARRIVED * length:
            raise ConvergenceError("steepest descent from a pass on the way does not end in its wells")
        here = there
    if here != end:
        raise ConvergenceError("the passes that are known do not lead from one well to the other")
    return np.hstack(pieces)


def _lengths(points: Array) -> Array:
    """Length up to each point (d, n), shape (n,)."""
    return np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=1), axis=0)))


def _evenly(points: Array) -> Array:
    """Points at equal distances on the same line."""
    along = _lengths(points)
    even = np.linspace(0.0, along[-1], POINTS)
    return np.array([np.interp(even, along, coordinate) for coordinate in points])


def with_committor(passage: Passage, found: Committor) -> dict[str, Any]:
    """q along a path, and where it is one half: the fields of a `Passage` that it adds; ConvergenceError where the path
    leaves the grid between the wells."""
    assert passage.points is not None and passage.lengths is not None
    q, errors = _along(found, found.q, passage.points), _along(found, found.errors, passage.points)
    every_other = _along(found, found.q, passage.points, 2)
    crossed = np.flatnonzero((q[:-1] < 0.5) & (q[1:] >= 0.5))
    if not (np.isfinite(q).all() and crossed.size):
        raise ConvergenceError("the path leaves the grid of the committor; ask for a smaller --rtol, or give a box")
    off = errors + np.nan_to_num(abs(q - every_other))
    k = int(crossed[0])
    slope = (q[k + 1] - q[k]) / (passage.lengths[k + 1] - passage.lengths[k])
    top = float(np.interp(passage.saddle_at, passage.lengths, q))
    return {
        "q": q,
        "half": float(passage.lengths[k] + (0.5 - q[k]) / slope),
        "half_error": float(off[k : k + 2].max() / slope),
        "q_at_saddle": top,
        "q_at_saddle_error": float(np.interp(passage.saddle_at, passage.lengths, off)),
    }


def _along(found: Committor, field: Array, points: Array, stride: int = 1) -> Array:
    """A function of the nodes at points (d, n), linear between every so many nodes; nan off the grid."""
    values = found.grid.expand(field)[tuple(slice(None, None, stride) for _ in range(len(points)))]
    axes = tuple(axis[::stride] for axis in found.grid.axes)
    look = RegularGridInterpolator(axes, values, bounds_error=False, fill_value=np.nan)
    return np.asarray(look(points.T))
