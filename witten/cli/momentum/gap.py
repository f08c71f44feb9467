"""`witten gap --momentum`, `--friction` and `--friction-sweep`: rates of SGD with momentum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from witten.cli import output_files
from witten.cli.options import groups, learning_rate_spec, option_numbers, option_values
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.sweeps import curve_of, swept
from witten.errors import RequestError

if TYPE_CHECKING:
    from witten.kinetic import FrictionSweep
    from witten.objectives import Objective
    from witten.rates import KineticRate

METHOD = "hermite-elements"
# What options of a sweep of learning rates are where they are left out.
_USUAL = {"--noise": "1", "--sde": "bbk", "--groups": "1"}


def run(
    objective: groups.Objective,
    lr: str | None,
    files: groups.Sweep,
    *,
    momentum: str | None,
    friction: str | None,
    temperature: str | None,
    friction_sweep: str | None,
    sde: str,
    rtol: str,
    noise: str,
    box: str | None,
    groups: str,
    as_json: bool,
    elsewhere: Mapping[str, Any],
) -> None:
    """Rates with momentum, or of a Langevin equation; refused are options that they do not know."""
    option_values.require_known_with_momentum(elsewhere)
    asked: dict[str, Any] = {"rtol": option_numbers.positive("--rtol", rtol), "box": option_values.parse_box(box)}
    if momentum is not None:
        if friction is not None or temperature is not None or friction_sweep is not None:
            raise RequestError("--momentum says what friction and temperature are: leave out these, or --momentum")
        alpha = option_numbers.from_zero_to_one("--momentum", momentum)
        learning_rates = learning_rate_spec.parse_learning_rates(learning_rate_spec.required_learning_rates(lr))
        asked |= {"noise": option_numbers.positive("--noise", noise), "equation": sde}
        asked["groups"] = option_numbers.whole("--groups", groups, 1)
        _recursion(objective.resolved(), learning_rates, alpha, asked, files, as_json)
        return
    of_sweeps = {"-o": files.output, "--resume": files.resume, "--groups": groups, "--walltime": files.walltime}
    _require_plain({"--lr": lr, "--noise": noise, "--sde": sde, **of_sweeps})
    if temperature is None or (friction is None) == (friction_sweep is None):
        raise RequestError("a Langevin equation has a --temperature, and --friction or --friction-sweep: give both")
    t = option_numbers.positive("--temperature", temperature)
    output_files.check_plot(files.plot)
    f = objective.resolved()
    if friction is not None:
        if files.plot is not None:
            raise RequestError("there is nothing to draw of one friction; give --friction-sweep, or leave out --plot")
        _equation(f, option_numbers.positive("--friction", friction), t, asked, as_json)
    else:
        _turnover(f, _frictions(str(friction_sweep)), t, asked, files.plot, as_json)


def _require_plain(given: Mapping[str, Any]) -> None:
    """A Langevin equation has no recursion, and is no sweep of learning rates that could be kept or shared."""
    for name, value in given.items():
        if value not in (None, False, _USUAL.get(name)):
            raise RequestError(f"{name} is about learning rates, and --friction takes their place: leave it out")


def _frictions(text: str) -> tuple[float, ...]:
    """`0.1:10:12`, geometric, or a list."""
    try:
        return learning_rate_spec.parse_learning_rates(text)
    except RequestError as error:
        said = str(error).replace("--lr", "--friction-sweep").replace("learning rate", "friction")
        raise RequestError(said) from None


def _recursion(
    f: Objective, learning_rates: Sequence[float], alpha: float, asked: dict[str, Any], files: groups.Sweep,
    as_json: bool,
) -> None:  # fmt: skip
    """SGD with momentum at some learning rates."""
    files.check()
    import witten

    about = {"noise": asked["noise"], "momentum": alpha}
    curve, ending = swept(
        partial(witten.momentum_gap, f, learning_rates, alpha, **asked), curve_of(METHOD, f.name, about), files,
        what=f.name, total=len(learning_rates),
    )  # fmt: skip
    records = [] if curve is None else list(curve.records)
    _tell(f, records, {"momentum": alpha, "sde": asked["equation"]}, as_json)
    output_files.draw_curve(curve, files.plot)
    if not as_json and curve is not None:
        files.say()
    if ending is not None:
        raise ending


def _equation(f: Objective, friction: float, temperature: float, asked: dict[str, Any], as_json: bool) -> None:
    """A Langevin equation."""
    import witten

    _tell(f, [witten.langevin_gap(f, friction, temperature, **asked)], {"momentum": None}, as_json)


def _turnover(
    f: Objective, frictions: Sequence[float], temperature: float, asked: dict[str, Any], plot: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Frictions at one temperature, and the optimum."""
    import witten

    with progress_bar(len(frictions), f.name) as advance:
        found: FrictionSweep = witten.friction_sweep(
            f, frictions, temperature, progress=lambda record: advance(f"friction {record.friction:.4g}"), **asked
        )
    best = found.optimum
    optimum = None if best is None else {"friction": best.friction, "rate": best.rate, "rate_error": best.rate_error}
    _tell(f, found.records, {"momentum": None, "temperature": temperature, "optimum": optimum}, as_json)
    if not as_json and best is not None:
        print_line(f"the rate is largest at friction {best.friction:.4g}: {best.text}")
    if plot is not None:
        from witten.plots import plot_turnover

        plot_turnover(found, f.name, plot)
        if not as_json:
            output_files.say_where(None, plot)


def _tell(f: Objective, records: Sequence[Any], said: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"objective": f.name, "method": METHOD, **said, "records": [_json_record(f, r) for r in records]})
        return
    alpha = said["momentum"]
    print_table(
        f"{f.name}: rate with momentum" + ("" if alpha is None else f" {alpha:g}"),
        ("learning rate", "friction", "temperature", "rate per time", "rate per step", "per k s", "orders", "seconds"),
        [_row(record) for record in records],
    )
    for record in records:
        if record.eigenvalues and record.eigenvalues[0].imag:
            first = record.eigenvalues[0]
            print_line(f"at friction {record.friction:.4g} it oscillates: {first.real:.6g} +- {abs(first.imag):.6g} i")


def _json_record(f: Objective, record: KineticRate) -> dict[str, Any]:
    """One learning rate; what is not resolved is null."""
    known, steps = record.resolved, not math.isnan(record.step_time)
    return {
        "learning_rate": record.learning_rate if steps else None,
        "rate": record.rate if known else None,
        "rate_error": record.rate_error if known else None,
        "log10_rate": record.log10_rate if known else None,
        "rate_per_step": record.rate_per_step if known else None,
        "rate_per_ks": record.rate_per_ks if known else None,
        "momentum": record.momentum if steps else None,
        "friction": record.friction,
        "temperature": record.temperature,
        "step_time": record.step_time if steps else None,
        "eigenvalues": [[value.real, value.imag] for value in record.eigenvalues],
        "hermite_order": record.hermite_order,
        "resolved": known,
        "solver": record.solver,
        "n_dofs": record.n_dofs,
        "seconds": record.seconds,
        **({"notes": record.notes} if record.notes else {}),
        **({"examined": record.examined} if record.examined else {}),
    }


def _row(record: KineticRate) -> tuple[str, ...]:
    steps = not math.isnan(record.step_time)
    per_step, per_ks = (
        f"{value:.6g}" if value is not None and record.resolved else ""
        for value in (record.rate_per_step, record.rate_per_ks)
    )
    return (
        f"{record.learning_rate:.6g}" if steps else "",
        f"{record.friction:.6g}",
        f"{record.temperature:.6g}",
        record.text,
        per_step,
        per_ks,
        f"{record.hermite_order}",
        f"{record.seconds:.2f}",
    )
