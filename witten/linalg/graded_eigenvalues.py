"""The few rates between wells, however far apart, from positive numbers without a subtraction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, lapack, solve_triangular

from witten.errors import ConvergenceError

__all__ = ["Exchange", "Steps", "exchange_rates", "steps"]

Array = NDArray[np.float64]
# Columns whose logarithms lie further apart are treated one group after the other.
WIDEST = 500.0
ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class Exchange:
    """C c = lambda (M_0 + lambda M_1 + lambda^2 M_2 + ...) c: what is left of K u = lambda M u on m wells.

    u = H c + lambda W c + ..., H the committors of the wells and W the times spent on the way back to them.

    Attributes
    ----------
    log_conductances : log C_ij between well i and j, symmetric, (m, m); the diagonal is ignored: rows of C sum to zero
    log_sizes : half the logarithm of the mass of each well, shape (m,)
    masses : (M_0)_ij = <h_i, h_j>, divided by the sizes of i and j
    corrections : M_1, M_2, ..., divided in the same way
    """

    log_conductances: Array
    log_sizes: Array
    masses: Array
    corrections: tuple[Array, ...] = ()

    def masses_at(self, log_rate: float) -> Array:
        """M_0 + lambda M_1 + lambda^2 M_2 + ... at lambda = e^log_rate."""
        return self.masses + sum(np.exp(p * log_rate) * m for p, m in enumerate(self.corrections, 1))


def exchange_rates(problem: Exchange, count: int, longest: float = np.inf) -> tuple[Array, Array]:
    """The `count` lowest positive rates as logarithms, ascending, and their c for wells of unit size, (m, count).

    Rates above 1/longest are left at M = M_0.

    C = L D L^T is eliminated by sums, products and quotients of positive numbers (Grassmann, Taksar, Heyman), the
    largest pivot first; then rates are squared singular values of R^{-1} L D^{1/2}, with R R^T = M. That is a
    well-conditioned matrix with scaled columns, of which Jacobi rotations keep every digit (Demmel, Veselic).
    """
    _, factor, log_pivots = _eliminated(problem)
    log_rates, vectors = _singular(problem.masses, factor, log_pivots)
    log_rates, vectors = log_rates[:count], vectors[:, :count]
    for j in np.flatnonzero(log_rates + np.log(longest) < 0) if problem.corrections else ():
        for _ in range(ITERATIONS):
            before = log_rates[j]
            others, c = _singular(problem.masses_at(before), factor, log_pivots)
            log_rates[j], vectors[:, j] = others[j], c[:, j]
            if abs(log_rates[j] - before) <= 4e-16:
                break
    return log_rates, vectors


@dataclass(frozen=True, eq=False)
class Steps:
    """c by its steps: c_p = sum_b share_pb c_b + height_p over the wells b that are left when well p is eliminated.

    Wells with much exchange differ by little, and a difference of their c would have lost it.

    Attributes
    ----------
    pivots : the wells in the order of elimination; one is left over, (m - 1,)
    shares : (m - 1, m), not negative; rows sum to one
    heights : for each of the modes, (m - 1, k)
    """

    pivots: NDArray[np.int64]
    shares: Array
    heights: Array


def steps(problem: Exchange, log_rates: Array, c: Array) -> Steps:
    """The steps of modes that `exchange_rates` found, c for wells of unit size; heights are those of the functions.

    L^T c is a difference for what is faster than the mode, and D^{-1} L^{-1} lambda M c for what is slower.
    """
    pivots, factor, log_pivots = _eliminated(problem)
    direct = factor.T @ c
    flows = np.stack(
        [problem.masses_at(rate) @ column for rate, column in zip(log_rates, c.T, strict=True)], axis=1
    ).reshape(c.shape)
    heights = np.empty_like(direct)
    for p, pivot in enumerate(pivots):
        ratio = log_rates - log_pivots[p]
        heights[p] = np.where(ratio < 0, flows[pivot] * np.exp(np.minimum(ratio, 0.0)), direct[p])
        left = factor[:, p].copy()
        left[pivot] = 0.0
        flows -= left[:, None] * flows[pivot]
    sizes = problem.log_sizes
    with np.errstate(divide="ignore"):
        log_ratios = np.log(-np.where(factor < 0, factor, -0.0))
    shares = np.exp(log_ratios.T + sizes - sizes[pivots][:, None])
    return Steps(pivots, shares, heights * np.exp(-sizes[pivots])[:, None])


def _eliminated(problem: Exchange) -> tuple[NDArray[np.int64], Array, Array]:
    """The pivots, L, (m, m - 1), and log D of C = L D L^T, for wells of unit size."""
    sizes = problem.log_sizes
    log_c = problem.log_conductances - sizes[:, None] - sizes
    np.fill_diagonal(log_c, -np.inf)
    m = sizes.size
    left = np.ones(m, dtype=bool)
    factor, log_pivots, pivots = np.zeros((m, m - 1)), np.empty(m - 1), np.empty(m - 1, dtype=np.int64)
    for p in range(m - 1):
        # (C sizes)_i = 0 gives the diagonal from what is off it.
        diagonal = np.logaddexp.reduce(np.where(left, log_c + sizes, -np.inf), axis=1) - sizes
        pivot = int(np.where(left, diagonal, -np.inf).argmax())
        pivots[p], log_pivots[p] = pivot, diagonal[pivot]
        left[pivot] = False
        ratio = np.where(left, log_c[pivot] - diagonal[pivot], -np.inf)
        factor[:, p] = -np.exp(ratio)
        factor[pivot, p] = 1.0
        log_c = np.logaddexp(log_c, ratio[:, None] + log_c[pivot])
        np.fill_diagonal(log_c, -np.inf)
    return pivots, factor, log_pivots


def _singular(masses: Array, factor: Array, log_pivots: Array) -> tuple[Array, Array]:
    """log sigma^2 ascending and R^{-T} x of the left singular vectors x of R^{-1} L D^{1/2}, R R^T = M."""
    if not np.isfinite(log_pivots).all():
        raise ConvergenceError("wells are not connected in double precision; leave out the more distant ones")
    root = cholesky(masses, lower=True)
    columns = solve_triangular(root, factor, lower=True)
    log_rates, left = [], []
    while log_pivots.size:
        # The pivots nearly descend. A group far below another one lives in what is orthogonal to it.
        top = log_pivots.max()
        near = log_pivots >= top - 2 * WIDEST
        singular, vectors = _jacobi(columns[:, near] * np.exp(0.5 * (log_pivots[near] - top)))
        log_rates.append(top + 2 * np.log(singular))
        left.append(vectors)
        columns = columns[:, ~near] - vectors @ (vectors.T @ columns[:, ~near])
        log_pivots = log_pivots[~near]
    order = np.argsort(np.concatenate(log_rates), kind="stable")
    vectors = solve_triangular(root, np.concatenate(left, axis=1)[:, order], lower=True, trans="T")
    return np.concatenate(log_rates)[order], vectors


def _jacobi(matrix: Array) -> tuple[Array, Array]:
    """Singular values and left singular vectors by one-sided Jacobi rotations."""
    singular, left, _, work, _, info = lapack.dgejsv(matrix, joba=0, jobu=0, jobv=3, jobr=0, jobp=0)
    if info != 0:
        raise ConvergenceError(f"Jacobi rotations did not converge (LAPACK gejsv, info {info}); ask for fewer rates")
    return singular * (work[0] / work[1]), left[:, : singular.size]
