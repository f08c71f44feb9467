"""Absorbing faces of a box as one more node of the graph, so heavy that nothing comes back.

With a node of infinite mass behind the faces, K u = lambda M u has the eigenvalue zero of u = 1, and those of functions
that vanish there: the rates of leaving the box. Everything that keeps the digits of small rates holds as it stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array

from witten.domains.grid import Grid
from witten.errors import GridError
from witten.objectives.objective import Objective
from witten.operators.witten_laplacian import WittenLaplacian

__all__ = ["with_absorbing_faces"]

Array = NDArray[np.float64]
# How many s the node lies below the minimum: what comes back is e^-200 of what leaves.
DEPTH = 100.0
# Faces this many s above the lowest of them let out e^-200 of what leaves there: they reflect.
MATTERS = 100.0
# No double holds an entry whose face lies higher, in units of s, above the node.
HIGHEST = 700.0


def with_absorbing_faces(operator: WittenLaplacian, objective: Objective) -> WittenLaplacian:
    """The graph with a node behind the faces of the box, periodic axes excepted, its number the last.

    From a cell to a face it is half a spacing: c = (s/h^2) e^{-(f_i + f_face)/s} in units of the cell.

    Raises
    ------
    GridError
        where all faces lie so high that no double holds what leaves, or cells are too coarse for e^{f/s}.
    """
    s, values = operator.learning_rate, operator.values
    nodes, heights, factors = _at_faces(operator.grid, objective)
    bottom, lowest = float(values.min()) - DEPTH * s, float(heights.min())
    matters = np.maximum(values[nodes], heights) < lowest + MATTERS * s
    nodes, heights, factors = nodes[matters], heights[matters], factors[matters]
    with np.errstate(over="ignore", under="ignore"):
        entries = -s * factors * np.exp((bottom - heights) / s)
        diagonal = s * factors * np.exp((values[nodes] - heights) / s)
        heavy = float((s * factors * np.exp((2 * bottom - values[nodes] - heights) / s)).sum())
    if not (nodes.size and np.isfinite(diagonal).all() and lowest + MATTERS * s - bottom < HIGHEST * s):
        raise GridError(
            f"{operator.objective} at learning rate {s:g}: the way out of the box is more than "
            f"{HIGHEST - DEPTH - MATTERS:g} s high, or cells are too coarse for it; take a larger learning rate or a "
            "smaller box"
        )
    n = values.size
    leaving = csr_array((entries, (nodes, np.zeros_like(nodes))), shape=(n, 1))
    kept = operator.matrix.copy()
    kept.setdiag(kept.diagonal() + np.bincount(nodes, diagonal, n))
    matrix = csr_array(block_array([[kept, leaving], [leaving.T, csr_array([[heavy]])]], format="csr"))
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    matrix.sort_indices()
    return replace(operator, matrix=matrix, values=np.append(values, bottom))


def _at_faces(grid: Grid, objective: Objective) -> tuple[NDArray[np.int64], Array, Array]:
    """The nodes at faces, f on these faces, and 1/h^2 across them; a node in a corner occurs more than once."""
    numbers = np.full(grid.shape, -1, dtype=np.int64)
    numbers[grid.mask] = np.arange(grid.n_nodes)
    points = grid.points
    nodes, heights, factors = [], [], []
    for axis in np.flatnonzero(~np.array(grid.periodic)):
        for index, end in ((0, grid.box.lower[axis]), (-1, grid.box.upper[axis])):
            at = numbers.take(index, axis).ravel()
            at = at[at >= 0]
            face = points[:, at].copy()
            face[axis] = end
            nodes.append(at)
            heights.append(np.asarray(objective(face), dtype=float))
            factors.append(np.full(at.size, 1 / grid.spacing[axis] ** 2))
    return np.concatenate(nodes), np.concatenate(heights), np.concatenate(factors)
