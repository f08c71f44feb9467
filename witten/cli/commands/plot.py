"""`witten plot`: draw a saved result again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from witten.cli.options import base_command, options
from witten.cli.output import print_json, print_line
from witten.errors import RequestError

EXAMPLES = base_command.examples("witten plot curve.nc", "witten plot modes.nc --plot modes.pdf")

Saved = Annotated[
    Path, typer.Argument(metavar="FILE.nc", help="A result saved with -o or --modes.", show_default=False)
]


def plot(file: Saved, plot: options.Plot = None, as_json: options.Json = False) -> None:
    """Draw a saved result again, beside its file unless --plot says where."""
    from witten.io.netcdf import read_kind

    kind = read_kind(file)
    from witten.plots import check_plot

    picture = check_plot(plot if plot is not None else file.with_suffix(".png"))
    _draw(kind, file, picture)
    if as_json:
        print_json({"file": str(file), "kind": kind, "plot": str(picture)})
    else:
        print_line(f"drawn in {picture}")


def _draw(kind: str, file: Path, picture: Path) -> None:
    from witten import plots
    from witten.descent.bifurcation import Diagram
    from witten.io.netcdf import read_dataset
    from witten.io.spectrum_dataset import load_spectrum
    from witten.models.recorder import TrainingRecord
    from witten.risk import RiskCurve

    draw: dict[str, Callable[[], Any]] = {
        "rate-curve": lambda: _draw_rates(file, picture),
        "committor": lambda: plots.plot_committor(read_dataset(file, kind), picture),
        "explanation": lambda: plots.plot_passage(read_dataset(file, kind), picture),
        "spectrum": lambda: plots.plot_dataset(load_spectrum(file), picture),
        "form-spectrum": lambda: plots.plot_form_modes(read_dataset(file, kind), picture),
        "risk-curve": lambda: plots.plot_risks([RiskCurve.load(file)], picture),
        "training-record": lambda: plots.plot_training(TrainingRecord.load(file), picture),
        "orbit-diagram": lambda: plots.plot_bifurcation(Diagram.load(file), picture),
    }
    if kind not in draw:
        raise RequestError(f"{str(file)!r} holds {kind[:40]!r}, which this version does not know; update witten")
    draw[kind]()


def _draw_rates(file: Path, picture: Path) -> None:
    """Rates against the learning rate: those of SGD beside those of the SDE, or all routes of `validate`."""
    from witten import plots
    from witten.rates import CurveSet
    from witten.sgd.sde_comparison import CHAIN, SDE

    found = CurveSet.load(file)
    curves = found.curves
    if "" not in curves:
        from witten.plots.rates.validation import plot_routes

        plot_routes(found, picture)
    elif curves[""].method == CHAIN:
        sde = curves.get(SDE)
        plots.plot_chain(curves[""], sde if sde is not None and sde.resolved.any() else None, picture)
    else:
        plots.plot_curve(curves[""], picture)
