"""Where a command leaves what it found: files are refused before anything is computed, and named at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from witten.cli.output import print_line
from witten.errors import RequestError

if TYPE_CHECKING:
    from witten.rates import RateCurve

__all__ = ["check_places", "check_plot", "check_report", "draw_curve", "say_where"]

RATE_CURVE = "rate-curve"


def check_places(
    output: Path | None, plot: Path | None, resume: bool = False, *, kind: str = RATE_CURVE
) -> None:
    """Refuse places for a result of this kind and its picture that cannot be written; RequestError for such a place,
    and for --resume without a file to go on from."""
    from witten.io.netcdf import check_output

    if resume and output is None:
        raise RequestError("--resume needs the file of the stopped run; add -o FILE.nc")
    if output is not None:
        check_output(output, kind)
    check_plot(plot)


def check_plot(plot: Path | None) -> None:
    """Refuse a place for a picture that cannot be written."""
    if plot is not None:
        from witten import plots

        plots.check_plot(plot)


def check_report(report: Path | None) -> None:
    """Refuse a place for a page that cannot be written."""
    if report is not None:
        from witten.report import check_page

        check_page(report)


def draw_curve(curve: RateCurve | None, plot: Path | None) -> None:
    """The picture of a curve, where both are there."""
    if curve is not None and plot is not None:
        from witten.plots import plot_curve

        plot_curve(curve, plot)


def say_where(output: Path | None = None, plot: Path | None = None, report: Path | None = None) -> None:
    """A line for each file that is there now."""
    for verb, path in (("saved in", output), ("reported in", report), ("drawn in", plot)):
        if path is not None and path.exists():
            print_line(f"{verb} {path}")
