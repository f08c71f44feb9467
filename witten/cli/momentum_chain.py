"""`witten chain --momentum`: the rate of SGD with momentum itself, beside that of the Langevin equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import witten
from witten import parallel
from witten.cli.output import print_json, print_line, print_table
from witten.errors import ConvergenceError, RequestError
from witten.rates import RateRecord
from witten.rates.ratio import ratio_with_error

if TYPE_CHECKING:
    from witten.objectives import Objective
    from witten.sgd.arnoldi import TransferSpectrum

# What the rate of the Langevin equation is asked to.
RTOL = 1e-4


def run(
    f: Objective,
    learning_rates: Sequence[float],
    alpha: float,
    nesterov: bool,
    request: Mapping[str, Any],
    sweep: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Rates at some learning rates; refused are options of a sweep, which is neither saved nor drawn."""
    for name, given in sweep.items():
        if given:
            raise RequestError(f"{name} is not known with momentum yet; leave it out")
    rows: list[dict[str, Any]] = []
    why: list[str] = []
    for s in learning_rates:
        found = parallel.agree(
            parallel.world(), partial(witten.momentum_chain, f, s, alpha, nesterov=nesterov, **request)
        )
        sde = _langevin(f, s, alpha, request["noise"])
        rows.append(_json_record(found, sde))
        why += sde.notes if not sde.resolved else ()
        if not found.resolved:
            why.append(f"at learning rate {s:g} the gap of the chain is too small for its eigenvalues")
    said = {"objective": f.name, "noise": request["noise"], "momentum": alpha, "nesterov": nesterov}
    if as_json:
        print_json(said | {"records": rows, "why": next(iter(why), None)})
        return
    gradient = ", Nesterov's gradient" if nesterov else ""
    print_table(
        f"{f.name}: SGD with momentum {alpha:g}{gradient}, beside its Langevin equation",
        ("learning rate", "SGD rate per step", "error", "SDE rate per step", "ratio", "nodes", "seconds"),
        [_row(row) for row in rows],
    )
    for note in why:
        print_line(note)


def _langevin(f: Objective, s: float, alpha: float, noise: float) -> RateRecord:
    """The rate of the Langevin equation, or why there is none."""
    try:
        return witten.momentum_gap(f, s, alpha, noise=noise, rtol=RTOL).records[0]
    except (RequestError, ConvergenceError) as error:
        return RateRecord.empty(s, str(error))


def _json_record(found: TransferSpectrum, sde: Any) -> dict[str, Any]:
    """One learning rate, per unit of k s but for rates per step; what is not resolved is null."""
    s = found.step_size
    rate, error = (found.rate, found.rate_error) if found.resolved else (None, None)
    sde_rate, sde_error = _per_ks(sde)
    ratio, ratio_error = ratio_with_error(rate, error, sde_rate, sde_error)
    return {
        "learning_rate": s,
        "chain_rate": rate,
        "chain_error": error,
        "chain_rate_per_step": None if rate is None else s * rate,
        "sde_rate": sde_rate,
        "sde_error": sde_error,
        "sde_rate_per_step": None if sde_rate is None else s * sde_rate,
        "ratio": ratio,
        "ratio_error": ratio_error,
        "eigenvalues": [[value.real, value.imag] for value in found.eigenvalues],
        "eigenvalue_errors": found.errors.tolist(),
        "phases": found.phases.tolist(),
        "survival": found.survival,
        "loss": found.leak,
        "loss_error": float(found.errors[0]),
        "n_dofs": found.n_dofs,
        "seconds": found.seconds,
    }


def _per_ks(sde: Any) -> tuple[float | None, float | None]:
    """The rate of the Langevin equation per unit of k s, and its error; None where it is not known."""
    if not (sde.resolved and sde.rate):
        return None, None
    return sde.rate_per_ks, sde.rate_per_ks * sde.rate_error / sde.rate


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    s, rate, sde, ratio = (row[name] for name in ("learning_rate", "chain_rate", "sde_rate_per_step", "ratio"))
    return (
        f"{s:.6g}",
        "unresolved" if rate is None else f"{s * rate:.8g}",
        "" if rate is None else f"{s * row['chain_error']:.1e}",
        "unresolved" if sde is None else f"{sde:.6g}",
        "" if ratio is None else f"{ratio:.6g}",
        f"{row['n_dofs']}",
        f"{row['seconds']:.2f}",
    )
