"""Places where a slow mode may live and equilibrium paths hardly ever come.

A mode of the rate lambda lives where V_s <= 2 lambda, V_s = |grad f|^2/s - Lap f, and decays elsewhere, be there
measure or not: plateaus, shelves and shallow wells far above the minimum. Paths that start there show it by how they
leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from witten.dynamics.equilibrium.gibbs_grid import Thermal, centres_of, on_cells
from witten.dynamics.paths.ensemble import CoreMap
from witten.objectives import Objective
from witten.objectives.topography.critical_set import reach

__all__ = ["HOME", "HiddenPlaces", "Place", "below", "hidden_places", "narrow_wells"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A place with less than this share of the measure shows in too few of the looks that an observable is found from; of a
# place with more, what lies above all but so little of the measure.
SHARE, SELDOM = 0.02, 1e-3
# What paths must reach holds all of the measure but this part, or lies so many s below their place: a mode of the place
# has fallen by e^-DOWN there, and e^(-2 DOWN) of the paths come back.
OUTSIDE, DOWN = 0.01, 4.0
# Shells around the box of the measure, each three times as wide as the one before, and after how many of them without a
# slow cell, or at most, there is an end.
EMPTY, SHELLS = 2, 12
MOST = 24
# A minimum that lies so many s below all cells around it is a well that the grid does not see; so many are looked at.
NARROW, MOST_NARROW = 0.75, 2000
# The label of the cells that paths must reach; paths that have not been there yet have the next one.
HOME = 0


@dataclass(frozen=True, eq=False)
class Place:
    """Cells with these centres (d, n) and sides (d,), of a connected place.

    Attributes
    ----------
    floor, level : the smallest and the largest f there
    share : of the stationary measure
    """

    centres: Array
    sides: Array
    floor: float
    level: float
    share: float

    @property
    def centre(self) -> Array:
        """The mean of the cells' centres, shape (d,)."""
        return np.asarray(self.centres.mean(axis=1))

    def sample(self, count: int, seed: int) -> Array:
        """Points spread evenly over the cells, shape (d, count)."""
        random = np.random.default_rng(seed)
        n = self.centres.shape[1]
        chosen = np.minimum(((np.arange(count) + random.random(count)) / count * n).astype(int), n - 1)
        points = self.centres[:, chosen] + (random.random((self.sides.size, count)) - 0.5) * self.sides[:, None]
        return np.asarray(points[:, random.permutation(count)])


@dataclass(frozen=True, eq=False)
class HiddenPlaces:
    """Those places, the lowest first.

    Attributes
    ----------
    places : the places
    end : whether V_s > 2 lambda far out
    """

    places: tuple[Place, ...]
    end: bool


def below(ground: Thermal, place: Place) -> CoreMap:
    """What paths from a place must reach: what is so far below it that hardly any comes back, or all of the measure but
    a hundredth, whichever reaches higher; on a grid that holds both."""
    height = max(ground.height(OUTSIDE), place.floor - DOWN * ground.s)
    high = ground.low + ground.spacing * np.array(ground.values.shape)
    first = np.minimum(ground.low, (place.centres - place.sides[:, None]).min(axis=1))
    last = np.maximum(high, (place.centres + place.sides[:, None]).max(axis=1))
    if (first == ground.low).all() and (last == high).all():
        values, sides = ground.values, ground.spacing
    else:
        values, sides = on_cells(ground.objective, first, last)
    cores = CoreMap.on_grid(first, sides, (values <= height).astype(np.int16))
    return CoreMap(HOME + 2, cores.low, cores.scale, cores.shape, cores.labels, cores.centres)


def hidden_places(ground: Thermal, rate: float) -> HiddenPlaces:
    """Where a mode that is not faster than a rate may live unseen, in one to three dimensions."""
    places: list[Place] = []
    low, high = ground.low, ground.low + ground.spacing * np.array(ground.values.shape)
    log_total = _log_measure(ground, ground.values, ground.spacing)
    empty = 0
    for shell in range(SHELLS + 1):
        if shell == 0:
            values, sides, new = ground.values, ground.spacing, np.ones(ground.values.shape, dtype=bool)
        else:
            inner = low, high
            low, high = 2 * low - high, 2 * high - low
            values, sides, new = _shell(ground.objective, low, high, inner)
        slow = new & (_schroedinger_potential(ground.objective, ground.s, low, sides, values) <= 2 * rate)
        empty = 0 if slow.any() else empty + 1
        places += _places(ground, slow, values, low, sides, log_total)
        if empty == EMPTY:
            break
    order = sorted(places, key=lambda place: place.floor)
    return HiddenPlaces(tuple(_few(order)), empty == EMPTY)


def narrow_wells(ground: Thermal) -> Iterator[Place]:
    """Minima of f far below all cells around them: wells between the nodes of the grid, of which it shows nothing."""
    f, s, shape = ground.objective, ground.s, np.array(ground.values.shape)
    rim = np.pad(ground.values, 1, constant_values=np.inf)
    log_total = _log_measure(ground, ground.values, ground.spacing)
    for x in reach(f).points[:, :MOST_NARROW].T:
        cell = np.floor((x - ground.low) / ground.spacing).astype(int)
        if not ((cell >= 0) & (cell < shape)).all():
            continue
        around = rim[tuple(slice(c, c + 3) for c in cell)]
        floor = float(f(x))
        if floor > float(around.min()) - NARROW * s:
            continue
        curvatures, axes = np.linalg.eigh(np.nan_to_num(f.piecewise_hessian(x)))
        if curvatures[0] > 0:
            widths = np.sqrt(s / curvatures)
            sides = np.sqrt((axes**2) @ widths**2)
            share = min(_share(ground, np.array([floor]), sides, log_total), 1.0)
            yield Place(x[:, None], sides, floor, floor + s, share)


def _places(
    ground: Thermal, slow: Mask, values: Array, low: Array, sides: Array, log_total: float
) -> Iterator[Place]:
    """The connected parts of a mask that paths hardly ever see."""
    parts = _parts(slow)
    for number in range(1, int(parts.max(initial=0)) + 1):
        part: Mask = parts == number
        if _share(ground, values[part], sides, log_total) > SHARE:
            part &= values > ground.height(SELDOM)
        if part.any():
            f = values[part]
            centres = low[:, None] + (np.array(np.nonzero(part), dtype=float) + 0.5) * sides[:, None]
            share = _share(ground, f, sides, log_total)
            yield Place(np.asarray(centres, dtype=float), sides, float(f.min()), float(f.max()), share)


def _parts(mask: Mask) -> NDArray[np.int32]:
    """Connected parts, cells that share a corner counted as neighbours."""
    found, _ = label(mask, structure=np.ones((3,) * mask.ndim))
    return np.asarray(found)


def _few(places: list[Place]) -> list[Place]:
    """The same places; those beyond a number, if they are many, as one."""
    if len(places) <= MOST:
        return places
    rest = places[MOST - 1 :]
    centres = np.concatenate([place.centres for place in rest], axis=1)
    sides = np.stack([place.sides for place in rest]).min(axis=0)
    together = Place(centres, sides, rest[0].floor, max(p.level for p in rest), sum(p.share for p in rest))
    return [*places[: MOST - 1], together]


def _log_measure(ground: Thermal, values: Array, sides: Array) -> float:
    """log of the integral of e^{-2(f - min f)/s} over cells."""
    with np.errstate(divide="ignore"):
        total = np.exp(-2 * (values - ground.values.min()) / ground.s).sum()
        return float(np.log(total) + np.log(sides).sum())


def _share(ground: Thermal, values: Array, sides: Array, log_total: float) -> float:
    return min(math.exp(_log_measure(ground, values, sides) - log_total), 1.0)


def _shell(f: Objective, low: Array, high: Array, inner: tuple[Array, Array]) -> tuple[Array, Array, Mask]:
    """f at the centres of the cells of a box, their sides, and which of them lie outside of an inner box."""
    values, sides = on_cells(f, low, high)
    x = centres_of(low, sides, values.shape)
    first, last = inner
    return values, sides, ((x < first[:, None]) | (x > last[:, None])).any(axis=0).reshape(values.shape)


def _schroedinger_potential(f: Objective, s: float, low: Array, sides: Array, values: Array) -> Array:
    """V_s at the centres of cells: the second derivatives are means over a cell along each axis, so that a kink counts
    and a steep wall that passes through the cell is not taken for a plain; +inf where f is not a number."""
    x = centres_of(low, sides, values.shape)
    with np.errstate(all="ignore"):
        potential = np.sum(f.gradient(x) ** 2, axis=0) / s
        for axis, h in enumerate(sides):
            step = np.zeros((low.size, 1))
            step[axis] = 0.5 * h
            there = [f.gradient(x + sign * step)[axis] for sign in (1, -1)]
            potential -= (there[0] - there[1]) / h
    return np.where(np.isfinite(potential), potential, np.inf).reshape(values.shape)
