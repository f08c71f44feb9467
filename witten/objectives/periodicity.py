"""Objectives on a circle, a torus, or a product of these with lines: f and grad f are checked to meet at the ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.resolve import resolve
from witten.objectives.symbolic.rewriting.affine_frame import affine_frame

__all__ = ["Periods", "differ_by_constants", "periodic", "slices"]

Array = NDArray[np.float64]
Periods = Mapping[str, tuple[float, float]]
# How well f and grad f must meet, relative to how they vary around the circle; a gradient from differences has
# ten digits.
MEET, MEET_NUMERICALLY = 1e-12, 1e-7
# Roundings of f that count as none.
ROUNDINGS = 64 * float(np.finfo(float).eps)
# Points of a face, from near to far, and points around the circle through each of them.
FACE, AROUND = 400, 64
# Places on the torus at which growth along the other axes is examined.
SLICES = 5


def periodic(objective: Objective | str, periods: Periods) -> Objective:
    """f on the circle [low, high) along each axis named, of which the ends are one point.

    Values are f's own between the ends; elsewhere they are repeated.

    >>> f = witten.periodic("cos(x)", {"x": (0, 2*np.pi)})
    >>> bool(np.isclose(f(np.array([7.0])), np.cos(7.0)))
    True

    Parameters
    ----------
    objective : an Objective or its text
    periods : {"x": (0, 2 pi)}, by the names of the variables; axes that are not named are lines

    Raises
    ------
    RequestError
        for a name that is no variable, an empty interval, and where f or grad f differ at the two ends by more than
        1e-12 of how they vary in between (at one point on a line, at 400 points of each face in the plane or space,
        from near to far).
    """
    f = resolve(objective)
    names = [symbol.name for symbol in f.symbols]
    for name, (low, high) in periods.items():
        if name not in names:
            raise RequestError(f"{f.name} has no variable {name!r} to be periodic in; it has {', '.join(names)}")
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise RequestError(f"the period {name}={low:g}:{high:g} is empty or not finite; give it as low:high")
        _require_match(f, names.index(name), float(low), float(high))
    if not periods:
        return f
    ends = {name: (float(low), float(high)) for name, (low, high) in periods.items()}
    return replace(f, periods=tuple(ends.get(name) for name in names))


def _require_match(f: Objective, axis: int, low: float, high: float) -> None:
    """RequestError where f or grad f is not the same at the two ends of an axis."""
    points = _face(f)
    by_differences = isinstance(f, CallableObjective) and f.given[1] is None
    for what, function, tolerance in (
        ("f", f, MEET),
        ("grad f", f.gradient, MEET_NUMERICALLY if by_differences else MEET),
    ):
        around = np.stack([_values(function, _at(points, axis, x)) for x in np.linspace(low, high, AROUND + 1)])
        first, last = around[0], around[-1]
        size = abs(around).max(axis=0)
        allowed = tolerance * np.ptp(around, axis=0).max(axis=0) + ROUNDINGS * size.max(axis=0)
        with np.errstate(invalid="ignore"):
            off = ~(abs(first - last) <= allowed).all(axis=0) & np.isfinite(size).all(axis=0)
        if off.any() or not np.isfinite(size).all(axis=0).any():
            raise RequestError(_mismatch(f, what, axis, (low, high), points, (first, last), off))


def _mismatch(
    f: Objective,
    what: str,
    axis: int,
    ends: tuple[float, float],
    points: Array,
    values: tuple[Array, Array],
    off: NDArray[np.bool_],
) -> str:
    name, at = f.symbols[axis].name, int(off.argmax())
    others = [f"{s.name} = {x:.6g}" for i, (s, x) in enumerate(zip(f.symbols, points[:, at], strict=True)) if i != axis]
    where = f" at {', '.join(others)}" if others else ""
    there = [_shown(value[:, at]) for value in values]
    return (
        f"{f.name} is not periodic in {name} = {ends[0]:.6g}:{ends[1]:.6g}: {what} is {there[0]} at the lower end and "
        f"{there[1]} at the upper one{where}; give an interval at whose ends f and grad f are the same"
    )


def _shown(values: Array) -> str:
    text = ", ".join(f"{value:.15g}" for value in values)
    return text if values.size == 1 else f"({text})"


def _face(f: Objective) -> Array:
    """Points (d, n) around the origin that the formula is written around, or the center of a callable, near and far;
    one where there is a single axis."""
    if f.dimension == 1:
        return np.zeros((1, 1))
    points = np.random.default_rng(0).normal(size=(f.dimension, FACE)) * np.geomspace(0.01, 1e3, FACE)
    if isinstance(f, CallableObjective):
        centre = np.zeros(f.dimension) if f.center is None else np.array(f.center)
        return np.asarray(centre[:, None] + f.scale * points)
    return affine_frame(f).out(points)


def _at(points: Array, axis: int, x: float) -> Array:
    moved = points.copy()
    moved[axis] = x
    return moved


def _values(function: Callable[[Array], Any], points: Array) -> Array:
    """Values (., n) of f or its gradient."""
    return np.atleast_2d(np.asarray(function(points), dtype=np.float64))


@lru_cache(maxsize=32)
def slices(f: Objective) -> tuple[Objective, ...]:
    """f along the axes that are not periodic, at some places on the circles; none where all axes are periodic."""
    around = f.periodic_axes
    if around.all():
        return ()
    places = np.random.default_rng(0).uniform(size=(SLICES, f.dimension))
    return tuple(_sliced(f, around, place) for place in places)


def _sliced(f: Objective, around: NDArray[np.bool_], place: Array) -> Objective:
    ends = [period or (0.0, 0.0) for period in f.periods]
    x = np.array([low + t * (high - low) for (low, high), t in zip(ends, place, strict=True)])
    free = [symbol for symbol, fixed in zip(f.symbols, around, strict=True) if not fixed]
    if f.formula is not None:
        fixed = {f.symbols[i]: sp.Rational(float(x[i])) for i in np.flatnonzero(around)}
        return Objective(f.name, _with_numbers(f.formula.xreplace(fixed), free[0]), tuple(free))

    def value(y: Array) -> Array:
        points = np.repeat(x[:, None], y.shape[1], axis=1)
        points[~around] = y
        return np.asarray(f(points))

    return Objective.from_callable(value, len(free), name=f.name)


def _with_numbers(formula: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """The formula with its constant parts, such as cos(1/2), as numbers."""

    def number(part: sp.Expr) -> sp.Expr:
        return sp.Rational(Objective("", part, (symbol,))([0.0]))

    return formula.replace(lambda part: not part.free_symbols and not part.is_Number, number)


def differ_by_constants(parts: Sequence[Objective]) -> bool:
    """Whether slices of f are the same up to constants, as those of a sum g(x) + h(y) are: at 200 points."""
    d = parts[0].dimension
    points = affine_frame(parts[0]).out(np.random.default_rng(1).normal(size=(d, 200)) * np.geomspace(0.01, 1e3, 200))
    values = np.array([part(points) for part in parts])
    off = np.ptp(values[1:] - values[0], axis=1)
    return bool((off <= 1e-9 * np.ptp(values, axis=1).max() + ROUNDINGS * abs(values).max()).all())
