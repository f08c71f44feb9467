"""-L = -v d_x + f' d_v + gamma v d_v - gamma T d_v^2 on elements in x and Hermite functions in v/sqrt(T)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from witten.kinetic.line_elements import LineElements

__all__ = ["KramersFokkerPlanck", "kramers_fokker_planck"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KramersFokkerPlanck:
    """The pencil K c = lambda M c of -L, its part of even Hermite orders first, and R = (-1)^order.

        (-L c)_a = gamma a c_a - sqrt(a) D c_{a-1} + sqrt(a+1) D^* c_{a+1}

    K is gamma times the order, plus an antisymmetric matrix to the last bit; K^T = R K R.

    Attributes
    ----------
    friction : gamma
    stiffness, mass : K and M
    orders : Hermite order of each unknown
    weights : f/T at each unknown's node
    elements : those in x
    """

    friction: float
    stiffness: sparse.csc_matrix
    mass: sparse.csc_matrix
    orders: NDArray[np.int64]
    weights: Array
    elements: LineElements

    @property
    def signs(self) -> Array:
        """R, the diagonal."""
        return np.asarray(1.0 - 2.0 * (self.orders % 2))


def kramers_fokker_planck(elements: LineElements, friction: float, count: int) -> KramersFokkerPlanck:
    """With Hermite orders below an even count."""
    even, odd = np.arange(0, count, 2), np.arange(1, count, 2)
    up = sparse.diags(np.sqrt(odd.astype(float)))  # from order a to a + 1
    down = sparse.diags(np.sqrt(even[1:].astype(float)), -1, shape=(even.size, odd.size))  # from a to a - 1
    coupling = sparse.kron(up, elements.gradient.T) - sparse.kron(down, elements.adjoint)
    parts = ((even, elements.even_mass), (odd, elements.odd_mass))
    mass = [sparse.kron(sparse.eye(orders.size), matrix) for orders, matrix in parts]
    drag = [friction * sparse.kron(sparse.diags(orders.astype(float)), matrix) for orders, matrix in parts]
    return KramersFokkerPlanck(
        friction,
        sparse.csc_matrix(sparse.bmat([[drag[0], coupling], [-coupling.T, drag[1]]])),
        sparse.csc_matrix(sparse.block_diag(mass)),
        np.concatenate([np.repeat(even, elements.even_nodes.size), np.repeat(odd, elements.odd_nodes.size)]),
        np.concatenate([np.tile(elements.even_weights, even.size), np.tile(elements.odd_weights, odd.size)]),
        elements,
    )
