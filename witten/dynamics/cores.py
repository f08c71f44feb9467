"""Cores: small sets about the minima, by which it is told in which well a path has been last."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from witten.dynamics.wells import Wells
from witten.errors import ConvergenceError
from witten.objectives import Objective

__all__ = ["Cores", "cores_of"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# A core reaches up to this height above its minimum, in units of s and per dimension, and a part of the depth.
HEIGHT, PART = 0.5, 0.3
# The smallest curvature beside the largest that shapes a core: a flat direction must not make it endless.
FLATTEST = 1e-3


@dataclass(frozen=True, eq=False)
class Cores:
    """Ellipsoids (x - c)^T M (x - c) <= 1 about the minima that count.

    Attributes
    ----------
    centres : shape (m, d)
    metrics, roots : M and M^{-1/2}, shape (m, d, d)
    floors : f at the centres, shape (m,)
    """

    centres: Array
    metrics: Array
    roots: Array
    floors: Array

    @property
    def log_volumes(self) -> Array:
        """log |A_i|, shape (m,)."""
        d = self.centres.shape[1]
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
    return Cores(
        np.ascontiguousarray(wells.minima[:, kept].T), np.array(metrics), np.array(roots), wells.floors[kept]
    )


def _shrinking(f: Objective, centre: Array, root: Array, floor: float, height: float) -> float:
    """By how much an ellipsoid must shrink so that f on it stays below twice the height."""
    directions = np.random.default_rng(0).normal(size=(centre.size, 200))
    directions /= np.linalg.norm(directions, axis=0)
    for factor in 0.9 ** np.arange(60):
        if np.max(f(centre[:, None] + factor * root @ directions)) <= floor + 2 * height:
            return float(factor)
    raise ConvergenceError(f"{f.name} has no smooth minimum at {centre}; splitting cannot start there")
