"""Every eigenvalue of a chain - one dimension - to full relative accuracy, however small."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.rayleigh_ritz import RitzPairs, rounding

__all__ = ["Chain"]

Array = NDArray[np.float64]
Exponents = NDArray[np.int64]
Weights = tuple[Array, Exponents, Array, Exponents]
LOG_2 = float(np.log(2.0))
# Rates closer than this, relatively, are taken for one multiple rate when it comes to vectors.
CLOSE = 1e-7
# No conductance: as good as none at any learning rate.
DISCONNECTED = -(10**9)
# 2^k, k from -LARGEST to LARGEST: multiplied by these, numbers keep their digits.
LARGEST = 1000
POWERS = np.exp2(np.arange(-LARGEST, LARGEST + 1))


@dataclass(frozen=True)
class Chain:
    """Bisection on the number of eigenvalues below lambda, counted along the chain.

    Between node i and i + 1 the ratio of flux and function, q_i = c_i (u_i - u_{i+1})/u_i, follows from the left by
    q_i = lambda m_i + q_{i-1}/(1 - q_{i-1}/c_{i-1}). Every c and m enters once and rounding acts like a relative change
    of it by a few units in the last place, so each rate is right to as many digits [Demmel1990]. Numbers carry
    exponents of their own: there is no smallest rate.

    >>> f, grid = witten.gallery.double_well(), witten.Grid(witten.Box((-1.5,), (1.5,)), (800,))
    >>> curve = witten.sweep(witten.FiniteDifferences(f, grid), (0.001,), solver=witten.spectra.Chain())
    >>> print(f"{curve.log_rates[0] / np.log(10):.2f}")
    -217.49
    """

    name = "chain"

    def solve(self, operator: WittenLaplacian, k: int, start: Array | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` is not needed.

        Raises
        ------
        RequestError
            if the operator is not one-dimensional, or lives on a circle.
        """
        if not operator.grid.is_chain:
            raise RequestError(
                f"a chain has dimension 1 and two ends, this operator dimension {operator.grid.dimension}"
                f"{' and periodic axes' * any(operator.grid.periodic)}; use Lanczos()"
            )
        weights = _weights(operator)
        found = [_bisected(*weights, j) for j in range(1, k + 1)]
        log_rates = np.array([np.log(mantissa) + exponent * LOG_2 for mantissa, exponent in found])
        psi, modes = _vectors(operator, weights, found, log_rates)
        rates = np.exp(log_rates)
        residuals = np.linalg.norm(operator.apply(psi) - psi * rates, axis=0)
        # Rates known as logarithms beyond the doubles have the rounding of these.
        relative = np.full(k, rounding(operator)) + np.finfo(float).eps * abs(log_rates)
        return RitzPairs(rates, psi, residuals, relative * rates, log_rates, relative, modes)


def _weights(operator: WittenLaplacian) -> Weights:
    """Mantissas and binary exponents of the conductances, shape (n - 1,), and of the masses, (n,)."""
    s, values = operator.learning_rate, operator.values
    log_mass = 2.0 * (values.min() - values) / (s * LOG_2)
    coupling = -operator.matrix.diagonal(1)
    with np.errstate(divide="ignore"):
        log_conductance = 0.5 * (log_mass[1:] + log_mass[:-1]) + np.log2(coupling)
    log_conductance = np.maximum(log_conductance, DISCONNECTED)
    return *_split(log_conductance), *_split(log_mass)


def _split(log2: Array) -> tuple[Array, Exponents]:
    whole = np.floor(log2)
    return np.exp2(log2 - whole), whole.astype(np.int64)


def _vectors(
    operator: WittenLaplacian, weights: Weights, found: list[tuple[float, int]], log_rates: Array
) -> tuple[Array, Array]:
    """Orthonormal psi and u = psi/psi_0, (n, k): continued from both ends to where they meet with the least misfit.

    Members of a multiple eigenvalue meet at different nodes, which gives different vectors of its span.
    """
    psi, u = np.zeros((2, operator.n_dofs, len(found)))
    for j, (mantissa, exponent) in enumerate(found):
        log_u, sign, misfit = _continued(weights, mantissa, exponent)
        near = [i for i in range(j) if log_rates[j] - log_rates[i] < CLOSE]
        taken = (psi[:, near] ** 2 > 1e-6 * (psi[:, near] ** 2).max(axis=0, initial=0.0)).any(axis=1)
        at = int(np.where(taken, np.inf, misfit).argmin())
        side = np.where(np.arange(operator.n_dofs) <= at, 0, 1)[None]
        log_u, sign = (np.take_along_axis(x, side, axis=0)[0] for x in (log_u - log_u[:, [at]], sign * sign[:, [at]]))
        log_norm = 0.5 * np.logaddexp.reduce(2.0 * (log_u + operator.log_ground_state))
        u[:, j] = sign * np.exp(np.minimum(log_u - log_norm, 700.0))
        psi[:, j] = sign * np.exp(log_u + operator.log_ground_state - log_norm)
        overlap = psi[:, near].T @ psi[:, j]
        norm = np.linalg.norm(psi[:, j] - psi[:, near] @ overlap)
        psi[:, j] = (psi[:, j] - psi[:, near] @ overlap) / norm
        u[:, j] = (u[:, j] - u[:, near] @ overlap) / norm
    return psi, u


def _continued(weights: Weights, mantissa: float, exponent: int) -> tuple[Array, Array, Array]:
    """log |u| and sign of u continued from the left and from the right, (2, n), and log of the misfit over mass."""
    c, c_exp, m, m_exp = weights
    left = _from_left(weights, mantissa, exponent)
    backwards = c[::-1].copy(), c_exp[::-1].copy(), m[::-1].copy(), m_exp[::-1].copy()
    right = [x[::-1] for x in _from_left(backwards, mantissa, exponent)]
    (q, q_exp), (r, r_exp) = left[:2], right[:2]
    top = np.maximum(np.maximum(q_exp, r_exp), exponent + m_exp)
    total = np.ldexp(q, np.maximum(q_exp - top, -2000)) + np.ldexp(r, np.maximum(r_exp - top, -2000))
    total -= np.ldexp(mantissa * m, np.maximum(exponent + m_exp - top, -2000))
    misfit = np.log(np.maximum(abs(total), 2.0**-60)) + (top - m_exp) * LOG_2 - np.log(m)
    return np.array([left[2], right[2]]), np.array([left[3], right[3]]), misfit


def _from_left(weights: Weights, mantissa: float, exponent: int) -> tuple[Array, Exponents, Array, Array]:
    """q with its exponents, log |u| and the sign of u, each (n,); u_{i+1} = (1 - q_i/c_i) u_i."""
    c, c_exp, m, _ = weights
    q, q_exp = np.empty(m.size), np.empty(m.size, dtype=np.int64)
    _ratios(*weights, mantissa, exponent, q, q_exp)
    r, shift = q[:-1] / c, q_exp[:-1] - c_exp
    huge = shift > 900
    with np.errstate(divide="ignore"):
        pivot = 1.0 - np.where(shift > -200, np.ldexp(r, np.clip(shift, -200, 900)), 0.0)
        pivot[pivot == 0.0] = -(2.0**-900)
        gains = np.where(huge, np.log(abs(r)) + shift * LOG_2, np.log(abs(pivot)))
    signs = np.where(huge, -np.sign(r), np.sign(pivot))
    return q, q_exp, np.append(0.0, np.cumsum(gains)), np.append(1.0, np.cumprod(signs))


@numba.njit(cache=True)
def _ratios(c, c_exp, m, m_exp, rate, rate_exp, q, q_exp):  # type: ignore[no-untyped-def]
    """Fill q, q_exp (n,) from the left."""
    value, exponent = rate * m[0], rate_exp + m_exp[0]
    q[0], q_exp[0] = value, exponent
    for i in range(c.size):
        shift = exponent - c_exp[i]
        if shift > 900:
            value, exponent = -c[i], c_exp[i]
        elif shift > -100:
            pivot = 1.0 - math.ldexp(value / c[i], shift)
            if pivot == 0.0:
                pivot = -(2.0**-900)
            value, shift = math.frexp(value / pivot)
            exponent += shift
        gain, shift = rate * m[i + 1], rate_exp + m_exp[i + 1] - exponent
        if shift > 100:
            value, exponent = gain + math.ldexp(value, -min(shift, 2000)), rate_exp + m_exp[i + 1]
        elif shift > -100:
            value += math.ldexp(gain, shift)
        if abs(value) > 2.0**30 or 0.0 < abs(value) < 2.0**-30:
            value, shift = math.frexp(value)
            exponent += shift
        q[i + 1], q_exp[i + 1] = value, exponent


@numba.njit(cache=True)
def _more_below(c, c_exp, m, m_exp, rate, rate_exp, index):  # type: ignore[no-untyped-def]
    """Whether more than `index` eigenvalues lie below the rate: as `_ratios` counts, no further than need be, and no
    ratio is kept."""
    below = 0
    value, exponent = rate * m[0], rate_exp + m_exp[0]
    for i in range(c.size):
        shift = exponent - c_exp[i]
        if shift > 900:
            below += value > 0.0
            value, exponent = -c[i], c_exp[i]
        elif shift > -100:
            pivot = 1.0 - value / c[i] * POWERS[shift + LARGEST]
            if pivot == 0.0:
                pivot = -(2.0**-900)
            below += pivot < 0.0
            value /= pivot
            if abs(value) > 2.0**30 or 0.0 < abs(value) < 2.0**-30:
                value, shift = math.frexp(value)
                exponent += shift
        if below > index:
            return True
        gain, shift = rate * m[i + 1], rate_exp + m_exp[i + 1] - exponent
        if shift > 100:
            value, exponent = gain + math.ldexp(value, -min(shift, 2000)), rate_exp + m_exp[i + 1]
        elif shift > -100:
            value += gain * POWERS[shift + LARGEST]
        if abs(value) > 2.0**30 or 0.0 < abs(value) < 2.0**-30:
            value, shift = math.frexp(value)
            exponent += shift
    return below + (value > 0.0) > index


@numba.njit(cache=True)
def _bisected(c, c_exp, m, m_exp, index):  # type: ignore[no-untyped-def]
    """Mantissa in [1, 2) and exponent of the index-th positive eigenvalue."""
    high = np.int64(0)
    for i in range(c.size):
        high = max(high, c_exp[i] + 4 - min(m_exp[i], m_exp[i + 1]))
    step = np.int64(1)
    while _more_below(c, c_exp, m, m_exp, 1.0, high - step, index):
        high -= step
        step *= 2
    low = high - step
    while high - low > 1:
        between = (low + high) // 2
        if _more_below(c, c_exp, m, m_exp, 1.0, between, index):
            high = between
        else:
            low = between
    below, above = 1.0, 2.0
    middle = 1.5
    while below < middle < above:
        if _more_below(c, c_exp, m, m_exp, middle, low, index):
            above = middle
        else:
            below = middle
        middle = 0.5 * (below + above)
    return above, low
