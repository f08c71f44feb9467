"""`witten theory`: the Eyring-Kramers law, all exponentially small rates from minima and saddles alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from witten import parallel
from witten.cli.exits import json_of_exits, show_exits
from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table
from witten.cli.streams import say
from witten.cli.sweeps import curve_of, swept
from witten.number_format import scientific, with_log_error

if TYPE_CHECKING:
    from witten.landscape.landscape import Landscape
    from witten.landscape.laws.noisy_law import Exit
    from witten.rates import RateCurve

LOG_10 = math.log(10)
EXAMPLES = base_command.examples(
    "witten theory double-well --lr 0.01:0.2:9",
    "witten theory shi-su-jordan --lr 0.05,0.01 --json",
    "witten theory double-well:dim=2 --lr 0.02:0.2:8 --plot law.png",
    "witten theory mueller-brown --lr 0.02:0.2:8 -o law.nc --resume",
    "witten theory double-well --lr 0.02 --order 6",
    'witten theory "(x^2-1)^2/4 + x*y/5 + y^2/2" --lr 0.02,0.05 --covariance "1,0.5;0.5,1"',
    "witten theory double-well --lr 0.02 --momentum 0.5",
    notes="The law to first order in s, with its error, beside the leading order. --plot also computes the rates by "
    "the spectral route.",
)
ERROR = "error bars estimate what the law leaves out, by the integrals it expands"
LEAST = (
    "V is the least action of the paths that were tried, an upper bound of the quasi-potential; leading order in s, "
    "error bars estimate the next"
)
# Rates shown to a person for each learning rate.
MOST_SHOWN = 5


def theory(
    objective: groups.Objective,
    lr: options.LearningRates,
    noise: groups.Noise,
    files: groups.Sweep,
    box: options.Box = None,
    seed: options.Seed = "0",
    order: options.Order = "1",
    momentum: options.Momentum = None,
    as_json: options.Json = False,
) -> None:
    """All exponentially small rates by the Eyring-Kramers law, exact as the learning rate goes to 0."""
    learning_rates = learning_rate_spec.parse_learning_rates(lr)
    noises = noise.parsed()
    request: dict[str, Any] = {"noise": noises, "box": option_values.parse_box(box)}
    number, highest = option_numbers.whole("--seed", seed, 0), option_numbers.whole("--order", order, 0)
    files.check()
    import witten
    from witten.errors import RequestError
    from witten.landscape.laws.eyring_kramers import METHOD, prefactor
    from witten.landscape.laws.reduced_generator import require_confining

    f = objective.resolved()
    if request["box"] is None:
        require_confining(f)
    ranks, described = parallel.world(), partial(witten.describe_landscape, f, box=request["box"], seed=number)
    landscape = parallel.collectively(ranks, described)
    if momentum is not None:
        if any(noise.given.values()):
            raise RequestError("momentum takes noise of one strength; leave out --covariance and --noise-model")
        of_sgd = option_numbers.from_zero_to_one("--momentum", momentum)
        elsewhere = order, files.output, files.plot, files.walltime
        _with_momentum(objective.text, landscape, learning_rates, of_sgd, request["noise"], elsewhere, as_json)
        return
    kept = curve_of(METHOD, f.name, option_values.about_noise(noises))
    law, ending = swept(
        partial(witten.eyring_kramers, landscape, learning_rates, order=highest, seed=number, **request), kept, files,
        what=objective.text, total=len(learning_rates),
    )  # fmt: skip
    law = law or kept(())
    ways = _ways(landscape, noises)
    alpha = prefactor(landscape)
    if files.plot is not None and law.records:
        computed = _computed(landscape, law, request)
        parallel.agree(ranks, lambda: _draw(law, computed, files.plot))
    for note in landscape.cut:
        say(f"note: {note}")
    if as_json:
        print_json(_json(objective.text, landscape, law, alpha) | {"order": highest} | _json_of_noise(law, ways))
    elif ways:
        _show_ways(landscape, law, ways)
        files.say()
    else:
        _show(landscape, law, alpha, highest)
        files.say()
    if ending is not None:
        raise ending


def _ways(landscape: Landscape, noise: Any) -> tuple[Exit, ...]:
    """The ways out of wells under noise with a covariance; none where it is of one strength, or there is one well."""
    from witten.noise import parted

    _, model = parted(noise, landscape.objective)
    if model is None or len(landscape.minima) < 2 or landscape.unbounded:
        return ()
    from witten.landscape.laws.noisy_law import exits

    return exits(landscape, model.bind(landscape.objective))


def _json_of_noise(law: RateCurve, ways: tuple[Exit, ...]) -> dict[str, Any]:
    """What noise with a covariance changes: barrier and prefactor are those of its law."""
    named = {"noise": law.options["covariance"]} if "covariance" in law.options else {}
    if not ways:
        return named
    from witten.landscape.laws.noisy_law import limiting_law

    action, alpha = limiting_law(ways, 1 + max(way.minimum for way in ways))
    order = {"order": 0, "notes": [LEAST]}
    return named | {"barrier": action / 2, "prefactor": alpha, "exits": json_of_exits(ways)} | order


def _show_ways(landscape: Landscape, law: RateCurve, ways: tuple[Exit, ...]) -> None:
    from witten.landscape.laws.noisy_law import limiting_law

    count = min(len(landscape.minima) - 1, MOST_SHOWN)
    rows = [_row(record, count)[: count + 1] for record in law.records]
    columns = ("learning rate", *(f"rate {k + 1}" for k in range(count)))
    title = f"{landscape.objective.name}: rates by paths of least action, covariance {law.options['covariance']}"
    print_table(title, columns, rows)
    show_exits(ways)
    action, alpha = limiting_law(ways, len(landscape.minima))
    print_line(f"rate 1 = a exp(-V/s) as s -> 0: V = {action:.7g}, a = {alpha:.4g}")
    print_line(f"note: {LEAST}")


def _with_momentum(
    objective: str, landscape: Landscape, learning_rates: Sequence[float], momentum: float, noise: float,
    elsewhere: tuple[str, Any, Any, str | None], as_json: bool,
) -> None:  # fmt: skip
    """The law with the growth rate at the saddle that momentum makes of its curvature."""
    import witten
    from witten.errors import RequestError
    from witten.langevin import Langevin

    if elsewhere != ("1", None, None, None):
        raise RequestError(
            "the law with momentum is of leading order, neither saved nor drawn: no --order, -o, --plot, --walltime"
        )
    law = witten.kramers_law(landscape, learning_rates, momentum, noise=noise)
    equations = [Langevin.of_momentum(s, momentum, noise) for s in learning_rates]
    if as_json:
        shown = _json(objective, landscape, law, None)
        for row, equation in zip(shown["records"], equations, strict=True):
            row |= {"friction": equation.friction, "temperature": equation.temperature, "step_time": equation.step_time}
        notes = dict.fromkeys(note for record in law.records for note in record.notes)
        print_json(shown | {"momentum": momentum, "notes": [*shown["notes"], *notes]})
        return
    count = min(len(landscape.minima) - 1, MOST_SHOWN)
    rows = [
        (f"{record.learning_rate:.6g}", f"{it.friction:.6g}", f"{it.temperature:.6g}", *_rates(record, count))
        for record, it in zip(law.records, equations, strict=True)
    ]
    columns = ("learning rate", "friction", "temperature", *(f"rate {k + 1}" for k in range(count)))
    name = landscape.objective.name
    print_table(f"{name}: rates by Kramers's law, momentum {momentum:g}, per time k dt", columns, rows)
    for note in dict.fromkeys((*landscape.notes, *(note for record in law.records for note in record.notes))):
        print_line(f"note: {note}")


def _computed(landscape: Landscape, law: RateCurve, request: dict[str, Any]) -> RateCurve | None:
    """Computed rates beside the law, where the dimension allows and there is something to compare."""
    import witten
    from witten.errors import ConvergenceError, RequestError

    if landscape.objective.dimension > 3 or len(landscape.minima) < 2:
        return None
    say("note: --plot sets computed rates beside the law; the spectral route computes them, which may take longer")
    try:
        return witten.gap(landscape.objective, law.learning_rates, **request)
    except (ConvergenceError, RequestError):  # the picture of the law alone is still right
        return None


def _draw(law: RateCurve, computed: RateCurve | None, plot: Any) -> None:
    from witten.plots import plot_law

    plot_law(law, computed, plot)


def _json(objective: str, landscape: Landscape, law: RateCurve, alpha: float | None) -> dict[str, Any]:
    """The object that CLI users are promised."""
    from witten.landscape.laws.eyring_kramers import WIDEST
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
    leading, coefficient = record.log_leading[0], record.coefficients[0]
    return f"{record.learning_rate:.6g}", *_rates(record, count), scientific(leading, 7), f"{coefficient:.6g}"


def _rates(record: Any, count: int) -> Iterator[str]:
    """The slowest rates with their errors."""
    from witten.landscape.laws.eyring_kramers import WIDEST

    shown = zip(record.log_rates[:count], record.log_errors, strict=False)
    return (with_log_error(rate, error) if error <= WIDEST else "not resolved" for rate, error in shown)
