"""`witten stability`: which minima gradient descent can reach."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.number_format import coordinates

if TYPE_CHECKING:
    from witten.stability import Stability

EXAMPLES = base_command.examples(
    'witten stability "(x^2+1)*(x-1)^2*(x-2)^2" --lr 0.1,0.3,0.6',
    "witten stability mueller-brown --json",
    "witten stability quadratic --thresholds",
    "witten stability double-well --lr 0.5,1.2 --momentum 0.5 --nesterov",
    notes="A minimum can be reached from random starts only if its sharpness is at most 2/s, "
    "with momentum ALPHA at most 2(1 + ALPHA)/s, with Nesterov's 2(1 + ALPHA)/(s(1 + 2 ALPHA)).",
)
MOST_ROWS, MOST_RATES = 30, 6

Rates = Annotated[
    str | None,
    typer.Option(
        "--lr", "--learning-rate", metavar="SPEC", help="Learning rates: 0.1, or 0.05,0.1, or 0.02:0.5:12."
    ),
]
Thresholds = Annotated[
    bool, typer.Option("--thresholds", help="Also list the closed forms that are known, predicted and measured.")
]
Measure = Annotated[
    bool, typer.Option("--measure", help="Also find each critical learning rate by running gradient descent.")
]


def stability(
    objective: groups.Objective,
    momentum: groups.Momentum,
    lr: Rates = None,
    measure: Measure = False,
    thresholds: Thresholds = False,
    box: options.Box = None,
    seed: options.Seed = "0",
    as_json: options.Json = False,
) -> None:
    """Sharpness and critical learning rate 2/sharpness of every minimum; where gradient descent can stay."""
    rates = () if lr is None else learning_rate_spec.parse_learning_rates(lr)
    intervals, number = option_values.parse_box(box), option_numbers.whole("--seed", seed, 0)
    of_sgd = momentum.request
    from witten.stability import stability as judge

    f = objective.resolved()
    with progress_bar(3, f"{f.name}: minima") as advance:
        found = judge(f, rates, box=intervals, seed=number, **of_sgd)
        advance("known, experiments")
        measured = _measured(found, *of_sgd.values()) if measure else None
        advance("known, closed forms")
        known = _thresholds() if thresholds else None
    if as_json:
        closed = {} if known is None else {"thresholds": known}
        print_json(_json(objective.text, found, measured) | momentum.said | closed)
    else:
        _show(found, measured)
        if known is not None:
            rows = [(each["formula"], f"{each['predicted']:.8g}", f"{each['measured']:.8g}") for each in known]
            print_table("closed forms", ("formula", "predicted", "measured"), rows, left=("formula",))


def _thresholds() -> list[dict[str, Any]]:
    """Every closed form of the registry beside its experiment."""
    from witten.descent.thresholds import THRESHOLDS

    return [
        {
            "name": entry.name,
            "formula": entry.formula,
            "parameters": entry.parameters,
            "predicted": entry.predict(**entry.parameters),
            "measured": entry.measure(**entry.parameters),
            "tolerance": entry.tolerance,
        }
        for entry in THRESHOLDS.values()
    ]


def _measured(found: Stability, momentum: float, nesterov: bool) -> list[float | None]:
    """By experiment, where there is something to find."""
    from witten.errors import ConvergenceError
    from witten.stability import measured_critical

    f, values = found.landscape.objective, list[float | None]()
    for minimum in found.minima:
        try:
            finite = 0 < minimum.sharpness < math.inf
            values.append(
                measured_critical(f, minimum.x, momentum=momentum, nesterov=nesterov) if finite else None
            )
        except ConvergenceError:
            values.append(None)
    return values


def _json(objective: str, found: Stability, measured: list[float | None] | None) -> dict[str, Any]:
    """The object that CLI users are promised."""
    minima = [
        {"x": m.x, "value": m.value, "sharpness": m.sharpness, "critical_lr": m.critical_learning_rate, "stable": row}
        for m, row in zip(found.minima, found.stable, strict=True)
    ]
    if measured is not None:
        minima = [{**m, "measured_lr": value} for m, value in zip(minima, measured, strict=True)]
    return {
        "objective": objective,
        "learning_rates": found.learning_rates,
        "minima": minima,
        "notes": found.landscape.notes,
    }


def _show(found: Stability, measured: list[float | None] | None) -> None:
    known = found.landscape
    rates = found.learning_rates[:MOST_RATES]
    columns = ["minimum", "x", "f", "sharpness", "critical lr", *(["measured"] if measured is not None else [])]
    rows = []
    for i, (m, row) in enumerate(zip(found.minima[:MOST_ROWS], found.stable, strict=False)):
        place, height = coordinates(m.x[:6], known.extent), known.height(known.minima[i])
        cells = [str(i), " ".join(place), f"{height:.8g}", f"{m.sharpness:.8g}", f"{m.critical_learning_rate:.8g}"]
        if measured is not None:
            cells.append("" if measured[i] is None else f"{measured[i]:.4g}")
        rows.append((*cells, *("stable" if yes else "no" for yes in row[: len(rates)])))
    name = found.landscape.objective.name
    print_table(f"{name}: minima of gradient descent", (*columns, *(f"lr {s:g}" for s in rates)), rows, left=("x",))
    if len(found.minima) > MOST_ROWS or len(found.learning_rates) > MOST_RATES:
        print_line(f"{MOST_ROWS} minima and {MOST_RATES} learning rates are shown at most; --json holds all")
    for note in found.landscape.notes:
        print_line(f"note: {note}")
