"""x+ = x - s grad f(x): one step of gradient descent as a map, its Jacobian, its iterates and, in one dimension, its
inverse branches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from witten.descent import kernels
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.request import positive

__all__ = ["DescentMap", "checked_starts", "inverse_branches", "turning_points"]

Array = NDArray[np.float64]
# Intervals of the grid on which turning points of a one-dimensional map are sought.
INTERVALS = 4096


@dataclass(frozen=True)
class DescentMap:
    """F(x) = x - s grad f(x), from points (d, n) to points (d, n).

    >>> witten.DescentMap(witten.gallery.quadratic(), 0.1)(np.array([[1.0]])).tolist()
    [[0.9]]

    Attributes
    ----------
    objective : f, with a formula (compiled loops) or made of Python functions (loops over arrays)
    learning_rate : s > 0; ValueError for anything else
    """

    objective: Objective
    learning_rate: float

    def __post_init__(self) -> None:
        positive("learning rate", self.learning_rate)

    @property
    def dimension(self) -> int:
        """d."""
        return self.objective.dimension

    @property
    def compiled(self) -> bool:
        """Whether loops over steps run in compiled code: f has a formula."""
        return self.objective.formula is not None

    def __call__(self, x: ArrayLike) -> Array:
        """F(x), for points (d, n) or (d,)."""
        x = np.asarray(x, dtype=float)
        return x - self.learning_rate * self.objective.gradient(x)

    def jacobian(self, x: ArrayLike) -> Array:
        """F'(x) = I - s Hess f(x), shape (d, d, n) or (d, d); ValueError on a kink."""
        h = self.objective.hessian(x)
        identity = np.eye(self.dimension).reshape(self.dimension, self.dimension, *[1] * (h.ndim - 2))
        return identity - self.learning_rate * h

    def iterate(self, x: ArrayLike, steps: int) -> Array:
        """F^steps(x) for points (d, n) or (d,)."""
        x = self._points(x)
        with np.errstate(all="ignore"):
            if not self.compiled:
                for _ in range(steps):
                    x = self(x)
                return x
        rows = np.array(x.reshape(self.dimension, -1).T, order="C")
        rates = np.full(len(rows), float(self.learning_rate))
        if self.dimension == 1 and rows.size * steps > 1e7:
            column = rows[:, 0].copy()
            kernels.lanes(self.objective)(column, rates, steps)
            return column.reshape(x.shape)
        kernels.advance(kernels.pointers(self.objective)[0], rows, rates, steps)
        return np.ascontiguousarray(rows.T).reshape(x.shape)

    def path(self, x: ArrayLike, steps: int, every: int = 1) -> Array:
        """x_0, x_every, x_{2 every}, ... from one start (d,), shape (d, steps // every + 1)."""
        x = self._points(x).reshape(self.dimension)
        if self.compiled:
            gradient = kernels.pointers(self.objective)[0]
            return kernels.record(gradient, x, float(self.learning_rate), steps, every).T
        points = [x]
        for _ in range(steps // every):
            points.append(self.iterate(points[-1], every))
        return np.stack(points, axis=-1)

    def _points(self, x: ArrayLike) -> Array:
        points = np.array(x, dtype=float)
        if points.ndim == 0 or points.shape[0] != self.dimension:
            name, d = self.objective.name, self.dimension
            raise RequestError(f"{name} takes points of {d} coordinates, got shape {points.shape}")
        return points


def checked_starts(objective: Objective, x: ArrayLike) -> Array:
    """Starts (d, n) as they are; RequestError where f or its gradient is not a number: outside of its domain."""
    points = np.asarray(x, dtype=float).reshape(objective.dimension, -1)
    bad = np.isnan(objective(points)) | np.isnan(objective.gradient(points)).any(axis=0)
    if bad.any():
        where = ", ".join(f"{c:.6g}" for c in points[:, bad.argmax()])
        raise RequestError(f"{objective.name} is not a number at the start ({where}); start where it is defined")
    return points


def turning_points(descent: DescentMap, low: float, high: float) -> Array:
    """Where F' = 1 - s f'' changes sign in [low, high], ascending: between them F is monotone. One dimension only.

    Sign changes closer together than (high - low)/4096 can be missed."""
    _only_in_one_dimension(descent)
    grid = np.linspace(low, high, INTERVALS + 1)
    slope = descent.jacobian(grid[None])[0, 0]
    changes = np.flatnonzero(np.sign(slope[:-1]) * np.sign(slope[1:]) < 0)
    found = [brentq(lambda x: descent.jacobian([x])[0, 0], grid[i], grid[i + 1], xtol=1e-14) for i in changes]
    return np.array(sorted([*found, *grid[slope == 0.0]]))


def inverse_branches(descent: DescentMap, y: float, low: float, high: float) -> Array:
    """All x in [low, high] with F(x) = y, ascending: one on every monotone piece of F that reaches y.

    Raises
    ------
    RequestError
        for an objective of more than one variable.
    """
    ends = np.concatenate([[low], turning_points(descent, low, high), [high]])
    offset = descent(ends[None])[0] - y
    found = [float(ends[i]) for i in np.flatnonzero(offset == 0.0)]
    for i in np.flatnonzero(offset[:-1] * offset[1:] < 0):
        found.append(brentq(lambda x: float(descent([x])[0]) - y, ends[i], ends[i + 1], xtol=1e-15, rtol=1e-15))
    return np.unique(found)


def _only_in_one_dimension(descent: DescentMap) -> None:
    if descent.dimension != 1:
        name = descent.objective.name
        raise RequestError(f"inverse branches need one dimension; {name} has {descent.dimension}")
