"""`witten validate --momentum`: SGD with momentum by all routes, its Langevin equation and the recursion itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from witten import parallel
from witten.cli.comparisons import json_record, row
from witten.cli.errors import DISAGREEMENT
from witten.cli.options import option_values
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.signals import Interrupted, patiently
from witten.cli.sweeps import seconds_left

if TYPE_CHECKING:
    from witten.cli.options.groups import Sweep
    from witten.objectives import Objective
    from witten.validation import MomentumValidation, Validation


def run(
    f: Objective,
    learning_rates: Sequence[float],
    alpha: float,
    files: Sweep,
    *,
    elsewhere: Mapping[str, Any],
    as_json: bool,
    **request: Any,
) -> int | None:
    """All routes at some learning rates; refused are options that they do not know."""
    option_values.require_known_with_momentum(elsewhere, request["noise"])
    from witten.validation import ROUTES, recursion_file, validate_momentum

    output, plot = (None if each is None else recursion_file(each) for each in (files.output, files.plot))
    of_recursion = replace(files, output=output, plot=plot)
    for each in (files, of_recursion):
        each.check()

    with progress_bar(2 * len(ROUTES) * len(learning_rates), f.name) as advance, patiently() as stop:
        found = validate_momentum(
            f, learning_rates, alpha, stop=stop, output=files.output, resume=files.resume,
            walltime=seconds_left(files.walltime),
            progress=lambda route, s: advance(f"{route.replace('_', ' ')} s = {s:.4g}"), **request,
        )  # fmt: skip
    parallel.agree(parallel.world(), partial(_draw, found, files.plot, plot))
    if as_json:
        print_json(_json(f, found))
    else:
        _show("its Langevin equation", "operator", found.equation, found)
        _show("SGD itself", "chain", found.recursion, found)
        print_line(found.verdict)
        for each in (files, of_recursion):
            each.say()
    if found.stopped is not None:
        line = f"{found.stopped}: what was done by then is compared, the rest is left out"
        raise Interrupted(line if files.output is None else f"{line}; the same command with --resume goes on")
    return DISAGREEMENT if found.agree is False else None


def _draw(found: MomentumValidation, *places: Path | None) -> None:
    """A picture of the equation and one of the recursion, where they were asked for."""
    for each, place in zip((found.equation, found.recursion), places, strict=True):
        if place is not None:
            from witten.plots.rates.validation import plot_validation

            plot_validation(each, place)


def _json(f: Objective, found: MomentumValidation) -> dict[str, Any]:
    """The object that CLI users are promised; `spectral` of the recursion is its chain."""
    return {
        "objective": f.name,
        "momentum": found.momentum,
        "records": [json_record(each) for each in found.equation.records],
        "recursion": [json_record(each) for each in found.recursion.records],
        "agree": found.agree,
        "verdict": found.verdict,
    }


def _show(what: str, spectral: str, found: Validation, whole: MomentumValidation) -> None:
    columns = ("learning rate", spectral, "theory", "paths", "95 % interval", "agree")
    title = f"{found.objective.name}: momentum {whole.momentum:g}, {what}, rates per time"
    print_table(title, columns, [row(each) for each in found.records], left=("agree",))
