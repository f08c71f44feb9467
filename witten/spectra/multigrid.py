"""Block eigensolver with a multigrid preconditioner, where a factorisation would be too dear."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, eye_array
from scipy.sparse.linalg import LinearOperator, lobpcg

from witten.errors import ConvergenceError
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.ritz import RitzPairs, rayleigh_ritz

__all__ = ["Multigrid"]


@dataclass(frozen=True)
class Multigrid:
    """LOBPCG, the ground state deflated, preconditioned by one V-cycle of Ruge-Stueben multigrid (pyamg).

    Parameters
    ----------
    shift : added to A for the preconditioner, relative to the mean diagonal entry of A
    tolerance : wanted relative error of the lowest rate; residuals need only its square root
    iterations : at most this many in each of `attempts` restarts
    """

    shift: float = 1e-4
    tolerance: float = 1e-7
    iterations: int = 40
    attempts: int = 5
    name = "multigrid-lobpcg"

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state, from the span of `start` (n, k) where given.

        Raises
        ------
        ConvergenceError
            if the residuals, which are measured here, stay too large.
        """
        a = csr_matrix(operator.matrix)
        preconditioner = self._preconditioner(a)
        psi = np.random.default_rng(0).standard_normal((operator.n_dofs, k)) if start is None else start[:, :k]
        pairs = rayleigh_ritz(operator, psi)
        for _ in range(self.attempts):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it warns of is its residual, which is measured below
                _, psi = lobpcg(a, pairs.psi, M=preconditioner, Y=operator.ground_state[:, None],
                                tol=0.5 * self._residual(pairs), maxiter=self.iterations, largest=False)  # fmt: skip
            pairs = rayleigh_ritz(operator, psi)
            if pairs.residuals[0] <= self._residual(pairs):
                return pairs
        raise ConvergenceError(
            f"multigrid LOBPCG stopped at a residual of {pairs.residuals[0]:.1e} on {operator.n_dofs} nodes; "
            "use Lanczos, or a larger rtol"
        )

    def _residual(self, pairs: RitzPairs) -> float:
        """The residual r at which r^2 / (theta_last - theta_1) = tolerance theta_1, within what rounding allows."""
        wanted = np.sqrt(self.tolerance * pairs.rates[0] * pairs.rates[-1])
        return float(np.clip(wanted, 1e-9 * pairs.rates[-1], 1e-4 * pairs.rates[-1]))

    def _preconditioner(self, a: csr_matrix) -> LinearOperator:
        from pyamg import ruge_stuben_solver

        shifted = csr_matrix(a + self.shift * a.diagonal().mean() * eye_array(a.shape[0]))
        sweeps = [("gauss_seidel", {"sweep": direction}) for direction in ("forward", "backward")]
        hierarchy = ruge_stuben_solver(shifted, presmoother=sweeps[0], postsmoother=sweeps[1])
        return hierarchy.aspreconditioner(cycle="V")
