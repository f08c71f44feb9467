"""An objective as a sum of independent terms: the excess risk is the sum of theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from witten.errors import RequestError
from witten.landscape.landscape import Landscape, describe_landscape
from witten.objectives import Objective
from witten.objectives.topography.convexity import separate

__all__ = ["START_HEIGHT", "Term", "starting_point", "terms", "without_constant"]

Array = NDArray[np.float64]
# How far above a single minimum, in s sigma^2 for each variable, runs start where no point is given.
START_HEIGHT = 4.0


@lru_cache(maxsize=64)
def _described(objective: Objective) -> Landscape:
    """Cached: planning a schedule asks for the same one many times."""
    return describe_landscape(objective)


@dataclass(frozen=True, eq=False)
class Term:
    """f_i, its global minimum, where it starts, and how often it is there with the same start."""

    objective: Objective
    start: Array
    count: int = 1

    @property
    def landscape(self) -> Landscape:
        return _described(self.objective)

    @property
    def lowest(self) -> float:
        """min f_i."""
        if not self.landscape.minima:
            raise RequestError(f"{self.objective.name} has no minimum, so its excess risk is undefined")
        return float(self.landscape.minima[0].value)

    def excess(self, x: Array) -> Array:
        """f_i - min f_i at points (d, n)."""
        return np.asarray(self.objective(x) - self.lowest, dtype=float)


def without_constant(f: Objective) -> Objective:
    """f without its additive constant, which cancels in the excess risk and costs digits."""
    if f.formula is None:
        return f
    constant, rest = f.formula.as_independent(*f.symbols, as_Add=True)
    return f if constant == 0 or rest == 0 else Objective(f.name, rest, f.symbols)


def starting_point(f: Objective, start: ArrayLike | None, height: float) -> Array:
    """x0 as (d,); without one the highest local minimum, where there are several, else a point so high above the one.
    RequestError if it has another dimension or is not finite."""
    if start is None:
        minima = _described(f).minima
        if not minima:
            raise RequestError(f"{f.name} has no minimum; give a starting point x0")
        return np.asarray(minima[-1].x if len(minima) > 1 else _above(f, minima[0].x, height), dtype=float)
    x = np.atleast_1d(np.asarray(start, dtype=float))
    if x.shape != (f.dimension,) or not np.isfinite(x).all():
        raise RequestError(f"{f.name} starts from {f.dimension} numbers, got {np.asarray(start).tolist()}")
    return x


def _above(f: Objective, minimum: Array, height: float) -> Array:
    """The point in the direction (1, ..., 1) from a minimum where f is higher by so much, however far away."""
    floor = float(f(minimum))

    def excess(log_length: float) -> float:
        return float(f(minimum + math.exp(log_length))) - floor - height

    # Where rounding ends, f has not risen yet.
    low = math.log(max(float(abs(minimum).max()) * 1e-15, 1e-300))
    high = low + 1.0
    while high < 700 and not excess(high) > 0:
        low, high = high, high + 1.0
    if not (high < 700 and math.isfinite(excess(high))):
        raise RequestError(f"{f.name} does not rise by {height:g} from its minimum; give a starting point x0")
    return np.asarray(minimum + math.exp(brentq(excess, low, high)))


def terms(f: Objective, start: Array) -> list[Term]:
    """One term for each variable of a sum of functions of one variable, equal ones once; else f itself."""
    parts = separate(f) if f.dimension > 1 else None
    if parts is None:
        return [Term(f, start)]
    known: dict[tuple, list] = {}
    for (part, symbol), x in zip(parts, start.tolist(), strict=True):
        key = (part.subs(symbol, f.symbols[0]), x)
        if key in known:
            known[key][1] += 1
        else:
            known[key] = [Objective.from_sympy(part, [symbol]), 1]
    return [Term(line, np.array([key[1]]), count) for key, (line, count) in known.items()]
