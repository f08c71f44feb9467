"""The landscape of f: its critical points, which wells lie behind which saddles, and the barrier H_f."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.display import Displayed, Table, shortened
from witten.errors import RequestError
from witten.landscape.barriers import Pair, barrier_pairs
from witten.landscape.critical.critical_point import (
    CriticalPoint,
    critical_points_at,
    distinct,
    hessians,
    joined,
    polished,
)
from witten.landscape.critical.critical_points import CriticalPoints, critical_points
from witten.landscape.critical.saddle_connections import connections, neighbours_on_a_line
from witten.linalg.merge_tree import merge_tree
from witten.noise import Noise, parted, reversible
from witten.objectives import Objective, resolve
from witten.objectives.growth.conditions import Conditions, conditions
from witten.objectives.topography.scaled_coordinates import units_around
from witten.request import positive

__all__ = ["Landscape", "Saddle", "barrier", "describe_landscape"]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
# Cells along each axis of the grid whose merge tree checks what a search has found.
CHECK_CELLS = {1: 4000, 2: 300, 3: 64}
# A value this small, beside the differences between critical points, is shown as zero.
ROUNDED = 1e-12


@dataclass(frozen=True, eq=False)
class Saddle(CriticalPoint):
    """A critical point of Morse index 1.

    Attributes
    ----------
    connects : numbers of the minima below its two sides; None where a descent ends in none of those listed
    separating : whether it joins what no lower saddle has joined
    """

    connects: tuple[int | None, int | None] = (None, None)
    separating: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Landscape(Displayed):
    """What f looks like, as far as the asymptotic law asks.

    >>> wells = witten.describe_landscape("double-well:barrier=0.5")
    >>> len(wells.minima), len(wells.saddles), round(wells.barrier, 6)
    (2, 1, 0.5)

    Attributes
    ----------
    objective : f
    minima : ascending in value; degenerate ones too
    saddles : of index 1, ascending in value
    others : critical points of higher index, and degenerate ones that are no minima
    pairs : one for each minimum: the saddle over which it reaches a deeper one
    conditions : whether f is confining, Villani, strongly convex
    search : how the points were looked for, and what is proved
    boxed : whether that was limited to a box of the user's
    notes : what a reader should know, in words
    """

    picture: ClassVar[str] = "plot_landscape"

    objective: Objective
    minima: tuple[CriticalPoint, ...]
    saddles: tuple[Saddle, ...]
    others: tuple[CriticalPoint, ...]
    pairs: tuple[Pair, ...]
    conditions: Conditions
    search: CriticalPoints
    boxed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        h = "no barrier" if self.barrier is None else f"H = {self.barrier:.6g}"
        counts = f"{_count(self.minima, 'minimum', 'minima')}, {_count(self.saddles, 'saddle', 'saddles')}"
        return f"{shortened(self.objective.name)}: {counts} of index 1, {h}"

    def table(self) -> Table:
        """The minima, and how high each must climb to a deeper one."""
        rows, bars = [], []
        for pair in self.pairs:
            point, rise = self.minima[pair.minimum], pair.barrier
            place = ", ".join(f"{x + 0.0:.4g}" for x in point.x[:4]) + (", ..." if point.x.size > 4 else "")
            climb = math.nan if rise is None else rise
            shown = "" if rise is None else f"{rise:.6g}"
            rows.append((str(pair.minimum), f"({place})", f"{self.height(point):.6g}", shown))
            bars.append((0.0, climb, climb))
        return Table(("minimum", "x", "f", "barrier"), rows, bars)

    def height(self, point: CriticalPoint) -> float:
        """f at a critical point as it is shown: 0 for what is rounding beside the differences between them."""
        span = float(np.ptp(_values((*self.minima, *self.saddles, *self.others))))
        step = 4 * np.finfo(float).eps * np.linalg.norm(point.x)  # of coordinates that are rounded
        rounding = max(ROUNDED * span, float(np.abs(point.curvatures).max()) * step**2)
        return point.value if abs(point.value) > rounding else 0.0

    @property
    def extent(self) -> float:
        """How far apart critical points are along an axis; how far from the origin, if there is one; 1 there."""
        points = np.array([point.x for point in (*self.minima, *self.saddles, *self.others)])
        apart = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
        return apart or float(np.abs(points).max(initial=0.0)) or 1.0

    @property
    def barrier(self) -> float | None:
        """H_f = max S over the pairs, the Morse saddle barrier; None for one minimum, for a graph in pieces, and where
        barriers grow without bound."""
        barriers = [pair.barrier for pair in self.pairs if pair.barrier is not None]
        return max(barriers) if barriers and self.connected and not self.unbounded else None

    @property
    def unbounded(self) -> bool:
        """Whether barriers grow without bound with the distance: H_f is infinite. Not in a box."""
        return not self.boxed and self.conditions.endless_barrier == np.inf

    @property
    def connected(self) -> bool:
        """Whether the saddles join all minima."""
        return sum(pair.saddle is None for pair in self.pairs) <= 1

    @property
    def degenerate(self) -> bool:
        """Whether some critical point is degenerate: f is not Morse."""
        return any(point.degenerate for point in (*self.minima, *self.saddles, *self.others))

    @property
    def tied(self) -> bool:
        """Whether equal heights leave a choice in the labels of the pairs; the rates of the law do not depend on it."""
        return any(pair.tied for pair in self.pairs)

    @property
    def cut(self) -> tuple[str, ...]:
        """What the lists leave out where there are wells without end, in words. Nothing in a box."""
        return () if self.boxed else self.conditions.notes

    @cached_property
    def euler_sum(self) -> int | None:
        """sum of (-1)^index over all critical points: 1 for a confining Morse f; None where one is degenerate."""
        if self.degenerate:
            return None
        return sum((-1) ** point.index for point in (*self.minima, *self.saddles, *self.others))

    def near_ties(self, learning_rate: float) -> tuple[Pair, ...]:
        """The pairs whose barrier differs from another's by less than s: there labels say little, and Q is needed."""
        barriers = np.array([np.inf if pair.barrier is None else pair.barrier for pair in self.pairs])
        with np.errstate(invalid="ignore"):
            close = abs(barriers[:, None] - barriers) < learning_rate
        np.fill_diagonal(close, False)
        return tuple(pair for pair, near in zip(self.pairs, close.any(axis=1), strict=True) if near)


def describe_landscape(
    objective: Objective | str,
    *,
    box: Intervals | None = None,
    seed: int = 0,
    noise: float | Noise = 1.0,
    learning_rate: float | None = None,
) -> Landscape:
    """Critical points, the wells that saddles join, pairs, conditions: a report, whatever f is like.

    Noise with a covariance that has a potential F at a learning rate s, stationary density e^{-2F/s}, has the wells and
    barriers of F: these are reported in place of those of f.

    >>> [round(float(point.x[0]), 6) for point in witten.describe_landscape("double-well").minima]
    [-1.0, 1.0]

    Parameters
    ----------
    objective : an Objective, or its text; any dimension
    box : (low, high) per axis: only critical points in it are looked for
    seed : of random starts, above three dimensions and where subdivision does not end
    noise, learning_rate : one of `witten.noise`, and s, which F depends on; both or neither

    Raises
    ------
    RequestError
        for a constant, or a box that does not fit; for noise without a potential or a learning rate.
    ConvergenceError
        for critical points that are too many to be distinguished.
    """
    f = _with_noise(resolve(objective), noise, learning_rate)
    search = critical_points(f, box=box, seed=seed)
    minima, saddles, others = _sorted_by_kind(f, search.points)
    if f.dimension == 1 and saddles and search.complete and not (others or f.periods):
        connects, strays = neighbours_on_a_line(minima, saddles), np.empty((1, 0))
    else:
        connects, strays = connections(f, minima, saddles)
    notes = list(search.notes)
    if strays.size and box is None:
        found = _further_minima(f, strays)
        search = replace(search, points=(*search.points, *found))
        minima, saddles, others = _sorted_by_kind(f, search.points)
        connects, strays = connections(f, minima, saddles)
    if (connects < 0).any():
        count = np.count_nonzero((connects < 0).any(axis=1))
        notes.append(f"from {count} of the saddles descent does not end in a minimum that is listed")
    pairs = barrier_pairs(_values(minima), _values(saddles), connects)
    separating = {pair.saddle for pair in pairs}
    named = tuple(
        Saddle(z.x, z.value, z.curvatures, z.degenerate, (_number(i), _number(j)), k in separating)
        for k, (z, (i, j)) in enumerate(zip(saddles, connects.tolist(), strict=True))
    )
    known = conditions(f, convex=len(search.points) == 1)
    landscape = Landscape(f, minima, named, others, pairs, known, search, box is not None)
    return replace(landscape, notes=(*notes, *_checked(landscape)))


def _with_noise(f: Objective, noise: float | Noise, learning_rate: float | None) -> Objective:
    """The potential of noise with a covariance, or f."""
    sigma, model = parted(noise, f)
    if model is None:
        if sigma != 1.0 or learning_rate is not None:
            raise RequestError(
                "the landscape of noise of one strength is that of f: give a covariance with a learning rate"
            )
        return f
    if learning_rate is None:
        raise RequestError("wells of noise with a covariance depend on the learning rate: give one")
    found = reversible(model.bind(f), positive("learning rate", learning_rate))
    if found is None or found.turned:
        raise RequestError(
            f"this noise has no potential on {f.name} in its coordinates: its barriers are those of paths, which "
            "landscape --covariance without a learning rate tells"
        )
    return found.potential


def barrier(objective: Objective | str, *, box: Intervals | None = None, seed: int = 0) -> float | None:
    """H_f, the Morse saddle barrier: the largest barrier that keeps a minimum apart from a deeper one.

    None for one minimum. Errors as `describe_landscape`.

    >>> round(witten.barrier("shi-su-jordan-1d"), 6)
    0.109319
    """
    return describe_landscape(objective, box=box, seed=seed).barrier


def _count(points: Sequence[CriticalPoint], one: str, many: str) -> str:
    return f"{len(points)} {one if len(points) == 1 else many}"


def _number(i: int) -> int | None:
    return i if i >= 0 else None


def _values(points: Sequence[CriticalPoint]) -> Array:
    return np.array([point.value for point in points])


Kinds = tuple[tuple[CriticalPoint, ...], tuple[CriticalPoint, ...], tuple[CriticalPoint, ...]]


def _sorted_by_kind(objective: Objective, points: Sequence[CriticalPoint]) -> Kinds:
    """Minima, saddles of index 1, and the rest."""
    kinds: tuple[list[CriticalPoint], ...] = ([], [], [])
    if not points:
        return (), (), ()
    units = units_around(objective, joined(points))
    f = units.objective(objective)
    values = _values(points)
    equal = 1e-9 * float(np.ptp(values)) + 1e-14 * float(abs(values).max()) or 1.0
    for point in sorted(points, key=lambda p: (round(p.value / equal), *np.round(p.into(units).x, 9).tolist())):
        if point.degenerate:
            kinds[0 if _is_lowest(f, point.into(units)) else 2].append(point)
        else:
            kinds[min(point.index, 2)].append(point)
    return tuple(kinds[0]), tuple(kinds[1]), tuple(kinds[2])


def _is_lowest(objective: Objective, point: CriticalPoint) -> bool:
    """Whether a degenerate point is a minimum, judged by f on small spheres around it, in units of the points."""
    if (point.curvatures < -point.flat).any():
        return False
    d = point.x.size
    directions = np.random.default_rng(0).normal(size=(d, 400 * d))
    directions /= np.linalg.norm(directions, axis=0)
    directions = np.hstack([directions, np.eye(d), -np.eye(d)])
    radii = (1 + np.linalg.norm(point.x)) * np.array([1e-3, 3e-3, 1e-2])
    values = np.array([objective(point.x[:, None] + r * directions) for r in radii])
    slack = 1e-14 * abs(point.value) + 1e-10 * float(np.nanmax(abs(values - point.value)))
    return bool(np.nanmin(values) >= point.value - slack)


def _further_minima(objective: Objective, ends: Array) -> list[CriticalPoint]:
    """Minima that descents have found and the search had missed."""
    x, converged = polished(objective, ends, reach=1e-3)
    x = x[:, converged]
    x = x[:, np.linalg.eigvalsh(hessians(objective, x))[:, 0] > 0] if x.size else x
    return critical_points_at(objective, x[:, distinct(x)])


def _checked(landscape: Landscape) -> list[str]:
    """What does not fit together, in words."""
    notes = list(landscape.cut)
    if landscape.degenerate:
        notes.append("not Morse: there are degenerate critical points")
    if not landscape.connected:
        notes.append("the saddles that were found do not join all minima")
    if landscape.search.method == "grid" and not _like_merge_tree(landscape):
        notes.append("the barriers are not those of f on a grid: critical points may have been missed")
    return notes


def _like_merge_tree(landscape: Landscape) -> bool:
    """Whether the barriers are those of the merge tree of f on a grid, as far as its cells tell."""
    corners = landscape.search.box
    if corners is None or not landscape.connected:
        return False
    cells = CHECK_CELLS[landscape.objective.dimension]
    axes = [np.linspace(a, b, cells) for a, b in corners.T]
    mesh = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    f = np.nan_to_num(np.asarray(landscape.objective(mesh), dtype=float), nan=np.inf)
    low = f[f <= np.quantile(f, 0.2)]
    error = 0.05 * (landscape.barrier or float(np.ptp(low)))
    seen = merge_tree(f.reshape((cells,) * len(axes)), smallest=error).persistence[1:]
    found = np.array([pair.barrier for pair in landscape.pairs if pair.barrier is not None])
    found = np.sort(found)[::-1][: seen.size]
    return found.size == seen.size and bool(np.all(abs(found - np.sort(seen)[::-1]) <= error))
