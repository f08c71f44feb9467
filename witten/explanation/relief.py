"""Minima and the passes between them: critical points where these are known, the merge tree of f on a grid else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from witten.domains.grid import Grid
from witten.dynamics.equilibrium.wells import descended
from witten.landscape.critical.critical_point import critical_points_at, polished
from witten.landscape.landscape import Landscape
from witten.linalg.merge_tree import MergeTree, merge_tree, merge_tree_of_saddles
from witten.objectives import Objective

__all__ = ["Pass", "Relief", "relief_of_grid", "relief_of_landscape"]

Array = NDArray[np.float64]
# On a grid wells less deep than this part of s are no wells.
RIPPLE = 1e-3
# The part of a cell to which a highest point is found by values of f alone.
OFF = 1e-6
# What rounding leaves of f, in units of its last place.
ROUNDINGS = 4.0


@dataclass(frozen=True, eq=False)
class Pass:
    """Where two wells join.

    Attributes
    ----------
    x : where, shape (d,)
    value, error : f there, and what that is off
    curvatures : eigenvalues of Hess f, ascending, shape (d,); nan on a kink
    ends : numbers of the two minima below it
    """

    x: Array
    value: float
    error: float
    curvatures: Array
    ends: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Relief:
    """What wells and passes f has.

    Attributes
    ----------
    minima : shape (d, m), the lowest first
    floors : f there, shape (m,)
    curvatures : of each minimum, ascending, shape (m, d); nan on a kink
    passes : ascending in value
    """

    minima: Array
    floors: Array
    curvatures: Array
    passes: tuple[Pass, ...]

    @cached_property
    def tree(self) -> MergeTree:
        """How the wells join, by number of minimum."""
        ends = np.array([p.ends for p in self.passes], dtype=np.int64).reshape(-1, 2)
        found = merge_tree_of_saddles(self.floors, np.array([p.value for p in self.passes]), ends)
        order = np.argsort(found.minima)
        return found.only(order)

    @property
    def depths(self) -> Array:
        """How far f rises from each minimum until its well joins a deeper one, shape (m,); inf for the lowest."""
        return self.tree.persistence

    def deep(self, height: float) -> NDArray[np.int64]:
        """The wells deeper than a height."""
        return np.flatnonzero(self.depths > height)

    def owner(self, height: float) -> NDArray[np.int64]:
        """For each minimum the well deeper than `height` that it is a part of, shape (m,)."""
        owner = np.arange(self.floors.size)
        for k in np.argsort(-self.depths, kind="stable"):
            if self.depths[k] <= height:
                owner[k] = owner[self.tree.into[k]]
        return owner

    def route(self, start: int, end: int) -> list[Pass]:
        """The passes on the lowest way from one minimum to another, in their order."""
        n = self.floors.size
        ranks: dict[tuple[int, int], int] = {}
        for rank, p in enumerate(self.passes):
            ranks.setdefault((min(p.ends), max(p.ends)), rank)
        used = {pair: rank for pair, rank in ranks.items() if pair[0] != pair[1]}
        i, j = np.array(list(used), dtype=np.int64).reshape(-1, 2).T
        tree = minimum_spanning_tree(csr_array((1.0 + np.array(list(used.values())), (i, j)), shape=(n, n)))
        _, before = breadth_first_order(tree, start, directed=False)
        way: list[Pass] = []
        while end != start and before[end] >= 0:
            back = int(before[end])
            way.append(self.passes[used[min(back, end), max(back, end)]])
            end = back
        return way[::-1]


def relief_of_landscape(landscape: Landscape) -> Relief | None:
    """From critical points; None where these do not join all wells."""
    if not landscape.minima or not landscape.connected:
        return None
    passes = [
        Pass(z.x, z.value, _rounding(z.value), z.curvatures, (z.connects[0], z.connects[1]))
        for z in landscape.saddles
        if z.connects[0] is not None and z.connects[1] is not None
    ]
    x = np.array([m.x for m in landscape.minima]).T
    curvatures = np.array([m.curvatures for m in landscape.minima])
    return Relief(x, np.array([m.value for m in landscape.minima]), curvatures, tuple(passes))


def relief_of_grid(objective: Objective, grid: Grid, s: float) -> Relief:
    """From f on the nodes of a grid; minima and passes are then sought for within two cells of where it has them."""
    values = grid.evaluate(objective)
    tree = merge_tree(values, smallest=RIPPLE * s, periodic=grid.periodic)
    cells = _places(grid, tree.minima)
    x = objective.wrapped(descended(objective, cells, reach=2 * grid.spacing))
    floors = np.asarray(objective(x), dtype=float)
    order = np.argsort(floors, kind="stable")
    number = {int(node): k for k, node in enumerate(tree.minima[order])}
    passes = [
        replace(_pass(objective, grid, _places(grid, np.array([node]))), ends=(number[int(low)], number[int(into)]))
        for low, node, into in zip(tree.minima, tree.passes, tree.into, strict=True)
        if node >= 0
    ]
    curvatures = np.array([_curvatures(objective, point) for point in x.T[order]])
    return Relief(x[:, order], floors[order], curvatures, tuple(sorted(passes, key=lambda p: p.value)))


def _places(grid: Grid, cells: NDArray[np.int64]) -> Array:
    """The centres of cells, by their numbers in the full grid, shape (d, n)."""
    indices = np.unravel_index(cells, grid.shape)
    return np.array([axis[index] for axis, index in zip(grid.axes, indices, strict=True)])


def _pass(objective: Objective, grid: Grid, x: Array) -> Pass:
    """The critical point beside a cell; where there is none, f has a kink: on a line its highest point, else the cell,
    and what f changes by as far as that may be off."""
    near, ok = polished(objective, x)
    if ok[0] and (abs(near - x)[:, 0] <= 2 * grid.spacing).all():
        x = objective.wrapped(near)[:, 0]
        value = float(objective(x))
        return Pass(x, value, _rounding(value), _curvatures(objective, x), (0, 0))
    near, off = (x, 1.0) if grid.dimension > 1 else (_highest(objective, x, grid.spacing[0]), OFF)
    steps = off * np.hstack([np.diag(grid.spacing), -np.diag(grid.spacing)])
    value = float(objective(near[:, 0]))
    error = float(abs(objective(objective.wrapped(near + steps)) - value).max())
    return Pass(near[:, 0], value, error + _rounding(value), np.full(grid.dimension, np.nan), (0, 0))


def _highest(objective: Objective, x: Array, h: float) -> Array:
    """The highest point on a line within two cells, to OFF of a cell."""
    found = minimize_scalar(
        lambda t: -float(objective(objective.wrapped(x + t * h))[0]), bounds=(-2, 2), method="bounded",
        options={"xatol": 1e-12},
    )  # fmt: skip
    return objective.wrapped(x + found.x * h)


def _curvatures(objective: Objective, x: Array) -> Array:
    return critical_points_at(objective, x[:, None])[0].curvatures


def _rounding(value: float) -> float:
    return ROUNDINGS * float(np.spacing(abs(value)))
