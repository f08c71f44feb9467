"""`witten simulate`: the rate from simulated paths, with confidence intervals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten import parallel
from witten.cli import output_files
from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table
from witten.cli.sampled_rates import cells, json_row
from witten.cli.sweeps import curve_of, swept

if TYPE_CHECKING:
    from pathlib import Path

    from witten.rates import RateCurve

EXAMPLES = base_command.examples(
    "witten simulate double-well --lr 0.05:0.5:6",
    "witten simulate shi-su-jordan --lr 0.1 --estimator hitting --paths 8192 --json",
    "witten simulate double-well --lr 0.2 --scheme sgd",
    "witten simulate double-well --lr 0.5 --noise-model loss:c=1,floor=0.2",
    "witten simulate double-well --lr 0.05 --momentum 0.5",
    "mpiexec -n 4 witten simulate triple-well --lr 0.05:0.3:6 -o paths.nc --plot paths.png",
    "witten simulate triple-well --lr 0.02:0.3:6 -o paths.nc --walltime 00:10:00",
    "witten simulate triple-well --lr 0.02:0.3:6 -o paths.nc --resume",
    notes="The numbers depend on --seed and on nothing else: not on threads, not on ranks.",
)
Estimator = Annotated[
    str,
    typer.Option(
        "--estimator",
        metavar="E",
        help="autocorrelation, hitting, splitting, msm (needs deeptime), or auto: chosen by the barriers of f.",
    ),
]
Paths = Annotated[str | None, typer.Option("--paths", metavar="N", help="Number of paths (default: 2048).")]
Step = Annotated[
    str | None,
    typer.Option("--dt", metavar="DT", help="The finer of two time steps (default: from the curvature of f)."),
]
Scheme = Annotated[
    str,
    typer.Option(
        "--scheme",
        metavar="NAME",
        help="heun, euler-maruyama or leimkuhler-matthews, extrapolated to time step 0; sgd: SGD itself, not "
        "extrapolated. With --momentum: SGD itself, or with bbk its Langevin equation.",
    ),
]
# The usual scheme; with --momentum there is none of this name, and the recursion itself is the usual one.
HEUN = "heun"
Seed = Annotated[str, typer.Option("--seed", metavar="S", help="Seed of the random numbers.")]


def simulate(
    objective: groups.Objective,
    lr: options.LearningRates,
    noise: groups.Noise,
    files: groups.Sweep,
    momentum: groups.Momentum,
    estimator: Estimator = "auto",
    paths: Paths = None,
    dt: Step = None,
    scheme: Scheme = HEUN,
    seed: Seed = "0",
    as_json: options.Json = False,
) -> None:
    """The rate by Monte Carlo: simulated paths of the SDE, with 95 % confidence intervals."""
    learning_rates = learning_rate_spec.parse_learning_rates(lr)
    request: dict[str, Any] = {
        "estimator": estimator,
        "paths": None if paths is None else option_numbers.whole("--paths", paths, 128),
        "dt": None if dt is None else option_numbers.positive("--dt", dt),
        "noise": noise.parsed(),
        "seed": option_numbers.whole("--seed", seed, 0),
    }
    of_sgd = momentum.said
    files.check()
    f = objective.resolved()
    if of_sgd:
        from witten.cli.momentum import simulation as momentum_simulation

        momentum_simulation.run(
            f, learning_rates, files, as_json=as_json,
            scheme=option_values.SGD_ITSELF if scheme == HEUN else scheme, **of_sgd, **request,
        )  # fmt: skip
        return
    from witten.dynamics.simulation import METHOD, simulate_rate

    named = option_values.about_noise(request["noise"])
    curve, ending = swept(
        partial(simulate_rate, f, learning_rates, scheme=scheme, **request), curve_of(METHOD, f.name, named), files,
        what=objective.text, total=len(learning_rates),
    )  # fmt: skip
    parallel.agree(parallel.world(), lambda: _draw(f, curve, request["noise"], files.plot))
    if as_json:
        print_json(
            {"objective": objective.text, "method": "monte-carlo", "records": _rows(curve)}
            | ({"noise": named["covariance"]} if "covariance" in named else {})
        )
    elif curve is not None:
        _show(curve)
        files.say()
    if ending is not None:
        raise ending


def _draw(f: Any, curve: RateCurve | None, noise: float, plot: Path | None) -> None:
    """The rates beside the law and over it, where there is one; else alone."""
    from witten.errors import ConvergenceError, RequestError
    from witten.landscape.laws import eyring_kramers
    from witten.plots import plot_law

    if curve is None or plot is None:
        return
    try:
        with parallel.alone():
            law = eyring_kramers.eyring_kramers(f, curve.learning_rates, noise=noise)
        plot_law(law, curve, plot)
    except (ConvergenceError, RequestError):  # no law for this objective
        output_files.draw_curve(curve, plot)


def _rows(curve: RateCurve | None) -> list[dict[str, Any]]:
    """The records that CLI users are promised; rates below the doubles by their logarithms alone."""
    return [] if curve is None else [json_row(record) for record in curve.records]


def _show(curve: RateCurve) -> None:
    noise = "" if curve.noise == 1 else f", noise {curve.noise:g}"
    noise += f", covariance {curve.options['covariance']}" if "covariance" in curve.options else ""
    print_table(
        f"{curve.objective}: rate of convergence by Monte Carlo{noise}",
        ("learning rate", "rate", "95 % interval", "estimator", "paths", "steps", "dt", "seconds"),
        [cells(record) for record in curve.records],
        left=("estimator",),
    )
    for record in curve.records:
        for remark in record.notes:
            print_line(f"s = {record.learning_rate:.6g}: {remark}")
