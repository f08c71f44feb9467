"""A committor: its levels over the objective, and the reactive current."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.display import Displayed
from witten.errors import RequestError
from witten.plots.fields.slices import cut_off
from witten.plots.style import BLUE, GREY, VERMILION, Array, check_place, finished, new_figure, shortened, tex_number

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.spectra.committor import Committor

__all__ = ["plot_committor"]

# Where the current is a smaller part than this of its largest value nothing is drawn.
FAINT = 1e-3
LEVELS = np.linspace(0.0, 1.0, 11)


def plot_committor(found: Committor | xarray.Dataset, path: str | Path | None = None) -> Figure:
    """On a line q over f; in the plane levels of q, of f in grey, and streamlines of the reactive current.

    Parameters
    ----------
    found : a Committor, or what `committor_dataset` describes

    Raises
    ------
    RequestError
        in three dimensions, and if `path` cannot be written.
    """
    check_place(path)
    if isinstance(found, Displayed):
        from witten.spectra.committor import committor_dataset

        values = found.operator.values
        found = committor_dataset(found, lambda points: values)
    dimension = found["committor"].ndim
    if dimension > 2:
        raise RequestError("a committor is drawn in one and two dimensions; in three save it and take another tool")
    figure, (axes,) = new_figure(1, 1, (7.2, 4.6 if dimension == 1 else 6.0))
    (_line if dimension == 1 else _plane)(figure, axes, found)
    log_rate, s = float(found.attrs["log_rate"]), float(found.attrs["learning_rate"])
    rate = tex_number(math.exp(log_rate)) if log_rate > -700 else rf"10^{{{log_rate / math.log(10):.4f}}}"
    title = f"{shortened(str(found.attrs['objective']))},  $s = {s:g}$,  $k_{{AB}} = {rate}$"
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("$x$")
    return finished(figure, path)


def _line(figure: Figure, axes: Axes, found: xarray.Dataset) -> None:
    x, sets = found["x"].values, found["set"].values
    axes.plot(x, found["objective"].values, color="black", linewidth=1.4)
    axes.set_ylabel("objective $f$")
    right = axes.twinx()
    right.plot(x, found["committor"].values, color=BLUE, linewidth=1.8)
    right.set_ylim(-0.02, 1.02)
    right.set_ylabel("committor $q$", color=BLUE)
    for core, color in ((0, BLUE), (1, VERMILION)):
        right.fill_between(x, 0, np.where(sets == core, 1.0, np.nan), color=color, alpha=0.2, linewidth=0)
        right.text(float(x[sets == core].mean()), 0.5, "AB"[core], color=color, ha="center")


def _plane(figure: Figure, axes: Axes, found: xarray.Dataset) -> None:
    x, y, q, sets = (found[name].values for name in ("x", "y", "committor", "set"))
    shown = axes.contourf(x, y, q.T, levels=LEVELS, cmap="RdYlBu_r", alpha=0.8)
    figure.colorbar(shown, ax=axes, label="committor $q$")
    f = np.where(np.isfinite(q), found["objective"].values, np.nan)
    lines = axes.contour(x, y, f.T, levels=16, colors=GREY, linewidths=0.5)
    half = axes.contour(x, y, q.T, levels=[0.5], colors="black", linewidths=1.4)
    cut_off(axes, x, y, f, shown, lines, half)
    _streamlines(axes, x, y, found["current"].values)
    for core in (0, 1):
        i, j = np.nonzero(sets == core)
        axes.contour(x, y, (sets == core).T.astype(float), levels=[0.5], colors="black", linewidths=1.6)
        axes.text(x[i].mean(), y[j].mean(), "AB"[core], ha="center", va="center", weight="bold")
    axes.set_ylabel("$y$")


def _streamlines(axes: Axes, x: Array, y: Array, current: Array) -> None:
    """Of the current, where there is some."""
    x, y, (u, v) = _coarse(x), _coarse(y), (_coarse(part) for part in np.nan_to_num(current))
    size = np.hypot(u, v)
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
