"""`witten gap`: the rate against the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from witten import parallel
from witten.cli import output_files
from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table
from witten.cli.sweeps import curve_of, swept
from witten.errors import RequestError
from witten.number_format import scientific, with_log_error

if TYPE_CHECKING:
    from witten.certified import Certificate
    from witten.objectives import Objective
    from witten.rates import RateCurve, RateRecord

LOG_10 = math.log(10)
EXAMPLES = base_command.examples(
    "witten gap double-well --lr 0.02:0.5:12",
    'witten gap "-x**2/2 + x**4/4" --lr 0.1 --json',
    "witten gap double-well:dim=2 --lr 0.1,0.2 -o a.nc --plot a.png",
    'witten gap "x^2/2" --lr 0.02,0.1 --box "-1:1.2" --boundary absorbing',
    'witten gap "x^6/10 - x^4/2 + x^2/2" --lr 0.05 --certify',
    'witten gap "cos(2*x) + 0.3*cos(x)" --lr 0.1,0.2 --periodic "x=0:2*pi"',
    "witten gap double-well --lr 0.05,0.1 --noise-model loss:c=1,floor=0.2",
    'witten gap double-well --lr 0.05 --covariance "1 + tanh(2*x)/2"',
    "witten gap double-well --lr 0.05 --momentum 0.5",
    "witten gap double-well --friction 1 --temperature 0.05",
    "witten gap mueller-brown --lr 0.1,0.2 --method fe --degree 2",
    "witten gap \"x^2/2 + y^2/2\" --lr 0.1 --mesh meshes/disk.msh",
    "witten gap double-well:dim=2 --lr 0.1,0.2 -o a.nc --walltime 00:50:00",
    "witten gap double-well:dim=2 --lr 0.1,0.2 -o a.nc --resume",
    "mpiexec -n 4 witten gap \"(x^2-1)^2/4 + (y-x*z)^2 + z^2\" --lr 0.05:0.5:20 --groups 2",
)


def gap(
    objective: groups.Objective,
    noise: groups.DriftingNoise,
    how: groups.Discretisation,
    files: groups.Sweep,
    lr: options.MomentumLearningRates = None,
    momentum: options.Momentum = None,
    friction: options.Friction = None,
    temperature: options.Temperature = None,
    friction_sweep: options.FrictionSweep = None,
    sde: options.Sde = "bbk",
    boundary: options.Boundary = "reflecting",
    seed: options.Seed = "0",
    groups: options.Groups = "1",
    certify: options.Certify = False,
    as_json: options.Json = False,
) -> None:
    """The rate - the spectral gap of the Witten-Laplacian - against the learning rate, with error bars."""
    given = {
        "momentum": momentum, "friction": friction, "temperature": temperature, "friction_sweep": friction_sweep
    }  # fmt: skip
    if any(text is not None for text in given.values()):
        from witten.cli.momentum import gap as momentum_gap

        elsewhere = {
            "--method": how.method, **noise.given, "--periodic": how.periodic, "--degree": how.degree,
            "--mesh": how.mesh, "--petsc": how.petsc, "--certify": certify or None,
            "--boundary": None if boundary == "reflecting" else boundary, "--seed": None if seed == "0" else seed,
        }  # fmt: skip
        momentum_gap.run(
            objective, lr, files, **given, sde=sde, rtol=how.rtol, noise=noise.noise, box=how.box, groups=groups,
            as_json=as_json, elsewhere=elsewhere,
        )  # fmt: skip
        return
    if sde != "bbk":
        raise RequestError("--sde is the equation of a --momentum: give that, too")
    lr = learning_rate_spec.required_learning_rates(lr)
    request: dict[str, Any] = how.request | {
        "noise": noise.parsed(),
        "boundary": option_values.parse_boundary(boundary),
        "seed": option_numbers.whole("--seed", seed, 0),
        "groups": option_numbers.whole("--groups", groups, 1),
    }
    learning_rates = learning_rate_spec.parse_learning_rates(lr)
    files.check()
    f = objective.resolved()  # refused before the numerics are loaded
    import witten

    proofs = _certificates(f, learning_rates, request) if certify else {}
    curve, ending = swept(
        partial(witten.gap, f, learning_rates, **request),
        curve_of(_method(request), f.name, option_values.about_noise(request["noise"]), learning_rates), files,
        what=objective.text, total=len(learning_rates),
    )  # fmt: skip
    if as_json:
        print_json(_json(objective.text, curve, _method(request), proofs) | _about(boundary, request["periodic"]))
    elif curve is not None:
        _show(curve, "exit rate" if boundary == "absorbing" else "rate")
        _show_proofs(proofs)
    if files.plot is not None:
        parallel.agree(parallel.world(), lambda: output_files.draw_curve(curve, files.plot))
    if not as_json and curve is not None:
        files.say()
    if ending is not None:
        raise ending


def _certificates(
    f: Objective, learning_rates: Sequence[float], request: Mapping[str, Any]
) -> dict[float, Certificate]:
    """Proved bounds at each learning rate, the same on all ranks; refused where other rates are asked for."""
    import witten

    elsewhere = request["boundary"] != "reflecting" or request["periodic"] or f.periods or request["mesh"] is not None
    if elsewhere or not isinstance(request["noise"], float):
        raise RequestError(
            "--certify is for noise of one strength on all of R or in a reflecting --box, without mesh or periodic axes"
        )
    one = partial(witten.certified_gap, f, noise=request["noise"], box=request["box"])
    return parallel.agree(parallel.world(), lambda: {s: one(s) for s in learning_rates})


def _about(boundary: str, periodic: Mapping[str, tuple[float, float]] | None) -> dict[str, Any]:
    """What the rates are, where boundaries are not as usual."""
    exits = {"quantity": "exit rate", "boundary": boundary} if boundary == "absorbing" else {}
    return exits | ({"periodic": periodic} if periodic else {})


def _method(request: Mapping[str, Any]) -> str:
    """The discretisation: finite elements also where a mesh or a degree is given."""
    implied = "fd" if request["mesh"] is None and request["degree"] is None else "fe"
    return request["method"] or option_values.METHODS[implied]


def _json(
    objective: str, curve: RateCurve | None, method: str, proofs: Mapping[float, Certificate]
) -> dict[str, Any]:
    """The object that CLI users are promised."""
    records = [] if curve is None else [_json_record(record, curve.noise) for record in curve.records]
    for shown in records if proofs else ():
        shown |= _json_proof(proofs[shown["learning_rate"]])
    if curve is not None and method == option_values.METHODS["fe"]:
        for shown, record in zip(records, curve.records, strict=True):
            shown["modes_counted"] = record.modes_counted
    short = {long: name for name, long in option_values.METHODS.items()}
    covariance = {} if curve is None or "covariance" not in curve.options else {"noise": curve.options["covariance"]}
    return {"objective": objective, "method": short[method], "records": records} | covariance


def _json_record(record: RateRecord, noise: float) -> dict[str, Any]:
    """One learning rate; a number that is not resolved is not printed as if it were."""
    known = record.resolved
    eigenvalue = record.witten_eigenvalue
    return {
        "learning_rate": record.learning_rate,
        "rate": record.rate if known else None,
        "rate_error": record.rate_error if known else None,
        "log10_rate": record.log10_rate if known else None,
        "witten_eigenvalue": eigenvalue * noise**2 if known and eigenvalue is not None else None,
        "resolved": record.resolved,
        "solver": record.solver,
        "n_dofs": record.n_dofs,
        "seconds": record.seconds,
        **_under_noise(record),
        **({"continuous": True} if record.continuous else {}),
        **({"notes": record.notes} if record.notes else {}),
        **({"examined": record.examined} if record.examined else {}),
    }


def _under_noise(record: RateRecord) -> dict[str, Any]:
    """What noise with a covariance adds."""
    from witten.rates import NoisyRate

    if not isinstance(record, NoisyRate):
        return {}
    known = record.resolved and record.rate is not None
    kappa = record.contraction_rate
    return {
        "reversible": record.reversible,
        "eigenvalue": [record.rate, record.imaginary] if known else None,
        "contraction_rate": kappa,
        "contraction_error": None if kappa is None else kappa * record.contraction_error,
    }


def _json_proof(proof: Certificate) -> dict[str, Any]:
    """What is proved, bounds as decimal strings."""
    names = ("lower", "upper", "log10_lower", "log10_upper", "rho", "theorem", "cells", "bits")
    return {"certified": True} | {name: getattr(proof, name) for name in names}


def _show_proofs(proofs: Mapping[float, Certificate]) -> None:
    """The bounds, and on what they rest."""
    if not proofs:
        return
    print_table(
        "certified bounds of the rate",
        ("learning rate", "lower", "upper", "cells", "seconds"),
        [(f"{s:.6g}", p.lower, p.upper, f"{p.cells}", f"{p.seconds:.2f}") for s, p in proofs.items()],
    )
    for theorem in {proof.theorem for proof in proofs.values()}:
        print_line(f"by {theorem}; see docs/certificates.md")


def _show(curve: RateCurve, quantity: str) -> None:
    """The table, and the barrier where the rates have one."""
    from witten.barrier_fit import plus_minus
    from witten.number_format import readable, with_log_error
    from witten.rates import NoisyRate, sensible_fit

    noise = "" if curve.noise == 1 else f", noise {curve.noise:g}"
    noise += f", covariance {curve.options['covariance']}" if "covariance" in curve.options else ""
    print_table(
        f"{curve.objective}: {'rate of convergence' if quantity == 'rate' else quantity} by "
        f"{curve.method.replace('-', ' ')}{noise}",
        ("learning rate", quantity, "log10 rate", "solver", "unknowns", "seconds"),
        [_row(record) for record in curve.records],
        left=("solver",),
    )
    if any(record.continuous for record in curve.records):
        print_line("* the bottom of the continuous spectrum: there is no eigenvalue below it")
    for record in curve.records:
        if isinstance(record, NoisyRate) and record.imaginary:
            print_line(f"the eigenvalue at {record.learning_rate:g} is complex: imaginary part {record.imaginary:.6g}")
        if isinstance(record, NoisyRate) and not record.reversible and record.contraction_rate is not None:
            kappa = readable(with_log_error(record.log_contraction, 0.0, record.contraction_error))
            print_line(f"L2 of the stationary law contracts from the start on at the rate {kappa}")
    for line in dict.fromkeys(note for record in curve.records for note in record.notes):
        print_line(f"note: {line}")
    fit = sensible_fit(curve)
    if fit is not None:
        print_line(
            f"{quantity} = a exp(-2H/s) as s -> 0, fitted: "
            f"barrier H = {plus_minus(fit.barrier, fit.barrier_error)}, "
            f"prefactor a = {plus_minus(fit.prefactor, fit.prefactor_error)}"
        )


def _row(record: RateRecord) -> tuple[str, ...]:
    if record.resolved:
        rate, log10_rate = with_log_error(record.log_rate, record.log_error), f"{record.log_rate / LOG_10:.4f}"
        rate += " *" if record.continuous else ""
    else:
        rate, log10_rate = _unresolved(record), ""
    return (
        f"{record.learning_rate:.6g}",
        rate,
        log10_rate,
        record.solver,
        f"{record.n_dofs}",
        f"{record.seconds:.2f}",
    )


def _unresolved(record: RateRecord) -> str:
    """A rate of which only a bound is known, if that."""
    bound = f" (below {scientific(record.upper, 2)})" if math.isfinite(record.upper) else ""
    return f"unresolved{bound}"
