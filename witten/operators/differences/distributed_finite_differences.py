"""Finite differences on several ranks: a grid cut into slabs, each assembled by the rank that owns it."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy.sparse import csr_array

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.operators.distributed_laplacian import DistributedLaplacian
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.operators.witten_laplacian import WittenLaplacian

__all__ = ["SlabLaplacian", "Slabs"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slabs:
    """The discretisation of `FiniteDifferences`, with the layers of the grid along its first axis distributed to ranks.

    A rank assembles its layers and their two neighbours with the kernels of one machine, and keeps the rows it owns. In
    C order each rank then owns consecutive nodes.

    Parameters
    ----------
    objective : Objective of the grid's dimension
    grid : Grid, the same on all ranks
    comm : communicator of mpi4py

    Raises
    ------
    RequestError
        if there are fewer layers with nodes than ranks, or f is not finite at a node.
    """

    objective: Objective
    grid: Grid
    comm: Any
    method: ClassVar[str] = "finite-differences"

    @cached_property
    def layers(self) -> NDArray[np.int64]:
        """The first layer of each rank and the number of layers: even in nodes, at least one layer for each."""
        nodes = np.count_nonzero(self.grid.mask.reshape(self.grid.shape[0], -1), axis=1)
        if np.count_nonzero(nodes) < self.comm.size:
            raise RequestError(
                f"{np.count_nonzero(nodes)} layers of cells cannot be distributed to {self.comm.size} ranks; use fewer"
            )
        wanted = nodes.sum() * np.arange(1, self.comm.size) / self.comm.size
        cuts = np.searchsorted(np.cumsum(nodes), wanted) + 1
        cuts = np.maximum.accumulate(np.maximum(cuts, 1 + np.arange(cuts.size)))
        cuts = np.minimum(cuts, nodes.size - np.arange(self.comm.size - 1, 0, -1))
        return np.concatenate([[0], cuts, [nodes.size]])

    @cached_property
    def window(self) -> Grid:
        """The layers of this rank and those next to them."""
        first, last = max(self.layers[self.comm.rank] - 1, 0), self.layers[self.comm.rank + 1] + 1
        mask = self.grid.mask[first:last]
        low, h = self.grid.box.lower[0], self.grid.spacing[0]
        ends = (low + first * h, low + (first + len(mask)) * h)
        box = Box((ends[0], *self.grid.box.lower[1:]), (ends[1], *self.grid.box.upper[1:]))
        return Grid(box, mask.shape, mask)

    @cached_property
    def owned(self) -> slice:
        """The nodes of this rank among those of the window."""
        per_layer = np.count_nonzero(self.window.mask.reshape(self.window.shape[0], -1), axis=1)
        below = per_layer[0] if self.layers[self.comm.rank] > 0 else 0
        above = per_layer[-1] if self.layers[self.comm.rank + 1] < self.grid.shape[0] else 0
        return slice(int(below), int(per_layer.sum() - above))

    @cached_property
    def differences(self) -> FiniteDifferences:
        return FiniteDifferences(self.objective, self.window)

    def assemble(self, learning_rate: float, out: SlabLaplacian | None = None) -> SlabLaplacian:
        """The operator at learning rate s; `out`, one of this discretisation that is not needed any more, lends its
        matrix. Collective."""
        local = self.differences.assemble(learning_rate)
        rows = local.matrix[self.owned]
        counts = self.comm.allgather(rows.shape[0])
        offset = sum(counts[: self.comm.rank]) - self.owned.start
        size = (rows.shape[0], sum(counts))
        entries = (rows.indptr, (rows.indices + offset).astype(PETSc.IntType), rows.data)
        matrix: Any
        if out is None:
            matrix = PETSc.Mat().createAIJ((size, size), csr=entries, comm=self.comm)
        else:
            matrix = out.stiffness
            matrix.setValuesCSR(*entries)
            matrix.assemble()
        matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        return SlabLaplacian(
            learning_rate=learning_rate,
            objective=self.objective.name,
            dimension=self.grid.dimension,
            comm=self.comm,
            stiffness=matrix,
            mass=None,
            workspace={} if out is None else out.workspace,
            slabs=self,
            local=_rows_alone(local, self.owned),
        )


def _rows_alone(local: WittenLaplacian, owned: slice) -> WittenLaplacian:
    """The operator of a window with the rows of other ranks left empty: its edges are those the owned nodes own."""
    a = local.matrix
    counts = np.diff(a.indptr)
    counts[: owned.start] = 0
    counts[owned.stop :] = 0
    entries = slice(a.indptr[owned.start], a.indptr[owned.stop])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(a.indptr.dtype)
    matrix = csr_array((a.data[entries], a.indices[entries], indptr), shape=a.shape)
    return WittenLaplacian(local.learning_rate, matrix, local.values, local.grid, local.objective)


@dataclass(frozen=True, eq=False)
class SlabLaplacian(DistributedLaplacian):
    """A = B^T B of `FiniteDifferences`, its rows distributed in slabs.

    Parameters
    ----------
    slabs : what it was assembled from
    local : the rows of this rank on its window
    """

    slabs: Slabs = None  # type: ignore[assignment]
    local: WittenLaplacian = None  # type: ignore[assignment]

    @cached_property
    def ground_state(self) -> Array:
        """psi_0, the square root of the Gibbs measure of each node of this rank."""
        values = self.local.values[self.slabs.owned]
        lowest = min(self.comm.allgather(float(values.min(initial=np.inf))))
        psi0 = np.exp((lowest - values) / self.learning_rate)
        return psi0 / np.sqrt(self.summed(psi0 @ psi0))

    def apply(self, psi: Array) -> Array:
        """A psi from edge differences, (n_owned, k)."""
        return self.local.apply(self._with_neighbours(psi))[self.slabs.owned]

    def dirichlet_form(self, psi: Array) -> Array:
        """sum_e c_e (u_i - u_j)(v_i - v_j) for all pairs of columns, summed over all edges of all ranks."""
        return self.summed(self.local.dirichlet_form(self._with_neighbours(psi)))

    def gathered_modes(self, psi: Array) -> tuple[Grid, Array]:
        """The grid, and u = psi / psi_0 on its nodes, (n_owned, k) -> (k, n), on every rank."""
        return self.slabs.grid, np.ascontiguousarray(self.gathered(psi / self.ground_state[:, None]).T)

    def gathered(self, psi: Array) -> Array:
        """All rows, in the order of the grid's nodes, on every rank."""
        return np.concatenate(self.comm.allgather(psi))

    def share(self, psi: Array) -> Array:
        """The rows of this rank, of an array that has them all."""
        first = sum(self.comm.allgather(self.n_owned)[: self.comm.rank])
        return psi[first : first + self.n_owned]

    def _with_neighbours(self, psi: Array) -> Array:
        """Values on the window: those of this rank and of the layers next to it, which its neighbours own."""
        comm, owned, n = self.comm, self.slabs.owned, self.slabs.window.n_nodes
        below, above = owned.start, n - owned.stop
        lower, upper = comm.rank - 1 if comm.rank else None, comm.rank + 1 if comm.rank + 1 < comm.size else None
        needed = comm.allgather((below, above))
        window = np.zeros((n, psi.shape[1]))
        window[owned] = psi
        requests = []
        if upper is not None:
            requests.append(comm.isend(psi[len(psi) - needed[upper][0] :], dest=upper, tag=1))
        if lower is not None:
            requests.append(comm.isend(psi[: needed[lower][1]], dest=lower, tag=2))
            window[:below] = comm.recv(source=lower, tag=1)
        if upper is not None:
            window[n - above :] = comm.recv(source=upper, tag=2)
        for request in requests:
            request.wait()
        return window
