"""Elements for the Kramers-Fokker-Planck operator: along axis i those of c_a are continuous, P_k, where a_i is even,
and discontinuous, DG_{k-1}, where it is odd. Were all of them continuous there would be spurious eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import product

import numpy as np
from numpy.polynomial import polynomial
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy import sparse

from witten.objectives import Objective

__all__ = ["DEGREE", "Elements", "Parity", "values_at"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
# Which a_i are odd.
Parity = tuple[int, ...]
DEGREE = 5
QUADRATURE = 14


@dataclass(frozen=True, eq=False)
class Elements:
    """Spaces V_p, one for each parity p of Hermite orders, on cells of a rectangular mesh, with the measure dx.

    V_p has the basis phi_j e^{(f_j - f)/2T}, phi_j a product of polynomials of one variable that is one at its node,
    and f_j = f there.

    Attributes
    ----------
    objective, temperature : f and T
    edges : of the cells along each axis, (n_i + 1,)
    kept : which cells there are, (n_1, ..., n_d)
    """

    objective: Objective
    temperature: float
    edges: tuple[Array, ...]
    kept: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def on_line(cls, objective: Objective, temperature: float, edges: Array) -> Elements:
        """With all cells between these edges (n + 1,)."""
        return cls(objective, temperature, (edges,), np.ones(edges.size - 1, dtype=bool))

    @property
    def dimension(self) -> int:
        return len(self.edges)

    @property
    def parities(self) -> list[Parity]:
        return list(product((0, 1), repeat=self.dimension))

    def size(self, parity: Parity) -> int:
        """Unknowns of V_p."""
        return int(self._unknowns[parity].max()) + 1

    def nodes(self, parity: Parity) -> Array:
        """Where the basis functions of V_p are one, (d, n)."""
        return self._collected(parity, self._points(parity))

    def weights(self, parity: Parity) -> Array:
        """f/T there, (n,)."""
        return self._collected(parity, self._heights(parity)[None])[0]

    def mass(self, parity: Parity) -> sparse.csr_matrix:
        """int phi psi dx, both in V_p, symmetric to the last bit."""
        u, _ = self._basis(parity)
        found = self._assembled(u, u, parity, parity)
        return sparse.csr_matrix((found + found.T) / 2)

    def gradient(self, parity: Parity, axis: int) -> sparse.csr_matrix:
        """B = sqrt(T) int psi d_i phi, phi in V_p with p_i = 0, psi in that with p_i = 1, a row for each psi."""
        _, slope = self._basis(parity, axis)
        other = _toggled(parity, axis)
        return self._assembled(self._basis(other)[0], np.sqrt(self.temperature) * slope, other, parity)

    def adjoint(self, parity: Parity, axis: int) -> sparse.csr_matrix:
        """C = int (-sqrt(T) d_i phi + d_i f phi/sqrt(T)) psi, the same spaces, a row for each phi."""
        root, other = np.sqrt(self.temperature), _toggled(parity, axis)
        u, slope = self._basis(parity, axis)
        force = self.objective.gradient(self._quadrature[0])[axis].reshape(self.n_cells, -1, 1)
        return self._assembled(force * u / root - root * slope, self._basis(other)[0], parity, other)

    @property
    def n_cells(self) -> int:
        return int(np.count_nonzero(self.kept))

    @cached_property
    def _cells(self) -> list[Indices]:
        """Along each axis the numbers of the cells there are, (n_cells,)."""
        return list(np.nonzero(self.kept))

    @cached_property
    def _quadrature(self) -> tuple[Array, Array]:
        """Points (d, n_cells * q) and weights (n_cells, q)."""
        local, weights = leggauss(QUADRATURE)
        halves = [np.diff(edges)[cells] / 2 for edges, cells in zip(self.edges, self._cells, strict=True)]
        measure = np.prod(halves, axis=0)[:, None] * _product([weights] * self.dimension)
        return self._placed([local] * self.dimension).reshape(self.dimension, -1), measure

    @cached_property
    def _at_quadrature(self) -> Array:
        """f/T, (n_cells, q)."""
        points, measure = self._quadrature
        return values_at(self.objective, points).reshape(measure.shape) / self.temperature

    def _placed(self, local: Sequence[Array]) -> Array:
        """Products of points of [-1, 1], in each cell, (d, n_cells, .)."""
        grids = np.meshgrid(*local, indexing="ij")
        out = []
        for edges, cells, grid in zip(self.edges, self._cells, grids, strict=True):
            middle, half = (edges[:-1] + edges[1:])[cells, None] / 2, np.diff(edges)[cells, None] / 2
            out.append(middle + half * grid.ravel())
        return np.array(out)

    def _points(self, parity: Parity) -> Array:
        return self._placed([_NODES[odd] for odd in parity])

    def _heights(self, parity: Parity) -> Array:
        points = self._points(parity)
        f = values_at(self.objective, points.reshape(self.dimension, -1))
        return f.reshape(points.shape[1:]) / self.temperature

    def _basis(self, parity: Parity, axis: int | None = None) -> tuple[Array, Array]:
        """e^{(f_j - f)/2T} times phi_j and times d_i phi_j, both (n_cells, q, j); without an axis the former alone."""
        scale = np.exp((self._heights(parity)[:, None, :] - self._at_quadrature[:, :, None]) / 2)
        values = scale * _product([_VALUES[odd] for odd in parity])
        if axis is None:
            return values, values
        half = np.diff(self.edges[axis])[self._cells[axis]] / 2
        tables = [_SLOPES[odd] if i == axis else _VALUES[odd] for i, odd in enumerate(parity)]
        return values, scale * _product(tables) / half[:, None, None]

    @cached_property
    def _unknowns(self) -> dict[Parity, Indices]:
        """For each parity the unknowns of each cell, (n_cells, j), counted among those that a cell has."""
        out = {}
        for parity in self.parities:
            shape = tuple((e.size - 1) * DEGREE + 1 - odd for e, odd in zip(self.edges, parity, strict=True))
            local = np.meshgrid(*(np.arange(DEGREE + 1 - odd) for odd in parity), indexing="ij")
            at = [cells[:, None] * DEGREE + each.ravel() for cells, each in zip(self._cells, local, strict=True)]
            flat = np.ravel_multi_index(tuple(at), shape)
            out[parity] = np.unique(flat, return_inverse=True)[1].reshape(flat.shape)
        return out

    def _collected(self, parity: Parity, values: Array) -> Array:
        """Values at the nodes of cells (., n_cells, j) as those of unknowns (., n)."""
        out = np.empty((values.shape[0], self.size(parity)))
        out[:, self._unknowns[parity]] = values
        return out

    def _assembled(self, left: Array, right: Array, rows: Parity, columns: Parity) -> sparse.csr_matrix:
        """The sum over cells of int left right dx."""
        measure = self._quadrature[1]
        cells = np.matmul((measure[:, :, None] * left).transpose(0, 2, 1), right)
        row, column = self._unknowns[rows], self._unknowns[columns]
        at = np.repeat(row, column.shape[1], axis=1).ravel(), np.tile(column, (1, row.shape[1])).ravel()
        return sparse.csr_matrix((cells.ravel(), at), shape=(self.size(rows), self.size(columns)))


def values_at(objective: Objective, x: Array) -> Array:
    """f at points (d, n)."""
    return np.asarray(objective(x), dtype=float).reshape(x.shape[1])


def _toggled(parity: Parity, axis: int) -> Parity:
    return tuple(1 if i == axis else odd for i, odd in enumerate(parity))


def _lagrange(nodes: Array, q: Array) -> tuple[Array, Array]:
    """Lagrange polynomials on the nodes and their derivatives at q, (points, nodes)."""
    coefficients = np.linalg.inv(np.vander(nodes, increasing=True))
    values, slopes = (polynomial.polyval(q, each) for each in (coefficients, polynomial.polyder(coefficients)))
    return np.asarray(values.T, dtype=float), np.asarray(slopes.T, dtype=float)


def _product(tables: Sequence[Array]) -> Array:
    """Of functions of one variable each, at products of points."""
    return reduce(lambda one, other: np.asarray(np.kron(one, other), dtype=float), tables)


# Of even and odd orders, on [-1, 1].
_NODES = -np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE), leggauss(DEGREE)[0]
_VALUES, _SLOPES = zip(*(_lagrange(nodes, leggauss(QUADRATURE)[0]) for nodes in _NODES), strict=True)
