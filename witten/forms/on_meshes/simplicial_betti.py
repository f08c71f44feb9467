"""Betti numbers of a mesh of simplices, from components and Euler's number: integers alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from witten.domains.meshes.simplices import Simplices
from witten.errors import RequestError

__all__ = ["boundary_facets", "simplicial_betti"]

Integers = NDArray[np.int64]


def simplicial_betti(mesh: Simplices) -> tuple[int, ...]:
    """b_0, ..., b_d of a mesh in R^d whose boundary is a manifold; relative ones are these in reverse (Lefschetz).

    b_0 counts pieces, b_{d-1} the boundary's pieces beyond (Alexander), and the alternating sum is Euler's number.

    >>> from witten.domains.meshes.msh import read_msh
    >>> from witten.forms.on_meshes.simplicial_betti import simplicial_betti
    >>> simplicial_betti(read_msh("meshes/annulus.msh"))
    (1, 1, 0)

    Raises
    ------
    RequestError
        where the boundary touches itself.
    """
    d, cells = mesh.dimension, mesh.vertices
    pieces = _pieces(cells)
    euler = sum((-1) ** p * len(_faces(cells, p)[0]) for p in range(d + 1))
    if d == 1:
        return pieces, 0
    facets = boundary_facets(cells)[0]
    ridges, _, counts = _faces(facets, d - 2)
    if (counts != 2).any():
        where = ", ".join(f"{x:.6g}" for x in mesh.points[:, ridges[(counts != 2).argmax()][0]])
        raise RequestError(f"the boundary of the mesh touches itself at ({where}); forms need one that does not")
    cavities = _pieces(facets) - pieces
    return (pieces, cavities, 0) if d == 2 else (pieces, pieces + cavities - euler, cavities, 0)


def boundary_facets(cells: Integers) -> tuple[Integers, Integers]:
    """The facets that one cell alone has, (m, d), and the vertex of that cell opposite to each, (m,)."""
    d = cells.shape[1] - 1
    opposite = np.concatenate([cells[:, d - i] for i in range(d + 1)])
    facets, number, counts = _faces(cells, d - 1)
    outer = counts == 1
    beside = np.zeros(len(facets), dtype=np.int64)
    beside[number] = opposite
    return facets[outer], beside[outer]


def _faces(cells: Integers, p: int) -> tuple[Integers, Integers, Integers]:
    """The p-simplices of cells by their sorted corners, the number of each in the list of all cells', and how often
    each occurs there."""
    sets = combinations(range(cells.shape[1]), p + 1)
    every = np.concatenate([np.sort(cells[:, corners], axis=1) for corners in sets])
    faces, numbers, counts = np.unique(every, axis=0, return_inverse=True, return_counts=True)
    return faces, numbers.ravel(), counts


def _pieces(simplices: Integers) -> int:
    """How many connected pieces their vertices make."""
    used, corners = np.unique(simplices, return_inverse=True)
    rest = corners.ravel()
    width = simplices.shape[1]
    first = np.repeat(rest[::width], width)
    graph = coo_array((np.ones(rest.size), (first, rest)), shape=(used.size, used.size))
    return int(connected_components(graph)[0])
