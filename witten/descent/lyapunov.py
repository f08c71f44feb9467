"""Lyapunov exponents by QR along a run; those inside and across an invariant subspace; those of random products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.descent import kernels
from witten.descent.gradient_map import DescentMap
from witten.errors import RequestError

__all__ = ["Lyapunov", "lyapunov", "random_product"]

Array = NDArray[np.float64]
# Batches of a run whose means give the error.
BATCHES = 20


@dataclass(frozen=True, eq=False)
class Lyapunov:
    """Exponents per step with their standard errors.

    Attributes
    ----------
    exponents : shape (m,), in the order in which the columns were kept orthogonal: descending, except that those of a
        given subspace come first; -inf where a direction is lost, as at a superstable point
    errors : standard errors from the means of batches of the run, shape (m,); 0 for -inf
    n_tangential : how many belong to the given subspace
    x : the state in which the run ended, shape (m,)
    """

    exponents: Array
    errors: Array
    n_tangential: int
    x: Array

    @property
    def tangential(self) -> Array:
        """Exponents inside the subspace."""
        return self.exponents[: self.n_tangential]

    @property
    def transverse(self) -> Array:
        """Exponents across it."""
        return self.exponents[self.n_tangential :]


def lyapunov(
    descent: DescentMap, x: ArrayLike, steps: int = 20_000, *, burn: int = 2_000, along: ArrayLike | None = None,
    count: int | None = None,
) -> Lyapunov:  # fmt: skip
    """lim (1/k) log |F'(x_{k-1}) ... F'(x_0) q| for the directions q of R^m, by QR, after `burn` steps from the state
    x (m,).

    Parameters
    ----------
    along : basis (m, l) of a subspace that F' leaves invariant along the run, such as the line x = y of a balanced
        factorisation: its exponents come first (tangential), and the others are those across it (transverse)
    count : only so many exponents (default: all m)
    """
    x = np.array(x, dtype=float).reshape(descent.dimension)
    subspace = np.empty((descent.dimension, 0)) if along is None else np.asarray(along, dtype=float)
    q = _basis(subspace, descent.dimension if count is None else count)
    logs = np.zeros((BATCHES, q.shape[1]))
    batch = max(steps // BATCHES, 1)
    if descent.compiled:
        pointers = kernels.pointers(descent.objective)
        arguments = descent.kernel_arguments
        kernels.stretch(*pointers, x, *arguments, burn, q, np.zeros((1, q.shape[1])))
        kernels.stretch(*pointers, x, *arguments, batch, q, logs)
    else:
        x, q = _stretch(descent, x, q, burn, np.zeros((1, q.shape[1])))
        x, q = _stretch(descent, x, q, batch, logs)
    means = logs / batch
    return Lyapunov(means.mean(axis=0), _errors(means), subspace.shape[1], x)


def _errors(means: Array) -> Array:
    """Standard errors of the means of the columns (n, m); 0 where these are -inf."""
    finite = np.isfinite(means).all(axis=0)
    return np.where(finite, np.where(finite, means, 0.0).std(axis=0, ddof=1) / np.sqrt(len(means)), 0.0)


def _basis(subspace: Array, count: int) -> Array:
    """Orthonormal columns, those of the subspace first, then directions in general position."""
    d = len(subspace)
    rest = np.random.default_rng(0).normal(size=(d, max(count - subspace.shape[1], 0)))
    return np.ascontiguousarray(np.linalg.qr(np.hstack([subspace, rest]))[0])


def _stretch(descent: DescentMap, x: Array, q: Array, steps: int, logs: Array) -> tuple[Array, Array]:
    for batch in logs:
        for _ in range(steps):
            q, r = np.linalg.qr(descent.jacobian(x) @ q)
            with np.errstate(divide="ignore"):
                batch += np.log(abs(np.diag(r)))
            x = descent(x)
    return x, q


def random_product(matrices: ArrayLike, steps: int = 100_000, *, seed: int = 0) -> tuple[float, float]:
    """Top exponent of ... M_{i_2} M_{i_1}, each i drawn at random, and its standard error.

    With M_i = I - s H_i, H_i the Hessians of minibatches at a minimum that fits all data, its sign decides whether SGD
    stays there; 2/s against the sharpness does not. A number where the matrices are 1 x 1: the mean of log |M_i|.

    Parameters
    ----------
    matrices : shape (count, d, d)
    """
    stack = np.asarray(matrices, dtype=float)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
        raise RequestError(f"matrices of shape (count, d, d) are wanted, got {stack.shape}")
    if stack.shape[1] == 1:
        with np.errstate(divide="ignore"):
            return float(np.log(abs(stack[:, 0, 0])).mean()), 0.0
    which = np.random.default_rng(seed).integers(len(stack), size=steps)
    logs = kernels.grow(np.ascontiguousarray(stack), which)
    means = logs[: BATCHES * (steps // BATCHES)].reshape(BATCHES, -1).mean(axis=1)[1:]
    return float(means.mean()), float(_errors(means[:, None])[0])
