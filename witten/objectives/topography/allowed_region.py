"""Where a slow mode may live: a fact about f alone, which decides how far out matters.

A mode of the rate lambda oscillates or is large only where V_s <= 2 lambda, V_s = |grad f|^2/s - Lap f, and decays
elsewhere, be there measure or not: a plateau or a shallow well far above all saddles may hold one. Across a valley
V_s is negative, but no mode has a negative energy there: e^{-f/s} is the ground state of that direction, with energy
zero. So each principal direction of Hess f counts with what it has, or else with zero:

    V_s^+ = sum_i max(g_i^2/s - h_i, 0) <= 2 lambda,

g_i the components of grad f along the eigenvectors of Hess f, h_i its eigenvalues. For f(x) + g(y) this is exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from witten.linalg.merge_tree import merge_tree, pieces
from witten.objectives.mobility import without_mobility
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import everywhere, reach
from witten.objectives.topography.slow_places import FINE, SLOWLY, Place, by_diffusion, enclosed

__all__ = ["AllowedRegion", "allowed_region", "may_reach_far"]

Array = NDArray[np.float64]
# Cells along each axis.
CELLS_OF_REGION = {1: 2000, 2: 400, 3: 64}
# How often the box is tripled while V_s is small on its rim.
GROWTH = 6
# Critical points beyond which only those nearby are examined: there may be infinitely many.
MOST_KNOWN = 1000
# How many spots high up on the floors of valleys are looked at.
MOST_SPOTS = 8
# Newton's steps down the sides of a valley.
DOWNWARDS = 6


@dataclass(frozen=True)
class AllowedRegion:
    """{V_s^+ <= 2 lambda}, as far as a grid sees it.

    Attributes
    ----------
    level : the largest f there; -inf where there is none
    end : whether V_s^+ > 2 lambda far out; else there may be no such mode, but a continuous spectrum
    enclosed : whether it is proved that all of it lies in boxes that were looked at
    lower, upper : the corners of the box around all that was looked at, shape (d,)
    """

    level: float
    end: bool
    enclosed: bool
    lower: Array
    upper: Array


def allowed_region(f: Objective, s: float, low: Array, high: Array, rate: float) -> AllowedRegion:
    """{V_s^+ <= 2 rate} in one to three dimensions, on a grid over a box with these corners, shape (d,), over the
    critical points that are known and, for a formula, over all places where V_s <= 2 rate cannot be excluded."""
    known, boxes = reach(f), [(low, high)]
    if 0 < known.points.shape[1] <= MOST_KNOWN:
        boxes.append((np.minimum(low, known.lower), np.maximum(high, known.upper)))
    far = enclosed(f, s, rate)
    if far:
        boxes.append((np.minimum(low, far[0].lower), np.maximum(high, far[0].upper)))
        for place in far[1:]:
            if not any(_seen(place, box) for box in boxes):
                boxes.append((place.lower, place.upper))
    # A larger box has coarser cells: each has its say.
    found = [_in_and_around(f, s, rate, *box) for box in {tuple(map(tuple, box)): box for box in boxes}.values()]
    if far:
        found += _on_floors(f, s, rate, far, max(each.level for each in found))
    lower = np.stack([each.lower for each in found]).min(axis=0)
    upper = np.stack([each.upper for each in found]).max(axis=0)
    level, end = max(each.level for each in found), all(each.end for each in found)
    return AllowedRegion(level, end, far is not None, lower, upper)


def _on_floors(f: Objective, s: float, rate: float, far: list[Place], level: float) -> list[AllowedRegion]:
    """In and around slow spots that lie higher than a level, on the floors of valleys that are too long and thin for a
    grid over all of them: from the middle of each cell that nothing excludes Newton's steps go down the sides.

    Such a spot is as long as diffusion takes for the rate, or as all places together, or it is left before."""
    whole, *places = far
    points = np.hstack([place.middles for place in places])
    room = np.hstack([np.full(place.middles.shape[1], place.side) for place in places])
    points, potential = _down_the_sides(f, s, points, room, 2 * rate)
    with np.errstate(all="ignore"):
        values = np.asarray(f(points), dtype=float)
    with np.errstate(divide="ignore"):
        length = np.pi * np.sqrt(np.divide(0.5 * s, SLOWLY * rate))
    half = np.minimum(length, whole.upper - whole.lower) / 2
    spots = np.flatnonzero((potential <= 2 * rate) & (values > level + s))
    found: list[AllowedRegion] = []
    for i in spots[np.argsort(-values[spots])]:
        x = points[:, i]
        if len(found) < MOST_SPOTS and not any(((each.lower <= x) & (x <= each.upper)).all() for each in found):
            found.append(_in_and_around(f, s, rate, x - half, x + half))
    return found


def _down_the_sides(f: Objective, s: float, points: Array, room: Array, most: float) -> tuple[Array, Array]:
    """Points (d, n) moved at most by so much, (n,), along the directions that make V_s^+ larger than `most`, to where
    grad f has no part in them if f were its Taylor polynomial, again and again; and V_s^+ there."""
    x = points
    for _ in range(DOWNWARDS):
        with np.errstate(all="ignore"):
            slope, curvature = f.gradient(x), np.moveaxis(f.piecewise_hessian(x), 2, 0)
            finite = np.isfinite(slope).all(axis=0) & np.isfinite(curvature).all(axis=(1, 2))
            h, v = np.linalg.eigh(np.where(finite[:, None, None], curvature, 0.0))
            g = np.einsum("nij,in->nj", v, np.where(finite, slope, 0.0))
            step = np.where((h > 0) & (g**2 / s - h > 0), -g / h, 0.0)
            moved = x + np.einsum("nij,nj->in", v, step)
        near = finite & (np.linalg.norm(moved - points, axis=0) <= room)
        x = np.where(near, moved, x)
    with np.errstate(all="ignore"):
        potential = _potential(f.gradient(x), f.piecewise_hessian(x), s, most)
    return x, np.where(np.isfinite(potential), potential, np.inf)


def _seen(place: Place, box: tuple[Array, Array]) -> bool:
    """Whether a box holds a place, and its grid has cells that are fine enough for it."""
    inner, outer, (low, high) = place.lower, place.upper, box
    within = (inner >= low) & (outer <= high)
    return bool((within & (3 * (high - low) / CELLS_OF_REGION[low.size] <= FINE * (outer - inner))).all())


def _in_and_around(f: Objective, s: float, rate: float, low: Array, high: Array) -> AllowedRegion:
    """On a grid over a box, that is tripled as long as such places reach its rim."""
    around, ends = f.periodic_axes, everywhere(f)
    low, high = (np.where(around, end, side) for end, side in zip(ends.T, (low, high), strict=True))
    for _ in range(GROWTH):
        low, high = np.where(around, low, 2 * low - high), np.where(around, high, 2 * high - low)
        values, potential = _on_grid(f, s, low, high, 2 * rate)
        slow = potential <= 2 * rate
        if not f.mobility:  # how fast a place is left depends on more
            slow = _left_slowly(values, slow, (high - low) / values.shape[0], s, rate, around)
        end = not _touches_rim(slow, around)
        if end:
            break
    return AllowedRegion(float(values[slow].max(initial=-np.inf)), end, False, low, high)


def _left_slowly(
    values: Array, slow: NDArray[np.bool_], spacing: Array, s: float, rate: float, around: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The pieces of {V_s^+ <= 2 rate} that may be left as slowly as the rate, and that of the lowest cell.

    A piece of extent L whose deepest well has the barrier b is left at about (s/2) (pi/L)^2 e^{-2b/s} at least: among
    wells without end, far out, most are left too fast to matter.
    """
    piece, count = pieces(slow, around, np.ones((3,) * slow.ndim, dtype=np.int64))
    if count <= 1:
        return slow
    tree = merge_tree(values, periodic=around)
    barriers = np.zeros(count + 1)
    np.maximum.at(barriers, piece.ravel()[tree.minima], tree.persistence)
    extents = [max(h * (axis.stop - axis.start) for h, axis in zip(spacing, box, strict=True))
               for box in find_objects(piece)]  # fmt: skip
    with np.errstate(under="ignore"):
        left = by_diffusion(s, np.array([np.inf, *extents])) * np.exp(-2 * barriers / s)
    keep = left <= SLOWLY * rate
    keep[0] = False
    out: NDArray[np.bool_] = keep[piece]
    return out


def may_reach_far(f: Objective, s: float, rate: float) -> bool:
    """Whether {V_s^+ <= 2 rate} may reach so far that diffusion leaves it as slowly as the rate, be there wells or not;
    true where nothing is proved."""
    far = enclosed(f, s, rate)
    if not far:
        return far is None
    return bool((by_diffusion(s, far[0].upper - far[0].lower) <= SLOWLY * rate).any())


def _on_grid(f: Objective, s: float, low: Array, high: Array, most: float) -> tuple[Array, Array]:
    """f and V_s^+, or a bound of it above `most`, at the centres of cells; +inf where they are not finite."""
    n = CELLS_OF_REGION[low.size]
    axes = [a + (b - a) * (np.arange(n) + 0.5) / n for a, b in zip(low, high, strict=True)]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    with np.errstate(all="ignore"):
        values = np.asarray(f(points), dtype=float)
        if f.mobility:
            slope, curvature = without_mobility(f, points, s)
        elif f.formula is None:
            slope, curvature = _differences(values.reshape((n,) * low.size), (high - low) / n)
        else:
            slope, curvature = f.gradient(points), f.piecewise_hessian(points)
        potential = _potential(slope, curvature, s, most)
    shape = (n,) * low.size
    return tuple(np.where(np.isfinite(a), a, np.inf).reshape(shape) for a in (values, potential))  # type: ignore[return-value]


def _potential(slope: Array, curvature: Array, s: float, most: float) -> Array:
    """V_s^+ from grad f (d, n) and Hess f (d, d, n), or V_s, which is below it, where that is more than `most`; nan
    where they are not finite."""
    out = np.asarray((slope**2).sum(axis=0) / s - np.einsum("iin->n", curvature))
    low = np.isfinite(slope).all(axis=0) & np.isfinite(curvature).all(axis=(0, 1)) & ~(out > most)
    h, v = np.linalg.eigh(np.moveaxis(curvature[:, :, low], 2, 0))
    g = np.einsum("nij,in->nj", v, slope[:, low])
    out[low] = np.maximum(g**2 / s - h, 0.0).sum(axis=1)
    return out


def _differences(f: Array, spacing: Array) -> tuple[Array, Array]:
    """grad f (d, n) and Hess f (d, d, n) by central differences on a grid, one-sided on its rim."""
    gradient = np.gradient(f, *spacing)
    slopes = gradient if isinstance(gradient, tuple | list) else [gradient]
    hessian = np.empty((f.ndim, f.ndim, *f.shape))
    for i, slope in enumerate(slopes):
        for j, h in enumerate(spacing):
            hessian[i, j] = _second(f, i, h) if i == j else np.gradient(slope, h, axis=j)
    return np.stack([a.ravel() for a in slopes]), hessian.reshape(f.ndim, f.ndim, -1)


def _second(f: Array, axis: int, h: float) -> Array:
    """The second difference along an axis; on the rim that of its neighbour."""
    padded = np.pad(np.diff(f, 2, axis=axis), [(1, 1) if a == axis else (0, 0) for a in range(f.ndim)], mode="edge")
    return np.asarray(padded / h**2)


def _touches_rim(mask: NDArray[np.bool_], around: NDArray[np.bool_]) -> bool:
    return any(mask.take(i, axis).any() for axis in np.flatnonzero(~around) for i in (0, -1))
