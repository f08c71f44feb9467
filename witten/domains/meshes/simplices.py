"""Straight and curved simplices as arrays: cutting cubes and simplices, geometry, refinement. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid

__all__ = [
    "EDGES",
    "Simplices",
    "compact",
    "cut_grid",
    "kuhn",
    "permuted",
    "red_refinement",
    "split",
    "subdivision",
]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# The edges of the reference simplex in the order in which DOLFINx numbers the mid-points of second-order cells.
EDGES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 1),),
    2: ((1, 2), (0, 2), (0, 1)),
    3: ((2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)),
}


@dataclass(frozen=True, eq=False)
class Simplices:
    """Simplices with straight (d + 1 nodes) or second-order edges (their mid-points after the vertices, as in EDGES).

    A second-order cell is the image of the reference simplex under the quadratic map through its nodes.

    Attributes
    ----------
    points : nodes, shape (d, n)
    cells : node numbers, shape (m, d + 1) or (m, (d + 1)(d + 2)/2)
    """

    points: Array
    cells: Integers

    @property
    def dimension(self) -> int:
        return int(self.points.shape[0])

    @property
    def degree(self) -> int:
        """1 for straight cells, 2 for curved ones."""
        return 1 if self.cells.shape[1] == self.dimension + 1 else 2

    @property
    def vertices(self) -> Integers:
        """The corners of the cells, shape (m, d + 1)."""
        return self.cells[:, : self.dimension + 1]

    @property
    def straight(self) -> Simplices:
        """The simplices through the vertices; curved edges become chords."""
        return self if self.degree == 1 else Simplices(self.points, self.vertices)

    def jacobians(self, at: Array) -> Array:
        """det dx/dxi of each cell at barycentric coordinates `at` (q, d + 1); shape (m, q)."""
        gradients = _basis_gradients(at, self.degree)  # (q, nodes, d)
        return np.asarray(np.linalg.det(np.einsum("amk,qkb->mqab", self.points[:, self.cells], gradients)))

    @property
    def volumes(self) -> Array:
        """Volume of each cell, negative where its orientation is; exact, shape (m,)."""
        at, weights = _quadrature(self.dimension)
        return self.jacobians(at) @ weights

    def mapped(self, cells: Integers, at: Array) -> Array:
        """The images of barycentric coordinates `at` (m, q, d + 1) in the given cells (m,); shape (d, m, q)."""
        return np.asarray(np.einsum("amk,mqk->amq", self.points[:, self.cells[cells]], _basis(at, self.degree)))


def _basis(at: Array, degree: int) -> Array:
    """The Lagrange basis of degree 1 or 2 at barycentric coordinates (..., d + 1); shape (..., nodes)."""
    if degree == 1:
        return at
    edges = [4 * at[..., a] * at[..., b] for a, b in EDGES[at.shape[-1] - 1]]
    return np.concatenate([at * (2 * at - 1), np.stack(edges, axis=-1)], axis=-1)


def _basis_gradients(at: Array, degree: int) -> Array:
    """d basis/d xi where xi_a = barycentric a + 1; shape (q, nodes, d)."""
    d = at.shape[1] - 1
    slopes = np.vstack([-np.ones(d), np.eye(d)])  # d barycentric/d xi
    if degree == 1:
        return np.broadcast_to(slopes, (len(at), d + 1, d))
    vertices = (4 * at - 1)[:, :, None] * slopes
    edges = [4 * (at[:, a, None] * slopes[b] + at[:, b, None] * slopes[a]) for a, b in EDGES[d]]
    return np.concatenate([vertices, np.stack(edges, axis=1)], axis=1)


def _quadrature(dimension: int) -> tuple[Array, Array]:
    """Points and weights on the reference simplex, exact for degree 3, that of det J of a curved tetrahedron.

    Gauss points of the cube; each coordinate takes its share of what the ones before have left.
    """
    x, w = np.polynomial.legendre.leggauss(4)
    t = np.array(list(product((x + 1) / 2, repeat=dimension)))
    left = np.cumprod(np.column_stack([np.ones(len(t)), 1 - t]), axis=1)[:, :-1]
    weights = np.array(list(product(w / 2, repeat=dimension))).prod(axis=1) * left.prod(axis=1)
    coordinates = t * left
    return np.column_stack([1 - coordinates.sum(axis=1), coordinates]), weights


def kuhn(dimension: int) -> Integers:
    """Corners (0 or 1 along each axis) of the d! simplices of the unit cube, shape (d!, d + 1, d).

    Each walks from corner 0 to corner 1...1, one axis after the other (Freudenthal, Kuhn): neighbouring cubes match.
    """
    unit = np.eye(dimension, dtype=np.int64)
    start = np.zeros((1, dimension), dtype=np.int64)
    return np.array(
        [np.vstack([start, np.cumsum(unit[list(order)], axis=0)]) for order in permutations(range(dimension))]
    )


def subdivision(dimension: int, degree: int) -> tuple[Integers, Integers]:
    """The reference simplex cut into degree^d equal-volume simplices that match across faces.

    Returns the lattice points as barycentric coordinates times the degree, shape (n, d + 1), and the simplices,
    shape (degree^d, d + 1).
    """
    lattice = [p for p in product(range(degree + 1), repeat=dimension + 1) if sum(p) == degree]
    number = {p: i for i, p in enumerate(lattice)}
    cells = []
    for base in product(range(degree), repeat=dimension):
        for corners in kuhn(dimension) + np.array(base):
            # Partial sums turn the simplex into p >= y_1 >= ... >= y_d >= 0, and Kuhn's simplices fill it exactly.
            y = np.column_stack([np.full(len(corners), degree), corners, np.zeros(len(corners), dtype=np.int64)])
            barycentric = -np.diff(y, axis=1)
            if (barycentric >= 0).all():
                cells.append([number[tuple(p)] for p in barycentric.tolist()])
    return np.array(lattice), np.array(cells)


def cut_grid(grid: Grid) -> Simplices:
    """The active cells of a grid, each cut into d! simplices; the nodes are the corners of the cells."""
    d = grid.dimension
    cells = np.array(np.nonzero(grid.mask))  # (d, m)
    corners = cells.T[:, None, None, :] + kuhn(d)  # (m, d!, d + 1, d)
    flat = np.ravel_multi_index(tuple(np.moveaxis(corners, -1, 0)), tuple(n + 1 for n in grid.shape))
    used, numbers = np.unique(flat, return_inverse=True)
    index = np.unravel_index(used, tuple(n + 1 for n in grid.shape))
    lines = [np.linspace(a, b, n + 1) for (a, b), n in zip(grid.box.intervals, grid.shape, strict=True)]
    points = np.array([line[i] for line, i in zip(lines, index, strict=True)])
    return Simplices(points, numbers.reshape(-1, d + 1).astype(np.int64))


def red_refinement(mesh: Simplices) -> Simplices:
    """Every cell cut into 2^d by its edges' mid-points; curved cells keep their shape exactly.

    Of the three ways to cut the octahedron within a tetrahedron the one with the shortest diagonal is taken.
    """
    ordered = _short_diagonal_first(mesh)
    lattice, pattern = subdivision(mesh.dimension, 2)
    count = len(mesh.cells)
    return split(ordered, np.repeat(np.arange(count), len(pattern)), np.tile(lattice[pattern], (count, 1, 1)))


def split(mesh: Simplices, parents: Integers, at: Integers) -> Simplices:
    """Cells cut along edges' mid-points; the children of a curved cell lie on its own quadratic map.

    Parameters
    ----------
    parents : the parent cell of each child, shape (m,)
    at : twice the barycentric coordinates in the parent of the vertices of each child, shape (m, d + 1, d + 1)
    """
    d, halves = mesh.dimension, _with_midpoints(mesh)
    lattice = subdivision(d, 2)[0]
    digits = 3 ** np.arange(d + 1)
    column = np.zeros(3 ** (d + 1), dtype=np.int64)
    column[lattice @ digits] = [_column(point, d) for point in lattice.tolist()]
    children = halves.cells[parents[:, None], column[at @ digits]]
    if mesh.degree == 1:
        return compact(halves.points, children)
    edges = np.array(EDGES[d])
    numbers, first = _unique_edges(children, edges)
    middles = halves.mapped(parents, at[:, edges].mean(axis=2) / 2).reshape(d, -1)[:, first]
    return compact(np.hstack([halves.points, middles]), np.hstack([children, halves.points.shape[1] + numbers]))


def compact(points: Array, cells: Integers) -> Simplices:
    """Without nodes that no cell uses."""
    used, numbers = np.unique(cells, return_inverse=True)
    return Simplices(np.ascontiguousarray(points[:, used]), numbers.reshape(cells.shape).astype(np.int64))


def _unique_edges(vertices: Integers, edges: Integers) -> tuple[Integers, Integers]:
    """A number for each edge of each cell, shape (m, edges), and where in the flat list each edge is first met."""
    pairs = np.sort(vertices[:, edges], axis=2).reshape(-1, 2)
    keys = pairs[:, 0] * (int(vertices.max()) + 1) + pairs[:, 1]
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    return numbers.reshape(len(vertices), len(edges)), first


def _with_midpoints(mesh: Simplices) -> Simplices:
    """The mesh with a node on the middle of each edge."""
    if mesh.degree == 2:
        return mesh
    edges = np.array(EDGES[mesh.dimension])
    numbers, first = _unique_edges(mesh.cells, edges)
    middles = mesh.points[:, mesh.cells[:, edges]].mean(axis=-1).reshape(mesh.dimension, -1)[:, first]
    return Simplices(np.hstack([mesh.points, middles]), np.hstack([mesh.cells, mesh.points.shape[1] + numbers]))


def _column(barycentric: list[int], dimension: int) -> int:
    """The column of a second-order cell that holds the lattice point (barycentric coordinates times two)."""
    where = [i for i, share in enumerate(barycentric) if share]
    return where[0] if len(where) == 1 else dimension + 1 + EDGES[dimension].index((where[0], where[1]))


def _short_diagonal_first(mesh: Simplices) -> Simplices:
    """Tetrahedra with vertices in the order for which `subdivision` cuts along the shortest diagonal."""
    if mesh.dimension < 3:
        return mesh
    x = mesh.points[:, mesh.vertices]
    orders = np.array([(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)])  # the diagonal joins mid-points of 02 and 13
    diagonals = [np.linalg.norm(x[..., a] + x[..., c] - x[..., b] - x[..., e], axis=0) for a, b, c, e in orders]
    return Simplices(mesh.points, permuted(mesh.cells, orders[np.argmin(diagonals, axis=0)]))


def permuted(cells: Integers, orders: Integers) -> Integers:
    """Cells with their vertices in the given orders (m, d + 1), mid-points moved along."""
    d = orders.shape[1] - 1
    columns = orders
    if cells.shape[1] > d + 1:
        table = np.zeros((d + 1, d + 1), dtype=np.int64)
        for i, (a, b) in enumerate(EDGES[d]):
            table[a, b] = table[b, a] = d + 1 + i
        pairs = np.array(EDGES[d])
        columns = np.hstack([orders, table[orders[:, pairs[:, 0]], orders[:, pairs[:, 1]]]])
    return np.take_along_axis(cells, columns, axis=1)
