"""What replacing derivatives by differences does to a rate, to leading order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.operators.finite_differences import FiniteDifferences

__all__ = ["second_order_errors"]

Array = NDArray[np.float64]


def second_order_errors(discretisation: FiniteDifferences, learning_rate: float, modes: Array) -> Array:
    """(s/2) sum_a (h_a^2/12) int (d_a u)(d_a^3 u) e^{-2f/s} / int u^2 e^{-2f/s} for each mode, shape (k,).

    Sums over nodes and over the middles of edges are as good as integrals where f is smooth and weights vanish at the
    boundary; a discrete rate then lies above the true one by this and O(h^4), which the error of the mode itself does
    not touch: a rate is stationary in its mode.

    Parameters
    ----------
    discretisation : on a grid whose boundary carries no weight
    learning_rate : s
    modes : u at the nodes, shape (k, n)
    """
    grid, s = discretisation.grid, learning_rate
    lowest = discretisation.values.min()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mass = np.exp(2 * (lowest - discretisation.values) / s)
        weights = [np.exp(2 * (lowest - middle) / s) for middle in discretisation.edge_values]
        return np.array([_energy(grid, weights, u, s) / (mass @ u**2) for u in modes])


def _energy(grid: Grid, weights: list[Array], u: Array, s: float) -> float:
    """(s/2) sum_a (1/(12 h_a^2)) sum over edges of w (u_1 - u_0)(u_2 - 3 u_1 + 3 u_0 - u_-1)."""
    dense, total = grid.expand(u), 0.0
    for axis, (w, h) in enumerate(zip(weights, grid.spacing, strict=True)):
        along, w = np.moveaxis(dense, axis, 0), np.moveaxis(grid.expand(w), axis, 0)
        first = np.diff(along, axis=0)
        third = np.diff(first, n=2, axis=0)
        terms = w[1:-2] * first[1:-1] * third
        total += s / 2 / (12 * h**2) * float(np.nansum(terms))
    return total
