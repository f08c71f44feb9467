"""Pictures of results: the rate against the learning rate, and the modes over the objective.

matplotlib is loaded inside the functions, and only its figures: no window, no global state. With a path the picture is
written whole or not at all; every function returns the figure.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from witten import files
from witten.barrier_fit import BarrierFit
from witten.errors import RequestError
from witten.rates import RateCurve
from witten.sheets import Sheet, sheet
from witten.storage import SpectrumLike, spectrum_dataset

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_plot", "plot_curve", "plot_dataset", "plot_spectrum"]

Array = NDArray[np.float64]

SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito's palette, told apart by all kinds of colour vision.
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
GREY = "#555555"
# Modes drawn at most; a picture of more is not read.
MOST_LINES, MOST_PANELS = 6, 12
# Below this a double has no logarithmic axis left, and log10 is drawn instead.
LOWEST_DECADE = -300.0


def check_plot(path: str | Path) -> Path:
    """Refuse the name of a picture that could not be written, before anything is computed for it.

    Raises
    ------
    RequestError
        for a suffix other than .png, .svg, .pdf, or a place that cannot be written.
    """
    return files.check_writable(path, SUFFIXES)


def plot_curve(curve: RateCurve, path: str | Path | None = None) -> Figure:
    """The rate, on a log axis, against 1/s; s is on the upper axis, unresolved points are hollow.

    Raises
    ------
    RequestError
        if the curve is empty, or `path` cannot be written.
    """
    if not curve.learning_rates.size:
        raise RequestError("nothing to plot: the curve holds no learning rate")
    if path is not None:
        check_plot(path)
    figure, (axes,) = _figure(1, 1, (7.2, 4.8))
    inverse = 1 / curve.learning_rates
    scale = _LogScale(curve)
    _draw_points(axes, curve, inverse, scale)
    _draw_law(axes, curve, inverse, scale)
    scale.label(axes)
    axes.set_xlabel("$1/s$")
    axes.margins(x=0.05, y=0.08)
    axes.grid(True, color="0.9", linewidth=0.6)
    _learning_rate_axis(axes, inverse)
    axes.set_title(_shortened(curve.objective), pad=10, fontsize=11)
    _room(axes, curve)
    return _finished(figure, path)


class _LogScale:
    """Rates as heights in the picture: themselves on a log axis, or their log10 where doubles underflow."""

    def __init__(self, curve: RateCurve) -> None:
        finite = curve.log_rates[np.isfinite(curve.log_rates)]
        self.underflow = bool(finite.size and finite.min() < LOWEST_DECADE * math.log(10))

    def __call__(self, log_rates: Array) -> Array:
        return np.asarray(log_rates / math.log(10) if self.underflow else np.exp(log_rates))

    def label(self, axes: Axes) -> None:
        if self.underflow:
            axes.set_ylabel(r"$\log_{10}\,\lambda_s$")
        else:
            axes.set_yscale("log")
            axes.set_ylabel(r"rate $\lambda_s$")


def _draw_points(axes: Axes, curve: RateCurve, inverse: Array, scale: _LogScale) -> None:
    """Resolved points with bars; unresolved ones hollow, as upper bounds where no lower end is known."""
    good = curve.resolved & np.isfinite(curve.log_rates)
    if good.any():
        bars = np.maximum(np.abs(_bars(curve, good, scale)), 0.0)
        widest = float(np.max(curve.upper[good] - np.maximum(curve.lower[good], curve.log_rates[good] - 50)))
        span = float(np.ptp(curve.log_rates[good])) or 1.0
        note = ", error bars smaller than the points" if widest < 0.015 * max(span, 1.0) else ""
        axes.errorbar(
            inverse[good],
            scale(curve.log_rates[good]),
            yerr=bars,
            fmt="o",
            color=BLUE,
            markersize=5,
            capsize=3,
            elinewidth=1.2,
            zorder=3,
            label=f"{curve.method.replace('-', ' ')}{note}",
        )
    bad = ~good & np.isfinite(curve.upper)
    if bad.any():
        axes.plot(
            inverse[bad],
            scale(curve.upper[bad]),
            linestyle="none",
            marker="v",
            markerfacecolor="white",
            markeredgecolor=VERMILION,
            markersize=6.5,
            zorder=3,
            label="unresolved: the rate lies below",
        )


def _room(axes: Axes, curve: RateCurve) -> None:
    """A decade at least from bottom to top, and the legend where a falling curve leaves room."""
    finite = curve.log_rates[np.isfinite(curve.log_rates)]
    span = float(np.ptp(finite)) / math.log(10) if finite.size else 0.0
    if span < 0.5 and finite.size:
        middle = math.exp(float(finite.mean())) if axes.get_yscale() == "log" else 0.0
        if middle:
            axes.set_ylim(middle / 10, middle * 10)
    handles, labels = axes.get_legend_handles_labels()
    points_first = sorted(zip(labels, handles, strict=True), key=lambda entry: entry[0].startswith("$"))
    if points_first:
        labels, handles = (list(column) for column in zip(*points_first, strict=True))
        axes.legend(handles, labels, frameon=False, fontsize=9, loc="upper right")


def _bars(curve: RateCurve, rows: NDArray[np.bool_], scale: _LogScale) -> Array:
    """Lengths of the error bars below and above the points, shape (2, n)."""
    middle = scale(curve.log_rates[rows])
    lower = np.maximum(curve.lower[rows], curve.log_rates[rows] - 50)
    return np.array([middle - scale(lower), scale(curve.upper[rows]) - middle])


def _draw_law(axes: Axes, curve: RateCurve, inverse: Array, scale: _LogScale) -> None:
    """The leading law alpha e^{-2H/s}, when the rates tell a barrier from none."""
    fit = sensible_fit(curve)
    if fit is None:
        return
    good = curve.resolved & np.isfinite(curve.log_rates)
    x = np.linspace(inverse[good].min(), inverse.max(), 200)
    law = math.log(fit.prefactor) - 2 * fit.barrier * x / curve.noise**2
    label = rf"$\alpha\,e^{{-2H/s}}$: $H={_plus_minus(fit.barrier, fit.barrier_error)}$, " + (
        rf"$\alpha={_plus_minus(fit.prefactor, fit.prefactor_error)}$"
    )
    axes.plot(x, scale(law), color=GREY, linewidth=1.2, linestyle="--", zorder=2, label=label)


def sensible_fit(curve: RateCurve) -> BarrierFit | None:
    """The barrier fit where it says something: enough points, and a barrier told from none."""
    try:
        fit = curve.fit_barrier()
    except RequestError:
        return None
    known = fit.is_barrier and math.isfinite(fit.prefactor_error) and fit.prefactor > 0
    return fit if known else None


def _plus_minus(value: float, error: float) -> str:
    """The value with the error of its last two digits in brackets, 0.24999(82); ten digits at most."""
    digits = min(max(1 - math.floor(math.log10(error)), 0), 10) if error > 0 else 10
    return f"{value:.{digits}f}({max(math.ceil(error * 10**digits), 1)})"


def _learning_rate_axis(axes: Axes, inverse: Array) -> None:
    """An upper axis that counts in s: round values that leave room for each other."""
    top = axes.secondary_xaxis("top")
    low, high = axes.get_xlim()
    chosen: list[float] = []
    for s in _round_values(inverse):
        if all(abs(1 / s - 1 / other) > 0.075 * (high - low) for other in chosen):
            chosen.append(s)
    top.set_xticks([1 / s for s in chosen], [f"{s:g}" for s in chosen])
    top.minorticks_off()
    top.set_xlabel("learning rate $s$")


def _round_values(inverse: Array) -> list[float]:
    """Learning rates within the range to label, the roundest first; the ends of the range before them."""
    low, high = 1 / float(inverse.max()), 1 / float(inverse.min())
    ends = [s for s in (low, high) if float(f"{s:.2g}") == float(f"{s:.12g}")]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    rounds = [float(f"{m}e{e}") for m in (1, 2, 5, 3, 1.5, 4, 2.5, 7) for e in decades]
    inside = [s for s in rounds if low * (1 - 1e-9) <= s <= high * (1 + 1e-9)]
    return ends + inside if ends + inside else [float(f"{low:.3g}")]


def plot_spectrum(
    spectrum: SpectrumLike, objective: Callable[[Array], Array] | None = None, path: str | Path | None = None
) -> Figure:
    """The modes over the objective: curves in 1-D, maps in 2-D, slices through the deepest point in 3-D."""
    return plot_dataset(spectrum_dataset(spectrum, objective), path)


def plot_dataset(dataset: xarray.Dataset, path: str | Path | None = None) -> Figure:
    """Draw a spectrum from the dataset that `storage.load_spectrum` returns.

    Raises
    ------
    RequestError
        if `path` cannot be written.
    """
    if path is not None:
        check_plot(path)
    figure = _panels(dataset, sheet(dataset)) if "y" in dataset.coords else _draw_lines(dataset)
    return _finished(figure, path)


def _heading(dataset: xarray.Dataset) -> str:
    return f"{_shortened(str(dataset.attrs['objective']))},  $s = {dataset.attrs['learning_rate']:g}$"


def _rate_title(dataset: xarray.Dataset, mode: int) -> str:
    """The rate of a mode, as far as it is known."""
    rate, resolved = float(dataset["rate"][mode]), bool(dataset["resolved"][mode])
    if mode == 0 and rate == 0:
        return r"$\lambda_0 = 0$"
    return rf"$\lambda_{{{mode}}} = {_tex_number(rate)}$" if resolved else rf"$\lambda_{{{mode}}}$ unresolved"


def _tex_number(value: float) -> str:
    """Four digits, powers of ten as such."""
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return rf"{mantissa}\cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _draw_lines(dataset: xarray.Dataset) -> Figure:
    """1-D: the objective and the Gibbs density above, the modes below."""
    if "node" in dataset.dims:
        dataset = dataset.sortby("x")
    x = dataset["x"].values
    with_objective = "objective" in dataset
    figure, panels = _figure(2 if with_objective else 1, 1, (7.2, 6.4 if with_objective else 4.0), sharex=True)
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
    figure, panels = _figure(rows, columns, size, True, True)
    image: Any = None
    for mode, axes in enumerate(panels):
        if mode >= modes:
            axes.set_visible(False)
            continue
        density = plane.values.get("gibbs_density")
        if mode == 0 and density is not None:
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


def _figure(
    rows: int, columns: int, size: tuple[float, float], sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure without pyplot, and its axes row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    return figure, list(panels.flat)


def _finished(figure: Figure, path: str | Path | None) -> Figure:
    """Write the picture, if it has a place, whole or not at all."""
    if path is not None:
        image = io.BytesIO()
        figure.savefig(image, format=Path(path).suffix[1:].lower(), dpi=160)
        files.write_bytes(path, image.getvalue())
    return figure


def _shortened(text: str, width: int = 70) -> str:
    """A name that fits a title, safe from TeX."""
    text = text.replace("$", r"\$")
    return text if len(text) <= width else text[: width - 1] + "…"
