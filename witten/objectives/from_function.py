"""A bare Python function as an objective: in how many coordinates it is, and what was taken for what, in words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from witten.errors import RequestError
from witten.objectives.callables import ORIGIN, Evaluated, Function, point_by_point, vectorised
from witten.objectives.objective import CallableObjective, Objective

__all__ = ["from_function"]

# Dimensions that are tried where none is given.
MOST_TRIED = 12
NO_PARAMETERS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class OfPoints:
    """g(x) = function(x_1, ..., x_d, a=...), or function(x, a=...), with parameters a."""

    function: Callable[..., Any]
    spread: bool
    parameters: tuple[tuple[str, float], ...]

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The user's function, for whom its source is of interest."""
        return self.function

    def __call__(self, x: Any) -> Any:
        return self.function(*(x if self.spread else (x,)), **dict(self.parameters))


def from_function(
    function: Callable[..., Any],
    dimension: int | None = None,
    *,
    gradient: Callable[..., Any] | None = None,
    hessian: Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] = NO_PARAMETERS,
    name: str | None = None,
) -> CallableObjective:
    """f from a function of points, f(x), or of coordinates, f(x, y); `taken` says as what it was taken.

    A function of several arguments without defaults is one of as many coordinates. Of one of points the dimension is
    the smallest d at which it can be called, if one coordinate more is an error or changes nothing; else it must be
    given. Of d = 1 it may take numbers, too. Derivatives are checked or made as by `Objective.from_callable`.

    Parameters
    ----------
    function, gradient, hessian : of points (d, n) or (d,), or of d coordinates
    dimension : d
    parameters : values of further arguments, by name; of gradient and hessian those that they have

    Raises
    ------
    RequestError
        where the dimension is not clear, for a parameter that the function has not, and as `Objective.from_callable`.
    """
    if isinstance(function, type):
        raise RequestError(f"{function.__name__} is a class, no objective; give one of its values, or a function")
    values = {key: _number(key, value) for key, value in parameters.items()}
    words = _coordinates(function, values)
    title = name or str(getattr(function, "__name__", type(function).__name__))
    _require_parameters(function, title, values)
    f = _of_points(function, values)
    d = _dimension(title, f, words, None if dimension is None else int(dimension))
    slope, curvature = (None if each is None else _of_points(each, values) for each in (gradient, hessian))
    made = Objective.from_callable(f, d, slope, curvature, name=title)
    return replace(made, taken=_taken(made, words))


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RequestError(f"the parameter {name!r} must be a number, got {str(value)[:60]!r}") from None


def _arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Of its signature; none are known of what is compiled."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _coordinates(function: Callable[..., Any], parameters: Mapping[str, float]) -> list[str]:
    """The arguments that must be given by position, without parameters."""
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [each for each in _arguments(function) if each.kind in by_position and each.default is each.empty]
    return [each.name for each in found if each.name not in parameters]


def _require_parameters(function: Callable[..., Any], title: str, parameters: Mapping[str, float]) -> None:
    known = _arguments(function)
    named = [each.name for each in known[1:] if each.kind is not each.VAR_POSITIONAL]
    if any(each.kind is each.VAR_KEYWORD for each in known):
        return
    for name in parameters:
        if name not in named:
            raise RequestError(f"{title} has no parameter {name[:60]!r}; it has {', '.join(named) or 'none'}")


def _of_points(function: Callable[..., Any], parameters: Mapping[str, float]) -> Function:
    known = _arguments(function)
    every = any(each.kind is each.VAR_KEYWORD for each in known)
    own = tuple((key, value) for key, value in parameters.items() if every or key in {each.name for each in known})
    spread = len(_coordinates(function, parameters)) > 1
    return OfPoints(function, spread, own) if spread or own else function


def _dimension(title: str, f: Function, words: list[str], given: int | None) -> int:
    if len(words) > 1:
        if given not in (None, len(words)):
            raise RequestError(f"{title} takes {len(words)} coordinates, {', '.join(words)}, and not {given}")
        return len(words)
    if given is not None:
        return given
    tried = {d: _called(f, d) for d in range(1, MOST_TRIED + 1)}
    d = next((d for d, found in tried.items() if found is not None), None)
    if d is None:
        raise RequestError(f"{title} takes points of no dimension up to {MOST_TRIED}; say of which: {_remedy(title)}")
    more = tried.get(d + 1)
    if more is not None and _depends_on_last(more, d + 1):
        raise RequestError(f"{title} takes points of {d} and of {d + 1} coordinates; say of how many: {_remedy(title)}")
    return d


def _remedy(title: str) -> str:
    return f"{title}:dim=2" if ".py:" in title else "dimension=2"


def _called(f: Function, dimension: int) -> Evaluated | None:
    """The function on points of this dimension, or None if it fails there."""
    try:
        return vectorised(f, dimension, 0, "value")
    except (RequestError, TypeError, ValueError):  # numpy's, of values that are no numbers
        return None


def _depends_on_last(f: Evaluated, dimension: int) -> bool:
    """Whether f changes with the last coordinate, near the origin or far from it."""
    for size in (1.0, 1e3):
        points = size * ORIGIN.sample(dimension, 16)
        moved = points.copy()
        moved[-1] = points[-1, ::-1]
        with np.errstate(all="ignore"):
            if not np.array_equal(f(points), f(moved), equal_nan=True):
                return True
    return False


def _taken(f: CallableObjective, words: list[str]) -> str:
    """In words."""
    d = f.dimension
    of = f"the coordinates {', '.join(words)}" if len(words) > 1 else f"{d} coordinate{'s' * (d > 1)}"
    made = [what for what, given in zip(("gradient", "Hessian"), f.given[1:], strict=True) if given is None]
    how = [f"{' and '.join(made)} by finite differences"] if made else []
    how += ["called point by point, which is slow"] if point_by_point(f.functions["value"]) else []
    return "; ".join([f"{f.name} is taken as a function of {of}", *how])
