"""x+ = x - s grad f(x): one step of gradient descent as a map, with momentum a map of pairs; its Jacobian, its iterates
and, in one dimension, its inverse branches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from witten.descent import kernels
from witten.errors import RequestError
from witten.langevin import checked_momentum
from witten.objectives.objective import Objective
from witten.request import positive

__all__ = ["DescentMap", "checked_starts", "stability_threshold", "turning_points"]

Array = NDArray[np.float64]
# Intervals of the grid on which turning points of a one-dimensional map are sought.
INTERVALS = 4096


def stability_threshold(momentum: float, *, nesterov: bool = False) -> float:
    """2(1 + alpha), or 2(1 + alpha)/(1 + 2 alpha) with Nesterov's gradient: the largest s theta at which both roots of
    z^2 - (1 + alpha - s theta) z + alpha, or of z^2 - (1 - s theta)((1 + alpha) z - alpha), lie in the unit disk.

    >>> from witten.stability import stability_threshold
    >>> stability_threshold(0.0), stability_threshold(0.5), stability_threshold(0.5, nesterov=True)
    (2.0, 3.0, 1.5)

    Raises
    ------
    RequestError
        unless 0 <= alpha < 1.
    """
    alpha = checked_momentum(momentum)
    return 2 * (1 + alpha) / (1 + 2 * alpha) if nesterov else 2 * (1 + alpha)


@dataclass(frozen=True)
class DescentMap:
    """F(x) = x - s grad f(x), from points (d, n) to points (d, n).

    With momentum alpha > 0 a map of pairs (x, x-), rows (2d, n): to (z - s grad f(x), x) with z = x + alpha (x - x-),
    or with Nesterov's gradient to (z - s grad f(z), x). States are points, or these pairs.

    >>> witten.DescentMap(witten.gallery.quadratic(), 0.1)(np.array([[1.0]])).tolist()
    [[0.9]]

    Attributes
    ----------
    objective : f, with a formula (compiled loops) or made of Python functions (loops over arrays)
    learning_rate : s > 0; RequestError for anything else
    momentum : alpha, from 0 to below 1; RequestError for anything else
    nesterov : whether the gradient is taken at z
    """

    objective: Objective
    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        positive("learning rate", self.learning_rate)
        checked_momentum(self.momentum)

    @property
    def dimension(self) -> int:
        """Of a state: d, with momentum 2d."""
        return self.objective.dimension * (2 if self.momentum else 1)

    @property
    def compiled(self) -> bool:
        """Whether loops over steps run in compiled code: f has a formula."""
        return self.objective.formula is not None

    @property
    def kernel_arguments(self) -> tuple[float, tuple[int, float, bool]]:
        """s, and what loops call `momentum`."""
        return float(self.learning_rate), (self.objective.dimension, float(self.momentum), bool(self.nesterov))

    @property
    def sharpness_limit(self) -> float:
        """The largest sharpness of a stable minimum: 2/s, and with momentum `stability_threshold` over s."""
        return stability_threshold(self.momentum, nesterov=self.nesterov) / self.learning_rate

    @property
    def limit_in_words(self) -> str:
        """`sharpness_limit` as a formula."""
        if not self.momentum:
            return "2/s"
        return "2(1 + alpha)/(s(1 + 2 alpha))" if self.nesterov else "2(1 + alpha)/s"

    def __call__(self, x: ArrayLike) -> Array:
        """F(x), for states (m, n) or (m,)."""
        x = np.asarray(x, dtype=float)
        if not self.momentum:
            return x - self.learning_rate * self.objective.gradient(x)
        here, before = np.split(x, 2)
        ahead = here + self.momentum * (here - before)
        return np.concatenate([ahead - self.learning_rate * self.objective.gradient(self.evaluated(x)), here])

    def jacobian(self, x: ArrayLike) -> Array:
        """F'(x) = I - s Hess f(x), of pairs [[(1 + alpha) I - s H, -alpha I], [I, 0]] or with Nesterov's gradient
        [[(1 + alpha)(I - s H), -alpha (I - s H)], [I, 0]]; shape (m, m, n) or (m, m); RequestError on a kink."""
        h = self.objective.hessian(self.evaluated(np.asarray(x, dtype=float)))
        identity = np.eye(len(h)).reshape(len(h), len(h), *[1] * (h.ndim - 2)) + np.zeros_like(h)
        without = identity - self.learning_rate * h
        if not self.momentum:
            return without
        pushed = self.momentum * (without if self.nesterov else identity)
        return np.vstack([np.hstack([without + pushed, -pushed]), np.hstack([identity, np.zeros_like(h)])])

    def at_rest(self, x: ArrayLike) -> Array:
        """The states of points (d, n) or (d,) that have not moved: they, or the pairs (x, x)."""
        x = np.asarray(x, dtype=float)
        return np.concatenate([x, x]) if self.momentum else x

    def in_turn(self, points: ArrayLike) -> Array:
        """The states of the points (d, p) of a cycle, in order."""
        x = np.asarray(points, dtype=float).reshape(self.objective.dimension, -1)
        return np.concatenate([x, np.roll(x, 1, axis=1)]) if self.momentum else x

    def position(self, x: Array) -> Array:
        """The points x of states: all their rows, or the first d."""
        return x[: self.objective.dimension]

    def evaluated(self, x: Array) -> Array:
        """Where F takes the gradient."""
        here = self.position(x)
        ahead = self.nesterov and self.momentum
        return here + self.momentum * (here - x[len(here) :]) if ahead else here

    def iterate(self, x: ArrayLike, steps: int) -> Array:
        """F^steps(x) for states (m, n) or (m,)."""
        x = self._states(x)
        with np.errstate(all="ignore"):
            if not self.compiled:
                for _ in range(steps):
                    x = self(x)
                return x
        rows = np.array(x.reshape(self.dimension, -1).T, order="C")
        s, momentum = self.kernel_arguments
        rates = np.full(len(rows), s)
        if self.dimension == 1 and rows.size * steps > 1e7:
            column = rows[:, 0].copy()
            kernels.lanes(self.objective)(column, rates, steps)
            return column.reshape(x.shape)
        kernels.advance(kernels.pointers(self.objective)[0], rows, rates, momentum, steps)
        return np.ascontiguousarray(rows.T).reshape(x.shape)

    def path(self, x: ArrayLike, steps: int, every: int = 1) -> Array:
        """x_0, x_every, x_{2 every}, ... from one start (m,), shape (m, steps // every + 1)."""
        x = self._states(x).reshape(self.dimension)
        if self.compiled:
            gradient = kernels.pointers(self.objective)[0]
            return kernels.record(gradient, x, *self.kernel_arguments, steps, every).T
        points = [x]
        for _ in range(steps // every):
            points.append(self.iterate(points[-1], every))
        return np.stack(points, axis=-1)

    def _states(self, x: ArrayLike) -> Array:
        states = np.array(x, dtype=float)
        if states.ndim == 0 or states.shape[0] != self.dimension:
            name, what = self.objective.name, "pairs of points, together" if self.momentum else "points"
            raise RequestError(f"{name} takes {what} of {self.dimension} coordinates, got shape {states.shape}")
        return states


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


def _only_in_one_dimension(descent: DescentMap) -> None:
    if descent.dimension != 1:
        what = "a map of pairs" if descent.momentum else f"dimension {descent.dimension}"
        raise RequestError(f"turning points need one dimension; {descent.objective.name} has {what}")
