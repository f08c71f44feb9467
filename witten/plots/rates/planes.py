"""The plane of step size and temperature, coloured by the gap and by which minimum is preferred."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.style import check_place, finished, log_ticks, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.gap_plane import Plane

__all__ = ["plot_plane"]


def plot_plane(plane: Plane, path: str | Path | None = None) -> Figure:
    """log10 of the gap over (h, T), and the share of the leftmost minimum, with plain descent, T = 0, as a strip below;
    thresholds 2/f'' dashed, SGD a line T = h/2.

    Raises
    ------
    RequestError
        if there is nothing to draw, or `path` cannot be written.
    """
    check_place(path)
    if not np.isfinite(plane.rates).any() or min(plane.rates.shape) < 2:
        raise RequestError("nothing to plot: the plane needs two step sizes and two temperatures with a gap")
    figure, panels = new_figure(1, 2, (11.5, 4.8), sharey=True)
    with np.errstate(divide="ignore"):
        fields = (
            (np.log10(plane.rates), r"$\log_{10}$ rate per unit of time", "viridis", None),
            (plane.shares[..., 0], f"stationary share of the minimum at {plane.minima[0]:.3g}", "RdBu", (0.0, 1.0)),
        )
    for axes, (field, label, colours, limits) in zip(panels, fields, strict=True):
        low, high = limits or (float(np.nanmin(field)), float(np.nanmax(field)))
        image = axes.pcolormesh(
            plane.step_sizes, plane.temperatures, field, cmap=colours, vmin=low, vmax=high, shading="nearest"
        )
        figure.colorbar(image, ax=axes, shrink=0.9).set_label(label)
        _lines(axes, plane)
        log_ticks(axes.xaxis)
    _draw_descent(panels[1], plane)
    log_ticks(panels[0].yaxis)
    panels[0].set_ylabel("temperature $T$")
    panels[0].legend(fontsize=8, loc="lower left", framealpha=0.8)
    figure.suptitle(f"{shortened(plane.objective)}: " + r"$x^+ = x - h f'(x) + \sqrt{2hT}\,\xi$", fontsize=11)
    return finished(figure, path)


def _draw_descent(axes: Axes, plane: Plane) -> None:
    """T = 0: of the starts that converge, the share that does so to the leftmost minimum; grey where none does."""
    settled = plane.descent.sum(axis=1)
    share = np.where(settled > 0, plane.descent[:, 0] / np.maximum(settled, 1e-300), np.nan)
    low = plane.temperatures.min()
    axes.pcolormesh(
        plane.step_sizes, [low / 2.6, low / 2.0], np.array([share, share]), cmap="RdBu", vmin=0.0, vmax=1.0,
        shading="nearest",
    )  # fmt: skip
    axes.set_ylim(low / 2.9, axes.get_ylim()[1])
    axes.annotate("$T = 0$: plain descent, of the starts that converge", (0.03, low / 2.3), fontsize=8,
                  xycoords=("axes fraction", "data"), va="center")  # fmt: skip


def _lines(axes: Axes, plane: Plane) -> None:
    axes.set_facecolor("0.85")
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    h = np.array([low, high])
    axes.plot(h, h / 2, color="white", linewidth=1.6, label="SGD: $T = h/2$")
    for x, threshold in zip(plane.minima, plane.thresholds, strict=True):
        if low < threshold < high:
            axes.axvline(threshold, color="k", linewidth=1.0, linestyle="--")
            axes.annotate(f"$2/f''({x:.3g})$", (threshold, 0.99), xycoords=("data", "axes fraction"), rotation=90,
                          ha="right", va="top", fontsize=8)  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.set_xlabel("step size $h$ (descent at the lower edge, the SDE on the left)")
