"""Rayleigh-Ritz in edge form: the eigenvalues of a subspace, with the relative accuracy the edges allow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, lapack, qr

from witten.errors import ConvergenceError
from witten.operators.witten_laplacian import BLOCKS, WittenLaplacian

__all__ = ["GUARDS", "RitzPairs", "functions", "rayleigh_ritz", "rounding"]

# Pairs computed beyond those asked for: they bound what lies outside the subspace.
GUARDS = 3
# A_ii beyond this many times what it is where f is flat, and how often such nodes follow their neighbours.
STEEP, SWEEPS = 1e8, 4
EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class RitzPairs:
    """Approximate eigenpairs of A, ascending, the ground state left out.

    Attributes
    ----------
    rates : Ritz values theta, shape (k,)
    psi : orthonormal Ritz vectors, shape (n, k)
    residuals : ||A psi - theta psi||, shape (k,)
    noise : what rounding in psi alone adds to each theta, shape (k,)
    log_rates : log theta, for values that no double holds; from the rates where left out
    relative : relative errors where the solver knows them without residuals, nan elsewhere
    modes : u = psi / psi_0 of unit norm in L2(mu_s), (n, k), where the solver knows it without this division; else nan
    """

    rates: NDArray[np.float64]
    psi: NDArray[np.float64]
    residuals: NDArray[np.float64]
    noise: NDArray[np.float64]
    log_rates: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]
    relative: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]
    modes: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        with np.errstate(divide="ignore"):
            missing = {
                "log_rates": lambda: np.log(self.rates),
                "relative": lambda: np.full(self.rates.size, np.nan),
                "modes": lambda: np.broadcast_to(np.nan, self.psi.shape),
            }
            for name, value in missing.items():
                if getattr(self, name) is None:
                    object.__setattr__(self, name, value())

    def lowest(self, k: int) -> RitzPairs:
        """The k lowest of the pairs."""
        rows = (self.rates[:k], self.psi[:, :k], self.residuals[:k], self.noise[:k])
        return RitzPairs(*rows, self.log_rates[:k], self.relative[:k], self.modes[:, :k])

    def errors(self, wanted: int) -> NDArray[np.float64]:
        """Bounds on the errors of the first `wanted` values, those behind them serving as guards.

        Ritz values lie above the eigenvalues of the same number. How far is told by `_reach`, and the i-th eigenvalue
        is not below the i-th of all theta_j - reach_j: a guard that is hardly known may still come down upon a value
        that seems to be. Where a solver knows an error without residuals, that one is taken.
        """
        known = self.relative[:wanted]
        reach = _reach(self.rates, self.residuals)
        lower = np.sort(self.rates - np.where(np.isnan(self.relative), reach, self.relative * self.rates))[:wanted]
        bars = self.rates[:wanted] - lower + self.noise[:wanted]
        return np.where(np.isnan(known), bars, known * self.rates[:wanted])

    def relative_errors(self, wanted: int) -> NDArray[np.float64]:
        """The same, relative to each value: for values of any size."""
        known = self.relative[:wanted]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.errors(wanted) / self.rates[:wanted]
        return np.where(np.isnan(known), np.where(np.isnan(ratio), np.inf, ratio), known)


def _reach(theta: NDArray[np.float64], r: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far below each Ritz value its eigenvalue can lie, from all residuals, (k,).

    What is outside the subspace begins near the last Ritz value, g_j = theta_last - theta_j above theta_j. It acts on
    the subspace like the matrix E with |E_jk| <= r_j r_k / g_j: its diagonal lowers theta_j by r_j^2 / g_j ([Kato1949],
    [Temple1928]), and theta_k at a distance D by another min(|E_jk|, E_jk^2 / D). In a cluster a pair that is known
    well thus has its share of the error of one that is not. Where this says nothing, |lambda - theta_j| <= r_j.
    """
    gap = theta[-1] - theta
    usable = gap > 1e-2 * theta[-1]
    coupling = np.outer(r, r) / np.where(usable, gap, np.inf)[:, None]
    apart = abs(theta[:, None] - theta)
    np.fill_diagonal(apart, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(coupling > 0, coupling / np.maximum(1.0, apart / coupling), 0.0)
    # The last Ritz value is itself an estimate: four times the bound.
    return 4 * np.where(usable, np.minimum(share.sum(axis=1), r), r)


def functions(operator: WittenLaplacian, pairs: RitzPairs) -> NDArray[np.float64]:
    """u_0 = 1 and the functions u of the pairs, unit norm in L2(mu_s), shape (k + 1, n)."""
    divided = operator.modes(np.column_stack([operator.ground_state, pairs.psi]))
    divided[0] = 1.0
    known = np.vstack([np.ones(operator.n_dofs), pairs.modes.T])
    return np.where(np.isnan(known), divided, known)


def rounding(operator: WittenLaplacian) -> float:
    """What rounding of f at the nodes and of its exponentials does to any rate, relatively."""
    exponents = float(abs(operator.values).max() + np.ptp(operator.values)) / operator.learning_rate
    return 8 * EPS * (2 + exponents)


def _relaxed(operator: WittenLaplacian, psi: NDArray[np.float64]) -> NDArray[np.float64]:
    """psi with psi_i = sum_j |A_ij| psi_j / A_ii where A_ii is very large, (n, k): what low modes are there.

    Orthogonalisation leaves a rounding of 1 at every node, which costs eps^2 A_ii: more than a rate, where f is so
    steep that e^(f/s) changes by many digits from one cell to the next.
    """
    diagonal = operator.matrix.diagonal()
    steep = np.flatnonzero(diagonal > STEEP * operator.scale)
    if not steep.size:
        return psi
    others, psi = operator.matrix[steep], psi.copy()
    others.data[others.indices == np.repeat(steep, np.diff(others.indptr))] = 0.0
    for _ in range(SWEEPS):  # from one such node to the next
        psi[steep] = -(others @ psi) / diagonal[steep, None]
    return psi


def rayleigh_ritz(operator: WittenLaplacian, psi: NDArray[np.float64]) -> RitzPairs:
    """Ritz pairs of the span of psi, shape (n, k), with the ground state projected out.

    The Gram matrix G of the edge differences is factored and its singular values are found by Jacobi rotations, which
    keeps the relative accuracy of small Ritz values beside large ones [Demmel1992].
    """
    basis = psi
    for _ in range(2):  # once is not enough where the vectors nearly depend on each other
        basis = qr(operator.project(basis), mode="economic", check_finite=False)[0]
    basis = _relaxed(operator, basis)
    try:
        factor = cholesky(operator.dirichlet_form(basis), lower=True)
    except LinAlgError as error:
        raise ConvergenceError(
            "eigenvectors lost their independence to rounding; ask for fewer, or refine the grid"
        ) from error
    singular, left, _, work, _, info = lapack.dgejsv(factor, jobu=0, jobv=3)
    if info != 0:
        raise ConvergenceError(
            f"Jacobi rotations did not converge (LAPACK gejsv, info {info}); ask for fewer eigenvalues"
        )
    order = np.argsort(singular)
    rates = (singular[order] * work[0] / work[1]) ** 2
    psi = basis @ left[:, order]
    residuals = np.linalg.norm(operator.apply(psi) - psi * rates, axis=0)
    # psi_i is known to one rounding: the form then knows each value to eps^2 sum_i A_ii psi_i^2, and to the cross term.
    floor = EPS**2 * (operator.matrix.diagonal() @ psi**2)
    # Sums of so many positive numbers are known to as many roundings, in whatever order they are taken.
    relative = rounding(operator) + EPS * (32 + operator.matrix.nnz / BLOCKS)
    return RitzPairs(rates, psi, residuals, floor + np.sqrt(floor * rates) + relative * rates)
