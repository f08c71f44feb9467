"""The cubical complex of a masked grid, and Witten's deformation of its differential [Witten1982]."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label
from scipy.sparse import coo_array, csr_array

from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.objectives.objective import Objective

__all__ = ["CubicalComplex"]

Array = NDArray[np.float64]
Directions = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CubicalComplex:
    """C^0 -> C^1 -> ... -> C^d with d_{p+1} d_p = 0 in integers: numbers on the p-cells whose corners are all nodes.

    >>> from witten.forms.cubical_complex import CubicalComplex
    >>> square = CubicalComplex(witten.Grid(witten.Box((0.0, 0.0), (1.0, 1.0)), (4, 4)))
    >>> abs(square.differential(1) @ square.differential(0)).max(), square.betti
    (0, (1, 0, 0))

    Parameters
    ----------
    grid : Grid without periodic axes; its nodes are the 0-cells
    relative : leave out the cells that lie in the boundary: those of dimension d - 1 with one cell beside them, their
        faces, and what belongs to no d-cell
    """

    grid: Grid
    relative: bool = False

    def __post_init__(self) -> None:
        if any(self.grid.periodic):
            raise RequestError("the complex knows no periodic axes; take a grid without")

    @property
    def dimension(self) -> int:
        return self.grid.dimension

    def directions(self, p: int) -> list[Directions]:
        """The sets of p axes along which p-cells extend."""
        return list(combinations(range(self.dimension), p))

    @cached_property
    def _numbers(self) -> dict[Directions, NDArray[np.int64]]:
        """For each set of axes the numbers of the cells by their lowest corner, -1 where there is none."""
        numbers = {}
        for p in range(self.dimension + 1):
            first = 0
            for axes in self.directions(p):
                kept = self._kept(axes)
                numbers[axes] = np.where(kept, first - 1 + np.cumsum(kept).reshape(kept.shape), -1)
                first += int(np.count_nonzero(kept))
        return numbers

    def _kept(self, axes: Directions) -> NDArray[np.bool_]:
        """Whether all corners of a cell are nodes."""
        kept: NDArray[np.bool_] = self.grid.mask
        for axis in axes:
            n = kept.shape[axis]
            kept = kept.take(range(n - 1), axis) & kept.take(range(1, n), axis)
        return kept

    @property
    def holds_top(self) -> NDArray[np.bool_]:
        """Where a d-cell stands, by its lowest corner, shape n - 1 along each axis."""
        return self._kept(tuple(range(self.dimension)))

    def centres(self, p: int) -> Array:
        """The middles of the p-cells, shape (d, n_p)."""
        x = np.hstack([self._centres_along(axes) for axes in self.directions(p)])
        return x[:, self._interior[p]]

    @property
    def axes_of_edges(self) -> NDArray[np.int64]:
        """Along which axis each 1-cell runs, in their order."""
        counts = [int(np.count_nonzero(self._numbers[axes] >= 0)) for axes in self.directions(1)]
        return np.repeat(np.arange(self.dimension), counts)[self._interior[1]]

    def _centres_along(self, axes: Directions) -> Array:
        at = np.nonzero(self._numbers[axes] >= 0)
        middles = [0.5 * h if a in axes else 0.0 for a, h in enumerate(self.grid.spacing)]
        return np.array([x[i] + m for x, i, m in zip(self.grid.axes, at, middles, strict=True)])

    def differential(self, p: int) -> csr_array:
        """d_p: the signed incidence of (p + 1)-cells and p-cells, integers, shape (n_{p+1}, n_p)."""
        return self._all(p)[0][self._interior[p + 1]][:, self._interior[p]]

    def _all(self, p: int) -> tuple[csr_array, Array]:
        """d_p of all cells, boundary included, and the spacing that each of its entries crosses."""
        rows, columns, signs, crossed = [], [], [], []
        for axes in self.directions(p + 1):
            cells = self._numbers[axes]
            for (place, axis), end in product(enumerate(axes), (0, 1)):
                faces = self._numbers[tuple(a for a in axes if a != axis)]
                beside = faces.take(range(end, faces.shape[axis] - 1 + end), axis)
                rows.append(cells[cells >= 0])
                columns.append(beside[cells >= 0])
                signs.append(np.full(rows[-1].size, (-1) ** place * (2 * end - 1)))
                crossed.append(np.full(rows[-1].size, self.grid.spacing[axis]))
        at = np.concatenate(rows), np.concatenate(columns)
        shape = (self._count(p + 1), self._count(p))
        incidence = csr_array(coo_array((np.concatenate(signs), at), shape=shape))
        return incidence, csr_array(coo_array((np.concatenate(crossed), at), shape=shape)).data

    def _count(self, p: int) -> int:
        return sum(int(np.count_nonzero(self._numbers[axes] >= 0)) for axes in self.directions(p))

    @cached_property
    def _interior(self) -> list[NDArray[np.bool_]]:
        """Which cells are kept: all, or those that are not in the boundary."""
        d = self.dimension
        kept = [np.ones(self._count(p), dtype=bool) for p in range(d + 1)]
        if self.relative:
            outer = abs(self._all(d - 1)[0]).sum(axis=0) < 2
            for p in reversed(range(d)):
                kept[p] = ~outer
                outer = abs(self._all(p - 1)[0]).T @ outer.astype(int) > 0 if p else outer
        return kept

    def witten_differential(self, p: int, objective: Objective, s: float) -> csr_array:
        """A_p = s M_{p+1}^{1/2} d_p M_p^{-1/2}, with M_p = (h^d/vol^2) e^{-2f/s} at the middles of cells.

        Entries are +-(s/h) e^{-(f(cell) - f(face))/s}: only differences of f enter. The squares of its singular values
        are eigenvalues of the Witten-Laplacian on p-forms and on (p+1)-forms.
        """
        d, crossed = self._all(p)
        faces, cells = self._interior[p], self._interior[p + 1]
        weights = csr_array((d.data / crossed, d.indices, d.indptr), shape=d.shape)[cells][:, faces].tocoo()
        f_cells, f_faces = (np.asarray(objective(self.centres(q)), dtype=float) for q in (p + 1, p))
        row, column = weights.coords
        with np.errstate(over="ignore"):
            entries = s * weights.data * np.exp((f_faces[column] - f_cells[row]) / s)
        return csr_array(coo_array((entries, (row, column)), shape=weights.shape))

    @cached_property
    def betti(self) -> tuple[int, ...]:
        """b_0, ..., b_d, from components of the mask and of its complement, and Euler's number: integers alone.

        Relative ones are b_{d-p} of the rest (Lefschetz), which asks that the boundary is a manifold: the mask must not
        touch itself along a corner.
        """
        d = self.dimension
        pieces = int(label(self.grid.mask)[1])
        outside = np.pad(~self.grid.mask, 1, constant_values=True)
        cavities = int(label(outside, generate_binary_structure(d, d))[1]) - 1
        euler = sum((-1) ** p * self._count(p) for p in range(d + 1))
        found = {1: (pieces, 0), 2: (pieces, cavities, 0), 3: (pieces, pieces + cavities - euler, cavities, 0)}[d]
        return found[::-1] if self.relative else found
