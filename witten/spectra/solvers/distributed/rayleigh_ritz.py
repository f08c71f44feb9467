"""Rayleigh-Ritz on several ranks: as in `rayleigh_ritz`, for a pencil with a mass matrix, rows distributed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, lapack, solve_triangular

from witten.errors import ConvergenceError
from witten.operators.distributed_laplacian import DistributedLaplacian
from witten.spectra.solvers.rayleigh_ritz import RitzPairs

__all__ = ["distributed_ritz", "independent"]

Array = NDArray[np.float64]
# Squared sine of the angle to the others below which a vector counts as their combination.
DEPENDENT = 1e-10


def distributed_ritz(operator: DistributedLaplacian, psi: Array) -> RitzPairs:
    """Ritz pairs of the span of psi (n_owned, k), ascending, the ground state projected out.

    The form is evaluated from differences, and the singular values of its Cholesky factor by Jacobi rotations: small
    Ritz values keep their relative accuracy beside large ones. Residuals are measured in the norm of M^{-1}, in which
    they bound errors of eigenvalues. All ranks get the same values to the bit.
    """
    basis = psi
    for _ in range(3):  # Cholesky is less stable than Householder reflections: once more than there
        basis = _orthonormal(operator, operator.project(basis))
    factor = _cholesky(operator.dirichlet_form(basis))
    singular, left, _, work, _, info = lapack.dgejsv(factor, jobu=0, jobv=3)
    if info != 0:
        raise ConvergenceError(f"Jacobi rotations did not converge (LAPACK gejsv, info {info}); ask for fewer pairs")
    order = np.argsort(singular)
    rates = (singular[order] * work[0] / work[1]) ** 2
    psi = basis @ left[:, order]
    residuals = operator.dual_norms(operator.apply(psi) - operator.times_mass(psi) * rates)
    eps = float(np.finfo(float).eps)
    floor = eps**2 * operator.gram_diagonal(psi)
    return RitzPairs(rates, psi, residuals, floor + np.sqrt(floor * rates) + 32 * eps * rates)


def independent(operator: DistributedLaplacian, psi: Array) -> Array:
    """Those columns of psi (n_owned, any) that are no combinations of others above the ground state."""
    psi = operator.project(psi)
    norms = np.sqrt(np.diag(operator.gram(psi)))
    psi = psi[:, norms > 0] / norms[norms > 0]
    _, pivots, rank, _ = lapack.dpstrf(operator.gram(psi), tol=DEPENDENT)
    return psi[:, np.sort(pivots[:rank] - 1)]


def _orthonormal(operator: DistributedLaplacian, psi: Array) -> Array:
    psi = psi / np.sqrt(np.diag(operator.gram(psi)))
    factor = _cholesky(operator.gram(psi))
    orthonormal: Array = solve_triangular(factor, psi.T, lower=True).T
    return orthonormal


def _cholesky(form: Array) -> Array:
    try:
        factor: Array = cholesky(0.5 * (form + form.T), lower=True)
    except LinAlgError as error:
        raise ConvergenceError(
            "eigenvectors lost their independence to rounding; ask for fewer, or refine the mesh"
        ) from error
    return factor
