"""Values on nodes that simplices join: what finite elements and grids both look like when they are drawn or saved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.domains.meshes.simplices import Simplices, kuhn
from witten.errors import RequestError

__all__ = ["NodalMesh", "lexicographic"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NodalMesh:
    """Nodes joined by straight simplices; a function on it is one value per node, linear between them.

    For elements of degree p the nodes are all Lagrange nodes and each cell gives p^d simplices.

    Parameters
    ----------
    points : nodes, shape (d, n)
    cells : node numbers, shape (m, d + 1)

    Raises
    ------
    RequestError
        if the shapes do not fit together, or a cell names a node that is not there.
    """

    points: Array
    cells: Integers

    def __post_init__(self) -> None:
        points, cells = np.array(self.points, dtype=float), np.array(self.cells, dtype=np.int64)
        if points.ndim != 2 or cells.ndim != 2 or cells.shape[1] != len(points) + 1:
            raise RequestError(f"nodes of shape {points.shape} and cells of shape {cells.shape} make no simplices")
        if cells.size and not (cells.min() >= 0 and cells.max() < points.shape[1]):
            raise RequestError(f"cells name nodes from {cells.min()} to {cells.max()}, there are {points.shape[1]}")
        for name, array in (("points", points), ("cells", cells)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def of_grid(cls, grid: Grid) -> NodalMesh:
        """The nodes of a grid, in its order, joined wherever all corners of a simplex are active.

        Half a cell at the boundary is not covered.
        """
        numbers = np.full(grid.shape, -1, dtype=np.int64)
        numbers[grid.mask] = np.arange(grid.n_nodes)
        inner = tuple(n - 1 for n in grid.shape)
        simplices = [
            np.stack(
                [numbers[tuple(slice(c, c + n) for c, n in zip(corner, inner, strict=True))].ravel() for corner in way]
            )
            for way in kuhn(grid.dimension).tolist()
        ]
        cells = np.concatenate([simplex.T for simplex in simplices])
        return cls(grid.points, cells[(cells >= 0).all(axis=1)])

    @property
    def dimension(self) -> int:
        return int(self.points.shape[0])

    @property
    def n_nodes(self) -> int:
        return int(self.points.shape[1])

    @cached_property
    def weights(self) -> Array:
        """Integrals of the hat functions, shape (n,): sum(weights * values) integrates what is linear on cells."""
        shares = np.abs(Simplices(self.points, self.cells).volumes) / (self.dimension + 1)
        return np.bincount(self.cells.ravel(), np.repeat(shares, self.dimension + 1), minlength=self.n_nodes)


def lexicographic(points: Array, tolerance: float = 1e-11) -> Integers:
    """The order of points (d, n) by x, then y, then z, where coordinates that differ by rounding alone are equal.

    It does not depend on the order in which the points come. `tolerance` is relative to the size of the set.
    """
    near = tolerance * float(np.ptp(points, axis=1).max()) if points.size else 0.0
    ranks = []
    for x in points:
        order = np.argsort(x, kind="stable")
        rank = np.empty(x.size, dtype=np.int64)
        rank[order] = np.concatenate([[0], np.cumsum(np.diff(x[order]) > near)]) if x.size else 0
        ranks.append(rank)
    return np.lexsort(ranks[::-1]).astype(np.int64)
