"""Cores: small sets about the minima, by which it is told in which well a path has been last."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from witten.dynamics.equilibrium.minimum_energy_paths import Road, RoadMap
from witten.dynamics.equilibrium.wells import Wells
from witten.errors import ConvergenceError
from witten.objectives import Objective

__all__ = ["Cores", "cores_of", "cores_on_roads"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# A core reaches up to this height above its minimum, in units of s and per dimension, and a part of the depth.
HEIGHT, PART = 0.5, 0.3
# The smallest curvature beside the largest that shapes a core: a flat direction must not make it endless.
FLATTEST = 1e-3
# In many dimensions: standard deviations of e^{-2f/s} up to which a core reaches along a road, and within how many of
# the number of degrees of freedom it reaches across.
ALONG, ACROSS = 2.0, 3.0
# Where a core ends, f must be as high as its curvatures say up to this factor.
LIKE = 3.0
# Variance of the normal points tried, over that of e^{-2f/s}.
WIDER = 1.15


@dataclass(frozen=True, eq=False)
class Cores:
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


def cores_of(f: Objective, wells: Wells, kept: Integers, s: float) -> Cores:
    """Cores of the wells `kept` at s: as large as their height allows, the shape from the Hessian."""
    d = f.dimension
    metrics, roots = [], []
    for k in kept.tolist():
        depth = wells.depths[k] if np.isfinite(wells.depths[k]) else wells.top - wells.floors[k]
        height = min(HEIGHT * d * s, PART * depth)
        curvatures, axes = np.linalg.eigh(f.hessian(wells.minima[:, k]))
        curvatures = np.maximum(curvatures, FLATTEST * max(curvatures.max(), FLATTEST))
        root = axes @ np.diag(np.sqrt(2 * height / curvatures)) @ axes.T
        root *= _shrinking(f, wells.minima[:, k], root, wells.floors[k], height)
        roots.append(root)
        metrics.append(np.linalg.inv(root @ root))
    return Cores(np.ascontiguousarray(wells.minima[:, kept].T), np.array(metrics), np.array(roots), wells.floors[kept])


def _shrinking(f: Objective, centre: Array, root: Array, floor: float, height: float) -> float:
    """By how much an ellipsoid must shrink so that f on it stays below twice the height."""
    directions = np.random.default_rng(0).normal(size=(centre.size, 200))
    directions /= np.linalg.norm(directions, axis=0)
    for factor in 0.9 ** np.arange(60):
        if np.max(f(centre[:, None] + factor * root @ directions)) <= floor + 2 * height:
            return float(factor)
    raise ConvergenceError(f"{f.name} has no smooth minimum at {centre}; splitting cannot start there")


# ------------------------------------------------------------------------------------------------ in many dimensions


def cores_on_roads(f: Objective, roads: RoadMap, kept: Integers, s: float) -> Cores:
    """Cores of the wells `kept` that are cut short along roads only.

    In d dimensions f is d s/4 above its minimum on average, which may be more than the barrier: a core that is low on
    all sides would seldom be entered. With z = (x - c) over the standard deviations of e^{-2f/s}, it is a ball of
    radius^2 d + 3 sqrt(2d) flattened so that the roads leave it at |z| = 2, or lower if the well is shallow.
    """
    wells, d = roads.wells, f.dimension
    metrics, roots = [], []
    for k in kept.tolist():
        depth = wells.depths[k] if np.isfinite(wells.depths[k]) else wells.top - wells.floors[k]
        curvatures, axes = np.linalg.eigh(f.hessian(wells.minima[:, k]))
        curvatures = np.maximum(curvatures, FLATTEST * max(curvatures.max(), FLATTEST))
        spread = axes @ np.diag(np.sqrt(0.5 * s / curvatures)) @ axes.T
        away = [_exit(_from(road, k), spread, PART * depth) for road in roads.roads if k in road.ends]
        flattened = _flattened(np.eye(d) / (d + ACROSS * math.sqrt(2 * d)), away)
        size = _like_its_curvatures(f, wells.minima[:, k], spread, flattened, s)
        inverse = np.linalg.inv(spread)
        metrics.append(inverse @ flattened @ inverse / size**2)
        roots.append(spread * math.sqrt(WIDER * min(1.0, size**2 * (1 + ACROSS * math.sqrt(2 / d)))))
    centres = np.ascontiguousarray(wells.minima[:, kept].T)
    return Cores(centres, np.array(metrics), np.array(roots), wells.floors[kept], normal=True)


def _from(road: Road, well: int) -> tuple[Array, Array]:
    """Points (n, d) of a road, relative to the well where it begins, and their heights above it."""
    points, heights = (road.points, road.heights) if road.ends[0] == well else (road.points[::-1], road.heights[::-1])
    return points - points[0], heights - heights[0]


def _exit(road: tuple[Array, Array], spread: Array, height: float) -> Array:
    """z where a road leaves the core: at |z| = 2, or at a height, whichever comes first."""
    points, heights = road
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
