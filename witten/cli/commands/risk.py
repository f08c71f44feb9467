"""`witten risk`: the excess risk along a schedule of learning rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli.options import base_command, groups, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.errors import RequestError
from witten.langevin import momentum_in_words
from witten.number_format import as_number

if TYPE_CHECKING:
    from witten.risk import RiskCurve

EXAMPLES = base_command.examples(
    "witten risk shi-su-jordan --schedule 0.1:500,0.05:500 --x0 -0.9,0.9",
    "witten risk shi-su-jordan --schedule cosine:0.1:1000 --x0 -0.9,0.9 --method spectral --plot risk.png",
    "witten risk double-well:tilt=0.05 --schedule 0.1:300,0.05:300 --momentum 0.5",
    "witten risk double-well:tilt=0.05 --schedule 'log:0.5:3000' --method simulate --json",
    'witten risk "x^2/2" --schedule 0.2:100 --x0 1 --method simulate --covariance "1+x^2/10"',
    notes="Schedules: S:STEPS, cosine:S:STEPS, poly:S:STEPS:POWER, log:C:STEPS, step:S:STEPS:FACTOR:EVERY (divided by "
    "FACTOR, 2 for a half, EVERY so many steps), joined by commas; S:STEPS:flow is continuous time; ' until risk<E' at "
    "the end stops early, after any step. chain is the distribution of SGD, spectral that of the SDE; they differ by "
    "O(s).",
)
# Where a smaller part of the runs stays, it is said.
KEPT = 1 - 1e-7
# Lines of the table.
SHOWN = 12

ScheduleText = Annotated[
    str, typer.Option("--schedule", metavar="SPEC", help="Learning rates and steps: 0.1:500,0.05:500.",
                      show_default=False)
]  # fmt: skip
Start = Annotated[
    str | None,
    typer.Option("--x0", metavar="X", help="The start, -0.9,0.9 (default: the highest local minimum)."),
]
RiskMethod = Annotated[
    str,
    typer.Option("--method", metavar="chain|spectral|simulate",
                 help="chain: the distribution of SGD; spectral: that of the SDE; simulate: the mean of runs."),
]  # fmt: skip
Runs = Annotated[str, typer.Option("--paths", metavar="N", help="Number of runs of simulate.")]


def risk(
    objective: groups.Objective,
    schedule: ScheduleText,
    noise: groups.Noise,
    momentum: groups.Momentum,
    files: groups.Files,
    x0: Start = None,
    method: RiskMethod = "chain",
    paths: Runs = "2000",
    seed: options.Seed = "0",
    as_json: options.Json = False,
) -> None:
    """The excess risk E f - min f along a schedule of learning rates, from a point."""
    request: dict[str, Any] = {
        "method": method,
        "noise": noise.parsed(),
        **momentum.request,
        "paths": option_numbers.whole("--paths", paths, 2),
        "seed": option_numbers.whole("--seed", seed, 0),
    }
    start = parse_point(x0)
    from witten.schedules import Schedule

    plan = Schedule.parse(schedule)
    from witten.risk import excess_risk
    from witten.risk.risk_curve import KIND

    files.check(KIND)
    f = objective.resolved()
    with progress_bar(1, f"{f.name}: risk along {plan.steps} steps"):
        curve = excess_risk(f, plan, start, **request)
    if files.output is not None:
        curve.save(files.output)
    if files.plot is not None:
        from witten.plots import plot_risks

        plot_risks([curve], files.plot)
    if as_json:
        said = {} if isinstance(request["noise"], float) else option_values.about_noise(request["noise"])
        print_json(_json(objective.text, curve) | momentum.said | said)
        return
    _show(curve)
    files.say()


def parse_point(text: str | None) -> list[float] | None:
    """`-0.9,0.9` as numbers; RequestError for anything else."""
    if text is None:
        return None
    try:
        point = [as_number(word, float) for word in text.split(",")]
    except ValueError:
        point = [math.nan]
    if not all(map(math.isfinite, point)):
        raise RequestError(f"--x0: cannot read the point {text[:60]!r}; write numbers, as in -0.9,0.9")
    return point


def _json(objective: str, curve: RiskCurve) -> dict[str, Any]:
    """The object that CLI users are promised."""
    return {
        "objective": objective,
        "method": curve.method,
        "schedule": curve.schedule.text,
        "x0": curve.start,
        "steps": curve.steps,
        "time": curve.time,
        "learning_rate": curve.learning_rate,
        "excess_risk": curve.excess_risk,
        "plateau": curve.plateau,
        "lower": curve.lower,
        "upper": curve.upper,
        "details": curve.details,
    }


def _show(curve: RiskCurve) -> None:
    runs = f"{curve.details.get('paths')} runs"
    laws = {"chain": "distribution of SGD", "spectral": "distribution of the SDE", "simulate": runs}
    start = ", ".join(f"{x:.6g}" for x in curve.start)
    law = laws[curve.method] + momentum_in_words(curve.momentum, curve.nesterov)
    count = curve.steps.size
    rows = sorted({round(i * (count - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    print_table(
        f"{curve.objective} from ({start}) along {curve.schedule.text}: {law}",
        ("step", "time", "learning rate", "excess risk", "+-", "plateau"),
        [
            (
                f"{curve.steps[i]}",
                f"{curve.time[i]:.6g}",
                f"{curve.learning_rate[i]:.4g}",
                f"{curve.excess_risk[i]:.6g}",
                f"{curve.upper[i] - curve.excess_risk[i]:.1e}",
                f"{curve.plateau[i]:.6g}" if math.isfinite(curve.plateau[i]) else "",
            )
            for i in rows
        ],
    )
    for told in curve.details.get("boxes", ()):
        if told["survival"] < KEPT:
            print_line(
                f"{told['term']}: {100 * (1 - told['survival']):.2g} % of all runs leave {told['box']}; the risk is "
                "that of the others, the error what a larger box changes"
            )
    for told in curve.details.get("overlaps", ())[:2]:
        modes = ", ".join(f"{mode['rate']:.4g} ({100 * mode['part']:.2g} %)" for mode in told["modes"][:4])
        where = f"s = {told['learning_rate']:g}, {told['term']}"
        print_line(f"{where}: rates, and their parts of the variance of f: {modes}")
