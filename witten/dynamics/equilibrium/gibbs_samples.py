"""What paths themselves tell where no grid reaches, above three dimensions: minima, curvatures, a law to start from.

The same words as in `thermal`, from descents, from power iteration on differences of the gradient, and from a first
run. How high the barriers are is known where there are roads between the wells.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.equilibrium.minimum_energy_paths import road_map
from witten.dynamics.equilibrium.wells import Wells, scattered_minima
from witten.dynamics.paths.ensemble import CoreMap
from witten.dynamics.splitting.grid_committors import DEEP
from witten.errors import RequestError
from witten.objectives import Objective

__all__ = ["Sampled", "sampled", "slow_directions"]

Array = NDArray[np.float64]
ITERATIONS, DIFFERENCE = 30, 1e-5
# Curvatures are looked at in the minima and this many thermal displacements sqrt(s/2 theta) away from them.
AWAY = 2.0
# Of more coordinates than this, the slowest are taken before their best combinations are looked for.
COORDINATES, DIRECTIONS = 64, 3


@dataclass(frozen=True, eq=False)
class Sampled:
    """Minima of f that descents have found, and curvatures of f there.

    Attributes
    ----------
    objective, s : f and the effective learning rate s sigma^2
    wells : minima, the lowest first; their depths where roads between them are known, else nan
    stiffness, softness : the largest curvature near them and the smallest in them
    """

    objective: Objective
    s: float
    wells: Wells
    stiffness: float
    softness: float

    @cached_property
    def deep(self) -> NDArray[np.int64]:
        """The wells that are deep beside the noise, the lowest always; all of them, if their depths are not known."""
        return np.flatnonzero(~(self.wells.depths <= DEEP * self.s))

    @cached_property
    def barrier(self) -> float:
        """The largest depth of a well other than the lowest; 0 where there is none, nan where it is not known."""
        return float(np.max(self.wells.depths[1:], initial=0.0))

    def sample(self, count: int, seed: int) -> Array:
        """Minima in turn, each with the spread of its softest direction: where paths may start, shape (d, count)."""
        random = np.random.default_rng(seed)
        x = self.wells.minima[:, self.deep[np.arange(count) % len(self.deep)]]
        return x + np.sqrt(self.s / (2 * self.stiffness)) * random.normal(size=x.shape)

    def cores(self) -> CoreMap:
        """Around each minimum the quarter of the way to any other."""
        return CoreMap.around(np.ascontiguousarray(self.wells.minima[:, self.deep].T))


def sampled(objective: Objective, s: float, *, seed: int = 0) -> Sampled:
    """The wells of f in any dimension.

    Raises
    ------
    RequestError
        if no descent ends.
    """
    wells = _wells(objective, seed)
    x = wells.minima
    random = np.random.default_rng(seed)
    largest = max(_largest(objective, each, random) for each in x.T)
    away = AWAY * np.sqrt(s / (2 * largest)) * random.normal(size=x.shape)
    stiffness = max(largest, *(_largest(objective, each, random) for each in (x + away).T))
    smallest = min(stiffness - _largest(objective, each, random, shift=stiffness) for each in x.T)
    return Sampled(objective, s, wells, stiffness, float(max(smallest, 1e-3 * stiffness)))


def _wells(objective: Objective, seed: int) -> Wells:
    """With depths from roads between them, where there are roads; where descents end otherwise."""
    with suppress(RequestError):
        return road_map(objective).wells
    x = scattered_minima(objective, seed)
    floors = np.asarray(objective(x), dtype=float)
    order = np.argsort(floors, kind="stable")
    depths = np.append(np.inf, np.full(floors.size - 1, np.nan))
    return Wells(x[:, order], floors[order], depths, x.min(axis=1), x.max(axis=1))


def _largest(objective: Objective, x: Array, random: np.random.Generator, shift: float = 0.0) -> float:
    """The largest |eigenvalue| of Hess f(x), or the largest of shift - Hess f(x), by power iteration."""
    v = random.normal(size=x.size)
    value = 0.0
    step = DIFFERENCE * (1 + float(np.abs(x).max()))
    for _ in range(ITERATIONS):
        v /= np.linalg.norm(v)
        two = objective.gradient(np.stack([x + step * v, x - step * v], axis=1))
        image = (two[:, 0] - two[:, 1]) / (2 * step)
        image = shift * v - image if shift else image
        value = float(np.linalg.norm(image))
        v = image if value > 0 else random.normal(size=x.size)
    return value


def slow_directions(snapshots: Array, lag: int) -> Array:
    """The few linear combinations of coordinates that are slowest along paths (k, d, n), shape (p, d).

    Rounded to eight digits, for the reason that coefficients of a `SlowMode` are.
    """
    d = snapshots.shape[1]
    u = snapshots - snapshots.mean(axis=(0, 2), keepdims=True)
    scale = np.sqrt(np.mean(u * u, axis=(0, 2)))
    single = np.mean(u[:-lag] * u[lag:], axis=(0, 2)) / scale**2
    slowest = np.sort(np.argsort(-single, kind="stable")[:COORDINATES])
    v = np.moveaxis(u[:, slowest] / scale[slowest, None], 1, 0).reshape(len(slowest), len(u), -1)
    before, after = (part.reshape(len(slowest), -1) for part in (v[:, :-lag], v[:, lag:]))
    zero = 0.5 * (np.einsum("in,jn->ij", before, before) + np.einsum("in,jn->ij", after, after))
    lagged = np.einsum("in,jn->ij", before, after)
    values, vectors = np.linalg.eigh(zero)
    white = vectors[:, values > 1e-9 * values[-1]] / np.sqrt(values[values > 1e-9 * values[-1]])
    best = white @ np.linalg.eigh(white.T @ (0.5 * (lagged + lagged.T)) @ white)[1][:, ::-1][:, :DIRECTIONS]
    best *= np.sign(best[np.argmax(np.abs(best), axis=0), np.arange(best.shape[1])])
    out = np.zeros((best.shape[1], d))
    out[:, slowest] = np.round(best / np.abs(best).max(axis=0), 8).T / scale[slowest]
    return out
