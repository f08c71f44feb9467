"""Shift-invert Lanczos with a sparse factorisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh, splu

from witten.errors import ConvergenceError
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.ritz import GUARDS, RitzPairs, rayleigh_ritz

__all__ = ["Lanczos", "count_below"]

Inverse = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Lanczos:
    """ARPACK on (A + shift)^{-1}, the ground state deflated; then inverse iteration with Rayleigh-Ritz in edge form.

    The final steps wash rounding noise out of the vectors, and the edge form keeps the digits of small rates. From a
    good start, inverse iteration alone often is enough.

    Parameters
    ----------
    shift : relative to the largest diagonal entry of A; positive, so that A + shift is positive definite
    tolerance : of ARPACK, relative
    accuracy : relative error of the rates, the last GUARDS of them excepted, at which a start needs no ARPACK
    polish : at most this many steps of inverse iteration
    """

    shift: float = 1e-12
    tolerance: float = 1e-6
    accuracy: float = 1e-10
    polish: int = 6
    name = "lanczos"

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` (n, any) adds its span to what Lanczos finds.

        A single Krylov sequence can overlook one of two nearly equal eigenvalues; a start that knows both mends that.
        """
        inverse = factorised(operator.matrix, self.shift * operator.matrix.diagonal().max())
        if start is not None and start.shape[1] >= k:
            pairs = self._polished(operator, inverse, start, k)
            wanted = max(k - GUARDS, 1)
            if (pairs.errors(wanted) <= np.maximum(self.accuracy * pairs.rates, 4 * pairs.noise)[:wanted]).all():
                return pairs
            start = pairs.psi
        psi = self._arpack(operator, inverse, k, start)
        return self._polished(operator, inverse, psi if start is None else np.column_stack([psi, start]), k)

    def _arpack(
        self, operator: WittenLaplacian, inverse: Inverse, k: int, start: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """The k lowest eigenvectors, roughly."""
        n = operator.n_dofs
        v0 = np.random.default_rng(0).standard_normal(n) if start is None else start.sum(axis=1)
        deflated = LinearOperator((n, n), matvec=lambda x: operator.project(inverse(x.ravel()), times=1), dtype=float)
        ncv = min(n, max(2 * k + 4, 12))
        try:
            _, psi = eigsh(deflated, k=k, which="LM", v0=operator.project(v0), tol=self.tolerance, ncv=ncv)
        except ArpackNoConvergence as error:
            raise ConvergenceError(f"Lanczos did not converge for {k} eigenvalues on {n} nodes: {error}") from error
        return psi

    def _polished(self, operator: WittenLaplacian, inverse: Inverse, psi: NDArray[np.float64], k: int) -> RitzPairs:
        """Inverse iteration on the k lowest Ritz vectors of a span, while it pays."""
        pairs = rayleigh_ritz(operator, psi).lowest(k)
        wanted = max(k - GUARDS, 1)
        for _ in range(self.polish):
            better = rayleigh_ritz(operator, inverse(operator.project(pairs.psi)))
            done = better.residuals[:wanted].max() > 0.5 * pairs.residuals[:wanted].max()
            pairs = better
            if done:
                break
        return pairs


def factorised(matrix: Any, shift: float) -> Inverse:
    """x -> (A + shift)^{-1} x for a symmetric positive definite A + shift, x of shape (n,) or (n, k)."""
    solve: Inverse = _symmetric_lu(matrix, shift).solve
    return solve


def count_below(operator: WittenLaplacian, rate: float) -> int:
    """The number of eigenvalues of A below `rate`, the ground state's zero not counted.

    By Sylvester's law of inertia: the negative pivots of A - rate = L D L^T.
    """
    lu = _symmetric_lu(operator.matrix, -rate)
    if not np.array_equal(lu.perm_r, lu.perm_c):
        raise ConvergenceError(
            f"the factorisation at {rate:g} had to pivot, so its inertia is unknown; move the bound a little"
        )
    return int(np.count_nonzero(lu.U.diagonal() < 0)) - 1


def _symmetric_lu(matrix: Any, shift: float) -> Any:
    shifted = csc_array(matrix + shift * eye_array(matrix.shape[0]))
    return splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
