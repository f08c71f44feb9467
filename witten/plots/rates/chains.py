"""The rate of SGD, a chain, beside that of the SDE that stands for it, and their ratio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.kinetic.momentum_gap import METHOD as LANGEVIN
from witten.plots.rates.curves import learning_rate_ticks
from witten.plots.rates.ratios import draw_ratio
from witten.plots.style import BLUE, VERMILION, check_place, finished, log_ticks, new_figure, shortened
from witten.rates import RateCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_chain"]


def plot_chain(chain: RateCurve, sde: RateCurve | None, path: str | Path | None = None) -> Figure:
    """Both rates against the learning rate; below, chain/SDE, which tends to 1 where the SDE is a surrogate.

    Without an SDE the rates of the chain alone.

    Raises
    ------
    RequestError
        if there is nothing to draw, or `path` cannot be written.
    """
    check_place(path)
    if not chain.learning_rates.size:
        raise RequestError("nothing to plot: the curve holds no learning rate")
    figure, panels = new_figure(2, 1, (7.2, 7.0), sharex=True) if sde is not None else new_figure(1, 1, (7.2, 4.8))
    rates = panels[0]
    known = [curve.resolved & (curve.log_rates > -690) for curve in (chain, sde) if curve is not None]
    scale = "log" if any(good.any() for good in known) else "linear"  # nothing to show has no decades
    style = "o-" if chain.learning_rates.size > 1 else "o"
    equation = "Langevin equation" if sde is not None and sde.method == LANGEVIN else "SDE: Witten-Laplacian"
    for curve, colour, name in ((sde, VERMILION, equation), (chain, BLUE, "SGD: transfer operator")):
        if curve is None:
            continue
        good = curve.resolved & (curve.log_rates > -690)
        order = np.argsort(curve.learning_rates[good])
        s, rate = curve.learning_rates[good][order], np.exp(curve.log_rates[good][order])
        rates.plot(s, rate, style, color=colour, markersize=4, linewidth=1.3, label=name)
    rates.set_yscale(scale)
    rates.set_ylabel(r"rate per unit of time $t = ks$")
    rates.legend(frameon=False, fontsize=9)
    rates.set_title(shortened(chain.objective), fontsize=11)
    if sde is not None:
        draw_ratio(panels[1], chain / sde, style)
        panels[1].set_ylabel("SGD / SDE")
    for axes in panels:
        axes.set_xscale(scale)
        axes.grid(True, color="0.9", linewidth=0.6)
    panels[-1].set_xlabel("learning rate $s$")
    if scale == "log":
        learning_rate_ticks(panels[-1], chain.learning_rates)
        log_ticks(rates.yaxis)
    return finished(figure, path)
