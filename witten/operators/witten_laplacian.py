"""The discrete Witten-Laplacian [Witten1982] and its invariant K u_0 = 0."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from witten.domains.grid import Grid
from witten.operators.kernels import kernel

__all__ = ["BLOCKS", "WittenLaplacian"]

# Sums over edges are formed in this many blocks, whatever the number of threads, so that results do not depend on it.
BLOCKS = 64


@dataclass(frozen=True, eq=False)
class WittenLaplacian:
    """A weighted graph: nodes of mass m_i, edges of conductance c_ij = (s/2)(area/dist) e^{-2 f_ij/s}.

    The pencil K u = lambda M u, with K = sum_e c_e (u_i - u_j)^2 and M = diag(m), has the *rates* lambda as its
    eigenvalues; those of the Witten-Laplacian are delta = 2 s lambda. It is kept symmetrically scaled,
    A = M^{-1/2} K M^{-1/2}, psi = M^{1/2} u, where every entry stays of the order of 1/h^2, and its kernel is
    psi_0 = M^{1/2} 1, proportional to e^{-f/s}. Edge differences are formed before anything is summed, so K 1 = 0
    exactly and a small eigenvalue loses no digits (`dirichlet_form`).

    >>> grid = witten.Grid(witten.Box((-3.0,), (3.0,)), (64,))
    >>> operator = witten.FiniteDifferences(witten.gallery.double_well(), grid).assemble(0.1)
    >>> bool(abs(operator.matrix @ operator.ground_state).max() < 1e-12 * operator.scale)
    True

    Parameters
    ----------
    learning_rate : s > 0
    matrix : A, CSR of shape (n, n), off-diagonal entries -c_ij / sqrt(m_i m_j) < 0
    values : f at the nodes, shape (n,): psi_0 is proportional to e^{-f/s}
    grid : where the nodes are
    objective : the objective's name
    """

    learning_rate: float
    matrix: csr_array
    values: NDArray[np.float64]
    grid: Grid
    objective: str

    @property
    def n_dofs(self) -> int:
        return int(self.matrix.shape[0])

    @property
    def scale(self) -> float:
        """sum_a s/h_a^2, what A_ii is where f is flat. Rounding moves eigenvalues by eps times this, however large A_ii
        grows where f is steep: sum_i A_ii psi_0i^2 = sum_ij |A_ij| psi_0i psi_0j is not larger."""
        return float((self.learning_rate / np.asarray(self.grid.spacing) ** 2).sum())

    @cached_property
    def log_ground_state(self) -> NDArray[np.float64]:
        """log psi_0, normalised to sum psi_0^2 = 1, shape (n,); finite at every learning rate."""
        log_psi0 = (self.values.min() - self.values) / self.learning_rate
        return log_psi0 - 0.5 * np.log(np.exp(2.0 * log_psi0).sum())

    @cached_property
    def ground_state(self) -> NDArray[np.float64]:
        """psi_0, the square root of the Gibbs measure of each cell, shape (n,)."""
        return np.exp(self.log_ground_state)

    def project(self, psi: NDArray[np.float64], times: int = 2) -> NDArray[np.float64]:
        """psi - psi_0 <psi_0, psi>: orthogonal to the ground state, to rounding when done twice. (n,) or (n, k)."""
        for _ in range(times):
            psi = psi - np.multiply.outer(self.ground_state, self.ground_state @ psi)
        return psi

    def apply(self, psi: NDArray[np.float64]) -> NDArray[np.float64]:
        """A psi from edge differences, exactly zero at psi_0 up to the rounding of psi itself. Shape (n, k)."""
        a, psi = self.matrix, np.ascontiguousarray(psi)
        return _apply(self.log_ground_state, a.indptr, a.indices, a.data, psi)

    def dirichlet_form(self, psi: NDArray[np.float64]) -> NDArray[np.float64]:
        """sum_e c_e (u_i - u_j)(v_i - v_j) for all pairs of the columns psi = M^{1/2} u, (n, k) -> (k, k)."""
        a, psi = self.matrix, np.ascontiguousarray(psi)
        return _dirichlet_form(self.log_ground_state, a.indptr, a.indices, a.data, psi).sum(axis=0)

    def modes(self, psi: NDArray[np.float64]) -> NDArray[np.float64]:
        """u = psi / psi_0, functions of the generator with unit norm in L2(mu_s), (n, k) -> (k, n).

        Where the quotient leaves the range of a double it ends at e^700.
        """
        with np.errstate(divide="ignore"):
            log_u = np.log(abs(psi)) - self.log_ground_state[:, None]
        return np.ascontiguousarray((np.sign(psi) * np.exp(np.minimum(log_u, 700.0))).T)


@kernel
def _apply(log_psi0, indptr, indices, data, psi):  # type: ignore[no-untyped-def]
    n, k = psi.shape
    out = np.zeros((n, k))
    for i in numba.prange(n):
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j != i:
                t = np.exp(0.5 * (log_psi0[j] - log_psi0[i]))
                for a in range(k):
                    out[i, a] -= data[e] * t * (psi[i, a] * t - psi[j, a] / t)
    return out


@kernel
def _dirichlet_form(log_psi0, indptr, indices, data, psi):  # type: ignore[no-untyped-def]
    n, k = psi.shape
    form = np.zeros((BLOCKS, k, k))
    for block in numba.prange(BLOCKS):
        d = np.empty(k)
        for i in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if j < i:
                    t = np.exp(0.5 * (log_psi0[j] - log_psi0[i]))
                    for a in range(k):
                        d[a] = psi[i, a] * t - psi[j, a] / t
                    for a in range(k):
                        for b in range(k):
                            form[block, a, b] -= data[e] * d[a] * d[b]
    return form
