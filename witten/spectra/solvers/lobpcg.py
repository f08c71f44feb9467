"""Block eigensolver with a multigrid preconditioner, where a factorisation would be too dear."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, eye_array
from scipy.sparse.linalg import LinearOperator, lobpcg

from witten.errors import ConvergenceError, RequestError
from witten.linalg.iteration_limits import bounded
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs, rayleigh_ritz

__all__ = ["Multigrid", "multigrid_cycle"]

# Relative errors above this are not results.
GOOD_ENOUGH = 0.01


@dataclass(frozen=True)
class Multigrid:
    """LOBPCG [Knyazev2001], the ground state deflated, preconditioned by one V-cycle of multigrid [Ruge1987] (pyamg).

    >>> f, grid = witten.gallery.quadratic(), witten.Grid(witten.Box((-4.0,), (4.0,)), (256,))
    >>> curve = witten.sweep(witten.FiniteDifferences(f, grid), (0.5,), solver=witten.spectra.Multigrid())
    >>> print(f"{curve.rates[0]:.2f}")
    1.00

    Parameters
    ----------
    shift : added to A for the preconditioner, relative to `WittenLaplacian.scale`
    tolerance : wanted relative error of the rates, the last GUARDS of them excepted
    iterations : at most this many in each of `attempts` restarts
    """

    shift: float = 1e-4
    tolerance: float = 1e-7
    iterations: int = 20
    attempts: int = 8
    name = "multigrid-lobpcg"

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state, from the span of `start` (n, any) where given.

        Raises
        ------
        RequestError
            if there are fewer than 5 k + 5 nodes.
        ConvergenceError
            if the residuals, which are measured here, stay too large.
        """
        if operator.n_dofs < 5 * k + 5:
            raise RequestError(f"{operator.n_dofs} nodes are too few for a block of {k} vectors; use Dense()")
        a = csr_matrix(operator.matrix)
        preconditioner = self._preconditioner(a, self.shift * operator.scale, k)
        psi = np.random.default_rng(0).standard_normal((operator.n_dofs, k))
        if start is not None:
            psi[:, : start.shape[1]] = start[:, :k]
        pairs = rayleigh_ritz(operator, psi)
        wanted, best = max(k - GUARDS, 1), np.inf
        for _ in range(self.attempts):
            target = self._residual(pairs, wanted)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it warns of is its residual, which is measured below
                _, psi = lobpcg(
                    a,
                    pairs.psi,
                    M=preconditioner,
                    Y=operator.ground_state[:, None],
                    tol=0.5 * target,
                    maxiter=self.iterations,
                    largest=False,
                )
            pairs = rayleigh_ritz(operator, psi)
            residual, worst = float(pairs.residuals[:wanted].max()), self._worst(pairs, wanted)
            # What no longer falls has met rounding.
            if residual <= self._residual(pairs, wanted) or (residual > 0.9 * best and worst <= GOOD_ENOUGH):
                return pairs
            best = min(best, residual)
        if worst <= GOOD_ENOUGH:
            return pairs
        raise ConvergenceError(
            f"multigrid LOBPCG stopped at a relative error of {worst:.1e} on {operator.n_dofs} nodes; "
            "ask for fewer eigenvalues, or a larger rtol"
        )

    @staticmethod
    def _worst(pairs: RitzPairs, wanted: int) -> float:
        """The largest relative error of the wanted rates."""
        return float((pairs.errors(wanted) / pairs.rates[:wanted]).max())

    def _residual(self, pairs: RitzPairs, wanted: int) -> float:
        """The residual at which the bounds of `RitzPairs.errors` reach the tolerance, within what rounding allows."""
        theta, last = pairs.rates[:wanted], pairs.rates[-1]
        apart = np.maximum(last - theta, self.tolerance * theta)
        return float(np.clip(np.sqrt(self.tolerance * theta * apart).min(), 1e-9 * last, 1e-4 * last))

    def _preconditioner(self, a: csr_matrix, shift: float, k: int) -> LinearOperator:
        cycle = multigrid_cycle(a, shift)
        # Each of k columns, in each iteration of each attempt.
        most = 2 * k * (self.iterations + 1) * self.attempts
        what, remedy = f"multigrid LOBPCG on {a.shape[0]} nodes", "ask for fewer eigenvalues, or a larger rtol"
        return LinearOperator(a.shape, matvec=bounded(cycle.matvec, most, what, remedy), dtype=float)


def multigrid_cycle(a: csr_matrix, shift: float) -> LinearOperator:
    """One symmetric V-cycle for A + shift."""
    from pyamg import ruge_stuben_solver

    shifted = csr_matrix(a + shift * eye_array(a.shape[0]))
    sweeps = [("gauss_seidel", {"sweep": direction}) for direction in ("forward", "backward")]
    hierarchy = ruge_stuben_solver(shifted, presmoother=sweeps[0], postsmoother=sweeps[1])
    cycle: LinearOperator = hierarchy.aspreconditioner(cycle="V")
    return cycle
