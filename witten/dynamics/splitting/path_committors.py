"""What is known of f before any path runs, above three dimensions: from the roads between wells.

A walk along the roads, with what is across integrated out as if it were Gaussian, has stationary weights
e^{-2f/s - tightness}; between the ends a and b of a road its committor is

    q(l) = q_a + (q_b - q_a) R(l)/R,    R(l) = integral from 0 to l of e^{2f/s + tightness},

and 1/R is what flows. All is kept in logarithms. A point off the roads has the q of its foot on the nearest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from witten.dynamics.equilibrium.core_sets import Cores, cores_on_roads
from witten.dynamics.equilibrium.minimum_energy_paths import Road, RoadMap, road_map
from witten.dynamics.splitting.grid_committors import Chart, deep_wells
from witten.dynamics.splitting.reaction_coordinate import Coordinate
from witten.errors import RequestError
from witten.objectives import Objective

__all__ = ["road_chart"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# Between two nodes of a road the integral is taken in so many pieces.
FINE = 20
SMALLEST = 1e-290
# Paths begin where the norm of the core is this, on a road: on average they leave well before the core's end there.
HALFWAY = 0.5
# Where curvatures are looked at: along axes and random directions from every fourth node, in standard deviations.
DIRECTIONS, NODES_APART, RADII = 20, 4, np.linspace(0.5, 8.0, 12)
MOST_NUMBERS = 4_000_000


def road_chart(f: Objective, s: float) -> Chart:
    """From the committors of a walk along roads.

    Raises
    ------
    RequestError
        where there are no roads (see `road_map`), and without two deep wells.
    """
    roads = road_map(f)
    wells = roads.wells
    kept = deep_wells(f, wells, s)
    if np.isinf(wells.depths).sum() > 1:
        raise RequestError(f"no road was found between some wells of {f.name}; take another estimator")
    cores = cores_on_roads(f, roads, kept, s)
    tolls = [_toll(road, s) for road in roads.roads]
    at_wells = _at_wells(roads, tolls, kept)
    fields = np.array([_along_all(roads, tolls, log_q) for log_q in at_wells])
    flux = _fluxes(roads, tolls, kept, at_wells)
    starts = {
        (i, j): _start(roads, kept, cores, fields[j], i)
        for i, j in permutations(range(kept.size), 2)
        if (cores.floors[i], i) > (cores.floors[j], j) and np.isfinite(flux[i, j])
    }
    return Chart(
        cores, wells.depths[kept], flux, starts, _stiffness(f, roads, s),
        lambda i, j, first: _coordinate(roads, kept, fields[j], (i, j), first),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Toll:
    """log R(l)/R at the nodes of a road, log (1 - R(l)/R), and log R."""

    behind: Array
    ahead: Array
    total: float


def _toll(road: Road, s: float) -> Toll:
    n, along = len(road.points), road.lengths
    fine = np.linspace(0.0, along[-1], FINE * (n - 1) + 1)
    logs = 2 / s * CubicSpline(along, road.heights)(fine) + np.interp(fine, along, road.tightness)
    pieces = np.logaddexp(logs[1:], logs[:-1]) + np.log(0.5 * (fine[1] - fine[0]))
    behind, ahead = np.logaddexp.accumulate(pieces), np.logaddexp.accumulate(pieces[::-1])[::-1]
    nothing, total = [-np.inf], float(behind[-1])
    # The nodes are evenly spread, up to what the string's last move has changed.
    return Toll(np.append(nothing, behind)[::FINE] - total, np.append(ahead, nothing)[::FINE] - total, total)


def _at_wells(roads: RoadMap, tolls: Sequence[Toll], kept: Integers) -> Array:
    """log q of each core at all wells, shape (cores, wells): 0 in its own, -inf in others, in between at shallow
    wells, which are none."""
    m = roads.wells.floors.size
    free = np.setdiff1d(np.arange(m), kept)
    least = min(toll.total for toll in tolls)
    flows = np.zeros((m, m))
    for road, toll in zip(roads.roads, tolls, strict=True):
        a, b = road.ends
        flows[a, b] += np.exp(least - toll.total) + SMALLEST
        flows[b, a] = flows[a, b]
    q = np.zeros((kept.size, m))
    q[np.arange(kept.size), kept] = 1.0
    if free.size:
        chances = flows[free] / flows[free].sum(axis=1, keepdims=True)
        q[:, free] = np.linalg.solve(np.eye(free.size) - chances[:, free], chances[:, kept]).T
    with np.errstate(divide="ignore"):
        return np.log(np.clip(q, 0.0, 1.0))


def _along_all(roads: RoadMap, tolls: Sequence[Toll], log_q: Array) -> Array:
    """log q at the nodes of all roads, one after the other, from log q at the wells."""
    parts = []
    for road, toll in zip(roads.roads, tolls, strict=True):
        a, b = (log_q[end] for end in road.ends)
        parts.append(np.logaddexp(a + toll.ahead, b + toll.behind))
    return np.maximum(np.concatenate(parts), np.log(SMALLEST))


def _fluxes(roads: RoadMap, tolls: Sequence[Toll], kept: Integers, at_wells: Array) -> Array:
    """log of what flows between cores, shape (m, m)."""
    m = kept.size
    flux = np.full((m, m), -np.inf)
    for road, toll in zip(roads.roads, tolls, strict=True):
        for a, b in (road.ends, road.ends[::-1]):
            for i in np.flatnonzero(kept == a):
                flux[i] = np.logaddexp(flux[i], at_wells[:, b] - toll.total)
    np.fill_diagonal(flux, -np.inf)
    return np.maximum(flux, flux.T)


def _start(roads: RoadMap, kept: Integers, cores: Cores, field: Array, i: int) -> float:
    """log q where paths leave the core i: the largest of what it is on the roads from there."""
    found, first = -np.inf, 0
    for road in roads.roads:
        away = road.points - cores.centres[i]
        inside = np.einsum("na,ab,nb->n", away, cores.metrics[i], away) <= HALFWAY
        values = field[first : first + len(away)]
        first += len(away)
        if kept[i] in road.ends:
            found = max(found, float(np.max(values[inside], initial=-np.inf)))
    return max(found, float(np.log(SMALLEST)))


def _coordinate(roads: RoadMap, kept: Integers, field: Array, pair: tuple[int, int], first: float) -> Coordinate:
    """log q on the roads that begin or end in one of a pair of cores, or in none."""
    away = np.setdiff1d(kept, kept[list(pair)])
    parts, nodes, joined, start = [], [], [], 0
    for road in roads.roads:
        n = len(road.points)
        if not np.isin(road.ends, away).all():
            parts.append(field[start : start + n])
            nodes.append(road.points)
            joined += [1] * (n - 1) + [0]
        start += n
    table = np.maximum(np.concatenate(parts), first)
    return Coordinate(first, table, roads=np.ascontiguousarray(np.concatenate(nodes).T), joined=np.array(joined))


def _stiffness(f: Objective, roads: RoadMap, s: float) -> float:
    """The largest curvature where f is not above the highest crest and what is usual, near wells and roads."""
    wells, d = roads.wells, f.dimension
    height = max(wells.top + s, float(wells.floors[0]) + (0.25 * d + 1) * s)
    random = np.random.default_rng(0)
    points = []
    for k, centre in enumerate(wells.minima.T):
        curvatures, axes = np.linalg.eigh(f.hessian(centre))
        spread = axes * np.sqrt(0.5 * s / np.maximum(curvatures, 1e-3 * curvatures.max()))
        directions = np.concatenate(
            [spread, -spread, spread @ random.normal(size=(d, DIRECTIONS)) / np.sqrt(d)], axis=1
        )
        bases = [road.points[::NODES_APART].T for road in roads.roads if k in road.ends]
        base = np.concatenate([centre[:, None], *bases], axis=1)
        points.append((base[:, :, None, None] + directions[:, None, :, None] * RADII).reshape(d, -1))
        points.append(base)
    x = np.concatenate(points, axis=1)
    x = x[:, f(x) <= height]
    h = np.moveaxis(f.piecewise_hessian(x[:, :: x.shape[1] * d * d // MOST_NUMBERS + 1]), 2, 0)
    return float(np.max(np.abs(np.linalg.eigvalsh(h))))
