"""The equilibrium mu_s ~ e^{-2f/s} as far as it is known before any path runs: where paths are, how fast they move,
and where the wells are. Nothing here is a rate.

There are two makers, `on_grid` in up to three dimensions and `from_paths` above, where descents find the minima and
minimum-energy paths between them the barriers; `equilibrium` takes the one that suits.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.equilibrium.core_sets import Ellipsoids, ellipsoids, ellipsoids_on_paths
from witten.dynamics.equilibrium.curvatures import (
    largest_by_power_iteration,
    largest_curvature,
    minimum_curvatures,
    unresolved_curvature,
)
from witten.dynamics.equilibrium.gibbs_grid import GibbsGrid, gibbs_grid
from witten.dynamics.equilibrium.minimum_energy_paths import MinimumEnergyPath, path_network
from witten.dynamics.equilibrium.wells import Wells, find_wells, scattered_minima, units_of_wells
from witten.errors import RequestError
from witten.objectives import Objective
from witten.objectives.growth.conditions import continuous_spectrum

__all__ = ["DEPTH_OF_WELLS", "Equilibrium", "equilibrium", "from_paths", "on_grid"]

Array = NDArray[np.float64]
# A well counts if f must rise by this many s before it joins a deeper one.
DEPTH_OF_WELLS = 1.5
# Height, in s and per half a degree of freedom, up to which a point is one that paths often visit.
OFTEN = 8.0
# Hessians are computed at so many of these points.
HESSIANS = 4000
# Without a grid, curvatures are looked at this many standard deviations sqrt(s/2 theta) away from the minima.
AWAY = 2.0


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """Wells, curvatures and samples of mu_s.

    Attributes
    ----------
    objective, s : f and the effective learning rate s sigma^2
    wells : the minima, the lowest first; their depths are nan where neither a grid nor minimum-energy paths show them
    stiffness : the largest |curvature| where paths often are
    softness : the smallest at the deep minima, a thousandth of the largest at least
    softest : the smallest positive one there, however small
    gibbs : the measure on a grid; None above three dimensions
    shallowest : the depth from which on a well counts; 1.5 s where left out
    paths : minimum-energy paths between the wells, where there is no grid
    """

    objective: Objective
    s: float
    wells: Wells
    stiffness: float
    softness: float
    softest: float
    gibbs: GibbsGrid | None = None
    shallowest: float | None = None
    paths: tuple[MinimumEnergyPath, ...] = ()

    @property
    def deep(self) -> NDArray[np.int64]:
        """The wells that are deep beside the noise, by their place in `wells`: the lowest always, and those of which
        no depth is known."""
        return self.wells.deeper_than(DEPTH_OF_WELLS * self.s if self.shallowest is None else self.shallowest)

    @property
    def barrier(self) -> float:
        """The largest depth of a well other than the lowest; 0 where there is none, nan where it is not known."""
        return float(np.max(self.wells.depths[1:], initial=0.0))

    @cached_property
    def cores(self) -> Ellipsoids:
        """The core sets of the deep wells, which hitting times and splitting watch.

        Raises
        ------
        ConvergenceError
            where f does not rise around a minimum.
        """
        f, wells, kept = self.objective, self.wells, self.deep
        if self.gibbs is None:
            return ellipsoids_on_paths(f, wells, self.paths, kept, self.s, self.stiffness)
        return ellipsoids(f, wells, kept, self.s, self.stiffness)

    def sample(self, count: int, seed: int, *, without: float = 0.0) -> Array:
        """Points to start from, shape (d, count): drawn from mu_s but its highest part where there is a grid; else the
        deep minima in turn, each with the spread of its stiffest direction."""
        if self.gibbs is not None:
            return self.gibbs.sample(count, seed, without=without)
        random = np.random.default_rng(seed)
        x = self.wells.minima[:, self.deep[np.arange(count) % len(self.deep)]]
        return x + np.sqrt(self.s / (2 * self.stiffness)) * random.normal(size=x.shape)


@lru_cache(maxsize=4)
def equilibrium(objective: Objective, s: float, seed: int = 0) -> Equilibrium:
    """What is known of mu_s, s the effective learning rate.

    Raises
    ------
    RequestError
        where e^{-2f/s} has no integral, f does not rise around its minima, or no descent ends.
    """
    return on_grid(objective, s) if objective.dimension <= 3 else from_paths(objective, s, seed)


def on_grid(objective: Objective, s: float) -> Equilibrium:
    """From a grid, in up to three dimensions."""
    continuous_spectrum(objective, s)
    wells = find_wells(objective)
    gibbs = gibbs_grid(objective, s, wells)
    at_minima = minimum_curvatures(objective, wells.minima[:, wells.deeper_than(DEPTH_OF_WELLS * s)])
    stiffness = _stiffness(objective, gibbs, wells, float(np.max(np.abs(at_minima), initial=0.0)))
    stiffness = max(stiffness, *(unresolved_curvature(objective, x, s, stiffness) for x in wells.minima.T))
    softness = max(float(at_minima.min()), 1e-3 * max(float(at_minima.max()), stiffness))
    softest = float(np.min(at_minima[at_minima > 0], initial=np.inf))
    return Equilibrium(objective, s, wells, stiffness, softness, softest if softest < np.inf else softness, gibbs)


def _stiffness(objective: Objective, gibbs: GibbsGrid, wells: Wells, at_minima: float) -> float:
    """The largest |curvature| where paths often are; a kink counts with (jump of grad f)^2/s.

    Over a length l noise makes up for a jump J if J l = s, and J/l is the curvature seen there.
    """
    often = gibbs.values <= wells.floors[0] + (OFTEN + 0.5 * gibbs.values.ndim) * gibbs.s
    often |= gibbs.values <= wells.top + gibbs.s
    points = gibbs.grid.points[:, often.ravel()]
    curvature = max(largest_curvature(objective, points[:, :: max(1, points.shape[1] // HESSIANS)]), at_minima)
    slopes = np.full((gibbs.values.ndim, gibbs.values.size), np.nan)
    slopes[:, often.ravel()] = objective.gradient(points)
    jump = _largest_jump(slopes.reshape(-1, *gibbs.values.shape), 2 * curvature * gibbs.grid.spacing)
    return max(curvature, jump * jump / gibbs.s, 1e-300)


def _largest_jump(slopes: Array, explained: Array) -> float:
    """The largest change of grad f, shape (d, n_1, ..., n_d), from one cell to the next beyond what is explained by
    curvature along each axis."""
    largest = 0.0
    for axis, smooth in enumerate(explained):
        jumps = np.abs(np.diff(slopes, axis=1 + axis)) - smooth
        largest = max(largest, float(np.max(jumps, where=np.isfinite(jumps), initial=0.0)))
    return largest


def from_paths(objective: Objective, s: float, seed: int = 0) -> Equilibrium:
    """From descents and minimum-energy paths, in any dimension."""
    wells, paths = _descended_wells(objective, seed)
    x = wells.minima
    random = np.random.default_rng(seed)
    length = units_of_wells(objective).length

    def largest_at(points: Array, shift: float = 0.0) -> list[float]:
        return [largest_by_power_iteration(objective, each, random, length, shift) for each in points.T]

    largest = max(largest_at(x))
    away = AWAY * np.sqrt(s / (2 * largest)) * random.normal(size=x.shape)
    stiffness = max(largest, *largest_at(x + away))
    smallest = stiffness - max(largest_at(x, shift=stiffness))
    softness = float(max(smallest, 1e-3 * stiffness))
    return Equilibrium(objective, s, wells, stiffness, softness, softness, paths=paths)


def _descended_wells(objective: Objective, seed: int) -> tuple[Wells, tuple[MinimumEnergyPath, ...]]:
    """Where descents end, with depths if there are minimum-energy paths between them, and these."""
    with suppress(RequestError):
        network = path_network(objective)
        return network.wells, network.paths
    units = units_of_wells(objective)
    x = units.out(scattered_minima(units.objective(objective), seed))
    floors = np.asarray(objective(x), dtype=float)
    order = np.argsort(floors, kind="stable")
    depths = np.append(np.inf, np.full(floors.size - 1, np.nan))
    return Wells(x[:, order], floors[order], depths, x.min(axis=1), x.max(axis=1)), ()
