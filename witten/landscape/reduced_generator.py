"""A Markov chain on the wells, kept as a weighted graph in logarithms: all its rates to full relative accuracy.

Node i has mass pi_i, edge (i, j) conductance c_ij; the generator is Q_ij = c_ij/pi_i. Rates may differ by thousands of
powers of ten, so nothing is ever subtracted:

* elimination of node k, c_ij += c_ik c_jk/d_k with d_k = sum_j c_kj, is made of sums, products and quotients of
  positive numbers (Grassmann, Taksar and Heyman 1985). With the fastest node as the pivot it factors
  pi^{-1/2} (-Q) pi^{1/2} = X D X^T, X unit triangular with entries of at most 1, D graded;
* one-sided Jacobi rotations on the columns of X D^{1/2}, each kept as a unit vector and the logarithm of its length,
  find the singular values, whose squares are the rates (Demmel et al., Linear Algebra Appl. 299, 1999)."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError

__all__ = ["ReducedGenerator"]

Array = NDArray[np.float64]
# Wells of which all rates are computed; of more, the fastest are eliminated first.
MOST_WELLS = 300
SWEEPS = 60


@dataclass(frozen=True, eq=False)
class ReducedGenerator:
    """The chain on n wells.

    Attributes
    ----------
    log_masses : log pi_i, shape (n,)
    log_conductances : log c_ij, symmetric, -inf where there is no edge, shape (n, n)
    """

    log_masses: Array
    log_conductances: Array

    def log_rates(self) -> Array:
        """Logarithms of the non-zero eigenvalues of -Q, ascending: n - 1 of them where the graph is in one piece.

        Of more than 300 wells the fastest are eliminated, their masses shared out, which costs the rates that are
        left a relative error of about their ratio to those that are dropped.

        Raises
        ------
        ConvergenceError
            if the rotations do not settle (not seen).
        """
        w, m = self.log_conductances.copy(), self.log_masses.copy()
        alive = np.ones(m.size, dtype=bool)
        if m.size > MOST_WELLS:
            _eliminate_fastest(w, m, alive, m.size - MOST_WELLS)
            w, m = w[np.ix_(alive, alive)], m[alive]
        columns, log_lengths = _factor(w, m)
        if not log_lengths.size:
            return np.empty(0)
        if not _rotate(columns, log_lengths, SWEEPS):
            raise ConvergenceError("Jacobi rotations on the reduced generator did not settle; report this objective")
        return np.sort(2 * log_lengths)

    def log_mean_time(self, start: int, target: int) -> float:
        """Logarithm of the mean time to reach one well from another; inf where there is no way.

        (sum_k pi_k h_k)/c, h_k the probability to reach the start before the target, c the effective conductance
        between them: what is left when all other wells are eliminated and their masses shared out."""
        if start == target:
            return -np.inf
        w, m = self.log_conductances.copy(), self.log_masses.copy()
        alive = np.ones(m.size, dtype=bool)
        alive[[start, target]] = False  # not to be chosen
        _eliminate_fastest(w, m, alive, m.size - 2)
        return float(m[start] - w[start, target])

    def mean_time(self, start: int, target: int) -> float:
        """The mean time to reach one well from another, in units of t = s times the number of steps."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.log_mean_time(start, target)))


@numba.njit(cache=True)
def _log_add(a, b):  # type: ignore[no-untyped-def]
    if a == -np.inf:
        return b
    if b == -np.inf:
        return a
    return a + np.log1p(np.exp(b - a)) if a >= b else b + np.log1p(np.exp(a - b))


@numba.njit(cache=True)
def _log_sum(values):  # type: ignore[no-untyped-def]
    """log sum e^v over the finite v: most edges are missing."""
    top = values.max()
    if top == -np.inf:
        return top
    total = 0.0
    for value in values:
        if value > -np.inf:
            total += np.exp(value - top)
    return top + np.log(total)


@numba.njit(cache=True)
def _remove(w, degrees, k):  # type: ignore[no-untyped-def]
    """Eliminate node k from the graph, in place; its neighbours, and the logarithms of c_ik/d_k for them."""
    near = np.flatnonzero(w[k] > -np.inf)
    share = w[k][near] - degrees[k]
    edges = w[k][near]
    w[k, :] = -np.inf
    degrees[k] = -np.inf
    for a in range(near.size):
        i = near[a]
        w[i, k] = -np.inf
        for b in range(near.size):
            if a != b:
                w[i, near[b]] = _log_add(w[i, near[b]], edges[a] + share[b])
        degrees[i] = _log_sum(w[i])
    return near, share


@numba.njit(cache=True)
def _degrees(w):  # type: ignore[no-untyped-def]
    out = np.empty(len(w))
    for k in range(len(w)):
        out[k] = _log_sum(w[k])
    return out


@numba.njit(cache=True)
def _eliminate_fastest(w, m, alive, count):  # type: ignore[no-untyped-def]
    """Eliminate `count` of the living nodes, the one of largest d_k/pi_k first; each leaves its mass to its neighbours.

    In place."""
    degrees = _degrees(w)
    for _ in range(count):
        k = np.argmax(np.where(alive, degrees - m, -np.inf))
        if degrees[k] == -np.inf or not alive[k]:
            return
        near, share = _remove(w, degrees, k)
        for i, part in zip(near, share):  # noqa: B905 - Numba knows no strict
            m[i] = _log_add(m[i], m[k] + part)
        alive[k] = False


@numba.njit(cache=True)
def _factor(w, m):  # type: ignore[no-untyped-def]
    """The columns of X D^{1/2}, as unit vectors in rows, and the logarithms of their lengths."""
    n = m.size
    columns, log_lengths = np.zeros((n, n)), np.empty(n)
    degrees = _degrees(w)
    rank = 0
    for _ in range(n):
        k = np.argmax(degrees - m)
        degree = degrees[k]
        if degree == -np.inf:
            break
        near, share = _remove(w, degrees, k)
        column = columns[rank]
        column[k] = 1.0
        for i, part in zip(near, share):  # noqa: B905 - Numba knows no strict
            column[i] = -np.exp(part + 0.5 * (m[k] - m[i]))
        length = np.sqrt((column**2).sum())
        column /= length
        log_lengths[rank] = 0.5 * (degree - m[k]) + np.log(length)
        rank += 1
    return columns[:rank], log_lengths[:rank]


@numba.njit(cache=True)
def _rotate(columns, log_lengths, sweeps):  # type: ignore[no-untyped-def]
    """Make the columns orthogonal by rotations in place; whether they are, in the end."""
    r = log_lengths.size
    for _ in range(sweeps):
        largest = 0.0
        for a in range(r - 1):
            for b in range(a + 1, r):
                p, q = (a, b) if log_lengths[a] >= log_lengths[b] else (b, a)
                cosine = np.dot(columns[p], columns[q])
                largest = max(largest, abs(cosine))
                if abs(cosine) < 1e-15:
                    continue
                # With ratio = |q|/|p| <= 1 the tangent of the rotation is tau ratio; tau itself never underflows.
                ratio = np.exp(log_lengths[q] - log_lengths[p])
                zeta = (ratio**2 - 1) / (2 * cosine)
                sign = 1.0 if zeta >= 0 else -1.0
                if zeta == 0.0:
                    sign = 1.0 if cosine >= 0 else -1.0
                tau = sign / (abs(zeta) + np.sqrt(ratio**2 + zeta**2))
                new_p = columns[p] - tau * ratio**2 * columns[q]
                new_q = columns[q] + tau * columns[p]
                turn = -0.5 * np.log1p((tau * ratio) ** 2)
                length_p, length_q = np.sqrt((new_p**2).sum()), np.sqrt((new_q**2).sum())
                columns[p], columns[q] = new_p / length_p, new_q / length_q
                log_lengths[p] += turn + np.log(length_p)
                log_lengths[q] += turn + np.log(length_q)
        if largest < 1e-14 * np.sqrt(r):
            return True
    return False
