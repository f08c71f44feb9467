"""Modes in the plane, each learning rate on a grid of its own, and their values at points anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from witten.domains.grid import Grid
from witten.domains.sublevel import sublevel
from witten.objectives import Objective
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.risk.laws.fokker_planck import Modes
from witten.risk.separable import Term

__all__ = ["ModalModel2D", "interpolation", "modal_model_2d", "descended"]

Array = NDArray[np.float64]
# f at the rim above the saddles in units of the learning rate; persistent wells that are in it.
MARGIN, WELLS = 8.0, 6
# Grids are refined once and then while they have fewer nodes than the first of these; more than the second are refused.
ENOUGH_NODES, MOST_NODES = 3500, 40_000
# Pieces of a way down, each of half a cell, after which a point is left where it is.
MOST_SEGMENTS = 2000
# lambda_j tau that is told from longer ones: either way no stage that is shorter is any good.
MOST_DELAY = 100.0


@dataclass(frozen=True, eq=False)
class ModalModel2D:
    """The slowest modes at one learning rate, on the sublevel set that matters there.

    Attributes
    ----------
    objective : f
    grid : the cells of the sublevel set
    modes : there
    """

    objective: Objective
    grid: Grid
    modes: Modes

    def at(self, points: Array) -> Array:
        """u_j at points (d, m), linear between nodes, shape (m, k).

        Along the gradient flow from outside of the grid, which enters it after a time tau, u_j(x) = e^{lambda_j tau}
        u_j(x(tau)) as s -> 0, since e^{lambda_j t} u_j(X_t) has a constant mean.
        """
        inside, tau = descended(self.objective, self.grid, points)
        delay = np.exp(np.minimum(tau[:, None] * self.modes.rates, MOST_DELAY))
        return np.asarray(delay * (interpolation(self.grid, inside) @ self.modes.functions))


def modal_model_2d(term: Term, learning_rate: float, count: int) -> ModalModel2D | None:
    """The modes of one term at a learning rate; None where a grid that sees them has more than 40000 nodes."""
    f = term.objective
    grid = sublevel(f, learning_rate, wells=WELLS, margin=MARGIN).grid().refined()
    while grid.n_nodes < ENOUGH_NODES:
        grid = grid.refined()
    if grid.n_nodes > MOST_NODES:
        return None
    operator = FiniteDifferences(f, grid).assemble(learning_rate)
    return ModalModel2D(f, grid, Modes.of(operator, term.excess(grid.points), count))


def interpolation(grid: Grid, points: Array) -> csr_array:
    """Bilinear values at points (2, m) from those at the nodes, (m, n_nodes).

    Where corners are no nodes the others share their weight; a row is empty where none is one.
    """
    numbers = np.pad(np.full(grid.shape, -1, dtype=np.int64), 1, constant_values=-1)
    numbers[1:-1, 1:-1][grid.mask] = np.arange(grid.n_nodes)
    place = (points - np.array(grid.box.lower)[:, None]) / grid.spacing[:, None] + 0.5
    place = np.clip(place, 0.0, np.array(grid.shape)[:, None] + 0.999)
    low = np.floor(place).astype(np.int64)
    t = place - low
    rows, columns, weights = [], [], []
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        node = numbers[low[0] + i, low[1] + j]
        weight = (t[0] if i else 1 - t[0]) * (t[1] if j else 1 - t[1])
        known = np.flatnonzero((node >= 0) & (weight > 0))
        rows.append(known)
        columns.append(node[known])
        weights.append(weight[known])
    index = np.concatenate(rows)
    total = np.bincount(index, np.concatenate(weights), minlength=points.shape[1])
    return csr_array((np.concatenate(weights) / total[index], (index, np.concatenate(columns))),
                     shape=(points.shape[1], grid.n_nodes))  # fmt: skip


def descended(f: Objective, grid: Grid, points: Array) -> tuple[Array, Array]:
    """Where points (2, m) enter the cells of a grid on their way down the gradient flow, and when; those inside stay.

    In each piece of the way f is taken as quadratic, so that the floor of a narrow valley is followed in few of them.
    """
    x, times = np.array(points, dtype=float), np.zeros(points.shape[1])
    length = 0.5 * float(grid.spacing.min())
    moving = np.flatnonzero(~_active(grid, x))
    for _ in range(MOST_SEGMENTS):
        if not moving.size:
            break
        step, time = _segment(f, x[:, moving], length)
        x[:, moving] += step
        times[moving] += time
        moving = moving[~_active(grid, x[:, moving])]
    return x, times


def _active(grid: Grid, points: Array) -> NDArray[np.bool_]:
    """Which points lie in active cells."""
    cell = np.floor((points - np.array(grid.box.lower)[:, None]) / grid.spacing[:, None])
    shape = np.array(grid.shape)[:, None]
    inside = np.all((cell >= 0) & (cell < shape), axis=0)
    row, column = np.clip(cell, 0, shape - 1).astype(np.int64)
    return np.asarray(inside & grid.mask[row, column])


def _segment(f: Objective, x: Array, length: float) -> tuple[Array, Array]:
    """-t phi(t H) g, phi(z) = (1 - e^{-z})/z, the flow of a quadratic for a time t in which it gets `length` far; t."""
    curvature, axes = np.linalg.eigh(np.moveaxis(f.hessian(x), -1, 0))
    g = np.einsum("nij,in->nj", axes, f.gradient(x))
    slope = np.maximum(np.linalg.norm(g, axis=1), 1e-300)

    def moved(t: Array) -> Array:
        z = curvature * t[:, None]
        small = abs(z) < 1e-8
        phi = np.where(small, 1.0, -np.expm1(-np.clip(z, -50.0, None)) / np.where(small, 1.0, z))
        return np.asarray(-t[:, None] * phi * g)

    # Too short a time grows until the way is long enough; as it bends, that is a matter of factors, not of digits.
    t = length / slope
    for _ in range(40):
        short = np.linalg.norm(moved(t), axis=1) < 0.7 * length
        if not short.any():
            break
        t = np.where(short, 1.4 * t, t)
    step = moved(t)
    size = np.linalg.norm(step, axis=1)
    part = np.minimum(1.0, length / np.maximum(size, 1e-300))
    return np.asarray(np.einsum("nij,nj->in", axes, part[:, None] * step)), part * t
