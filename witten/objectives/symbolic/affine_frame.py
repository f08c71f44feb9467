"""The coordinates a formula is written in, with their origin and unit: (x - 3)/10 for f((x - 3)/10).

A search that begins there finds for f((x - c)/l) what it finds for f(x), wherever c is and however large l."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.objectives.objective import CallableObjective, Objective

__all__ = ["AffineFrame", "affine_frame"]

Array = NDArray[np.float64]
# d coefficients and a constant.
Form = tuple[sp.Rational, ...]


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
    if objective.formula is None or isinstance(objective, CallableObjective) or objective.periods or d > 3:
        return same
    forms, unit = _chosen(objective)
    matrix = sp.Matrix([form[:-1] for form in forms])
    back = matrix.inv()
    origin = -back * sp.Matrix([form[-1] for form in forms])
    if matrix == sp.eye(d) and not any(origin) and unit == 1:
        return same
    back = back * unit
    x = dict(zip(objective.symbols, back * sp.Matrix(objective.symbols) + origin, strict=True))
    g = replace(objective, formula=objective.formula.xreplace(x))
    return AffineFrame(g, np.array(back.tolist(), dtype=float), np.array(origin.tolist(), dtype=float)[:, 0])


def _chosen(objective: Objective) -> tuple[list[Form], sp.Rational]:
    """d independent forms, and the unit."""
    symbols, formula = objective.symbols, objective.formula
    d = len(symbols)
    terms = [term for term in sp.Add.make_args(formula) if not term.as_coeff_Mul()[1].is_Symbol]
    inside = [form for term in terms for form in _forms(term, symbols)]
    unit = max((1 / _largest(form) for form in inside), key=lambda c: abs(np.log(float(c))), default=sp.S.One)
    counts = Counter(_scaled(form) for form in inside)
    added = Counter(_scaled(form) for form in _forms(formula, symbols))
    own = [tuple(sp.Integer(int(i == j)) for j in range(d)) + (sp.S.Zero,) for i in range(d)]
    chosen: list[Form] = []
    for some in (counts, added, dict.fromkeys(own, 1)):
        for form in sorted(some, key=lambda form: -some[form]):
            if sp.Matrix([each[:-1] for each in [*chosen, form]]).rank() > len(chosen):
                chosen.append(form)
    return chosen, unit


def _largest(form: Form) -> sp.Rational:
    return max(abs(c) for c in form[:-1])


def _scaled(form: Form) -> Form:
    """With a largest coefficient of 1 or so, in magnitude: the rows of a rotation stay as long as each other."""
    largest = _largest(form)
    return tuple(c / largest for c in form)


def _forms(expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Iterator[Form]:
    """The largest affine parts of an expression, and of what else it holds; the first coefficient made positive."""
    if expression.is_Add:
        row, rest = [sp.S.Zero] * (len(symbols) + 1), []
        for term in expression.args:
            coefficient, factor = term.as_coeff_Mul()
            if factor in symbols and coefficient.is_Rational:
                row[symbols.index(factor)] += coefficient
            elif term.is_Rational:
                row[-1] += term
            else:
                rest.append(term)
        if any(row[:-1]):
            yield _signed(row)
        for term in rest:
            yield from _forms(term, symbols)
    elif expression in symbols:
        yield _signed([sp.Integer(int(expression == symbol)) for symbol in symbols] + [sp.S.Zero])
    elif expression.is_Mul and (factor := expression.as_coeff_Mul())[1] in symbols and factor[0].is_Rational:
        yield _signed([factor[0] * int(factor[1] == symbol) for symbol in symbols] + [sp.S.Zero])
    else:
        for argument in expression.args:
            yield from _forms(argument, symbols)


def _signed(row: list[sp.Rational]) -> Form:
    first = next(c for c in row if c != 0)
    return tuple(c if first > 0 else -c for c in row)
