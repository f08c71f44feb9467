"""Simplices as arrays: cutting, refining, curved geometry, node orders, and the checks on gmsh files."""

import re
from pathlib import Path

import numpy as np
import pytest
from curved_meshes import second_order
from hypothesis import given
from hypothesis import strategies as st

from witten import Grid
from witten.domains.meshes.msh import check_simplices, read_msh
from witten.domains.meshes.nodal_mesh import NodalMesh, lexicographic
from witten.domains.meshes.simplices import EDGES, Simplices, cut_grid, permuted, red_refinement, subdivision
from witten.errors import RequestError

MESHES = Path(__file__).parents[2] / "meshes"
DIMENSIONS = (1, 2, 3)
VTK_EDGES = {1: [(0, 1)], 2: [(0, 1), (1, 2), (2, 0)], 3: [(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)]}
NAMES = {(1, 1): "line", (1, 2): "line3", (2, 1): "triangle", (2, 2): "triangle6", (3, 1): "tetra", (3, 2): "tetra10"}


def cube(dimension, n=2):
    return cut_grid(Grid.uniform([(0.0, 1.0)] * dimension, n))


def disk(levels):
    """The unit disk by second-order cells: a refined hexagon, its rings made round."""
    angle = np.arange(6) * np.pi / 3
    hexagon = Simplices(
        np.hstack([np.zeros((2, 1)), [np.cos(angle), np.sin(angle)]]),
        np.array([[0, 1 + i, 1 + (i + 1) % 6] for i in range(6)]),
    )
    for _ in range(levels):
        hexagon = red_refinement(hexagon)

    def bend(x):
        angle = np.arctan2(x[1], x[0])
        ring = np.linalg.norm(x, axis=0) * np.cos(angle % (np.pi / 3) - np.pi / 6) / np.cos(np.pi / 6)
        return ring * np.array([np.cos(angle), np.sin(angle)])

    return second_order(hexagon, bend)


def rows(points):
    return {tuple(x) for x in np.round(points.T, 9).tolist()}


def quality(mesh):
    x = mesh.points[:, mesh.vertices]
    longest = np.max([np.linalg.norm(x[..., a] - x[..., b], axis=0) for a, b in EDGES[mesh.dimension]], axis=0)
    return float((abs(mesh.volumes) / longest**mesh.dimension).min())


# ------------------------------------------------------------------------------------------------ cutting
@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_simplex_is_cut_into_equal_ones(dimension, degree):
    lattice, cells = subdivision(dimension, degree)
    pieces = Simplices(lattice[:, 1:].T / degree, cells)
    whole = Simplices(np.vstack([np.zeros(dimension), np.eye(dimension)]).T, np.arange(dimension + 1)[None])
    assert len(cells) == degree**dimension
    np.testing.assert_allclose(abs(pieces.volumes), whole.volumes[0] / degree**dimension, rtol=1e-13)
    check_simplices(pieces)  # they match across faces, overlap nowhere and make one piece


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_masked_grid_is_cut_into_matching_simplices(dimension):
    full = Grid.uniform([(-1.0, 1.0)] * dimension, 6)
    grid = Grid(full.box, full.shape, (np.linalg.norm(full.points, axis=0) < 0.9).reshape(full.shape))
    mesh = cut_grid(grid)
    check_simplices(mesh)
    assert abs(mesh.volumes).sum() == pytest.approx(grid.n_nodes * np.prod(grid.spacing), rel=1e-13)
    offsets = np.indices((2,) * dimension).reshape(dimension, -1) - 0.5
    corners = (grid.points[:, :, None] + (offsets * grid.spacing[:, None])[:, None, :]).reshape(dimension, -1)
    assert rows(mesh.points) == rows(corners)


# ------------------------------------------------------------------------------------------------ curved cells
BENT = {  # quadratic maps of the unit cube and the volume of the image
    1: [(lambda x: x + x**2, 2.0)],
    2: [
        (lambda x: np.array([x[0], x[1] + x[0] ** 2]), 1.0),
        (lambda x: np.array([x[0] + x[0] * x[1], x[1] - x[0] ** 2 / 8]), 1.5 + 1 / 12),
    ],  # fmt: skip
    3: [
        (lambda x: np.array([x[0] + x[1] * x[2], x[1] + x[2] ** 2, x[2]]), 1.0),
        (
            lambda x: np.array([x[0] + x[0] * x[1] / 2, x[1] + x[1] * x[2] / 2, x[2] + x[2] ** 2]),
            1.25 * (1 + 5 / 4 + 1 / 3),
        ),
    ],
}


@pytest.mark.parametrize(("bend", "volume"), [case for cases in BENT.values() for case in cases])
@pytest.mark.parametrize("levels", [0, 1])
def test_volumes_under_quadratic_maps_are_exact(bend, volume, levels):
    dimension = next(d for d, cases in BENT.items() if any(case[0] is bend for case in cases))
    mesh = second_order(cube(dimension, 3), bend)
    for _ in range(levels):
        mesh = red_refinement(mesh)
    check_simplices(mesh)
    assert abs(mesh.volumes).sum() == pytest.approx(volume, rel=1e-12)


def test_the_area_of_a_disk_converges_with_order_four():
    errors = [abs(abs(disk(levels).volumes).sum() - np.pi) for levels in (1, 2, 3)]
    straight = [abs(abs(disk(levels).straight.volumes).sum() - np.pi) for levels in (1, 2, 3)]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 4, atol=0.1)
    np.testing.assert_allclose(np.log2(np.divide(straight[:-1], straight[1:])), 2, atol=0.1)


def test_the_order_of_vertices_does_not_matter():
    mesh = second_order(cube(3), BENT[3][1][0])
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(4), (len(mesh.cells), 1)), axis=1)
    turned = Simplices(mesh.points, permuted(mesh.cells, orders))
    np.testing.assert_allclose(abs(turned.volumes), abs(mesh.volumes), rtol=1e-12)


# ------------------------------------------------------------------------------------------------ refinement
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_red_refinement_keeps_each_cell_and_matches(dimension):
    mesh = cube(dimension)
    fine = red_refinement(mesh)
    check_simplices(fine)
    assert len(fine.cells) == 2**dimension * len(mesh.cells)
    parts = abs(fine.volumes).reshape(len(mesh.cells), -1)
    np.testing.assert_allclose(parts, abs(mesh.volumes)[:, None] / 2**dimension * np.ones_like(parts), rtol=1e-12)


def test_curved_refinement_keeps_the_domain_exactly():
    mesh = disk(1)
    fine = red_refinement(mesh)
    check_simplices(fine)
    parts = abs(fine.volumes).reshape(len(mesh.cells), -1).sum(axis=1)
    np.testing.assert_allclose(parts, abs(mesh.volumes), rtol=1e-12)


def test_tetrahedra_keep_their_shape():
    rng = np.random.default_rng(1)
    mesh = cube(3)
    mesh = Simplices(mesh.points + 0.02 * rng.standard_normal(mesh.points.shape), mesh.cells)
    once = red_refinement(mesh)
    thrice = red_refinement(red_refinement(once))
    assert quality(thrice) > 0.9 * quality(once) > 0.5 * quality(mesh)


# ------------------------------------------------------------------------------------------------ nodes
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_nodes_of_a_grid_are_joined_where_all_corners_are_active(dimension):
    full = Grid.uniform([(-1.0, 1.0)] * dimension, 7)
    grid = Grid(full.box, full.shape, (np.linalg.norm(full.points, axis=0) < 0.9).reshape(full.shape))
    mesh = NodalMesh.of_grid(grid)
    assert (mesh.dimension, mesh.n_nodes) == (dimension, grid.n_nodes)
    np.testing.assert_array_equal(mesh.points, grid.points)
    assert np.ptp(grid.points[:, mesh.cells], axis=2).max() <= grid.spacing.max() * (1 + 1e-12)
    assert NodalMesh.of_grid(full).weights.sum() == pytest.approx(np.prod(full.box.widths * 6 / 7), rel=1e-12)


def test_weights_integrate_linear_functions():
    mesh = cube(3, 3)
    nodal = NodalMesh(mesh.points, mesh.cells)
    assert nodal.weights @ (1 + nodal.points[0] - 3 * nodal.points[2]) == pytest.approx(1 + 0.5 - 1.5, abs=1e-13)


@pytest.mark.parametrize(("points", "cells"), [((2, 4), [[0, 1]]), ((2, 3), [[0, 1, 3]]), ((2, 3), [[-1, 0, 1]])])
def test_cells_that_do_not_fit_the_nodes_are_refused(points, cells):
    with pytest.raises(RequestError, match="cells"):
        NodalMesh(np.zeros(points), np.array(cells))


@given(st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_order_of_nodes_does_not_depend_on_how_they_come_nor_on_rounding(dimension, n, seed):
    rng = np.random.default_rng(seed)
    points = np.unique(rng.integers(0, 5, (dimension, n)) / 3.0, axis=1)
    shuffle = rng.permutation(points.shape[1])
    noisy = (points * (1 + 1e-15 * rng.standard_normal(points.shape)))[:, shuffle]
    np.testing.assert_array_equal(shuffle[lexicographic(noisy)], np.arange(points.shape[1]))


# ------------------------------------------------------------------------------------------------ gmsh files
def write(path, points, *blocks, file_format="gmsh22", binary=False):
    meshio = pytest.importorskip("meshio")
    space = np.vstack([points, np.zeros((3 - len(points), points.shape[1]))]).T
    if file_format == "gmsh":  # format 4.1 wants the entity that each node lies on
        data = {"gmsh:dim_tags": np.tile([len(points), 1], (len(space), 1))}
        ones = [np.ones(len(cells), dtype=int) for _, cells in blocks]
        tags = {"gmsh:geometrical": ones, "gmsh:physical": ones}
        mesh = meshio.Mesh(space, list(blocks), point_data=data, cell_data=tags)
    else:
        mesh = meshio.Mesh(space, list(blocks))
    meshio.write(path, mesh, file_format=file_format, binary=binary)
    return path


def block(mesh):
    """The cells under meshio's name and in its order."""
    d = mesh.dimension
    columns = list(range(d + 1))
    if mesh.degree == 2:
        columns += [d + 1 + EDGES[d].index(tuple(sorted(edge))) for edge in VTK_EDGES[d]]
    return NAMES[d, mesh.degree], mesh.cells[:, columns]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("file_format", ["gmsh22", "gmsh"])
@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("degree", [1, 2])
def test_files_of_both_formats_and_orders_are_read(tmp_path, file_format, binary, dimension, degree):
    bend, volume = BENT[dimension][-1]
    mesh = second_order(cube(dimension, 3), bend) if degree == 2 else cube(dimension, 3)
    path = write(tmp_path / "a.msh", mesh.points, block(mesh), file_format=file_format, binary=binary)
    found = read_msh(path, dimension)
    assert (found.dimension, found.degree, len(found.cells)) == (dimension, degree, len(mesh.cells))
    assert abs(found.volumes).sum() == pytest.approx(volume if degree == 2 else 1.0, rel=1e-12)


def test_what_is_not_a_top_cell_is_left_out(tmp_path):
    mesh = cube(2)
    points = np.hstack([mesh.points, [[7.0], [7.0]]])
    path = write(tmp_path / "a.msh", points, ("line", np.array([[0, 1]])), block(mesh), block(mesh))
    found = read_msh(path)
    assert found.points.shape[1] == mesh.points.shape[1]
    assert len(found.cells) == len(mesh.cells)  # listed twice, counted once


SQUARE = np.array([[0.0, 1.0, 1.0, 0.0, 3.0, 4.0, 3.0], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]])
LEFT, RIGHT, AWAY = [0, 1, 2], [0, 2, 3], [4, 5, 6]
BAD = {
    "no simplices": (SQUARE, [("vertex", [[0]])]),
    "holds quad cells, not simplices alone": (SQUARE, [("quad", [[0, 1, 2, 3]])]),
    "holds quad cells": (SQUARE, [("quad", [[0, 1, 2, 3]]), ("triangle", [AWAY])]),
    "mixes triangle and triangle6": (SQUARE, [("triangle", [LEFT]), ("triangle6", [[0, 2, 3, 4, 5, 6]])]),
    "too high an order": (np.random.default_rng(0).random((2, 10)), [("triangle10", [range(10)])]),
    "in 2 pieces": (SQUARE, [("triangle", [LEFT, AWAY])]),
    "in 3 pieces": (np.hstack([SQUARE, SQUARE + 9]), [("triangle", [LEFT, AWAY, [7, 8, 9]])]),
    "1 of its 2 cells are degenerate": (SQUARE, [("triangle", [LEFT, [0, 4, 5]])]),
    "degenerate or folded": (
        np.array([[0, 1, 0, 0.5, 0.5, 0.0], [0, 0, 1, 0.8, 0.5, 0.5]]),
        [("triangle6", [range(6)])],
    ),
    "cells overlap": (SQUARE, [("triangle", [LEFT, [0, 2, 4]])]),
    "more than two cells": (SQUARE, [("triangle", [LEFT, RIGHT, [0, 2, 4]])]),
    "y varies": (SQUARE, [("line", [[0, 1], [1, 2]])]),
    "z varies": (np.vstack([SQUARE, np.arange(7.0)]), [("triangle", [LEFT, RIGHT])]),
    "not finite": (np.where(SQUARE == 4, np.nan, SQUARE), [("triangle", [LEFT, RIGHT, AWAY])]),
}


@pytest.mark.parametrize("message", BAD)
def test_meshes_that_would_give_no_rate_are_refused(tmp_path, message):
    points, blocks = BAD[message]
    path = write(tmp_path / "bad.msh", points, *[(kind, np.array([list(c) for c in cells])) for kind, cells in blocks])
    with pytest.raises(RequestError, match=message) as refusal:
        read_msh(path)
    assert str(refusal.value).startswith(f"mesh {str(path)!r}: ") and "\n" not in str(refusal.value)


def test_two_cells_joined_at_one_node_are_two_pieces(tmp_path):
    points = np.array([[0.0, 1.0, 0.0, -1.0, 0.0], [0.0, 0.0, 1.0, 0.0, -1.0]])
    path = write(tmp_path / "a.msh", points, ("triangle", np.array([[0, 1, 2], [0, 3, 4]])))
    with pytest.raises(RequestError, match="in 2 pieces that share no facet"):
        read_msh(path)


def test_a_mesh_of_another_dimension_is_refused(tmp_path):
    mesh = cube(3)
    path = write(tmp_path / "a.msh", mesh.points, block(mesh))
    with pytest.raises(RequestError, match="have dimension 3, the objective 2"):
        read_msh(path, 2)


def test_files_that_are_no_meshes_are_refused(tmp_path):
    pytest.importorskip("meshio")
    with pytest.raises(RequestError, match="no such file"):
        read_msh(tmp_path / "missing.msh")
    with pytest.raises(RequestError, match="not an ordinary file"):
        read_msh(tmp_path)
    whole = (MESHES / "annulus.msh").read_bytes()
    for name, data in {"empty": b"", "text": b"my notes\n", "image": bytes(range(256)), "cut": whole[:30000]}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RequestError, match="not a whole gmsh mesh"):
            read_msh(tmp_path / name)


# ------------------------------------------------------------------------------------------------ the folder meshes/
VOLUMES = {"disk": 4 * np.pi, "annulus": 2 * np.pi, "l-shape": 3.0, "ball": 32 * np.pi / 3}


def listed():
    rows = re.findall(r"^\| `([\w-]+)\.msh` \| (\d) \| (\d+) \| (\d) \|", (MESHES / "README.md").read_text(), re.M)
    return {name: tuple(map(int, numbers)) for name, *numbers in rows}


def test_the_table_of_meshes_names_all_files():
    assert set(listed()) == {path.stem for path in MESHES.glob("*.msh")}


@pytest.mark.parametrize("name", listed())
def test_the_table_of_meshes_is_right(name):
    pytest.importorskip("meshio")
    path = MESHES / f"{name}.msh"
    mesh = read_msh(path)
    assert (mesh.dimension, len(mesh.cells), mesh.degree) == listed()[name]
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize("name", VOLUMES)
def test_meshes_have_the_volume_of_their_domain(name):
    pytest.importorskip("meshio")
    mesh = read_msh(MESHES / f"{name}.msh")
    error = abs(mesh.volumes).sum() / VOLUMES[name] - 1
    chords = abs(mesh.straight.volumes).sum() / VOLUMES[name] - 1
    assert abs(error) < (2e-4 if mesh.dimension == 3 else 1e-5)
    if name in ("disk", "ball"):  # the chords of an annulus cancel
        assert abs(error) < 0.02 * abs(chords)


def test_the_mesh_of_mueller_brown_covers_its_sublevel_set_finest_at_critical_points():
    pytest.importorskip("meshio")
    import witten
    from witten.domains.sublevel import sublevel

    mesh, f = read_msh(MESHES / "mueller-brown.msh"), witten.gallery.mueller_brown()
    found = sublevel(f, 0.2, wells=2)
    grid = found.grid()
    low = f(grid.points) <= found.level
    assert abs(mesh.volumes).sum() == pytest.approx(low.sum() * np.prod(grid.spacing), rel=0.02)
    centres, size = mesh.points[:, mesh.cells].mean(axis=2), np.sqrt(abs(mesh.volumes))
    near = np.linalg.norm(f.gradient(centres), axis=0) < 0.1
    assert np.median(size[near]) < 0.5 * np.median(size)
