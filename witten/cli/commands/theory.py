"""`witten theory`: the Eyring-Kramers law, all exponentially small rates from minima and saddles alone."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from witten.cli import options, output_files
from witten.cli.output import print_json, print_line, print_table
from witten.cli.streams import say
from witten.cli.sweeps import swept
from witten.number_format import scientific, with_log_error

if TYPE_CHECKING:
    from witten.landscape.landscape import Landscape
    from witten.rates import RateCurve

LOG_10 = math.log(10)
EXAMPLES = options.examples(
    "witten theory double-well --lr 0.01:0.2:9",
    "witten theory shi-su-jordan --lr 0.05,0.01 --json",
    "witten theory double-well:dim=2 --lr 0.02:0.2:8 --plot law.png",
    "witten theory mueller-brown --lr 0.02:0.2:8 -o law.nc --resume",
    "witten theory double-well --lr 0.02 --order 6",
    notes="The law to first order in s, with its error; leading order beside it. --plot adds computed rates.",
)
ERROR = "error bars estimate what the law leaves out, by the integrals it expands"
# Rates shown to a person for each learning rate.
MOST_SHOWN = 5


def theory(
    objective: options.Objective,
    lr: options.LearningRates,
    noise: options.Noise = "1",
    box: options.Box = None,
    center: options.Center = None,
    scale: options.Scale = None,
    seed: options.Seed = "0",
    order: options.Order = "1",
    output: options.Output = None,
    plot: options.Plot = None,
    resume: options.Resume = False,
    walltime: options.Walltime = None,
    as_json: options.Json = False,
) -> None:
    """All exponentially small rates as the Eyring-Kramers law has them, exact as the learning rate goes to 0."""
    learning_rates = options.parse_learning_rates(lr)
    request: dict[str, Any] = {"noise": options.positive("--noise", noise), "box": options.parse_box(box)}
    number, highest = options.whole("--seed", seed, 0), options.whole("--order", order, 0)
    options.parse_walltime(walltime)
    output_files.check_places(output, plot, resume)
    import witten
    from witten.landscape.eyring_kramers import METHOD, prefactor, require_confining
    from witten.rates import RateCurve

    f = options.resolved(objective, center, scale)
    if request["box"] is None:
        require_confining(f)
    landscape = witten.describe_landscape(f, box=request["box"], seed=number)
    law, ending = swept(
        partial(
            witten.eyring_kramers, landscape, learning_rates, order=highest, seed=number, output=output, resume=resume,
            **request,
        ),
        lambda done: RateCurve(tuple(done), METHOD, f.name, {"noise": request["noise"]}),
        what=objective, total=len(learning_rates), output=output, walltime=walltime,
    )  # fmt: skip
    law = law or RateCurve((), METHOD, f.name, {"noise": request["noise"]})
    alpha = prefactor(landscape)
    if plot is not None and law.records:
        _draw(landscape, law, request, plot)
    for note in landscape.cut:
        say(f"note: {note}")
    if as_json:
        print_json(_json(objective, landscape, law, alpha) | {"order": highest})
    else:
        _show(landscape, law, alpha, highest)
        output_files.say_where(output, plot)
    if ending is not None:
        raise ending


def _draw(landscape: Landscape, law: RateCurve, request: dict[str, Any], plot: Any) -> None:
    """The law, beside computed rates where the dimension allows and there is something to compare."""
    import witten
    from witten.errors import ConvergenceError, RequestError
    from witten.plots import plot_law

    computed = None
    if landscape.objective.dimension <= 3 and len(landscape.minima) > 1:
        say("note: --plot sets computed rates beside the law; the spectral route computes them, which may take longer")
        try:
            computed = witten.gap(landscape.objective, law.learning_rates, **request)
        except (ConvergenceError, RequestError):  # the picture of the law alone is still right
            computed = None
    plot_law(law, computed, plot)


def _json(objective: str, landscape: Landscape, law: RateCurve, alpha: float | None) -> dict[str, Any]:
    """The object that CLI users are promised."""
    from witten.landscape.eyring_kramers import WIDEST
    from witten.rates import LawRate

    records = [
        {
            "learning_rate": record.learning_rate,
            "rates": record.rates,
            "log10_rates": [value / LOG_10 for value in record.log_rates],
            "leading": record.leading,
            "log10_leading": [value / LOG_10 for value in record.log_leading],
            "coefficient": record.coefficients,
            "error": [error if math.isfinite(error) else None for error in record.errors],
            "resolved": [error <= WIDEST for error in record.log_errors],
        }
        for record in law.records
        if isinstance(record, LawRate)
    ]
    return {
        "objective": objective,
        "barrier": landscape.barrier,
        "prefactor": alpha,
        "tied": landscape.tied,
        "records": records,
        "notes": [*landscape.notes, *([] if alpha is None else [ERROR])],
    }


def _show(landscape: Landscape, law: RateCurve, alpha: float | None, order: int) -> None:
    name = landscape.objective.name
    if landscape.unbounded:
        print_line(f"{name} has no smallest barrier to pass and no law: its barriers grow without bound")
        return
    if alpha is None:
        print_line(f"{name} has one minimum: no rate is exponentially small, and the law says nothing")
        print_line(f"as s -> 0 the rate tends to the smallest curvature there, {landscape.minima[0].curvatures[0]:.8g}")
        return
    count = min(len(landscape.minima) - 1, MOST_SHOWN)
    rows = [_row(record, count) for record in law.records]
    noise = "" if law.noise == 1 else f", noise {law.noise:g}"
    columns = ("learning rate", *(f"rate {k + 1}" for k in range(count)), "rate 1, leading order", "c")
    print_table(f"{name}: rates by the Eyring-Kramers law to order {order}{noise}", columns, rows)
    if len(landscape.minima) - 1 > count:
        print_line(f"the slowest {count} of {len(landscape.minima) - 1} are shown; --json holds all")
    print_line(f"rate 1 = a exp(-2H/s) as s -> 0: barrier H = {landscape.barrier:.10g}, prefactor a = {alpha:.10g}")
    if landscape.tied:
        print_line("barriers are tied; the rates take that into account")
    for note in (*landscape.notes, ERROR):
        print_line(f"note: {note}")


def _row(record: Any, count: int) -> tuple[str, ...]:
    """The slowest rates with their errors, and the first in leading order: rate = leading (1 + c s + O(s^2))."""
    from witten.landscape.eyring_kramers import WIDEST

    shown = zip(record.log_rates[:count], record.log_errors, strict=False)
    rates = (with_log_error(rate, error) if error <= WIDEST else "not resolved" for rate, error in shown)
    leading, coefficient = record.log_leading[0], record.coefficients[0]
    return f"{record.learning_rate:.6g}", *rates, scientific(leading, 7), f"{coefficient:.6g}"
