"""`witten validate --momentum`: SGD with momentum by all routes, its Langevin equation and the recursion itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from witten.cli.comparisons import json_record, row
from witten.cli.errors import DISAGREEMENT
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.signals import Interrupted, patiently
from witten.errors import RequestError

if TYPE_CHECKING:
    from witten.objectives import Objective
    from witten.validation import MomentumValidation, Validation


def run(
    f: Objective,
    learning_rates: Sequence[float],
    alpha: float,
    *,
    elsewhere: Mapping[str, Any],
    as_json: bool,
    **request: Any,
) -> int | None:
    """All routes at some learning rates; refused are options that they do not know."""
    for name, given in elsewhere.items():
        if given:
            raise RequestError(f"{name} is not known with momentum yet; leave it out")
    if not isinstance(request["noise"], float):
        raise RequestError("a covariance is not known with momentum yet; leave it out")
    from witten.validation import ROUTES, validate_momentum

    with progress_bar(2 * len(ROUTES) * len(learning_rates), f.name) as advance, patiently() as stop:
        found = validate_momentum(
            f, learning_rates, alpha, stop=stop,
            progress=lambda route, s: advance(f"{route.replace('_', ' ')} s = {s:.4g}"), **request,
        )  # fmt: skip
    if as_json:
        print_json(_json(f, found))
    else:
        _show("its Langevin equation", "operator", found.equation, found)
        _show("SGD itself", "chain", found.recursion, found)
        print_line(found.verdict)
    if found.stopped is not None:
        raise Interrupted(f"{found.stopped}: what was done by then is compared, the rest is left out")
    return DISAGREEMENT if found.agree is False else None


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
