"""What replacing derivatives by differences does to a rate, to leading order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.operators.differences.finite_differences import FiniteDifferences

__all__ = ["second_order_errors"]

Array = NDArray[np.float64]
# Exponents beyond this belong to nodes whose neighbours carry nothing.
LARGEST_EXPONENT = 300.0


def second_order_errors(discretisation: FiniteDifferences, learning_rate: float, psi: Array) -> Array:
    """(s/2) sum_a (h_a^2/12) int (d_a u)(d_a^3 u) e^{-2f/s} for each psi = u e^{-f/s} of unit norm, shape (k,).

    Sums over nodes and over the middles of edges are as good as integrals where f is smooth and weights vanish at the
    boundary. A discrete rate then lies above the true one by this and O(h^4), which the error of the mode itself does
    not touch: a rate is stationary in its mode. Differences are those of u e^{-f/s} with f at the middle of the edge.

    Parameters
    ----------
    discretisation : on a grid whose boundary carries no weight
    learning_rate : s
    psi : columns of unit norm, shape (n, k)
    """
    grid, s = discretisation.grid, learning_rate
    values, middles = grid.expand(discretisation.values), grid.expand(discretisation.edge_values)
    total = np.zeros(psi.shape[1])
    for axis, h in enumerate(grid.spacing):
        around = [(1, 2) if a == axis and grid.periodic[axis] else (0, 0) for a in range(grid.dimension)]

        def lines(field: Array, axis: int = axis, around: list[tuple[int, int]] = around) -> Array:
            return np.moveaxis(np.pad(field, around, mode="wrap"), axis, 0)

        f, middle = lines(values), lines(middles[axis])[1:-2]
        mobile = discretisation.objective.mobility
        mobility = lines(grid.expand(discretisation.mobilities[axis]))[1:-2] if mobile else 1.0
        n = len(middle)
        factors = [np.exp(np.minimum((f[k : n + k] - middle) / s, LARGEST_EXPONENT)) for k in range(4)]
        for j, each in enumerate(psi.T):
            along = lines(grid.expand(each))
            a, b, c, d = (factor * along[k : n + k] for k, factor in enumerate(factors))
            total[j] += s / (24 * h**2) * float(np.nansum(mobility * (c - b) * (d - 3 * c + 3 * b - a)))
    return total
