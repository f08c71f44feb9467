"""The integral of a function of one variable from a fixed place, to rounding, over all of space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial.legendre import leggauss, legval, legvander
from numpy.typing import NDArray

__all__ = ["Primitive"]

Array = NDArray[np.float64]
TERMS = 24
# Panels are first so wide in t, x = c + unit sinh t; halved so often; and at most so many at a time.
WIDTH, FARTHEST, HALVINGS, MOST_PANELS = 0.25, 34.0, 40, 4_000
# A series has converged where its last terms are below this part of the largest, and what rounding of x makes of them.
CONVERGED, ROUNDING = 3e-14, 32 * float(np.finfo(float).eps)
NODES, WEIGHTS = leggauss(TERMS)


class Primitive:
    """P(x) = int_c^x q: Legendre series on panels that are halved until they have converged.

    P is nan beyond places where q is not finite or is not resolved. x is (n,), and so is P(x).

    >>> from witten.noise.primitive import Primitive
    >>> print(f"{Primitive(np.cos, 0.0, 1.0)(np.array([np.pi / 2]))[0]:.15f}")
    1.000000000000000

    Parameters
    ----------
    q : (n,) -> (n,)
    centre, unit : c, and a length over which q changes
    """

    def __init__(self, q: Callable[[Array], Array], centre: float, unit: float) -> None:
        self.q, self.centre, self.unit = q, centre, unit
        ends = np.arange(-FARTHEST, FARTHEST + WIDTH / 2, WIDTH)
        low, high, series = self._panels(ends[:-1], ends[1:])
        half = (high - low) / 2
        self.low, self.half = low, half
        self.series = half * _integrated(series)
        areas = 2 * half * series[0]
        middle = int(np.searchsorted(low, -1e-12))
        right = np.concatenate([[0.0], np.cumsum(areas[middle:])[:-1]])
        left = -np.cumsum(areas[:middle][::-1])[::-1]
        self.starts = np.concatenate([left, right])

    def _panels(self, low: Array, high: Array) -> tuple[Array, Array, Array]:
        done: list[tuple[Array, Array, Array]] = []
        for depth in range(HALVINGS):
            series = self._series(low, high)
            size = abs(series).max(axis=0)
            lost = ~np.isfinite(size) | self._too_far(low, high)
            fine = (abs(series[-2:]).max(axis=0) <= self._tolerance(low, high) * size) | (depth == HALVINGS - 1)
            lost &= ~fine
            series[:, lost], fine = np.nan, fine | lost
            done.append((low[fine], high[fine], series[:, fine]))
            low, high = low[~fine], high[~fine]
            if not low.size:
                break
            middle = (low + high) / 2
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        low, high, series = (np.concatenate(part, axis=-1) for part in zip(*done, strict=True))
        order = np.argsort(low)
        return low[order], high[order], series[:, order]

    def _too_far(self, low: Array, high: Array) -> NDArray[np.bool_]:
        """All but the nearest panels, where there are too many: q waves without end."""
        distances = np.minimum(abs(low), abs(high))
        if low.size <= MOST_PANELS:
            return np.zeros(low.shape, dtype=bool)
        return np.asarray(distances > np.partition(distances, MOST_PANELS)[MOST_PANELS])

    def _tolerance(self, low: Array, high: Array) -> Array:
        """x is rounded, and with it q, more so in short panels."""
        ends = self.unit * np.sinh(np.array([low, high]))
        with np.errstate(divide="ignore"):
            return CONVERGED + ROUNDING * (abs(self.centre) + abs(ends).max(axis=0)) / abs(ends[1] - ends[0])

    def _series(self, low: Array, high: Array) -> Array:
        """Legendre coefficients of q dx/dt on panels in t, (TERMS, panels)."""
        t = (low + high) / 2 + (high - low) / 2 * NODES[:, None]
        with np.errstate(all="ignore"):
            values = self.q((self.centre + self.unit * np.sinh(t)).ravel()).reshape(t.shape) * self.unit * np.cosh(t)
            degrees = np.arange(TERMS)
            return (degrees[:, None] + 0.5) * ((legvander(NODES, TERMS - 1) * WEIGHTS[:, None]).T @ values)

    def __call__(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            t = np.arcsinh((np.asarray(x, dtype=float) - self.centre) / self.unit)
        at = np.clip(np.searchsorted(self.low, t, side="right") - 1, 0, self.low.size - 1)
        u = (t - self.low[at]) / self.half[at] - 1
        values = legval(u, self.series[:, at], tensor=False) + self.starts[at]
        return np.where(abs(u) <= 1 + 1e-9, values, np.nan)


def _integrated(series: Array) -> Array:
    """The series of the integral from -1, (TERMS + 1, panels)."""
    padded = np.vstack([series, np.zeros((2, series.shape[1]))])
    degrees = np.arange(len(series) + 1)[:, None]
    below = np.vstack([np.zeros((1, series.shape[1])), padded[: len(series)]])
    out = below / np.maximum(2 * degrees - 1, 1) - padded[1 : len(series) + 2] / (2 * degrees + 3)
    out[0] = 0.0
    signs = (-1.0) ** degrees
    out[0] = -(out * signs).sum(axis=0)
    return np.asarray(out)
