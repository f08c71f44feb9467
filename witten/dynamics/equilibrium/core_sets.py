"""Core sets (milestones) about the minima, by which the well that a path was in last is known: sublevel sets on a
grid, and ellipsoids, in which starting points can be drawn by rejection in any dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.special import gammaln

from witten.dynamics.equilibrium.gibbs_grid import GibbsGrid
from witten.dynamics.equilibrium.minimum_energy_paths import MinimumEnergyPath, PathNetwork
from witten.dynamics.equilibrium.wells import Wells
from witten.dynamics.paths.ensemble import CoreMap
from witten.errors import ConvergenceError
from witten.objectives import Objective

__all__ = ["Ellipsoids", "core_heights", "ellipsoids", "ellipsoids_on_paths", "sublevel_sets"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# A core reaches up to this height above its minimum, in units of s and per dimension, and a part of the depth: of
# sublevel sets, and of ellipsoids, on whose surface f varies.
HEIGHT, PART, PART_OF_ELLIPSOIDS = 0.5, 0.4, 0.3
# The smallest curvature beside the largest that shapes a core: a flat direction must not make it endless.
FLATTEST = 1e-3
# In many dimensions: standard deviations of e^{-2f/s} up to which a core reaches along a path, and within how many of
# the number of degrees of freedom it reaches across.
ALONG, ACROSS = 2.0, 3.0
# Where a core ends, f must be as high as its curvatures say up to this factor.
LIKE = 3.0
# Variance of the normal points tried, over that of e^{-2f/s}.
WIDER = 1.15


def core_heights(wells: Wells, kept: Integers, s: float) -> Array:
    """How far above their minima the cores of the wells `kept` reach at s, shape (m,)."""
    return np.minimum(HEIGHT * wells.minima.shape[0] * s, PART * wells.exits[kept])


def sublevel_sets(gibbs: GibbsGrid, wells: Wells, kept: Integers, part: float = 1.0) -> CoreMap:
    """For each of the wells `kept` the cells connected to its minimum through cells where f is below (a part of) a
    height."""
    shape = np.array(gibbs.values.shape)
    labels = np.zeros(gibbs.values.shape, dtype=np.int16)
    low = np.array(gibbs.grid.box.lower)
    heights = part * core_heights(wells, kept, gibbs.s)
    for number, (k, height) in enumerate(zip(kept.tolist(), heights.tolist(), strict=True), start=1):
        components, _ = label(gibbs.values <= wells.floors[k] + height)
        cell = tuple(np.clip(np.floor((wells.minima[:, k] - low) / gibbs.grid.spacing).astype(int), 0, shape - 1))
        labels[components == components[cell] if components[cell] else cell] = number
    return CoreMap.on_grid(low, gibbs.grid.spacing, labels)


@dataclass(frozen=True, eq=False)
class Ellipsoids:
    """Ellipsoids (x - c)^T M (x - c) <= 1 about the minima that count.

    Attributes
    ----------
    centres : shape (m, d)
    metrics : M, shape (m, d, d)
    roots : of the points c + root y that are tried for starts, shape (m, d, d): M^{-1/2} with y uniform in the unit
        ball; or less than that, if they are normal, with y of unit variance
    floors : f at the centres, shape (m,)
    normal : which of the two
    """

    centres: Array
    metrics: Array
    roots: Array
    floors: Array
    normal: bool = False

    @property
    def log_volumes(self) -> Array:
        """log of what a try stands for, shape (m,): |A_i|; the integral of e^{-|y|^2/2} for normal ones."""
        d = self.centres.shape[1]
        if self.normal:
            return np.asarray(0.5 * d * math.log(2 * math.pi) + np.linalg.slogdet(self.roots)[1])
        ball = 0.5 * d * math.log(math.pi) - gammaln(0.5 * d + 1)
        return np.asarray(ball + np.linalg.slogdet(self.roots)[1])

    def members(self, x: Array) -> Integers:
        """The core that each of the points (d, n) is in, or -1."""
        found = np.full(x.shape[1], -1)
        for k, (c, m) in enumerate(zip(self.centres, self.metrics, strict=True)):
            away = x - c[:, None]
            found[np.einsum("an,ab,bn->n", away, m, away) <= 1.0] = k
        return found


def ellipsoids(f: Objective, wells: Wells, kept: Integers, s: float) -> Ellipsoids:
    """Of the wells `kept` at s: as large as their height allows, the shape from the Hessian."""
    metrics, roots = [], []
    for k in kept.tolist():
        height = min(HEIGHT * f.dimension * s, PART_OF_ELLIPSOIDS * wells.exits[k])
        root = _root(f, wells.minima[:, k], 2 * height)
        root *= _shrinking(f, wells.minima[:, k], root, wells.floors[k], height)
        roots.append(root)
        metrics.append(np.linalg.inv(root @ root))
    centres = np.ascontiguousarray(wells.minima[:, kept].T)
    return Ellipsoids(centres, np.array(metrics), np.array(roots), wells.floors[kept])


def _root(f: Objective, centre: Array, squared: float) -> Array:
    """sqrt(squared) H^{-1/2}, H the Hessian without curvatures that are too small."""
    curvatures, axes = np.linalg.eigh(f.hessian(centre))
    curvatures = np.maximum(curvatures, FLATTEST * max(curvatures.max(), FLATTEST))
    return np.asarray(axes @ np.diag(np.sqrt(squared / curvatures)) @ axes.T)


def _shrinking(f: Objective, centre: Array, root: Array, floor: float, height: float) -> float:
    """By how much an ellipsoid must shrink so that f on it stays below twice the height."""
    directions = np.random.default_rng(0).normal(size=(centre.size, 200))
    directions /= np.linalg.norm(directions, axis=0)
    for factor in 0.9 ** np.arange(60):
        if np.max(f(centre[:, None] + factor * root @ directions)) <= floor + 2 * height:
            return float(factor)
    raise ConvergenceError(f"{f.name} has no smooth minimum at {centre}; splitting cannot start there")


# ------------------------------------------------------------------------------------------------ in many dimensions


def ellipsoids_on_paths(f: Objective, network: PathNetwork, kept: Integers, s: float) -> Ellipsoids:
    """Of the wells `kept`, cut short along minimum-energy paths only.

    In d dimensions f is d s/4 above its minimum on average, which may be more than the barrier: a core that is low on
    all sides would seldom be entered. With z = (x - c) over the standard deviations of e^{-2f/s}, it is a ball of
    radius^2 d + 3 sqrt(2d) flattened so that the paths leave it at |z| = 2, or lower if the well is shallow.
    """
    wells, d = network.wells, f.dimension
    metrics, roots = [], []
    for k in kept.tolist():
        height = PART_OF_ELLIPSOIDS * wells.exits[k]
        spread = _root(f, wells.minima[:, k], 0.5 * s)
        exits = [_exit(_from(path, k), spread, height) for path in network.paths if k in path.ends]
        flattened = _flattened(np.eye(d) / (d + ACROSS * math.sqrt(2 * d)), exits)
        size = _like_its_curvatures(f, wells.minima[:, k], spread, flattened, s)
        inverse = np.linalg.inv(spread)
        metrics.append(inverse @ flattened @ inverse / size**2)
        roots.append(spread * math.sqrt(WIDER * min(1.0, size**2 * (1 + ACROSS * math.sqrt(2 / d)))))
    centres = np.ascontiguousarray(wells.minima[:, kept].T)
    return Ellipsoids(centres, np.array(metrics), np.array(roots), wells.floors[kept], normal=True)


def _from(path: MinimumEnergyPath, well: int) -> tuple[Array, Array]:
    """Points (n, d) of a path, relative to the well where it begins, and their heights above it."""
    points, heights = (path.points, path.heights) if path.ends[0] == well else (path.points[::-1], path.heights[::-1])
    return points - points[0], heights - heights[0]


def _exit(path: tuple[Array, Array], spread: Array, height: float) -> Array:
    """z where a path leaves the core: at |z| = 2, or at a height, whichever comes first."""
    points, heights = path
    fine = np.linspace(0, len(points) - 1, 50 * len(points))
    z = np.array([np.interp(fine, np.arange(len(points)), each) for each in np.linalg.solve(spread, points.T)])
    outside = (np.linalg.norm(z, axis=0) >= ALONG) | (np.interp(fine, np.arange(len(points)), heights) >= height)
    return np.asarray(z[:, max(int(np.argmax(outside)), 1)])


def _flattened(metric: Array, exits: list[Array]) -> Array:
    """The metric of the largest of the ellipsoids in `metric` that are cut across exits and hold none of them."""
    for z in exits:
        lacking = 1.0 - z @ metric @ z
        if lacking > 0:
            metric = metric + lacking * np.outer(z, z) / (z @ z) ** 2
    return metric


def _like_its_curvatures(f: Objective, centre: Array, spread: Array, metric: Array, s: float) -> float:
    """By how much an ellipsoid must shrink so that f on it is what its curvatures say, up to a factor."""
    directions = np.random.default_rng(0).normal(size=(centre.size, 400))
    edge = directions / np.sqrt(np.einsum("an,ab,bn->n", directions, metric, directions))
    with np.errstate(all="ignore"):
        for size in 0.9 ** np.arange(40):
            height = 4 / s * (f(centre[:, None] + size * spread @ edge) - f(centre))
            ratio = height / np.sum((size * edge) ** 2, axis=0)
            if ratio.min() > 1 / LIKE and ratio.max() < LIKE:
                return float(size)
    raise ConvergenceError(f"{f.name} has no smooth minimum at {centre}; splitting cannot start there")
