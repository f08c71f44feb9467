"""The affine forms that a formula is written in: (x - 3)/10 in f((x - 3)/10)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import sympy as sp

__all__ = ["affine_coordinates"]

# d coefficients and a constant.
Form = tuple[sp.Rational, ...]
Symbols = tuple[sp.Symbol, ...]


def affine_coordinates(formula: sp.Expr, symbols: Symbols) -> tuple[sp.Matrix, sp.Matrix]:
    """B (d, d) and b (d,) of x = B u + b, u the forms that stand in the formula most often, in one unit; the
    variables themselves where there are more than three."""
    d = len(symbols)
    if d > 3:
        return sp.eye(d), sp.zeros(d, 1)
    forms, unit = _chosen(formula, symbols)
    back = sp.Matrix([form[:-1] for form in forms]).inv()
    return back * unit, -back * sp.Matrix([form[-1] for form in forms])


def _chosen(formula: sp.Expr, symbols: Symbols) -> tuple[list[Form], sp.Rational]:
    """d independent forms, and the unit."""
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


def _forms(expression: sp.Expr, symbols: Symbols) -> Iterator[Form]:
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
