"""Exponentially small rates of Langevin dynamics on a line, from the flux through the saddles.

Ground c_0 at one node in each well. What is left of L has no small eigenvalue, and q_j, one at the node of well j and
zero at the others, L q_j = 0 elsewhere, keeps its digits near the saddles, where its flux is. Fluxes are conductances
of a graph of wells, int q_i e^{-f/T} its masses; its rates are those of L but for their ratio to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from witten.kinetic.elements import DEGREE
from witten.kinetic.kramers_fokker_planck import KramersFokkerPlanck
from witten.linalg.graded_eigenvalues import WellGraph, log_rates

__all__ = ["SmallRates", "small_rates"]

Array = NDArray[np.float64]
# Heights, in units of T, between two saddles beyond which it does not matter in which well a path ends that crosses
# both: the higher one decides.
APART = 15.0
# The error of a rate as a multiple of its ratio to the slowest mode that no well accounts for.
NEXT = 8.0
# Parities of the orders 0 and 1.
EVEN, ODD = (0,), (1,)
# Steps of Arnoldi's method for that mode.
STEPS = 30


@dataclass(frozen=True, eq=False)
class SmallRates:
    """The rates between m wells.

    Attributes
    ----------
    log_rates : natural logarithms, ascending, (m - 1,)
    errors : relative, of the fluxes' digits and of the ratio to the next mode, (m - 1,)
    next_rate : modulus of the first eigenvalue that no well accounts for
    """

    log_rates: Array
    errors: Array
    next_rate: float


def small_rates(problem: KramersFokkerPlanck, wells: Array, saddles: Array) -> SmallRates:
    """The rates between wells (m,) with saddles (m - 1,) between them, both ascending."""
    places = problem.elements.nodes(EVEN)[0]
    nodes = np.array([int(abs(places - x).argmin()) for x in wells])
    q, next_rate = _committors(problem, nodes)
    fluxes, heights = _fluxes(problem, q, saddles)
    log_c, off = _conductances(fluxes, heights)
    graph = WellGraph(_log_masses(problem, q, saddles), log_c)
    found = log_rates(graph)
    return SmallRates(found, off + NEXT * np.exp(np.minimum(found - np.log(next_rate), 0.0)), next_rate)


def _committors(problem: KramersFokkerPlanck, nodes: NDArray[np.int64]) -> tuple[Array, float]:
    """q (n, m) as functions, not weighted by e^{-f/2T}, so that the matrix has no entries of very different size; and
    the first eigenvalue of what is left."""
    k = problem.stiffness.tocoo()
    ratios = np.exp((problem.weights[k.row] - problem.weights[k.col]) / 2)
    plain = sparse.csr_matrix((k.data * ratios, (k.row, k.col)), shape=k.shape)
    free = np.delete(np.arange(problem.orders.size), nodes)
    inner, sources = plain[free][:, free].tocsc(), -plain[free][:, nodes].toarray()
    factor = splu(inner)
    q = np.zeros((problem.orders.size, nodes.size))
    solved = factor.solve(sources)
    q[free] = solved + factor.solve(sources - inner @ solved)
    q[nodes, np.arange(nodes.size)] = 1.0
    return q, _slowest(problem, free)


def _slowest(problem: KramersFokkerPlanck, free: NDArray[np.int64]) -> float:
    """The modulus of the eigenvalue nearest to zero of what is not grounded, roughly: by a few steps of Arnoldi's."""
    factor = splu(problem.stiffness[:, free][free].tocsc())
    mass = problem.mass[:, free][free]
    basis, h = np.zeros((STEPS + 1, free.size)), np.zeros((STEPS + 1, STEPS))
    basis[0] = np.random.default_rng(0).standard_normal(free.size)
    basis[0] /= np.linalg.norm(basis[0])
    for k in range(STEPS):
        c = factor.solve(mass @ basis[k])
        for _ in range(2):
            part = basis[: k + 1] @ c
            h[: k + 1, k] += part
            c -= part @ basis[: k + 1]
        h[k + 1, k] = np.linalg.norm(c)
        basis[k + 1] = c / h[k + 1, k]
    return float(1 / abs(np.linalg.eigvals(h[:STEPS])).max())


def _fluxes(problem: KramersFokkerPlanck, q: Array, saddles: Array) -> tuple[Array, Array]:
    """What leaves the wells left of each saddle under each q, (m - 1, m), in units of e^{-f/T} at the node where it is
    measured; and f/T there, (m - 1,).

    It is sum_i phi_i (K q)_i with phi one on the left and zero beyond one cell: an integral over this cell alone.
    """
    grid = problem.elements
    first, (edges,), gradient, weights = problem.starts[ODD], grid.edges, grid.gradient(EVEN, 0), grid.weights(ODD)
    cells = np.clip(np.searchsorted(edges, saddles) - 1, 0, edges.size - 2)
    fluxes, heights = np.empty((saddles.size, q.shape[1])), grid.weights(EVEN)[cells * DEGREE]
    for s, cell in enumerate(cells):
        inside = np.arange(cell * DEGREE, (cell + 1) * DEGREE)
        entries = gradient[inside, cell * DEGREE].toarray().ravel()
        fluxes[s] = (entries * np.exp((heights[s] - weights[inside]) / 2)) @ q[first + inside]
    return fluxes, heights


def _conductances(fluxes: Array, heights: Array) -> tuple[Array, float]:
    """log c_ij (m, m), and how far they are off, relatively, by what the fluxes from both sides differ."""
    m = fluxes.shape[1]
    log_c, worst = np.full((m, m), -np.inf), 0.0
    for i in range(m):
        for j in range(i + 1, m):
            between = heights[i:j]
            top = between.max()
            there = _flux(fluxes, heights, j - 1, i, top) - _flux(fluxes, heights, j, i, top)
            back = _flux(fluxes, heights, i - 1, j, top) - _flux(fluxes, heights, i, j, top)
            least = abs(there) if j == i + 1 else float(np.abs(np.diag(fluxes[i:j, i:j])).min())
            worst = max(worst, abs(there - back) / least if least > 0 else np.inf)
            if (there + back) > 0:
                log_c[i, j] = log_c[j, i] = np.log((there + back) / 2) - top
            elif j == i + 1:
                worst = np.inf
    return log_c, worst


def _flux(fluxes: Array, heights: Array, s: int, j: int, top: float) -> float:
    """Through saddle s from well j, in units of e^{-top}; none beyond the ends, nor over a saddle so much lower than
    one on the way that it does not matter where a path ends up, where digits are lost."""
    if not 0 <= s < heights.size:
        return 0.0
    way = heights[j : s + 1] if s >= j else heights[s:j]
    if way.max() - heights[s] > APART:
        return 0.0
    return float(fluxes[s, j] * np.exp(min(top - heights[s], 2 * APART)))


def _log_masses(problem: KramersFokkerPlanck, q: Array, saddles: Array) -> Array:
    """log int q_i e^{-f/T} over the basin of well i, (m,), v integrated with its density."""
    grid = problem.elements
    weights, mass, n = grid.weights(EVEN), grid.mass(EVEN), grid.size(EVEN)
    basin = np.searchsorted(saddles, grid.nodes(EVEN)[0])
    out = np.empty(q.shape[1])
    for i in range(out.size):
        lowest = weights[basin == i].min()
        scaled = np.exp((lowest - weights) / 2)
        inside = np.where(basin == i, q[:n, i], 0.0) * scaled
        out[i] = np.log(scaled @ (mass @ inside)) - lowest
    return out
