"""Selling's decomposition: a symmetric positive matrix as a sum of r e e^T with r >= 0 and integer vectors e."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from witten.operators.kernels import kernel

__all__ = ["selling"]

Array = NDArray[np.float64]
# Steps of the reduction; a condition of 10^12 takes some dozens. Products below this part of the trace count as none.
STEPS, NOTHING = 1000, 1e-14


def selling(matrices: Array) -> tuple[Array, NDArray[np.int64]]:
    """D(x) = sum_k r_k(x) e_k(x) e_k(x)^T for matrices (d, d, n), d = 2 or 3: r (m, n), e (m, d, n), m = 3 or 6.

    The superbase b_0 + ... + b_d = 0 is reduced until all b_i . D b_j <= 0; r_ij = -b_i . D b_j, and e_ij is
    perpendicular to the others. Source: [Fehrenbach2014].
    """
    d, n = len(matrices), matrices.shape[2]
    if d == 1:
        return matrices[0].copy(), np.ones((1, 1, n), dtype=np.int64)
    m = 3 if d == 2 else 6
    weights, offsets = np.zeros((m, n)), np.zeros((m, d, n), dtype=np.int64)
    start = np.vstack([np.eye(d, dtype=np.int64), -np.ones((1, d), dtype=np.int64)])
    _decompose(np.ascontiguousarray(np.moveaxis(matrices, 2, 0)), start, weights, offsets)
    return weights, offsets


@numba.njit(cache=True)
def _product(matrix, v, w):  # type: ignore[no-untyped-def]
    total = 0.0
    for p in range(len(matrix)):
        for q in range(len(matrix)):
            total += v[p] * matrix[p, q] * w[q]
    return total


@kernel
def _decompose(matrices, start, weights, offsets):  # type: ignore[no-untyped-def]
    for at in numba.prange(len(matrices)):
        matrix, base = matrices[at], start.copy()
        d = len(matrix)
        trace = 0.0
        for i in range(d):
            trace += matrix[i, i]
        for _ in range(STEPS):
            worst, first, second = NOTHING * trace, -1, -1
            for i in range(d + 1):
                for j in range(i + 1, d + 1):
                    product = _product(matrix, base[i], base[j])
                    if product > worst:
                        worst, first, second = product, i, j
            if first < 0:
                break
            for p in range(d):
                moved = base[first, p]
                if d == 2:
                    third = 3 - first - second
                    base[third, p] = moved - base[second, p]
                else:
                    for k in range(4):
                        if k != first and k != second:
                            base[k, p] += moved
                base[first, p] = -moved
        k = 0
        for i in range(d + 1):
            for j in range(i + 1, d + 1):
                weights[k, at] = max(-_product(matrix, base[i], base[j]), 0.0)
                if d == 2:
                    third = 3 - i - j
                    offsets[k, 0, at], offsets[k, 1, at] = -base[third, 1], base[third, 0]
                else:
                    u, v = -1, -1
                    for other in range(4):
                        if other != i and other != j:
                            if u < 0:
                                u = other
                            else:
                                v = other
                    for p in range(3):
                        a, b = (p + 1) % 3, (p + 2) % 3
                        offsets[k, p, at] = base[u, a] * base[v, b] - base[u, b] * base[v, a]
                k += 1
