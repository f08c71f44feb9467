"""Loops over steps in Numba, compiled once for all objectives: what f is comes in as a pointer to compiled code.

States are rows here, shape (n, m): points, m = d, or with momentum pairs (x, x-), m = 2d; a tuple `momentum`, of d,
alpha and whether the gradient is Nesterov's, says which. A pointer costs a few nanoseconds a call and spares a second
of compilation for every loop and objective; where that counts, `DescentMap.iterate` loops with a one-dimensional f'
inlined."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types

from witten.objectives.objective import Objective
from witten.objectives.symbolic.codegen import compile_program, numba_vocabulary
from witten.objectives.symbolic.derivatives import Derivatives

__all__ = ["DIVERGED", "LOST", "OVERFLOW", "TINY", "UNDECIDED", "advance", "diagram", "grow", "lanes", "pointers",
           "record", "settle", "stretch"]  # fmt: skip

# What `settle` says instead of a period.
DIVERGED, UNDECIDED = -1, 0
# Starts that the loop of `lanes` advances side by side.
LANES = 64
# Beyond this x^2 is no longer a double: the run diverges, whatever the unit of length.
OVERFLOW = 1e154
# The move by which grad f is probed, relative to |x_i|, and at the origin: beside a zero of it, it is not zero.
LOST, TINY = 64 * 2.0**-52, 1e-100

_VECTOR = types.void(types.float64[::1], types.float64[::1])
_MATRIX = types.void(types.float64[::1], types.float64[:, ::1])


@lru_cache(maxsize=256)
def pointers(objective: Objective) -> tuple[Any, Any]:
    """gradient(x, out) and hessian(x, out) of an objective with a formula, as first-class functions of one type."""
    _, gradient, hessian = objective.kernels()

    @numba.cfunc(_VECTOR, error_model="numpy")
    def slope(x, out):  # type: ignore[no-untyped-def]
        gradient(x, out)

    @numba.cfunc(_MATRIX, error_model="numpy")
    def curvature(x, out):  # type: ignore[no-untyped-def]
        hessian(x, out)

    return slope, curvature


@lru_cache(maxsize=64)
def lanes(objective: Objective) -> Callable[..., None]:
    """A loop x -= s f'(x) over many starts (n,) of a one-dimensional formula, in place, by vector instructions."""
    slope = Derivatives(objective.formula, objective.symbols).gradient[0]
    program = compile_program(objective.symbols, {"return": slope}, numba_vocabulary())
    derivative = numba.njit(program, error_model="numpy", nogil=True, inline="always")

    @numba.njit(parallel=True, nogil=True, error_model="numpy")
    def loop(x, s, steps):  # type: ignore[no-untyped-def]
        for block in numba.prange((x.size + LANES - 1) // LANES):
            here = slice(block * LANES, min((block + 1) * LANES, x.size))
            y, t = x[here].copy(), s[here].copy()
            for _ in range(steps):
                for j in range(y.size):
                    y[j] -= t[j] * derivative((y[j],))
            x[here] = y

    return loop


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _step(gradient, y, g, s, momentum):  # type: ignore[no-untyped-def]
    """y <- F(y), in place: x - s grad f(x), or (x, x-) <- (z - s grad f(x or z), x) with z = x + alpha (x - x-)."""
    d, alpha, nesterov = momentum
    if y.size == d:
        gradient(y, g)
    else:
        for j in range(d):
            x = y[j]
            y[j] = x + alpha * (x - y[d + j])
            y[d + j] = x
        gradient(y[:d] if nesterov else y[d:], g)
    for j in range(d):
        y[j] -= s * g[j]


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def advance(gradient, x, s, momentum, steps):  # type: ignore[no-untyped-def]
    """x <- F(x), so many times, for starts (n, m) with their own s (n,), in place."""
    for i in numba.prange(x.shape[0]):
        g, y = np.empty(momentum[0]), x[i].copy()
        for _ in range(steps):
            _step(gradient, y, g, s[i], momentum)
        x[i] = y


@numba.njit(cache=True, nogil=True, error_model="numpy")
def record(gradient, x, s, momentum, steps, every):  # type: ignore[no-untyped-def]
    """The states x_0, x_every, x_{2 every}, ... of one run from x (m,)."""
    out = np.empty((steps // every + 1, x.size))
    g, y = np.empty(momentum[0]), x.copy()
    out[0] = y
    for k in range(1, steps + 1):
        _step(gradient, y, g, s, momentum)
        if k % every == 0:
            out[k // every] = y
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="never")
def _distance(a, b):  # type: ignore[no-untyped-def]
    largest = 0.0
    for j in range(a.size):
        largest = max(largest, abs(a[j] - b[j]))
    return largest


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="never")
def _at_rest(gradient, y, slack):  # type: ignore[no-untyped-def]
    """Whether grad f is no larger at y than it changes over a move that is lost in what y is known to.

    Not on a plateau, where both are zero, nor where steps are below rounding and the slope is not."""
    g, h, z = np.empty(y.size), np.empty(y.size), np.empty(y.size)
    gradient(y, g)
    for j in range(y.size):
        move = LOST * abs(y[j]) + slack
        z[j] = y[j] + (move if move > 0.0 else TINY) * (-1.0 if g[j] < 0.0 else 1.0)
    gradient(z, h)
    largest, change = 0.0, 0.0
    for j in range(y.size):
        largest = max(largest, abs(g[j]))
        change = max(change, abs(h[j] - g[j]))
    return change > 0.0 and largest <= change


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def settle(gradient, x, s, momentum, steps, tolerance, rounding, longest):  # type: ignore[no-untyped-def]
    """Run starts (n, m) until they return to where they were, in place: period (n,) and steps taken (n,).

    A point is kept, and replaced after 1, 2, 4, ... steps (`longest` at most); the largest distance from it since then
    is the length that all others are measured by, so that neither the origin nor the unit of length, nor how far away
    the run began, has a part in it. A run whose steps are within `tolerance` of that length twice in a row is at a
    fixed point: steps that fall like a power of their number never are. A run that comes back to the point kept as
    closely twice, without drifting, has converged to a cycle (Brent); the period is then reduced to the smallest
    divisor after which the run is back within the root of that, since alternating convergence looks like a cycle twice
    as long. `rounding` |x_i| is added to the tolerance of each coordinate. A run that no longer moves though it is at
    no fixed point - on a plateau, or since its steps are below rounding - is left undecided."""
    n, m = x.shape
    d = momentum[0]
    period = np.zeros(n, dtype=np.int64)
    used = np.full(n, steps, dtype=np.int64)
    for i in numba.prange(n):
        g, y, last = np.empty(d), x[i].copy(), x[i].copy()
        mark, first = x[i].copy(), x[i].copy()
        power, since, candidate, still = 1, 0, 0, 0
        widest, drift, size = 0.0, 0.0, 0.0
        for k in range(steps):
            last[:] = y
            _step(gradient, y, g, s[i], momentum)
            size, gap, move, resting, near = 0.0, 0.0, 0.0, True, True
            close = 2.0 * tolerance * widest if candidate else tolerance * widest
            for j in range(m):
                here = abs(y[j])
                length, away = abs(y[j] - last[j]), abs(y[j] - mark[j])
                resting &= length <= tolerance * widest + rounding * here
                near &= away <= close + rounding * here
                move, gap, size = max(move, length), max(gap, away), max(size, here)
                if y[j] != y[j]:
                    size = np.inf
            if not size < OVERFLOW:
                period[i], used[i] = -1, k + 1
                break
            since += 1
            widest = max(widest, gap)
            still = still + 1 if resting else 0
            if still == 2 or move == 0.0:
                if _at_rest(gradient, y[:d], np.sqrt(tolerance) * widest):
                    period[i], used[i] = 1, k + 1
                    break
                if move == 0.0:
                    used[i] = k + 1
                    break
                still = 0
            if candidate and since == 2 * candidate:
                if near and (gap <= 1.5 * drift or gap <= 1e-3 * tolerance * widest + rounding * size):
                    trembles = widest <= 64.0 * rounding * size  # no cycle, but rounding at a fixed point, or a crawl
                    if not trembles or _at_rest(gradient, y[:d], widest):
                        period[i], used[i] = 1 if trembles else candidate, k + 1
                        break
                candidate, mark[:], since, widest = 0, y, 0, 0.0
            elif not candidate:
                if near:
                    candidate, drift = since, gap
                elif since == power:
                    mark[:] = y
                    power, since, widest = min(2 * power, longest), 0, 0.0
        first[:] = y
        for q in range(1, period[i]):
            _step(gradient, y, g, s[i], momentum)
            if period[i] % q == 0 and _distance(y, first) <= np.sqrt(tolerance) * widest:
                period[i] = q
                break
        x[i] = first
    return period, used


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _moved(hessian, y, h, s, momentum, q):  # type: ignore[no-untyped-def]
    """F'(y) q for directions q (m, columns)."""
    d, alpha, nesterov = momentum
    if y.size == d:
        hessian(y, h)
        return q - s * (h @ q)
    out = np.empty_like(q)
    ahead = q[:d] + alpha * (q[:d] - q[d:])
    out[d:] = q[:d]
    if nesterov:
        hessian(y[:d] + alpha * (y[:d] - y[d:]), h)
        out[:d] = ahead - s * (h @ ahead)
    else:
        hessian(y[:d], h)
        out[:d] = ahead - s * (h @ q[:d])
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _push(hessian, y, h, s, momentum, q, logs):  # type: ignore[no-untyped-def]
    """q <- orthonormal columns of F'(y) q, adding to logs how much each was stretched."""
    d, m = q.shape
    moved = _moved(hessian, y, h, s, momentum, q)
    for c in range(m):
        for b in range(c):
            along = 0.0
            for j in range(d):
                along += q[j, b] * moved[j, c]
            for j in range(d):
                moved[j, c] -= along * q[j, b]
        length = 0.0
        for j in range(d):
            length += moved[j, c] ** 2
        length = np.sqrt(length)
        if length > 0:
            for j in range(d):
                q[j, c] = moved[j, c] / length
        logs[c] += np.log(length)  # -inf where a direction is lost: a superstable point


@numba.njit(cache=True, nogil=True, error_model="numpy")
def stretch(gradient, hessian, x, s, momentum, steps, q, logs):  # type: ignore[no-untyped-def]
    """Follow x (m,) and the columns of q (m, c), in place; logs (b, c) of their growth in b equal batches of steps."""
    d = momentum[0]
    g, h = np.empty(d), np.empty((d, d))
    for b in range(logs.shape[0]):
        for _ in range(steps):
            _push(hessian, x, h, s, momentum, q, logs[b])
            _step(gradient, x, g, s, momentum)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def diagram(gradient, hessian, x, s, momentum, burn, kick, out):  # type: ignore[no-untyped-def]
    """One run continued through learning rates s (r,): the last states out (r, keep, m), growth of a vector (r,).

    Each starts where the one before it ended, moved by `kick` so that it leaves what has become unstable, or from x
    where that diverged. Growth is averaged from half of `burn` on. nan where a run diverges."""
    rates, keep, m = out.shape
    d = momentum[0]
    g, h, q, one = np.empty(d), np.empty((d, d)), np.zeros((m, 1)), np.zeros(1)
    exponents = np.full(rates, np.nan)
    y = x.copy()
    for r in range(rates):
        y += kick
        q[:] = 1.0 / np.sqrt(m)
        lost = False
        for k in range(burn + keep):
            if k == burn // 2:
                one[0] = 0.0
            if k >= burn:
                out[r, k - burn] = y
            _push(hessian, y, h, s[r], momentum, q, one)
            _step(gradient, y, g, s[r], momentum)
            for j in range(d):
                if not abs(y[j]) < OVERFLOW:
                    lost = True
            if lost:
                break
        if lost:
            out[r] = np.nan
            y[:] = x
        else:
            exponents[r] = one[0] / (burn + keep - burn // 2)
    return exponents


@numba.njit(cache=True, nogil=True, error_model="numpy")
def grow(matrices, which):  # type: ignore[no-untyped-def]
    """log of the growth of a vector at each step of a product of matrices (m, d, d) in the order `which` (k,)."""
    d = matrices.shape[1]
    v = np.full(d, 1.0 / np.sqrt(d))
    logs = np.empty(which.size)
    for k in range(which.size):
        v = matrices[which[k]] @ v
        length = np.sqrt(np.sum(v * v))
        logs[k] = np.log(length)
        v = v / length if length > 0 else np.full(d, 1.0 / np.sqrt(d))
    return logs
