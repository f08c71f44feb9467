"""The Eyring-Kramers law beside computed rates, and their ratio, which tends to 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.rates.curves import LogScale, heading, learning_rate_axis
from witten.plots.style import (
    BLUE,
    GREY,
    VERMILION,
    check_place,
    finished,
    log_ticks,
    method_name,
    new_figure,
)
from witten.rates import LawRate, RateCurve, RateRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_law"]


def plot_law(law: RateCurve, computed: RateCurve | None = None, path: str | Path | None = None) -> Figure:
    """The law as a line against 1/s, computed rates as points with bars; below, their ratio to the law against s.

    Raises
    ------
    RequestError
        if the law says nothing (one minimum), or `path` cannot be written.
    """
    check_place(path)
    known = np.isfinite(law.log_rates)
    if not known.any():
        raise RequestError(f"nothing to plot: the law says nothing about {law.objective}, which has one minimum")
    both = computed is not None and bool(computed.resolved.any())
    figure, panels = new_figure(2 if both else 1, 1, (7.2, 7.0 if both else 4.8))
    axes = panels[0]
    order = np.argsort(law.learning_rates)
    inverse = 1 / law.learning_rates[order]
    scale = LogScale(law)
    style = "-" if law.log_rates.size > 1 else "o"
    axes.plot(inverse, scale(law.log_rates[order]), style, color=GREY, linewidth=1.4, label="Eyring-Kramers law")
    if computed is not None and both:
        good = computed.resolved
        heights = scale(computed.log_rates[good])
        bars = np.array([heights - scale(computed.lower[good]), scale(computed.upper[good]) - heights])
        axes.errorbar(1 / computed.learning_rates[good], heights, yerr=np.maximum(bars, 0.0), fmt="o", color=BLUE,
                      markersize=5, capsize=3, label=method_name(computed.method))  # fmt: skip
        _draw_ratio(panels[1], law, computed)
    scale.label(axes)
    axes.set_xlabel("$1/s$")
    axes.grid(True, color="0.9", linewidth=0.6)
    learning_rate_axis(axes, inverse)
    if axes.get_yscale() == "log":
        log_ticks(axes.yaxis)
    axes.legend(frameon=False, fontsize=9)
    axes.set_title(heading(law), pad=10, fontsize=11)
    return finished(figure, path)


def _draw_ratio(axes: Axes, law: RateCurve, computed: RateCurve) -> None:
    """computed/law with its bars against s; the band is the law's own error bar, the line the law of leading order."""
    at = {record.learning_rate: record for record in law.records}
    rows = [i for i, s in enumerate(computed.learning_rates.tolist()) if computed.resolved[i] and s in at]
    s = computed.learning_rates[rows]
    logs = np.array([at[value].log_rate for value in s.tolist()])
    ratio = np.exp(computed.log_rates[rows] - logs)
    bars = np.array([ratio - np.exp(computed.lower[rows] - logs), np.exp(computed.upper[rows] - logs) - ratio])
    axes.errorbar(s, ratio, yerr=np.maximum(bars, 0.0), fmt="o", color=BLUE, markersize=5, capsize=3)
    axes.axhline(1.0, color=GREY, linewidth=1.0, linestyle="--")
    ordered = sorted(law.records, key=lambda record: record.learning_rate)
    _draw_band(axes, [record for record in ordered if record.resolved])
    laws = [record for record in ordered if isinstance(record, LawRate) and record.log_leading]
    leading = [(record.learning_rate, record.log_leading[0] - record.log_rate) for record in laws]
    if leading:
        rates, ratios = np.array(leading).T
        axes.plot(rates, np.exp(ratios), ".-", color=VERMILION, linewidth=0.8, label="leading order / law", zorder=1)
    axes.legend(frameon=False, fontsize=9)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("learning rate $s$")
    axes.set_ylabel("computed rate / law")
    axes.grid(True, color="0.9", linewidth=0.6)


def _draw_band(axes: Axes, records: list[RateRecord]) -> None:
    """Between the ends of the law's error bars, relative to it, where it is resolved."""
    if records:
        low, high = (np.exp([getattr(r, end) - r.log_rate for r in records]) for end in ("lower", "upper"))
        axes.fill_between([r.learning_rate for r in records], low, high, color=GREY, alpha=0.2, linewidth=0,
                          label="error bar of the law", zorder=0)  # fmt: skip
