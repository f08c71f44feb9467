"""Where a slow mode may live: a fact about f alone, that tells how far to look.

A mode of the rate lambda oscillates or is large only where V_s <= 2 lambda, V_s = |grad f|^2/s - Lap f, and decays
elsewhere, be there measure or not: a plateau or a shallow well far above all saddles may hold one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SlowPlaces", "slow_places"]

Array = NDArray[np.float64]
# Cells along each axis.
CELLS = {1: 2000, 2: 400, 3: 96}
# How often the box is tripled while V_s is small on its rim.
GROWTH = 6


@dataclass(frozen=True)
class SlowPlaces:
    """{V_s <= 2 lambda}, as far as a grid sees it.

    Attributes
    ----------
    level : the largest f there; -inf where there is none
    end : whether V_s > 2 lambda far out; else there may be no such mode, but a continuous spectrum
    """

    level: float
    end: bool


def slow_places(f: Callable[[Array], ArrayLike], s: float, low: Array, high: Array, rate: float) -> SlowPlaces:
    """{V_s <= 2 rate} in and around a box with these corners, shape (d,), and [-1, 1]^d, in one to three dimensions."""
    low, high = np.minimum(low, -1.0), np.maximum(high, 1.0)
    for _ in range(GROWTH):
        low, high = 2 * low - high, 2 * high - low
        values, spacing = _on_grid(f, low, high)
        slow = _schroedinger_potential(values, spacing, s) <= 2 * rate
        end = not _touches_rim(slow)
        if end:
            break
    return SlowPlaces(float(values[slow].max(initial=-np.inf)), end)


def _on_grid(f: Callable[[Array], ArrayLike], low: Array, high: Array) -> tuple[Array, Array]:
    """f at the centres of cells, +inf where it is not finite, and the sides of the cells."""
    n = CELLS[low.size]
    axes = [a + (b - a) * (np.arange(n) + 0.5) / n for a, b in zip(low, high, strict=True)]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    with np.errstate(all="ignore"):
        values = np.asarray(f(points), dtype=float)
    return np.where(np.isfinite(values), values, np.inf).reshape((n,) * low.size), (high - low) / n


def _schroedinger_potential(f: Array, spacing: Array, s: float) -> Array:
    """V_s by central differences; on the rim those next to it, +inf where f is not finite."""
    potential = np.zeros_like(f)
    with np.errstate(all="ignore"):
        for axis, h in enumerate(spacing):
            a, b, c = (np.take(f, range(i, f.shape[axis] - 2 + i), axis) for i in range(3))
            inner = ((c - a) / (2 * h)) ** 2 / s - (a - 2 * b + c) / h**2
            rim = [(1, 1) if i == axis else (0, 0) for i in range(f.ndim)]
            potential += np.pad(inner, rim, mode="edge")
    return np.where(np.isfinite(potential), potential, np.inf)


def _touches_rim(mask: NDArray[np.bool_]) -> bool:
    return any(mask.take(i, axis).any() for axis in range(mask.ndim) for i in (0, -1))
