"""One step of gradient descent with noise of finitely many values, by collocation at Chebyshev points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.errors import ConvergenceError, RequestError
from witten.objectives.objective import Objective
from witten.sgd.gradient_noise import AtomicNoise

__all__ = ["AtomicMap", "chebyshev_points", "interpolation_matrix"]

Array = NDArray[np.float64]
# An invariant box is given up beyond this many enlargements, or so many times the width of the first.
ENLARGED, WIDEST = 60, 1e8


@dataclass(frozen=True, eq=False)
class AtomicMap:
    """(P u)(x) = sum_a w_a u(x - h grad f(x) + h xi_a(x)).

    A kernel of atoms has no density, but it maps smooth functions to smooth ones where the maps contract on the whole:
    u is interpolated by polynomials on a box that all the maps keep, and nothing is lost.
    """

    objective: Objective
    noise: AtomicNoise
    step_size: float

    def images(self, x: Array) -> Array:
        """Where points (d, n) may go, shape (a, d, n)."""
        with np.errstate(all="ignore"):
            return np.asarray(x - self.step_size * self.objective.gradient(x) + self.step_size * self.noise.values(x))

    def invariant_box(self, box: Box) -> Box:
        """The smallest box around a given one, found step by step, that every map takes into itself; ConvergenceError
        if there is none."""
        widest = WIDEST * box.widths.max()
        for _ in range(ENLARGED):
            faces = [np.linspace(a, b, 400 if box.dimension == 1 else 60) for a, b in box.intervals]
            x = np.stack([z.ravel() for z in np.meshgrid(*faces, indexing="ij")])
            images = np.moveaxis(self.images(x), 1, 0).reshape(box.dimension, -1)
            low = np.minimum(images.min(axis=1), box.lower)
            high = np.maximum(images.max(axis=1), box.upper)
            if not (np.isfinite(low).all() and np.isfinite(high).all()) or (high - low).max() > widest:
                break
            if np.array_equal(low, box.lower) and np.array_equal(high, box.upper):
                return box
            margin = 1e-3 * (high - low)
            low, high = np.where(low < box.lower, low - margin, low), np.where(high > box.upper, high + margin, high)
            box = Box(tuple(low.tolist()), tuple(high.tolist()))
        raise ConvergenceError(
            f"no box is kept by descent on {self.objective.name} with step {self.step_size:g} and this noise: it may "
            "leave to infinity; take a smaller step"
        )

    def matrix(self, box: Box, n: int) -> Array:
        """P at n Chebyshev points along each axis, shape (n^d, n^d)."""
        if self.objective.dimension > 2:
            raise RequestError(f"noise of atoms is there in 1 and 2 dimensions; {self.objective.name} has more")
        axes = [chebyshev_points(a, b, n) for a, b in box.intervals]
        x = np.stack([z.ravel() for z in np.meshgrid(*axes, indexing="ij")])
        out = np.zeros((x.shape[1], x.shape[1]))
        for weight, images in zip(self.noise.weights, self.images(x), strict=True):
            parts = [interpolation_matrix(axis, y) for axis, y in zip(axes, images, strict=True)]
            joint = parts[0] if len(parts) == 1 else np.einsum("ij,ik->ijk", *parts).reshape(len(out), -1)
            out += weight * joint
        return out


def chebyshev_points(low: float, high: float, n: int) -> Array:
    """The n extrema of the Chebyshev polynomial of degree n - 1 on [low, high]."""
    return low + 0.5 * (high - low) * (1.0 - np.cos(np.pi * np.arange(n) / (n - 1)))


def interpolation_matrix(nodes: Array, y: Array) -> Array:
    """Values at y from values at Chebyshev points, by the second barycentric formula [Berrut2004]; (len(y), n)."""
    weights = (-1.0) ** np.arange(nodes.size)
    weights[[0, -1]] *= 0.5
    difference = y[:, None] - nodes
    exact = difference == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        out = weights / difference
        out /= out.sum(axis=1, keepdims=True)
    hit = exact.any(axis=1)
    out[hit] = exact[hit]
    return np.asarray(out)
