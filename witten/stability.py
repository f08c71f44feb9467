"""Which minima gradient descent can reach: those whose sharpness, the largest eigenvalue of Hess f, is at most 2/s.

With momentum alpha it is 2(1 + alpha)/s, with Nesterov's 2(1 + alpha)/(s (1 + 2 alpha))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.descent.gradient_map import DescentMap, stability_threshold
from witten.descent.thresholds import critical_learning_rate
from witten.landscape.critical.critical_point import CriticalPoint
from witten.landscape.landscape import Landscape, describe_landscape
from witten.objectives.objective import Objective
from witten.objectives.topography.scaled_coordinates import units_around
from witten.request import positive

__all__ = ["MinimumStability", "Stability", "measured_critical", "stability", "stability_threshold"]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
# Distances, in units over which f keeps its shape, at which the curvature of degenerate minima is looked for; how much
# it must grow from one to the next to be infinite, and what part of the first is zero.
RADII, GROWTH, FLAT = (1e-3, 1e-6), 1.5, 1e-4


@dataclass(frozen=True, eq=False)
class MinimumStability:
    """A minimum, and up to which learning rate gradient descent stays near it.

    Attributes
    ----------
    x, value : where, shape (d,), and f there
    sharpness : the largest eigenvalue of Hess f(x); inf at a kink, 0 where f is flatter than a parabola
    threshold : s times the sharpness beyond which steps grow: 2, and with momentum `stability_threshold`
    """

    x: Array
    value: float
    sharpness: float
    threshold: float = 2.0

    @property
    def critical_learning_rate(self) -> float:
        """threshold/sharpness: beyond it a.e. start nearby is pushed away. 0 at a kink, inf where f is flat."""
        with np.errstate(divide="ignore"):
            return float(np.divide(self.threshold, self.sharpness))

    def stable(self, learning_rate: float) -> bool:
        """Whether the sharpness is at most threshold/s."""
        return learning_rate <= self.critical_learning_rate


@dataclass(frozen=True, eq=False)
class Stability:
    """The minima of f, ascending in value, against learning rates.

    Attributes
    ----------
    landscape : f and its critical points
    minima : in the order of the landscape
    learning_rates : s, in the order given; may be empty
    """

    landscape: Landscape
    minima: tuple[MinimumStability, ...]
    learning_rates: tuple[float, ...]

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Whether each minimum (row) is stable at each learning rate (column)."""
        rows = [[minimum.stable(s) for s in self.learning_rates] for minimum in self.minima]
        return np.array(rows, dtype=bool).reshape(len(self.minima), len(self.learning_rates))


def stability(
    objective: Objective | str,
    learning_rates: Sequence[float] = (),
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    box: Intervals | None = None,
    seed: int = 0,
) -> Stability:
    """Sharpness and critical learning rate, 2/sharpness, of every minimum [Nar2018]; with momentum as in
    `stability_threshold`.

    >>> from witten.stability import stability
    >>> [round(minimum.sharpness, 6) for minimum in stability("double-well").minima]
    [2.0, 2.0]

    Parameters
    ----------
    objective : an Objective, or its text
    learning_rates : s > 0 at which stability is asked for
    momentum : alpha of x+ = y - s grad f(x), y = x + alpha (x - x-)
    nesterov : whether the gradient is taken at y instead
    box, seed : see `describe_landscape`, which finds the minima, and raises what it raises
    """
    rates = tuple(positive("learning rate", s) for s in learning_rates)
    limit = stability_threshold(momentum, nesterov=nesterov)
    landscape = describe_landscape(objective, box=box, seed=seed)
    f = landscape.objective
    minima = tuple(MinimumStability(point.x, point.value, _sharpness(f, point), limit) for point in landscape.minima)
    return Stability(landscape, minima, rates)


def _sharpness(objective: Objective, point: CriticalPoint) -> float:
    """The largest curvature; inf where 2 (f(x + r e) - f(x))/r^2 grows as r -> 0, 0 where f is flat."""
    if not point.degenerate:
        return float(point.curvatures.max())
    units = units_around(objective, point.x[:, None])
    f, u = units.objective(objective), units.into(point.x[:, None])
    directions = np.random.default_rng(0).normal(size=(point.x.size, 200))
    directions = np.hstack([directions / np.linalg.norm(directions, axis=0), np.eye(u.size), -np.eye(u.size)])
    outer, inner = (float(np.nanmax(2 * (f(u + r * directions) - point.value)) / r**2) for r in RADII)
    rounding = 16 * np.finfo(float).eps * abs(point.value) / RADII[1] ** 2
    if inner > GROWTH * outer + rounding:
        return np.inf
    known = np.isfinite(point.curvatures).all()
    largest = float(point.curvatures.max()) if known else inner / units.length**2
    zero = FLAT * max(outer, np.finfo(float).eps * abs(point.value)) / units.length**2
    return largest if largest > zero else 0.0


def measured_critical(
    objective: Objective, x: ArrayLike, *, momentum: float = 0.0, nesterov: bool = False, rtol: float = 1e-3,
    steps: int = 40_000,
) -> float:  # fmt: skip
    """The largest learning rate at which runs that start at rest next to the minimum x (d,) end there, by bisection.

    ConvergenceError where none between a half and twice threshold/sharpness separates the two."""
    x = np.asarray(x, dtype=float).reshape(objective.dimension)
    limit = stability_threshold(momentum, nesterov=nesterov)
    guess = limit / float(np.linalg.eigvalsh(objective.hessian(x))[-1])
    unit = units_around(objective, x[:, None]).length
    offset = 1e-4 * unit * np.random.default_rng(0).normal(size=x.size)

    def stays(s: float) -> bool:
        descent = DescentMap(objective, s, momentum, nesterov)
        end = descent.position(descent.iterate(descent.at_rest(x + offset), steps))
        near = abs(end - x).max() < 0.02 * unit
        # A run on a small cycle around the minimum still moves.
        return bool(near and abs(s * objective.gradient(end)).max() < 1e-3 * unit)

    return critical_learning_rate(stays, 0.5 * guess, 2.0 * guess, rtol=rtol)
