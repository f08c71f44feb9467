"""Where f has its critical points, be it near the origin or not and whatever the unit of length: where to look for
wells. For a formula it is proved by subdivision, in all of space where that ends; else f is sampled at all scales."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.symbolic.rewriting.affine_frame import AffineFrame, affine_frame
from witten.objectives.topography.multiscale_search import Lows, scale_search
from witten.objectives.topography.subdivision import Subdivision, subdivide

__all__ = ["EVERYWHERE", "Reach", "everywhere", "reach", "rise"]

Array = NDArray[np.float64]
# All of space, as far as critical points are sought. The ends are no round numbers, so that cuts miss the symmetric
# points at which zeros like to lie.
EVERYWHERE = 1e13 * np.array([-1.013, 1.027])
# Cubes that are subdivided where all of space is too much, beside the region in which the lows of f lie.
SMALLER = (1e6, 1e4, 1e2, 10.0, 3.0)
# Cells examined in a cube.
BUDGET = 150_000
MOST_POINTS = 20_000


def everywhere(objective: Objective) -> Array:
    """All of space, (d, 2): along a periodic axis that is the period."""
    ends = np.tile(EVERYWHERE, (objective.dimension, 1))
    for axis in np.flatnonzero(objective.periodic_axes):
        ends[axis] = objective.periods[axis]
    return ends


@dataclass(frozen=True, eq=False)
class Reach:
    """The critical points of f that are known, kinks with a zero of grad f between their sides included.

    Attributes
    ----------
    objective : f
    points : (d, n), the lowest first; where nothing was proved, the lows of f that were seen
    values : f there, (n,)
    proved : half the side of the cube around `centre` in which it is proved that there are no others; inf for all of
        space (that is, |x_i| < 10^13), 0 where nothing is proved
    examined : in words, for a record
    """

    objective: Objective = field(repr=False)
    points: Array
    values: Array = field(repr=False)
    proved: float
    examined: str

    @property
    def complete(self) -> bool:
        """Whether it is proved that there are no other critical points anywhere."""
        return self.proved == np.inf

    @property
    def lowest(self) -> Array:
        """The lowest of the points, shape (d,)."""
        return self.points[:, 0]

    @property
    def lower(self) -> Array:
        """The lower corner of the box around the points, shape (d,)."""
        return self.points.min(axis=1)

    @property
    def upper(self) -> Array:
        """The upper corner."""
        return self.points.max(axis=1)

    @property
    def centre(self) -> Array:
        """The middle of the box, shape (d,)."""
        return (self.lower + self.upper) / 2

    @cached_property
    def scale(self) -> float:
        """A length over which f changes: half the longest side of the box; of one point, how far f rises by 1."""
        half = float((self.upper - self.lower).max()) / 2
        return half or float(np.mean(rise(self.objective, self.lowest, 1.0)))


@lru_cache(maxsize=64)
def reach(objective: Objective) -> Reach:
    """The critical points of f in one to three dimensions, wherever they are; for more dimensions, lows that were seen.

    A formula is searched by interval subdivision in the coordinates that it is written in, from their origin and in
    their unit (`affine_frame`), up to 10^13 of these; where that takes too many cells, in the largest of some cubes
    around the lows that a search over all scales finds. A callable is only searched.
    """
    frame = affine_frame(objective)
    found = _searched(frame.objective)
    return found if frame.objective is objective else _in_frame(objective, found, frame)


def _searched(objective: Objective) -> Reach:
    """What is found in the coordinates as they are."""
    if objective.formula is not None and objective.dimension <= 3:
        found = _subdivided(objective, np.zeros(objective.dimension), float(abs(EVERYWHERE).max()))
        if found is not None:
            return _reach(objective, found, np.inf, "all of space")
    lows = scale_search(objective)
    if objective.formula is not None and objective.dimension <= 3:
        for centre, size in ((lows.centre, lows.size), (lows.points[:, 0], float(lows.spacings[0]))):
            for half in size * np.array(SMALLER):
                found = _subdivided(objective, centre, half)
                if found is not None and found.shape[1]:
                    outside = abs(lows.points - centre[:, None]).max(axis=0) > half
                    words = f"critical points proved complete within {half:.3g} of {_show(centre)}"
                    return _reach(objective, np.hstack([found, lows.points[:, outside]]), half, words)
    words = f"f sampled at distances from {lows.nearest:.2g} to {lows.farthest:.2g} around {_show(lows.centre)}"
    return _reach(objective, lows.points, 0.0, words + _from_a_center(objective, lows))


def _from_a_center(objective: Objective, lows: Lows) -> str:
    """That the search also began at a center of the user's, in words; "" where it did not."""
    if not isinstance(objective, CallableObjective) or objective.center is None:
        return ""
    nearest, farthest = objective.scale * lows.nearest, objective.scale * lows.farthest
    return f", and from {nearest:.2g} to {farthest:.2g} around the given center {_show(objective.center, 12)}"


def _in_frame(objective: Objective, known: Reach, frame: AffineFrame) -> Reach:
    """What is known of f(B u + b), said of f; a cube in u holds another in x, smaller by the least that B stretches."""
    proved = known.proved * float(np.linalg.svd(frame.matrix, compute_uv=False)[-1])
    centre = frame.out((known.centre if known.points.size else np.zeros(objective.dimension))[:, None])[:, 0]
    words = known.examined
    if np.isfinite(proved):
        words = f"critical points proved complete within {proved:.3g} of {_show(centre)}" if proved else (
            f"{words}, in the coordinates that the formula is written in")  # fmt: skip
    return _reach(objective, frame.out(known.points), proved, words)


def _subdivided(objective: Objective, centre: Array, half: float) -> Array | None:
    """Every critical point in a cube, and points in the cells that are left open; None where that takes too long."""
    ends = centre[:, None] + half * EVERYWHERE / abs(EVERYWHERE).max()
    ends = np.where(objective.periodic_axes[:, None], everywhere(objective), ends)
    found: Subdivision = subdivide(objective, ends[:, :1], ends[:, 1:], BUDGET)
    if not found.finished or found.zeros.shape[1] > MOST_POINTS:
        return None
    return np.hstack([found.zeros, found.open])


def _reach(objective: Objective, points: Array, proved: float, examined: str) -> Reach:
    points = objective.wrapped(points)
    with np.errstate(all="ignore"):
        values = np.asarray(objective(points), dtype=float)
    # Where f overflows it is too high for a place there to matter.
    matters = np.array([not _overflows(objective, x, v) for x, v in zip(points.T, values, strict=True)], dtype=bool)
    points, values = points[:, matters], values[matters]
    order = np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")
    return Reach(objective, points[:, order], values[order], proved, examined)


def _overflows(objective: Objective, x: Array, value: float) -> bool:
    return not np.isfinite(value) and value != -np.inf and objective.formula is not None and objective.is_number(x)


def rise(objective: Objective, x: Array, height: float) -> Array:
    """How far from x along each axis, on either side, f first exceeds f(x) + height: shape (d, 2), in steps of 5 %.

    Where it never does, the distance at which f is largest."""
    r = np.geomspace(1e-20, 1e20, 1900)
    sides = np.empty((x.size, 2))
    for axis, side in np.ndindex(sides.shape):
        points = np.repeat(x[:, None], r.size, axis=1)
        points[axis] += (-r, r)[side]
        with np.errstate(all="ignore"):
            up = np.asarray(objective(points), dtype=float) - float(objective(x))
        above = np.isnan(up) | (up > height)
        sides[axis, side] = r[above.argmax() if above.any() else up.argmax()]
    return sides


def _show(x: Iterable[float], digits: int = 4) -> str:
    return "(" + ", ".join(f"{c:.{digits}g}" for c in x) + ")"
