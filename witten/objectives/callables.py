"""Objectives given as Python functions: bring them to the shape (d, n) -> (n,), differentiate them, check what the
user derived.

The rule for shapes: a function is first called with points (d, n) at once, n different from d. If that gives one
value (or gradient, or Hessian) per point it is taken as vectorised; if it fails or gives another shape, but works for
a single point (d,), it is called point by point, which is right but slow. In one dimension functions of numbers are
tried in the same two ways after that."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import differentiate

from witten.errors import RequestError

__all__ = [
    "ORIGIN",
    "Evaluated",
    "Function",
    "Place",
    "check_derivative",
    "check_derivatives",
    "complete",
    "complete_unchecked",
    "differentiated",
    "point_by_point",
    "twice_differentiated",
    "vectorised",
]

Array = NDArray[np.float64]
Function = Callable[[Array], ArrayLike]  # the user's
Evaluated = Callable[[Array], Array]  # (d, n) -> (..., n)

STEP = 0.1  # first step of scipy.differentiate, which then halves it until the derivative converges
# By how much the last of ten steps is shorter than the first.
HALVED = 2.0**10
# Parts of a function that are its rounding.
ROUNDED = 1e-14
N_CHECKS = 8


@dataclass(frozen=True)
class Place:
    """Where functions are tried out: around `center` (d numbers, None for the origin), in units of `scale`."""

    center: tuple[float, ...] | None = None
    scale: float = 1.0

    @classmethod
    def of(cls, dimension: int, center: ArrayLike | None, scale: float | None) -> "Place":
        """Where wells are sought, too; RequestError for what is no point of d coordinates or no length."""
        if center is None and scale is not None:
            raise RequestError(f"the scale of a search, {scale!r}, goes with a center: give the center, too")
        if center is None:
            return cls()
        try:
            point = np.atleast_1d(np.asarray(center, dtype=float))
        except (TypeError, ValueError):
            point = np.empty(0)
        if point.shape != (dimension,) or not np.isfinite(point).all():
            raise RequestError(f"the center of a search must have {dimension} finite coordinates, got {center!r}")
        try:
            length = 1.0 if scale is None else float(scale)
        except (TypeError, ValueError):
            length = np.nan
        if not (np.isfinite(length) and length > 0):
            raise RequestError(f"the scale of a search must be positive and finite, got {scale!r}")
        return cls(tuple(point.tolist()), length)

    def sample(self, dimension: int, count: int) -> Array:
        """Fixed random points (d, n) of [-1.5, 1.5]^d in these units."""
        points = np.random.default_rng(0).uniform(-1.5, 1.5, (dimension, count))
        return points if self == ORIGIN else np.reshape(self.center or 0.0, (-1, 1)) + self.scale * points


ORIGIN = Place()


def _attempt(function: Function, points: Array, shape: tuple[int, ...]) -> tuple[Array | None, str]:
    """What the function gives at the points if it has this shape, else None and what went wrong."""
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(function(points.copy()))
    except Exception as error:  # any failure of the user's code only means: not callable in this way
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
    if np.iscomplexobj(values):
        return None, "the values are complex"
    if values.shape != shape:
        return None, f"it returned shape {values.shape} instead of {shape}"
    return values.astype(float), ""


def _point_by_point(function: Function, leading: tuple[int, ...], points: Array) -> Array:
    columns = [np.asarray(function(point.copy()), dtype=float) for point in points.T]
    return np.stack(columns, axis=-1) if columns else np.empty((*leading, 0))


def _of_numbers(function: Function, order: int, points: Array) -> Array:
    """A function of n numbers, or of one, as one of points (1, n), or (1,): value, gradient or Hessian."""
    return np.reshape(function(points[0]), (1,) * order + points.shape[1:])


def point_by_point(function: Evaluated) -> bool:
    """Whether a function that `vectorised` made is called for each point by itself."""
    return isinstance(function, partial) and function.func is _point_by_point


def _together(function: Function, points: Array) -> Array:
    return np.asarray(function(points), dtype=float)


def complete(
    value: Function,
    gradient: Function | None,
    hessian: Function | None,
    dimension: int,
    place: Place = ORIGIN,
) -> dict[str, Evaluated]:
    """Value, gradient and Hessian by name: the given ones brought to shape and checked at a place, the missing ones
    differentiated in steps of its scale."""
    slope = vectorised(gradient, dimension, 1, "gradient", place) if gradient else None
    curvature = vectorised(hessian, dimension, 2, "Hessian", place) if hessian else None
    made = complete_unchecked(vectorised(value, dimension, 0, "value", place), slope, curvature, place.scale)
    check_derivatives(made, gradient is not None, hessian is not None, dimension, place)
    return made


def check_derivatives(
    functions: dict[str, Evaluated], gradient: bool, hessian: bool, dimension: int, place: Place = ORIGIN
) -> None:
    """`check_derivative` of those of value, gradient and Hessian that are the user's."""
    if gradient:
        check_derivative("gradient", functions["gradient"], functions["value"], dimension, place)
    if hessian:
        check_derivative("Hessian", functions["hessian"], functions["gradient"], dimension, place)


def complete_unchecked(
    value: Evaluated, gradient: Evaluated | None = None, hessian: Evaluated | None = None, scale: float = 1.0
) -> dict[str, Evaluated]:
    """The same of functions that have their shape already and are not doubted; steps are in units of the scale."""
    first, second = partial(differentiated, scale=scale), partial(twice_differentiated, scale=scale)
    slope = gradient or partial(first, value)
    curvature = hessian or (partial(first, slope) if gradient else partial(second, value))
    return {"value": value, "gradient": slope, "hessian": curvature}


def vectorised(function: Function, dimension: int, order: int, what: str, place: Place = ORIGIN) -> Evaluated:
    """The function as (d, n) -> (d,)*order + (n,), by the rule of this module's docstring.

    RequestError if it works in neither way, or if the value at a point depends on the other points it is called
    with."""
    try:
        return _vectorised(function, dimension, order, what, place)
    except RequestError as error:
        if dimension > 1:
            raise
        try:
            return _vectorised(partial(_of_numbers, function, order), dimension, order, what, place)
        except RequestError:
            raise error from None


def _vectorised(function: Function, dimension: int, order: int, what: str, place: Place) -> Evaluated:
    leading = (dimension,) * order
    points = place.sample(dimension, dimension + 2)
    together, why = _attempt(function, points, (*leading, points.shape[1]))
    alone, why_alone = _attempt(function, points[:, 0], leading)
    if together is None and alone is None:
        raise RequestError(
            f"the {what} must map points of shape ({dimension}, n) to {_shape(leading, 'n')}, or one point "
            f"({dimension},) to {_shape(leading)}; with many points: {why}; with one: {why_alone}"
        )
    if together is None:
        return partial(_point_by_point, function, leading)
    single, _ = _attempt(function, points[:, :1], (*leading, 1))
    if single is not None and not np.allclose(single[..., 0], together[..., 0], rtol=1e-8, atol=1e-12, equal_nan=True):
        raise RequestError(
            f"the {what} at a point changes with the other points; axis 0 of x is the coordinate, axis 1 the point"
        )
    return partial(_together, function)


def _shape(leading: tuple[int, ...], *rest: str) -> str:
    sizes = [*map(str, leading), *rest]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})" if sizes else "a number"


def _any_trailing(function: Evaluated, points: Array) -> Array:
    """(d, n) -> (..., n) as (d, n, m, ...) -> (..., n, m, ...), which is how scipy.differentiate calls."""
    values = function(points.reshape(points.shape[0], -1))
    return values.reshape(values.shape[:-1] + points.shape[1:])


def differentiated(function: Evaluated, points: Array, scale: float = 1.0) -> Array:
    """grad f, (d, n) -> (d, n), from values; or Hess f, (d, n) -> (d, d, n), from gradients. Central differences of
    order 8 with step halving (scipy.differentiate.jacobian), nine to eleven digits for smooth functions of order one;
    nan where it fails."""
    return _jacobian(function, points, scale)[0]


def twice_differentiated(value: Evaluated, points: Array, scale: float = 1.0) -> Array:
    """Hess f, (d, n) -> (d, d, n), from values alone: scipy.differentiate.hessian, six to nine digits."""
    with np.errstate(all="ignore"):
        found = differentiate.hessian(partial(_any_trailing, value), points, initial_step=STEP * scale)
    return np.asarray(found.ddf)


def _jacobian(function: Evaluated, points: Array, scale: float = 1.0) -> tuple[Array, Array]:
    """The derivative and its error. The function counts in units of its size at each point, of which derivatives below
    its rounding are zero: else steps are halved to the end for the sake of those that vanish."""
    size = np.abs(function(points)).reshape(-1, points.shape[1]).max(axis=0)
    size = np.where(np.isfinite(size) & (size > 0), size, 1.0)

    def in_units(x: Array) -> Array:
        return _any_trailing(function, x) / size.reshape(-1, *(1,) * (x.ndim - 3))  # x: (d, d, n, ...)

    with np.errstate(all="ignore"):
        found = differentiate.jacobian(
            in_units, points, initial_step=STEP * scale, tolerances={"atol": ROUNDED / (STEP * scale)}
        )
        return np.asarray(found.df * size), np.asarray(found.error * size)


def check_derivative(what: str, given: Evaluated, function: Evaluated, dimension: int, place: Place = ORIGIN) -> None:
    """RequestError naming component, point and both numbers where the given derivative of the function is not its
    derivative.

    Compared at N_CHECKS fixed random points of a place with central differences, allowing ten times their own error
    estimate and what rounding of large values, and of points far out, makes of the shortest of their steps."""
    points = place.sample(dimension, N_CHECKS)
    (expected, error), found = _jacobian(function, points, place.scale), given(points)
    size = np.abs(expected)
    unit = place.scale ** -(size.ndim - 1.0)  # of a derivative of this order, where f is of order one
    off = np.abs(function(points))[..., None, :] + np.abs(points) * size
    rounding = 4 * np.finfo(float).eps * off / (STEP * place.scale / HALVED)
    wrong: Any = np.abs(found - expected) > 1e-6 * (unit + size) + 10 * error + rounding
    wrong |= np.isfinite(expected) & ~np.isfinite(found)
    if np.any(wrong):
        *component, point = (int(i) for i in np.argwhere(wrong)[0])
        index = ", ".join(map(str, component))
        at = ", ".join(f"{x:.6g}" for x in points[:, point])
        raise RequestError(
            f"the {what} does not belong to the value: component [{index}] at x = ({at}) is "
            f"{found[*component, point]:.9g}, but finite differences give {expected[*component, point]:.9g}"
        )
