"""Minimum-energy paths between the wells of f where no grid reaches, from f and its derivatives alone.

Minima are where descents end; strings between them at rest are the paths. A string that comes through a third well is
none, but that well, if nobody knew it, is one more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from witten.dynamics.equilibrium.string_method import curvatures_across, lengths, strings_between
from witten.dynamics.equilibrium.wells import Wells, descended, scattered_minima, units_of_wells
from witten.errors import RequestError
from witten.linalg.merge_tree import merge_tree_of_saddles
from witten.objectives import Objective
from witten.objectives.topography.scaled_coordinates import Units

__all__ = ["MOST_DIMENSIONS", "MinimumEnergyPath", "PathNetwork", "path_network"]

Array = NDArray[np.float64]
# What strings cost grows with the cube of the dimension and the number of neighbours.
MOST_DIMENSIONS, MOST_WELLS, MOST_PAIRS = 50, 32, 100
# Descents go on until a batch of them has found no new well, so many batches at most.
BATCHES = 10
# Between so few wells all paths are looked for, between more those of neighbours.
FEW = 5
# Newton steps from where a descent has ended.
NEWTON = 5
# A third minimum on the rim of the ball between two counts as inside: so squares have no diagonals.
TOUCHING = 1.001
# Minima nearer to each other than this are one; smaller curvatures than this part, squared, do not move them.
ONE_PLACE, FLATTEST = 1e-2, 1e-3
# A dip on a path is a well if it is deeper than this part of the height of the path.
DIP = 1e-3


@dataclass(frozen=True, eq=False)
class MinimumEnergyPath:
    """A path along grad f from one well over a saddle to another.

    Attributes
    ----------
    ends : numbers of the two wells
    points : shape (n, d)
    heights : f there, shape (n,)
    log_transverse_determinant : 1/2 log det of the curvatures across the path, shape (n,)
    """

    ends: tuple[int, int]
    points: Array
    heights: Array
    log_transverse_determinant: Array

    def out_of(self, units: Units) -> MinimumEnergyPath:
        """The path of f, where this one is of f in these units."""
        across = self.log_transverse_determinant - (self.points.shape[1] - 1) * np.log(units.length)
        return replace(self, points=units.out(self.points.T).T, log_transverse_determinant=across)

    @property
    def lengths(self) -> Array:
        """Length of the path up to each point, shape (n,)."""
        return lengths(self.points)

    @property
    def saddle_height(self) -> float:
        """The greatest height on the path, between its points too."""
        along = self.lengths
        between = CubicSpline(along, self.heights)(np.linspace(0.0, along[-1], 20 * along.size))
        return float(max(between.max(), self.heights[0], self.heights[-1]))


@dataclass(frozen=True, eq=False)
class PathNetwork:
    """Wells and the paths between those that are neighbours."""

    wells: Wells
    paths: tuple[MinimumEnergyPath, ...]

    def out_of(self, units: Units) -> PathNetwork:
        """The network of f, where this one is of f in these units."""
        low, high = units.out(np.stack([self.wells.low, self.wells.high], axis=1)).T
        wells = replace(self.wells, minima=units.out(self.wells.minima), low=low, high=high)
        return PathNetwork(wells, tuple(path.out_of(units) for path in self.paths))


@lru_cache(maxsize=8)
def path_network(objective: Objective) -> PathNetwork:
    """The wells that descents and strings find, with depths from the lowest saddles, and the paths; RequestError for
    more than 50 variables, without a formula, where no descent ends, or with too many wells."""
    _refuse(objective)
    units = units_of_wells(objective)
    return _network(units.objective(objective)).out_of(units)


def _network(objective: Objective) -> PathNetwork:
    """In coordinates in which the wells lie at distances of about one."""
    minima = _minima(objective)
    paths: list[MinimumEnergyPath] = []
    seen: set[tuple[int, int]] = set()
    waiting = list(_neighbours(np.array(minima)))
    while waiting:
        pair = waiting.pop(0)
        if pair in seen:
            continue
        seen.add(pair)
        if max(len(minima) - MOST_WELLS, len(set(waiting) | seen) - MOST_PAIRS) > 0:
            raise _too_many(objective, len(minima))
        known = len(minima)
        for string in strings_between(objective, minima[pair[0]], minima[pair[1]]):
            calls = _calls(objective, minima, pair, string)
            waiting += [(min(a, b), max(a, b)) for a, b in pairwise(calls) if len(calls) > 2]
            paths += [_minimum_energy_path(objective, pair, string)] if len(calls) == 2 else []
        if len(minima) > known:
            waiting += [each for each in _neighbours(np.array(minima)) if max(each) >= known]
    return _ordered(objective, np.array(minima).T, paths)


def _refuse(f: Objective) -> None:
    if f.formula is None:
        raise RequestError(f"{f.name} is no formula; minimum-energy paths between wells need its curvatures")
    if f.dimension > MOST_DIMENSIONS:
        raise RequestError(
            f"minimum-energy paths between wells are looked for in up to {MOST_DIMENSIONS} dimensions, {f.name} has "
            f"{f.dimension}; take another estimator"
        )


def _too_many(f: Objective, count: int) -> RequestError:
    return RequestError(
        f"{f.name} has {count} wells or more, too many for minimum-energy paths between all neighbours; take another "
        "estimator"
    )


def _minima(f: Objective) -> list[Array]:
    """Minima that descents from scattered points find, until they find no others."""
    found: list[Array] = []
    for batch in range(BATCHES):
        known = len(found)
        for x in scattered_minima(f, batch).T:
            _number(f, found, x)
        if len(found) == known:
            return found
        if len(found) > MOST_WELLS:
            break
    raise _too_many(f, len(found))


def _neighbours(minima: Array) -> Iterator[tuple[int, int]]:
    """Pairs of minima (m, d) with no third in the ball that has them as poles; all pairs, if they are few."""
    apart = np.sum((minima[:, None] - minima[None]) ** 2, axis=2)
    for i, j in combinations(range(len(minima)), 2):
        others = np.delete(apart[i] + apart[j], [i, j])
        if len(minima) <= FEW or not np.any(others < TOUCHING * apart[i, j]):
            yield i, j


def _converged(f: Objective, x: Array) -> Array:
    """The minimum where a descent has ended, to rounding, by Newton's method."""
    for _ in range(NEWTON):
        step = np.linalg.lstsq(f.piecewise_hessian(x), f.gradient(x), rcond=FLATTEST**2)[0]
        nearer = x - step
        if not (np.isfinite(nearer).all() and np.linalg.norm(step) < ONE_PLACE and f(nearer) <= f(x)):
            break
        x = nearer
    return x


# ------------------------------------------------------------------------------------------------ wells on the way


def _calls(f: Objective, minima: list[Array], pair: tuple[int, int], string: Array) -> list[int]:
    """The wells that a path passes, in order; those that nobody knew are added to the minima."""
    heights = np.asarray(f(string.T), dtype=float)
    dip = DIP * float(np.ptp(heights))
    found = [pair[0]]
    for k in range(1, len(heights) - 1):
        left, right = heights[:k], heights[k + 1 :]
        if heights[k] <= min(left[-1], right[0]) and min(left.max(), right.max()) > heights[k] + dip:
            reach = np.full(f.dimension, 2 * float(lengths(string)[-1]) / len(string))
            number = _number(f, minima, descended(f, string[k][:, None], reach)[:, 0])
            found += [number] if number not in (found[-1], pair[1]) else []
    return [*found, pair[1]]


def _number(f: Objective, minima: list[Array], x: Array) -> int:
    """The number of the minimum at x, which is added if it is new."""
    end = _converged(f, x)
    for k, known in enumerate(minima):
        if np.linalg.norm(known - end) <= ONE_PLACE * (1 + np.abs(end).max()):
            return k
    minima.append(end)
    return len(minima) - 1


def _minimum_energy_path(f: Objective, pair: tuple[int, int], string: Array) -> MinimumEnergyPath:
    log_transverse_determinant = 0.5 * np.log(curvatures_across(f, string)).sum(axis=1)
    return MinimumEnergyPath(pair, string, np.asarray(f(string.T), dtype=float), log_transverse_determinant)


def _ordered(f: Objective, x: Array, paths: Sequence[MinimumEnergyPath]) -> PathNetwork:
    """The wells with the lowest first, their depths, and the paths with numbers to suit."""
    floors = np.asarray(f(x), dtype=float)
    order = np.argsort(floors, kind="stable")
    place = np.argsort(order)
    new = tuple(replace(path, ends=(int(place[path.ends[0]]), int(place[path.ends[1]]))) for path in paths)
    depths = _depths(floors[order], new)
    return PathNetwork(Wells(x[:, order], floors[order], depths, x.min(axis=1), x.max(axis=1)), new)


def _depths(floors: Array, paths: Sequence[MinimumEnergyPath]) -> Array:
    """How far f must rise along paths from each well, the lowest first, until it joins a lower one; inf if it never
    does."""
    ends = np.array([path.ends for path in paths], dtype=np.int64).reshape(-1, 2)
    tree = merge_tree_of_saddles(floors, np.array([path.saddle_height for path in paths]), ends)
    return np.asarray(tree.persistence[np.argsort(tree.minima)])
