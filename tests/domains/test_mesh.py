"""DOLFINx meshes: the same on any number of ranks (this file runs by itself, and under mpiexec: see test_mpi.py)."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from witten import Box, Grid, parallel
from witten.domains.meshes.msh import read_msh
from witten.domains.meshes.simplices import cut_grid
from witten.errors import RequestError
from witten.parallel import Communicator

pytest.importorskip("witten.domains.meshes.mesh", reason="needs DOLFINx", exc_type=ImportError)
pytest.importorskip("meshio")
import dolfinx
import ufl
from box_meshes import box_mesh

from witten.domains.meshes.mesh import Gather, dolfinx_mesh, grid_mesh, read_mesh, refined

pytestmark = [pytest.mark.fem, pytest.mark.ranks]
MESHES = Path(__file__).parents[2] / "meshes"
NAMES = sorted(path.stem for path in MESHES.glob("*.msh"))
COMM, SELF = parallel.world().mpi, Communicator().mpi


def space(mesh, degree=1):
    return dolfinx.fem.functionspace(mesh, ("Lagrange", degree))


def volume(mesh):
    own = dolfinx.fem.assemble_scalar(dolfinx.fem.form(dolfinx.fem.Constant(mesh, 1.0) * ufl.dx))
    return mesh.comm.allreduce(own)


def owned(space):
    """Coordinates of the owned degrees of freedom, shape (3, n)."""
    return space.tabulate_dof_coordinates()[: space.dofmap.index_map.size_local].T


def midpoints(mesh):
    d = mesh.topology.dim
    cells = np.arange(mesh.topology.index_map(d).size_local, dtype=np.int32)
    return dolfinx.mesh.compute_midpoints(mesh, d, cells).T


def near(mesh, radius):
    """The owned cells around (-0.3, 0, 0)."""
    return np.flatnonzero(np.linalg.norm(midpoints(mesh).T + [0.3, 0, 0], axis=1) < radius).astype(np.int32)


def same(mesh, alone, degree=1):
    """Whether a mesh on all ranks is the one made on a single rank."""
    here, there = Gather.of_space(space(mesh, degree)).mesh, Gather.of_space(space(alone, degree)).mesh
    np.testing.assert_allclose(here.points, there.points, atol=1e-13)
    np.testing.assert_array_equal(here.cells, there.cells)


def masked(dimension):
    full = Grid.uniform([(-1.0, 1.0)] * dimension, 6)
    return Grid(full.box, full.shape, (np.linalg.norm(full.points, axis=0) < 0.9).reshape(full.shape))


BOXES = {1: ([(-1, 2)], (12,)), 2: ([(-1, 1), (0, 2)], (5, 6)), 3: ([(-1, 1), (-1, 1), (0, 1)], (3, 4, 3))}


@pytest.mark.parametrize("dimension", BOXES)
def test_masked_grids(dimension):
    grid = masked(dimension)
    mesh = grid_mesh(COMM, grid)
    assert volume(mesh) == pytest.approx(grid.n_nodes * np.prod(grid.spacing), rel=1e-12)
    same(mesh, grid_mesh(SELF, grid))


def test_fewer_cells_than_ranks():
    mesh = grid_mesh(COMM, Grid.uniform([(0.0, 1.0)], 1))
    assert volume(refined(mesh)) == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_files_keep_their_volume_and_order(name):
    expected = read_msh(MESHES / f"{name}.msh")
    mesh = read_mesh(MESHES / f"{name}.msh", expected.dimension, comm=COMM)
    assert mesh.geometry.cmaps[0].degree == expected.degree
    assert mesh.topology.index_map(mesh.topology.dim).size_global == len(expected.cells)
    assert volume(mesh) == pytest.approx(abs(expected.volumes).sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("path", "dimension", "message"), [("missing.msh", None, "no such file"), ("disk.msh", 3, "the objective 3")]
)
def test_what_is_wrong_with_a_file_is_said_on_all_ranks(path, dimension, message):
    with pytest.raises(RequestError, match=message) as refusal:
        read_mesh(MESHES / path, dimension, comm=COMM)
    assert len(set(COMM.allgather(str(refusal.value)))) == 1


# ------------------------------------------------------------------------------------------------ refinement
COARSE = {
    "interval": lambda comm: box_mesh(comm, Box.of([(-1, 2)]), (10,)),
    "box": lambda comm: box_mesh(comm, Box.of([(-1, 1)] * 3), (2, 3, 2)),  # many edges of equal length
    "l-shape": lambda comm: read_mesh(MESHES / "l-shape.msh", comm=comm),
    "disk": lambda comm: read_mesh(MESHES / "disk.msh", comm=comm),
    "ball": lambda comm: read_mesh(MESHES / "ball.msh", comm=comm),
}


@pytest.mark.parametrize("name", COARSE)
def test_refinement_of_all_cells(name):
    mesh, alone = COARSE[name](COMM), COARSE[name](SELF)
    fine, d = refined(mesh), mesh.topology.dim
    assert fine.topology.index_map(d).size_global == 2**d * mesh.topology.index_map(d).size_global
    assert fine.geometry.cmaps[0].degree == mesh.geometry.cmaps[0].degree
    assert volume(fine) == pytest.approx(volume(mesh), rel=1e-12)
    same(fine, refined(alone))


@pytest.mark.parametrize("name", COARSE)
def test_refinement_of_marked_cells(name):
    mesh, alone = COARSE[name](COMM), COARSE[name](SELF)
    start = volume(mesh)
    for radius in (0.6, 0.4):
        before, (mesh, alone) = alone, [refined(each, near(each, radius)) for each in (mesh, alone)]
    assert volume(mesh) == pytest.approx(start, rel=1e-12)
    same(mesh, alone, degree=2)
    # All edges of the marked cells are halved, on the curved cells too: their middles are vertices now.
    points = Gather.of_space(space(before, 2)).mesh.points
    halves = space(before, 2).dofmap.list[near(before, 0.4)].ravel()
    wanted = space(before, 2).tabulate_dof_coordinates()[np.unique(halves), : len(points)]
    gaps, _ = KDTree(Gather.of_space(space(mesh)).mesh.points.T).query(wanted)
    assert len(wanted) and gaps.max() < 1e-12


def test_refinement_of_no_cells_changes_nothing():
    mesh = COARSE["disk"](COMM)
    same(refined(mesh, np.empty(0, dtype=np.int32)), mesh, degree=2)


def jumps(mesh):
    """The sum over inner facets of the squared jump of the slope of x^2, interpolated."""
    u = dolfinx.fem.Function(space(mesh))
    u.interpolate(lambda x: x[0] ** 2)
    form = dolfinx.fem.form(ufl.jump(ufl.grad(u), ufl.FacetNormal(mesh)) ** 2 * ufl.dS(mesh))
    return mesh.comm.allreduce(dolfinx.fem.assemble_scalar(form))


@pytest.mark.parametrize("make", [lambda comm: COARSE["l-shape"](comm), lambda comm: refined(COARSE["l-shape"](comm))])
def test_meshes_have_ghosts_for_integrals_over_inner_facets(make):
    assert jumps(make(COMM)) == pytest.approx(jumps(make(SELF)), rel=1e-10)


# ------------------------------------------------------------------------------------------------ one node order
@pytest.mark.parametrize(
    ("name", "degree"), [("interval", 3), ("box", 1), ("box", 2), ("box", 3), ("disk", 2), ("disk", 3), ("ball", 2)]
)
def test_values_come_in_the_order_of_the_nodes_on_all_ranks(name, degree):
    mesh = COARSE[name](COMM)
    here = space(mesh, degree)
    gather = Gather.of_space(here)
    d = mesh.topology.dim
    assert gather.mesh.n_nodes == here.dofmap.index_map.size_global
    assert len(gather.mesh.cells) == degree**d * mesh.topology.index_map(d).size_global
    x = owned(here)
    values = gather(np.array([x[0], x[0] - 2 * x[d - 1]]))
    np.testing.assert_allclose(values, [gather.mesh.points[0], gather.mesh.points[0] - 2 * gather.mesh.points[-1]])
    same(mesh, COARSE[name](SELF), degree)


@pytest.mark.parametrize(("dimension", "degree"), [(1, 3), (2, 2), (2, 3), (3, 2), (3, 3)])
def test_the_simplices_of_straight_elements_fill_the_domain(dimension, degree):
    grid = masked(dimension)
    nodal = Gather.of_space(space(grid_mesh(COMM, grid), degree)).mesh
    assert nodal.weights.sum() == pytest.approx(abs(cut_grid(grid).volumes).sum(), rel=1e-12)


def test_the_nodes_of_curved_elements_lie_on_the_boundary():
    nodal = Gather.of_space(space(read_mesh(MESHES / "disk.msh", comm=COMM), 3)).mesh
    radius = np.linalg.norm(nodal.points, axis=0)
    assert np.count_nonzero(abs(radius - 2) < 1e-4) == 3 * np.count_nonzero(near_circle())
    assert radius.max() < 2 + 1e-4


def near_circle():
    mesh = read_msh(MESHES / "disk.msh")
    corners = np.unique(mesh.vertices)
    return abs(np.linalg.norm(mesh.points[:, corners], axis=0) - 2) < 1e-9


def test_simplices_are_dealt_out_from_rank_0():
    whole = cut_grid(masked(2))
    mesh = dolfinx_mesh(COMM, whole if COMM.rank == 0 else None)
    assert mesh.topology.index_map(2).size_global == len(whole.cells)
