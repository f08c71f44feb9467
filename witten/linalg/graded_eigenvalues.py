"""All rates of a reversible Markov chain on wells, however far apart, from positive numbers without a subtraction.

    C c = lambda M c,   -C_ij = c_ij >= 0 the conductances, rows of C sum to zero, M the masses

* Eliminating well k, c_ij += c_ik c_jk/d_k with d_k = sum_j c_kj, takes sums, products and quotients of positive
  numbers [Grassmann1985]. With the largest d_k/pi_k first, C = L D L^T in wells of unit mass, L
  unit triangular up to the order of wells, its entries at most 1, D graded.
* Rates are the squared singular values of R^{-1} L D^{1/2}, R R^T = M. One-sided Jacobi rotations, each column kept as
  a unit vector and the logarithm of its length, find them all [Demmel1999].

What is lost is a few roundings of the logarithms: of a rate, eps (1 + the largest |logarithm|), relatively."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from witten.errors import ConvergenceError

__all__ = ["Steps", "WellGraph", "log_mean_time", "log_rates", "slow_modes", "steps"]

Array = NDArray[np.float64]
# Wells of which all rates are computed; of more, the fastest are eliminated first.
MOST_WELLS = 300
# A number that is smaller than another by a factor of e to this power does not change it; nor do thousands of them.
BELOW_ROUNDING = 50.0
ITERATIONS = 20
SWEEPS = 60
# Up to so many wells Python is faster than to load a compiled kernel, and far faster than to compile one.
FEW = 16


@dataclass(frozen=True, eq=False)
class WellGraph:
    """C c = lambda (M_0 + lambda M_1 + lambda^2 M_2 + ...) c on m wells.

    Attributes
    ----------
    log_masses : log pi_i, pi the diagonal of M_0, shape (m,)
    log_conductances : log c_ij between well i and j, symmetric, -inf without an edge, (m, m); the diagonal is ignored
    masses : (M_0)_ij / sqrt(pi_i pi_j); None where M_0 is diagonal
    corrections : M_1, M_2, ..., divided in the same way
    """

    log_masses: Array
    log_conductances: Array
    masses: Array | None = None
    corrections: tuple[Array, ...] = ()

    @property
    def log_sizes(self) -> Array:
        """log sqrt(pi_i), (m,)."""
        return 0.5 * self.log_masses

    def masses_at(self, log_rate: float) -> Array:
        """M_0 + lambda M_1 + lambda^2 M_2 + ... at lambda = e^log_rate, for wells of unit mass, (m, m)."""
        first = np.eye(self.log_masses.size) if self.masses is None else self.masses
        return first + sum(np.exp(p * log_rate) * m for p, m in enumerate(self.corrections, 1))


def log_rates(graph: WellGraph) -> Array:
    """Logarithms of the eigenvalues lambda above the zero of a constant, ascending, (m - 1,); M = M_0.

    Each further piece of the graph has its zero, -inf. Of more than 300 wells, M diagonal, the fastest are eliminated,
    their masses shared out, which costs the 299 rates that are left a relative error of about their ratio to those that
    are dropped.
    """
    if graph.log_masses.size > MOST_WELLS and graph.masses is None:
        graph = _slowest(graph, MOST_WELLS)
    _, _, factor, log_pivots = _factored(graph)
    found, _ = _singular(graph.masses_at(-np.inf), factor, log_pivots)
    return np.concatenate([np.full(graph.log_masses.size - 1 - found.size, -np.inf), found])


def slow_modes(graph: WellGraph, count: int, longest: float = np.inf) -> tuple[Array, Array]:
    """The `count` lowest positive rates as logarithms, ascending, and their c for wells of unit mass, (m, count).

    Rates above 1/longest are left at M = M_0.

    Raises
    ------
    ConvergenceError
        for a graph in pieces.
    """
    _, _, factor, log_pivots = _factored(graph)
    if log_pivots.size < graph.log_masses.size - 1:
        raise ConvergenceError("wells are not connected in double precision; leave out the more distant ones")
    rates, vectors = (found[..., :count] for found in _singular(graph.masses_at(-np.inf), factor, log_pivots))
    for j in np.flatnonzero(rates + np.log(longest) < 0) if graph.corrections else ():
        for _ in range(ITERATIONS):
            before = rates[j]
            others, c = _singular(graph.masses_at(before), factor, log_pivots)
            rates[j], vectors[:, j] = others[j], c[:, j]
            if abs(rates[j] - before) <= 4e-16:
                break
    return rates, vectors


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


def steps(graph: WellGraph, rates: Array, c: Array) -> Steps:
    """The steps of modes that `slow_modes` found, c for wells of unit mass; heights are those of the functions.

    L^T c is a difference for what is faster than the mode, and D^{-1} L^{-1} lambda M c for what is slower.
    """
    pivots, shares, factor, log_pivots = _factored(graph)
    direct = factor.T @ c
    flows = np.stack([graph.masses_at(rate) @ column for rate, column in zip(rates, c.T, strict=True)], axis=1)
    heights = np.empty_like(direct)
    for p, pivot in enumerate(pivots):
        ratio = rates - log_pivots[p]
        heights[p] = np.where(ratio < 0, flows[pivot] * np.exp(np.minimum(ratio, 0.0)), direct[p])
        left = factor[:, p].copy()
        left[pivot] = 0.0
        flows -= left[:, None] * flows[pivot]
    return Steps(pivots, shares, heights * np.exp(-graph.log_sizes[pivots])[:, None])


def log_mean_time(graph: WellGraph, start: int, target: int) -> float:
    """Logarithm of the mean time to reach one well from another, M = M_0 diagonal; inf where there is no way.

    (sum_k pi_k h_k)/c, h_k the probability to reach the start before the target, c the effective conductance between
    them: what is left when all other wells are eliminated and their masses shared out."""
    if start == target:
        return -np.inf
    if graph.masses is not None:
        raise ValueError("a mean time from one well to another is that of wells that do not overlap")
    log_masses, log_c = graph.log_masses.copy(), graph.log_conductances.copy()
    stays = np.isin(np.arange(log_masses.size), (start, target))
    _for(log_masses.size, _eliminate)(log_c, log_masses, stays, log_masses.size - 2, True)
    return float(log_masses[start] - log_c[start, target])


def _slowest(graph: WellGraph, count: int) -> WellGraph:
    """Without the fastest wells, of which each leaves its mass to its neighbours; about `count` are left."""
    m = graph.log_masses.size
    log_masses, log_c = graph.log_masses.copy(), graph.log_conductances.copy()
    pivots, _, _ = _for(m, _eliminate)(log_c, log_masses, np.zeros(m, dtype=bool), m - count, True)
    left = np.delete(np.arange(m), pivots)
    return WellGraph(log_masses[left], log_c[np.ix_(left, left)])


def _factored(graph: WellGraph) -> tuple[NDArray[np.int64], Array, Array, Array]:
    """The r pivots, their shares c_kj/d_k (r, m), L (m, r) and log D of C = L D L^T, for wells of unit mass."""
    stays = np.zeros(graph.log_masses.size, dtype=bool)
    log_c, eliminate = graph.log_conductances.copy(), _for(stays.size, _eliminate)
    pivots, log_shares, log_degrees = eliminate(log_c, graph.log_masses, stays, stays.size, False)
    sizes = graph.log_sizes
    factor = -np.exp(log_shares + sizes[pivots][:, None] - sizes).T
    factor[pivots, np.arange(pivots.size)] = 1.0
    return pivots, np.exp(log_shares), factor, log_degrees - graph.log_masses[pivots]


def _singular(masses: Array, factor: Array, log_pivots: Array) -> tuple[Array, Array]:
    """log sigma^2 ascending and R^{-T} x of the left singular vectors x of R^{-1} L D^{1/2}, R R^T = M."""
    root = cholesky(masses, lower=True)
    columns = solve_triangular(root, factor, lower=True).T.copy()
    lengths = np.linalg.norm(columns, axis=1)
    columns /= lengths[:, None]
    log_lengths = 0.5 * log_pivots + np.log(lengths)
    if not _for(log_lengths.size, _rotate)(columns, log_lengths, SWEEPS):
        raise ConvergenceError("Jacobi rotations on the graph of wells did not converge; ask for fewer rates")
    order = np.argsort(log_lengths, kind="stable")
    return 2 * log_lengths[order], solve_triangular(root, columns[order].T, lower=True, trans="T")


def _for(wells: int, kernel: Any) -> Any:
    """The kernel for so many wells, compiled where that pays."""
    return kernel.py_func if wells <= FEW else kernel


@register_jitable
def _log_add(a, b):  # type: ignore[no-untyped-def]
    high, low = max(a, b), min(a, b)
    return high if low <= high - BELOW_ROUNDING else high + np.log1p(np.exp(low - high))


@register_jitable
def _log_sum(values):  # type: ignore[no-untyped-def]
    top, total = values.max(), 0.0
    for value in values:
        if value > top - BELOW_ROUNDING:
            total += np.exp(value - top)
    return top + np.log(total) if total > 0 else top


@numba.njit(cache=True)
def _eliminate(log_c, log_masses, stays, count, shared):  # type: ignore[no-untyped-def]
    """Eliminate so many wells in place, but for those that stay or have no edge: pivots, log c_kj/d_k and log d_k.

    shared : whether a well leaves its mass to its neighbours, in place
    """
    m = log_masses.size
    pivots, log_shares, log_degrees = np.empty(count, np.int64), np.full((count, m), -np.inf), np.empty(count)
    degrees = np.empty(m)
    for well in range(m):
        log_c[well, well] = -np.inf
        degrees[well] = _log_sum(log_c[well])
    summed = degrees.copy()
    for rank in range(count):
        k = np.argmax(np.where(stays, -np.inf, degrees - log_masses))
        if stays[k] or degrees[k] == -np.inf:
            return pivots[:rank], log_shares[:rank], log_degrees[:rank]
        near, edges, share = np.flatnonzero(log_c[k] > -np.inf), log_c[k].copy(), log_c[k] - degrees[k]
        pivots[rank], log_shares[rank], log_degrees[rank] = k, share, degrees[k]
        log_c[k], degrees[k] = -np.inf, -np.inf
        for i in near:
            log_c[i, k] = -np.inf
            for j in near:
                if j < i:
                    log_c[i, j] = log_c[j, i] = _log_add(log_c[i, j], edges[i] + share[j])
            if shared:
                log_masses[i] = _log_add(log_masses[i], log_masses[k] + share[i])
        for i in near:
            lost = edges[i] + share[i] - degrees[i]
            # Less c_ik^2/d_k; summed anew before half of what was summed is gone, so that no digits are.
            kept = degrees[i] + np.log1p(-np.exp(lost)) if lost < -0.7 else -np.inf
            if kept < summed[i] - 0.7:
                kept = summed[i] = _log_sum(log_c[i])
            degrees[i] = kept
    return pivots, log_shares, log_degrees


@numba.njit(cache=True)
def _rotate(columns, log_lengths, sweeps):  # type: ignore[no-untyped-def]
    """Make columns, unit vectors in rows, orthogonal by rotations in place; whether they are, in the end."""
    for _ in range(sweeps):
        largest = 0.0
        for a in range(log_lengths.size - 1):
            for b in range(a + 1, log_lengths.size):
                p, q = (a, b) if log_lengths[a] >= log_lengths[b] else (b, a)
                cosine = np.dot(columns[p], columns[q])
                largest = max(largest, abs(cosine))
                if abs(cosine) < 1e-15:
                    continue
                # With ratio = |q|/|p| <= 1 the tangent of the rotation is tau ratio; tau itself never underflows.
                ratio = np.exp(log_lengths[q] - log_lengths[p])
                zeta = (ratio**2 - 1) / (2 * cosine)
                tau = (1.0 if zeta >= 0 else -1.0) / (abs(zeta) + np.sqrt(ratio**2 + zeta**2))
                turned = columns[p] - tau * ratio**2 * columns[q], columns[q] + tau * columns[p]
                turn = -0.5 * np.log1p((tau * ratio) ** 2)
                for i, column in zip((p, q), turned):  # noqa: B905 - Numba knows no strict
                    length = np.linalg.norm(column)
                    columns[i] = column / length
                    log_lengths[i] += turn + np.log(length)
        if largest <= 1e-14 * np.sqrt(log_lengths.size):
            return True
    return False
