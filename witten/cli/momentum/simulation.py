"""`witten simulate --momentum`: the rate of SGD with momentum from its own paths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from witten import parallel
from witten.cli import output_files
from witten.cli.options import option_values
from witten.cli.output import print_json, print_line, print_table
from witten.cli.sampled_rates import cells, json_row
from witten.cli.sweeps import curve_of, swept
from witten.errors import RequestError

if TYPE_CHECKING:
    from witten.cli.options.groups import Sweep
    from witten.objectives import Objective


def run(
    f: Objective,
    learning_rates: Sequence[float],
    files: Sweep,
    *,
    estimator: str,
    momentum: float,
    as_json: bool,
    **request: Any,
) -> None:
    """Rates at some learning rates; refused is what only SGD without momentum knows."""
    if estimator not in ("auto", "hitting"):
        raise RequestError("--momentum takes residence times alone: use --estimator hitting, or leave it out")
    option_values.require_known_with_momentum({}, request["noise"])
    from witten.dynamics.momentum import simulate_momentum
    from witten.dynamics.simulation import METHOD

    about = {"noise": request["noise"], "momentum": momentum}
    curve, ending = swept(
        partial(simulate_momentum, f, learning_rates, momentum, **request), curve_of(METHOD, f.name, about), files,
        what=f.name, total=len(learning_rates),
    )  # fmt: skip
    records = [] if curve is None else list(curve.records)
    parallel.agree(parallel.world(), lambda: output_files.draw_curve(curve, files.plot))
    said = {"momentum": momentum, "nesterov": request["nesterov"], "scheme": request["scheme"]}
    if as_json:
        rows = [json_row(record) | _of_steps(record, momentum, request["noise"]) for record in records]
        print_json({"objective": f.name, "method": METHOD, **said, "records": rows})
    elif curve is not None:
        _show(f, records, said, request["noise"])
        files.say()
    if ending is not None:
        raise ending


def _of_steps(record: Any, alpha: float, noise: float) -> dict[str, float | None]:
    """The Langevin equation, and the rate per step and per unit of k s."""
    from witten.langevin import Langevin, step_time

    s, equation = record.learning_rate, Langevin.of_momentum(record.learning_rate, alpha, noise)
    time = step_time(s, alpha)
    known = record.resolved and record.rate is not None
    return {
        "friction": equation.friction,
        "temperature": equation.temperature,
        "step_time": time,
        "rate_per_step": record.rate * time if known else None,
        "rate_per_ks": record.rate * time / s if known else None,
    }


def _show(f: Objective, records: Sequence[Any], said: dict[str, Any], noise: float) -> None:
    gradient = ", Nesterov's gradient" if said["nesterov"] else ""
    what = "paths" if said["scheme"] == option_values.SGD_ITSELF else "paths of its Langevin equation"
    rows = []
    for record in records:
        per_step = _of_steps(record, alpha=said["momentum"], noise=noise)["rate_per_step"]
        s, rate, *rest = cells(record)
        rows.append((s, rate, "" if per_step is None else f"{per_step:.4g}", *rest))
    counted = ("estimator", "paths", "steps", "dt", "seconds")
    columns = ("learning rate", "rate per time", "per step", "95 % interval", *counted)
    print_table(f"{f.name}: {what} with momentum {said['momentum']:g}{gradient}", columns, rows, left=("estimator",))
    for record in records:
        for remark in record.notes:
            print_line(f"s = {record.learning_rate:.6g}: {remark}")
