"""The gap of one discretisation, as it is, at each learning rate; a spectrum as a record of its gap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np

from witten import stopwatch
from witten.errors import RequestError
from witten.objectives import Objective
from witten.rates import NoisyRate, RateCurve, RateRecord
from witten.spectra.solvers.eigensolve import Solver, eigensolve
from witten.spectra.spectrum import Spectrum

__all__ = ["noisy_record", "rate_record", "sweep"]


class Discretisation(Protocol):
    """Built once, assembled at every learning rate: FiniteDifferences(f, grid), FiniteElements(f, mesh)."""

    method: ClassVar[str]

    @property
    def objective(self) -> Objective: ...

    def assemble(self, learning_rate: float, out: Any = None) -> Any: ...


def sweep(
    discretisation: Discretisation, learning_rates: Iterable[float], *, k: int = 2, solver: Solver | None = None
) -> RateCurve:
    """The gap of one discretisation, as it is, at each learning rate; error bars are the solver's alone.

    Matrices, patterns and symbolic factorisations are made once and used again.

    >>> grid = witten.Grid(witten.Box((-2.5,), (2.5,)), (512,))
    >>> curve = witten.sweep(witten.FiniteDifferences(witten.gallery.double_well(), grid), (0.05, 0.1))
    >>> print(f"{curve.rates[1]:.4f}")
    0.0028

    Parameters
    ----------
    discretisation : FiniteDifferences(objective, grid), or anything with `objective` and `assemble(s)`
    learning_rates : s > 0
    k : eigenvalues computed at each, the zero counted, at least 2; the records keep all
    solver : Dense(), Lanczos(), Multigrid(), for finite elements KrylovSchur(), Preconditioned(); chosen by size where
        left out
    """
    if k < 2:
        raise RequestError(f"a gap needs at least 2 eigenvalues, the zero counted; got k = {k}")
    records, operator = [], None
    for s in learning_rates:
        began = stopwatch.seconds()
        operator = discretisation.assemble(float(s), out=operator)
        found = eigensolve(operator, k, solver=solver)
        records.append(rate_record(replace(found, seconds=stopwatch.seconds() - began)))
    return RateCurve(tuple(records), discretisation.method, discretisation.objective.name)


def rate_record(found: Spectrum) -> RateRecord:
    """The gap of a spectrum, in logarithms."""
    first = 0 if found.exits else 1
    log_rate, error = found.log_rates[first], found.relative_errors[first]
    with np.errstate(divide="ignore"):
        lower = log_rate + np.log1p(-min(error, 1.0))
    return RateRecord(
        learning_rate=found.learning_rate,
        log_rate=float(log_rate),
        lower=float(lower),
        upper=float(log_rate + np.log1p(error)),
        resolved=bool(found.resolved[first]),
        solver=found.solver,
        n_dofs=found.n_dofs,
        seconds=found.seconds,
        log_rates=tuple(found.log_rates[first:].tolist()),
        modes_counted=found.modes_counted,
        continuous=found.continuous,
        notes=found.notes,
        examined=found.examined,
    )


def noisy_record(found: Spectrum) -> NoisyRate:
    """The gap under noise with a covariance."""
    record = rate_record(found)
    contraction = found.log_contraction, found.contraction_error
    if found.reversible:
        contraction = record.log_rate, float(found.relative_errors[1])
    return NoisyRate(
        **vars(record),
        reversible=found.reversible,
        imaginary=float(found.imaginary[1]),
        log_contraction=contraction[0],
        contraction_error=contraction[1],
    )
