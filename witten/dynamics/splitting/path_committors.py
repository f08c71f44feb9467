"""Rough committors between the wells, above three dimensions: from the minimum-energy paths between them.

A walk along the paths, with what is across integrated out as if it were Gaussian, has stationary weights
e^{-2f/s}/D, log D = 1/2 log det of the curvatures across; between the ends a and b of a path its committor is

    q(l) = q_a + (q_b - q_a) R(l)/R,    R(l) = integral from 0 to l of D e^{2f/s},

R the resistance, 1/R what flows. All is kept in logarithms. A point off the paths has the q of its foot on the nearest
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from witten.dynamics.equilibrium.core_sets import Ellipsoids
from witten.dynamics.equilibrium.curvatures import largest_curvature
from witten.dynamics.equilibrium.equilibrium import Equilibrium
from witten.dynamics.equilibrium.minimum_energy_paths import MinimumEnergyPath, PathNetwork, path_network
from witten.dynamics.splitting.grid_committors import Committors, deep_wells
from witten.dynamics.splitting.reaction_coordinate import Coordinate
from witten.errors import RequestError
from witten.objectives import Objective

__all__ = ["path_committors"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# Between two nodes of a path the integral is taken in so many pieces.
FINE = 20
SMALLEST = 1e-290
# Paths begin where the norm of the core is this, on a path: on average they leave well before the core's end there.
HALFWAY = 0.5
# Where curvatures are looked at: along axes and random directions from every fourth node, in standard deviations.
DIRECTIONS, NODES_APART, RADII = 20, 4, np.linspace(0.5, 8.0, 12)
MOST_NUMBERS = 4_000_000


def path_committors(equilibrium: Equilibrium) -> Committors:
    """From a walk along minimum-energy paths; RequestError where there are none (see `path_network`), and without two
    deep wells."""
    f, s, network = equilibrium.objective, equilibrium.s, path_network(equilibrium.objective)
    wells, kept = network.wells, deep_wells(equilibrium)
    if np.isinf(wells.depths).sum() > 1:
        raise RequestError(
            f"no minimum-energy path was found between some wells of {f.name}; take another estimator"
        )
    cores = equilibrium.cores
    resistances = [_resistance(path, s) for path in network.paths]
    at_wells = _at_wells(network, resistances, kept)
    fields = np.array([_along_all(network, resistances, log_q) for log_q in at_wells])
    flux = _fluxes(network, resistances, kept, at_wells)
    starts = {
        (i, j): _start(network, kept, cores, fields[j], i)
        for i, j in permutations(range(kept.size), 2)
        if (cores.floors[i], i) > (cores.floors[j], j) and np.isfinite(flux[i, j])
    }
    return Committors(
        cores, wells.depths[kept], flux, starts, _stiffness(f, network, s),
        lambda i, j, first: _coordinate(network, kept, fields[j], (i, j), first),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Resistance:
    """Along a path: log R(l)/R at its nodes, log (1 - R(l)/R), and log R."""

    behind: Array
    ahead: Array
    total: float


def _resistance(path: MinimumEnergyPath, s: float) -> Resistance:
    n, along = len(path.points), path.lengths
    fine = np.linspace(0.0, along[-1], FINE * (n - 1) + 1)
    logs = 2 / s * CubicSpline(along, path.heights)(fine) + np.interp(fine, along, path.log_transverse_determinant)
    pieces = np.logaddexp(logs[1:], logs[:-1]) + np.log(0.5 * (fine[1] - fine[0]))
    behind, ahead = np.logaddexp.accumulate(pieces), np.logaddexp.accumulate(pieces[::-1])[::-1]
    nothing, total = [-np.inf], float(behind[-1])
    # The nodes are evenly spread, up to what the string's last move has changed.
    return Resistance(np.append(nothing, behind)[::FINE] - total, np.append(ahead, nothing)[::FINE] - total, total)


def _at_wells(network: PathNetwork, resistances: Sequence[Resistance], kept: Integers) -> Array:
    """log q of each core at all wells, shape (cores, wells): 0 in its own, -inf in others, in between at shallow
    wells, which are none."""
    m = network.wells.floors.size
    free = np.setdiff1d(np.arange(m), kept)
    least = min(resistance.total for resistance in resistances)
    flows = np.zeros((m, m))
    for path, resistance in zip(network.paths, resistances, strict=True):
        a, b = path.ends
        flows[a, b] += np.exp(least - resistance.total) + SMALLEST
        flows[b, a] = flows[a, b]
    q = np.zeros((kept.size, m))
    q[np.arange(kept.size), kept] = 1.0
    if free.size:
        chances = flows[free] / flows[free].sum(axis=1, keepdims=True)
        q[:, free] = np.linalg.solve(np.eye(free.size) - chances[:, free], chances[:, kept]).T
    with np.errstate(divide="ignore"):
        return np.log(np.clip(q, 0.0, 1.0))


def _along_all(network: PathNetwork, resistances: Sequence[Resistance], log_q: Array) -> Array:
    """log q at the nodes of all paths, one after the other, from log q at the wells."""
    parts = []
    for path, resistance in zip(network.paths, resistances, strict=True):
        a, b = (log_q[end] for end in path.ends)
        parts.append(np.logaddexp(a + resistance.ahead, b + resistance.behind))
    return np.maximum(np.concatenate(parts), np.log(SMALLEST))


def _fluxes(network: PathNetwork, resistances: Sequence[Resistance], kept: Integers, at_wells: Array) -> Array:
    """log of what flows between cores, shape (m, m)."""
    m = kept.size
    flux = np.full((m, m), -np.inf)
    for path, resistance in zip(network.paths, resistances, strict=True):
        for a, b in (path.ends, path.ends[::-1]):
            for i in np.flatnonzero(kept == a):
                flux[i] = np.logaddexp(flux[i], at_wells[:, b] - resistance.total)
    np.fill_diagonal(flux, -np.inf)
    return np.maximum(flux, flux.T)


def _start(network: PathNetwork, kept: Integers, cores: Ellipsoids, field: Array, i: int) -> float:
    """log q where paths leave the core i: the largest of what it is on the paths from there."""
    found, first = -np.inf, 0
    for path in network.paths:
        away = path.points - cores.centres[i]
        inside = np.einsum("na,ab,nb->n", away, cores.metrics[i], away) <= HALFWAY
        values = field[first : first + len(away)]
        first += len(away)
        if kept[i] in path.ends:
            found = max(found, float(np.max(values[inside], initial=-np.inf)))
    return max(found, float(np.log(SMALLEST)))


def _coordinate(network: PathNetwork, kept: Integers, field: Array, pair: tuple[int, int], first: float) -> Coordinate:
    """log q on the paths that begin or end in one of a pair of cores, or in none."""
    away = np.setdiff1d(kept, kept[list(pair)])
    parts, nodes, joined, start = [], [], [], 0
    for path in network.paths:
        n = len(path.points)
        if not np.isin(path.ends, away).all():
            parts.append(field[start : start + n])
            nodes.append(path.points)
            joined += [1] * (n - 1) + [0]
        start += n
    table = np.maximum(np.concatenate(parts), first)
    return Coordinate(first, table, paths=np.ascontiguousarray(np.concatenate(nodes).T), joined=np.array(joined))


def _stiffness(f: Objective, network: PathNetwork, s: float) -> float:
    """The largest curvature where f is not above the highest saddle and what is usual, near wells and paths."""
    wells, d = network.wells, f.dimension
    height = max(wells.top + s, float(wells.floors[0]) + (0.25 * d + 1) * s)
    random = np.random.default_rng(0)
    points = []
    for k, centre in enumerate(wells.minima.T):
        curvatures, axes = np.linalg.eigh(f.hessian(centre))
        spread = axes * np.sqrt(0.5 * s / np.maximum(curvatures, 1e-3 * curvatures.max()))
        directions = np.concatenate(
            [spread, -spread, spread @ random.normal(size=(d, DIRECTIONS)) / np.sqrt(d)], axis=1
        )
        bases = [path.points[::NODES_APART].T for path in network.paths if k in path.ends]
        base = np.concatenate([centre[:, None], *bases], axis=1)
        points.append((base[:, :, None, None] + directions[:, None, :, None] * RADII).reshape(d, -1))
        points.append(base)
    x = np.concatenate(points, axis=1)
    x = x[:, f(x) <= height]
    return largest_curvature(f, x[:, :: x.shape[1] * d * d // MOST_NUMBERS + 1])
