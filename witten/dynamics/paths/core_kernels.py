"""In which core set a point is, for paths that are watched and for paths that are split. Kernels."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["core_of"]

# Up to so many dimensions matrices are small enough for sums in registers.
SMALL = 3
compiled = numba.njit(cache=True, error_model="numpy", nogil=True)


@compiled
def _core_of_many(x, centres, metrics):  # type: ignore[no-untyped-def]
    m, d = centres.shape
    away, image = np.empty(d), np.empty(d)
    for k in range(m):
        for a in range(d):
            away[a] = x[a] - centres[k, a]
            image[a] = 0.0
        # Metrics are symmetric: by rows, because that is a loop without a sum, which compilers spread over lanes.
        for b in range(d):
            for a in range(d):
                image[a] += metrics[k, b, a] * away[b]
        total = 0.0
        for a in range(d):
            total += away[a] * image[a]
        if total <= 1.0:
            return k
    return -1


@compiled
def core_of(x, centres, metrics):  # type: ignore[no-untyped-def]
    """The number of the core (x - c)^T M (x - c) <= 1 that holds x, or -1."""
    m, d = centres.shape
    if d > SMALL:
        return _core_of_many(x, centres, metrics)
    for k in range(m):
        total = 0.0
        for a in range(d):
            inner = 0.0
            for b in range(d):
                inner += metrics[k, a, b] * (x[b] - centres[k, b])
            total += (x[a] - centres[k, a]) * inner
        if total <= 1.0:
            return k
    return -1
