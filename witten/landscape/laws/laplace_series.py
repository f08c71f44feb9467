"""The law in one dimension to any order in T = s/2: Laplace's method, and how far off its sums are.

With f = f(x*) +- y^2/2 (1 + B(y)) near a minimum or a maximum, y = sqrt|h| (x - x*) for the curvature h there,

    int e^{-+(f - f(x*))/T} dx ~ sqrt(2 pi T/|h|) (1 + a_1 T + a_2 T^2 + ...),  a_k = (2k-1)!! [y^2k] (1 + B)^{-k-1/2}:

substitute w = y sqrt(1 + B) and invert the series by Lagrange's formula. At a minimum that is the mass of its well, at
a maximum T over the capacity between its neighbours, where the integral ends at the neighbours. The series diverge:
beyond some order that depends on T they get worse. The integral itself says which, and how far off a sum is. With the
integrals the chain on wells has the small rates but for a part of about a rate times the time that a passage takes
(`passage_time`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from witten.landscape.landscape import Landscape
from witten.landscape.laws.first_order import PointExpansion, first_order
from witten.objectives.symbolic.taylor import Taylor, taylor_vocabulary

__all__ = ["HIGHEST_ORDER", "LaplaceSeries", "SeriesLaw", "series_law"]

Array = NDArray[np.float64]
# Terms behave like (k - 1)! (T/F)^k, F the height of a barrier: the smallest is about e^(-F/T), the F/T-th, and below
# the rounding of doubles where further ones would be of use.
HIGHEST_ORDER = 40
# Panels of Gauss's rule, points on each, steps of the times: equal in thermal widths near a point, longer far off.
PANEL, NODES, FINE = 0.5, 12, 0.1
FARTHEST = 1e12
# V where an integrand e^{-V} has ended, and where a time has; by how much it falls beyond a top.
HIGHEST, DEEPEST, FALL = 50.0, 600.0, 1.0
# The bar is so many times the difference between sum and integral.
SAFETY = 2.0


@dataclass(frozen=True, eq=False)
class LaplaceSeries:
    """The series at a minimum or a maximum of a function of one variable.

    Attributes
    ----------
    point : where, in coordinates of the size of the landscape
    neighbours : the extrema to the left and to the right; None where there is none
    """

    point: PointExpansion
    neighbours: tuple[PointExpansion | None, PointExpansion | None]

    @cached_property
    def sign(self) -> float:
        """1 at a minimum, -1 at a maximum."""
        return float(np.sign(self.point.local.curvatures[0]))

    @cached_property
    def coefficients(self) -> Array:
        """d_1, d_2, ... with log int = log sqrt(2 pi T/|h|) + d_1 T + d_2 T^2 + ..."""
        vocabulary, (axis,) = taylor_vocabulary(), self.point.local.axes.T
        bend = 2 * self.sign * self.point.objective.along(self.point.x, axis, 2 * HIGHEST_ORDER + 2)[2:]
        bend[0] = 1.0
        power, inverse = (np.array(vocabulary["root"](Taylor(tuple(bend)), p).parts) for p in (-0.5, -1.0))
        a, odd = [1.0], 1.0
        for k in range(1, HIGHEST_ORDER + 1):
            power, odd = np.convolve(power, inverse)[: bend.size], odd * (2 * k - 1)
            a.append(odd * float(power[2 * k]))
        return np.array(vocabulary["log"](Taylor(tuple(a))).parts[1:])

    def log_factor(self, t: float, order: int) -> tuple[float, float]:
        """So many terms at T = t, or fewer: of the logarithm of the mass, or of that of the capacity; and its error.

        The sum ends where it is nearest to the integral, since beyond some term it is only worse."""
        value, error = self.log_integral(t)
        sums = np.cumsum([0.0, *self.coefficients[:order] * t ** np.arange(1.0, order + 1)])
        off = abs(sums - value)
        best = int(np.where(np.isfinite(off), off, np.inf).argmin())
        return self.sign * float(sums[best]), SAFETY * float(off[best]) + error + self.point.rounding(t)

    def log_integral(self, t: float) -> tuple[float, float]:
        """The logarithm of the integral between the neighbours over sqrt(2 pi T/|h|), and its error."""
        fine, coarse = (sum(self._half_integral(t, side, panel) for side in (0, 1)) for panel in (PANEL, 2 * PANEL))
        return math.log(fine / math.sqrt(2 * math.pi)), abs(fine - coarse) / fine

    def passage_time(self, t: float) -> float:
        """|h| times the mean time of a passage between the neighbours of a maximum, from its last moment at the one:
        int e^V dy int q (1 - q) e^{-V} dy, V = (f - f(x*))/T, q the committor ([E2006])."""
        y = np.unique(np.concatenate([self._seen_from(p, t) for p in (self.point, *self.neighbours) if p is not None]))
        depth = self._depth(t, y)
        y, depth = y[depth < DEEPEST], depth[depth < DEEPEST]
        steps = np.diff(y) * (np.exp(-depth[1:]) + np.exp(-depth[:-1])) / 2
        ahead, behind = np.append(0.0, np.cumsum(steps)), np.append(np.cumsum(steps[::-1])[::-1], 0.0)
        return float(np.trapezoid(ahead * behind * np.exp(depth), y) / steps.sum())

    def _half_integral(self, t: float, side: int, panel: float) -> float:
        """int e^{-V} dy from the point to its neighbour on the left (0) or right (1), y in thermal widths. Where there
        is none V grows on, but outside of a box of the user's: it ends where V falls."""
        edges = _graded(self._ends(t)[side], panel)
        depth = self._depth(t, edges)
        over = np.flatnonzero((depth > HIGHEST) | (depth < np.maximum.accumulate(depth) - FALL))
        edges = edges[: over[0] + 1] if over.size else edges
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        half = np.diff(edges)[:, None] / 2
        y = edges[:-1, None] + half * (1 + nodes)
        return float((abs(half) * weights * np.exp(-self._depth(t, y))).sum())

    def _width(self, t: float) -> float:
        return math.sqrt(t) * abs(float(self.point.local.axes[0, 0]))

    def _ends(self, t: float) -> tuple[float, float]:
        """The neighbours, in thermal widths from the point."""
        left, right = (math.inf if p is None else abs(float(p.x[0] - self.point.x[0])) for p in self.neighbours)
        return -min(left / self._width(t), FARTHEST), min(right / self._width(t), FARTHEST)

    def _seen_from(self, point: PointExpansion, t: float) -> Array:
        """Places between the neighbours, close to each other beside a point: in thermal widths of this one."""
        low, high = self._ends(t)
        shift, scale = (
            float(point.x[0] - self.point.x[0]) / self._width(t),
            abs(float(point.local.axes[0, 0] / self.point.local.axes[0, 0])),
        )
        both = np.concatenate([_graded((end - shift) / scale, FINE) for end in (low, high)])
        return np.clip(shift + scale * both, low, high)

    def _depth(self, t: float, y: Array) -> Array:
        """|f - f(x*)|/T at y thermal widths from the point; inf where f is not finite."""
        with np.errstate(all="ignore"):
            f = np.asarray(self.point.objective(self.point.x[:, None] + self._width(t) * y.reshape(1, -1)))
            return np.nan_to_num(self.sign * (f - self.point.value) / t, nan=np.inf, posinf=np.inf).reshape(y.shape)


def _graded(end: float, step: float) -> Array:
    """From 0 to an end in steps that are equal at first and then proportional to the distance."""
    count = int(math.asinh(abs(end) / 4) * 4 / step)
    inner = math.copysign(4.0, end) * np.sinh(np.arange(count + 1) * step / 4)
    return np.append(inner[abs(inner) < abs(end)], end)


@dataclass(frozen=True, eq=False)
class SeriesLaw:
    """The series at the minima and at the saddles of a landscape on a line, in their order."""

    minima: tuple[LaplaceSeries, ...]
    saddles: tuple[LaplaceSeries, ...]

    def log_factors(self, t: float, order: int, side: int = 0) -> tuple[Array, Array]:
        """What is added at T = t to the logarithms of masses and of conductances; with side = 1 or -1 for the fastest
        or slowest rates within the errors, as in `FirstOrder`."""
        values, errors = _evaluated(self, t, order)
        n = len(self.minima)
        return values[:n] - side * errors[:n], values[n:] + side * errors[n:]

    def passage_times(self, t: float) -> Array:
        """`passage_time` of each saddle."""
        return np.array([z.passage_time(t) for z in self.saddles])


@lru_cache(maxsize=4)
def _evaluated(law: SeriesLaw, t: float, order: int) -> tuple[Array, Array]:
    values, errors = np.array([p.log_factor(t, order) for p in (*law.minima, *law.saddles)]).T
    return values, errors


@lru_cache(maxsize=16)
def series_law(landscape: Landscape) -> SeriesLaw:
    """The series at all extrema of a function of one variable that has a formula, none of them degenerate."""
    points = first_order(landscape)
    line = sorted((*points.minima, *points.saddles), key=lambda p: float(p.x[0]))
    beside = zip([None, *line[:-1]], [*line[1:], None], strict=True)
    series = {id(p): LaplaceSeries(p, pair) for p, pair in zip(line, beside, strict=True)}
    return SeriesLaw(tuple(series[id(p)] for p in points.minima), tuple(series[id(p)] for p in points.saddles))
