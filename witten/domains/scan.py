"""f sampled on a full grid, and the wells that the samples show: those that are none taken off, narrow ones put in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.optimize import minimize

from witten.domains.box import Box
from witten.domains.finite_values import finite_or_wall
from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.linalg.merge_tree import MergeTree, component, merge_tree
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import reach

__all__ = ["Scan"]

# Wells that are checked by descent; see Scan.of.
CHECKED = 6


@dataclass(frozen=True, eq=False)
class Scan:
    """f sampled on a full grid, with its wells.

    Attributes
    ----------
    grid : Grid, unmasked
    values : f at the centres of the cells, shape grid.shape; +inf where f overflows
    lowest : f there, or at the lowest critical point known in the cell: no well is too narrow
    tree : MergeTree of `lowest`, of those wells whose barrier exceeds the learning rate, without the artefacts of
        coarse cells
    places : {cell: the critical point that makes it lower}
    """

    grid: Grid
    values: NDArray[np.float64]
    lowest: NDArray[np.float64]
    tree: MergeTree
    places: dict[int, NDArray[np.float64]]

    @classmethod
    def of(cls, objective: Objective, box: Box, cells: int, learning_rate: float) -> Scan:
        grid = Grid(box, (cells,) * box.dimension, periodic=tuple(objective.periodic_axes))
        values = finite_or_wall(objective, grid.points).reshape(grid.shape)
        if not np.isfinite(values).any():
            raise RequestError(f"{objective.name} overflows everywhere on {box}; give a box on which it is finite")
        lowest, places = _with_known_points(objective, grid, values)
        tree = merge_tree(lowest, learning_rate, grid.periodic)
        tree = _genuine(objective, grid, tree, places)
        return cls(grid, values, lowest, tree, places)

    def height(self, k: int, tie: float) -> float:
        """The highest saddle out of the k most persistent wells, and of those within `tie` of the last of them.

        The floor of the deepest well where it is the only one.
        """
        barriers = self.tree.persistence[1:]
        if barriers.size == 0:
            return float(self.tree.floors[0])
        matters = barriers >= barriers[min(k, barriers.size) - 1] - tie
        return float(self.tree.saddles[1:][matters].max())

    def inside(self, level: float) -> NDArray[np.bool_]:
        """The part of {f <= level} around the global minimum; gaps of a few cells are bridged.

        So a valley narrower than the cells still is one piece.
        """
        below = self.lowest <= level
        bridged = np.where(binary_dilation(below, iterations=2), 0.0, 1.0)
        return below & component(bridged, 0.5, int(self.tree.minima[0]), self.grid.periodic)

    def wells(self, k: int) -> NDArray[np.float64]:
        """The lowest points of the k + 1 most persistent wells, shape (d, .)."""
        return _places(self.grid, self.tree.minima[: k + 1], self.places)


def _centres(grid: Grid, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """The centres of flat cells of a full grid, shape (d, n)."""
    return np.array([axis[i] for axis, i in zip(grid.axes, np.unravel_index(cells, grid.shape), strict=True)])


def _places(grid: Grid, cells: NDArray[np.int64], places: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The critical points known in cells, or else their centres, shape (d, n)."""
    points = _centres(grid, cells)
    for column, cell in enumerate(cells.tolist()):
        if cell in places:
            points[:, column] = places[cell]
    return points


def _with_known_points(
    objective: Objective, grid: Grid, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]:
    """f on the cells or at a critical point in them, whichever is lower; and these points by their flat cells."""
    known = reach(objective)
    cells, inside = _cells(grid, known.points)
    lowest, places = values.ravel().copy(), {}
    for cell, point, value in zip(cells[inside].tolist(), known.points[:, inside].T, known.values[inside], strict=True):
        if value < lowest[cell]:
            lowest[cell], places[cell] = value, point
    return lowest.reshape(values.shape), places


def _cells(grid: Grid, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The flat cells that hold the points (d, n) of the box, and which points lie in it."""
    index = np.floor((points - np.array(grid.box.lower)[:, None]) / grid.spacing[:, None])
    shape = np.array(grid.shape)[:, None]
    inside = np.all((index >= 0) & (index < shape), axis=0)
    index = np.where(inside, index, 0).astype(np.int64)
    return np.ravel_multi_index(tuple(index), grid.shape), inside


def _genuine(
    objective: Objective, grid: Grid, tree: MergeTree, places: dict[int, NDArray[np.float64]]
) -> MergeTree:
    """The tree without spurious wells: where a valley is narrower than the cells, its floor breaks into several.

    Descent from a spurious one ends in another well. The most persistent wells are checked; if none of them is genuine,
    nor are the rest.
    """
    if tree.minima.size == 1:
        return tree
    cells = tree.minima[: CHECKED + 1]
    ends = [
        start if cell in places and _is_minimum(objective, start, grid) else _descend(objective, start, grid)
        for cell, start in zip(cells.tolist(), _places(grid, cells, places).T, strict=True)
    ]
    radius, circumference = 3.0 * grid.spacing, np.where(grid.periodic, grid.box.widths, np.inf)

    def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.minimum(abs(a - b), circumference - abs(a - b))

    keep = np.ones(tree.minima.size, dtype=bool)
    for i in range(1, len(ends)):
        keep[i] = all((distance(ends[i], ends[j]) > radius).any() for j in range(i) if keep[j])
    keep[len(ends) :] = keep[1 : len(ends)].any()
    return tree.only(keep)


def _is_minimum(objective: Objective, point: NDArray[np.float64], grid: Grid) -> bool:
    """Whether a point is a minimum by slope and curvatures, which a kink has not: a step of Newton's is none."""
    slope, curvatures = objective.gradient(point), objective.piecewise_hessian(point[:, None])[..., 0]
    if not (np.isfinite(slope).all() and np.isfinite(curvatures).all() and np.linalg.eigvalsh(curvatures)[0] > 0):
        return False
    return bool((abs(np.linalg.solve(curvatures, slope)) < 1e-3 * grid.spacing).all())


def _descend(objective: Objective, start: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Where a local minimisation from a point of the grid ends, kept in its box.

    Lengths are counted in cells and heights in the rise over the first cell, so that no step leaves the well.
    """
    h = grid.spacing
    lower, upper = np.where(grid.periodic, -np.inf, grid.box.lower), np.where(grid.periodic, np.inf, grid.box.upper)
    with np.errstate(all="ignore"):
        unit = max(float(np.linalg.norm(h * objective.gradient(start))), 1e-300)
        found = minimize(
            lambda y: (float(objective(start + h * y)) / unit, h * objective.gradient(start + h * y) / unit),
            np.zeros_like(start),
            jac=True,
            method="L-BFGS-B",
            bounds=np.column_stack([(lower - start) / h, (upper - start) / h]),
            options={"maxiter": 300, "maxfun": 400, "ftol": 1e-12},
        )
    return objective.wrapped(np.asarray(start + h * found.x, dtype=float)[:, None])[:, 0]
