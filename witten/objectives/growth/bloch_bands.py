"""The bottom of a band: the lowest rate of a periodic slope, by transfer matrices.

Where f(x + P) = f(x) + F, the operator -s d^2/dx^2 + V_s is periodic, and its spectrum starts at the lowest eigenvalue
whose eigenfunction psi is periodic. In the values u = e^{f/s} psi and fluxes of nodes at distance h, with
r = e^{(f_{i+1} - f_i)/s} for each cell,

    (u, K) -> M (u, K),   M = [[1 - 2 h^2 r lambda/s, h r], [-2 h r^2 lambda/s, r^2]],

and psi is periodic where the product of all M has the trace 2 e^{F/s}. At lambda = 0 this is a sum of positive numbers
and so is its derivative: rates far below rounding keep their digits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError

__all__ = ["lowest_of_band"]

Array = NDArray[np.float64]
# Cells of a period at first and at most.
FEWEST, MOST = 128, 1 << 15
# By how much f/s may change in a cell for the first extrapolation to make sense.
STEEPEST = 0.5
MOST_STEPS = 2000


def lowest_of_band(f: Callable[[Array], Array], period: float, s: float, *, rtol: float = 1e-9) -> tuple[float, float]:
    """The lowest rate of -L at s for an f(t), 0 <= t <= period, continued with the same increments; and its error.

    Second order in the cells; extrapolated where halving them shows that order, as it does for a smooth f.

    Raises
    ------
    ConvergenceError
        where f is too steep for the learning rate.
    """
    cells = FEWEST
    while cells < MOST and abs(np.diff(_nodes(f, period, cells))).max() > STEEPEST * s:
        cells *= 2
    found = [_lowest(_nodes(f, period, cells), period / cells, s)]
    best = (found[0], found[0])
    while cells < MOST and best[1] > rtol * best[0]:
        cells *= 2
        found.append(_lowest(_nodes(f, period, cells), period / cells, s, near=found[-1]))
        value, error = _extrapolated(found)
        if len(found) > 4 and error > 0.5 * best[1]:
            break  # only rounding, of f or of the sums, remains
        best = min(best, (value, error), key=lambda pair: pair[1])
    if not np.isfinite(best).all():
        raise ConvergenceError(f"the slopes far out are too steep for learning rate {s:g}; take a larger one, or a box")
    return best


def _nodes(f: Callable[[Array], Array], period: float, cells: int) -> Array:
    return f(period * np.arange(cells + 1) / cells)


def _extrapolated(found: list[float]) -> tuple[float, float]:
    """The limit and its error from values on cells that are halved: h^2 is taken out where three values show it."""
    last = found[-1]
    change = last - found[-2]
    if len(found) < 3:
        return last, 2 * abs(change)
    before = found[-2] - found[-3]
    rounding = 1e-13 * abs(last)
    if abs(before - 4 * change) > 0.2 * abs(before) + 4 * rounding:
        return last, 4 * max(abs(change), abs(before) / 4)
    limit = last + change / 3
    return limit, abs(limit - (found[-2] + before / 3)) + abs(change) / 100 + 10 * rounding


def _lowest(f: Array, h: float, s: float, near: float = 0.0) -> float:
    """The smallest zero of trace(lambda) - 2 e^{F/s}, by Newton's method from the left.

    All zeros are real, so that no step goes too far; `near` is the zero on twice as wide cells."""
    steps = np.diff(f) / s
    total = float(steps.sum())
    rate = 0.97 * near
    if _trace(steps, h, s, rate, total)[0] <= 0:
        rate = 0.0
    for _ in range(MOST_STEPS):
        value, slope = _trace(steps, h, s, rate, total)
        step = -value / slope if slope < 0 else 0.0
        if not (np.isfinite(step) and step > 1e-14 * rate):
            break
        rate += step
    return rate


def _trace(steps: Array, h: float, s: float, rate: float, total: float) -> tuple[float, float]:
    """(trace M - 2 e^{F/s})/e^{max(0, 2 F/s)} and its derivative, by products of pairs of 2 x 2 matrices."""
    r = np.exp(steps)
    flow, loss = h * r, 2 * h * r / s
    m = np.array([[1 - loss * h * rate, flow], [-loss * r * rate, r * r]])
    dm = np.array([[-loss * h, np.zeros_like(r)], [-loss * r, np.zeros_like(r)]])
    log_scale = 0.0
    while m.shape[2] > 1:
        if m.shape[2] % 2:
            m, dm = (np.concatenate([a, b[:, :, None]], axis=2) for a, b in ((m, np.eye(2)), (dm, np.zeros((2, 2)))))
        a, b, da, db = m[:, :, ::2], m[:, :, 1::2], dm[:, :, ::2], dm[:, :, 1::2]
        m, dm = _product(b, a), _product(db, a) + _product(b, da)
        size = abs(m).max(axis=(0, 1))
        log_scale += float(np.log(size).sum())
        m, dm = m / size, dm / size
    factor = np.exp(np.minimum(log_scale - max(2 * total, 0.0), 700.0))
    return float(m[0, 0, 0] + m[1, 1, 0]) * factor - 2 * np.exp(min(-abs(total), total)), float(
        dm[0, 0, 0] + dm[1, 1, 0]
    ) * factor


def _product(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("ijn,jkn->ikn", a, b))
