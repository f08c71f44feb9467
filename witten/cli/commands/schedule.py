"""`witten schedule`: the fastest constant stages to a target risk, and what they save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli import output_files
from witten.cli.commands.risk import Runs, Start, parse_point
from witten.cli.options import base_command, groups, option_numbers, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.errors import RequestError
from witten.langevin import momentum_in_words

if TYPE_CHECKING:
    from witten.risk import Plan, RiskCurve

EXAMPLES = base_command.examples(
    "witten schedule shi-su-jordan --target 0.05 --x0 -0.9,0.9",
    "witten schedule double-well:tilt=0.05 --target 0.03 --stages 2 --json",
    "witten schedule double-well:tilt=0.05 --target 0.03 --momentum 0.5",
    notes="Optimised on the modes of the SDE, corrected until the exact distribution of SGD ends at the target, then "
    "simulated. A decaying schedule may need fewer steps. --compare adds cosine, step decay by 10 and C/log(2 + k), "
    "each from the first learning rate.",
)

Target = Annotated[
    str, typer.Option("--target", metavar="EPS", help="The excess risk to reach.", show_default=False)
]
Stages = Annotated[str, typer.Option("--stages", metavar="M", help="Largest number of learning rates, 1 to 6.")]
Compare = Annotated[bool, typer.Option("--compare", help="Compare with well-known schedules.")]


def schedule(
    objective: groups.Objective,
    target: Target,
    momentum: groups.Momentum,
    stages: Stages = "3",
    x0: Start = None,
    noise: options.NoiseScale = "1",
    paths: Runs = "4000",
    seed: options.Seed = "0",
    compare: Compare = False,
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """The fewest steps to a target risk, with at most M constant learning rates."""
    eps, count = option_numbers.positive("--target", target), option_numbers.whole("--stages", stages, 1)
    runs, number = option_numbers.whole("--paths", paths, 2), option_numbers.whole("--seed", seed, 0)
    sigma, start = option_numbers.positive("--noise", noise), parse_point(x0)
    of_sgd: dict[str, Any] = {"noise": sigma, **momentum.request}
    if compare and of_sgd["momentum"]:
        raise RequestError("--compare is not known with momentum yet; leave out --compare, or --momentum")
    output_files.check_plot(plot)
    from witten.risk import classical_laws, classical_schedules, excess_risk, plan_schedule
    from witten.schedules import Schedule

    f = objective.resolved()
    request: dict[str, Any] = {"method": "simulate", "paths": runs, "seed": number, "plateaus": False}
    with progress_bar(3 if compare else 2, f"{f.name}: plan") as advance:
        plan = plan_schedule(f, eps, start, stages=count, **of_sgd)
        advance("made, runs along it")
        checked = excess_risk(f, plan.schedule, plan.start, records=2, **request, **of_sgd)
        classical = {}
        if compare:
            advance("made and run, classical schedules")
            classical = classical_schedules(f, eps, plan.start, learning_rate=plan.stages[0][0], noise=sigma)
    if plot is not None:
        from witten.plots import plot_risks

        schedules = [plan.schedule, Schedule.constant(*plan.constant)]
        for name, make in classical_laws(f, plan.start, learning_rate=plan.stages[0][0]).items():
            steps = classical.get(name)
            schedules += [] if steps is None else [make(steps)]
        plot_risks([excess_risk(f, each, plan.start, **of_sgd) for each in schedules], plot)
    if as_json:
        print_json(_json(objective.text, plan, checked, classical) | momentum.said)
        return
    _show(plan, count, checked, classical)
    output_files.say_where(plot=plot)


def _json(objective: str, plan: Plan, checked: RiskCurve, classical: dict[str, int | None]) -> dict[str, Any]:
    """The object that CLI users are promised."""
    s, n = plan.constant
    return {
        "objective": objective,
        "target": plan.target,
        "x0": plan.start,
        "stages": [{"learning_rate": rate, "steps": steps} for rate, steps in plan.stages],
        "total_steps": plan.total_steps,
        "best_constant": {"learning_rate": s, "steps": n, "risk": plan.constant_risk},
        "saved": plan.saved,
        "risk": plan.risk,
        "simulated": {"risk": checked.final, "ci_low": checked.lower[-1], "ci_high": checked.upper[-1],
                      "confidence": 0.95, "paths": checked.details["paths"]},
        "predicted": list(plan.predicted),
        "classical": classical,
    }  # fmt: skip


def _show(plan: Plan, count: int, checked: RiskCurve, classical: dict[str, int | None]) -> None:
    print_table(
        f"{plan.objective}: to an excess risk of {plan.target:g} from ({', '.join(f'{x:.6g}' for x in plan.start)})"
        f"{momentum_in_words(checked.momentum, checked.nesterov)}",
        ("stage", "learning rate", "steps"),
        [(f"{i + 1}", f"{s:.5g}", f"{n}") for i, (s, n) in enumerate(plan.stages)],
    )
    s, n = plan.constant
    print_line(f"{plan.total_steps} steps, the fewest found with at most {count} constant stages; the best constant "
               f"learning rate, {s:.5g}, takes {n}: {plan.saved:.3g} times as many")  # fmt: skip
    bar = checked.upper[-1] - checked.final
    print_line(f"excess risk at the end: {plan.risk:.5g} by the distribution of SGD, {checked.final:.5g} +- {bar:.1g} "
               f"by {checked.details['paths']} runs")  # fmt: skip
    for name, steps in classical.items():
        print_line(f"{name}: {'not reached' if steps is None else f'{steps} steps'}")
