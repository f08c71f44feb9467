"""`witten chain`: the rate of SGD itself, beside that of the SDE that stands for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from witten.cli import options, places
from witten.cli.output import print_json, print_line, print_table
from witten.errors import ConvergenceError, RequestError

if TYPE_CHECKING:
    from witten.objectives import Objective
    from witten.rates import RateCurve, RateRecord
    from witten.spectra.operator_spectrum import TransferSpectrum

EXAMPLES = options.examples(
    "witten chain shi-su-jordan-1d --lr 0.1,0.075",
    "witten chain double-well --lr 0.01:0.4:12 --plot chain.png",
    "witten chain triple-well --lr 0.2 --json",
    "witten chain rastrigin --lr 0.15,0.3 -o chain.nc",
    notes="The chain is x+ = x - s grad f(x) + s SIGMA xi, in 1 and 2 dimensions and for sums of functions of one "
    "variable. A survival below 1 says that it runs away in the end; the rate is then that of those who have not.",
)
# Eigenvalues that are computed.
COUNT = 6


def chain(
    objective: options.Objective,
    lr: options.LearningRates,
    noise: options.Noise = "1",
    box: options.Box = None,
    output: options.Output = None,
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """The gap of discrete SGD, from its transfer operator, beside the gap of the SDE."""
    learning_rates = options.parse_learning_rates(lr)
    request: dict[str, Any] = {"noise": options.positive("--noise", noise), "box": options.parse_box(box)}
    places.check_places(output, plot)
    from witten.objectives import resolve
    from witten.spectra.beside_sde import BesideSDE
    from witten.spectra.transfer_spectrum import chain_spectra, rate_curve

    f = resolve(objective)
    found = chain_spectra(f, learning_rates, **request)
    curve = rate_curve(found, **request)
    sde, why = _sde(f, learning_rates, request["noise"])
    if output is not None:
        BesideSDE(curve, sde).save(output)
    if plot is not None:
        from witten.plots import plot_chain

        plot_chain(curve, sde, plot)
    records = [None] * len(found) if sde is None else sde.records
    rows = [_json_record(one, other) for one, other in zip(found, records, strict=True)]
    if as_json:
        print_json({"objective": objective, "noise": request["noise"], "records": rows, "why": why})
        return
    _show(f.name, request["noise"], rows)
    if why is not None:
        print_line(f"no rate of the SDE: {why}")
    places.say_where(output, plot)


def _sde(f: Objective, learning_rates: Sequence[float], noise: float) -> tuple[RateCurve | None, str | None]:
    """The curve of the SDE, or why there is none."""
    from witten.spectra.beside_sde import gap_by_terms

    try:
        return gap_by_terms(f, learning_rates, noise=noise), None
    except (RequestError, ConvergenceError) as error:
        return None, str(error)


def _json_record(found: TransferSpectrum, sde: RateRecord | None) -> dict[str, Any]:
    """One learning rate; what is not resolved is null."""
    known = sde is not None and sde.resolved and sde.rate is not None
    rate = found.rate if found.resolved else None
    sde_rate = sde.rate if known and sde is not None else None
    return {
        "learning_rate": found.step_size,
        "chain_rate": rate,
        "chain_error": found.rate_error if found.resolved else None,
        "sde_rate": sde_rate,
        "sde_error": sde.rate_error if known and sde is not None else None,
        "ratio": rate / sde_rate if rate is not None and sde_rate is not None else None,
        "eigenvalues": [[value.real, value.imag] for value in found.eigenvalues.tolist()],
        "eigenvalue_errors": found.errors,
        "phases": found.phases,
        "survival": found.survival,
        "loss": found.leak,
        "n_dofs": found.n_dofs,
        "seconds": found.seconds,
    }


def _show(name: str, noise: float, rows: Sequence[dict[str, Any]]) -> None:
    noted = "" if noise == 1 else f", noise {noise:g}"
    print_table(
        f"{name}: SGD beside the SDE{noted}",
        ("learning rate", "SGD rate", "SDE rate", "ratio", "lost per step", "eigenvalues of one step"),
        [_row(row) for row in rows],
    )


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = [f"{row[key]:.6g}" if row[key] is not None else "unresolved" for key in ("chain_rate", "sde_rate")]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.5g}"
    loss = f"{row['loss']:.1e}" if row["loss"] > 1e-15 else "0"
    values = " ".join(_eigenvalue(*value) for value in row["eigenvalues"][1:5])
    return (f"{row['learning_rate']:.6g}", *numbers, ratio, loss, values)


def _eigenvalue(real: float, imaginary: float) -> str:
    """Four digits; a pair of complex ones as modulus and angle."""
    if abs(imaginary) < 1e-9:
        return f"{real:.4f}"
    return f"{math.hypot(real, imaginary):.4f}∠{math.degrees(math.atan2(imaginary, real)):.0f}°"
