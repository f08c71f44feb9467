"""`witten chain`: the rate of SGD itself, beside that of the SDE that stands for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from witten import parallel
from witten.cli import options, output_files
from witten.cli.output import print_json, print_line, print_table
from witten.cli.sweeps import swept
from witten.errors import RequestError
from witten.number_format import with_log_error

if TYPE_CHECKING:
    from pathlib import Path

    from witten.rates import RateCurve, RateRecord

EXAMPLES = options.examples(
    "witten chain shi-su-jordan-1d --lr 0.1,0.075",
    "witten chain double-well --lr 0.01:0.4:12 --plot chain.png",
    "witten chain triple-well --lr 0.2 --json",
    "witten chain rastrigin --lr 0.15,0.3 -o chain.nc --resume",
    "witten chain double-well --lr 0.05 --momentum 0.5",
    'witten chain double-well --lr 0.1 --covariance "1+tanh(2*x)/2"',
    notes="The chain is x+ = x - s grad f(x) + s SIGMA xi, in 1 and 2 dimensions and for sums of functions of one "
    "variable; with a covariance SIGMA is its root at x. A survival below 1 says that it escapes in the end; the rate "
    "is then that of the runs that have not.",
)
# A relative error that is shown to a person is this at least.
SHOWN = 5e-8


def chain(
    objective: options.Objective,
    lr: options.LearningRates,
    noise: options.Noise = "1",
    covariance: options.Covariance = None,
    noise_model: options.NoiseModel = None,
    drift: options.Drift = None,
    box: options.Box = None,
    center: options.Center = None,
    scale: options.Scale = None,
    output: options.Output = None,
    plot: options.Plot = None,
    resume: options.Resume = False,
    walltime: options.Walltime = None,
    momentum: options.Momentum = None,
    nesterov: options.Nesterov = False,
    as_json: options.Json = False,
) -> None:
    """The gap of discrete SGD, from its transfer operator, beside the gap of the SDE."""
    learning_rates = options.parse_learning_rates(lr)
    request: dict[str, Any] = {
        "noise": options.parse_noise(noise, covariance, noise_model, drift), "box": options.parse_box(box)
    }  # fmt: skip
    options.parse_walltime(walltime)
    alpha = options.parse_momentum(momentum, nesterov)
    if momentum is not None:
        from witten.cli import momentum_chain

        if not isinstance(request["noise"], float):
            raise RequestError("--momentum knows noise of one strength only: leave --covariance and others out")
        sweep = {"-o": output, "--plot": plot, "--resume": resume, "--walltime": walltime}
        f = options.resolved(objective, center, scale)
        momentum_chain.run(f, learning_rates, alpha, nesterov, request, sweep, as_json)
        return
    parallel.agree(parallel.world(), lambda: output_files.check_places(output, plot, resume))
    f = options.resolved(objective, center, scale)
    from witten.rates import ChainRate, CurveSet, RateCurve
    from witten.sgd.sde_comparison import SDE, chain_beside_sde

    def kept(done: Sequence[RateRecord]) -> CurveSet:
        sgd = tuple(record for record in done if isinstance(record, ChainRate))
        sde = tuple(record for record in done if not isinstance(record, ChainRate))
        return CurveSet({name: RateCurve(each, "", f.name, request) for name, each in (("", sgd), (SDE, sde))})

    found, ending = swept(
        partial(chain_beside_sde, f, learning_rates, output=output, resume=resume, **request), kept,
        what=objective, total=2 * len(learning_rates), output=output, walltime=walltime,
        unit="rates",
    )  # fmt: skip
    found = found or kept(())
    sgd, sde = found.curves[""], found.curves[SDE]
    parallel.agree(parallel.world(), lambda: _draw(sgd, sde, plot))
    known = {record.learning_rate: record for record in sde.records}
    rows = [_json_record(record, known.get(record.learning_rate)) for record in sgd.records]
    why = next((note for record in sde.records if not record.resolved for note in record.notes), None)
    if as_json:
        said = options.about_noise(request["noise"])
        print_json({"objective": objective, **said, "records": rows, "why": why})
    else:
        _show(f.name, request["noise"], rows)
        if why is not None:
            print_line(f"no rate of the SDE: {why}")
        output_files.say_where(output, plot)
    if ending is not None:
        raise ending


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
    return {
        "learning_rate": found.learning_rate,
        "chain_rate": rate,
        "chain_error": error,
        "sde_rate": sde_rate,
        "sde_error": sde_error,
        "ratio": ratio,
        "ratio_error": ratio_error,
        "eigenvalues": [[value.real, value.imag] for value in found.eigenvalues],
        "eigenvalue_errors": found.eigenvalue_errors,
        "phases": found.phases,
        "survival": 1.0 - found.loss,
        "loss": found.loss,
        "loss_error": found.eigenvalue_errors[0],
        "n_dofs": found.n_dofs,
        "seconds": found.seconds,
    }


def _show(name: str, noise: Any, rows: Sequence[dict[str, Any]]) -> None:
    strength = f"noise {noise:g}" if isinstance(noise, float) else f"covariance {noise.text}"
    noted = "" if noise == 1 else f", {strength}"
    print_table(
        f"{name}: SGD beside the SDE{noted}",
        ("learning rate", "SGD rate", "SDE rate", "ratio", "lost per step", "eigenvalues of one step"),
        [_row(row) for row in rows],
    )


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = [_with_error(row, name) or "unresolved" for name in ("chain_rate", "sde_rate")]
    ratio = _with_error(row, "ratio")
    loss = f"{row['loss']:.1e}" if row["loss"] > 1e-15 else "0"
    values = " ".join(_eigenvalue(*value) for value in row["eigenvalues"][1:5])
    return (f"{row['learning_rate']:.6g}", *numbers, ratio, loss, values)


def _with_error(row: dict[str, Any], name: str) -> str:
    """A number with its error in brackets; nothing where it is not known."""
    value, error = row[name], row[f"{name.removesuffix('_rate')}_error"]
    return "" if value is None else with_log_error(math.log(value), 0.0, max(error / value, SHOWN))


def _eigenvalue(real: float, imaginary: float) -> str:
    """Four digits; a pair of complex ones as modulus and angle."""
    if abs(imaginary) < 1e-9:
        return f"{real:.4f}"
    return f"{math.hypot(real, imaginary):.4f}∠{math.degrees(math.atan2(imaginary, real)):.0f}°"
