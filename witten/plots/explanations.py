"""The way that limits a rate: f along the minimum-energy path, and the committor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from witten.errors import RequestError
from witten.explanation.explanation import Explanation
from witten.plots.style import BLUE, GREY, VERMILION, check_plot, finished, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_passage"]


def plot_passage(found: Explanation, path: str | Path | None = None) -> Figure:
    """f along the path from A to B, the saddle, and q with the place where it is one half.

    Raises
    ------
    RequestError
        if there is no path, or `path` cannot be written.
    """
    if path is not None:
        check_plot(path)
    way = found.passage
    if way is None or way.lengths is None or way.heights is None:
        raise RequestError(f"nothing to plot: no path between wells of {found.objective.name} is known")
    figure, (axes,) = new_figure(1, 1, (7.2, 4.4))
    axes.plot(way.lengths, way.heights, color="black", linewidth=1.5)
    top = [way.saddle_at], [way.saddle.value]
    axes.plot(*top, "x", color=VERMILION, markersize=9, markeredgewidth=2, label="saddle")
    axes.axhline(way.heights.min() + found.s, color=GREY, linewidth=0.8, linestyle="--")
    axes.annotate("lowest + s", (0.99, way.heights.min() + found.s), xycoords=("axes fraction", "data"), ha="right",
                  va="bottom", fontsize=8, color=GREY)  # fmt: skip
    for name, at, k, side in (("A", 0, way.start, "left"), ("B", -1, way.end, "right")):
        axes.annotate(f"{name}: {found.name(k)}", (float(way.lengths[at]), float(way.heights[at])), ha=side,
                      va="bottom", xytext=(0, 6), textcoords="offset points", fontsize=9)  # fmt: skip
    axes.set_xlabel("length along the minimum-energy path")
    axes.set_ylabel("objective $f$")
    if way.q is not None:
        right = axes.twinx()
        right.plot(way.lengths, way.q, color=BLUE, linewidth=1.6)
        right.set_ylabel("committor $q$ from A to B", color=BLUE)
        right.set_ylim(-0.02, 1.02)
    if math.isfinite(way.half):
        axes.axvline(way.half, color=BLUE, linewidth=1.2, linestyle=":", label="$q = 1/2$")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.set_title(shortened(found.objective.name), fontsize=11)
    return finished(figure, path)
