"""Sets of points: what a path leaves, and what it goes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from witten.domains.box import Box
from witten.errors import RequestError
from witten.objectives.objective import Objective

__all__ = ["Ball", "Predicate", "predicate"]

Array = NDArray[np.float64]
Predicate = Callable[[Array], NDArray[np.bool_]]

# A well is what lies within so many s of its bottom, and no further from it than a path that rises so far.
WELL_DEPTH = 1.0
# Radii that are tried, in units of the length over which f rises by s from the bottom, and their number.
EXTENT, STEPS = (1e-2, 1e6), 1600
# How often a descent is begun anew, in the units of where it has come to.
DESCENTS = 3


@dataclass(frozen=True)
class Ball:
    """{|x - center| <= radius}.

    >>> witten.Ball((0.0, 0.0), 1.0).holds(np.array([[0.5, 2.0], [0.0, 0.0]])).tolist()
    [True, False]

    Raises
    ------
    RequestError
        if the radius is not positive.
    """

    center: tuple[float, ...]
    radius: float

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise RequestError(f"a ball needs a positive radius, got {self.radius}")

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """Which of the points (d, n) lie in the ball, shape (n,)."""
        inside: NDArray[np.bool_] = np.linalg.norm(points - np.array(self.center)[:, None], axis=0) <= self.radius
        return inside


def predicate(region: Box | Ball | Predicate | Sequence[float], f: Objective, s: float) -> Predicate:
    """(d, n) -> (n,): whether points lie in a box, a ball, where a function says so, or in the well around a point.

    The well around a point is the largest ball around the minimum below it in which f <= f(minimum) + s on every ray
    up to its surface: a neighbourhood that no barrier of more than s crosses.

    Raises
    ------
    RequestError
        if a box, ball or point has another dimension than f.
    """
    if isinstance(region, Box | Ball):
        size = region.dimension if isinstance(region, Box) else len(region.center)
        _require_dimension(size, f)
        return region.holds
    if callable(region):
        given = region
        return lambda points: np.broadcast_to(np.asarray(given(points), dtype=bool), points.shape[1:])
    point = np.asarray(region, dtype=float).ravel()
    _require_dimension(point.size, f)
    return _well(f, point, s).holds


def _require_dimension(size: int, f: Objective) -> None:
    if size != f.dimension:
        raise RequestError(f"a set has dimension {size}, {f.name} has dimension {f.dimension}")


def _well(f: Objective, point: Array, s: float) -> Ball:
    """The largest ball around the minimum below a point in which f <= f(minimum) + s."""
    bottom = _descended(f, point, s)
    unit = _length(f, bottom, s)
    radii = unit * np.geomspace(*EXTENT, STEPS)
    points = bottom[:, None, None] + _directions(f.dimension)[:, :, None] * radii
    with np.errstate(all="ignore"):
        rise = np.asarray(f(points.reshape(f.dimension, -1))).reshape(points.shape[1:]) - float(f(bottom))
    out = (~(rise <= WELL_DEPTH * s)).any(axis=0)
    if not out.any() or out[0]:
        raise RequestError(f"no well of {f.name} at {point.tolist()} has a barrier of {WELL_DEPTH * s:g}; give a ball")
    return Ball(tuple(bottom.tolist()), float(radii[int(out.argmax()) - 1]))


def _descended(f: Objective, point: Array, s: float) -> Array:
    """The minimum below a point; in units in which f changes by about s, those of the bottom in the end."""
    x = point
    for _ in range(DESCENTS):
        start, unit = x, _length(f, x, s)

        def rise(u: Array, start: Array = start, unit: float = unit) -> float:
            return float(f(start + unit * u) - f(start)) / s

        def slope(u: Array, start: Array = start, unit: float = unit) -> Array:
            return np.asarray(unit / s * f.gradient(start + unit * u))

        with np.errstate(all="ignore"):
            x = start + unit * np.asarray(minimize(rise, np.zeros(f.dimension), jac=slope, method="BFGS").x)
    return np.asarray(x, dtype=float)


def _length(f: Objective, x: Array, s: float) -> float:
    """Over which f changes by about s at a point: by its slope or by its curvature, whichever is shorter."""
    with np.errstate(all="ignore"):
        slope = float(np.linalg.norm(f.gradient(x))) / s
        curvature = float(np.linalg.norm(f.piecewise_hessian(x), 2)) / s
    if not (np.isfinite(slope + curvature) and slope + curvature > 0):
        raise RequestError(f"{f.name} is flat or not finite at {x.tolist()}: no well is below; give a ball")
    return 1 / max(slope, curvature**0.5)


def _directions(d: int) -> Array:
    if d == 1:
        return np.array([[-1.0, 1.0]])
    u = np.random.default_rng(0).normal(size=(d, 100))
    return np.hstack([np.eye(d), -np.eye(d), u / np.linalg.norm(u, axis=0)])
