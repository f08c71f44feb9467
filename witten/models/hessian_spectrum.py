"""The largest eigenvalues of a symmetric matrix of which products are known: Lanczos with full reorthogonalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.models.derivatives import unit

__all__ = ["COMPLETE", "Eigenvalue", "HessianSpectrum", "Product", "hessian_spectrum"]

Array = NDArray[np.float64]
# v -> H v, |v| = 1, and a bound of its error (a norm).
Product = Callable[[Array], tuple[Array, float]]

EPS = float(np.finfo(float).eps)
# Steps: as many as parameters up to the first, which is exact; beyond, so many, and no more than memory has room for.
COMPLETE, STEPS, ROOM = 400, 120, 2**27
# How often, at most, a larger eigenvalue than `upper` is missed.
MISSED = 1e-3


@dataclass(frozen=True)
class Eigenvalue:
    """value +- error holds an eigenvalue; vector (n,) is its Ritz vector."""

    value: float
    error: float
    vector: Array


@dataclass(frozen=True)
class HessianSpectrum:
    """The upper end of the spectrum of a symmetric matrix.

    Attributes
    ----------
    largest : eigenvalues, descending; the first is at most the largest eigenvalue, but for its error
    upper : the largest eigenvalue is at most this; where steps < n with probability 0.999 of the random start
    negative : so many eigenvalues are negative, at least; where steps = n, so many
    steps : of Lanczos
    lowest : the smallest eigenvalue is at most lowest.value + lowest.error; where steps = n it is within that error
    nodes, weights : sum_k weights_k g(nodes_k) is about tr g(H)/n, the density of eigenvalues [Ubaru2017]; (steps,)
    uncertainty : of the nodes, where steps = n
    """

    largest: tuple[Eigenvalue, ...]
    upper: float
    negative: int
    steps: int
    lowest: Eigenvalue
    nodes: Array
    weights: Array
    uncertainty: float


def hessian_spectrum(
    product: Product, n: int, *, count: int = 5, seed: int = 0, steps: int | None = None
) -> HessianSpectrum:
    """Ritz values theta of H on span(b, Hb, ..., H^(k-1) b), b random: |H q - theta q| bounds the distance of theta to
    an eigenvalue, and interlacing the number of negative ones; both less what is not known of the products.

    With probability 1 - p no eigenvalue exceeds theta_1 + eps (lambda_1 - lambda_n), p = 1.648 sqrt(n)
    exp(-sqrt(eps) (2k - 1)) [Kuczynski1992]; nothing is left out where k = n. k is `steps`, or as many as there are
    parameters up to 400, 120 beyond.
    """
    vectors, ritz, weights, noise = _lanczos(product, n, seed, _steps(n) if steps is None else min(steps, n))
    k = ritz.size
    largest = sorted((_refined(product, vectors.T @ weights[:, -1 - i]) for i in range(min(count, k))), key=_descending)
    top = max(largest[0].value + largest[0].error, float(ritz[-1]) + noise)
    missed = _missed(n, k)
    upper = top + (missed * (float(ritz[-1] - ritz[0]) + 2 * noise) if missed else 0.0)
    lowest = _refined(product, vectors.T @ weights[:, 0])
    negative = int(np.count_nonzero(ritz < -noise))
    shares = weights[0] ** 2 if k < n else np.full(n, 1 / n)
    return HessianSpectrum(tuple(largest), upper, negative, k, lowest, ritz, shares, noise)


def _descending(each: Eigenvalue) -> float:
    return -each.value


def _missed(n: int, k: int) -> float:
    """eps/(1 - 2 eps): of the spread of the Ritz values, which is at least 1 - 2 eps of that of the eigenvalues."""
    if k == n:
        return 0.0
    eps = (np.log(2 * 1.648 * np.sqrt(n) / MISSED) / (2 * k - 1)) ** 2
    return float(eps / (1 - 2 * eps)) if eps < 0.25 else np.inf


def _refined(product: Product, vector: Array) -> Eigenvalue:
    """The Rayleigh quotient of a Ritz vector; its residual, and what is not known of the product."""
    q = unit(vector)
    found, error = product(q)
    value = float(q @ found)
    rounding = 16 * EPS * float(np.sqrt(q.size)) * abs(value)
    return Eigenvalue(value, float(np.linalg.norm(found - value * q)) + error + rounding, q)


def _steps(n: int) -> int:
    return n if n <= COMPLETE else min(STEPS, max(ROOM // n, 2))


def _lanczos(product: Product, n: int, seed: int, k: int) -> tuple[Array, Array, Array, float]:
    """An orthonormal basis (k, n), the Ritz values (k,), ascending, their vectors in it, columns of (k, k); and what
    errors of products and rounding may do to a Ritz value: the Frobenius norm of the first."""
    random = np.random.default_rng(seed)
    basis, diagonal, off, errors = np.zeros((k, n)), np.zeros(k), np.zeros(k), np.zeros(k)
    v = unit(random.normal(size=n))
    for j in range(k):
        basis[j] = v
        rest, errors[j] = product(v)
        diagonal[j], scale = v @ rest, float(np.linalg.norm(rest))
        rest = _orthogonal(rest, basis[: j + 1])
        off[j] = np.linalg.norm(rest)
        if off[j] <= 16 * EPS * n * scale:  # an invariant subspace: go on beside it
            off[j], rest = 0.0, _orthogonal(random.normal(size=n), basis[: j + 1])
        v = unit(_orthogonal(unit(rest), basis[: j + 1]))
    tridiagonal = np.diag(diagonal) + np.diag(off[: k - 1], 1) + np.diag(off[: k - 1], -1)
    ritz, weights = np.linalg.eigh(tridiagonal)
    noise = 2 * float(np.linalg.norm(errors)) + 16 * EPS * k * float(np.abs(ritz).max())
    return basis, ritz, weights, noise


def _orthogonal(v: Array, basis: Array) -> Array:
    """v less its projection, twice, which is enough."""
    for _ in range(2):
        v = v - basis.T @ (basis @ v)
    return v
