"""What an objective is, in a few letters: a sweep is resumed only where that is the same as before."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from witten.objectives.objective import CallableObjective, Objective

__all__ = ["fingerprint"]

# Values that are compared, and to how many digits: other processors round otherwise.
POINTS, DIGITS = 64, 6
LETTERS = 16


def fingerprint(objective: Objective) -> str:
    """sha256 of the formula and its variables; of Python functions that of their files' text and of f at fixed points,
    and of where they are searched from.

    The name has no part in it: `m.py:g` stays `m.py:g` when the file is edited.
    """
    variables = " ".join(symbol.name for symbol in objective.symbols)
    parts = [variables, str(objective.formula), *([str(objective.periods)] if objective.periods else [])]
    if isinstance(objective, CallableObjective):
        parts += [*_sources(objective), *_values(objective)]
        parts += _search(objective)
    return f"sha256:{sha256('\n'.join(parts).encode()).hexdigest()[:LETTERS]}"


def _search(objective: CallableObjective) -> Iterator[str]:
    """Where f is searched from, which may change what is found, and f there: it may be infinite elsewhere."""
    if objective.center is not None:
        yield f"{objective.center} {objective.scale}"
        yield from _values(objective, np.array(objective.center)[:, None], objective.scale)


def _sources(objective: CallableObjective) -> Iterator[str]:
    """The files in which the functions stand, as text; nothing of those that stand in none."""
    for function in objective.given:
        path = None if function is None else _file(function)
        if path is not None:
            yield path.read_text(errors="replace")


def _file(function: Any) -> Path | None:
    """Where a function, a method, a partial of one or the class of a callable value is written."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function)
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        function = type(function)
    try:
        path = Path(inspect.getfile(function))
    except TypeError:  # built in, or compiled
        return None
    return path if path.is_file() else None


def _values(objective: CallableObjective, center: Any = 0.0, scale: float = 1.0) -> Iterator[str]:
    """f, and derivatives that are given, at points around the origin or a center, near and far."""
    points = np.random.default_rng(0).normal(size=(objective.dimension, POINTS)) * np.geomspace(0.1, 1e3, POINTS)
    points = center + scale * points
    for what, function in zip(("value", "gradient", "hessian"), objective.given, strict=True):
        if function is None:
            continue
        try:
            with np.errstate(all="ignore"):
                values = objective.functions[what](points)
        except Exception as error:  # the user's code may not like points so far out
            yield type(error).__name__
        else:
            yield from (f"{value:.{DIGITS}g}" for value in np.ravel(values))
