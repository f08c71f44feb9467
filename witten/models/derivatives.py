"""Derivatives along a direction by central differences, with the error that their own steps show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError

__all__ = ["Along", "derivative_along", "difference", "unit"]

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# Steps, relative to |x|, from which the best is taken; at the origin, which has no scale, any.
DECADES, DECADES_OF_THE_ORIGIN = np.arange(0.0, -9.5, -1.0), np.arange(4.0, -16.5, -1.0)
# Shorter steps, relative to |x|, that change nothing were rounded away, in a part that computes in float32 perhaps.
SHORT = 1e-6


@dataclass(frozen=True)
class Along:
    """A derivative along a unit vector: its value, a bound of its error (a norm), and the step."""

    value: Any
    error: float
    step: float


def unit(v: Array) -> Array:
    """v/|v|; v where it is zero."""
    size = float(np.linalg.norm(v))
    return v / size if size > 0 else v


def difference(function: Callable[[Array], Array], x: Array, v: Array, step: float) -> Array:
    """(g(x + h v) - g(x - h v))/(2h)."""
    return np.asarray((function(x + step * v) - function(x - step * v)) / (2 * step))


def derivative_along(function: Callable[[Array], Array], x: Array, v: Array, near: float | None = None) -> Along:
    """Dg(x) v by the best central difference of steps in decades, or by that of step `near` alone.

    The error of the difference of step h is h^2 |D^3 g|/6 + c/h, and what a tenth of the step changes is at least
    about as much of either. Twice the change, and the rounding of g itself, is the error; the best step has the least.
    """
    here = function(x)
    steps = _steps(x) if near is None else near * np.array([1.0, 0.1])
    found = [_attempt(function, here, x, v, step) for step in steps]
    rounding = EPS * float(np.linalg.norm(here)) / steps[:-1]
    errors = 2 * np.array([_change(a, b) for a, b in zip(found, found[1:], strict=False)]) + rounding
    if not np.isfinite(errors).any():
        if near is not None:
            return derivative_along(function, x, v)
        raise RequestError("differences of the loss agree at no step: it is not smooth, or not finite, near this point")
    best = int(np.argmin(errors))
    return Along(found[best], float(errors[best]), float(steps[best]))


def _steps(x: Array) -> Array:
    size = float(np.linalg.norm(x))
    return np.asarray(size * 10.0**DECADES if size > 0 else 10.0**DECADES_OF_THE_ORIGIN)


def _attempt(function: Callable[[Array], Array], here: Array, x: Array, v: Array, step: float) -> Array | None:
    """The difference, None where the function is not finite so far away, or does not feel so short a step."""
    try:
        after, before = function(x + step * v), function(x - step * v)
    except RequestError:
        return None
    felt = not (np.array_equal(after, here) and np.array_equal(before, here))
    return np.asarray((after - before) / (2 * step)) if felt or step > SHORT * np.linalg.norm(x) else None


def _change(found: Array | None, shorter: Array | None) -> float:
    return np.inf if found is None or shorter is None else float(np.linalg.norm(found - shorter))
