"""Excess risk along schedules, against the step and against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.style import GREY, PALETTE, check_plot, finished, new_figure, shortened
from witten.risk import RiskCurve, crossing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LAWS", "plot_risks"]

# Which of the two laws a method speaks of: they differ by O(s).
LAWS = {"chain": "SGD, exact law", "spectral": "SDE, exact law", "simulate": "runs"}


def plot_risks(curves: Sequence[RiskCurve], path: str | Path | None = None) -> Figure:
    """E f - min f against k and against t = s k; plateaus dashed, intervals shaded, the last crossing of two marked.

    Raises
    ------
    RequestError
        if there is nothing to draw, or `path` cannot be written.
    """
    if path is not None:
        check_plot(path)
    if not curves:
        raise RequestError("nothing to plot: give at least one curve of risk")
    figure, (by_step, by_time) = new_figure(1, 2, (11.0, 4.6), sharey=True)
    for number, curve in enumerate(curves):
        colour = PALETTE[number % len(PALETTE)]
        for axes, at in ((by_step, curve.steps), (by_time, curve.time)):
            _draw(axes, curve, at, colour)
    _mark_crossing(by_time, curves)
    for axes, label in ((by_step, "step $k$"), (by_time, r"time $t = \sum s_k$")):
        axes.set_xlabel(label)
        axes.set_yscale("log")
        axes.grid(True, color="0.9", linewidth=0.6)
    by_step.set_ylabel(r"excess risk $\mathrm{E} f(X_k) - \min f$")
    by_step.legend(frameon=False, fontsize=8.5, loc="upper right")
    start = ", ".join(f"{x:.4g}" for x in curves[0].start)
    figure.suptitle(f"{shortened(curves[0].objective)} from ({start})", fontsize=11)
    return finished(figure, path)


def _draw(axes: Axes, curve: RiskCurve, at: np.ndarray, colour: str) -> None:
    name = f"{LAWS.get(curve.method, curve.method)}: {shortened(curve.schedule.text, 34)}"
    axes.plot(at, curve.excess_risk, color=colour, linewidth=1.5, label=name)
    if curve.method == "simulate":
        low = np.maximum(curve.lower, 1e-2 * curve.excess_risk)
        axes.fill_between(at, low, curve.upper, color=colour, alpha=0.25, linewidth=0)
    if np.isfinite(curve.plateau).all() and curve.plateau.min() > 1e-3 * curve.excess_risk.min():
        axes.plot(at, curve.plateau, color=colour, linewidth=1.0, linestyle="--", drawstyle="steps-post")


def _mark_crossing(axes: Axes, curves: Sequence[RiskCurve]) -> None:
    """A thin line where two curves of one law, each at a constant learning rate, cross for the last time."""
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
