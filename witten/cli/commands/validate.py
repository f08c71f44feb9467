"""`witten validate`: spectral, theory and Monte Carlo side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten import parallel
from witten.cli import options, output_files
from witten.cli.errors import DISAGREEMENT
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.signals import Interrupted, patiently
from witten.cli.sweeps import seconds_left
from witten.errors import RequestError
from witten.number_format import scientific, with_log_error

if TYPE_CHECKING:
    from witten.rates import RateRecord
    from witten.validation import Comparison, Validation

EXAMPLES = options.examples(
    "witten validate double-well --lr 0.02:0.3:6",
    "witten validate shi-su-jordan --lr 0.05,0.02 --json",
    "witten validate mueller-brown --lr 0.03:0.3:5 --report mueller-brown.html",
    "witten validate mueller-brown --lr 0.03:0.3:5 -o routes.nc --walltime 00:50:00",
    "witten validate double-well --lr 0.05 --momentum 0.5",
    notes="Exit status 3 if routes disagree beyond the errors they quote.",
)
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="Write one page that holds all: figures, tables, options."),
]


def validate(
    objective: options.Objective,
    lr: options.LearningRates,
    rtol: options.Rtol = "1e-4",
    noise: options.Noise = "1",
    covariance: options.Covariance = None,
    noise_model: options.NoiseModel = None,
    box: options.Box = None,
    center: options.Center = None,
    scale: options.Scale = None,
    seed: options.Seed = "0",
    report: Report = None,
    output: options.Output = None,
    plot: options.Plot = None,
    resume: options.Resume = False,
    walltime: options.Walltime = None,
    momentum: options.Momentum = None,
    as_json: options.Json = False,
) -> int | None:
    """The rate by all three routes, and whether they agree as far as their errors tell."""
    learning_rates = options.parse_learning_rates(lr)
    request: dict[str, Any] = {
        "rtol": options.positive("--rtol", rtol),
        "noise": options.parse_noise(noise, covariance, noise_model),
        "box": options.parse_box(box),
        "seed": options.whole("--seed", seed, 0),
    }
    if momentum is not None:
        from witten.cli import momentum_validation

        sweep = {"-o": output, "--resume": resume, "--walltime": walltime, "--report": report, "--plot": plot}
        alpha, elsewhere = options.parse_momentum(momentum, nesterov=False), sweep | {"--box": request.pop("box")}
        f = options.resolved(objective, center, scale)
        return momentum_validation.run(f, learning_rates, alpha, elsewhere=elsewhere, as_json=as_json, **request)
    request |= {"output": output, "resume": resume}
    options.parse_walltime(walltime)
    parallel.agree(parallel.world(), lambda: _check_files(output, resume, report, plot))
    if report is not None and not isinstance(request["noise"], float):
        raise RequestError("--report: pages are made for noise of one strength; leave it out, or the covariance")
    f = options.resolved(objective, center, scale)
    from witten.validation import ROUTES
    from witten.validation import validate as side_by_side

    total = len(ROUTES) * len(learning_rates)
    with progress_bar(total, objective) as advance, patiently() as stop:
        found = side_by_side(
            f, learning_rates, stop=stop, walltime=seconds_left(walltime),
            progress=lambda route, s: advance(f"{route.replace('_', ' ')} s = {s:.4g}"), **request,
        )  # fmt: skip
    parallel.agree(parallel.world(), lambda: _keep(found, report, plot))
    if as_json:
        print_json(_json(objective, found))
    else:
        _show(found)
        output_files.say_where(output, plot, report)
    if found.stopped is not None:
        line = f"{found.stopped}: what was done by then is compared, the rest is left out"
        raise Interrupted(line if output is None else f"{line}; the same command with --resume goes on")
    return DISAGREEMENT if found.agree is False else None


def _check_files(output: Path | None, resume: bool, report: Path | None, plot: Path | None) -> None:
    """Refuse places that cannot be written before anything is computed."""
    output_files.check_places(output, plot, resume)
    if report is not None:
        from witten.report import check_page

        check_page(report)


def _keep(found: Validation, report: Path | None, plot: Path | None) -> None:
    """The page and the picture, where they were asked for, by one rank."""
    with parallel.alone():
        if report is not None:
            from witten.report.validation import write_validation

            write_validation(found, report)
        if plot is not None:
            from witten.plots.validation import plot_validation

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


def json_record(c: Comparison) -> dict[str, Any]:
    """One learning rate; what a double cannot hold is null, its log10 is not."""
    sampled = c.monte_carlo
    return {
        "learning_rate": c.learning_rate,
        "spectral": _rate(c.spectral),
        "spectral_error": None if c.spectral is None else c.spectral.rate_error,
        "theory": _rate(c.theory),
        "monte_carlo": _rate(sampled),
        "ci_low": None if sampled is None else _exp(sampled.lower),
        "ci_high": None if sampled is None else _exp(sampled.upper),
        "agree": c.agree,
        "why": dict(c.why),
        "remarks": [] if sampled is None else sampled.notes,
        "log10_spectral": None if c.spectral is None else c.spectral.log10_rate,
        "log10_theory": None if c.theory is None else c.theory.log10_rate,
        "log10_monte_carlo": None if sampled is None else sampled.log10_rate,
    }


def _rate(record: RateRecord | None) -> float | None:
    return None if record is None else record.rate


def _exp(logarithm: float) -> float | None:
    """e^x where a double holds it; 0 for the lower end of an interval without one."""
    if logarithm == -math.inf:
        return 0.0
    return math.exp(logarithm) if -700 < logarithm < 700 else None


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


def row(c: Comparison) -> tuple[str, ...]:
    """One learning rate in a table."""
    agree = {True: "yes", False: "NO", None: "nothing to compare"}[c.agree]
    return f"{c.learning_rate:.6g}", _spectral(c.spectral), _plain(c.theory), *_sampled(c.monte_carlo), agree


def _spectral(record: RateRecord | None) -> str:
    return "" if record is None else with_log_error(record.log_rate, record.log_error)


def _plain(record: RateRecord | None) -> str:
    return "" if record is None else scientific(record.log_rate, 4)


def _sampled(record: RateRecord | None) -> tuple[str, str]:
    """A Monte Carlo rate and its interval."""
    if record is None:
        return "", ""
    return scientific(record.log_rate, 3), f"{scientific(record.lower, 3)} to {scientific(record.upper, 3)}"
