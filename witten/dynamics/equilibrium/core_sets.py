"""Core sets (milestones) about the minima, by which the well that a path was in last is known: ellipsoids, in which
starting points can be drawn by rejection in any dimension. Hitting times and splitting watch the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from witten.dynamics.equilibrium.minimum_energy_paths import MinimumEnergyPath
from witten.dynamics.equilibrium.wells import Wells
from witten.errors import ConvergenceError
from witten.objectives import Objective

__all__ = ["Ellipsoids", "core_heights", "ellipsoids", "ellipsoids_on_paths"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# A core reaches up to this height above its minimum, in units of s and per dimension, and a part of the depth.
HEIGHT, PART = 0.5, 0.3
# The smallest curvature beside the largest that shapes a core, and of that beside the largest anywhere: a flat
# direction must not make it endless.
FLATTEST = 1e-3
# By how much an axis is made longer or shorter than curvatures say, to where f is low: a dimple at the bottom of a
# well, a kink or a quartic has curvatures that say nothing of it.
LONGER, SHORTER = 1.05 ** np.arange(1.0, 81.0), 0.9 ** np.arange(100.0)
# Where no path to another minimum is known, a core ends after this part of the straight line.
STRAIGHT = 0.25
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


def ellipsoids(f: Objective, wells: Wells, kept: Integers, s: float, stiffness: float) -> Ellipsoids:
    """Of the wells `kept` at s: as large as their height allows along the axes of the Hessian; `stiffness` is the
    largest curvature where paths are."""
    metrics, roots = [], []
    for k, height in zip(kept.tolist(), core_heights(wells, kept, s).tolist(), strict=True):
        x = wells.minima[:, k]
        lengths, axes = _axes(f, x, 2 * height, stiffness)
        others = np.linalg.norm(wells.minima[:, kept[kept != k]] - x[:, None], axis=0)
        lengths *= _fitting(f, x, axes * lengths, height, 0.5 * float(others.min(initial=np.inf)) / lengths)
        root = np.asarray(axes @ np.diag(lengths) @ axes.T)
        root *= _shrinking(f, x, root, height)
        roots.append(root)
        metrics.append(np.linalg.inv(root @ root))
    centres = np.ascontiguousarray(wells.minima[:, kept].T)
    return Ellipsoids(centres, np.array(metrics), np.array(roots), wells.floors[kept])


def _axes(f: Objective, centre: Array, squared: float, stiffness: float) -> tuple[Array, Array]:
    """sqrt(squared/curvature) and the axes of the Hessian, without curvatures that are too small or not known."""
    hessian = f.piecewise_hessian(centre)
    curvatures, axes = np.linalg.eigh(np.where(np.isfinite(hessian), hessian, 0.0))
    curvatures = np.maximum(curvatures, FLATTEST * max(curvatures.max(), FLATTEST * stiffness))
    return np.sqrt(squared / curvatures), axes


def _root(f: Objective, centre: Array, squared: float, stiffness: float) -> Array:
    """sqrt(squared) H^{-1/2}."""
    lengths, axes = _axes(f, centre, squared, stiffness)
    return np.asarray(axes @ np.diag(lengths) @ axes.T)


def _fitting(f: Objective, centre: Array, semi: Array, height: float, most: Array) -> Array:
    """A factor (d,), `most` or less, for each of the semi-axes (columns): f stays below the height as far as it is
    longer, and below twice the height where it is not."""

    def along(factors: NDArray[np.floating[Any]]) -> Array:
        """f above its minimum, on both sides the larger, shape (factors, axes)."""
        away = semi[:, None, :] * np.concatenate([factors, -factors])[:, None]
        values = f((centre[:, None, None] + away).reshape(centre.size, -1)) - f(centre)
        return np.maximum(*values.reshape(2, factors.size, -1))

    with np.errstate(all="ignore"):
        low = np.logical_and.accumulate(along(LONGER) <= height, axis=0).sum(axis=0)
        fits = along(SHORTER) <= 2 * height
    if not fits.any(axis=0).all():
        raise _not_smooth(f, centre)
    factors = np.where(low > 0, LONGER[low - 1], SHORTER[fits.argmax(axis=0)])
    return np.minimum(factors, most)


def _shrinking(f: Objective, centre: Array, root: Array, height: float) -> float:
    """By how much an ellipsoid must shrink so that f on it stays below twice the height."""
    directions = np.random.default_rng(0).normal(size=(centre.size, 200))
    directions /= np.linalg.norm(directions, axis=0)
    for factor in SHORTER:
        if np.max(f(centre[:, None] + factor * root @ directions)) <= f(centre) + 2 * height:
            return float(factor)
    raise _not_smooth(f, centre)


def _not_smooth(f: Objective, centre: Array) -> ConvergenceError:
    return ConvergenceError(f"{f.name} has no smooth minimum at {centre}: nothing tells when a path is there")


# ------------------------------------------------------------------------------------------------ in many dimensions


def ellipsoids_on_paths(
    f: Objective, wells: Wells, paths: Sequence[MinimumEnergyPath], kept: Integers, s: float, stiffness: float
) -> Ellipsoids:
    """Of the wells `kept`, cut short along minimum-energy paths only; along straight lines where none is known.

    In d dimensions f is d s/4 above its minimum on average, which may be more than the barrier: a core that is low on
    all sides would seldom be entered. With z = (x - c) over the standard deviations of e^{-2f/s}, it is a ball of
    radius^2 d + 3 sqrt(2d) flattened so that the paths leave it at |z| = 2, or lower if the well is shallow.
    """
    d = f.dimension
    metrics, roots = [], []
    for k in kept.tolist():
        spread = _root(f, wells.minima[:, k], 0.5 * s, stiffness)
        exits = [_exit(_from(path, k), spread, PART * wells.exits[k]) for path in paths if k in path.ends]
        exits = exits or [_exit(line, spread, PART * line[1].max()) for line in _lines(f, wells, k)]
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


def _lines(f: Objective, wells: Wells, well: int) -> Iterator[tuple[Array, Array]]:
    """The straight lines to all other minima, as `_from` has paths, that are left after a quarter at the latest."""
    t = np.linspace(0.0, 1.0, 101)
    for other in np.delete(wells.minima, well, axis=1).T:
        points = t[:, None] * (other - wells.minima[:, well])
        heights = f(wells.minima[:, [well]] + points.T) - wells.floors[well]
        yield points, np.where(t < STRAIGHT, heights, heights.max())


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
