"""`witten committor`: the committor between two sets, its rates and the reactive current."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.errors import RequestError
from witten.number_format import with_log_error

if TYPE_CHECKING:
    import xarray

    from witten.spectra.committor import Committor

EXAMPLES = base_command.examples(
    'witten committor double-well --lr 0.1 --from "x=-1" --to "x=1"',
    'witten committor "(x^2-1)^2/4 + y^2/2" --lr 0.1 --from "x=-1,y=0,r=0.2" --to "x=1,y=0,r=0.2" --plot q.png',
    'witten committor "cos(2*x)" --lr 0.2 --from "x=1.57" --to "x=4.71" --periodic "x=0:2*pi" --json',
)
KIND = "committor"
HOW = 'write the coordinates of a point, and the radius of a ball if it is one: "x=-1,y=0,r=0.2"'


def committor(
    objective: groups.Objective,
    lr: options.LearningRate,
    start: Annotated[
        str, typer.Option("--from", metavar="A", help='A: the well around "x=-1,y=0", or a ball "x=-1,y=0,r=0.2".')
    ],
    end: Annotated[str, typer.Option("--to", metavar="B", help="B, in the same way.")],
    files: groups.Files,
    rtol: options.Rtol = "1e-3",
    noise: options.NoiseScale = "1",
    box: options.Box = None,
    periodic: options.Periodic = None,
    as_json: options.Json = False,
) -> None:
    """Whether a path reaches B before A, how often and which way: committor, rates, reactive current."""
    learning_rate = learning_rate_spec.parse_learning_rate(lr)
    request: dict[str, Any] = {
        "rtol": option_numbers.positive("--rtol", rtol),
        "noise": option_numbers.positive("--noise", noise),
        "box": option_values.parse_box(box),
        "periodic": option_values.parse_periodic(periodic),
    }
    files.check(KIND)
    f = objective.resolved()
    sets = [_set(name, text, f) for name, text in (("--from", start), ("--to", end))]
    import witten
    from witten.spectra.committor import committor_dataset

    with progress_bar(1, objective.text):
        found = witten.committor(f, learning_rate, *sets, **request)
    if files != groups.Files():
        _keep(committor_dataset(found, f, request | {"from": start, "to": end}), files)
    if as_json:
        print_json(_json(objective.text, found, start, end))
    else:
        _show(found)
        files.say()


def _set(name: str, text: str, f: Any) -> Any:
    """A ball, or a point."""
    from witten.domains.sets import Ball

    given: dict[str, float] = {}
    for piece in text.split(","):
        key, _, value = (part.strip() for part in piece.partition("="))
        try:
            given[key] = float(value)
        except ValueError:
            raise RequestError(f"{name}: cannot read {piece.strip()!r} in {text!r}; {HOW}") from None
    radius = given.pop("r", None)
    names = [symbol.name for symbol in f.symbols]
    if sorted(given) != sorted(names) or not all(map(math.isfinite, given.values())):
        raise RequestError(f"{name}: {text!r} does not give {', '.join(names)} a number each; {HOW}")
    point = tuple(given[key] for key in names)
    return point if radius is None else Ball(point, radius)


def _keep(dataset: xarray.Dataset, files: groups.Files) -> None:
    if files.output is not None:
        from witten.io import netcdf

        netcdf.write_dataset(dataset, files.output)
    if files.plot is not None:
        from witten.plots import plot_committor

        plot_committor(dataset, files.plot)


def _json(objective: str, found: Committor, start: str, end: str) -> dict[str, Any]:
    """The object that CLI users are promised; null is what no double holds."""
    capacity, forth, back = (_number(log) for log in (found.log_capacity, found.log_rate, found.log_rate_back))
    errors = found.relative_errors.tolist()
    times = [_number(-log) for log in (found.log_rate, found.log_rate_back)]
    return {
        "objective": objective,
        "learning_rate": found.learning_rate,
        "capacity": capacity,
        "log10_capacity": found.log_capacity / math.log(10),
        "rate": forth,
        "rate_error": None if forth is None else errors[1] * forth,
        "log10_rate": found.log_rate / math.log(10),
        "rate_back": back,
        "log10_rate_back": found.log_rate_back / math.log(10),
        "relative_errors": errors,
        "mean_times": [
            {"from": start, "to": end, "time": times[0]},
            {"from": end, "to": start, "time": times[1]},
        ],
        "n_dofs": found.grid.n_nodes,
        "seconds": found.seconds,
    }


def _number(log: float) -> float | None:
    return math.exp(log) if -700 < log < 700 else None


def _show(found: Committor) -> None:
    rows = zip(
        ("transitions per unit of time", "rate from A to B", "rate from B to A"),
        (found.log_capacity, found.log_rate, found.log_rate_back),
        found.relative_errors.tolist(),
        strict=True,
    )
    print_table(
        f"{found.objective}: from A to B at learning rate {found.learning_rate:g}",
        ("what", "value", "log10"),
        [(what, with_log_error(log, error), f"{log / math.log(10):.4f}") for what, log, error in rows],
        left=("what",),
    )
    print_line(f"{found.solver}, {found.grid.n_nodes} unknowns, {found.seconds:.2f} s")
