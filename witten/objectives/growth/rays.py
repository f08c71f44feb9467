"""f along a straight ray, as far as doubles hold it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives.growth.line_asymptotics import Line
from witten.objectives.objective import Objective
from witten.objectives.symbolic.functions import Cos, Sin, Tan

__all__ = ["ray", "show"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
# How far f is examined, in units of length: a formula keeps its digits, differences of a Python function do not.
FORMULA, CALLABLE = 1e8, 1e5
# From where on, in units; and how many units there are at least before f overflows.
NEAR, WITHIN = 1e-8, 100.0


def ray(objective: Objective, centre: Array, direction: Array, unit: float) -> Line:
    """f(c + t e), t > 0, for a unit vector e.

    What overflows is far away: f is examined as far as it and its slope are finite.

    Raises
    ------
    RequestError
        where f is not a number on the way, however many digits are taken.
    """
    c, e = np.asarray(centre, dtype=float)[:, None], np.asarray(direction, dtype=float)[:, None]

    def value(t: Array) -> Array:
        return np.asarray(objective(c + e * t), dtype=float)

    def slope(t: Array) -> Array:
        return np.asarray((e * objective.gradient(c + e * t)).sum(axis=0), dtype=float)

    limit = FORMULA if objective.formula is not None else CALLABLE
    furthest = _furthest(objective, c, e, value, slope, unit * np.geomspace(NEAR, limit, 513))
    return Line(value, slope, _waves(objective, c, e), min(unit, furthest / WITHIN), furthest)


def _furthest(objective: Objective, c: Array, e: Array, value: Function, slope: Function, t: Array) -> float:
    """The last t up to which f and f' are finite."""
    with np.errstate(all="ignore"):
        f, df = value(t), slope(t)
    bad = ~(np.isfinite(f) & np.isfinite(df))
    if not bad.any():
        return float(t[-1])
    first = int(bad.argmax())
    if np.isnan(f[first]) or f[first] == -np.inf:
        _require_number(objective, (c + e * t[first])[:, 0], first)
    if first == 0:
        where = show((c + e * t[0])[:, 0])
        raise RequestError(f"{objective.name} overflows at {where}; give a box on which it is finite")
    low, high = t[first - 1], t[first]
    for _ in range(40):
        middle = (low + high) / 2
        with np.errstate(all="ignore"):
            good = np.isfinite(value(np.array([middle]))).all() and np.isfinite(slope(np.array([middle]))).all()
        low, high = (middle, high) if good else (low, middle)
    return float(low)


def _require_number(objective: Objective, x: Array, first: int) -> None:
    """RequestError unless f is a number at x to a higher precision, and only doubles do not hold what it is made of."""
    if objective.formula is not None and first and objective.is_number(x):
        return
    raise RequestError(f"{objective.name} is not a number at {show(x)}; give a box on which it is finite")


def _waves(objective: Objective, c: Array, e: Array) -> tuple[Function, ...] | None:
    """How fast the arguments of sines, cosines and tangents change along a ray; None without a formula."""
    if objective.formula is None:
        return None
    arguments = {node.args[0] for node in objective.formula.atoms(Sin, Cos, Tan) if node.free_symbols}
    ordered = sorted(arguments, key=sp.default_sort_key)
    return tuple(_rate(Objective.from_sympy(argument, objective.symbols), c, e) for argument in ordered)


def _rate(argument: Objective, c: Array, e: Array) -> Function:
    return lambda t: np.asarray((e * argument.gradient(c + e * t)).sum(axis=0))


def show(vector: Array) -> str:
    """A point or a direction in words."""
    size = float(np.abs(vector).max())
    return "(" + ", ".join(f"{c if abs(c) > 1e-9 * size else 0.0:.4g}" for c in vector) + ")"
