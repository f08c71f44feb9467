"""Which minima a saddle joins: steepest descent down both of its sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from witten.landscape.critical.critical_point import CriticalPoint, joined
from witten.landscape.critical.gradient_flow import descend, leaving
from witten.objectives.objective import Objective
from witten.objectives.topography.scaled_coordinates import units_around

__all__ = ["connections", "descent_paths", "neighbours_on_a_line"]

Array = NDArray[np.float64]
# A path that ends this close to a minimum, in units of how far apart the points lie, ends in it.
ARRIVED = 1e-5


def connections(
    objective: Objective, minima: tuple[CriticalPoint, ...], saddles: tuple[CriticalPoint, ...]
) -> tuple[NDArray[np.int64], Array]:
    """The numbers of the minima below each saddle, shape (n, 2), -1 where a path ends in none of them; and the ends
    of those paths that came to rest elsewhere, shape (d, m)."""
    if not saddles:
        return np.empty((0, 2), dtype=np.int64), np.empty((objective.dimension, 0))
    units = units_around(objective, joined([*minima, *saddles]))
    f = units.objective(objective)
    # Nothing lies further out than the critical points: a path that goes there goes for good.
    ends, arrived = descend(f, np.hstack(leaving(f, units.into(joined(saddles)))), reach=200.0)
    numbers = np.full(ends.shape[1], -1)
    if minima:
        distance, nearest = cKDTree(units.into(joined(minima)).T).query(np.nan_to_num(ends.T))
        near = distance <= ARRIVED * (1 + np.linalg.norm(ends, axis=0))
        # A path into a degenerate minimum crawls, and stops short of it.
        flat = np.array([minimum.degenerate for minimum in minima])[nearest]
        near |= flat & (distance <= 1e-2 * (1 + np.linalg.norm(ends, axis=0)))
        numbers = np.where(near, nearest, -1)
    strays = units.out(ends[:, arrived & (numbers < 0)])
    return np.sort(numbers.reshape(2, -1).T, axis=1)[:, ::1], strays


def neighbours_on_a_line(
    minima: tuple[CriticalPoint, ...], maxima: tuple[CriticalPoint, ...]
) -> NDArray[np.int64]:
    """The same numbers on a line of which all critical points are known: descent ends in the next one, shape (n, 2)."""
    order = np.argsort(joined([*minima, *maxima])[0])
    numbers = np.where(order < len(minima), order, -1)
    beside = np.column_stack([np.append(-1, numbers[:-1]), np.append(numbers[1:], -1)])
    return np.sort(beside[np.argsort(order)[len(minima) :]], axis=1)


def descent_paths(
    objective: Objective, saddles: tuple[CriticalPoint, ...], *, reach: float = 1e12
) -> list[tuple[Array, Array]]:
    """The two paths of steepest descent from each saddle, as points (d, n) from the saddle down, or to where they are
    `reach` times as far out as saddles are apart."""
    if not saddles:
        return []
    units = units_around(objective, joined(saddles))
    f, tops = units.objective(objective), units.into(joined(saddles))
    starts = np.hstack(leaving(f, tops))
    paths = [[top, start] for top, start in zip(np.hstack([tops, tops]).T, starts.T, strict=True)]

    def watch(moved: NDArray[np.int64], x: Array) -> None:
        for i, point in zip(moved, x.T, strict=True):
            paths[i].append(point.copy())

    descend(f, starts, reach=reach, watch=watch)
    lines = [units.out(np.stack(path, axis=1)) for path in paths]
    return list(zip(lines[: len(saddles)], lines[len(saddles) :], strict=True))
