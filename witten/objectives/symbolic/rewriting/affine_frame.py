"""The coordinates a formula is written in, with their origin and unit: (x - 3)/10 for f((x - 3)/10).

A search that begins there finds for f((x - c)/l) what it finds for f(x), wherever c is and however large l."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.symbolic.rewriting.affine_forms import affine_coordinates

__all__ = ["AffineFrame", "affine_frame"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AffineFrame:
    """f(B u + b) = g(u).

    Attributes
    ----------
    objective : g
    matrix, origin : B (d, d) and b (d,)
    """

    objective: Objective
    matrix: Array
    origin: Array

    def out(self, u: Array) -> Array:
        """x = B u + b of points (d, n)."""
        x: Array = self.matrix @ u + self.origin[:, None]
        return x


@lru_cache(maxsize=64)
def affine_frame(objective: Objective) -> AffineFrame:
    """The affine forms that stand in the formula most often, their largest coefficient 1, in one unit.

    A form that is only added to f, such as a tilt, counts least; axes that no form is left for keep their own. The
    unit is one over the coefficient of all forms that is furthest from 1: that of (x/l)^2 + y/l is only seen in y. A
    callable keeps its coordinates, and so does a formula in more than three or on a torus."""
    d = objective.dimension
    same = AffineFrame(objective, np.eye(d), np.zeros(d))
    if objective.formula is None or isinstance(objective, CallableObjective) or objective.periods:
        return same
    back, origin = affine_coordinates(objective.formula, objective.symbols)
    if back == sp.eye(d) and not any(origin):
        return same
    x = dict(zip(objective.symbols, back * sp.Matrix(objective.symbols) + origin, strict=True))
    g = replace(objective, formula=objective.formula.xreplace(x))
    return AffineFrame(g, np.array(back.tolist(), dtype=float), np.array(origin.tolist(), dtype=float)[:, 0])
