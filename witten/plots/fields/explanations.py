"""The way that limits a rate: f along the minimum-energy path, and the committor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.display import Displayed
from witten.errors import RequestError
from witten.plots.style import BLUE, GREY, VERMILION, check_place, finished, new_figure, shortened

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from witten.explanation import Explanation

__all__ = ["plot_passage"]


def plot_passage(found: Explanation | xarray.Dataset, path: str | Path | None = None) -> Figure:
    """f along the path from A to B, the saddle, and q with the place where it is one half.

    Parameters
    ----------
    found : an Explanation, or what `explanation_dataset` describes

    Raises
    ------
    RequestError
        if there is no path, or `path` cannot be written.
    """
    check_place(path)
    if isinstance(found, Displayed):
        from witten.explanation.dataset import explanation_dataset

        found = explanation_dataset(found)
    about = found.attrs
    if "height" not in found:
        raise RequestError(f"nothing to plot: no path between wells of {about['objective']} is known")
    lengths, heights, q = (found[name].values for name in ("length", "height", "committor"))
    figure, (axes,) = new_figure(1, 1, (7.2, 4.4))
    axes.plot(lengths, heights, color="black", linewidth=1.5)
    top = [float(about["saddle_at"])], [float(about["saddle_value"])]
    axes.plot(*top, "x", color=VERMILION, markersize=9, markeredgewidth=2, label="saddle")
    level = float(heights.min()) + float(about["learning_rate"]) * float(about["noise"]) ** 2
    axes.axhline(level, color=GREY, linewidth=0.8, linestyle="--")
    axes.annotate(r"$\min f + s$", (0.99, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                  fontsize=8, color=GREY)  # fmt: skip
    for name, at, well, side in (("A", 0, about["start"], "left"), ("B", -1, about["end"], "right")):
        axes.annotate(f"{name}: {well}", (float(lengths[at]), float(heights[at])), ha=side, va="top", xytext=(0, -6),
                      textcoords="offset points", fontsize=9)  # fmt: skip
    axes.margins(y=0.12)  # room for these names below the ends, where the path does not go
    axes.set_xlabel("length along the minimum-energy path")
    axes.set_ylabel("objective $f$")
    if np.isfinite(q).any():
        right = axes.twinx()
        right.plot(lengths, q, color=BLUE, linewidth=1.6)
        right.set_ylabel("committor $q$ from A to B", color=BLUE)
        right.set_ylim(-0.02, 1.02)
    if math.isfinite(half := float(about["half"])):
        axes.axvline(half, color=BLUE, linewidth=1.2, linestyle=":", label="$q = 1/2$")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.set_title(shortened(str(about["objective"])), fontsize=11)
    return finished(figure, path)
