"""How a formula with parameters becomes a named objective: exact checked parameters, one name for one objective, one
list of all."""

import inspect
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import wraps
from typing import Any

import sympy as sp

from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.objectives.symbolic.formula import exact
from witten.objectives.symbolic.grammar import nearest, variables

__all__ = ["ENTRIES", "Entry", "entry", "make", "names"]

MAX_DIMENSION = 1_000


@dataclass(frozen=True)
class Entry:
    """One line of `witten objectives`: name, formula, default parameters, dimension at the defaults, purpose, and the
    function."""

    name: str
    formula: str
    parameters: dict[str, float | int]
    dimension: int
    about: str
    function: Callable[..., Objective]


ENTRIES: dict[str, Entry] = {}


def names() -> tuple[str, ...]:
    """The names of the gallery, in its order."""
    return tuple(ENTRIES)


def make(name: str, **parameters: float) -> Objective:
    """The objective of this name: make("double-well", barrier=0.5, dim=2).

    RequestError for an unknown name or parameter (the nearest is suggested), or a value out of range."""
    if name not in ENTRIES:
        raise RequestError(f"unknown objective {name[:60]!r}{nearest(name, ENTRIES)}; `witten objectives` lists them")
    entry = ENTRIES[name]
    for parameter in parameters:
        if parameter not in entry.parameters:
            known = ", ".join(entry.parameters) or "none"
            hint = nearest(parameter, entry.parameters)
            raise RequestError(f"{name} has no parameter {parameter[:60]!r}{hint}; its parameters: {known}")
    return entry.function(**parameters)


def entry[**P](positive: str = "", nonnegative: str = "") -> Callable[[Callable[P, sp.Expr]], Callable[P, Objective]]:
    """Turn a formula with parameters into a gallery function: exact checked parameters in, `Objective` out."""

    def register(function: Callable[P, sp.Expr]) -> Callable[P, Objective]:
        signature = inspect.signature(function)
        name = function.__name__.replace("_", "-")
        defaults = {key: parameter.default for key, parameter in signature.parameters.items()}

        @wraps(function)
        def build(*args: P.args, **kwargs: P.kwargs) -> Objective:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            values = {key: _exact(name, key, value, defaults[key]) for key, value in bound.arguments.items()}
            _check_signs(name, values, positive, nonnegative)
            expression = sp.sympify(function(**values))  # type: ignore[call-arg]
            changed = [f"{key}={_short(value)}" for key, value in values.items() if value != exact(defaults[key])]
            dimension = values.get("dim", max(len(expression.free_symbols), 1))
            return Objective(f"{name}:{','.join(changed)}" if changed else name, expression, variables(int(dimension)))

        build.__signature__ = signature.replace(return_annotation=Objective)  # type: ignore[attr-defined]
        formula, _, about = (inspect.getdoc(function) or "").partition("\n")
        ENTRIES[name] = Entry(name, formula, defaults, build().dimension, " ".join(about.split()), build)  # type: ignore[call-arg]
        return build

    return register


def _exact(name: str, key: str, value: Any, default: Any) -> Any:
    """The parameter as an exact number (dim as an int); RequestError if it is not a finite number of the right kind."""
    number = isinstance(value, numbers.Real | sp.Rational) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise RequestError(f"{name}: {key} must be a finite number, got {str(value)[:60]!r}")
    if not isinstance(default, int):
        return exact(value)
    if value != int(value) or not 1 <= value <= MAX_DIMENSION:
        raise RequestError(f"{name}: {key} must be a whole number from 1 to {MAX_DIMENSION}, got {value}")
    return int(value)


def _check_signs(name: str, values: dict[str, Any], positive: str, nonnegative: str) -> None:
    for key, value in values.items():
        if key == positive and value <= 0:
            raise RequestError(f"{name}: {key} must be positive, got {_short(value)}")
        if key == nonnegative and value < 0:
            raise RequestError(f"{name}: {key} must not be negative, got {_short(value)}")


def _short(value: Any) -> str:
    """A parameter as text that reads back to the same number: a decimal where that is exact, else a fraction."""
    decimal = f"{float(value):.15g}"
    return decimal if Fraction(decimal) == Fraction(str(value)) else str(value)
