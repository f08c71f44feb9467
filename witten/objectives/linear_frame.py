"""The coordinates a formula is written in: linear forms such as 0.6 x + 0.8 y, where it holds d independent ones.

Interval bounds depend on the axes: of f(0.6 x + 0.8 y) + g(0.8 x - 0.6 y) they say little, of f(u) + g(v) all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.objectives.objective import Objective

__all__ = ["linear_frame"]

Row = tuple[sp.Rational, ...]


def linear_frame(objective: Objective) -> tuple[Objective, NDArray[np.float64]]:
    """g and an invertible B (d, d) with f(B u) = g(u): u are the linear forms that f holds most often.

    f itself and the identity for a callable, in one dimension, and where there are no d independent forms.
    """
    d = objective.dimension
    identity = objective, np.eye(d)
    if objective.formula is None or d == 1:
        return identity
    counts = Counter(_forms(objective.formula, objective.symbols))
    rows: list[Row] = []
    for row, _ in sorted(counts.items(), key=lambda item: -item[1]):
        if sp.Matrix([*rows, row]).rank() == len(rows) + 1:
            rows.append(row)
    if len(rows) < d or all(sum(entry != 0 for entry in row) == 1 for row in rows):
        return identity
    back = sp.Matrix(rows).inv()
    x = dict(zip(objective.symbols, back * sp.Matrix(objective.symbols), strict=True))
    rewritten = Objective(objective.name, objective.formula.xreplace(x), objective.symbols)
    return rewritten, np.array(back.tolist(), dtype=float)


def _forms(expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Iterator[Row]:
    """The largest linear expressions in it, constants left out and scaled to a first entry of 1."""
    row = _linear(expression, symbols)
    if row is not None:
        yield row
    else:
        for argument in expression.args:
            yield from _forms(argument, symbols)


def _linear(expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Row | None:
    """The coefficients of a linear expression, the first that is not zero scaled to 1; None for any other."""
    row = dict.fromkeys(symbols, sp.S.Zero)
    for term in sp.Add.make_args(expression):
        coefficient, rest = term.as_coeff_Mul()
        if rest in row and coefficient.is_Rational:
            row[rest] += coefficient
        elif not (rest.is_number and coefficient.is_Rational):
            return None
    entries = [entry for entry in row.values() if entry != 0]
    return tuple(entry / entries[0] for entry in row.values()) if entries else None
