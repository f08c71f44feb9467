"""Exponentially small rates of a weighted graph, every digit, through the committors of its wells.

With one node grounded in each of m wells, the cores, let h_j be the committor of well j: K h_j = 0 outside the cores,
h_j = 1 in the core of well j and 0 in the others. Any u is H c + w, w zero in the cores, and K u = lambda M u becomes

    C c = lambda (M_0 + lambda M_1 + lambda^2 M_2 + ...) c,    M_p = H^T M (G M)^p H,

C the conductances between the wells and G the inverse of the grounded K. That is exact for every rate below 1/max tau,
tau = G M 1 the mean time on the way to a core; there are at most m - 1 of them, and none is missed. G belongs to an
M-matrix without small eigenvalues, and every entry of C and M_p is a sum of non-negative numbers: no digit is lost,
however small the rates (after Bovier, Eckhoff, Gayrard, Klein 2004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_matrix
from scipy.sparse.linalg import cg, splu

from witten.errors import ConvergenceError
from witten.operators.kernels import kernel
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.dissection import nested_dissection
from witten.spectra.graded import Exchange, exchange_rates
from witten.spectra.ritz import RitzPairs, rounding
from witten.spectra.wells import Wells, wells

__all__ = ["Committors"]

Array = NDArray[np.float64]
Nodes = NDArray[np.int64]
Inverse = Callable[[Array], Array]

# Wells with a smaller barrier than this many learning rates do not make a rate small.
SHALLOWEST = 3.0
# Wells whose barriers are lower than that of the last rate wanted by more than this many s need no core: their rates
# are larger by e^24.
RELEVANT = 12.0
MOST_WELLS = 120
# Beyond this lambda max tau the series in lambda is not summed.
FASTEST = 0.05
# In three dimensions a factorisation becomes too dear.
FACTOR_UP_TO = 30_000
# From here on nested dissection beats minimum degree on plane grids.
DISSECT_FROM = 40_000
# Committors that sum to something else than one by this much belong to a singular matrix: a deep well has no core.
WRONG = 1e-3
# psi_0 / scale below this is as good as zero.
NOTHING = 1e-290


@dataclass(frozen=True)
class Committors:
    """Rates below about e^-6 through committors: one factorisation, two solves per well.

    Parameters
    ----------
    deepest : a core is the lowest node of its well, or all of the well that lies more than this many s below its lowest
        exit: what is cut off there is of order e^{-2 deepest}
    deepest_iterative : the same where systems are solved by conjugate gradients with multigrid, whose errors are
        relative to the largest values
    """

    deepest: float = 150.0
    deepest_iterative: float = 14.0
    name = "committors"

    def solve(self, operator: WittenLaplacian, k: int, start: Array | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state, or fewer where fewer are small; `start` is not needed."""
        a, s = operator.matrix, operator.learning_rate
        found = wells(a.indptr, a.indices, operator.values, SHALLOWEST * s)
        barriers = found.persistence / s
        m = int(np.count_nonzero(barriers >= barriers[min(k, barriers.size - 1)] - RELEVANT))
        while True:
            m = min(m, MOST_WELLS)
            pairs = self._pairs(operator, found.deepest(m), k) if m > 1 else self.nothing(operator)
            if pairs.rates.size >= min(k, m - 1) or m >= min(barriers.size, MOST_WELLS):
                return pairs
            m = 2 * m

    def nothing(self, operator: WittenLaplacian) -> RitzPairs:
        """No pairs."""
        return RitzPairs(np.zeros(0), np.zeros((operator.n_dofs, 0)), np.zeros(0), np.zeros(0))

    def _pairs(self, operator: WittenLaplacian, found: Wells, k: int) -> RitzPairs:
        iterative = operator.grid.dimension > 2 and operator.n_dofs > FACTOR_UP_TO
        grounded = Grounded(operator, Cores.of(operator, found, self.deepest_iterative if iterative else self.deepest))
        reduced = (_iterative if iterative else _direct)(grounded)
        log_rates, c = exchange_rates(reduced.exchange, min(k, found.minima.size - 1), reduced.longest)
        if not reduced.extra < WRONG:
            return self.nothing(operator)
        small = np.count_nonzero(log_rates + np.log(reduced.longest) < np.log(FASTEST))
        log_rates, c = log_rates[:small], c[:, :small]
        relative = reduced.errors(log_rates) + rounding(operator)
        rates = np.exp(log_rates)
        psi, modes = reduced.vectors(rates, c)
        residuals = np.linalg.norm(operator.apply(psi) - psi * rates, axis=0)
        return RitzPairs(rates, psi, residuals, relative * rates, log_rates, relative, modes)


# ------------------------------------------------------------------------------------------------ cores


@dataclass(frozen=True, eq=False)
class Cores:
    """The grounded nodes.

    Attributes
    ----------
    nodes : node numbers, one well after the other
    well : to which well each of them belongs
    log_scale : log psi_0 at the highest node of each core, shape (m,)
    top : f at the highest of their lowest exits
    depth : the most by which a core lies below an exit, in units of s, where it has more than one node; else inf
    """

    nodes: Nodes
    well: Nodes
    log_scale: Array
    top: float
    depth: float

    @classmethod
    def of(cls, operator: WittenLaplacian, found: Wells, deepest: float) -> Cores:
        """The lowest node of each well, and of a deep one all nodes around it below exit - deepest s."""
        a = operator.matrix
        levels = found.exits - deepest * operator.learning_rate
        parts = [
            _flooded(a.indptr, a.indices, operator.values, node, level)
            for node, level in zip(found.minima, levels, strict=True)
        ]
        well = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        log_scale = np.array([operator.log_ground_state[part].min() for part in parts])
        single = well.size == len(parts)
        return cls(np.concatenate(parts), well, log_scale, float(found.exits.max()), np.inf if single else deepest)

    @property
    def count(self) -> int:
        return int(self.log_scale.size)


@numba.njit(cache=True)
def _flooded(indptr, indices, values, start, level):  # type: ignore[no-untyped-def]
    """The nodes of {f <= level} connected to a node, which belongs to them in any case."""
    found = [start]
    if values[start] >= level:
        return np.array(found)
    seen = np.zeros(values.size, dtype=np.bool_)
    seen[start] = True
    at = 0
    while at < len(found):
        for e in range(indptr[found[at]], indptr[found[at] + 1]):
            j = np.int64(indices[e])
            if not seen[j] and values[j] <= level:
                seen[j] = True
                found.append(j)
        at += 1
    return np.array(found)


# ------------------------------------------------------------------------------------------------ the grounded graph


@dataclass(frozen=True, eq=False)
class Grounded:
    """A weighted graph with cores; columns belong to wells, each in units of psi_0 at its core."""

    operator: WittenLaplacian
    cores: Cores

    @cached_property
    def label(self) -> Nodes:
        """The well whose core a node is in, else -1, shape (n,)."""
        label = np.full(self.operator.n_dofs, -1, dtype=np.int64)
        label[self.cores.nodes] = self.cores.well
        return label

    @cached_property
    def inner(self) -> Nodes:
        """The nodes outside the cores, where they are eliminated by nested dissection."""
        operator = self.operator
        if operator.grid.dimension == 2 and operator.n_dofs >= DISSECT_FROM:
            order = nested_dissection(operator.grid)
            return order[self.label[order] < 0]
        return np.flatnonzero(self.label < 0)

    @cached_property
    def matrix(self) -> Any:
        """A on the inner nodes."""
        return self.operator.matrix[self.inner][:, self.inner]

    @cached_property
    def weight(self) -> Array:
        """psi_0 / psi_0(core j), shape (n, m), 1 at least in one node of every core; not used deeper inside a core."""
        return np.exp(np.minimum(self.operator.log_ground_state[:, None] - self.cores.log_scale, 300.0))

    def committors(self, inverse: Inverse) -> Array:
        """h_j weight_j on the inner nodes, (n - cores, m)."""
        a = self.operator.matrix
        c = self.cores
        inflow = _inflow(c.nodes, c.well, self.label, a.indptr, a.indices, a.data, self.weight)
        return np.maximum(inverse(inflow[self.inner]), 0.0)

    def reduced(self, psi: Array, log_conductances: Array, back: Array, longest: float, extra: float) -> Reduced:
        """The problem on the wells; `back` = G psi."""
        c, log_psi0 = self.cores, self.operator.log_ground_state
        inside = np.array([np.logaddexp.reduce(2.0 * log_psi0[c.nodes[c.well == j]]) for j in range(c.count)])
        gram = psi.T @ psi
        log_sizes = 0.5 * np.logaddexp(inside, np.log(gram.diagonal()) + 2.0 * c.log_scale)
        scale = np.exp(c.log_scale - log_sizes)
        masses, once, twice = (scale[:, None] * g * scale for g in (gram, psi.T @ back, back.T @ back))
        np.fill_diagonal(masses, 1.0)
        exchange = Exchange(log_conductances, log_sizes, masses, (0.5 * (once + once.T), twice))
        return Reduced(self, exchange, psi, back, longest, extra)


@dataclass(frozen=True, eq=False)
class Reduced:
    """What is left on the wells, with the committors that belong to it.

    Attributes
    ----------
    exchange : the problem
    psi, back : committors and G psi on the inner nodes, in units of each core
    longest : max tau, a bound on the mean time on the way to a core
    extra : a relative error of all rates
    """

    grounded: Grounded
    exchange: Exchange
    inner_psi: Array
    back: Array
    longest: float
    extra: float

    def errors(self, log_rates: Array) -> Array:
        """Relative errors: lambda^3 M_3 + ... <= lambda^3 max tau M_2 / (1 - lambda max tau), and `extra`."""
        slowness = np.exp(log_rates + np.log(self.longest))
        rest = slowness * np.exp(2 * log_rates) * np.linalg.norm(self.exchange.corrections[1], 2) / (1 - slowness)
        depth = self.grounded.cores.depth
        # Inside a core of many nodes u is taken for constant, which costs a part of order lambda tau.
        constant = 0.0 if depth == np.inf else 4 * slowness + 100 * np.exp(-2 * depth)
        return rest + constant + self.extra

    def vectors(self, rates: Array, c: Array) -> tuple[Array, Array]:
        """Orthonormal psi = H c + lambda W c, and u = psi/psi_0 where H is known, (n, k) each."""
        grounded, cores = self.grounded, self.grounded.cores
        log_psi0, sizes = grounded.operator.log_ground_state[cores.nodes], self.exchange.log_sizes
        units = np.exp(cores.log_scale - sizes)[:, None] * c
        psi, u = np.empty((2, self.grounded.operator.n_dofs, rates.size))
        psi[grounded.inner] = self.inner_psi @ units + (self.back @ units) * rates
        psi[cores.nodes] = np.exp(log_psi0 - sizes[cores.well])[:, None] * c[cores.well]
        values = np.exp(np.minimum(-sizes, 700.0))[:, None] * c
        known = grounded.weight[grounded.inner].min(axis=1) > NOTHING
        h, w = (x[known] / grounded.weight[grounded.inner[known]] for x in (self.inner_psi, self.back))
        u[grounded.inner] = np.nan
        u[grounded.inner[known]] = h @ values + (w @ values) * rates
        u[cores.nodes] = values[cores.well]
        norms = np.linalg.norm(psi, axis=0)
        return psi / norms, u / norms


@numba.njit(cache=True)
def _inflow(nodes, well, label, indptr, indices, data, weight):  # type: ignore[no-untyped-def]
    """-(K 1_core j)_i / sqrt(m_i) at the neighbours i of core j, in units of core j, shape (n, m)."""
    out = np.zeros(weight.shape)
    for p in range(nodes.size):
        for e in range(indptr[nodes[p]], indptr[nodes[p] + 1]):
            if label[indices[e]] < 0:
                out[indices[e], well[p]] -= data[e] * weight[nodes[p], well[p]]
    return out


# ------------------------------------------------------------------------------------------------ two ways to solve


def _direct(grounded: Grounded) -> Reduced:
    """By one factorisation; conductances are flows into the cores."""
    inverse = _factorised(grounded)
    c, a, weight = grounded.cores, grounded.operator.matrix, grounded.weight
    psi = grounded.committors(inverse)
    everywhere = np.zeros_like(weight)
    everywhere[grounded.inner] = psi
    everywhere[c.nodes, c.well] = weight[c.nodes, c.well]
    flows = _flows(c.nodes, c.well, grounded.label, a.indptr, a.indices, a.data, weight, everywhere)
    with np.errstate(divide="ignore"):
        log_flows = np.log(flows) + c.log_scale[:, None] + c.log_scale
    back = np.maximum(inverse(psi), 0.0)
    inside = weight[grounded.inner]
    seen = inside > NOTHING
    h, tau = (np.divide(x, inside, out=np.zeros_like(x), where=seen) for x in (psi, back))
    # Where h sums to one, and as much flows one way as the other, rounding has done no harm.
    operator = grounded.operator
    matters = operator.values[grounded.inner] <= c.top + RELEVANT * operator.learning_rate
    unity = abs(h.sum(axis=1) - 1.0)[matters & seen.all(axis=1)].max(initial=0.0)
    both = np.isfinite(log_flows) & np.isfinite(log_flows.T)
    balance = np.where(both, abs(np.where(both, log_flows, 0.0) - np.where(both, log_flows, 0.0).T), 0.0).max()
    log_conductances = np.logaddexp(log_flows, log_flows.T) - np.log(2.0)
    return grounded.reduced(psi, log_conductances, back, float(tau.sum(axis=1).max()), 8 * float(unity + balance))


def _factorised(grounded: Grounded) -> Inverse:
    ordered = grounded.operator.grid.dimension == 2 and grounded.operator.n_dofs >= DISSECT_FROM
    lu = splu(
        csc_array(grounded.matrix),
        permc_spec="NATURAL" if ordered else "MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return lambda b: np.asarray(lu.solve(b))


@numba.njit(cache=True)
def _flows(nodes, well, label, indptr, indices, data, weight, psi):  # type: ignore[no-untyped-def]
    """The flow of h_b into core a, (m, m), in units of both cores; nothing on the diagonal."""
    m = weight.shape[1]
    flows = np.zeros((m, m))
    for p in range(nodes.size):
        i, a = nodes[p], well[p]
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if label[j] != a:
                for b in range(m):
                    if b != a:
                        flows[a, b] -= data[e] * weight[i, a] * psi[j, b]
    return flows


def _iterative(grounded: Grounded) -> Reduced:
    """By conjugate gradients with multigrid; conductances are energies, which only know errors of second order."""
    inverse = _multigrid(grounded)
    c, a, weight = grounded.cores, grounded.operator.matrix, grounded.weight
    psi = grounded.committors(inverse)
    everywhere = np.zeros_like(weight)
    everywhere[grounded.inner] = psi
    everywhere[c.nodes, c.well] = weight[c.nodes, c.well]
    h = np.divide(everywhere, weight, out=np.zeros_like(weight), where=weight > NOTHING)
    energies = -_energies(a.indptr, a.indices, a.data, weight, h).sum(axis=0)
    with np.errstate(divide="ignore"):
        log_c = np.log(np.maximum(energies, 0.0)) + c.log_scale[:, None] + c.log_scale
    back = np.maximum(inverse(psi), 0.0)
    longest = 10 * float(((back**2).sum(axis=0) / (psi * back).sum(axis=0)).max())
    return grounded.reduced(psi, log_c, back, longest, 1e-10)


BLOCKS = 64


@kernel
def _energies(indptr, indices, data, weight, h):  # type: ignore[no-untyped-def]
    """sum_e c_e (h_a(i) - h_a(j)) (h_b(i) - h_b(j)) in units of cores a and b, in blocks (BLOCKS, m, m)."""
    n, m = h.shape
    out = np.zeros((BLOCKS, m, m))
    for block in numba.prange(BLOCKS):
        for i in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if j < i:
                    for a in range(m):
                        flow = data[e] * weight[i, a] * (h[i, a] - h[j, a])
                        for b in range(m):
                            out[block, a, b] -= flow * weight[j, b] * (h[i, b] - h[j, b])
    return out


def _multigrid(grounded: Grounded) -> Inverse:
    from pyamg import ruge_stuben_solver

    a = csr_matrix(grounded.matrix)
    sweeps = [("gauss_seidel", {"sweep": direction}) for direction in ("forward", "backward")]
    preconditioner = ruge_stuben_solver(a, presmoother=sweeps[0], postsmoother=sweeps[1]).aspreconditioner(cycle="V")

    def inverse(b: Array) -> Array:
        x = np.zeros_like(b)
        for j in range(b.shape[1]):
            for _ in range(3):
                step, info = cg(a, b[:, j] - a @ x[:, j], rtol=1e-10, maxiter=200, M=preconditioner)
                if info != 0:
                    raise ConvergenceError("conjugate gradients did not converge for a committor; refine the grid")
                x[:, j] += step
        return x

    return inverse
