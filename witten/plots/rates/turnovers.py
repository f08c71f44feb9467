"""Kramers's turnover: the rate against the friction."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.rates.curves import learning_rate_ticks
from witten.plots.style import BLUE, VERMILION, check_place, finished, log_ticks, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from witten.kinetic import FrictionSweep

__all__ = ["plot_turnover"]


def plot_turnover(sweep: FrictionSweep, name: str, path: str | Path | None = None) -> Figure:
    """The rates of a sweep over frictions, both axes logarithmic, and the optimum.

    Raises
    ------
    RequestError
        if no rate can be drawn, or `path` cannot be written.
    """
    check_place(path)
    records = sorted((r for r in sweep.records if r.resolved and r.rate is not None), key=lambda r: r.friction)
    if not records:
        raise RequestError("nothing to plot: no rate of the sweep is resolved")
    figure, (axes,) = new_figure(1, 1, (7.2, 4.8))
    friction, rate = np.array([r.friction for r in records]), np.array([math.exp(r.log_rate) for r in records])
    bars = np.array([[rate_ - math.exp(r.lower), math.exp(r.upper) - rate_] for r, rate_ in zip(records, rate)]).T  # noqa: B905
    axes.errorbar(friction, rate, bars, fmt="o-", color=BLUE, markersize=4, linewidth=1.3, label="rate")
    best = sweep.optimum
    if best is not None and best.rate is not None:
        axes.plot(best.friction, best.rate, "D", color=VERMILION, label=rf"largest at $\gamma = {best.friction:.4g}$")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(r"friction $\gamma$")
    axes.set_ylabel("rate per unit of time")
    axes.set_title(f"{shortened(name)}, T = {records[0].temperature:.4g}", fontsize=11)
    learning_rate_ticks(axes, friction)
    log_ticks(axes.yaxis)
    axes.grid(True, which="both", color="0.9", linewidth=0.6)
    axes.legend(frameon=False, fontsize=9)
    return finished(figure, path)
