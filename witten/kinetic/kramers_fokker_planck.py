"""-L = -v . grad + grad f . grad_v + gamma v . grad_v - gamma T Lap_v on elements in x and Hermite functions in
v/sqrt(T)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from witten.kinetic.elements import Elements, Parity

__all__ = ["KramersFokkerPlanck", "hermite_orders", "kramers_fokker_planck", "normalised"]

Array = NDArray[np.float64]
# a, the order of the Hermite function along each axis.
Orders = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class KramersFokkerPlanck:
    """The pencil K c = lambda M c of -L, c_0 first, even total orders before odd ones, and R = (-1)^|a|.

        (-L c)_a = gamma |a| c_a + sum_i [sqrt(a_i + 1) D_i^* c_{a + e_i} - sqrt(a_i) D_i c_{a - e_i}]

    K is gamma |a| M plus an antisymmetric matrix to the last bit; K^T = R K R.

    Attributes
    ----------
    friction : gamma
    stiffness, mass : K and M
    orders : |a| of each unknown
    weights : f/T at each unknown's node
    elements : those in x
    starts : the first unknown of each c_a
    """

    friction: float
    stiffness: sparse.csc_matrix
    mass: sparse.csc_matrix
    orders: NDArray[np.int64]
    weights: Array
    elements: Elements
    starts: dict[Orders, int]

    @property
    def signs(self) -> Array:
        """R, the diagonal."""
        return np.asarray(1.0 - 2.0 * (self.orders % 2))


def hermite_orders(dimension: int, count: int) -> list[Orders]:
    """All a with |a| below an even count: even |a| first, each by |a|."""
    every = (a for a in product(range(count), repeat=dimension) if sum(a) < count)
    return sorted(every, key=lambda a: (sum(a) % 2, sum(a), a))


def kramers_fokker_planck(elements: Elements, friction: float, orders: Sequence[Orders]) -> KramersFokkerPlanck:
    """With these Hermite orders."""
    masses = {parity: elements.mass(parity) for parity in elements.parities}
    sizes = [elements.size(_parity(a)) for a in orders]
    starts = dict(zip(orders, np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist(), strict=True))
    mass, stiffness = _Blocks(), _Blocks()
    for a in orders:
        mass.add(starts[a], starts[a], masses[_parity(a)], 1.0)
        stiffness.add(starts[a], starts[a], masses[_parity(a)], friction * sum(a))
    for parity in elements.parities:
        for axis in range(elements.dimension):
            if parity[axis] == 0:
                _couple(stiffness, elements, starts, parity, axis)
    degrees, weights = np.repeat([sum(a) for a in orders], sizes), {p: elements.weights(p) for p in elements.parities}
    shape = (degrees.size, degrees.size)
    return KramersFokkerPlanck(
        friction, stiffness.assembled(shape), mass.assembled(shape), degrees,
        np.concatenate([weights[_parity(a)] for a in orders]), elements, starts,
    )  # fmt: skip


def normalised(problem: KramersFokkerPlanck) -> KramersFokkerPlanck:
    """With basis functions of norm one, so that rounding of an unknown is that of a function: where f changes by many T
    in a cell, those of its upper nodes are large at its lower ones. `weights` remain those of before."""
    norms = np.sqrt(problem.mass.diagonal())
    return replace(problem, stiffness=_divided(problem.stiffness, norms), mass=_divided(problem.mass, norms))


def _divided(matrix: sparse.csc_matrix, norms: Array) -> sparse.csc_matrix:
    """Rows and columns divided, the same number for both of a pair of entries."""
    entries = matrix.tocoo()
    data = entries.data / (norms[entries.row] * norms[entries.col])
    return sparse.csc_matrix((data, (entries.row, entries.col)), shape=matrix.shape)


def _parity(a: Orders) -> Parity:
    return tuple(each % 2 for each in a)


def _couple(stiffness: _Blocks, elements: Elements, starts: dict[Orders, int], parity: Parity, axis: int) -> None:
    """Between c_a of this parity, a_i even, and its neighbours a + e_i and a - e_i."""
    up, down = elements.gradient(parity, axis), -elements.adjoint(parity, axis)
    for a, start in starts.items():
        if _parity(a) != parity:
            continue
        for step, matrix, factor in ((1, up, a[axis] + 1), (-1, down.T, a[axis])):
            other = starts.get(tuple(each + step * (i == axis) for i, each in enumerate(a)))
            if other is not None:
                stiffness.add(other, start, matrix, -np.sqrt(factor))
                stiffness.add(start, other, matrix.T, np.sqrt(factor))


class _Blocks:
    """A sparse matrix from multiples of blocks."""

    def __init__(self) -> None:
        self._data: list[Array] = []
        self._rows: list[NDArray[np.int64]] = []
        self._columns: list[NDArray[np.int64]] = []

    def add(self, row: int, column: int, block: sparse.csr_matrix, factor: float) -> None:
        """A block whose first entry is there."""
        entries = block.tocoo()
        self._data.append(factor * entries.data)
        self._rows.append(row + entries.row.astype(np.int64))
        self._columns.append(column + entries.col.astype(np.int64))

    def assembled(self, shape: tuple[int, int]) -> sparse.csc_matrix:
        data, rows, columns = (np.concatenate(each) for each in (self._data, self._rows, self._columns))
        out = sparse.csc_matrix((data, (rows, columns)), shape=shape)
        out.eliminate_zeros()
        return out
