"""A weighted graph with one core grounded in each well, and the small problem on the wells that is left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from witten.linalg.graded_eigenvalues import WellGraph
from witten.linalg.merge_tree import MergeTree
from witten.linalg.nested_dissection import nested_dissection
from witten.operators.witten_laplacian import WittenLaplacian

__all__ = ["LARGEST_EXPONENT", "GroundedNodes", "Grounded", "Reduced", "connected_sublevel", "series_errors"]

Array = NDArray[np.float64]
Nodes = NDArray[np.int64]

# From here on nested dissection beats minimum degree on plane grids.
DISSECT_FROM = 40_000
# Exponents beyond this only meet factors that are smaller still.
LARGEST_EXPONENT = 300.0
# Ways are shortened as long as the logarithm of their resistance falls by so much.
MUCH_LESS = 0.1


@dataclass(frozen=True, eq=False)
class GroundedNodes:
    """The grounded nodes.

    Attributes
    ----------
    nodes : node numbers, one well after the other
    well : to which well each of them belongs
    log_scale : log psi_0 at the highest node of each core, shape (m,)
    depth : the most by which a core lies below an exit, in units of s, where it has more than one node; else inf
    """

    nodes: Nodes
    well: Nodes
    log_scale: Array
    depth: float

    @classmethod
    def of(cls, operator: WittenLaplacian, found: MergeTree, deepest: float) -> GroundedNodes:
        """The lowest node of each well, and of a deep one all nodes around it below exit - deepest s."""
        a = operator.matrix
        levels = found.exits - deepest * operator.learning_rate
        parts = [
            connected_sublevel(a.indptr, a.indices, operator.values, node, level)
            for node, level in zip(found.minima, levels, strict=True)
        ]
        well = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        log_scale = np.array([operator.log_ground_state[part].min() for part in parts])
        return cls(np.concatenate(parts), well, log_scale, np.inf if well.size == len(parts) else deepest)

    @property
    def count(self) -> int:
        return int(self.log_scale.size)


@numba.njit(cache=True)
def connected_sublevel(indptr, indices, values, start, level):  # type: ignore[no-untyped-def]
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


@dataclass(frozen=True, eq=False)
class Grounded:
    """A weighted graph with cores.

    Arrays have a row for each inner node, in the order of `inner`, or for each node, and a column for each well.
    """

    operator: WittenLaplacian
    cores: GroundedNodes

    @cached_property
    def label(self) -> Nodes:
        """The well whose core a node is in, else -1, shape (n,)."""
        label = np.full(self.operator.n_dofs, -1, dtype=np.int64)
        label[self.cores.nodes] = self.cores.well
        return label

    @property
    def dissected(self) -> bool:
        """Whether the inner nodes come in an order fit for elimination."""
        grid = self.operator.grid
        plain = not (any(grid.periodic) or grid.absorbing)
        return grid.dimension == 2 and grid.n_nodes >= DISSECT_FROM and plain

    @cached_property
    def inner(self) -> Nodes:
        """The nodes outside the cores."""
        order = nested_dissection(self.operator.grid.mask) if self.dissected else np.arange(self.operator.n_dofs)
        return order[self.label[order] < 0]

    @cached_property
    def weight(self) -> Array:
        """psi_0 / psi_0(core j), shape (n, m)."""
        exponents = self.operator.log_ground_state[:, None] - self.cores.log_scale
        return np.exp(np.minimum(exponents, LARGEST_EXPONENT))

    def inflow(self, symmetric: bool) -> Array:
        """-(K 1_core j)_i on the inner nodes, divided by m_i, or for `symmetric` by sqrt(m_i m(core j)): (inner, m)."""
        a, c, operator = self.operator.matrix, self.cores, self.operator
        log_psi0 = operator.log_ground_state
        out = _inflow(c.nodes, c.well, self.label, a.indptr, a.indices, a.data, log_psi0, c.log_scale, symmetric)
        return out[self.inner]

    @property
    def longest_inside(self) -> float:
        """A bound on the mean time on the way to the lowest node of a core, without leaving it; 0 for single nodes.

        sum_k m_k R_k over its nodes, R_k the resistance of one way from k to the lowest node: no less than that of
        all ways together, whatever the heights of the nodes hide of what lies between them.
        """
        a, c, operator = self.operator.matrix, self.cores, self.operator
        with np.errstate(divide="ignore"):
            log_data = np.log(np.maximum(-a.data, 0.0))
        times = [0.0]
        for well in np.flatnonzero(np.bincount(c.well) > 1):
            nodes = c.nodes[c.well == well]
            nodes = nodes[np.argsort(operator.values[nodes], kind="stable")]
            log_r = _log_resistances(nodes, a.indptr, a.indices, log_data, operator.log_ground_state)
            times.append(float(np.exp(np.logaddexp.reduce(2.0 * operator.log_ground_state[nodes] + log_r))))
        return max(times)

    def everywhere(self, inner: Array) -> Array:
        """Values on the inner nodes, completed by 1 in the core of each column and 0 in the others."""
        out = np.zeros((self.operator.n_dofs, self.cores.count))
        out[self.inner] = inner
        out[self.cores.nodes, self.cores.well] = 1.0
        return out

    def log_flows(self, h: Array) -> Array:
        """log of the flow of h_b into core a, from h on all nodes, (m, m); what underflows is -inf."""
        a, c = self.operator.matrix, self.cores
        flows = _flows(
            c.nodes, c.well, self.label, a.indptr, a.indices, a.data, self.operator.log_ground_state, c.log_scale, h
        )
        with np.errstate(divide="ignore"):
            return np.log(flows) + 2.0 * c.log_scale[:, None]


@numba.njit(cache=True)
def _log_resistances(nodes, indptr, indices, log_data, log_psi0):  # type: ignore[no-untyped-def]
    """log of the resistance of a way of little resistance from each of the nodes to the first of them, within them."""
    log_r = np.full(log_psi0.size, np.nan)
    log_r[nodes] = np.inf
    log_r[nodes[0]] = -np.inf
    shorter = True
    while shorter:
        shorter = False
        for i in nodes[1:]:
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if j != i and log_r[j] < np.inf:
                    last = -log_data[e] - log_psi0[i] - log_psi0[j]
                    high = max(log_r[j], last)
                    way = high + np.log1p(np.exp(min(log_r[j], last) - high))
                    if way < log_r[i] - MUCH_LESS:
                        log_r[i], shorter = way, True
    return log_r[nodes]


@numba.njit(cache=True)
def _inflow(nodes, well, label, indptr, indices, data, log_psi0, log_scale, symmetric):  # type: ignore[no-untyped-def]
    out = np.zeros((label.size, log_scale.size))
    for p in range(nodes.size):
        for e in range(indptr[nodes[p]], indptr[nodes[p] + 1]):
            i, j = nodes[p], indices[e]
            if label[j] < 0:
                unit = log_scale[well[p]] if symmetric else log_psi0[j]
                out[j, well[p]] -= data[e] * np.exp(log_psi0[i] - unit)
    return out


@numba.njit(cache=True)
def _flows(nodes, well, label, indptr, indices, data, log_psi0, log_scale, h):  # type: ignore[no-untyped-def]
    m = log_scale.size
    flows = np.zeros((m, m))
    for p in range(nodes.size):
        i, a = nodes[p], well[p]
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if label[j] != a:
                conductance = -data[e] * np.exp(log_psi0[i] + log_psi0[j] - 2.0 * log_scale[a])
                for b in range(m):
                    if b != a:
                        flows[a, b] += conductance * h[j, b]
    return flows


def series_errors(wells: WellGraph, log_rates: Array, longest: float, depth: float) -> Array:
    """lambda^3 M_3 + ... <= lambda^3 max tau M_2 / (1 - lambda max tau): relative errors of the rates of wells.

    Inside a core of many nodes, `depth` learning rates below an exit, u is taken for constant, which costs a part of
    order lambda tau.
    """
    slowness = np.exp(log_rates + np.log(longest))
    rest = slowness * np.exp(2 * log_rates) * np.linalg.norm(wells.corrections[1], 2) / (1 - slowness)
    constant = 0.0 if depth == np.inf else 4 * slowness + 100 * np.exp(-2 * depth)
    errors: Array = rest + constant
    return errors


@dataclass(frozen=True, eq=False)
class Reduced:
    """What is left on the wells, with the committors that belong to it.

    Attributes
    ----------
    wells : what is left
    h, back : committors h and G M h on the inner nodes, shape (inner, m)
    longest : a bound on the mean time on the way to a core, and in a core to its lowest node
    extra : a relative error of all rates
    """

    grounded: Grounded
    wells: WellGraph
    h: Array
    back: Array
    longest: float
    extra: float

    @classmethod
    def of(
        cls, grounded: Grounded, log_conductances: Array, h: Array, back: Array, longest: float, extra: float
    ) -> Reduced:
        """The moments of the committors, each in units of the size of its well."""
        c, log_psi0 = grounded.cores, grounded.operator.log_ground_state
        weight = grounded.weight[grounded.inner]
        inside = np.array([np.logaddexp.reduce(2.0 * log_psi0[c.nodes[c.well == j]]) for j in range(c.count)])
        psi, later = weight * h, weight * back
        gram = psi.T @ psi
        with np.errstate(divide="ignore"):
            log_masses = np.logaddexp(inside, np.log(gram.diagonal()) + 2.0 * c.log_scale)
        scale = np.exp(c.log_scale - 0.5 * log_masses)
        masses, once, twice = (scale[:, None] * g * scale for g in (gram, psi.T @ later, later.T @ later))
        np.fill_diagonal(masses, 1.0)
        wells = WellGraph(log_masses, log_conductances, masses, (0.5 * (once + once.T), twice))
        return cls(grounded, wells, h, back, longest, extra)

    def errors(self, log_rates: Array) -> Array:
        """Relative errors of rates given by their logarithms, `extra` among them."""
        return series_errors(self.wells, log_rates, self.longest, self.grounded.cores.depth) + self.extra

    def vectors(self, rates: Array, c: Array) -> tuple[Array, Array]:
        """Orthonormal psi, and u = psi/psi_0 = H c + lambda G M H c, on all nodes, (n, k) each."""
        grounded, cores, log_sizes = self.grounded, self.grounded.cores, self.wells.log_sizes
        log_psi0 = grounded.operator.log_ground_state
        psi, u = np.empty((2, grounded.operator.n_dofs, rates.size))
        values = np.exp(np.minimum(-log_sizes, 700.0))[:, None] * c
        u[grounded.inner] = self.h @ values + (self.back @ values) * rates
        u[cores.nodes] = values[cores.well]
        units = np.exp(cores.log_scale - log_sizes)[:, None] * c
        weight = grounded.weight[grounded.inner]
        psi[grounded.inner] = (weight * self.h) @ units + ((weight * self.back) @ units) * rates
        psi[cores.nodes] = np.exp(log_psi0[cores.nodes] - log_sizes[cores.well])[:, None] * c[cores.well]
        norms = np.linalg.norm(psi, axis=0)
        return psi / norms, u / norms
