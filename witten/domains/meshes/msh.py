"""Meshes from gmsh files, checked before anything is computed on them."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from witten.domains.meshes.simplices import EDGES, Simplices, compact, subdivision
from witten.errors import RequestError

__all__ = ["check_simplices", "read_msh", "require_file"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# What meshio calls straight and second-order simplices; their edges' mid-points come in the order of VTK_EDGES.
SIMPLICES = {
    "line": (1, 1),
    "line3": (1, 2),
    "triangle": (2, 1),
    "triangle6": (2, 2),
    "tetra": (3, 1),
    "tetra10": (3, 2),
}
VTK_EDGES = {1: ((0, 1),), 2: ((0, 1), (1, 2), (0, 2)), 3: ((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3))}
DIMENSIONS = {"vertex": 0, "line": 1, "triangle": 2, "quad": 2}  # 3 for all others
AXES = "xyz"
# Relative to the size of a cell or of the mesh, what counts as nothing.
FLAT = 1e-10


def read_msh(path: str | Path, dimension: int | None = None) -> Simplices:
    """The simplices of the highest dimension in a gmsh file, format 2.2 or 4.1, straight or of second order.

    Cells of lower dimension and physical tags are ignored, cells that are listed twice count once, and coordinates that
    are constant are dropped (z of a plane mesh).

    Parameters
    ----------
    dimension : of the objective; None takes what the file holds

    Raises
    ------
    RequestError
        if the file is missing or not a gmsh mesh, holds no simplices or other cells beside them, has another
        dimension, or its cells are degenerate, folded, overlapping, or in several pieces.
    """
    path = Path(path)
    require_file(path)
    try:
        mesh = _simplices(_parsed(path))
        if dimension is not None and mesh.dimension != dimension:
            raise RequestError(
                f"its cells have dimension {mesh.dimension}, the objective {dimension}; give a mesh of that dimension"
            )
        check_simplices(mesh)
    except RequestError as error:
        raise RequestError(f"mesh {str(path)!r}: {error}") from None
    return mesh


def require_file(path: Path) -> None:
    """RequestError for what is no ordinary file: a device or a pipe may have no end."""
    if not os.path.exists(path):
        raise RequestError(f"mesh {str(path)!r}: there is no such file; give a gmsh file (.msh)")
    if not os.path.isfile(path):
        raise RequestError(f"mesh {str(path)!r}: it is not an ordinary file; give a gmsh file (.msh)")


def _parsed(path: Path) -> Any:
    """The file as meshio reads it."""
    try:
        import meshio
    except ImportError:
        raise RequestError("reading it needs meshio; install the extra 'fem'") from None
    try:
        return meshio.gmsh.read(path)
    except PermissionError:
        raise RequestError("may not be read; check its permissions") from None
    except Exception as error:  # whatever a broken or foreign file makes the reader raise
        why = " ".join(str(error).split())[:80]
        raise RequestError(
            f"it is not a whole gmsh mesh of format 2.2 or 4.1{f' ({why})' if why else ''}; save it with gmsh again"
        ) from None


def _simplices(raw: Any) -> Simplices:
    """The highest-dimensional cells as simplices in their own number of coordinates."""
    blocks: dict[str, list[Integers]] = {}
    for block in raw.cells:
        if len(block.data):
            blocks.setdefault(block.type, []).append(np.asarray(block.data, dtype=np.int64))
    top = max((_dimension(kind) for kind in blocks), default=0)
    kinds = [kind for kind in blocks if _dimension(kind) == top]
    if top == 0 or not set(kinds) <= set(SIMPLICES):
        raise RequestError(_no_simplices(kinds if top else []))
    if len(kinds) > 1:
        raise RequestError(f"it mixes {' and '.join(sorted(kinds))} cells; save all with the same order")
    dimension, degree = SIMPLICES[kinds[0]]
    cells = _distinct(np.concatenate(blocks[kinds[0]]), dimension)
    points = np.asarray(raw.points, dtype=float)
    if cells.min() < 0 or cells.max() >= len(points):
        raise RequestError("its cells name nodes that are not there; save it with gmsh again")
    if degree == 2:
        columns = [VTK_EDGES[dimension].index(edge) for edge in EDGES[dimension]]
        cells = np.hstack([cells[:, : dimension + 1], cells[:, [dimension + 1 + i for i in columns]]])
    used = compact(points.T, cells)
    return Simplices(_flattened(used.points, dimension), used.cells)


def _dimension(kind: str) -> int:
    """Of a cell, by meshio's name for it (a shape, then the number of nodes)."""
    return DIMENSIONS.get(kind.rstrip("0123456789"), 3)


def _no_simplices(kinds: list[str]) -> str:
    high_order = [
        kind for kind in kinds if kind.rstrip("0123456789") in ("line", "triangle", "tetra") and kind not in SIMPLICES
    ]
    if high_order:
        return f"its {high_order[0]} cells are of too high an order; save it with order 1 or 2"
    others = [kind for kind in kinds if kind not in SIMPLICES]
    if others:
        return f"it holds {' and '.join(others)} cells, not simplices alone; mesh it with triangles or tetrahedra only"
    return "it holds no simplices (lines, triangles or tetrahedra); mesh the domain before saving it"


def _distinct(cells: Integers, dimension: int) -> Integers:
    """Each cell once: format 2.2 repeats those with several physical tags."""
    _, first = np.unique(np.sort(cells[:, : dimension + 1], axis=1), axis=0, return_index=True)
    return cells[np.sort(first)]


def _flattened(points: Array, dimension: int) -> Array:
    """The first coordinates; those beyond the dimension of the cells must be constant."""
    if not np.isfinite(points).all():
        raise RequestError("some of its nodes are not finite; save it with gmsh again")
    size = float(np.ptp(points, axis=1).max())
    for axis in range(dimension, len(points)):
        if np.ptp(points[axis]) > FLAT * size:
            raise RequestError(
                f"its cells have dimension {dimension} but {AXES[axis]} varies; "
                f"use the coordinates {', '.join(AXES[:dimension])} alone"
            )
    return np.ascontiguousarray(points[:dimension])


def check_simplices(mesh: Simplices) -> None:
    """Refuse cells that are degenerate, folded or overlapping, and meshes in several pieces.

    Pieces that share no facet would give the eigenvalue zero once each, and no rate.

    Raises
    ------
    RequestError
        it says how many cells or pieces there are, and where the first bad cell lies.
    """
    bad = _folded(mesh)
    if bad.any():
        where = ", ".join(f"{x:.4g}" for x in mesh.points[:, mesh.vertices[bad.argmax()]].mean(axis=1))
        raise RequestError(
            f"{np.count_nonzero(bad)} of its {bad.size} cells are degenerate or folded, the first at ({where}); "
            "mesh the domain again, finer where its boundary curves"
        )
    shared, signs, cells = _shared_facets(mesh)
    if (signs.sum(axis=1) != 0).any():
        raise RequestError("its cells overlap; mesh the domain again")
    pieces = _pieces(len(mesh.cells), cells)
    if pieces > 1:
        raise RequestError(
            f"it is in {pieces} pieces that share no facet, which would give {pieces} zero eigenvalues and no rate; "
            "keep one piece, or join them (coincident nodes must be one node)"
        )


def _folded(mesh: Simplices) -> NDArray[np.bool_]:
    """Cells whose volume vanishes, or whose map turns over somewhere."""
    x = mesh.points[:, mesh.vertices]
    size = np.ptp(x, axis=2).max(axis=0) ** mesh.dimension
    straight = mesh.straight.jacobians(np.eye(mesh.dimension + 1)[:1])[:, 0]
    jacobians = mesh.jacobians(_samples(mesh)) * np.sign(straight)[:, None]
    return np.asarray((abs(straight) <= FLAT * size) | (jacobians.min(axis=1) <= FLAT * size))


def _samples(mesh: Simplices) -> Array:
    """Where to look at the Jacobian: corners alone where it is constant, else a lattice of order 4."""
    if mesh.degree == 1:
        return np.eye(mesh.dimension + 1)[:1]
    return subdivision(mesh.dimension, 4)[0] / 4


def _shared_facets(mesh: Simplices) -> tuple[Integers, Integers, Integers]:
    """Facets of two cells: their nodes, and the signs and numbers of the two cells, shapes (f, d), (f, 2), (f, 2);
    RequestError if a facet belongs to more than two cells."""
    faces, signs = _facets(mesh.vertices)
    signs = signs * np.sign(mesh.straight.volumes).astype(np.int64)[:, None]
    flat = faces.reshape(-1, mesh.dimension)
    order = np.lexsort(flat.T)
    same = (flat[order[1:]] == flat[order[:-1]]).all(axis=1)
    if (same[1:] & same[:-1]).any():
        raise RequestError("some facets belong to more than two cells: they overlap or branch; mesh the domain again")
    pairs = np.column_stack([order[:-1][same], order[1:][same]])
    return flat[pairs[:, 0]], signs.ravel()[pairs], pairs // (mesh.dimension + 1)


def _facets(vertices: Integers) -> tuple[Integers, Integers]:
    """The facets opposite each vertex, sorted, shape (m, d + 1, d), and the sign of their orientation in the cell."""
    d = vertices.shape[1] - 1
    around = np.array([[j for j in range(d + 1) if j != i] for i in range(d + 1)])
    raw = vertices[:, around]
    swaps = np.zeros(raw.shape[:2], dtype=np.int64)
    for a, b in combinations(range(d), 2):
        swaps += raw[..., a] > raw[..., b]
    return np.sort(raw, axis=2), (-1) ** (np.arange(d + 1) + swaps)


def _pieces(count: int, pairs: Integers) -> int:
    """How many pieces the cells make, joined through facets."""
    ones = np.ones(len(pairs), dtype=np.int8)
    return int(connected_components(coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count)))[0])
