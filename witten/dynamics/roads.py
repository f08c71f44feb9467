"""Roads between the wells of f where no grid reaches: paths of least height, from f and its derivatives alone.

A string of points hangs between two minima. Newton steps across the string, away from crests and towards valleys, and
equal distances along it bring it to a path with grad f along it everywhere: over a saddle, if nothing else is between
(the string method of E, Ren and Vanden-Eijnden, J. Chem. Phys. 126, 2007, here with curvatures). A road that comes
through a third well is cut there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from witten.dynamics.wells import Wells, descended, scattered_minima
from witten.errors import RequestError
from witten.objectives import Objective

__all__ = ["MOST_DIMENSIONS", "Road", "RoadMap", "relaxed", "road_map"]

Array = NDArray[np.float64]
# What strings cost grows with the cube of the dimension and the number of neighbours.
MOST_DIMENSIONS, MOST_WELLS, MOST_PAIRS = 50, 32, 100
# Descents go on until a batch of them has found no new well, so many batches at most.
BATCHES = 10
# Between so few wells all roads are looked for, between more those of neighbours.
FEW = 5
# Newton steps from where a descent has ended.
NEWTON = 5
# A third minimum on the rim of the ball between two counts as inside: so squares have no diagonals.
TOUCHING = 1.001
# Points of a string; how far it is bent to begin with, over its length: several, for there may be several ways around.
POINTS, BENT = 41, (0.01, 0.4, -0.4)
# Newton steps at most, how far a point may move in one, and how little is rest, in distances between points.
STEPS, REACH, STILL = 200, 0.5, 2e-3
# The part of Newton's step that is taken at first, and after how many steps it is half of that: curved strings swing.
BOLD, TAMED = 0.5, 30
# Curvatures across are taken to be this part of the largest at least.
FLATTEST = 1e-3
# Roads nearer to each other than this part of their length are one; so are minima, beside the distances of others.
SAME, ONE_PLACE = 0.05, 1e-2
# A dip on a road is a well if it is deeper than this part of the height of the road.
DIP = 1e-3


@dataclass(frozen=True, eq=False)
class Road:
    """A path of least height from one well to another.

    Attributes
    ----------
    ends : numbers of the two wells
    points : shape (n, d)
    heights : f there, shape (n,)
    tightness : half the logarithm of the product of the curvatures across the road, shape (n,)
    """

    ends: tuple[int, int]
    points: Array
    heights: Array
    tightness: Array

    @property
    def lengths(self) -> Array:
        """Length of the road up to each point, shape (n,)."""
        return _lengths(self.points)

    @property
    def crest(self) -> float:
        """The greatest height on the road, between its points too."""
        along = self.lengths
        between = CubicSpline(along, self.heights)(np.linspace(0.0, along[-1], 20 * along.size))
        return float(max(between.max(), self.heights[0], self.heights[-1]))


@dataclass(frozen=True, eq=False)
class RoadMap:
    """Wells and the roads between those that are neighbours."""

    wells: Wells
    roads: tuple[Road, ...]


@lru_cache(maxsize=8)
def road_map(objective: Objective) -> RoadMap:
    """The wells that descents and roads find, with depths from the lowest crests, and the roads.

    Raises
    ------
    RequestError
        for more than 50 variables, without a formula, where no descent ends, or with too many wells.
    """
    _refuse(objective)
    minima = _minima(objective)
    roads: list[Road] = []
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
        for string in _strings_between(objective, minima, pair):
            calls = _calls(objective, minima, pair, string)
            waiting += [(min(a, b), max(a, b)) for a, b in pairwise(calls) if len(calls) > 2]
            roads += [_road(objective, pair, string)] if len(calls) == 2 else []
        if len(minima) > known:
            waiting += [each for each in _neighbours(np.array(minima)) if max(each) >= known]
    return _ordered(objective, np.array(minima).T, roads)


def _refuse(f: Objective) -> None:
    if f.formula is None:
        raise RequestError(f"{f.name} is no formula; roads between wells need its curvatures")
    if f.dimension > MOST_DIMENSIONS:
        raise RequestError(
            f"roads between wells are looked for in up to {MOST_DIMENSIONS} dimensions, {f.name} has {f.dimension}; "
            "take another estimator"
        )


def _too_many(f: Objective, count: int) -> RequestError:
    return RequestError(
        f"{f.name} has {count} wells or more, too many for roads between all neighbours; take another estimator"
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


def _settled(f: Objective, x: Array) -> Array:
    """The minimum where a descent has ended, to rounding, by Newton's method."""
    for _ in range(NEWTON):
        step = np.linalg.lstsq(f._evaluate("hessian", x), f.gradient(x), rcond=FLATTEST**2)[0]
        nearer = x - step
        if not (np.isfinite(nearer).all() and np.linalg.norm(step) < ONE_PLACE and f(nearer) <= f(x)):
            break
        x = nearer
    return x


# ------------------------------------------------------------------------------------------------ strings


def _strings_between(f: Objective, minima: Sequence[Array], pair: tuple[int, int]) -> list[Array]:
    """Strings (n, d) from one minimum to another at rest, each once, the lowest first."""
    a, b = minima[pair[0]], minima[pair[1]]
    found: list[Array] = []
    strings = relaxed(f, np.array([_bent(a, b, share, seed) for seed, share in enumerate(BENT)]))
    for string in sorted(strings, key=lambda each: float(np.max(f(each.T)))):
        length = float(_lengths(string)[-1])
        if all(np.abs(string - other).max() > SAME * length for other in found):
            found.append(string)
    return found


def _bent(a: Array, b: Array, share: float, seed: int) -> Array:
    """A bow from a to b, off the straight line by a share of its length, shape (n, d)."""
    t = np.linspace(0.0, 1.0, POINTS)[:, None]
    aside = np.random.default_rng(seed // 2).normal(size=a.size)
    aside -= (b - a) * (aside @ (b - a)) / ((b - a) @ (b - a))
    aside *= share * np.linalg.norm(b - a) / max(float(np.linalg.norm(aside)), 1e-300)
    return np.asarray(a + t * (b - a) + np.sin(np.pi * t) * aside)


def relaxed(f: Objective, strings: Array) -> Array:
    """Strings (k, n, d) that hang between their ends, once they are at rest or after so many steps as are allowed."""
    x = strings.copy()
    moving = np.ones(len(x), dtype=bool)
    for k in range(STEPS):
        now = x[moving]
        spacing = np.array([_lengths(string)[-1] / (POINTS - 1) for string in now])[:, None, None]
        step = _downhill(f, now) * BOLD / (1 + k / TAMED)
        step[:, [0, -1]] = 0.0
        size = np.linalg.norm(step, axis=2, keepdims=True) / spacing
        new = np.array([_evenly(string) for string in now + step * np.minimum(1.0, REACH / np.maximum(size, 1e-300))])
        x[moving] = new
        moving[moving] = np.max(np.linalg.norm(new - now, axis=2) / spacing[..., 0], axis=1) > STILL
        if not moving.any():
            break
    return x


def _downhill(f: Objective, strings: Array) -> Array:
    """Steps of the points of strings (k, n, d): Newton's -|H|^{-1} grad f across, away from crests; a short one along.

    The step along changes nothing at rest, where points are spread evenly again, but takes folds out.
    """
    tangents = _tangents(strings, _at(f, "value", strings))
    slope = _at(f, "gradient", strings)
    along = tangents * np.sum(tangents * slope, axis=2, keepdims=True)
    curvatures, axes = np.linalg.eigh(_bordered(f, strings, tangents))
    sizes = np.abs(curvatures)
    largest = sizes.max(axis=2, keepdims=True) + 1e-300
    inside = np.einsum("knia,kni->kna", axes, slope - along) / np.maximum(sizes, FLATTEST * largest)
    step = np.einsum("knia,kna->kni", axes, inside)
    return np.asarray(tangents * np.sum(tangents * step, axis=2, keepdims=True) - step - along / largest)


def _bordered(f: Objective, strings: Array, tangents: Array) -> Array:
    """Hess f with what is along the string taken out, shape (k, n, d, d)."""
    h = _at(f, "hessian", strings)
    along = np.einsum("knij,knj->kni", h, tangents)
    twice = np.sum(along * tangents, axis=2)[..., None, None]
    outer = along[..., :, None] * tangents[..., None, :]
    return np.asarray(h - outer - np.swapaxes(outer, 2, 3) + twice * tangents[..., :, None] * tangents[..., None, :])


def _at(f: Objective, what: str, strings: Array) -> Array:
    """f or its derivatives at points (k, n, d): (k, n), (k, n, d) or (k, n, d, d); zero where there are none."""
    values = np.moveaxis(f._evaluate(what, np.moveaxis(strings, 2, 0)), (-2, -1), (0, 1))
    return np.where(np.isfinite(values), values, 0.0)


def _tangents(strings: Array, heights: Array) -> Array:
    """Unit vectors towards the higher neighbour; near crests and dips a mean (Henkelman and Jonsson, J. Chem. Phys.
    113, 2000): with differences of both neighbours strings kink."""
    steps, rises = np.diff(strings, axis=1), np.diff(heights, axis=1)
    ahead, behind = (np.concatenate(part, axis=1) for part in ((steps, steps[:, -1:]), (steps[:, :1], steps)))
    up, down = (np.concatenate(part, axis=1) for part in ((rises, rises[:, -1:]), (-rises[:, :1], -rises)))
    large, small = np.maximum(np.abs(up), np.abs(down)), np.minimum(np.abs(up), np.abs(down))
    extreme, forward = (up > 0) == (down > 0), up > down
    weight = np.where(extreme, np.where(forward, large, small), 1.0 * forward)
    t = weight[..., None] * ahead + np.where(extreme, large + small - weight, 1.0 - weight)[..., None] * behind
    return np.asarray(t / np.maximum(np.linalg.norm(t, axis=2, keepdims=True), 1e-300))


def _lengths(points: Array) -> Array:
    """Length up to each point (n, d), shape (n,)."""
    return np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))


def _evenly(points: Array) -> Array:
    """Points at equal distances along the string."""
    along = _lengths(points)
    even = np.linspace(0.0, along[-1], len(points))
    return np.array([np.interp(even, along, coordinate) for coordinate in points.T]).T


# ------------------------------------------------------------------------------------------------ wells on the way


def _calls(f: Objective, minima: list[Array], pair: tuple[int, int], string: Array) -> list[int]:
    """The wells that a road passes, in order; those that nobody knew are added to the minima."""
    heights = np.asarray(f(string.T), dtype=float)
    dip = DIP * float(np.ptp(heights))
    found = [pair[0]]
    for k in range(1, len(heights) - 1):
        left, right = heights[:k], heights[k + 1 :]
        if heights[k] <= min(left[-1], right[0]) and min(left.max(), right.max()) > heights[k] + dip:
            number = _number(f, minima, descended(f, string[k][:, None])[:, 0])
            found += [number] if number not in (found[-1], pair[1]) else []
    return [*found, pair[1]]


def _number(f: Objective, minima: list[Array], x: Array) -> int:
    """The number of the minimum at x, which is added if it is new."""
    end = _settled(f, x)
    for k, known in enumerate(minima):
        if np.linalg.norm(known - end) <= ONE_PLACE * (1 + np.abs(end).max()):
            return k
    minima.append(end)
    return len(minima) - 1


def _road(f: Objective, pair: tuple[int, int], string: Array) -> Road:
    heights = np.asarray(f(string.T), dtype=float)
    curvatures = np.linalg.eigvalsh(_bordered(f, string[None], _tangents(string[None], heights[None])))[0]
    sizes = np.abs(curvatures)
    # The direction along the road has been taken out: its zero is no curvature across.
    zero = np.argmin(sizes, axis=1)
    sizes = np.maximum(sizes, FLATTEST * sizes.max(axis=1, keepdims=True) + 1e-300)
    sizes[np.arange(len(sizes)), zero] = 1.0
    return Road(pair, string, heights, 0.5 * np.log(sizes).sum(axis=1))


def _ordered(f: Objective, x: Array, roads: Sequence[Road]) -> RoadMap:
    """The wells with the lowest first, their depths, and the roads with numbers to suit."""
    floors = np.asarray(f(x), dtype=float)
    order = np.argsort(floors, kind="stable")
    place = np.argsort(order)
    new = tuple(replace(road, ends=(int(place[road.ends[0]]), int(place[road.ends[1]]))) for road in roads)
    depths = _depths(floors[order], new)
    return RoadMap(Wells(x[:, order], floors[order], depths, x.min(axis=1), x.max(axis=1)), new)


def _depths(floors: Array, roads: Sequence[Road]) -> Array:
    """How far f must rise along roads from each well, the lowest first, until it joins a lower one; inf if it never
    does."""
    depths, home = np.full(floors.size, np.inf), np.arange(floors.size)
    for road in sorted(roads, key=lambda each: each.crest):
        low, high = sorted(int(home[end]) for end in road.ends)
        if low != high:
            depths[high] = road.crest - floors[high]
            home[home == high] = low
    return depths
