"""The Eyring-Kramers law read off computed rates: barrier and prefactor as s -> 0, with errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError

__all__ = ["BarrierFit", "fit_barrier", "plus_minus"]

Array = NDArray[np.float64]

# Terms of the law that are tried: 1/s and 1 alone, up to s^3.
TERMS = (2, 3, 4, 5)
# Points with s <= WINDOW * s_min give the first look at barrier and slope.
WINDOW = 3.0


@dataclass(frozen=True)
class BarrierFit:
    """lambda_s = prefactor * exp(-2 barrier/s) (1 + O(s)), each with an absolute error.

    One well has barrier 0 within the error, and the prefactor is then the smallest curvature at the minimum.
    """

    barrier: float
    barrier_error: float
    prefactor: float
    prefactor_error: float

    @property
    def is_barrier(self) -> bool:
        """Whether the rates tell the barrier from none at all."""
        return self.barrier > 3 * self.barrier_error


def plus_minus(value: float, error: float) -> str:
    """A value and its error, both to the error's first two digits, ten decimals at most: 0.2484 +- 0.0091."""
    decimals = min(max(1 - math.floor(math.log10(error)), 0), 10) if error > 0 else 10
    return f"{value:.{decimals}f} +- {error:.{decimals}f}"


@dataclass(frozen=True)
class _Candidate:
    """A fit of some number of terms to the first few points: (barrier, log prefactor) and the errors of both."""

    terms: int
    points: int
    values: Array
    errors: Array


def fit_barrier(learning_rates: Array, log_rates: Array, log_errors: Array) -> BarrierFit:
    """Fit log lambda = log alpha - 2 H/s + b s + c s^2 + ... to the points of smallest s.

    A point counts for what it can say: its weight is 1/(error bar + what the law leaves out there). Left out are the
    next power of s - the coefficients grow like those of an asymptotic series, |c_j| <= 2 j! beta^j with beta = |b| or
    0.2/H - and what no power series holds, of relative size e^{-2H/s}. Among the numbers of terms and points the fit
    with the smallest barrier error is taken; errors add up linearly, and a neighbouring fit of like quality that lies
    further away than the error widens it. Two wells that s does not yet tell apart cannot be seen by this.

    Parameters
    ----------
    learning_rates, log_rates, log_errors : (n,) natural logarithms and the half-widths of their error bars

    Raises
    ------
    RequestError
        for fewer than 3 different learning rates.
    """
    if np.unique(learning_rates).size < 3:
        raise RequestError(
            f"a barrier needs at least 3 resolved learning rates, got {np.unique(learning_rates).size}; ask for more"
        )
    order = np.argsort(learning_rates, kind="stable")
    s, y = learning_rates[order], log_rates[order]
    # Below this the logarithm itself is rounded.
    bars = np.maximum(log_errors[order], 4e-16 * (1 + np.abs(y)))
    candidates = {(c.terms, c.points): c for c in _candidates(s, y, bars)}
    best = min(candidates.values(), key=lambda c: float(c.errors[0]))
    errors = best.errors
    for terms, points in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        near = candidates.get((best.terms + terms, best.points + points))
        if near is not None and near.errors[0] < 3 * best.errors[0]:
            errors = np.maximum(errors, np.abs(near.values - best.values))
    return _as_fit(best.values, errors)


def _candidates(s: Array, y: Array, bars: Array) -> Iterator[_Candidate]:
    """Every fit worth a look, each number of terms on each number of smallest points."""
    scale, growth = _first_look(s, y)
    beyond = 2 * np.exp(-2 * scale / s)
    for terms in TERMS:
        omitted = 2 * math.factorial(terms - 1) * (growth * s) ** (terms - 1)
        sigma = bars + beyond + omitted
        for points in range(max(terms, 3), s.size + 1):
            yield _weighted_fit(s[:points], y[:points], sigma[:points], terms)


def _first_look(s: Array, y: Array) -> tuple[float, float]:
    """A rough barrier, and beta, the rate at which the coefficients of the powers of s grow."""
    near = s <= max(WINDOW * s[0], s[min(2, s.size - 1)])
    slope = np.polynomial.polynomial.polyfit(1 / s[near], y[near], 1)[1]
    barrier = max(-slope / 2, float(s[0]))
    design = np.column_stack([-2 / s, np.ones_like(s), s])[near]
    b = np.linalg.lstsq(design, y[near])[0][2]
    return barrier, max(abs(b), 0.2 / barrier)


def _weighted_fit(s: Array, y: Array, sigma: Array, terms: int) -> _Candidate:
    """Least squares with weights 1/sigma; every point may be wrong by sigma at once, so the errors add linearly."""
    design = np.column_stack([-2 / s, *(s**j for j in range(terms - 1))])
    scale = np.abs(design).max(axis=0)
    inverse = np.linalg.pinv(design / scale / sigma[:, None], rcond=1e-14) / scale[:, None] / sigma
    return _Candidate(terms, s.size, (inverse @ y)[:2], (np.abs(inverse) @ sigma)[:2])


def _as_fit(values: Array, errors: Array) -> BarrierFit:
    """Logarithms of the prefactor back to the prefactor; what overflows is infinite."""
    with np.errstate(over="ignore"):
        prefactor = np.exp(values[1])
        prefactor_error = prefactor * np.expm1(errors[1])
    return BarrierFit(float(values[0]), float(errors[0]), float(prefactor), float(prefactor_error))
