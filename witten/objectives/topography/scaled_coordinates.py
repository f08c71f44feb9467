"""Coordinates in which the critical points lie around the origin at distances of about one.

What follows paths or compares points in them needs no length of its own, and what f is like far from the origin, or in
other units, plays no part. For a formula the shift is exact: (x - 10^6)^2 is free of rounding again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.objectives.callables import complete_unchecked
from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.topography.length_scales import nonlinear_length

__all__ = ["Units", "units_around"]

Array = NDArray[np.float64]
# The centre is rounded to this part of the unit of length: its digits then are few.
FINE = 2.0**-8
# A point this near the origin is the origin, as near as subdivision comes to it.
NOWHERE = 1e-25
# Cells that are left open around one degenerate point lie this far apart, beside |x|.
OPEN = 8e-9


@dataclass(frozen=True)
class Units:
    """x = centre + length u.

    Attributes
    ----------
    centre : d numbers
    length : a power of two
    """

    centre: tuple[float, ...]
    length: float

    def into(self, x: Array) -> Array:
        """u of points x (d, n)."""
        return (x - np.array(self.centre)[:, None]) / self.length

    def out(self, u: Array) -> Array:
        """x of points u (d, n)."""
        return np.array(self.centre)[:, None] + self.length * u

    def objective(self, f: Objective) -> Objective:
        """g(u) = f(centre + length u)."""
        return _transformed(f, self)


def units_around(objective: Objective, points: Array) -> Units:
    """The middle of points (d, n), and half of how far they lie apart; of a single one, over which f is like a power
    near it, and for a power, which has no length, the distance from the origin."""
    points = np.where(abs(points) < NOWHERE, 0.0, points)
    lower, upper = points.min(axis=1), points.max(axis=1)
    half, known = float((upper - lower).max()) / 2, OPEN * float(abs(points).max())
    if half <= known:
        half = nonlinear_length(objective, points[:, 0], known=10 * OPEN)
    if not np.isfinite(half):
        half = float(abs(points).max()) or 1.0
    length = float(2.0 ** np.round(np.log2(half)))
    centre = np.round((lower + upper) / 2 / (FINE * length)) * FINE * length
    return Units(tuple(centre.tolist()), length)


@lru_cache(maxsize=64)
def _transformed(f: Objective, units: Units) -> Objective:
    if units.length == 1.0 and not any(units.centre):
        return f
    if isinstance(f, CallableObjective):
        return _wrapped(f, units)
    assert f.formula is not None
    scale = sp.Rational(units.length)
    new = {x: sp.Rational(c) + scale * x for x, c in zip(f.symbols, units.centre, strict=True)}
    return Objective(f.name, f.formula.xreplace(new), f.symbols)


def _wrapped(f: CallableObjective, units: Units) -> CallableObjective:
    """The functions that were given, of u; what was not is differentiated in these units."""
    value = f.functions["value"]
    names = ("value", "gradient", "hessian")
    given: list[Any] = [None if g is None else f.functions[name] for g, name in zip(f.given, names, strict=True)]
    new = [_chained(value, units, 0), *(g and _chained(g, units, order) for order, g in enumerate(given) if order)]
    return CallableObjective(f.name, None, f.symbols, given=tuple(new), functions=complete_unchecked(*new))


def _chained(function: Any, units: Units, order: int) -> Any:
    def chained(u: Array) -> Array:
        return np.asarray(function(units.out(u))) * units.length**order

    return chained
