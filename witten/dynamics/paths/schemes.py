"""Steps of dX = -grad f dt + sigma sqrt(s) dW for blocks of paths, by three schemes.

    Euler-Maruyama        x <- x - h grad f(x) + a xi_k                                     a = sigma sqrt(s h)
    Leimkuhler-Matthews   x <- x - h grad f(x) + a (xi_k + xi_{k+1})/2
    Heun                  y = x - h grad f(x) + a xi_k,   x <- x - h (grad f(x) + grad f(y))/2 + a xi_k
    heavy ball            y = x + alpha (x - x-),         x <- y - s grad f(x) + a xi_k              a = sigma s
    Nesterov              y = x + alpha (x - x-),         x <- y - s grad f(y) + a xi_k

Euler-Maruyama with h = s and sigma = 1 is SGD, x <- x - s grad f(x) + s xi, to the bit. Leimkuhler-Matthews
[Leimkuhler2013] has the averages over the stationary law right to second order in h at the same cost, rates to first
order; Heun, at two gradients a step, has rates right to second order too, as the noise does not depend on x (Platen's
weak scheme [Kloeden1992]).

The last two have a state of two points, rows x and then x-; at alpha = 0 both are SGD to the bit.

Under a covariance xi is Sigma^{1/2} xi, by Euler-Maruyama at the place where the step begins (Ito); the other two are
for a Sigma that is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numba
import numpy as np
from numba import types

from witten.dynamics.paths.core_kernels import core_of
from witten.dynamics.paths.gradient_kernels import BLOCK_GRADIENT
from witten.dynamics.paths.philox import LANES, fill_normals

__all__ = ["EULER_MARUYAMA", "HEAVY_BALL", "HEUN", "LEIMKUHLER_MATTHEWS", "MOMENTUM", "NESTEROV", "SCHEMES", "WIDTH",
           "walker"]  # fmt: skip

SCHEMES = EULER_MARUYAMA, LEIMKUHLER_MATTHEWS, HEUN = ("euler-maruyama", "leimkuhler-matthews", "heun")
# What the loop counts after those.
MOMENTUM = HEAVY_BALL, NESTEROV = ("heavy-ball", "nesterov")
# Paths that are computed together, one in each lane of vector instructions; fewer where a point is long.
WIDTH, WIDTH_OF_LONG = 64, 16
LONG = 32
# A coordinate beyond this has left for infinity: wells are looked for to 1e13.
FAR = 1e18

u64, f64, i64 = types.uint64, types.float64, types.int64
SIGNATURE = types.void(
    types.FunctionType(BLOCK_GRADIENT), types.FunctionType(BLOCK_GRADIENT),  # grad f; z <- Sigma^{1/2} z
    f64[:, ::1],  # x
    i64, i64,  # first, last
    u64, u64, u64,  # seed, stream, path
    i64, i64, i64,  # step, every, chunks
    f64, f64, f64, i64, types.boolean,  # h, amplitude, alpha, scheme, coloured
    f64[:, :, ::1],  # snapshots
    f64[::1], f64[::1], i64[::1], types.int16[::1],  # low, scale, shape, labels
    f64[:, ::1], f64[:, :, ::1], f64[::1],  # centres, metrics, slow
    i64[:, ::1], i64[:, ::1], i64[:, :, ::1], i64[:, :, ::1],  # state, resided, moved, transit
)  # fmt: skip


@numba.njit(error_model="numpy", inline="always")
def _noise(amplitude, seed, stream, path, index, four, out):  # type: ignore[no-untyped-def]
    # out = amplitude times the normals index, ..., index + d - 1; `four` holds the block that index is in, unless index
    # starts one.
    for c in range(out.shape[0]):
        i = np.uint64(index + c)
        lane = np.int64(i & np.uint64(3))
        if lane == 0:
            fill_normals(seed, stream, path, i >> np.uint64(2), four)
        for j in range(out.shape[1]):
            out[c, j] = amplitude * four[lane, j]


@numba.njit(error_model="numpy", inline="always")
def _finite(x, j):  # type: ignore[no-untyped-def]
    for c in range(x.shape[0]):  # noqa: SIM110 (Numba has no all())
        if not abs(x[c, j]) < FAR:
            return False
    return True


@numba.njit(error_model="numpy")
def _core_on_grid(x, j, low, scale, shape, labels):  # type: ignore[no-untyped-def]
    # The label of the cell that holds x, 0 outside the grid.
    cell = 0
    for c in range(low.shape[0]):
        t = (x[c, j] - low[c]) * scale[c]
        if not (t >= 0.0 and t < shape[c]):
            return 0
        cell = cell * shape[c] + np.int64(t)
    return np.int64(labels[cell])


@numba.njit(error_model="numpy")
def _core(x, j, low, scale, shape, labels, centres, metrics, slow):  # type: ignore[no-untyped-def]
    # Where there are limits: 0 for a path that moved too fast in its last step to count as in the core.
    if centres.shape[0] > 0:
        core = core_of(x[:, j], centres, metrics) + 1
    else:
        core = _core_on_grid(x, j, low, scale, shape, labels)
    if core > 0 and slow.shape[0] > 0:
        d, squared = x.shape[0] // 2, 0.0
        for c in range(d):
            squared += (x[c, j] - x[d + c, j]) ** 2
        if not squared <= slow[core - 1]:
            return 0
    return core


@numba.njit(error_model="numpy")
def _watch(core, p, block, state, resided, moved, transit):  # type: ignore[no-untyped-def]
    # One observation of path p. state = (home, observations since it was there); counts are whole numbers: sums in any
    # order.
    home = state[0, p]
    if home < 0:
        if core > 0:
            state[0, p], state[1, p] = core - 1, 0
        return
    resided[block, home] += 1
    state[1, p] += 1
    if core == home + 1:
        state[1, p] = 0
    elif core > 0:
        moved[block, home, core - 1] += 1
        transit[block, home, core - 1] += state[1, p] - 1
        state[0, p], state[1, p] = core - 1, 0


def _walk(  # type: ignore[no-untyped-def]
    gradient, root, x, first, last, seed, stream, path, step, every, chunks, h, amplitude, alpha, scheme,
    coloured, snapshots, low, scale, shape, labels, centres, metrics, slow, state, resided, moved, transit,
):  # fmt: skip
    """Move the paths x[:, first:last] by chunks * every steps, the next of which is `step`.

    After every chunk: x goes to snapshots[chunk] (where there are any), and the core it is in is observed (where there
    are labels or centres). x[:, p] is path number path + p.
    """
    rows = x.shape[0]
    d = rows // 2 if scheme > 2 else rows
    width = WIDTH if rows < LONG else WIDTH_OF_LONG
    y, g, g2 = np.empty((d, width)), np.empty((d, width)), np.empty((d, width))
    z, z2, b = np.empty((d, width)), np.zeros((d, width)), np.empty((rows, width))
    four = np.empty((LANES, width))
    watching = labels.size > 0 or centres.shape[0] > 0
    for start in range(first, last, width):
        n = min(width, last - start)
        for c in range(rows):
            for j in range(width):
                b[c, j] = x[c, start + min(j, n - 1)]
        at = path + np.uint64(start)
        block = start // width
        index = step * d
        fill_normals(seed, stream, at, np.uint64(index) >> np.uint64(2), four)
        if scheme == 1:
            _noise(0.5 * amplitude, seed, stream, at, index, four, z2)
            if coloured:
                root(b, z2)
        for chunk in range(chunks):
            for _ in range(every):
                if scheme > 2:
                    for c in range(d):
                        for j in range(width):
                            y[c, j] = b[c, j] + alpha * (b[c, j] - b[d + c, j])
                            b[d + c, j] = b[c, j]
                    gradient(y if scheme == 4 else b, g)
                    _noise(amplitude, seed, stream, at, index, four, z)
                    for c in range(d):
                        for j in range(width):
                            b[c, j] = (y[c, j] - h * g[c, j]) + z[c, j]
                    index += d
                    continue
                gradient(b, g)
                if scheme == 1:
                    z, z2 = z2, z
                    _noise(0.5 * amplitude, seed, stream, at, index + d, four, z2)
                    if coloured:
                        root(b, z2)
                    for c in range(d):
                        for j in range(width):
                            b[c, j] = (b[c, j] - h * g[c, j]) + (z[c, j] + z2[c, j])
                else:
                    _noise(amplitude, seed, stream, at, index, four, z)
                    if coloured:
                        root(b, z)
                    if scheme == 2:
                        for c in range(d):
                            for j in range(width):
                                y[c, j] = (b[c, j] - h * g[c, j]) + z[c, j]
                        gradient(y, g2)
                        for c in range(d):
                            for j in range(width):
                                g[c, j] = 0.5 * (g[c, j] + g2[c, j])
                    for c in range(d):
                        for j in range(width):
                            b[c, j] = (b[c, j] - h * g[c, j]) + z[c, j]
                index += d
            if snapshots.shape[0] > 0:
                for c in range(rows):
                    for j in range(n):
                        snapshots[chunk, c, start + j] = b[c, j]
            if watching:
                for j in range(n):
                    if _finite(b, j):
                        core = _core(b, j, low, scale, shape, labels, centres, metrics, slow)
                        _watch(core, start + j, block, state, resided, moved, transit)
        for c in range(rows):
            for j in range(n):
                x[c, start + j] = b[c, j]


@cache
def walker() -> Callable[..., None]:
    """`_walk`, compiled when first asked for, and kept on disk."""
    kernel: Callable[..., None] = numba.njit(SIGNATURE, error_model="numpy", nogil=True, cache=True)(_walk)
    return kernel


@numba.njit(error_model="numpy", nogil=True, cache=True)
def observe(x, low, scale, shape, labels, centres, metrics, slow, state, resided, moved, transit):  # type: ignore[no-untyped-def]
    """One observation of the cores that paths x (d, n) are in."""
    for p in range(x.shape[1]):
        if _finite(x, p):
            core = _core(x, p, low, scale, shape, labels, centres, metrics, slow)
            _watch(core, p, 0, state, resided, moved, transit)
