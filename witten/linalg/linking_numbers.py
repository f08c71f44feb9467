"""Linking numbers of polygons in space, by the integral of Gauss, exact for every pair of edges: the steps from one to
the other fill a parallelogram, two triangles whose solid angles are known [VanOosterom1983]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["gauss_integral"]

Array = NDArray[np.float64]


def gauss_integral(a: Array, b: Array) -> float:
    """(1/4 pi) int int (a - b) . (da x db)/|a - b|^3 along two polylines that do not meet, shapes (3, n) and (3, m).

    For two closed ones it is their linking number; for closed ones in pieces that is the sum over the pieces.

    >>> from witten.linalg.linking_numbers import gauss_integral
    >>> t = np.linspace(0, 2 * np.pi, 7)
    >>> ring = np.array([np.cos(t), np.sin(t), 0 * t])
    >>> linked = np.array([1 + np.cos(t), 0 * t, np.sin(t)])
    >>> abs(round(gauss_integral(ring, linked), 6)), abs(round(gauss_integral(ring, linked + 5), 6))
    (1.0, 0.0)
    """
    (a0, a1), (b0, b1) = ((x[:, :-1], x[:, 1:]) for x in (a, b))
    pairs = ((a0, b0), (a1, b0), (a1, b1), (a0, b1))
    first, second, third, fourth = (_directions(p[:, :, None], q[:, None, :]) for p, q in pairs)
    return float((_solid_angle(first, second, third) + _solid_angle(first, third, fourth)).sum() / (4 * np.pi))


def _directions(p: Array, q: Array) -> Array:
    """From p to q, unit vectors."""
    x = q - p
    return x / np.maximum(np.sqrt(np.einsum("i...,i...", x, x)), np.finfo(float).tiny)


def _solid_angle(a: Array, b: Array, c: Array) -> Array:
    """Of the triangle with corners in these directions, signed."""
    volume = np.einsum("i...,i...", a, np.cross(b, c, axis=0))
    return 2 * np.arctan2(volume, 1 + sum(np.einsum("i...,i...", x, y) for x, y in ((a, b), (b, c), (c, a))))
