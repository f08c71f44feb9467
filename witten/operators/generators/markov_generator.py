"""The generator of noise with any covariance as a Markov chain on a masked grid, in one to three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array

from witten.domains.grid import Grid
from witten.errors import ConvergenceError
from witten.operators.generators.selling import selling

__all__ = ["LONGEST", "MarkovGenerator", "markov_generator"]

Array = NDArray[np.float64]
Field = Callable[[Array], Array]
# Steps longer than so many cells are those of noise that is nearly degenerate.
LONGEST = 8
# Rates below this part of the diagonal are rounding of the decomposition.
TINY = 1e-13
# As of `FiniteDifferences`: an exponent beyond which cells do not resolve the drift.
UNRESOLVED = 16.0
# theta beyond which an edge is in doubt.
RESOLVED = 2.0
# A stationary law below this is none.
NOTHING = 1e-290
# What is added to the diagonal where steps are too long, in parts of the trace.
LIFTS = 1e-4 * 2.0 ** np.arange(12)
# The part of the nodes at which that may be.
MOST_LIFTED = 0.02
GAUSS, WEIGHTS = (0.5 * (1 + np.polynomial.legendre.leggauss(3)[0]), 0.5 * np.polynomial.legendre.leggauss(3)[1])


@dataclass(frozen=True, eq=False)
class MarkovGenerator:
    """Rates q_ij >= 0 of jumps from node i to node j; Q u (i) = sum_j q_ij (u_j - u_i).

    Attributes
    ----------
    grid : where the nodes are
    rates : q, CSR without a diagonal
    reach : the longest step along each axis, in cells, shape (d,)
    doubtful : those of the rates that are not resolved: theta is large, or at one of the ends Sigma is so nearly
        degenerate that isotropic noise was added, or a step that leads over the wall was left out
    """

    grid: Grid
    rates: csr_array
    reach: NDArray[np.int64]
    doubtful: csr_array

    @cached_property
    def matrix(self) -> csr_array:
        """-Q: its rows sum to zero, its other entries are not positive."""
        return csr_array(diags_array(self.rates.sum(axis=1)) - self.rates)

    def symmetrised(self, law: Array) -> MarkovGenerator:
        """(Q + Q*)/2, Q*_ij = law_j q_ji/law_i the adjoint in L2 of the stationary law (n,): with detailed balance.

        Nodes to which nothing comes, or less than doubles hold, are left out: L2 does not know them."""
        there = np.flatnonzero(law > NOTHING)
        mask = np.zeros(self.grid.shape, dtype=bool)
        mask[tuple(place[there] for place in np.nonzero(self.grid.mask))] = True
        weigh, divide = diags_array(law[there]), diags_array(1 / law[there])

        def mean(rates: csr_array) -> csr_array:
            inner = rates[there][:, there]
            return csr_array((inner + divide @ inner.T @ weigh) / 2)

        grid = Grid(self.grid.box, self.grid.shape, mask)
        return MarkovGenerator(grid, mean(self.rates), self.reach, mean(self.doubtful))

    def in_doubt(self, u: NDArray[np.inexact[Any]], law: Array) -> float:
        """The part of <u, -L u>/<u, u> under a law that is on edges in doubt, for a mode u (n,)."""
        edges = self.doubtful.tocoo()
        changes = abs(u[edges.col] - u[edges.row]) ** 2 * edges.data * law[edges.row]
        return float(changes.sum() / 2 / np.sum(law * abs(u) ** 2))


def markov_generator(
    grid: Grid, sigma: Field, pull: Field, divergence: Field, s: float, stream: Field | None = None
) -> MarkovGenerator:
    """L u = (s/2) tr(Sigma Hess u) + (b + c) . grad u on a grid, with boundaries that reflect.

    (s/2) Sigma_ab/(h_a h_b) = sum_k r_k e_k e_k^T by Selling's decomposition at each node; the edge from i to j = i + e
    has the rate r_e B(-theta), theta = int_i^j ((s/2) Sigma)^{-1} (b - (s/2) div Sigma) . dl, B(z) = z/(e^z - 1), r_e
    the mean over its ends: an M-matrix whatever Sigma and b, and second order; where the integrand is a gradient there
    is detailed balance. Where Sigma is the same everywhere and isotropic the factor is e^{int_i^m}, m the middle of the
    edge, which is the weighted graph of `FiniteDifferences`. What a stream c adds has the factor 1 + z/2 of central
    differences, z = int_i^j ((s/2) Sigma)^{-1} c . dl, which damp nothing, up to |z| = 2, and max(z, 0) beyond.
    Source: [Scharfetter1969].

    Parameters
    ----------
    grid : Grid without periodic axes
    sigma, pull, divergence : Sigma (d, d, n), b (d, n) and div Sigma (d, n) at points (d, n)
    s : learning rate
    stream : c (d, n) at points (d, n)

    Raises
    ------
    ConvergenceError
        where Sigma is so nearly degenerate that steps are longer than LONGEST cells whatever is added to it.
    """
    i, j, weight, reach, doubtful = _edges(grid, sigma, s)
    points, step = grid.points, grid.points[:, j] - grid.points[:, i]

    def work(force: Field, start: NDArray[np.int64], half: Array) -> Array:
        """int ((s/2) Sigma)^{-1} force . dl from nodes over half an edge."""
        total = np.zeros(start.size)
        for t, w in zip(GAUSS, WEIGHTS, strict=True):
            x = points[:, start] + t * half
            slope = np.linalg.solve(np.moveaxis(0.5 * s * sigma(x), 2, 0), force(x).T[:, :, None])[:, :, 0]
            total += w * np.einsum("nd,dn->n", slope, half)
        return total

    first, second = (
        work(lambda x: pull(x) - 0.5 * s * divergence(x), *half) for half in ((i, step / 2), (j, -step / 2))
    )
    forth, back = _factors(first, second, _is_isotropic(sigma(points)))
    doubt = (abs(first - second) > RESOLVED) | doubtful[i] | doubtful[j]
    if stream is not None:
        z = work(stream, i, step / 2) - work(stream, j, -step / 2)
        forth, back, doubt = forth * _hybrid(z), back * _hybrid(-z), doubt | (abs(z) > RESOLVED)

    def chain(edges: NDArray[np.bool_]) -> csr_array:
        places = np.concatenate([i[edges], j[edges]]), np.concatenate([j[edges], i[edges]])
        data = np.concatenate([(weight * forth)[edges], (weight * back)[edges]])
        return csr_array(coo_array((data, places), shape=(grid.n_nodes,) * 2))

    return MarkovGenerator(grid, chain(np.ones(i.size, dtype=bool)), reach, chain(doubt))


def _factors(first: Array, second: Array, isotropic: bool) -> tuple[Array, Array]:
    """Of jumps from i to j and back, from the integrals to the middle of the edge from either end."""
    if isotropic:
        return np.exp(np.minimum(first, UNRESOLVED)), np.exp(np.minimum(second, UNRESOLVED))
    theta = first - second
    return _bernoulli(-theta), _bernoulli(theta)


def _hybrid(z: Array) -> Array:
    return np.where(abs(z) <= 2, 1 + z / 2, np.maximum(z, 0.0))


def _bernoulli(z: Array) -> Array:
    """z/(e^z - 1)."""
    small = abs(z) < 1e-5
    size = np.where(small, 1.0, abs(z))
    positive = size * np.exp(-size) / -np.expm1(-size)
    return np.where(small, 1 - z / 2 + z**2 / 12, np.where(z > 0, positive, size + positive))


def _is_isotropic(sigma: Array) -> bool:
    first = sigma[0, 0, 0]
    return bool((abs(sigma - first * np.eye(len(sigma))[:, :, None]) <= 1e-14 * first).all())


Edges = tuple[NDArray[np.int64], NDArray[np.int64], Array, NDArray[np.int64], NDArray[np.bool_]]


def _edges(grid: Grid, sigma: Field, s: float) -> Edges:
    """Each edge once: its ends and the mean of their r; the longest step along each axis; and nodes in doubt."""
    h = np.asarray(grid.spacing)
    weights, offsets, doubtful = _decomposed(0.5 * s * sigma(grid.points) / (h[:, None, None] * h[None, :, None]))
    reach = np.where(weights[:, None] > 0, abs(offsets), 0).max(axis=(0, 2))
    numbers = np.pad(np.full(grid.shape, -1), LONGEST, constant_values=-1)
    inside = tuple(slice(LONGEST, -LONGEST) for _ in h)
    numbers[inside][grid.mask] = np.arange(grid.n_nodes)
    cells = np.array(np.nonzero(grid.mask)) + LONGEST
    found = []
    for r, e in zip(weights, offsets, strict=True):
        for sign in (1, -1):
            j = numbers[tuple(cells + sign * e)]
            keep = (j >= 0) & (r > 0)
            # A step along the wall and over it is left out, and with it a part of the noise along the wall.
            doubtful |= (j < 0) & (r > 0) & (np.count_nonzero(e, axis=0) > 1)
            found.append((np.flatnonzero(keep), j[keep], r[keep] / 2))
    rows, columns, halves = (np.concatenate(part) for part in zip(*found, strict=True))
    total = csr_array(coo_array((halves, (rows, columns)), shape=(grid.n_nodes,) * 2))
    both = coo_array(total + total.T)
    once = both.row < both.col
    return both.row[once].astype(np.int64), both.col[once].astype(np.int64), both.data[once], reach, doubtful


def _decomposed(matrices: Array) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Selling's decomposition; where it has steps beyond LONGEST, a little of the trace is added to the diagonal, ever
    more until it has none. And where that was."""
    weights, offsets = selling(matrices)
    lifted = np.zeros(matrices.shape[2], dtype=bool)
    trace, diagonal = np.trace(matrices), np.eye(len(matrices))[:, :, None]
    for part in LIFTS:
        weights = np.where(weights > TINY * weights.sum(axis=0), weights, 0.0)
        long = (np.where(weights[:, None] > 0, abs(offsets), 0) > LONGEST).any(axis=(0, 1))
        if not long.any():
            return weights, offsets, lifted
        lifted |= long
        if lifted.mean() > MOST_LIFTED:
            break
        weights[:, long], offsets[:, :, long] = selling(matrices[:, :, long] + part * trace[long] * diagonal)
    raise ConvergenceError(
        f"the covariance is so nearly degenerate that steps of more than {LONGEST} cells are needed; add a floor to it"
    )
