"""At which level of a reaction coordinate a point is. Kernels."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["LEVELS", "level_along", "level_of"]

# Levels of a reaction coordinate; the level of the target comes after them.
LEVELS = 1024
compiled = numba.njit(cache=True, error_model="numpy", nogil=True)


@compiled
def level_of(x, low, spacing, shape, table, first, scale):  # type: ignore[no-untyped-def]
    """floor(scale (table(x) - first)) within 0 and LEVELS - 1, the table interpolated between the nodes of its grid."""
    d = x.size
    corner = 0
    share = np.empty(d)
    for a in range(d):
        place = (x[a] - low[a]) / spacing[a]
        cell = int(min(max(np.floor(place), 0.0), shape[a] - 2.0))
        share[a] = min(max(place - cell, 0.0), 1.0)
        corner = corner * shape[a] + cell
    total = 0.0
    for vertex in range(1 << d):
        weight, index, stride = 1.0, corner, 1
        for a in range(d - 1, -1, -1):
            if (vertex >> a) & 1:
                weight *= share[a]
                index += stride
            else:
                weight *= 1.0 - share[a]
            stride *= shape[a]
        total += weight * table[index]
    return int(min(max((total - first) * scale, 0.0), LEVELS - 1.0))


@compiled
def level_along(x, nodes, values, joined, first, scale):  # type: ignore[no-untyped-def]
    """The same at the foot of x on the paths through nodes (d, n): on a side of the node that is nearest to x.

    joined[k] is 1 if the nodes k and k + 1 are neighbours on a path; the last is 0.
    """
    d, n = nodes.shape
    away = np.zeros(n)
    for a in range(d):
        for k in range(n):
            away[k] += (x[a] - nodes[a, k]) * (x[a] - nodes[a, k])
    nearest = int(np.argmin(away))
    found = values[nearest]
    best = 0.0
    for side in range(2):
        k = nearest - 1 + side
        if k < 0 or joined[k] == 0:
            continue
        other = nearest - 1 + 2 * side
        along = length = 0.0
        for a in range(d):
            step = nodes[a, other] - nodes[a, nearest]
            along += step * (x[a] - nodes[a, nearest])
            length += step * step
        # By how much the foot is nearer than the node, squared.
        if along > 0.0 and along * along > best * length:
            best = along * along / length
            found = values[nearest] + min(along / length, 1.0) * (values[other] - values[nearest])
    return int(min(max((found - first) * scale, 0.0), LEVELS - 1.0))
