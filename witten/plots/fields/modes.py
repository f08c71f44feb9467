"""The modes of a spectrum, over the objective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from witten.io.spectrum_dataset import SpectrumLike, spectrum_dataset
from witten.plots.fields.slices import Sheet, sheet
from witten.plots.style import BLUE, GREY, PALETTE, SKY, Array, check_place, finished, new_figure, shortened, tex_number
from witten.rates.record import SMALLEST

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_dataset", "plot_spectrum"]

# Modes drawn at most; a picture of more is not read.
MOST_LINES, MOST_PANELS = 6, 12


def plot_spectrum(
    spectrum: SpectrumLike, objective: Callable[[Array], Array] | None = None, path: str | Path | None = None
) -> Figure:
    """The modes over the objective: curves in 1-D, maps in 2-D, slices through the deepest point in 3-D."""
    return plot_dataset(spectrum_dataset(spectrum, objective), path)


def plot_dataset(dataset: xarray.Dataset, path: str | Path | None = None) -> Figure:
    """Draw a spectrum from the dataset that `io.spectrum_dataset.load_spectrum` returns.

    Raises
    ------
    RequestError
        if `path` cannot be written.
    """
    check_place(path)
    figure = _panels(dataset, sheet(dataset)) if "y" in dataset.coords else _draw_lines(dataset)
    return finished(figure, path)


def _heading(dataset: xarray.Dataset) -> str:
    return f"{shortened(str(dataset.attrs['objective']))},  $s = {dataset.attrs['learning_rate']:g}$"


def _rate_title(dataset: xarray.Dataset, mode: int) -> str:
    """The rate of a mode, as far as it is known."""
    rate, resolved = float(dataset["rate"][mode]), bool(dataset["resolved"][mode])
    if mode == 0 and rate == 0:
        return r"$\lambda_0 = 0$"
    if resolved and rate < SMALLEST and "log_rate" in dataset:
        return rf"$\lambda_{{{mode}}} = 10^{{{float(dataset['log_rate'][mode]) / np.log(10):.6g}}}$"
    return rf"$\lambda_{{{mode}}} = {tex_number(rate)}$" if resolved else rf"$\lambda_{{{mode}}}$ unresolved"


def _draw_lines(dataset: xarray.Dataset) -> Figure:
    """1-D: the objective and the Gibbs density above, the modes below."""
    if "node" in dataset.dims:
        dataset = dataset.sortby("x")
    x = dataset["x"].values
    with_objective = "objective" in dataset
    figure, panels = new_figure(2 if with_objective else 1, 1, (7.2, 6.4 if with_objective else 4.0), sharex=True)
    if with_objective:
        _draw_objective_line(panels[0], dataset)
    modes, axes = dataset["modes"].values, panels[-1]
    shown = range(min(len(modes), MOST_LINES))
    for mode in shown:
        color = GREY if mode == 0 else PALETTE[(mode - 1) % len(PALETTE)]
        axes.plot(x, _upright(modes[mode]), color=color, linewidth=1.6, label=_rate_title(dataset, mode))
    axes.set_ylim(*_window(modes[: len(shown)], dataset))
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_xlabel("$x$")
    axes.set_ylabel("mode $u$")
    columns = len(shown) if len(shown) <= 4 else 3
    axes.legend(frameon=False, fontsize=9, ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.suptitle(_heading(dataset), fontsize=11)
    return figure


def _draw_objective_line(axes: Axes, dataset: xarray.Dataset) -> None:
    """f on the left axis, the Gibbs density shaded on the right one."""
    x = dataset["x"].values
    axes.plot(x, dataset["objective"].values, color="black", linewidth=1.4)
    axes.set_ylabel("objective $f$")
    right = axes.twinx()
    right.fill_between(x, dataset["gibbs_density"].values, color=SKY, alpha=0.45, linewidth=0)
    right.set_ylim(bottom=0)
    right.set_ylabel(r"Gibbs density $\mu_s$", color=BLUE)
    right.tick_params(axis="y", colors=BLUE)
    axes.set_zorder(right.get_zorder() + 1)
    axes.patch.set_visible(False)


def _upright(mode: Array) -> Array:
    """A mode with the sign that makes its largest value positive; the sign is free."""
    flat = mode[np.isfinite(mode)]
    return mode if flat[np.argmax(np.abs(flat))] >= 0 else -mode


def _window(modes: Array, dataset: xarray.Dataset) -> tuple[float, float]:
    """Limits that show the modes where the measure is, not their growth in the tails."""
    values = np.array([_upright(mode) for mode in modes])
    if "gibbs_density" in dataset:
        density = dataset["gibbs_density"].values
        values = values[:, density > 1e-4 * np.nanmax(density)]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.08 * (high - low or 1.0)
    return low - pad, high + pad


def _panels(dataset: xarray.Dataset, plane: Sheet) -> Figure:
    """A tidy grid of maps with one colour bar; mode 0, a constant, gives its panel to the Gibbs density."""
    modes = min(dataset.sizes["mode"], MOST_PANELS)
    columns = 2 if modes == 4 else min(modes, 3 if modes <= 9 else 4)
    rows = -(-modes // columns)
    left, right, bottom, top = plane.bounds
    shape = min(max((top - bottom) / (right - left), 0.45), 1.6)
    width = 2.7 if columns > 1 else 4.0
    size = (width * columns + 1.0, (0.87 * width * shape + 0.4) * rows + 0.8)
    figure, panels = new_figure(rows, columns, size, True, True)
    image: Any = None
    for mode, axes in enumerate(panels):
        if mode >= modes:
            axes.set_visible(False)
            continue
        density = plane.values.get("gibbs_density")
        if mode == 0 and density is not None and dataset["rate"][0] == 0:
            plane.fill(axes, np.sqrt(density / np.nanmax(density)), cmap="Greys")
            axes.set_title("Gibbs density (root), " + _rate_title(dataset, 0), fontsize=10)
        else:
            field = _upright(plane.values["modes"][mode])
            image = plane.fill(axes, field / _limit(field, density), cmap="RdBu_r", vmin=-1, vmax=1)
            axes.set_title(_rate_title(dataset, mode), fontsize=10)
        _contours(axes, plane)
        air = 0.03 * np.array([right - left, top - bottom])
        axes.set_xlim(left - air[0], right + air[0])
        axes.set_ylim(bottom - air[1], top + air[1])
        axes.set_aspect("equal")
    for axes in panels[max(modes - columns, 0) : modes]:
        axes.set_xlabel("$x$")
        axes.tick_params(labelbottom=True)
    for axes in panels[::columns]:
        axes.set_ylabel("$y$")
    if image is not None:
        bar = figure.colorbar(image, ax=panels, shrink=0.75, aspect=30, pad=0.02, extend="both")
        bar.set_ticks([-1.0, -0.5, 0.0, 0.5, 1.0])
        bar.set_label("mode, scaled to its largest value")
    figure.suptitle(_heading(dataset) + plane.note, fontsize=11)
    return figure


def _limit(field: Array, density: Array | None) -> float:
    """The largest value of a mode where the measure is."""
    values = np.abs(field)
    if density is not None:
        values = values[density > 1e-4 * np.nanmax(density)]
    return float(np.nanmax(values)) or 1.0


def _contours(axes: Axes, plane: Sheet) -> None:
    """Thin level lines of the objective, denser where it is low."""
    f = plane.values.get("objective")
    if f is None:
        return
    low, high = float(np.nanmin(f)), float(np.nanpercentile(f, 80))  # above, lines only fray at the edge of the mask
    if high > low:
        levels = low + (high - low) * np.linspace(0, 1, 11)[1:] ** 1.5
        plane.contour(axes, f, levels=levels, colors="0.35", linewidths=0.5, linestyles="solid")
