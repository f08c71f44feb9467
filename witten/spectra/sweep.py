"""The rate against the learning rate: `gap` chooses everything, `sweep` takes a discretisation as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from witten import storage
from witten.errors import RequestError
from witten.objectives import Objective, resolve
from witten.operators.witten_laplacian import WittenLaplacian
from witten.rates import RateCurve, RateRecord
from witten.spectra.eigensolve import Solver, eigensolve
from witten.spectra.refinement import refined_spectrum
from witten.spectra.spectrum import Spectrum

__all__ = ["gap", "spectrum", "sweep"]

METHOD = "finite-differences"
Intervals = Sequence[tuple[float, float]]


class Discretisation(Protocol):
    """Built once, assembled at every learning rate: FiniteDifferences(objective, grid)."""

    @property
    def objective(self) -> Objective: ...

    def assemble(self, learning_rate: float) -> WittenLaplacian: ...


def spectrum(
    objective: Objective | str,
    learning_rate: float,
    k: int = 6,
    *,
    rtol: float = 1e-4,
    noise: float = 1.0,
    method: str | None = None,
    box: Intervals | None = None,
) -> Spectrum:
    """The k lowest rates of dX = -grad f dt + sigma sqrt(s) dW, zero included, with error bars and modes.

    Parameters
    ----------
    objective : an Objective, or its text: a gallery name, `name:key=value`, or a formula; dimension 1 to 3
    learning_rate : s > 0
    k : number of eigenvalues, the zero counted
    rtol : wanted error, relative to each rate
    noise : sigma > 0; the rates are those at learning rate s sigma^2
    method : 'finite-differences', the default
    box : (low, high) per axis, with reflecting walls, instead of automatic truncation

    Raises
    ------
    RequestError
        if the request is wrong; ConvergenceError if a solver fails.
    """
    f = resolve(objective)
    _require_method(method)
    found = refined_spectrum(f, _effective(learning_rate, noise), k, rtol=rtol, box=box)
    return replace(found, learning_rate=float(learning_rate), noise=float(noise))


def gap(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    *,
    rtol: float = 1e-4,
    noise: float = 1.0,
    method: str | None = None,
    box: Intervals | None = None,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] | None = None,
) -> RateCurve:
    """The spectral gap lambda_s of dX = -grad f dt + sigma sqrt(s) dW at each learning rate, with error bars.

    Parameters
    ----------
    objective, rtol, noise, method, box : as in `spectrum`
    learning_rates : s > 0, one or many, in any order
    output : netCDF file, rewritten whole after each learning rate
    resume : go on from `output`; what is there is not computed again
    progress : called with each RateRecord as it comes

    Raises
    ------
    RequestError
        if the request is wrong; ConvergenceError if a solver fails (what was computed is in `output`).
    """
    f = resolve(objective)
    _require_method(method)
    asked = [float(s) for s in np.atleast_1d(np.asarray(learning_rates, dtype=float))]
    if not asked:
        raise RequestError("no learning rates were given")
    for s in asked:
        _effective(s, noise)
    request: dict[str, Any] = {"method": METHOD, "objective": f.name}
    options = {
        "rtol": float(rtol),
        "noise": float(noise),
        "box": None if box is None else [[float(a), float(b)] for a, b in box],
    }
    path = None if output is None else Path(output)
    kept = storage.open_sweep(path, resume, f.name, METHOD, options, asked)
    known = {record.learning_rate: record for record in kept}
    finished: list[RateRecord] = []
    for s in asked:
        if s not in known:
            known[s] = _record(spectrum(f, s, 2, rtol=rtol, noise=noise, box=box))
        finished.append(known[s])
        if path is not None:
            storage.save_sweep(path, finished, kept, options=options, **request)
        if progress is not None:
            progress(known[s])
    return RateCurve.from_records(finished, options=options, **request)


def sweep(
    discretisation: Discretisation, learning_rates: Iterable[float], *, k: int = 2, solver: Solver | None = None
) -> RateCurve:
    """The gap of one discretisation, as it is, at each learning rate; error bars are the solver's alone.

    Parameters
    ----------
    discretisation : FiniteDifferences(objective, grid), or anything with `objective` and `assemble(s)`
    learning_rates : s > 0
    k : eigenvalues computed at each, the zero counted, at least 2; all are kept in the details
    solver : Dense(), Lanczos(), Multigrid(); chosen by size where left out
    """
    if k < 2:
        raise RequestError(f"a gap needs at least 2 eigenvalues, the zero counted; got k = {k}")
    records = []
    for s in learning_rates:
        began = time.perf_counter()
        found = eigensolve(discretisation.assemble(float(s)), k, solver=solver)
        records.append(_record(replace(found, seconds=time.perf_counter() - began)))
    return RateCurve.from_records(records, method=METHOD, objective=discretisation.objective.name)


def _record(found: Spectrum) -> RateRecord:
    """The gap of a spectrum, in logarithms."""
    rate, error = found.rates[1], found.errors[1]
    with np.errstate(divide="ignore"):
        lower = np.log(max(rate - error, 0.0))
    return RateRecord(
        learning_rate=found.learning_rate,
        log_rate=float(np.log(rate)),
        lower=float(lower),
        upper=float(np.log(rate + error)),
        resolved=bool(found.resolved[1]),
        solver=found.solver,
        n_dofs=found.n_dofs,
        seconds=found.seconds,
        rates=tuple(found.rates[1:].tolist()),
    )


def _effective(learning_rate: float, noise: float) -> float:
    """s sigma^2."""
    if not (np.isfinite(noise) and noise > 0):
        raise RequestError(f"noise must be positive, got {noise}")
    if not (np.isfinite(learning_rate) and learning_rate > 0):
        raise RequestError(f"learning rate must be positive, got {learning_rate}")
    return float(learning_rate) * float(noise) ** 2


def _require_method(method: str | None) -> None:
    if method not in (None, METHOD):
        raise RequestError(f"method {method!r} is not available; use {METHOD!r}")
