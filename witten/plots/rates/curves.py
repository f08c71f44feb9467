"""The rate against the learning rate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.plots.style import (
    BLUE,
    GREY,
    VERMILION,
    Array,
    check_place,
    finished,
    log_ticks,
    method_name,
    new_figure,
    shortened,
)
from witten.rates import RateCurve, sensible_fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LogScale", "heading", "learning_rate_axis", "learning_rate_ticks", "plot_curve"]

# Below this a double has no logarithmic axis left, and log10 is drawn instead.
LOWEST_DECADE = -300.0


def plot_curve(curve: RateCurve, path: str | Path | None = None) -> Figure:
    """The rate, on a log axis, against 1/s; s is on the upper axis, unresolved points are hollow.

    Raises
    ------
    RequestError
        if the curve is empty, or `path` cannot be written.
    """
    if not curve.learning_rates.size:
        raise RequestError("nothing to plot: the curve holds no learning rate")
    check_place(path)
    figure, (axes,) = new_figure(1, 1, (7.2, 4.8))
    inverse = 1 / curve.learning_rates
    scale = LogScale(curve)
    _draw_points(axes, curve, inverse, scale)
    _draw_law(axes, curve, inverse, scale)
    scale.label(axes)
    axes.set_xlabel("$1/s$")
    axes.margins(x=0.05, y=0.08)
    axes.grid(True, color="0.9", linewidth=0.6)
    learning_rate_axis(axes, inverse)
    axes.set_title(heading(curve), pad=10, fontsize=11)
    _room(axes, curve)
    return finished(figure, path)


def heading(curve: RateCurve) -> str:
    """The objective, with the noise where it is not of unit strength, and the momentum where there is one."""
    told, options = [shortened(curve.objective)], curve.options
    if options.get("covariance"):
        told.append(f"noise {shortened(options['covariance'], 30)}")
    if options.get("noise", 1.0) != 1.0:
        told.append(rf"$\sigma = {options['noise']:g}$")
    if options.get("momentum"):
        told.append(f"momentum {options['momentum']:g}")
    return ", ".join(told)


class LogScale:
    """Rates as heights in the picture: themselves on a log axis, or their log10 where doubles underflow."""

    def __init__(self, curve: RateCurve) -> None:
        finite = curve.log_rates[np.isfinite(curve.log_rates)]
        self.underflow = bool(finite.size and finite.min() < LOWEST_DECADE * math.log(10))

    def __call__(self, log_rates: Array) -> Array:
        return np.asarray(log_rates / math.log(10) if self.underflow else np.exp(log_rates))

    def label(self, axes: Axes) -> None:
        if self.underflow:
            axes.set_ylabel(r"$\log_{10}\,\lambda_s$")
        else:
            axes.set_yscale("log")
            axes.set_ylabel(r"rate $\lambda_s$")


def _draw_points(axes: Axes, curve: RateCurve, inverse: Array, scale: LogScale) -> None:
    """Resolved points with bars; unresolved ones hollow, as upper bounds where no lower end is known."""
    good = curve.resolved & np.isfinite(curve.log_rates)
    if good.any():
        bars = np.maximum(np.abs(_bars(curve, good, scale)), 0.0)
        widest = float(np.max(curve.upper[good] - np.maximum(curve.lower[good], curve.log_rates[good] - 50)))
        span = float(np.ptp(curve.log_rates[good])) or 1.0
        note = ", error bars smaller than the points" if widest < 0.015 * max(span, 1.0) else ""
        axes.errorbar(
            inverse[good],
            scale(curve.log_rates[good]),
            yerr=bars,
            fmt="o",
            color=BLUE,
            markersize=5,
            capsize=3,
            elinewidth=1.2,
            zorder=3,
            label=f"{method_name(curve.method)}{note}",
        )
    edge = good & curve.continuous
    if edge.any():
        axes.plot(
            inverse[edge],
            scale(curve.log_rates[edge]),
            linestyle="none",
            marker="s",
            markerfacecolor="none",
            markeredgecolor=GREY,
            markersize=9,
            zorder=2,
            label="bottom of the continuous spectrum",
        )
    bad = ~good & np.isfinite(curve.upper)
    if bad.any():
        axes.plot(
            inverse[bad],
            scale(curve.upper[bad]),
            linestyle="none",
            marker="v",
            markerfacecolor="white",
            markeredgecolor=VERMILION,
            markersize=6.5,
            zorder=3,
            label="unresolved: the rate lies below",
        )


def _room(axes: Axes, curve: RateCurve) -> None:
    """A decade at least from bottom to top, and the legend where a falling curve leaves room."""
    finite = curve.log_rates[np.isfinite(curve.log_rates)]
    span = float(np.ptp(finite)) / math.log(10) if finite.size else 0.0
    if span < 0.5 and finite.size:
        middle = math.exp(float(finite.mean())) if axes.get_yscale() == "log" else 0.0
        if middle:
            axes.set_ylim(middle / 10, middle * 10)
    handles, labels = axes.get_legend_handles_labels()
    points_first = sorted(zip(labels, handles, strict=True), key=lambda entry: entry[0].startswith("$"))
    if points_first:
        labels, handles = (list(column) for column in zip(*points_first, strict=True))
        axes.legend(handles, labels, frameon=False, fontsize=9, loc="upper right")
    if axes.get_yscale() == "log":
        log_ticks(axes.yaxis)


def _bars(curve: RateCurve, rows: NDArray[np.bool_], scale: LogScale) -> Array:
    """Lengths of the error bars below and above the points, shape (2, n)."""
    middle = scale(curve.log_rates[rows])
    lower = np.maximum(curve.lower[rows], curve.log_rates[rows] - 50)
    return np.array([middle - scale(lower), scale(curve.upper[rows]) - middle])


def _draw_law(axes: Axes, curve: RateCurve, inverse: Array, scale: LogScale) -> None:
    """The leading law alpha e^{-2H/s}, when the rates distinguish a barrier from none."""
    fit = sensible_fit(curve)
    if fit is None:
        return
    good = curve.resolved & np.isfinite(curve.log_rates)
    x = np.linspace(inverse[good].min(), inverse.max(), 200)
    law = math.log(fit.prefactor) - 2 * fit.barrier * x / curve.noise**2
    label = rf"$\alpha\,e^{{-2H/s}}$: $H={_plus_minus(fit.barrier, fit.barrier_error)}$, " + (
        rf"$\alpha={_plus_minus(fit.prefactor, fit.prefactor_error)}$"
    )
    axes.plot(x, scale(law), color=GREY, linewidth=1.2, linestyle="--", zorder=2, label=label)


def _plus_minus(value: float, error: float) -> str:
    """The value with the error of its last two digits in brackets, 0.24999(82); ten digits at most."""
    digits = min(max(1 - math.floor(math.log10(error)), 0), 10) if error > 0 else 10
    return f"{value:.{digits}f}({max(math.ceil(error * 10**digits), 1)})"


def learning_rate_axis(axes: Axes, inverse: Array) -> None:
    """An upper axis that counts in s: round values that leave room for each other."""
    top = axes.secondary_xaxis("top")
    low, high = axes.get_xlim()
    chosen: list[float] = []
    for s in _round_values(inverse):
        if all(abs(1 / s - 1 / other) > 0.075 * (high - low) for other in chosen):
            chosen.append(s)
    top.set_xticks([1 / s for s in chosen], [f"{s:g}" for s in chosen])
    top.minorticks_off()
    top.set_xlabel("learning rate $s$")


def learning_rate_ticks(axes: Axes, s: Array) -> None:
    """Both ends of the learning rates and round ones between, on a logarithmic axis."""
    low, high = np.log(axes.get_xlim())
    chosen: list[float] = []
    for value in (float(s.min()), float(s.max()), *_round_values(1 / s)):
        if all(abs(math.log(value / other)) > 0.06 * (high - low) for other in chosen):
            chosen.append(value)
    axes.set_xticks(chosen, [f"{value:.3g}" for value in chosen])
    axes.minorticks_off()


def _round_values(inverse: Array) -> list[float]:
    """Learning rates within the range to label, the roundest first; the ends of the range before them."""
    low, high = 1 / float(inverse.max()), 1 / float(inverse.min())
    ends = [s for s in (low, high) if float(f"{s:.2g}") == float(f"{s:.12g}")]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    rounds = [float(f"{m}e{e}") for m in (1, 2, 5, 3, 1.5, 4, 2.5, 7) for e in decades]
    inside = [s for s in rounds if low * (1 - 1e-9) <= s <= high * (1 + 1e-9)]
    return ends + inside if ends + inside else [float(f"{low:.3g}")]
