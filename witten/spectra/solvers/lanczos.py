"""Shift-invert Lanczos with a sparse factorisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh, splu

from witten.errors import ConvergenceError
from witten.linalg.iteration_limits import bounded
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs, rayleigh_ritz

__all__ = ["Lanczos", "count_below", "factorised", "missed", "polished"]

# A pair that was missed lies below the last one found by more than this part; how well the search for it converges.
MISSING, ROUGHLY = 1e-6, 1e-3
# Eigenvalues are counted above this part of the operator's scale.
COUNTABLE = 1e-10
Inverse = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Lanczos:
    """ARPACK on (A + shift)^{-1}, the ground state deflated; then inverse iteration with Rayleigh-Ritz in edge form.

    The final steps wash rounding noise out of the vectors, and the edge form keeps the digits of small rates. From a
    good start, inverse iteration alone often is enough.

    >>> f, grid = witten.gallery.quadratic(), witten.Grid(witten.Box((-4.0,), (4.0,)), (256,))
    >>> curve = witten.sweep(witten.FiniteDifferences(f, grid), (0.5,), solver=witten.spectra.Lanczos())
    >>> print(f"{curve.rates[0]:.2f}")
    1.00

    Parameters
    ----------
    shift : relative to `WittenLaplacian.scale`, what rates on a few cells would be: far below the rates that are wanted
        and far above rounding, so that A + shift is positive definite
    tolerance : of ARPACK, relative
    accuracy : relative error of the rates, the last GUARDS of them excepted, at which a start needs no ARPACK
    polish : at most this many steps of inverse iteration
    most : solves with the factorisation that ARPACK may ask for; a few hundred are usual
    """

    shift: float = 1e-12
    tolerance: float = 1e-6
    accuracy: float = 1e-10
    polish: int = 6
    most: int = 5000
    name = "lanczos"

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` (n, any) adds its span to what Lanczos finds.

        A single Krylov sequence can overlook one of several nearly equal eigenvalues, and bars take it that none is
        missing among those found. They are counted by inertia; where the count differs or says nothing, further
        sequences, orthogonal to these, look for more.

        Raises
        ------
        ConvergenceError
            if ARPACK does not converge within so many products, or within the time that a solver has.
        """
        inverse = factorised(operator.matrix, self.shift * operator.scale)
        if start is not None and start.shape[1] >= k:
            pairs = polished(operator, inverse, start, k, self.polish)
            wanted = max(k - GUARDS, 1)
            if (pairs.errors(wanted) <= np.maximum(self.accuracy * pairs.rates, 4 * pairs.noise)[:wanted]).all():
                return pairs
            start = pairs.psi
        psi = self._arpack(operator, inverse, k, start)
        pairs = polished(operator, inverse, psi if start is None else np.column_stack([psi, start]), k, self.polish)
        if missed(operator, pairs) == 0:
            return pairs
        for _ in range(k if operator.n_dofs > k + 1 + GUARDS else 0):
            missing = self._arpack(operator, inverse, 1, None, pairs.psi)
            both = rayleigh_ritz(operator, np.column_stack([pairs.psi, missing]))
            if both.rates[k - 1] > (1 - MISSING) * pairs.rates[-1]:
                break
            pairs = polished(operator, inverse, both.psi, k, self.polish)
        return pairs

    def _arpack(
        self,
        operator: WittenLaplacian,
        inverse: Inverse,
        k: int,
        start: NDArray[np.float64] | None,
        known: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """The k lowest eigenvectors, roughly; very roughly those that are orthogonal to known ones (n, any)."""
        n = operator.n_dofs

        def project(x: NDArray[np.float64]) -> NDArray[np.float64]:
            x = operator.project(x, times=1)
            return x if known is None else x - known @ (known.T @ x)

        # The first sequence found what it had of the vectors of a multiple eigenvalue: this one starts elsewhere.
        v0 = np.random.default_rng(0 if known is None else 1).standard_normal(n) if start is None else start.sum(axis=1)
        what, remedy = f"Lanczos for {k} eigenvalues on {n} nodes", "ask for fewer, or for a larger learning rate"
        product = bounded(lambda x: project(inverse(x.ravel())), self.most, what, remedy)
        deflated = LinearOperator((n, n), matvec=product, dtype=float)
        ncv = min(n, max(2 * k + 4, 12))
        try:
            tolerance = self.tolerance if known is None else ROUGHLY
            _, psi = eigsh(deflated, k=k, which="LM", v0=project(project(v0)), tol=tolerance, ncv=ncv)
        except ArpackError as error:
            raise ConvergenceError(f"{what} did not converge: {error}; {remedy}") from error
        return psi


def polished(
    operator: WittenLaplacian, inverse: Inverse, psi: NDArray[np.float64], k: int, most: int
) -> RitzPairs:
    """Inverse iteration on the k lowest Ritz vectors of a span, while it pays, at most so many steps."""
    pairs = rayleigh_ritz(operator, psi).lowest(k)
    wanted = max(k - GUARDS, 1)
    for _ in range(most):
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


def missed(operator: WittenLaplacian, pairs: RitzPairs) -> int | None:
    """How many more eigenvalues lie below the widest gap between the guards than were found there; None where that is
    so close to zero that the signs of pivots mean nothing, or where there are no guards."""
    if pairs.rates.size <= GUARDS:
        return None
    low, high = pairs.rates[-GUARDS - 1 : -1], pairs.rates[-GUARDS:]
    with np.errstate(divide="ignore"):  # rates below the doubles
        at = int((high / low).argmax())
    bound = 0.5 * (low[at] + high[at])
    if bound < COUNTABLE * operator.scale:
        return None
    return count_below(operator, bound) - (pairs.rates.size - GUARDS + at)


def _symmetric_lu(matrix: Any, shift: float) -> Any:
    shifted = csc_array(matrix + shift * eye_array(matrix.shape[0]))
    return splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
