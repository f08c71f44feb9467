"""Factored finite differences: the Witten-Laplacian as a weighted graph on a masked grid, in any dimension."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.operators.witten_laplacian import WittenLaplacian

__all__ = ["FiniteDifferences", "Pattern"]


@dataclass(frozen=True, eq=False)
class Pattern:
    """The sparsity pattern of the graph of neighbouring cells, and the axis along which each entry couples.

    Attributes
    ----------
    indptr, indices : CSR structure, columns ascending, diagonal included
    axis : uint8 array (nnz,), 0 ... d-1; d on the diagonal
    """

    indptr: NDArray[np.int32]
    indices: NDArray[np.int32]
    axis: NDArray[np.uint8]

    @classmethod
    def of(cls, grid: Grid) -> Pattern:
        """The pattern of a grid: each active cell with its active neighbours along every axis."""
        padded = np.full([n + 2 for n in grid.shape], -1, dtype=np.int32)
        padded[(slice(1, -1),) * grid.dimension][grid.mask] = np.arange(grid.n_nodes, dtype=np.int32)
        numbers = padded.ravel()
        cells = np.flatnonzero(numbers >= 0)
        steps = np.array(padded.strides) // padded.itemsize
        indptr = np.zeros(cells.size + 1, dtype=np.int32)
        _count(numbers, cells, steps, indptr)
        np.cumsum(indptr, out=indptr)
        indices, axis = np.empty(indptr[-1], dtype=np.int32), np.empty(indptr[-1], dtype=np.uint8)
        _number(numbers, cells, steps, indptr, indices, axis)
        return cls(indptr, indices, axis)


@dataclass(frozen=True, eq=False)
class FiniteDifferences:
    """The exponential edge difference (square-root approximation, Scharfetter-Gummel) on a grid.

    With B the map from nodes to edges, (B psi)_e = sqrt(s/2) (e^{(f_j-f_i)/2s} psi_j - e^{(f_i-f_j)/2s} psi_i)/h_e,
    A = B^T B: symmetric, non-negative, and B e^{-f/s} = 0 exactly. Boundaries reflect. The error is a series in
    h^2, h^4, ...; flat f on n cells has the eigenvalues delta_k = (4 s^2/h^2) sin^2(k pi/(2n)).

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

    def __post_init__(self) -> None:
        if self.objective.dimension != self.grid.dimension:
            raise RequestError(f"{self.objective.name} has dimension {self.objective.dimension}, the grid {self.grid.dimension}")

    @cached_property
    def pattern(self) -> Pattern:
        return Pattern.of(self.grid)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """f at the nodes, shape (n,)."""
        points = self.grid.points
        values = np.asarray(self.objective(points), dtype=float)
        bad = ~np.isfinite(values)
        if bad.any():
            at = ", ".join(f"{c:.6g}" for c in points[:, bad.argmax()])
            raise RequestError(f"{self.objective.name} is {values[bad.argmax()]} at ({at}); choose a box on which it is finite")
        return values

    def assemble(self, learning_rate: float, out: NDArray[np.float64] | None = None) -> WittenLaplacian:
        """The operator at learning rate s; `out` (nnz,) is a buffer for the matrix entries that may be reused.

        The pattern is shared by all operators of this discretisation.
        """
        if not (np.isfinite(learning_rate) and learning_rate > 0):
            raise RequestError(f"learning rate must be positive, got {learning_rate}")
        pattern, values = self.pattern, self.values
        data = np.empty(pattern.indices.size) if out is None else out
        couplings = 0.5 * learning_rate / self.grid.spacing**2
        _fill(pattern.indptr, pattern.indices, pattern.axis, values, 1.0 / learning_rate, couplings, data)
        log_psi0 = (values.min() - values) / learning_rate
        log_psi0 -= 0.5 * np.log(np.exp(2.0 * log_psi0).sum())
        matrix = csr_array((data, pattern.indices, pattern.indptr), shape=(values.size, values.size))
        return WittenLaplacian(learning_rate, matrix, log_psi0, self.grid, self.objective.name)


@numba.njit(cache=True, parallel=True)
def _count(numbers, cells, steps, indptr):  # type: ignore[no-untyped-def]
    for i in numba.prange(cells.size):
        n = 1
        for step in steps:
            n += (numbers[cells[i] - step] >= 0) + (numbers[cells[i] + step] >= 0)
        indptr[i + 1] = n


@numba.njit(cache=True, parallel=True)
def _number(numbers, cells, steps, indptr, indices, axis):  # type: ignore[no-untyped-def]
    d = steps.size
    for i in numba.prange(cells.size):
        e = indptr[i]
        # Axis 0 has the largest step: this order makes the columns ascend.
        for b in range(2 * d + 1):
            a = b if b <= d else 2 * d - b
            offset = 0 if b == d else (-steps[a] if b < d else steps[a])
            j = numbers[cells[i] + offset]
            if j >= 0:
                indices[e], axis[e] = j, a
                e += 1


@numba.njit(cache=True, parallel=True)
def _fill(indptr, indices, axis, f, beta, couplings, data):  # type: ignore[no-untyped-def]
    d = couplings.size
    for i in numba.prange(f.size):
        diagonal, total = 0, 0.0
        for e in range(indptr[i], indptr[i + 1]):
            a = axis[e]
            if a == d:
                diagonal = e
            else:
                data[e] = -couplings[a]
                total += couplings[a] * np.exp((f[i] - f[indices[e]]) * beta)
        data[diagonal] = total
