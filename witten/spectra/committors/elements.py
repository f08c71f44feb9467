"""Exponentially small rates by finite elements, every digit, through the committors of the wells, on any ranks."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray

from witten.operators.distributed_laplacian import times
from witten.operators.elements.finite_elements import FiniteElementLaplacian
from witten.spectra.committors.graph import FASTEST, MOST_WELLS, SHALLOWEST, WRONG, wells_with_core
from witten.linalg.graded_eigenvalues import Steps, WellGraph, slow_modes, steps
from witten.linalg.merge_tree import MergeTree, merge_tree_of_graph
from witten.spectra.committors.grounded_laplacian import LARGEST_EXPONENT, connected_sublevel, series_errors
from witten.spectra.committors.grounded_inverse import GroundedInverse
from witten.spectra.solvers.rayleigh_ritz import RitzPairs

__all__ = ["ElementCommittors", "SmallPairs", "deep"]

Array = NDArray[np.float64]
Nodes = NDArray[np.int64]

PER_PAIR = ("rates", "psi", "residuals", "noise", "log_rates", "relative", "modes", "differences")
# Where committors are this far from a sum of one, by factorisation or iteration, times are not known.
UNTRUE = {False: 1e-11, True: 1e-7}
# Of exponents, so that a double holds the exponential.
LIMIT = 700.0


@dataclass(frozen=True, eq=False)
class SmallPairs(RitzPairs):
    """Pairs with small rates.

    Attributes
    ----------
    differences : u less its value at the first node of each cell, to the last digit, (cells nodes, k)
    counted : eigenvalues that inertia counts below a bound above the small ones, the zero included; None if not counted
    found : how many of them were found
    """

    differences: Array = None  # type: ignore[assignment]
    counted: int | None = None
    found: int = 1

    @classmethod
    def nothing(cls, operator: FiniteElementLaplacian) -> SmallPairs:
        """No pairs."""
        cells = operator.discretisation.space.dofmap.list.size
        none = np.zeros(0)
        return cls(none, np.zeros((operator.n_owned, 0)), none, none, differences=np.zeros((cells, 0)))

    def lowest(self, k: int) -> SmallPairs:
        """The k lowest of the pairs."""
        rows = {name: getattr(self, name)[..., :k] for name in PER_PAIR}
        return replace(self, **rows)


@dataclass(frozen=True)
class ElementCommittors:
    """Rates below about e^-6 through committors, as in `Committors`: one linear system without small eigenvalues.

    Conductances are energies int grad h_a . grad h_b e^{-2f/s} over the cells. In a cell where h_a is the largest, its
    gradient is that of the others with the sign changed: 1 - h_a is a sum there and no difference. Systems are solved
    by MUMPS, or by conjugate gradients with algebraic multigrid.

    Parameters
    ----------
    iterative : whether by conjugate gradients
    deepest : a core is the lowest node of its well, or all of the well that lies more than this many s below its lowest
        exit; 20, and 14 for conjugate gradients, whose errors are relative to the largest values, where left out
    options : for PETSc; what is set here wins
    """

    iterative: bool = False
    deepest: float | None = None
    options: Mapping[str, str | None] = field(default_factory=dict)
    name = "committors"

    def solve(self, operator: FiniteElementLaplacian, k: int, start: Array | None = None) -> SmallPairs:
        """The small pairs, the k lowest of all and more, or fewer where fewer are small; `start` is not needed.
        Collective. ConvergenceError if the linear solver fails."""
        graph = Graph.of(operator)
        found = merge_tree_of_graph(graph.indptr, graph.indices, graph.values, SHALLOWEST * operator.learning_rate)
        m = wells_with_core(found, operator.learning_rate, k)
        if m < 2 or m > MOST_WELLS:
            return SmallPairs.nothing(operator)
        deepest = (14.0 if self.iterative else 20.0) if self.deepest is None else self.deepest
        grounded = GroundedElements.of(operator, graph, found.only(slice(m)), deepest)
        log_kernel = grounded.log_psi0[grounded.inner] - grounded.unit.min()
        with GroundedInverse(operator, grounded.inner, log_kernel, self.iterative, self.options) as inverse:
            return grounded.pairs(inverse)


def deep(operator: FiniteElementLaplacian, barrier: float) -> bool:
    """Whether some well has a barrier of more than so many s. Collective."""
    graph = Graph.of(operator)
    smallest = barrier * operator.learning_rate
    return merge_tree_of_graph(graph.indptr, graph.indices, graph.values, smallest).minima.size > 1


@dataclass(frozen=True, eq=False)
class Graph:
    """The structure of K and f at its nodes, all of them on every rank. values : (n,)."""

    indptr: NDArray[np.int32]
    indices: NDArray[np.int32]
    values: Array

    @classmethod
    def of(cls, operator: FiniteElementLaplacian) -> Graph:
        known: Graph | None = operator.workspace.get("graph")
        if known is None:
            indptr, indices, _ = operator.stiffness.getValuesCSR()
            comm, d = operator.comm, operator.discretisation
            lengths = np.concatenate(comm.allgather(np.diff(indptr)))
            values = np.concatenate(comm.allgather(d.node_values[: operator.n_owned]))
            starts = np.append(0, np.cumsum(lengths)).astype(np.int32)
            known = cls(starts, np.concatenate(comm.allgather(indices)).astype(np.int32), values)
            operator.workspace["graph"] = known
        return known


@dataclass(frozen=True, eq=False)
class GroundedElements:
    """The pencil with cores.

    Attributes
    ----------
    operator : the pencil
    label : the well whose core a node of this rank is in, else -1, shape (n_owned,)
    unit : -(f - reference)/s at the highest node of each core: the logarithm of psi_0 there, shape (m,)
    depth : the most by which a core lies below an exit, in units of s, where it has more than one node; else inf
    """

    operator: FiniteElementLaplacian
    label: Nodes
    unit: Array
    depth: float

    @classmethod
    def of(cls, operator: FiniteElementLaplacian, graph: Graph, found: MergeTree, deepest: float) -> GroundedElements:
        s, reference = operator.learning_rate, operator.discretisation.reference
        cores = [
            connected_sublevel(graph.indptr, graph.indices, graph.values, node, exit - deepest * s)
            for node, exit in zip(found.minima, found.exits, strict=True)
        ]
        label = np.full(graph.values.size, -1, dtype=np.int64)
        for j, core in enumerate(cores):
            label[core] = j
        unit = np.array([(reference - graph.values[core].max()) / s for core in cores])
        first = operator.stiffness.getOwnershipRange()[0]
        mine = label[first : first + operator.n_owned]
        return cls(operator, mine, unit, np.inf if max(core.size for core in cores) == 1 else deepest)

    @property
    def count(self) -> int:
        return int(self.unit.size)

    @cached_property
    def inner(self) -> Nodes:
        """The nodes of this rank outside the cores."""
        return np.flatnonzero(self.label < 0)

    @cached_property
    def log_psi0(self) -> Array:
        """-(f - reference)/s at the nodes of this rank."""
        return -self.operator.log_scale[: self.operator.n_owned]

    @cached_property
    def cores(self) -> Array:
        """psi_0 / e^unit in the core of each well, 0 elsewhere, (n_owned, m)."""
        out = np.zeros((self.operator.n_owned, self.count))
        nodes = np.flatnonzero(self.label >= 0)
        out[nodes, self.label[nodes]] = np.exp(self.log_psi0[nodes] - self.unit[self.label[nodes]])
        return out

    def functions(self, psi: Array) -> Array:
        """Values e^unit psi / psi_0, (n_owned, m), of columns in units of their cores."""
        return np.asarray(psi * np.exp(np.clip(self.unit - self.log_psi0[:, None], -LIMIT, LIMIT)))

    def pairs(self, inverse: GroundedInverse) -> SmallPairs:
        """The small pairs, from the committors, the times on the way back and the small problem that is left."""
        operator = self.operator
        h, off, back = self._committors(inverse)
        psi = h * np.exp(np.clip(self.log_psi0[:, None] - self.unit, -LIMIT, LARGEST_EXPONENT))
        times = self.functions(back)
        sound = off <= UNTRUE[inverse.iterative]
        times[~sound] = 0.0
        z = _completed(operator.within_cells(h), self._first(h), np.ones(self.count, dtype=bool))
        unity = self._imbalance(off, z, psi)
        longest = self._longest(psi, back, times, inverse.iterative)
        if not (unity < WRONG and longest > 0):
            return SmallPairs.nothing(operator)
        problem = self._well_graph(z, psi, back)
        log_rates, c = slow_modes(problem, self.count - 1, longest)
        small = int(np.count_nonzero(log_rates + np.log(longest) < np.log(FASTEST)))
        bound = self._bound(log_rates, small, longest)
        # What the wells do below the bound is known exactly; the rest is counted.
        counted = None if inverse.iterative else 1 + small + inverse.counted(bound, sound)
        log_rates, c = log_rates[:small], c[:, :small]
        rates = np.exp(log_rates)
        extra = 8 * unity + self._rounding() + (1e-10 if inverse.iterative else 0.0)
        relative = series_errors(problem, log_rates, longest, self.depth) + extra
        units = np.exp(self.unit - problem.log_sizes)
        vector = (psi * units) @ c + (back * units) @ c * rates
        values = np.exp(np.minimum(-problem.log_sizes, LIMIT))[:, None] * c
        differences = self._differences(h, z, steps(problem, log_rates, c))
        differences += operator.within_cells(times @ values) * rates
        return SmallPairs(
            rates,
            vector,
            relative * rates,
            relative * rates,
            log_rates,
            relative,
            differences=differences,
            counted=counted,
            found=1 + small,
        )

    def _committors(self, inverse: GroundedInverse) -> tuple[Array, Array, Array]:
        """h, (n_owned, m), how far it was from a sum of one at each node, and psi_0 G M h / e^unit."""
        psi = self.cores + inverse(-times(self.operator.stiffness, self.cores))
        back = inverse(self.operator.times_mass(psi))
        h = self.functions(psi)
        off = abs(h.sum(axis=1) - 1.0)
        # High up at the edge of space, where nothing flows, nothing may be left of the largest committor.
        nodes, largest = np.arange(off.size), abs(h).argmax(axis=1)
        h[nodes, largest] = 0.0
        h[nodes, largest] = 1.0 - h.sum(axis=1)
        return h, off, back

    def _bound(self, log_rates: Array, small: int, longest: float) -> float:
        """Between the small rates and the others: an eighth of the latter where there is so much room."""
        above = min([-np.log(longest), *log_rates[small:]])
        below = log_rates[small - 1] if small else above - 10.0
        return float(np.exp(max(above - np.log(8.0), 0.5 * (above + below))))

    def _first(self, h: Array) -> Array:
        """Values at the first node of each cell, (cells, m)."""
        return np.asarray(self.operator.by_cell(h)[:, 0])

    def _differences(self, h: Array, z: Array, modes: Steps) -> Array:
        """Differences of modes within cells, (cells nodes, k), from the steps between wells and the committors that
        are left when one well after the other is let go."""
        first, z = self._first(h), z.copy()
        left = np.ones(self.count, dtype=bool)
        out = np.zeros((len(z), modes.heights.shape[1]))
        for pivot, share, height in zip(modes.pivots, modes.shares, modes.heights, strict=True):
            out += z[:, [pivot]] * height
            left[pivot] = False
            z += z[:, [pivot]] * share
            first += first[:, [pivot]] * share
            z = _completed(z, first, left)
        return out

    def _imbalance(self, off: Array, z: Array, psi: Array) -> float:
        """How far the committors were from a sum of one where their energies and their masses are."""
        energies = self.operator.cell_energies(z)
        worst = self.operator.by_cell(off[:, None])[: len(energies), :, 0].max(axis=1)
        sums = self.operator.summed(np.stack([worst @ energies, energies.sum(axis=0)]))
        masses = self.operator.summed(np.stack([off @ psi**2, (psi**2).sum(axis=0)]))
        return float(max((sums[0] / sums[1]).max(), (masses[0] / masses[1]).max()))

    def _well_graph(self, z: Array, psi: Array, back: Array) -> WellGraph:
        """Masses, conductances and moments, each in units of the size of its well."""
        gram = self.operator.gram(psi)
        log_masses = np.log(gram.diagonal()) + 2.0 * self.unit
        scale = 1.0 / np.sqrt(gram.diagonal())
        once, twice = self.operator.gram(psi, back), self.operator.gram(back)
        masses, once, twice = (scale[:, None] * g * scale for g in (gram, once, twice))
        np.fill_diagonal(masses, 1.0)
        with np.errstate(divide="ignore"):
            log_conductances = np.log(np.maximum(-self.operator.cell_form(z), 0.0))
        return WellGraph(log_masses, log_conductances, masses, (0.5 * (once + once.T), twice))

    def _longest(self, psi: Array, back: Array, times: Array, iterative: bool) -> float:
        """The longest of the mean times G M 1; an estimate where it is lost in the rounding of small psi_0."""
        if iterative:
            later = back[self.inner]
            squares = self.operator.summed(np.stack([(later**2).sum(axis=0), (psi[self.inner] * later).sum(axis=0)]))
            return 10 * float((squares[0] / squares[1]).max())
        mine = float(times.sum(axis=1).max(initial=0.0))
        return float(max(self.operator.comm.allgather(mine)))

    def _rounding(self) -> float:
        """What rounding of f at the nodes and of its exponentials does to any rate, relatively."""
        d = self.operator.discretisation
        mine = float(abs(d.node_values).max(initial=0.0) + 2 * abs(d.node_values - d.reference).max(initial=0.0))
        return (
            8 * float(np.finfo(float).eps) * (2 + max(self.operator.comm.allgather(mine)) / self.operator.learning_rate)
        )


def _completed(z: Array, first: Array, left: NDArray[np.bool_]) -> Array:
    """Differences of functions that sum to one, (cells nodes, m), the largest in each cell from the others.

    first : the functions at the first node of each cell, (cells, m); left : which of them count, the rest become zero
    """
    out = np.where(left, z, 0.0).reshape(len(first), -1, left.size)
    cells, largest = np.arange(len(first)), np.where(left, abs(first), -1.0).argmax(axis=1)
    out[cells, :, largest] = 0.0
    out[cells, :, largest] = -out.sum(axis=2)
    return np.asarray(out.reshape(z.shape))
