"""`witten validate`: spectral, theory and Monte Carlo side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten import parallel
from witten.cli import output_files
from witten.cli.comparisons import json_record, row
from witten.cli.errors import DISAGREEMENT
from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.signals import Interrupted, patiently
from witten.cli.sweeps import seconds_left
from witten.errors import RequestError

if TYPE_CHECKING:
    from witten.validation import Validation

EXAMPLES = base_command.examples(
    "witten validate double-well --lr 0.02:0.3:6",
    "witten validate shi-su-jordan --lr 0.05,0.02 --json",
    "witten validate mueller-brown --lr 0.03:0.3:5 --report mueller-brown.html",
    "witten validate mueller-brown --lr 0.03:0.3:5 -o routes.nc --walltime 00:50:00",
    "witten validate double-well --lr 0.05 --momentum 0.5",
    notes="Exit status 3 if routes disagree beyond their error bars.",
)
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="Write one page that holds all: figures, tables, options."),
]


def validate(
    objective: groups.Objective,
    lr: options.LearningRates,
    noise: groups.Noise,
    files: groups.Sweep,
    rtol: options.Rtol = "1e-4",
    box: options.Box = None,
    seed: options.Seed = "0",
    report: Report = None,
    momentum: options.Momentum = None,
    as_json: options.Json = False,
) -> int | None:
    """The rate by all three routes, and whether they agree within their error bars."""
    learning_rates = learning_rate_spec.parse_learning_rates(lr)
    request: dict[str, Any] = {
        "rtol": option_numbers.positive("--rtol", rtol),
        "noise": noise.parsed(),
        "box": option_values.parse_box(box),
        "seed": option_numbers.whole("--seed", seed, 0),
    }
    if momentum is not None:
        from witten.cli.momentum import validation as momentum_validation

        elsewhere = {"--report": report, "--box": request.pop("box")}
        alpha = groups.Momentum(momentum).alpha
        f = objective.resolved()
        return momentum_validation.run(
            f, learning_rates, alpha, files, elsewhere=elsewhere, as_json=as_json, **request
        )
    files.check()
    parallel.agree(parallel.world(), lambda: output_files.check_report(report))
    if report is not None and not isinstance(request["noise"], float):
        raise RequestError("--report: pages are made for noise of one strength; leave it out, or the covariance")
    f = objective.resolved()
    from witten.validation import ROUTES
    from witten.validation import validate as side_by_side

    total = len(ROUTES) * len(learning_rates)
    with progress_bar(total, objective.text) as advance, patiently() as stop:
        found = side_by_side(
            f, learning_rates, stop=stop, output=files.output, resume=files.resume,
            walltime=seconds_left(files.walltime),
            progress=lambda route, s: advance(f"{route.replace('_', ' ')} s = {s:.4g}"), **request,
        )  # fmt: skip
    parallel.agree(parallel.world(), lambda: _keep(found, report, files.plot))
    if as_json:
        print_json(_json(objective.text, found))
    else:
        _show(found)
        files.say(report)
    if found.stopped is not None:
        line = f"{found.stopped}: what was done by then is compared, the rest is left out"
        raise Interrupted(line if files.output is None else f"{line}; the same command with --resume goes on")
    return DISAGREEMENT if found.agree is False else None


def _keep(found: Validation, report: Path | None, plot: Path | None) -> None:
    """The page and the picture, where they were asked for, by one rank."""
    with parallel.alone():
        if report is not None:
            from witten.report.validation import write_validation

            write_validation(found, report)
        if plot is not None:
            from witten.plots.rates.validation import plot_validation

            plot_validation(found, plot)


def _json(objective: str, found: Validation) -> dict[str, Any]:
    """The object that CLI users are promised."""
    fit, sampled = found.fit("spectral"), found.fit("monte_carlo")
    return {
        "objective": objective,
        "records": [json_record(c) for c in found.records],
        "barrier_fit": None if fit is None else fit.barrier,
        "barrier_fit_error": None if fit is None else fit.barrier_error,
        "barrier_monte_carlo": None if sampled is None else sampled.barrier,
        "barrier_monte_carlo_error": None if sampled is None else sampled.barrier_error,
        "barrier_theory": found.barrier,
        "agree": found.agree,
        "verdict": found.verdict,
        **({"noise": found.covariance} if found.covariance else {}),
    }


def _show(found: Validation) -> None:
    """The table and the verdict."""
    noise = "" if found.noise == 1 else f", noise {found.noise:g}"
    noise += f", covariance {found.covariance}" if found.covariance else ""
    print_table(
        f"{found.objective.name}: three routes to the rate{noise}",
        ("learning rate", "spectral", "theory", "Monte Carlo", "95 % interval", "agree"),
        [row(c) for c in found.records],
        left=("agree",),
    )
    print_line(found.verdict)
