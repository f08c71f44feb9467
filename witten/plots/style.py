"""What all pictures share: colours, figures without a window, files written atomically."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.io import atomic_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "Array",
    "check_place",
    "check_plot",
    "finished",
    "log_ticks",
    "new_figure",
    "shortened",
    "tex_number",
]

Array = NDArray[np.float64]

SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito's palette, distinguished by all kinds of colour vision.
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
GREY = "#555555"
# Beyond, powers of ten are enough.
MANY_DECADES = 2.5


def check_plot(path: str | Path) -> Path:
    """Refuse the name of a picture that could not be written, before anything is computed for it.

    Raises
    ------
    RequestError
        for a suffix other than .png, .svg, .pdf, or a place that cannot be written.
    """
    return atomic_files.check_writable(path, SUFFIXES)


def check_place(path: str | Path | None) -> None:
    """`check_plot` where the picture is to be written."""
    if path is not None:
        check_plot(path)


def new_figure(
    rows: int, columns: int, size: tuple[float, float], sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure without pyplot, and its axes row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from witten.plots.picture import Picture

    figure = Picture(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    return figure, list(panels.flat)


def finished(figure: Figure, path: str | Path | None) -> Figure:
    """Write the picture, if it has a place, atomically."""
    if path is not None:
        image = io.BytesIO()
        figure.savefig(image, format=Path(path).suffix[1:].lower(), dpi=160)
        atomic_files.write_bytes(path, image.getvalue())
    return figure


def log_ticks(axis: Axis) -> None:
    """Numbers for a logarithmic axis whose limits are set, where powers of ten alone would leave one or two."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low)
    if decades > MANY_DECADES:
        return
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.outer(powers, (1.0, 2.0, 5.0) if decades > 1 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)).ravel()
    ticks = ticks[(low <= ticks) & (ticks <= high)]
    if ticks.size < 2:
        return
    axis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"${tex_number(value)}$"))
    axis.set_minor_formatter(NullFormatter())


def method_name(method: str) -> str:
    """A method of `RateCurve.method` as a legend has it."""
    named = {"monte-carlo": "Monte Carlo", "hermite-elements": "Hermite functions and elements"}
    return named.get(method, method.replace("-", " "))


def shortened(text: str, width: int = 70) -> str:
    """A name that fits a title, safe from TeX."""
    text = text.replace("$", r"\$")
    return text if len(text) <= width else text[: width - 1] + "…"


def tex_number(value: float) -> str:
    """Four digits, powers of ten as such."""
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return rf"{mantissa}\cdot 10^{{{int(exponent)}}}" if exponent else mantissa
