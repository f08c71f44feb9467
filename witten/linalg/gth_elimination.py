"""Elimination of a Markov chain without a single subtraction ([Grassmann1985], [OCinneide1993])."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs

from witten.errors import ConvergenceError
from witten.linalg.iteration_limits import bounded

__all__ = ["StateReduction"]

Array = NDArray[np.float64]
# Arnoldi has nothing to look for in fewer states.
DENSE = 12
# Products that Arnoldi may ask for; some dozens are usual.
MOST = 5000


@dataclass(frozen=True, eq=False)
class StateReduction:
    """I - P = U L for a chain known by its off-diagonal entries: 1 - P_ii is a sum over its row, never a difference.

    State k, the last first, is eliminated by P_ij += P_ik P_kj / d_k with d_k = sum_{j < k} P_kj: sums, products and
    quotients of numbers that are not negative, so that every entry keeps its relative accuracy, and with it every
    entry of the stationary law and the smallest eigenvalue of I - P, however small.

    Attributes
    ----------
    order : the states, the grounded one first
    factors : L below and U above the diagonal, shape (n, n)
    pivots : d_k, shape (n,)
    """

    order: NDArray[np.int64]
    factors: Array
    pivots: Array

    @classmethod
    def of(cls, transitions: Array, ground: int) -> StateReduction:
        """Eliminate all states but one; `transitions` (n, n), its diagonal is not looked at.

        Raises
        ------
        ConvergenceError
            if a state cannot be left on the way to the grounded one.
        """
        n = len(transitions)
        order = np.concatenate([[ground], np.delete(np.arange(n), ground)])
        factors = np.array(transitions[np.ix_(order, order)], dtype=float, order="C")
        pivots = np.zeros(n)
        stuck = _eliminate(factors, pivots)
        if stuck >= 0:
            raise ConvergenceError(
                f"the chain does not come back from node {order[stuck]}; give a smaller box, or a smaller learning rate"
            )
        return cls(order, factors, pivots)

    @property
    def stationary(self) -> Array:
        """pi P = pi, sum pi = 1, every entry to full relative accuracy, shape (n,)."""
        out = np.empty(self.pivots.size)
        out[self.order] = _stationary(self.factors)
        return np.asarray(out / out.sum())

    def solve(self, x: Array) -> Array:
        """z with (I - P) z = x and z = 0 at the grounded state, for pi x = 0; (n,)."""
        out = np.empty(self.pivots.size)
        out[self.order] = _solve(self.factors, self.pivots, np.ascontiguousarray(x, dtype=float)[self.order])
        return out

    def small_eigenvalues(self, k: int) -> NDArray[np.complex128]:
        """The k eigenvalues of I - P nearest to zero, zero left out; the first to full relative accuracy.

        They are the inverses of the largest eigenvalues of x -> solve(x - pi x) - pi(...), the group inverse.
        """
        n, pi = self.pivots.size, self.stationary

        def inverse(x: Array) -> Array:
            z = self.solve(x.ravel() - pi @ x.ravel())
            return np.asarray(z - pi @ z)

        if n <= DENSE:
            inverses = np.linalg.eigvals(np.stack([inverse(row) for row in np.eye(n)], axis=1))
            return np.asarray(1.0 / inverses[np.argsort(-abs(inverses))][:k].astype(complex))
        start = np.random.default_rng(0).standard_normal(n)
        what, remedy = f"Arnoldi on a chain of {n} states", "ask for a larger learning rate"
        operator = LinearOperator((n, n), matvec=bounded(inverse, MOST, what, remedy), dtype=float)
        try:
            found = eigs(operator, k=k, which="LM", v0=start, return_eigenvectors=False)
        except ArpackError as error:
            raise ConvergenceError(f"{what} did not converge: {error}; {remedy}") from error
        return np.asarray(1.0 / found[np.argsort(-abs(found))])


@numba.njit(cache=True, error_model="numpy")
def _eliminate(q, pivots):  # type: ignore[no-untyped-def]
    """Eliminate in place; the first state that cannot be left, or -1."""
    for k in range(len(q) - 1, 0, -1):
        first, d = k, 0.0
        for j in range(k - 1, -1, -1):
            if q[k, j] != 0.0:
                first = j
                d += q[k, j]
        if d == 0.0:
            return k
        pivots[k] = d
        for i in range(k):
            if q[i, k] != 0.0:
                q[i, k] /= d
                t = q[i, k]
                for j in range(first, k):
                    q[i, j] += t * q[k, j]
    return -1


@numba.njit(cache=True)
def _stationary(q):  # type: ignore[no-untyped-def]
    out = np.zeros(len(q))
    out[0] = 1.0
    for i in range(len(q)):
        for k in range(i + 1, len(q)):
            out[k] += out[i] * q[i, k]
    return out


@numba.njit(cache=True)
def _solve(q, pivots, x):  # type: ignore[no-untyped-def]
    n = len(q)
    for i in range(n - 2, -1, -1):
        for k in range(n - 1, i, -1):
            x[i] += q[i, k] * x[k]
    x[0] = 0.0
    for k in range(1, n):
        total = x[k]
        for j in range(k):
            total += q[k, j] * x[j]
        x[k] = total / pivots[k]
    return x
