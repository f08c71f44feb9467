"""DOLFINx meshes: boxes, grids cut into simplices, gmsh files; and what lives on them gathered to one node order.

A mesh is the same on any number of ranks, and has a layer of ghost cells, as integrals over inner facets need. Errors
are raised on all ranks alike.
"""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come before dolfinx)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from witten.parallel import load_dolfinx  # noqa: F401
import basix
import basix.ufl
import dolfinx.fem
import dolfinx.mesh
import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.domains.meshes.msh import read_msh
from witten.domains.meshes.nodal_mesh import NodalMesh, lexicographic
from witten.domains.meshes.simplices import Simplices, cut_grid, permuted, red_refinement, split, subdivision
from witten.errors import RequestError
from witten.parallel.communicators import collectively, communicator

__all__ = ["Gather", "dolfinx_mesh", "grid_mesh", "read_mesh", "refined"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

SHAPE_OF_CELLS = {1: "interval", 2: "triangle", 3: "tetrahedron"}


def grid_mesh(comm: Any, grid: Grid) -> dolfinx.mesh.Mesh:
    """The active cells of a grid, cut into simplices that match across cells; RequestError if no cell is active, or the
    grid has more than three dimensions."""
    if grid.n_nodes == 0 or grid.dimension not in SHAPE_OF_CELLS:
        raise RequestError(f"no mesh of a {grid.dimension}-dimensional grid with {grid.n_nodes} active cells")
    return dolfinx_mesh(comm, cut_grid(grid) if comm.rank == 0 else None)


def read_mesh(path: str | Path, dimension: int | None = None, *, comm: Any = None) -> dolfinx.mesh.Mesh:
    """The mesh in a gmsh file, format 2.2 or 4.1, with straight or second-order cells; see `read_msh`. Collective.

    >>> witten.read_mesh("meshes/disk.msh").topology.dim
    2

    Parameters
    ----------
    path : of the file
    dimension : of the objective; None takes what the file holds
    comm : the ranks that it is distributed to; all there are where left out

    Raises
    ------
    RequestError
        as `read_msh`, on all ranks.
    """
    ranks = communicator(comm).mpi
    return dolfinx_mesh(ranks, _on_root(ranks, lambda: read_msh(path, dimension)))


def _on_root(comm: Any, work: Callable[[], Any]) -> Any:
    """What `work` returns on rank 0, None on the others; its error is raised on all."""
    return collectively(communicator(comm), lambda: work() if comm.rank == 0 else None)


def dolfinx_mesh(comm: Any, mesh: Simplices | None) -> dolfinx.mesh.Mesh:
    """Distribute simplices that rank 0 holds; the others give None."""
    d, degree, width = comm.bcast(None if mesh is None else (mesh.dimension, mesh.degree, mesh.cells.shape[1]))
    cells = np.empty((0, width), dtype=np.int64) if mesh is None else mesh.cells
    points = np.empty((0, d)) if mesh is None else np.ascontiguousarray(mesh.points.T)
    element = basix.ufl.element("Lagrange", SHAPE_OF_CELLS[d], degree, basix.LagrangeVariant.unset, shape=(d,))
    partitioner = dolfinx.mesh.create_cell_partitioner(dolfinx.mesh.GhostMode.shared_facet, 2)
    return dolfinx.mesh.create_mesh(comm, cells, element, points, partitioner)


# ------------------------------------------------------------------------------------------------ refinement


def refined(mesh: dolfinx.mesh.Mesh, cells: NDArray[np.int32] | None = None) -> dolfinx.mesh.Mesh:
    """The mesh with all cells cut into 2^d, or with the given ones (local numbers) bisected until all edges are halved.

    Neighbours are bisected as far as they must match. Curved cells keep their shape exactly: it is the domain of the
    coarse mesh that is refined. The result is distributed anew and does not depend on the number of ranks. For that,
    the mesh passes through rank 0, in about 300 bytes per new cell.
    """
    marked = np.zeros(_owned_cells(mesh), dtype=bool)
    if cells is not None:
        marked[cells[cells < marked.size]] = True
    whole, chosen = _gathered(mesh, marked)
    alone = mesh.comm.Split(mesh.comm.rank)
    try:
        return dolfinx_mesh(
            mesh.comm, _on_root(mesh.comm, lambda: _refined(alone, whole, chosen if cells is not None else None))
        )
    finally:
        alone.Free()


def _refined(alone: Any, mesh: Simplices, marked: Integers | None) -> Simplices:
    if marked is None:
        return red_refinement(mesh)
    return split(mesh, *_bisections(alone, mesh.straight, marked)) if marked.size else mesh


def _bisections(alone: Any, mesh: Simplices, marked: Integers) -> tuple[Integers, Integers]:
    """Parents of the new cells, and twice the barycentric coordinates of their vertices there, as `split` wants them.

    DOLFINx chooses the edges. It does so on one rank, since on several the choice depends on how cells are distributed.
    """
    coarse = dolfinx_mesh(alone, mesh)
    d = mesh.dimension
    coarse.topology.create_entities(1)
    coarse.topology.create_connectivity(d, 1)
    numbers = np.asarray(coarse.topology.original_cell_index)
    local = np.flatnonzero(np.isin(numbers, marked)).astype(np.int32)
    edges = dolfinx.mesh.compute_incident_entities(coarse.topology, local, d, 1)
    fine, parents, _ = dolfinx.mesh.refine(coarse, edges)
    parents = numbers[parents[fine.topology.original_cell_index]]  # listed as the new cells were before reordering
    vertices = fine.geometry.x[fine.geometry.dofmaps[0], :d]  # (m, d + 1, d)
    corners = mesh.points[:, mesh.cells[parents]].transpose(1, 2, 0)
    frame = np.linalg.inv(corners[:, 1:] - corners[:, :1])
    rest = np.einsum("mva,mab->mvb", vertices - corners[:, :1], frame)
    at = np.concatenate([1 - rest.sum(axis=2, keepdims=True), rest], axis=2)
    return parents, np.rint(2 * at).astype(np.int64)


def _owned_cells(mesh: dolfinx.mesh.Mesh) -> int:
    return int(mesh.topology.index_map(mesh.topology.dim).size_local)


def _gathered(mesh: dolfinx.mesh.Mesh, marked: NDArray[np.bool_]) -> tuple[Any, Any]:
    """On rank 0 the whole mesh and the numbers of the marked cells, in an order that is the same on any ranks."""
    comm, geometry, d = mesh.comm, mesh.geometry, mesh.topology.dim
    nodes = geometry.index_map()
    local = geometry.dofmaps[0][: marked.size]
    parts = (geometry.x[: nodes.size_local, :d].T, nodes.local_to_global(local.ravel()).reshape(local.shape), marked)
    gathered = [comm.gather(part) for part in parts]
    if comm.rank:
        return None, None
    points, cells, flags = np.hstack(gathered[0]), np.concatenate(gathered[1]), np.concatenate(gathered[2])
    order = lexicographic(points)
    number = np.empty_like(order)
    number[order] = np.arange(order.size)
    cells = number[cells]
    cells = permuted(cells, np.argsort(cells[:, : d + 1], axis=1))
    rows = np.lexsort(cells[:, : d + 1].T)
    return Simplices(points[:, order], cells[rows]), np.flatnonzero(flags[rows])


# ------------------------------------------------------------------------------------------------ one node order


@dataclass(frozen=True, eq=False)
class Gather:
    """The nodes of a Lagrange space in one order, that of their coordinates, the same on any number of ranks.

    Attributes
    ----------
    mesh : NodalMesh of all nodes, on every rank
    order : the global degree of freedom at each node, shape (n,)
    comm : communicator of the space
    """

    mesh: NodalMesh
    order: Integers
    comm: Any

    @classmethod
    def of_space(cls, space: dolfinx.fem.FunctionSpace) -> Gather:
        """Collective. The space is scalar Lagrange of degree 1 to 3 on simplices, straight or curved."""
        mesh, d = space.mesh, space.mesh.topology.dim
        index_map = space.dofmap.index_map
        own = space.tabulate_dof_coordinates()[: index_map.size_local, :d].T
        local = space.dofmap.list[: _owned_cells(mesh)][:, _subdivided(space)].reshape(-1, d + 1)
        pieces = index_map.local_to_global(local.ravel()).reshape(-1, d + 1)
        points, cells = np.hstack(mesh.comm.allgather(own)), np.concatenate(mesh.comm.allgather(pieces))
        order = lexicographic(points)
        number = np.empty_like(order)
        number[order] = np.arange(order.size)
        cells = np.sort(number[cells], axis=1)
        return cls(NodalMesh(points[:, order], cells[np.lexsort(cells.T[::-1])]), order, mesh.comm)

    def __call__(self, values: Array) -> Array:
        """Values at the owned degrees of freedom (..., n_owned) as values on the nodes (..., n), on every rank.

        Collective.
        """
        return np.concatenate(self.comm.allgather(np.asarray(values)), axis=-1)[..., self.order]


def _subdivided(space: dolfinx.fem.FunctionSpace) -> Integers:
    """The reference cell cut at the nodes of the element, as its local degrees of freedom, shape (degree^d, d + 1)."""
    element = space.element.basix_element
    lattice, pieces = subdivision(space.mesh.topology.dim, element.degree)
    rest = element.points  # at degree 3 they are Gauss-Lobatto points, nearest to those of the lattice
    at = np.column_stack([1 - rest.sum(axis=1), rest]) * element.degree
    nearest = np.abs(lattice[:, None] - at[None]).sum(axis=2).argmin(axis=1)
    return np.asarray(nearest[pieces])
