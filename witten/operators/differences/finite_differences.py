"""Factored finite differences: the Witten-Laplacian as a weighted graph on a masked grid, in any dimension."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.objectives.mobility import positive_mobility
from witten.objectives.objective import Objective
from witten.operators.differences.absorption import with_absorbing_faces
from witten.operators.differences.cell_averages import Averages, kinked_cells
from witten.operators.kernels import kernel
from witten.operators.witten_laplacian import WittenLaplacian
from witten.request import positive

__all__ = ["FiniteDifferences", "Pattern"]

# Ratios to a psi_0 smaller than this are taken from differences of f.
UNDERFLOW = 1e-200
# Where f at the middle of an edge lies half as many s below the mean of its ends, cells do not resolve f: a larger
# conductance would mean nothing, but what else leads to these nodes would drown in its rounding.
UNRESOLVED = 16.0


@dataclass(frozen=True, eq=False)
class Pattern:
    """The sparsity pattern of the graph of neighbouring cells, and how each entry couples.

    Attributes
    ----------
    indptr, indices : CSR structure, columns ascending, diagonal included
    axis : uint8 array (nnz,), 0 ... d-1; d on the diagonal
    upper : bool array (nnz,), whether the column is the next cell along the axis
    """

    indptr: NDArray[np.int32]
    indices: NDArray[np.int32]
    axis: NDArray[np.uint8]
    upper: NDArray[np.bool_]

    @classmethod
    def of(cls, grid: Grid) -> Pattern:
        """The pattern of a grid: each active cell with its active neighbours along every axis."""
        padded = np.full([n + 2 for n in grid.shape], -1, dtype=np.int32)
        inside = (slice(1, -1),) * grid.dimension
        padded[inside][grid.mask] = np.arange(grid.n_nodes, dtype=np.int32)
        cells = np.flatnonzero(padded >= 0)
        for circle in np.flatnonzero(grid.periodic):
            along = np.moveaxis(padded, circle, 0)
            along[0], along[-1] = along[-2], along[1]
        numbers = padded.ravel()
        steps = np.array(padded.strides) // padded.itemsize
        indptr = np.zeros(cells.size + 1, dtype=np.int32)
        _count(cells, numbers, steps, indptr[1:])
        np.cumsum(indptr, out=indptr)
        indices, axis, upper = (np.empty(indptr[-1], dtype=kind) for kind in (np.int32, np.uint8, np.bool_))
        _number(cells, numbers, steps, indptr, indices, axis, upper)
        if any(grid.periodic):
            order = np.lexsort((indices, np.repeat(np.arange(cells.size), np.diff(indptr))))
            indices, axis, upper = indices[order], axis[order], upper[order]
        return cls(indptr, indices, axis, upper)

    @property
    def edges(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Of all edges along each axis: the place of the entry (i, j) among the indices, i, and j, the next cell."""
        rows = np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))
        along = [np.flatnonzero(self.upper & (self.axis == a)) for a in range(self.axis.max(initial=0))]
        return [(at, rows[at], self.indices[at].astype(np.int64)) for at in along]


@dataclass(frozen=True, eq=False)
class FiniteDifferences:
    """The exponential edge difference [Scharfetter1969] on a grid, with f at the middle of each edge.

    Edges have the conductance c_ij = (s/2) (area/dist) e^{-2 f_ij/s}, f_ij = f((x_i + x_j)/2), nodes the mass
    m_i = volume e^{-2 f_i/s}. With B the map from nodes to edges,
    (B psi)_e = sqrt(s/2) (e^{(f_j - f_ij)/s} psi_j - e^{(f_i - f_ij)/s} psi_i)/h_e, A = B^T B: symmetric, non-negative,
    and B e^{-f/s} = 0 exactly. Boundaries reflect, but for the ends of periodic axes, which meet, and for an absorbing
    grid, whose faces are one more node (`absorption`). Masses and resistances are midpoint sums of smooth peaks, so
    that exponentially small rates converge faster than any power of h; the error of the others is a series in h^2, h^4,
    ... Flat f on n cells has the eigenvalues delta_k = (4 s^2/h^2) sin^2(k pi/(2n)). Beside kinks of a formula weights
    are averages (see `Averages`). Where f has a mobility a, c_ij has the factor a((x_i + x_j)/2), too.

    >>> grid = witten.Grid(witten.Box((-4.0,), (4.0,)), (256,))
    >>> operator = witten.FiniteDifferences(witten.gallery.quadratic(), grid).assemble(0.5)
    >>> print(f"{witten.eigensolve(operator, 2).gap:.3f}")
    1.000

    Parameters
    ----------
    objective : Objective of the grid's dimension, finite on the nodes
    grid : Grid

    Raises
    ------
    RequestError
        if dimensions differ, or f is not finite at a node (it says where).
    """

    objective: Objective
    grid: Grid
    method: ClassVar[str] = "finite-differences"

    def __post_init__(self) -> None:
        if self.objective.dimension != self.grid.dimension:
            raise RequestError(
                f"{self.objective.name} has dimension {self.objective.dimension}, the grid {self.grid.dimension}"
            )

    @cached_property
    def pattern(self) -> Pattern:
        return Pattern.of(self.grid)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """f at the nodes, shape (n,)."""
        return self._finite(self.grid.points)

    @cached_property
    def edge_values(self) -> NDArray[np.float64]:
        """f half a cell above each node along each axis, shape (d, n); 0 where there is no edge."""
        points = self.grid.points
        found = np.zeros(points.shape)
        for a, (_, below, _) in enumerate(self.pattern.edges):
            middle = points[:, below]
            middle[a] += 0.5 * self.grid.spacing[a]
            found[a, below] = self._finite(middle)
        return found

    @cached_property
    def second_differences(self) -> NDArray[np.float64]:
        """f_i + f_j - 2 f_ij of the edge above each node along each axis, shape (d, n); 0 where there is none."""
        found = np.zeros(self.edge_values.shape)
        for a, (_, i, j) in enumerate(self.pattern.edges):
            found[a, i] = self.values[i] + self.values[j] - 2 * self.edge_values[a, i]
        return found

    @cached_property
    def mobilities(self) -> NDArray[np.float64]:
        """a_k half a cell above each node along each axis k, shape (d, n); 1 where there is no edge."""
        points = self.grid.points
        found = np.ones(points.shape)
        for k, ((_, below, _), mobility) in enumerate(zip(self.pattern.edges, self.objective.mobility, strict=True)):
            middle = points[:, below]
            middle[k] += 0.5 * self.grid.spacing[k]
            found[k, below] = positive_mobility(mobility, middle)
        return found

    def _finite(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.asarray(self.objective(points), dtype=float)
        bad = ~np.isfinite(values)
        if bad.any():
            at = ", ".join(f"{c:.6g}" for c in points[:, bad.argmax()])
            raise RequestError(
                f"{self.objective.name} is {values[bad.argmax()]} at ({at}); choose a box on which it is finite"
            )
        return values

    @cached_property
    def kinked(self) -> NDArray[np.bool_]:
        """The nodes beside a kink of f, shape (n,)."""
        return kinked_cells(self.objective, self.grid)

    def assemble(self, learning_rate: float, out: WittenLaplacian | None = None) -> WittenLaplacian:
        """The operator at learning rate s; `out`, an operator of this discretisation that is not needed any more, lends
        its matrix: memory that is not new is several times faster.

        A_ij = -(s/2)/h_a^2 e^{(f_i + f_j - 2 f_ij)/s} along axis a, its exponent at most UNRESOLVED, and
        A_ii = -sum_j A_ij psi_0j / psi_0i, so that A psi_0 = 0. The pattern is shared by all operators of this
        discretisation.
        """
        positive("learning rate", learning_rate)
        pattern, values = self.pattern, self.values
        lent = out is not None and not self.grid.absorbing
        data = out.matrix.data if out is not None and lent else np.empty(pattern.indices.size)
        if data.shape != pattern.indices.shape:
            raise ValueError(f"out has {data.size} entries, not {pattern.indices.size}; lend an operator from here")
        if self.kinked.any():
            return self._with_faces(self._averaged(learning_rate, data))
        weights = (values.min() - values) / learning_rate
        np.exp(weights, out=weights)  # psi_0 but for its norm
        couplings = self.second_differences / learning_rate
        np.exp(np.minimum(couplings, UNRESOLVED, out=couplings), out=couplings)
        couplings *= 0.5 * learning_rate / self.grid.spacing[:, None] ** 2
        if self.objective.mobility:
            couplings *= self.mobilities
        entries = (pattern.indptr, pattern.indices, pattern.axis, pattern.upper, data)
        _fill(values, weights, 1.0 / learning_rate, couplings, *entries)
        matrix = csr_array((data, pattern.indices, pattern.indptr), shape=(values.size, values.size))
        return self._with_faces(WittenLaplacian(learning_rate, matrix, values, self.grid, self.objective.name))

    def _with_faces(self, operator: WittenLaplacian) -> WittenLaplacian:
        return with_absorbing_faces(operator, self.objective) if self.grid.absorbing else operator

    def _averaged(self, s: float, data: NDArray[np.float64]) -> WittenLaplacian:
        """The operator with means for weights: A_ij = -(s/2)/h_a^2 c_ij / (psi_0i psi_0j), psi_0 = e^{-values/s}."""
        indptr, columns = self.pattern.indptr, self.pattern.indices.astype(np.int64)
        averages = Averages(self.objective, self.grid, self.kinked)
        values = averages.values(s)
        rows = np.repeat(np.arange(values.size), np.diff(indptr))
        keys = rows * values.size + columns
        for a, (at, i, j) in enumerate(self.pattern.edges):
            logs = averages.log_conductances(i, j, a, s) + (values[i] + values[j]) / s
            entries = -0.5 * s / self.grid.spacing[a] ** 2 * np.exp(logs)
            if self.objective.mobility:
                entries *= self.mobilities[a, i]
            data[at] = data[np.searchsorted(keys, j * values.size + i)] = entries
        diagonal = columns == rows
        data[diagonal] = 0.0
        data[diagonal] = -np.bincount(rows, weights=data * np.exp((values[rows] - values[columns]) / s))
        matrix = csr_array((data, self.pattern.indices, indptr), shape=(values.size, values.size))
        return WittenLaplacian(s, matrix, values, self.grid, self.objective.name)


@kernel
def _count(cells, numbers, steps, counts):  # type: ignore[no-untyped-def]
    for i in numba.prange(cells.size):
        n = 1
        for step in steps:
            n += (numbers[cells[i] - step] >= 0) + (numbers[cells[i] + step] >= 0)
        counts[i] = n


@kernel
def _number(cells, numbers, steps, indptr, indices, axis, upper):  # type: ignore[no-untyped-def]
    d = steps.size
    for i in numba.prange(cells.size):
        e = indptr[i]
        # Axis 0 has the largest step: this order makes the columns ascend.
        for b in range(2 * d + 1):
            a = b if b <= d else 2 * d - b
            offset = 0 if b == d else (-steps[a] if b < d else steps[a])
            j = numbers[cells[i] + offset]
            if j >= 0:
                indices[e], axis[e], upper[e] = j, a, b > d
                e += 1


@kernel
def _fill(values, weights, beta, couplings, indptr, indices, axis, upper, data):  # type: ignore[no-untyped-def]
    d = len(couplings)
    for i in numba.prange(values.size):
        # Unsigned, or else every access asks whether to count from the end.
        first, last = numba.uint64(indptr[i]), numba.uint64(indptr[i + 1])
        diagonal = first
        total = 0.0
        for e in range(first, last):
            if axis[e] == d:
                diagonal = e
                continue
            j = numba.uint64(indices[e])
            coupling = couplings[axis[e], numba.uint64(i) if upper[e] else j]
            data[e] = -coupling
            total += coupling * weights[j]
        data[diagonal] = total / weights[i]
        if weights[i] < UNDERFLOW:
            data[diagonal] = 0.0
            for e in range(first, last):
                if e != diagonal:
                    data[diagonal] -= data[e] * np.exp((values[i] - values[indices[e]]) * beta)
