"""`witten chain`: the rate of SGD itself, beside that of the SDE that stands for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from witten import parallel
from witten.cli.options import base_command, groups, learning_rate_spec, option_values, options
from witten.cli.output import print_json, print_line, print_table
from witten.cli.sweeps import swept
from witten.errors import RequestError
from witten.number_format import with_log_error

if TYPE_CHECKING:
    from pathlib import Path

    from witten.rates import RateCurve, RateRecord

EXAMPLES = base_command.examples(
    "witten chain shi-su-jordan-1d --lr 0.1,0.075",
    "witten chain double-well --lr 0.01:0.4:12 --plot chain.png",
    "witten chain triple-well --lr 0.2 --json",
    "witten chain rastrigin --lr 0.15,0.3 -o chain.nc --resume",
    "witten chain double-well --lr 0.05 --momentum 0.5",
    'witten chain double-well --lr 0.1 --covariance "1+tanh(2*x)/2"',
    notes="The chain is x+ = x - s grad f(x) + s SIGMA xi, in 1 and 2 dimensions and for sums of functions of one "
    "variable; with a covariance SIGMA is its root at x. A survival below 1 means that SGD diverges in the end; the "
    "rate is then that of runs that have not.",
)
# A relative error that is shown to a person is this at least.
SHOWN = 5e-8


def chain(
    objective: groups.Objective,
    lr: options.LearningRates,
    noise: groups.DriftingNoise,
    files: groups.Sweep,
    momentum: groups.Momentum,
    box: options.Box = None,
    as_json: options.Json = False,
) -> None:
    """The gap of discrete SGD, from its transfer operator, beside the gap of the SDE."""
    learning_rates = learning_rate_spec.parse_learning_rates(lr)
    request: dict[str, Any] = {"noise": noise.parsed(), "box": option_values.parse_box(box)}
    about = momentum.said
    if about and not isinstance(request["noise"], float):
        raise RequestError("--momentum knows noise of one strength only: leave --covariance and others out")
    files.check()
    f = objective.resolved()
    from witten.rates import ChainRate, CurveSet, RateCurve
    from witten.sgd.sde_comparison import SDE

    beside: Callable[..., CurveSet]
    if not about:
        from witten.sgd.sde_comparison import chain_beside_sde as beside
    else:
        from witten.validation.langevin_comparison import momentum_chain_beside_langevin as beside

    def kept(done: Sequence[RateRecord]) -> CurveSet:
        sgd = tuple(record for record in done if isinstance(record, ChainRate))
        sde = tuple(record for record in done if not isinstance(record, ChainRate))
        return CurveSet({name: RateCurve(each, "", f.name, request) for name, each in (("", sgd), (SDE, sde))})

    found, ending = swept(
        partial(beside, f, learning_rates, **request, **about), kept, files,
        what=objective.text, total=2 * len(learning_rates), unit="rates",
    )  # fmt: skip
    found = found or kept(())
    sgd, sde = found.curves[""], found.curves[SDE]
    parallel.agree(parallel.world(), lambda: _draw(sgd, sde, files.plot))
    known = {record.learning_rate: record for record in sde.records}
    rows = [_json_record(record, known.get(record.learning_rate)) for record in sgd.records]
    sgd_why, why = (_why(curve) for curve in (sgd, sde))
    if as_json:
        said = {"objective": objective.text, **option_values.about_noise(request["noise"]), **about}
        print_json({**said, "records": rows, "why": sgd_why or why})
    else:
        _show(f.name, request["noise"], rows, about)
        for whose, note in (("SGD", sgd_why), ("the SDE", why)):
            if note is not None:
                print_line(f"no rate of {whose}: {note}")
        files.say()
    if ending is not None:
        raise ending


def _why(curve: RateCurve) -> str | None:
    """Why there is a learning rate without a rate."""
    return next((note for record in curve.records if not record.resolved for note in record.notes), None)


def _draw(sgd: RateCurve, sde: RateCurve, plot: Path | None) -> None:
    if plot is not None and sgd.records:
        from witten.plots import plot_chain

        plot_chain(sgd, sde if sde.resolved.any() else None, plot)


def _json_record(found: Any, sde: RateRecord | None) -> dict[str, Any]:
    """One learning rate; what is not resolved is null."""
    from witten.rates.ratio import ratio_with_error

    known = sde is not None and sde.resolved and sde.rate is not None
    rate, error = (found.rate, found.rate_error) if found.resolved else (None, None)
    sde_rate, sde_error = (sde.rate, sde.rate_error) if known and sde is not None else (None, None)
    ratio, ratio_error = ratio_with_error(rate, error, sde_rate, sde_error)
    s, values = found.learning_rate, found.eigenvalues
    return {
        "learning_rate": s,
        "chain_rate": rate,
        "chain_error": error,
        **({"continuous": True} if found.resolved and found.continuous else {}),
        "chain_rate_per_step": None if rate is None else s * rate,
        "sde_rate": sde_rate,
        "sde_error": sde_error,
        "sde_rate_per_step": None if sde_rate is None else s * sde_rate,
        "ratio": ratio,
        "ratio_error": ratio_error,
        "eigenvalues": [[value.real, value.imag] for value in values],
        "eigenvalue_errors": found.eigenvalue_errors,
        "phases": found.phases,
        "survival": 1.0 - found.loss if values else None,
        "loss": found.loss if values else None,
        "loss_error": found.eigenvalue_errors[0] if values else None,
        "n_dofs": found.n_dofs,
        "seconds": found.seconds,
    }


def _show(name: str, noise: Any, rows: Sequence[dict[str, Any]], about: dict[str, Any]) -> None:
    """With momentum rates are those per step."""
    strength = f"noise {noise:g}" if isinstance(noise, float) else f"covariance {noise.text}"
    noted = "" if noise == 1 else f", {strength}"
    title, unit = "SGD beside the SDE", ""
    if about:
        gradient = ", Nesterov's gradient" if about["nesterov"] else ""
        title, unit = f"SGD with momentum {about['momentum']:g}{gradient}, beside its Langevin equation", " per step"
    print_table(
        f"{name}: {title}{noted}",
        ("learning rate", f"SGD rate{unit}", f"SDE rate{unit}", "ratio", "lost per step", "eigenvalues of one step"),
        [_row(row, bool(about)) for row in rows],
    )
    if any(row.get("continuous") for row in rows):
        print_line("* the bottom of the continuous spectrum: there is no eigenvalue below it")


def _row(row: dict[str, Any], per_step: bool) -> tuple[str, ...]:
    unit = row["learning_rate"] if per_step else 1.0
    numbers = [_with_error(row, name, unit) or "unresolved" for name in ("chain_rate", "sde_rate")]
    numbers[0] += " *" if row.get("continuous") else ""
    ratio = _with_error(row, "ratio")
    loss = "" if row["loss"] is None else f"{row['loss']:.1e}" if row["loss"] > 1e-15 else "0"
    values = " ".join(_eigenvalue(*value) for value in row["eigenvalues"][1:5])
    return (f"{row['learning_rate']:.6g}", *numbers, ratio, loss, values)


def _with_error(row: dict[str, Any], name: str, unit: float = 1.0) -> str:
    """A number, in this unit, with its error in brackets; nothing where it is not known."""
    value, error = row[name], row[f"{name.removesuffix('_rate')}_error"]
    return "" if value is None else with_log_error(math.log(unit * value), 0.0, max(error / value, SHOWN))


def _eigenvalue(real: float, imaginary: float) -> str:
    """Four digits; a pair of complex ones as modulus and angle."""
    if abs(imaginary) < 1e-9:
        return f"{real:.4f}"
    return f"{math.hypot(real, imaginary):.4f}∠{math.degrees(math.atan2(imaginary, real)):.0f}°"
