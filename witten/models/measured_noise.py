"""A loss of a few parameters and the covariance of its gradient as measured from samples, as functions of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.models.derivatives import difference
from witten.models.model_loss import ModelLoss
from witten.objectives.objective import CallableObjective
from witten.objectives.symbolic.grammar import variables

__all__ = ["MeasuredNoise"]

Array = NDArray[np.float64]
# Steps of first and of second differences, in units of `length`.
FIRST, SECOND = 1e-5, 1e-3


@dataclass(frozen=True, eq=False)
class MeasuredNoise:
    """Sigma(x) = (1/N) sum_i (g_i - g)(g_i - g)^T/batch from the samples' gradients, derivatives by differences.

    Attributes
    ----------
    loss : f and the gradients of its samples
    dimension : d
    length : over which f changes, the unit of steps
    batch : samples of a step
    """

    loss: ModelLoss
    dimension: int
    length: float
    batch: int = 1

    @cached_property
    def objective(self) -> CallableObjective:
        """f as an objective."""
        f, d = self.loss, self.dimension

        def value(x: Array) -> Array:
            return np.array([float(f.called("value", point)) for point in x.T])

        def gradient(x: Array) -> Array:
            return np.array([f.slope(point) for point in x.T]).T.reshape(d, -1)

        def hessian(x: Array) -> Array:
            if f.hessian is not None:
                return np.moveaxis(np.array([f.called("hessian", point, d, d) for point in x.T]), 0, 2)
            rows = np.array([[difference(f.slope, point, e, FIRST * self.length) for e in np.eye(d)] for point in x.T])
            return np.moveaxis((rows + rows.transpose(0, 2, 1)) / 2, 0, 2)

        functions: dict[str, Callable[[Array], Array]] = {"value": value, "gradient": gradient, "hessian": hessian}
        given = (value, gradient, hessian)
        return CallableObjective(f.name, None, variables(d), given=given, functions=functions, scale=self.length)

    def sigma(self, x: Array) -> Array:
        """Sigma at points (d, n), shape (d, d, n)."""
        return np.stack([self._at(point) for point in x.T], axis=-1)

    def _at(self, point: Array) -> Array:
        gradients = self.loss.called("sample_gradients", point, None, self.dimension)
        centred = gradients - gradients.mean(axis=0)
        return np.asarray(centred.T @ centred) / (len(gradients) * self.batch)

    def slopes(self, x: Array) -> Array:
        """d_k Sigma_ij at points (d, n), shape (d, d, d, n), the derivative last of the three."""
        step = FIRST * self.length
        moves = step * np.eye(self.dimension)[:, :, None]
        return np.stack([(self.sigma(x + e) - self.sigma(x - e)) / (2 * step) for e in moves], axis=2)

    def bends(self, x: Array) -> Array:
        """d_k d_l Sigma_ij at points (d, n), shape (d, d, d, d, n)."""
        step = SECOND * self.length
        moves = step * np.eye(self.dimension)[:, :, None]
        out = np.zeros((self.dimension,) * 4 + x.shape[1:])
        for k, a in enumerate(moves):
            for m, b in enumerate(moves[: k + 1]):
                both = self.sigma(x + a + b) + self.sigma(x - a - b) - self.sigma(x + a - b) - self.sigma(x - a + b)
                out[:, :, k, m] = out[:, :, m, k] = both / (4 * step**2)
        return out

    def changes(self, start: Array, end: Array) -> Array:
        """By how much an entry of Sigma changes between points (d, n) and others, as their middles show it, (n,)."""
        found = np.stack([self.sigma(x) for x in (start, (start + end) / 2, end)])
        return np.asarray(np.ptp(found, axis=0).max(axis=(0, 1)))
