"""Random numbers that depend on nothing but their address: (seed, stream, path, index).

Philox4x32-10 [Salmon2011] encrypts a counter of four 32-bit words under a key of two. Here the key is the seed and the
counter is

    word 0, 1   number of the block, index // 4
    word 2      path
    word 3      stream: what the numbers are for, so that two uses of one seed share none

and a block gives four normals by the method of Box and Muller. Step k of a path in d dimensions takes the normals
k d, ..., k d + d - 1, whoever computes it, in whatever order: results cannot depend on threads, ranks or batches. The
logarithm, sine and cosine are polynomials written out below, not a library's: they have no branches, so that compilers
turn loops over paths into vector instructions, and the same bits on every machine.

A normal is at most 6.8 in size, as the radius comes from 32 bits; what is cut off has probability 1e-11.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["LANES", "fill_normals", "four_normals", "normal", "normals", "philox", "uniform", "uniforms", "words"]

# Normals per block.
LANES = 4
WORD = 32
LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(WORD)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
M0, M1, W0, W1 = *MULTIPLIERS, *WEYL
UNIT = 2.0**-WORD
LOG_2 = math.log(2.0)
SQRT_2 = math.sqrt(2.0)
# Series of artanh(z)/z in z^2, of sin(y)/y and cos(y) in y^2: exact to rounding for |z| < 0.18 and |y| <= pi/4.
L1, L2, L3, L4, L5, L6, L7, L8, L9 = (1.0 / (2 * k + 1) for k in range(1, 10))
S1, S2, S3, S4, S5, S6, S7 = ((-1.0) ** k / math.factorial(2 * k + 1) for k in range(1, 8))
C1, C2, C3, C4, C5, C6, C7, C8 = ((-1.0) ** k / math.factorial(2 * k) for k in range(1, 9))

# Small functions are put into their callers before anything else is done, or loops over them stay scalar.
inlined = numba.njit(inline="always", error_model="numpy")


@inlined
def _round(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    a, b = c0 * M0, c2 * M1
    return (b >> SHIFT) ^ c1 ^ k0, b & LOW, (a >> SHIFT) ^ c3 ^ k1, a & LOW


@inlined
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Philox4x32-10: four counter words and two key words, 32 bits each in a uint64, to four words."""
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    for _ in range(9):
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    return c0, c1, c2, c3


@inlined
def _unit(word):  # type: ignore[no-untyped-def]
    # The middle of one of 2^32 cells of (0, 1): never 0 or 1, symmetric about 1/2.
    return (np.float64(np.int64(word)) + 0.5) * UNIT


@inlined
def _log(u):  # type: ignore[no-untyped-def]
    # u = 2^e m with m in [sqrt(1/2), sqrt(2)], log m = 2 artanh((m - 1)/(m + 1)).
    bits = np.float64(u).view(np.int64)
    m = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    large = 1.0 if m > SQRT_2 else 0.0
    m = m * (1.0 - 0.5 * large)
    z = (m - 1.0) / (m + 1.0)
    q = z * z
    odd = 1.0 + q * (L1 + q * (L2 + q * (L3 + q * (L4 + q * (L5 + q * (L6 + q * (L7 + q * (L8 + q * L9))))))))
    return (np.float64((bits >> 52) - 1023) + large) * LOG_2 + 2.0 * z * odd


@inlined
def _circle(word):  # type: ignore[no-untyped-def]
    # cos and sin of an angle: two bits choose the quarter, thirty a place in it, measured from its middle.
    i = np.int64(word)
    y = ((np.float64(i & 0x3FFFFFFF) + 0.5) * 2.0**-30 - 0.5) * (0.5 * math.pi)
    q = y * y
    s = y * (1.0 + q * (S1 + q * (S2 + q * (S3 + q * (S4 + q * (S5 + q * (S6 + q * S7)))))))
    c = 1.0 + q * (C1 + q * (C2 + q * (C3 + q * (C4 + q * (C5 + q * (C6 + q * (C7 + q * C8)))))))
    odd = np.float64((i >> 30) & 1)
    sign = 1.0 - np.float64((i >> 30) & 2)
    return sign * (c * (1.0 - odd) - s * odd), sign * (s * (1.0 - odd) + c * odd)


@inlined
def _pair(first, second):  # type: ignore[no-untyped-def]
    r = math.sqrt(-2.0 * _log(_unit(first)))
    c, s = _circle(second)
    return r * c, r * s


@inlined
def four_normals(seed, stream, path, block):  # type: ignore[no-untyped-def]
    """Normals 4 block, ..., 4 block + 3 of a path. All arguments are np.uint64."""
    a, b, c, d = philox(block & LOW, block >> SHIFT, path, stream, seed & LOW, seed >> SHIFT)
    n0, n1 = _pair(a, b)
    n2, n3 = _pair(c, d)
    return n0, n1, n2, n3


@inlined
def fill_normals(seed, stream, path, block, out):  # type: ignore[no-untyped-def]
    """out[:, j] = the block's four normals of path + j; out (4, w), the other arguments np.uint64."""
    for j in range(out.shape[1]):
        out[0, j], out[1, j], out[2, j], out[3, j] = four_normals(seed, stream, path + np.uint64(j), block)


@numba.njit(cache=True, error_model="numpy")
def normal(seed, stream, path, index):  # type: ignore[no-untyped-def]
    """Normal number `index` of a path; any whole numbers. For the component c at step k in d dimensions: k d + c."""
    i = np.uint64(index)
    n = four_normals(np.uint64(seed), np.uint64(stream), np.uint64(path), i >> np.uint64(2))
    return n[np.int64(i & np.uint64(3))]


@numba.njit(cache=True, error_model="numpy")
def uniform(seed, stream, path, index):  # type: ignore[no-untyped-def]
    """Number `index` of a path, uniform in (0, 1); any whole numbers."""
    i, key = np.uint64(index), np.uint64(seed)
    block = i >> np.uint64(2)
    words = philox(block & LOW, block >> SHIFT, np.uint64(path), np.uint64(stream), key & LOW, key >> SHIFT)
    return _unit(words[np.int64(i & np.uint64(3))])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill(seed, stream, first_path, first_index, out):  # type: ignore[no-untyped-def]
    n, paths = out.shape
    four = np.empty((LANES, paths))
    for k in range(n):
        index = first_index + np.uint64(k)
        lane = np.int64(index & np.uint64(3))
        if lane == 0 or k == 0:
            fill_normals(seed, stream, first_path, index >> np.uint64(2), four)
        out[k] = four[lane]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill_uniform(seed, stream, first_path, first_index, out):  # type: ignore[no-untyped-def]
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[k, j] = uniform(seed, stream, first_path + np.uint64(j), first_index + np.uint64(k))


def normals(
    seed: int, paths: range, count: int, *, first: int = 0, stream: int = 0, out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Normals number first, ..., first + count - 1 of consecutive paths, shape (count, len(paths)).

    In d dimensions, `normals(seed, paths, d, first=k * d)` is the noise of step k, shape (d, n).

    Parameters
    ----------
    seed : 0 to 2^64 - 1
    paths : a range of step 1 within 0 to 2^32 - 1
    stream : 0 to 2^32 - 1
    out : an array of that shape to fill
    """
    found = np.empty((count, len(paths))) if out is None else out
    _fill(*words(seed, stream, paths.start, first), found)
    return found


def uniforms(seed: int, paths: range, count: int, *, first: int = 0, stream: int = 0) -> NDArray[np.float64]:
    """Uniform numbers in (0, 1), number first, ..., first + count - 1 of consecutive paths, shape (count, n)."""
    found = np.empty((count, len(paths)))
    _fill_uniform(*words(seed, stream, paths.start, first), found)
    return found


def words(*numbers: int) -> tuple[Any, ...]:
    """Whole numbers as the kernels want them."""
    return tuple(np.uint64(number) for number in numbers)
