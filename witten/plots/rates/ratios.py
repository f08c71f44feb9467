"""One rate over another against the learning rate: two routes, or SGD and its SDE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.rates.curves import learning_rate_ticks
from witten.plots.style import BLUE, GREY, check_place, finished, log_ticks, new_figure, shortened
from witten.rates.ratio import RateRatio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_ratio", "plot_ratio"]

# Bars end there: e^10.
WIDEST = 10.0
# Beyond, ratios have a logarithmic axis.
FAR_APART = 20.0


def plot_ratio(ratio: RateRatio, path: str | Path | None = None) -> Figure:
    """The ratio with its bars against s, and a line at 1.

    Raises
    ------
    RequestError
        if no ratio is resolved, or `path` cannot be written.
    """
    check_place(path)
    if not ratio.resolved.any():
        raise RequestError("nothing to plot: there is no learning rate where both rates are resolved")
    figure, (axes,) = new_figure(1, 1, (7.2, 4.8))
    draw_ratio(axes, ratio, "o")
    axes.set_xscale("log")
    learning_rate_ticks(axes, ratio.learning_rates[ratio.resolved])
    axes.set_xlabel("learning rate $s$")
    axes.set_ylabel("ratio of rates")
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.set_title(shortened(" / ".join(ratio.names), 80), fontsize=11)
    if axes.get_yscale() == "log":
        log_ticks(axes.yaxis)
    return finished(figure, path)


def draw_ratio(axes: Axes, ratio: RateRatio, style: str) -> None:
    """Points with bars, joined if `style` says so, and a line at 1; a log axis where they are far apart."""
    axes.axhline(1.0, color=GREY, linewidth=1.0, linestyle="--")
    good = ratio.resolved
    if not good.any():
        return
    logs = ratio.log_ratios[good]
    low, high = np.maximum(ratio.lower[good], logs - WIDEST), np.minimum(ratio.upper[good], logs + WIDEST)
    bars = np.maximum([np.exp(logs) - np.exp(low), np.exp(high) - np.exp(logs)], 0.0)
    axes.errorbar(ratio.learning_rates[good], np.exp(logs), yerr=bars, fmt=style, color=BLUE, markersize=4,
                  linewidth=1.3, capsize=3)  # fmt: skip
    if np.ptp(logs) > np.log(FAR_APART):
        axes.set_yscale("log")
