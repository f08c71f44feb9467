"""A committor: its levels over the objective, and the reactive current."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.style import BLUE, GREY, VERMILION, Array, check_plot, finished, new_figure, shortened, tex_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.objectives.objective import Objective
    from witten.spectra.committor import Committor

__all__ = ["plot_committor"]

# Where the current is a smaller part than this of its largest value nothing is drawn.
FAINT = 1e-3
LEVELS = np.linspace(0.0, 1.0, 11)


def plot_committor(found: Committor, objective: Objective, path: str | Path | None = None) -> Figure:
    """On a line q over f; in the plane levels of q, of f in grey, and streamlines of the reactive current.

    Raises
    ------
    RequestError
        in three dimensions, and if `path` cannot be written.
    """
    if path is not None:
        check_plot(path)
    if found.grid.dimension > 2:
        raise RequestError("a committor is drawn in one and two dimensions; in three save it and take another tool")
    figure, (axes,) = new_figure(1, 1, (7.2, 4.6 if found.grid.dimension == 1 else 6.0))
    (_line if found.grid.dimension == 1 else _plane)(figure, axes, found, objective)
    rate = tex_number(found.rate) if found.rate > 0 else rf"10^{{{found.log_rate / np.log(10):.4f}}}"
    axes.set_title(
        f"{shortened(found.objective)},  $s = {found.learning_rate:g}$,  $k_{{AB}} = {rate}$", fontsize=11
    )
    axes.set_xlabel("$x$")
    return finished(figure, path)


def _line(figure: Figure, axes: Axes, found: Committor, objective: Objective) -> None:
    x = found.grid.points[0]
    axes.plot(x, objective(found.grid.points), color="black", linewidth=1.4)
    axes.set_ylabel("objective $f$")
    right = axes.twinx()
    right.plot(x, found.q, color=BLUE, linewidth=1.8)
    right.set_ylim(-0.02, 1.02)
    right.set_ylabel("committor $q$", color=BLUE)
    for core, color in ((0, BLUE), (1, VERMILION)):
        inside = np.where(found.label == core, 1.0, np.nan)
        right.fill_between(x, 0, inside, color=color, alpha=0.2, linewidth=0)
        right.text(float(x[found.label == core].mean()), 0.5, "AB"[core], color=color, ha="center")


def _plane(figure: Figure, axes: Axes, found: Committor, objective: Objective) -> None:
    grid = found.grid
    x, y = grid.axes
    values = grid.expand(np.asarray(objective(grid.points)))
    shown = axes.contourf(x, y, grid.expand(found.q).T, levels=LEVELS, cmap="RdYlBu_r", alpha=0.8)
    figure.colorbar(shown, ax=axes, label="committor $q$")
    axes.contour(x, y, values.T, levels=16, colors=GREY, linewidths=0.5)
    axes.contour(x, y, grid.expand(found.q).T, levels=[0.5], colors="black", linewidths=1.4)
    _streamlines(axes, found)
    labels = grid.expand(found.label.astype(float), fill=-1.0)
    for core in (0, 1):
        centre_x, centre_y = grid.points[:, found.label == core].mean(axis=1)
        axes.contour(x, y, (labels == core).T.astype(float), levels=[0.5], colors="black", linewidths=1.6)
        axes.text(centre_x, centre_y, "AB"[core], ha="center", va="center", weight="bold")
    axes.set_ylabel("$y$")


def _streamlines(axes: Axes, found: Committor) -> None:
    """Of the current, where there is some."""
    x, y = found.grid.axes
    u, v = (_coarse(found.grid.expand(part, fill=0.0)) for part in found.current)
    size = np.hypot(u, v)
    x, y = _coarse(x), _coarse(y)
    u, v = (np.where(size > FAINT * size.max(), part, np.nan) for part in (u, v))
    width = 0.6 + 2.4 * np.sqrt(size / size.max())
    axes.streamplot(x, y, u.T, v.T, color="black", linewidth=width.T, density=1.2, arrowsize=1.0)


def _coarse(values: Array) -> Array:
    """Means over blocks, so that an axis has some 200 values."""
    for axis in range(values.ndim):
        m = max(1, values.shape[axis] // 200)
        values = np.moveaxis(values, axis, 0)
        values = values[: len(values) // m * m].reshape(-1, m, *values.shape[1:]).mean(axis=1)
        values = np.moveaxis(values, 0, axis)
    return values
