"""What is known of f before paths run, up to three dimensions: cores, rough fluxes, reaction coordinates, on a grid.

A chart is good if few paths are needed; whatever it says, the fluxes that paths measure are right on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.special import logsumexp

from witten.dynamics.equilibrium.core_sets import Cores, cores_of
from witten.dynamics.equilibrium.wells import Wells, find_wells
from witten.dynamics.splitting.reaction_coordinate import Coordinate, Lattice, committor, lattice
from witten.errors import RequestError
from witten.objectives import Objective

__all__ = ["DEEP", "Chart", "deep_wells", "grid_chart"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# A well is a core of its own if f must rise by this many s before it joins a deeper one.
DEEP = 1.5
# Height above the tallest barrier, in units of s, up to which the reaction coordinate is known.
ROOM = 10.0
SMALLEST = 1e-290


@dataclass(frozen=True, eq=False)
class Chart:
    """What a plan is made from.

    Attributes
    ----------
    cores, depths : of the wells that count, and how deep these are
    flux : log of what flows between cores, up to a constant, (m, m)
    starts : for each pair of cores, from the higher to the lower, log of the mean of q next to the first
    stiffness : the largest curvature where paths go
    coordinate : log q for a pair of cores, of which all below a value need not be told apart
    """

    cores: Cores
    depths: Array
    flux: Array
    starts: Mapping[tuple[int, int], float]
    stiffness: float
    coordinate: Callable[[int, int, float], Coordinate]


def deep_wells(f: Objective, wells: Wells, s: float) -> Integers:
    """The wells that are deep beside s; RequestError if they are less than two."""
    kept = np.flatnonzero(wells.depths >= DEEP * s)
    if kept.size < 2:
        raise RequestError(
            f"splitting needs two wells that are {DEEP:g} s deep, and {f.name} has none at s = {s:g}; take another "
            "estimator"
        )
    return kept


def grid_chart(f: Objective, s: float) -> Chart:
    """From the committors of a walk on a coarse grid.

    Raises
    ------
    RequestError
        above three dimensions and without two deep wells.
    """
    wells = find_wells(f)
    kept = deep_wells(f, wells, s)
    cores = cores_of(f, wells, kept, s)
    grid = lattice(f, *_region(f, wells, s))
    at = _nodes_in_cores(cores, grid)
    fields = [committor(grid, at, j, s, wells.top) for j in range(kept.size)]
    flux, starts = _rough_fluxes(cores, grid, at, fields, s)
    return Chart(
        cores, wells.depths[kept], flux, starts, _stiffness(f, grid, wells.top + s),
        lambda i, j, first: _coordinate(grid, fields[j], first),
    )  # fmt: skip


def _region(f: Objective, wells: Wells, s: float) -> tuple[Array, Array]:
    """The smallest box that holds the places where f is not too high for a path on its way."""
    grid = lattice(f, wells.low, wells.high)
    low_enough = grid.nodes[:, grid.f <= wells.top + ROOM * s]
    air = 2 * grid.spacing
    low = np.maximum(low_enough.min(axis=1) - air, wells.low)
    return low, np.minimum(low_enough.max(axis=1) + air, wells.high)


def _nodes_in_cores(cores: Cores, grid: Lattice) -> Integers:
    """The core of each node, or -1; the node nearest to a centre always counts."""
    at = cores.members(grid.nodes)
    for k, centre in enumerate(cores.centres):
        at[np.argmin(np.linalg.norm((grid.nodes - centre[:, None]) / grid.spacing[:, None], axis=0))] = k
    return at


def _stiffness(f: Objective, grid: Lattice, height: float) -> float:
    """The largest curvature where f is below a height."""
    inside = grid.nodes[:, grid.f <= height]
    h = np.moveaxis(f.piecewise_hessian(inside[:, :: max(inside.shape[1] // 3000, 1)]), 2, 0)
    return float(np.max(np.abs(np.linalg.eigvalsh(h))))


def _rough_fluxes(
    cores: Cores, grid: Lattice, at: Integers, fields: Sequence[Array], s: float
) -> tuple[Array, dict[tuple[int, int], float]]:
    """log of what the grid lets flow between cores, (m, m); and for each pair, from the higher well to the lower, log
    of the mean of q next to the first."""
    m = cores.floors.size
    order = np.argsort(-cores.floors, kind="stable")
    flux, depths = np.full((m, m), -np.inf), {}
    for a, b in combinations(range(m), 2):
        i, j = int(order[a]), int(order[b])
        near = _neighbours(at == i, grid.shape) & (at < 0)
        logs, weights = np.log(fields[j][near]), -2 * (grid.f[near] - cores.floors.min()) / s
        flux[i, j] = flux[j, i] = logsumexp(logs + weights)
        depths[i, j] = float(flux[i, j] - logsumexp(weights))
    return flux, depths


def _neighbours(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The nodes next to those of a mask."""
    grid = mask.reshape(shape)
    return np.asarray(binary_dilation(grid) & ~grid).ravel()


def _coordinate(grid: Lattice, q: Array, first: float) -> Coordinate:
    """log q, with cores other than the target no further than where the paths begin."""
    return Coordinate(first, np.where(q > 0, np.log(np.maximum(q, SMALLEST)), first), grid)
