"""Boxes outside of which it is proved that V_s = |grad f|^2/s - Lap f is more than twice a rate, by interval
subdivision: in all of space, of a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from witten.objectives.objective import Objective
from witten.objectives.symbolic.interval_arithmetic import enclosure, kinks_met
from witten.objectives.symbolic.rewriting.affine_frame import affine_frame
from witten.objectives.topography.critical_set import everywhere

__all__ = ["FINE", "SLOWLY", "Place", "by_diffusion", "enclosed"]

Array = NDArray[np.float64]
Cells = tuple[Array, Array]
# A place is examined if it is left at most so many times faster than the rate.
SLOWLY = 10.0
# Heights, in units of s, at which no double distinguishes places.
TOO_HIGH = 1e30
# The most cells in which V_s <= 2 lambda is not excluded, and how fine they are made beside all of them.
MOST_CELLS, FINE = 20_000, 1 / 16
# Into how many places that are not connected they may fall.
MOST_PIECES = 64
# Cells of all sizes, and how large they are in the end beside their distance from the origin.
MOST_AFAR, AFAR = 100_000, 0.3
# How often boxes are halved.
MOST_HALVINGS = 400
# Cells of a place from which it is looked at.
FLOORS = 4000


@dataclass(frozen=True)
class Place:
    """A box.

    Attributes
    ----------
    lower, upper : its corners, shape (d,)
    middles : of the cells in it that nothing excludes, (d, n)
    side : the longest that these have
    """

    lower: Array
    upper: Array
    middles: Array
    side: float


def by_diffusion(s: float, extents: Array) -> Array:
    """The rates at which diffusion leaves places of these extents."""
    return 0.5 * s * (np.pi / extents) ** 2


def enclosed(f: Objective, s: float, rate: float) -> list[Place] | None:
    """Boxes outside of which it is proved that V_s > 2 rate, in the coordinates of the formula up to 10^13 of them: the
    first holds the others, of which each holds what is connected. None where nothing is proved: for a callable, where
    f has a mobility, where nothing shows that such places end, and where that takes too many cells."""
    if f.formula is None or f.mobility:
        return None
    frame = affine_frame(f)
    g, back = frame.objective, frame.matrix
    value, gradient, hessian, kinked = *(enclosure(g, what) for what in ("value", "gradient", "hessian")), kinks_met(g)
    turn = np.linalg.inv(back).T

    def kept(low: Array, high: Array) -> Cells:
        slope, curvature = gradient(low, high), hessian(low, high)
        with np.errstate(all="ignore"):
            bound = _least_squared(turn, *slope) / s - _largest_laplacian(turn, *curvature)
        keep = (~(bound > 2 * rate) | kinked(low, high)) & ~_too_high(g, value(low, high), low, high, s)
        return low[:, keep], high[:, keep]

    def around(low: Array, high: Array) -> Place:
        middles, sides = frame.out((low + high) / 2), abs(back) @ (high - low)
        return Place((middles - sides / 2).min(axis=1), (middles + sides / 2).max(axis=1), middles, float(sides.max()))

    def left_at_once(low: Array, high: Array) -> bool:
        whole = around(low, high)
        return bool((by_diffusion(s, whole.upper - whole.lower) > SLOWLY * rate).all())

    cells = _in_all_of_space(kept, everywhere(f).T[:, :, None], ~f.periodic_axes)
    if cells is None or not cells[0].size:
        return None if cells is None else []
    found: list[Cells] = []
    parts = [cells]
    while parts:
        pieces = _connected(*parts.pop())
        if len(pieces) == 1 or 1 + len(found) + len(parts) + len(pieces) > MOST_PIECES:
            found += [_finer(kept, *piece, left_at_once) for piece in pieces]
            continue
        for piece in pieces:
            fine = _subdivided(kept, *piece, enough=left_at_once)
            if fine is None:
                found.append(piece)
            elif fine[0].size:
                parts.append(fine)
    places = [around(*piece) for piece in found if piece[0].size]
    return [around(*cells), *places] if places else []


def _in_all_of_space(kept: Callable[..., Cells], space: Array, straight: NDArray[np.bool_]) -> Cells | None:
    """Cells that are fine beside all of them, of which none is at an end of space (2, d, 1) on a straight axis; None
    where there are too many, or where something is kept at one of the ends, and so in all boxes around it."""
    first, last = space
    sides = [(a, (a + b) / 2, b) if ends else ((a + b) / 2,) for a, b, ends in zip(first, last, straight, strict=True)]
    at_ends = [point for point in product(*sides) if (abs(np.stack(point) - (first + last) / 2) > 0).any()]
    if at_ends and kept(*[np.hstack([np.stack(point) for point in at_ends])] * 2)[0].size:
        return None

    def inside(low: Array, high: Array) -> bool:
        return not ((low <= first) | (high >= last))[straight].any()

    cells = _subdivided(kept, first, last, may_end=inside)
    if cells is None:
        far = _from_afar(kept, first, last)
        if far is None or (far[0].size and not inside(*far)):
            return None
        if not far[0].size:
            return far
        cells = _subdivided(kept, far[0].min(axis=1)[:, None], far[1].max(axis=1)[:, None], may_end=inside)
    return cells


def _finer(kept: Callable[..., Cells], low: Array, high: Array, enough: Callable[..., bool]) -> Cells:
    """Cells of one size halved until they are FLOORS / 2, none is left, or `enough`."""
    for _ in range(MOST_HALVINGS):
        if not 0 < low.shape[1] <= FLOORS // 2 or enough(low, high):
            break
        low, high = kept(*_halved(low, high, int((high - low)[:, 0].argmax())))
    return low, high


def _subdivided(
    kept: Callable[..., Cells],
    low: Array,
    high: Array,
    *,
    may_end: Callable[..., bool] = lambda low, high: True,
    enough: Callable[..., bool] = lambda low, high: False,
) -> Cells | None:
    """Halves of boxes, of halves and so on, less what need not be kept, until none is left, or they are FINE beside all
    of them and that `may_end`, or until `enough`; None if there are too many."""
    for _ in range(MOST_HALVINGS):
        low, high = kept(low, high)
        if low.shape[1] == 0:
            return low, high
        if low.shape[1] > MOST_CELLS:
            return None
        sides, hull = (high - low).max(axis=1), high.max(axis=1) - low.min(axis=1)
        if ((sides <= FINE * hull).all() and may_end(low, high)) or enough(low, high):
            return low, high
        low, high = _halved(low, high, int((sides / hull).argmax()))
    return None


def _from_afar(kept: Callable[..., Cells], low: Array, high: Array) -> Cells | None:
    """As `_subdivided`, each box halved along the axis on which it is longest beside its distance from the origin of
    the coordinates, as long as that is more than AFAR: cells of all sizes. None if there are too many."""
    found, count = [], 0
    while True:
        low, high = kept(low, high)
        count += low.shape[1]
        if count > MOST_AFAR:
            return None
        extents = (high - low) / np.maximum(abs(low + high) / 2, 1.0)
        large = extents.max(axis=0) > AFAR
        found.append((low[:, ~large], high[:, ~large]))
        if not large.any():
            return np.hstack([each[0] for each in found]), np.hstack([each[1] for each in found])
        low, high, axes = low[:, large], high[:, large], extents[:, large].argmax(axis=0)
        parts = [_halved(low[:, axes == axis], high[:, axes == axis], axis) for axis in range(len(low))]
        low, high = np.hstack([part[0] for part in parts]), np.hstack([part[1] for part in parts])


def _halved(low: Array, high: Array, axis: int) -> Cells:
    middle = (low[axis] + high[axis]) / 2
    left, right = high.copy(), low.copy()
    left[axis] = right[axis] = middle
    return np.hstack([low, right]), np.hstack([left, high])


def _connected(low: Array, high: Array) -> list[Cells]:
    """Boxes of one size, parted by what touches."""
    at = np.rint((low - low.min(axis=1, keepdims=True)) / (high - low).max(axis=1, keepdims=True)).T
    pairs = cKDTree(at).query_pairs(1.5, p=np.inf, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(at), len(at)))
    count, label = connected_components(graph, directed=False)
    return [(low[:, label == i], high[:, label == i]) for i in range(count)]


def _too_high(f: Objective, value: tuple[Array, Array], low: Array, high: Array, s: float) -> NDArray[np.bool_]:
    """In which boxes f is too high to matter, from enclosures of its values: also where it overflows, all the more
    where its derivatives do. The difference of terms that overflow is enclosed by nothing and no number anywhere."""
    out: NDArray[np.bool_] = value[0] > TOO_HIGH * s
    unknown = np.flatnonzero(np.isneginf(value[0]) & np.isposinf(value[1]))
    if unknown.size:
        sides = np.stack([low[:, unknown], (low + high)[:, unknown] / 2, high[:, unknown]])
        choices = product(range(3), repeat=low.shape[0])
        with np.errstate(all="ignore"):
            somewhere = [np.isfinite(f(np.stack([sides[i, axis] for axis, i in enumerate(at)]))) for at in choices]
        out[unknown] = ~np.any(somewhere, axis=0)
    return out


def _least_squared(turn: Array, low: Array, high: Array) -> Array:
    """The least |turn v|^2 of vectors v between low and high, (d, n), or less: by its components, which mix what is
    known of those of v, and by |v|."""
    middle, spread = turn @ ((low + high) / 2), abs(turn) @ ((high - low) / 2)
    turned = (np.maximum(abs(middle) - spread, 0.0) ** 2).sum(axis=0)
    least = np.maximum(np.maximum(low, -high), 0.0)
    return np.asarray(np.fmax(turned, np.linalg.norm(turn, -2) ** 2 * (least**2).sum(axis=0)))


def _largest_laplacian(turn: Array, low: Array, high: Array) -> Array:
    """The largest trace of turn H turn^T for symmetric H between low and high, (d, d, n)."""
    metric = turn.T @ turn
    return np.einsum("ij,ijn->n", metric, (low + high) / 2) + np.einsum("ij,ijn->n", abs(metric), (high - low) / 2)
