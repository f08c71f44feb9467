"""Rough committors between the wells, up to three dimensions: core sets, fluxes, reaction coordinates from a grid.

They are good if few paths are needed; whatever they say, the fluxes that paths measure are right on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.special import logsumexp

from witten.domains.vertex_grid import VertexGrid
from witten.dynamics.equilibrium.core_sets import Ellipsoids
from witten.dynamics.equilibrium.curvatures import largest_curvature
from witten.dynamics.equilibrium.equilibrium import DEPTH_OF_WELLS, Equilibrium
from witten.dynamics.equilibrium.wells import Wells
from witten.dynamics.splitting.reaction_coordinate import Coordinate, committor
from witten.errors import RequestError
from witten.objectives import Objective

__all__ = ["Committors", "deep_wells", "grid_committors"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# Nodes along each axis, and how many of them curvatures are looked at.
NODES, HESSIANS = {1: 2001, 2: 161, 3: 25}, 3000
# Height above the tallest barrier, in units of s, up to which the reaction coordinate is known.
ROOM = 10.0
SMALLEST = 1e-290


@dataclass(frozen=True, eq=False)
class Committors:
    """What is known between core sets before paths run.

    Attributes
    ----------
    cores, depths : of the wells that count, and how deep these are
    flux : log of what flows between cores, up to a constant, (m, m)
    starts : for each pair of cores, from the higher to the lower, log of the mean of q next to the first
    stiffness : the largest curvature where paths go
    coordinate : log q for a pair of cores, of which all below a value may be one
    """

    cores: Ellipsoids
    depths: Array
    flux: Array
    starts: Mapping[tuple[int, int], float]
    stiffness: float
    coordinate: Callable[[int, int, float], Coordinate]


def deep_wells(equilibrium: Equilibrium) -> Integers:
    """The wells that are deep beside s; RequestError if they are less than two."""
    if equilibrium.deep.size < 2:
        raise RequestError(
            f"splitting needs two wells with barriers above {DEPTH_OF_WELLS:g} s, which {equilibrium.objective.name} "
            f"has not at s = {equilibrium.s:g}; take another estimator"
        )
    return equilibrium.deep


def grid_committors(equilibrium: Equilibrium) -> Committors:
    """From a walk on a coarse grid, in up to three dimensions; RequestError without two deep wells."""
    f, s, wells, kept = equilibrium.objective, equilibrium.s, equilibrium.wells, deep_wells(equilibrium)
    cores = equilibrium.cores
    grid = _coarse_grid(f, wells, s)
    values, nodes = grid.evaluate(f).ravel(), grid.points
    at = _nodes_in_cores(cores, grid)
    fields = [committor(grid, values, at, j, s, wells.top) for j in range(kept.size)]
    flux, starts = _rough_fluxes(cores, grid.shape, values, at, fields, s)
    inside = nodes[:, values <= wells.top + s]
    stiffness = largest_curvature(f, inside[:, :: max(inside.shape[1] // HESSIANS, 1)])
    return Committors(
        cores, wells.depths[kept], flux, starts, stiffness, lambda i, j, first: _coordinate(grid, fields[j], first)
    )


def _coarse_grid(f: Objective, wells: Wells, s: float) -> VertexGrid:
    """Of the smallest box that holds the points where f is not too high for a path between wells."""
    grid = VertexGrid.between(wells.low, wells.high, NODES[f.dimension])
    low_enough = grid.points[:, grid.evaluate(f).ravel() <= wells.top + ROOM * s]
    air = 2 * grid.spacing
    low = np.maximum(low_enough.min(axis=1) - air, wells.low)
    return VertexGrid.between(low, np.minimum(low_enough.max(axis=1) + air, wells.high), NODES[f.dimension])


def _nodes_in_cores(cores: Ellipsoids, grid: VertexGrid) -> Integers:
    """The core of each node, or -1; the node nearest to a centre always counts."""
    nodes = grid.points
    at = cores.members(nodes)
    for k, centre in enumerate(cores.centres):
        at[np.argmin(np.linalg.norm((nodes - centre[:, None]) / grid.spacing[:, None], axis=0))] = k
    return at


def _rough_fluxes(
    cores: Ellipsoids, shape: tuple[int, ...], f: Array, at: Integers, fields: Sequence[Array], s: float
) -> tuple[Array, dict[tuple[int, int], float]]:
    """log of what the grid lets flow between cores, (m, m); and for each pair, from the higher well to the lower, log
    of the mean of q next to the first."""
    m = cores.floors.size
    order = np.argsort(-cores.floors, kind="stable")
    flux, starts = np.full((m, m), -np.inf), {}
    for a, b in combinations(range(m), 2):
        i, j = int(order[a]), int(order[b])
        near = _neighbours(at == i, shape) & (at < 0)
        logs, weights = np.log(fields[j][near]), -2 * (f[near] - cores.floors.min()) / s
        flux[i, j] = flux[j, i] = logsumexp(logs + weights)
        starts[i, j] = float(flux[i, j] - logsumexp(weights))
    return flux, starts


def _neighbours(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The nodes next to those of a mask."""
    grid = mask.reshape(shape)
    return np.asarray(binary_dilation(grid) & ~grid).ravel()


def _coordinate(grid: VertexGrid, q: Array, first: float) -> Coordinate:
    """log q, with cores other than the target no further than where the paths begin."""
    return Coordinate(first, np.where(q > 0, np.log(np.maximum(q, SMALLEST)), first), grid)
