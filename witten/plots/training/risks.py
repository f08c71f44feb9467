"""Excess risk along schedules, against the step and against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.display import Displayed
from witten.errors import RequestError
from witten.langevin import momentum_in_words
from witten.plots.style import GREY, PALETTE, check_place, finished, log_ticks, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.risk import RiskCurve

__all__ = ["LAWS", "plot_risks"]

# Which of the two distributions a method computes: they differ by O(s).
LAWS = {"chain": "SGD, exact", "spectral": "SDE, exact", "simulate": "runs"}
# How many times as long the longest schedule may be as the shortest on a linear axis.
SMEAR = 8.0


def plot_risks(curves: RiskCurve | Sequence[RiskCurve], path: str | Path | None = None) -> Figure:
    """E f - min f against k and against t = s k; plateaus dashed, intervals shaded, the last crossing of two marked.

    Where one schedule is many times as long as another the axes are logarithmic.

    Raises
    ------
    RequestError
        if there is nothing to draw, or `path` cannot be written.
    """
    check_place(path)
    curves = [curves] if isinstance(curves, Displayed) else curves
    if not curves:
        raise RequestError("nothing to plot: give at least one curve of risk")
    figure, (by_step, by_time) = new_figure(1, 2, (11.0, 4.6), sharey=True)
    for number, curve in enumerate(curves):
        colour = PALETTE[number % len(PALETTE)]
        for axes, at in ((by_step, curve.steps), (by_time, curve.time)):
            _draw(axes, curve, at, colour)
    _mark_crossing(by_time, curves)
    if any(_plateau(curve).any() for curve in curves):
        colour = PALETTE[0] if len(curves) == 1 else "black"
        by_step.plot([], [], color=colour, linewidth=1.0, linestyle="--", label="plateau at the learning rate")
    for axes, label in ((by_step, "step $k$"), (by_time, r"time $t = \sum s_k$")):
        axes.set_xlabel(label)
        _shorten(axes, [float((curve.steps if axes is by_step else curve.time)[-1]) for curve in curves])
        axes.set_yscale("log")
        axes.grid(True, color="0.9", linewidth=0.6)
    by_step.set_ylabel(r"excess risk $\mathrm{E} f(X_k) - \min f$")
    log_ticks(by_step.yaxis)
    drawn = by_step.get_legend_handles_labels()
    figure.legend(*drawn, frameon=False, fontsize=8.5, loc="outside lower center", ncols=2)
    start = ", ".join(f"{x:.4g}" for x in curves[0].start)
    figure.suptitle(f"{shortened(curves[0].objective)} from ({start})", fontsize=11)
    return finished(figure, path)


def _draw(axes: Axes, curve: RiskCurve, at: np.ndarray, colour: str) -> None:
    name = f"{LAWS.get(curve.method, curve.method)}: {shortened(curve.schedule.text, 34)}"
    name += momentum_in_words(curve.momentum, curve.nesterov)
    axes.plot(at, curve.excess_risk, color=colour, linewidth=1.5, label=name)
    low = np.maximum(curve.lower, 1e-2 * curve.excess_risk)  # no bar is cut off by the end of a logarithmic axis
    axes.fill_between(at, low, curve.upper, color=colour, alpha=0.25, linewidth=0)
    shown = _plateau(curve)
    if shown.any():
        level = np.where(shown, curve.plateau, np.nan)
        axes.plot(at, level, color=colour, linewidth=1.0, linestyle="--", drawstyle="steps-post")


def _plateau(curve: RiskCurve) -> np.ndarray:
    """Where the plateau is known and not so far below the risk that it would flatten the picture."""
    with np.errstate(invalid="ignore"):
        return np.asarray(curve.plateau > 0.03 * curve.excess_risk.min())


def _shorten(axes: Axes, ends: Sequence[float]) -> None:
    """A linear start and then a logarithmic axis, where otherwise the shortest curve would be a smear."""
    if max(ends) > SMEAR * min(ends) > 0:
        linear = 10.0 ** np.floor(np.log10(min(ends) / 5))
        axes.set_xscale("symlog", linthresh=linear, linscale=0.5)
        axes.set_xlim(0.0, max(ends) * 1.1)
        decades = linear * 10.0 ** np.arange(np.floor(np.log10(max(ends) / linear)) + 1)
        axes.set_xticks([0.0, *decades], [f"{tick:g}" if tick < 1e5 else f"$10^{{{np.log10(tick):.0f}}}$"
                                          for tick in (0.0, *decades)])  # fmt: skip


def _mark_crossing(axes: Axes, curves: Sequence[RiskCurve]) -> None:
    """A thin line where two curves of one law, each at a constant learning rate, cross for the last time."""
    from witten.risk import crossing

    marked = 0
    for i, first in enumerate(curves):
        for second in curves[i + 1 :]:
            if first.method != second.method or not (_is_constant(first) and _is_constant(second)):
                continue
            try:
                t = crossing(first, second)
            except RequestError:  # they do not
                continue
            axes.axvline(t, color=GREY, linewidth=0.8, linestyle=":")
            axes.annotate(f"$t = {t:.0f}$", (t, 0.98 - 0.07 * marked), xycoords=("data", "axes fraction"), fontsize=8.5,
                          ha="left", va="top", xytext=(3, 0), textcoords="offset points", color=GREY)  # fmt: skip
            marked += 1


def _is_constant(curve: RiskCurve) -> bool:
    return bool(np.ptp(curve.learning_rate) == 0)
