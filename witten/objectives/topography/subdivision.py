"""Every zero of grad f in a box, by subdivision with interval arithmetic: a proof, or an account of what stays open.

A cell is dropped when an enclosure of grad f over it does not hold zero. It is closed when the Krawczyk operator

    K(X) = c - Y grad f(c) + (I - Y Hess f(X)) (X - c),    Y ~ Hess f(c)^-1

maps it into its own interior: it then holds exactly one zero. Otherwise it is cut in two ([Krawczyk1969],
[Neumaier1990])."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.objectives.objective import Objective
from witten.objectives.symbolic.interval_arithmetic import enclosure, kinks_met

__all__ = ["Subdivision", "subdivide"]

Array = NDArray[np.float64]
Enclosure = Callable[[Array, Array], tuple[Array, Array]]
# The Krawczyk operator looks at a cell made larger by this much on each side: a zero on a face is inside of that.
INFLATION = 0.1
# Cells narrower than this, relative to where they lie, are left open: the zero is degenerate. At the origin the second
# number ends it, smaller than any length that matters.
NARROWEST, SMALLEST = 1e-9, 1e-30
# A side of a cell shrinks at most to this fraction of itself in one step.
SHRINKAGE = 1e-2
# Steps to the zero of a closed cell, in which each brings it nearer; Newton's method does the rest.
REFINED = 60
# Cells examined together.
BATCH = 60_000


@dataclass(frozen=True, eq=False)
class Subdivision:
    """What is known about the zeros of grad f in a box.

    Attributes
    ----------
    zeros : points near one zero each, shape (d, n); a zero near a face of a cell may occur twice
    open : centres of cells in which a zero was neither found nor excluded, shape (d, m)
    finished : False if the budget ended first, and `open` are the cells then left
    cells : how many were examined
    """

    zeros: Array
    open: Array
    finished: bool
    cells: int


def subdivide(objective: Objective, lower: Array, upper: Array, budget: int) -> Subdivision:
    """Find or exclude the zeros of grad f in boxes with corners lower, upper (d, n), looking at about `budget` cells.

    RequestError for an objective without a formula."""
    gradient, hessian = enclosure(objective, "gradient"), _smooth_hessian(objective)
    waiting = [(lower, upper)]
    zeros, unclear, cells = [np.empty((len(lower), 0))], [np.empty((len(lower), 0))], 0
    while waiting and cells < budget:
        low, high = waiting.pop()
        if low.shape[1] > BATCH:
            waiting.append((low[:, BATCH:], high[:, BATCH:]))
            low, high = low[:, :BATCH], high[:, :BATCH]
        cells += low.shape[1]
        low, high = _where(low, high, _may_vanish(*gradient(low, high)))
        found, low, high = _krawczyk(gradient, hessian, low, high)
        zeros.append(found)
        low, high = _where(low, high, _has_values(objective, low, high))
        narrow = _narrow(low, high)
        closed = narrow.all(axis=0)
        unclear.append((low + high)[:, closed] / 2)
        if not closed.all():
            waiting.append(_halved(*_where(low, high, ~closed), narrow[:, ~closed]))
    left = [(low + high) / 2 for low, high in waiting]
    return Subdivision(np.hstack(zeros), np.hstack(unclear + left), not waiting, cells)


def _smooth_hessian(objective: Objective) -> Enclosure:
    """Hess f enclosed, and unknown on boxes that meet a kink, across which grad f jumps."""
    hessian, met = enclosure(objective, "hessian"), kinks_met(objective)

    def enclose(low: Array, high: Array) -> tuple[Array, Array]:
        ends = hessian(low, high)
        kinked = met(low, high)
        for end, unknown in zip(ends, (-np.inf, np.inf), strict=True):
            end[..., kinked] = unknown
        return ends

    return enclose


def _where(low: Array, high: Array, keep: NDArray[np.bool_]) -> tuple[Array, Array]:
    return low[:, keep], high[:, keep]


def _may_vanish(low: Array, high: Array) -> NDArray[np.bool_]:
    """Whether zero lies in every component; what is nan is not known, and may."""
    return ~np.any((low > 0) | (high < 0), axis=0)


def _has_values(objective: Objective, low: Array, high: Array) -> NDArray[np.bool_]:
    """Whether f has a value somewhere in a cell, judged by centre and two corners; beyond its domain there is none."""
    values = np.stack([objective((low + high) / 2), objective(low), objective(high)])
    return ~np.isnan(values).all(axis=0)


def _krawczyk(gradient: Enclosure, hessian: Enclosure, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """The zeros of closed cells, and what remains of the others.

    The mean value form of grad f and the intersection with K(X) throw out and shrink cells on the way."""
    centre, radius = (low + high) / 2, (0.5 + INFLATION) * (high - low)
    h_low, h_high = hessian(centre - radius, centre + radius)
    g_low, g_high = gradient(centre, centre)
    with np.errstate(all="ignore"):
        reach = np.einsum("ijn,jn->in", np.maximum(abs(h_low), abs(h_high)), radius)
        keep = _may_vanish(g_low - reach, g_high + reach)
        middle, spread = (h_low + h_high) / 2, (h_high - h_low) / 2
        y = _inverses(middle)
        g, dg = (g_low + g_high) / 2, (g_high - g_low) / 2
        slack = 1e-14 * np.einsum("ijn,jkn->ikn", abs(y), abs(middle))
        defect = abs(np.eye(len(low))[:, :, None] - np.einsum("ijn,jkn->ikn", y, middle)) + slack
        defect += np.einsum("ijn,jkn->ikn", abs(y), spread)
        at = centre - np.einsum("ijn,jn->in", y, g)
        around = np.einsum("ijn,jn->in", abs(y), dg) + np.einsum("ijn,jn->in", defect, radius)
        around += 1e-15 * (abs(at) + abs(centre))
        known = np.isfinite(at).all(axis=0) & np.isfinite(around).all(axis=0)
        closed = keep & known & np.all(abs(at - centre) + around < radius, axis=0)
        keep &= ~(known & np.any(abs(at - centre) > around + radius, axis=0))
        # A coordinate known to the last digit while others are not yet keeps a width that can be closed.
        around = np.maximum(around, SHRINKAGE * radius)
        low = np.where(known, np.maximum(low, at - around), low)
        high = np.where(known, np.minimum(high, at + around), high)
    keep &= ~closed & np.all(low <= high, axis=0)
    found = _refined(gradient, hessian, at[:, closed], centre[:, closed], radius[:, closed])
    return found, low[:, keep], high[:, keep]


def _refined(gradient: Enclosure, hessian: Enclosure, at: Array, centre: Array, radius: Array) -> Array:
    """The zeros of closed cells |x - centre| <= radius, where Hess f is regular: by Newton's steps, halved while they
    leave the cell or |grad f| does not fall."""

    def middle(enclose: Enclosure, x: Array) -> Array:
        low, high = enclose(x, x)
        return np.asarray((low + high) / 2)

    at = np.clip(at, centre - radius, centre + radius)
    g, size = middle(gradient, at), np.ones(at.shape[1])
    for _ in range(REFINED if at.size else 0):
        with np.errstate(all="ignore"):
            step = size * np.einsum("ijn,jn->in", _inverses(middle(hessian, at)), g)
            if not np.any(abs(step) > 1e-16 * abs(at)):
                break
            there = at - step
            slope = middle(gradient, there)
            better = np.linalg.norm(slope, axis=0) < np.linalg.norm(g, axis=0)
            better &= np.all(abs(there - centre) <= radius, axis=0)
        at, g = np.where(better, there, at), np.where(better, slope, g)
        size = np.where(better, np.minimum(2 * size, 1.0), size / 2)
    return at


def _inverses(matrices: Array) -> Array:
    """Inverses of (d, d, n), nan where there is none."""
    stack = np.moveaxis(matrices, 2, 0).copy()
    good = np.isfinite(stack).all(axis=(1, 2))
    good[good] = abs(np.linalg.det(stack[good])) > 1e-300
    stack[~good] = np.nan
    try:
        stack[good] = np.linalg.inv(stack[good])
    except np.linalg.LinAlgError:
        stack[good] = np.nan
    return np.moveaxis(stack, 0, 2)


def _narrow(low: Array, high: Array) -> NDArray[np.bool_]:
    """Which sides of cells are too short to be cut: beside where they lie, whatever the unit of length."""
    return high - low <= NARROWEST * (abs(low) + abs(high)) + SMALLEST


def _halved(low: Array, high: Array, narrow: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Each cell cut across the longest of its sides that are not too short."""
    axis = np.argmax(np.where(narrow, 0.0, high - low), axis=0)
    n = np.arange(low.shape[1])
    middle = (low[axis, n] + high[axis, n]) / 2
    left_high, right_low = high.copy(), low.copy()
    left_high[axis, n] = right_low[axis, n] = middle
    return np.hstack([low, right_low]), np.hstack([left_high, high])
