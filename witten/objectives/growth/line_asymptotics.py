"""How f behaves towards the end of a line: how fast it rises, whether in waves, and what that does to rates.

Far out the operator -L is nearly that of a line alone. Its continuous spectrum starts at m^2/(2s) where f' -> m, at the
bottom of a band (`bloch_bands`) where f' becomes periodic, at zero where f' -> 0 or where barriers grow without bound;
it is empty where f' -> inf. A formula without sin, cos and tan of an argument without bound has derivatives that are
monotone in the end (Hardy), so that what is seen far out persists; waves are examined cell by cell, a period each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from witten.errors import ConvergenceError
from witten.objectives.growth.bloch_bands import lowest_of_band

__all__ = ["End", "Line", "falling", "rising", "trend"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
# Powers of t below this are taken for constants.
CONSTANT = 0.05
# Cells of waves are examined so many periods out; a value of f there has lost as many digits.
PERIODS_OUT, FURTHER = 1.0371 * 10.0 ** np.arange(2.0, 4.01, 0.5), 1e6
# Points in a cell, and the most multiples of the longest wave that make a period of all.
POINTS, MULTIPLES = 600, 40
# A phase that changes by less than this, however far one goes, makes no wave.
STILL = 1e-3
# A wave is short where so much of its phase lies between the origin and here.
SHORT = 60.0


@dataclass(frozen=True)
class Line:
    """f(t) along a ray, t > 0, and f'(t).

    Attributes
    ----------
    value, slope : functions of arrays of t
    waves : how fast the phases of sines, cosines and tangents change with t, as functions; None where it is not known
        whether there are any
    unit : a length in which the finite structure of f is of order one
    furthest : t beyond which f is not examined
    """

    value: Function
    slope: Function
    waves: tuple[Function, ...] | None
    unit: float
    furthest: float


@dataclass(frozen=True, eq=False)
class End:
    """What f does towards the end of a line."""

    line: Line

    @cached_property
    def ladder(self) -> Array:
        """Values of t, sixteen to a decade, the last six decades (or as many as there are), ascending."""
        top = self.line.furthest
        low = min(max(3 * self.line.unit, 1e-6 * top), 0.5 * top)
        return np.geomspace(low, top, max(int(16 * np.log10(top / low)), 16))

    @cached_property
    def slopes(self) -> Array:
        """f' on the ladder."""
        with np.errstate(all="ignore"):
            return self.line.slope(self.ladder)

    @cached_property
    def log_growth(self) -> tuple[float, bool]:
        """df/dlog t at the far end, inf where f overflows, and whether it still grows there; of the lows of waves."""
        t = self.line.furthest * np.array([1e-4, 1e-2, 1.0])
        with np.errstate(all="ignore"):
            f = self.line.value(t)
        if f[2] > 1e200:
            return np.inf, True
        if self.short_waves.size:
            which = [0, self.cells.size // 2, -1]
            t, f = self.cells[which], np.array([self._windows[i][1].min() for i in which])
        near, far = np.diff(f) / np.diff(np.log(t))
        return float(far), bool(far > 1.02 * near > 0)

    @cached_property
    def wave_numbers(self) -> Array:
        """Of the waves that go on, per unit of t, shape (waves, cells): none for a calm end."""
        if self.line.waves is None:
            period = _period_seen(self.line.slope, 1e3 * self.line.unit, self.line.unit)
            return np.full((0 if period is None else 1, self.cells.size), 2 * np.pi / (period or 1.0))
        numbers = self._numbers(self.cells)
        return numbers[numbers[:, -1] * self.cells[-1] > STILL]

    def _numbers(self, t: Array) -> Array:
        """How fast the phases change at some t, shape (waves, n)."""
        with np.errstate(all="ignore"):
            numbers = [abs(np.broadcast_to(wave(t), t.shape)) for wave in self.line.waves or ()]
        return np.array(numbers).reshape(-1, t.size)

    @cached_property
    def cells(self) -> Array:
        """Where cells start: so many periods out where there is a longest one that does not change, else units."""
        unit = self.line.unit
        t = unit * PERIODS_OUT
        numbers = self._numbers(t)
        steady = numbers[(abs(numbers[:, -1] - numbers[:, -2]) <= 1e-6 * numbers[:, -1]) & (numbers[:, -1] > 0)]
        if steady.size:
            period = 2 * np.pi / float(steady[:, -1].min())
            last = float(np.clip(30 * unit / period, PERIODS_OUT[-1], FURTHER))
            t = period * np.geomspace(PERIODS_OUT[0], last, PERIODS_OUT.size)
        inside = t[t < 0.3 * self.line.furthest]
        return np.asarray(inside if inside.size > 1 else self.line.furthest * np.array([0.1, 0.15, 0.2]))

    @cached_property
    def short_waves(self) -> Array:
        """Those whose length becomes small beside t."""
        return self.wave_numbers[self.wave_numbers[:, -1] * self.cells[-1] > SHORT]

    @property
    def in_waves(self) -> bool:
        """Whether f goes on in waves whose length becomes small beside t, and which its slope does not lose."""
        return self.short_waves.size > 0 and not self._fades

    @cached_property
    def periods(self) -> Array:
        """The length of a cell at each start: a period of all waves, nearly one where they have none."""
        numbers = self.short_waves
        return 2 * np.pi / numbers.min(axis=0) * _multiple(numbers[:, -1])[0]

    @property
    def periodic(self) -> bool:
        """Whether all waves fit into one period that no longer changes."""
        numbers = self.short_waves
        settled = abs(numbers[:, -1] / numbers[:, -2] - 1).max() < 1e-6
        return bool(settled and _multiple(numbers[:, -1])[1] < 1e-7)

    @cached_property
    def _windows(self) -> list[tuple[Array, Array]]:
        """t and f on a cell and the next one, at each start."""
        out = []
        for start, period in zip(self.cells, self.periods, strict=True):
            t = start + 2 * period * np.arange(2 * POINTS + 1) / (2 * POINTS)
            with np.errstate(all="ignore"):
                out.append((t, self.line.value(t)))
        return out

    @cached_property
    def _fades(self) -> bool:
        """Whether the slope varies less and less from window to window, and f only rises there."""
        with np.errstate(all="ignore"):
            slopes = [self.line.slope(t) for t, _ in self._windows]
        spread = np.array([np.ptp(slope) for slope in slopes])
        return bool(min(slope.min() for slope in slopes) > 0 and _power(self.cells, spread) < -0.2)

    @cached_property
    def drops(self) -> Array:
        """How far f falls again on its way out, in each window: barriers of wells far out."""
        return np.array([(np.maximum.accumulate(f) - f).max() for _, f in self._windows])

    @cached_property
    def barrier(self) -> float:
        """Of the wells that come again and again: inf where they grow without bound, 0 where there are none."""
        if not self.in_waves:
            return 0.0
        drops = self.drops
        if not np.isfinite(drops).all():
            return np.inf
        rounding = 1e-13 * max(abs(f).max() for _, f in self._windows)
        if drops[-1] <= rounding:
            return 0.0
        return np.inf if _power(self.cells, drops) > CONSTANT and drops[-1] > 3 * rounding else float(drops[-1])

    @cached_property
    def _least_slopes(self) -> tuple[float, float, float]:
        """What `trend` says of f'."""
        if self.in_waves:
            with np.errstate(all="ignore"):
                least = np.array([self.line.slope(t).min() for t, _ in self._windows])
            at = self.cells
        else:
            at, least = self.ladder, self.slopes
        return trend(at, least)

    @property
    def rises_steeply(self) -> bool:
        """Whether f' -> inf."""
        if self.log_growth[0] == np.inf and not self.in_waves:
            return True
        return rising(*self._least_slopes)

    @property
    def flattens(self) -> bool:
        """Whether f' -> 0, or f falls."""
        return not self.in_waves and falling(*self._least_slopes)

    def bottom(self, s: float) -> tuple[float, float]:
        """Where the continuous spectrum of this end starts at learning rate s, as a rate, and its error."""
        if self.rises_steeply:
            return np.inf, 0.0
        if self.barrier == np.inf or self.flattens:
            return 0.0, 0.0
        if self.in_waves:
            return self._bottom_of_waves(s)
        if self.wave_numbers.size and not self.short_waves.size:
            near, slope, _ = self._least_slopes
        else:
            near, slope = (float(self.slopes[i]) for i in (np.searchsorted(self.ladder, self.ladder[-1] / 31), -1))
        error = abs(slope - near) + 1e-9 * slope
        return slope**2 / (2 * s), (slope + error) * error / s

    def _bottom_of_waves(self, s: float) -> tuple[float, float]:
        """From cell to cell: the last of the values, and how much they still change."""
        found: list[tuple[float, float, float]] = []
        for start, period in zip(self.cells[::2].tolist(), self.periods[::2].tolist(), strict=True):
            try:
                found.append((start, *lowest_of_band(self._beyond(start), period, s)))
            except ConvergenceError:
                if not found:
                    raise
                break
        at, rates, errors = np.array(found).T
        if rates[-1] <= 0 or rates.size < 3:
            return float(rates[-1]), float(errors[-1])
        power = _power(at, rates)
        # From cell to cell waves without a period differ without a trend.
        if abs(power) > (CONSTANT if self.periodic else 0.3):
            return (np.inf, 0.0) if power > 0 else (0.0, 0.0)
        # Values of f lose digits on the way out, and the end is reached on it: the best of the cells is the steadiest.
        steps = abs(np.diff(rates)) + errors[1:]
        best = int(steps.argmin()) + 1
        error = float(2 * steps[best - 1] + errors[best])
        return float(rates[best]), error if self.periodic else max(error, 0.5 * float(np.ptp(rates)))

    def _beyond(self, start: float) -> Function:
        """f from there on, as it rises."""
        base = self.line.value(np.array([start]))
        return lambda t: self.line.value(start + t) - base


def trend(t: Array, slopes: Array) -> tuple[float, float, float]:
    """The smallest slope in the middle and in the last third of a range of t, and how many e-folds these are apart."""
    a, b = t.size // 3, 2 * t.size // 3
    return float(slopes[a:b].min()), float(slopes[b:].min()), float(np.log(t[b] / t[a]))


def rising(near: float, far: float, apart: float) -> bool:
    """Whether slopes with this trend grow without bound."""
    return far > 0 and (near <= 0 or np.log(far / near) > max(CONSTANT * apart, 0.1))


def falling(near: float, far: float, apart: float) -> bool:
    """Whether slopes with this trend fall to zero, or are negative."""
    return far <= 0 or (near > 0 and np.log(far / near) < -max(CONSTANT * apart, 0.1))


def _power(t: Array, values: Array) -> float:
    """p with values ~ t^p over the last half of a range of t."""
    half = int(np.searchsorted(t, np.sqrt(t[0] * t[-1])))
    with np.errstate(all="ignore"):
        return float(np.log(abs(values[-1] / values[half])) / np.log(t[-1] / t[half]))


def _multiple(numbers: Array) -> tuple[int, float]:
    """How many of the longest waves make a period of all, at most MULTIPLES, and what part of a wave is left."""
    n = np.arange(1, MULTIPLES + 1)
    turns = n * (numbers / numbers.min())[:, None]
    left = abs(turns - np.round(turns)).max(axis=0) / n
    best = int(np.argmax(left <= max(1e-8, float((left * n).min()) / n[int((left * n).argmin())])))
    return int(n[best]), float(left[best])


def _period_seen(slope: Function, start: float, unit: float) -> float | None:
    """The period of f' beyond a point, None where there is none: from its correlation with itself."""
    n, width = 4096, 40 * unit
    t = start + width * np.arange(n) / n
    with np.errstate(all="ignore"):
        g = slope(t)
    g = g - np.polyval(np.polyfit(t - start, g, 1), t - start)
    size = float(np.sqrt((g**2).mean()))
    if not (np.isfinite(size) and size > 1e-6 * abs(slope(t)).mean()):
        return None
    spectrum = np.fft.rfft(g, 2 * n)
    likeness = np.fft.irfft(abs(spectrum) ** 2)[: n // 2] / np.arange(n, n - n // 2, -1) / size**2
    below = np.flatnonzero(likeness < 0.5)
    if not below.size:
        return None
    top = (likeness[1:-1] > 0.97) & (likeness[1:-1] >= likeness[:-2]) & (likeness[1:-1] >= likeness[2:])
    peaks = 1 + np.flatnonzero(top)
    peaks = peaks[peaks > below[0]]
    if not peaks.size:
        return None

    def mismatch(period: float) -> float:
        return float(((slope(t[: n // 2] + period) - slope(t[: n // 2])) ** 2).mean())

    guess, step = float(peaks[0]) * width / n, 2 * width / n
    bounds, options = (guess - step, guess + step), {"xatol": 1e-10 * guess}
    best = minimize_scalar(mismatch, bounds=bounds, method="bounded", options=options)
    return float(best.x) if best.fun < 1e-4 * size**2 else None
