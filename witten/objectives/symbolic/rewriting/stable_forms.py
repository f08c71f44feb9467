"""A formula written so that nothing overflows on the way to a value of ordinary size.

A sum of exponentials with positive coefficients, S = sum c_i e^{a_i}, is e^{L} with

    L = log S = logaddexp(a_1 + log c_1, logaddexp(a_2 + log c_2, ...)),
    logaddexp(a, b) = max(a, b) + log(1 + e^{-|a - b|}),

so that log S = L, e^a/S = e^{a - L}, and cosh u = e^{logcosh u} is an exponential like others; sinh u/cosh u is tanh u.
The derivatives, logistic and tanh, stay in bounds as well. The formula itself is left as the user wrote it."""

from __future__ import annotations

from functools import reduce

import sympy as sp

from witten.objectives.symbolic.functions import Cosh, Exp, Log, LogAddExp, LogCosh, Sinh, Tanh

__all__ = ["stable"]

# Terms of a sum of exponentials that is written in this way.
MOST_TERMS = 16
# A sum of exponentials: (c, a) for each term c e^a.
Terms = list[tuple[sp.Expr, sp.Expr]]


def stable(expression: sp.Expr) -> sp.Expr:
    """The same function, in which logarithms and reciprocals of sums of exponentials do not overflow."""
    if not expression.has(Exp, Cosh, Sinh):
        return expression
    rebuilt = expression.func(*(stable(argument) for argument in expression.args)) if expression.args else expression
    if isinstance(rebuilt, Log):
        terms = _exponentials(rebuilt.args[0])
        return rebuilt if terms is None else _logarithm(terms)
    if isinstance(rebuilt, sp.Mul | sp.Pow):
        return _product(rebuilt)
    return rebuilt


def _exponentials(expression: sp.Expr) -> Terms | None:
    """The expression as a sum of c e^a with c > 0, some a not constant; None if it is none."""
    terms = _terms(expression)
    return terms if terms is not None and any(a.free_symbols for _, a in terms) else None


def _terms(expression: sp.Expr) -> Terms | None:
    if not expression.free_symbols:
        return [(expression, sp.S.Zero)] if expression.is_extended_positive else None
    if isinstance(expression, Exp):
        return [(sp.S.One, expression.args[0])]
    if isinstance(expression, Cosh):
        return [(sp.S.One, LogCosh(expression.args[0]))]
    if isinstance(expression, sp.Add):
        parts = [_terms(term) for term in expression.args]
        return None if any(part is None for part in parts) else _short([t for part in parts for t in part or ()])
    if isinstance(expression, sp.Mul):
        return _times([_terms(factor) for factor in expression.args])
    if expression.is_Pow and expression.exp.is_Integer and 0 < expression.exp <= MOST_TERMS:
        return _times([_terms(expression.base)] * int(expression.exp))
    return None


def _times(factors: list[Terms | None]) -> Terms | None:
    """The product of sums of exponentials, multiplied out."""
    product: Terms = [(sp.S.One, sp.S.Zero)]
    for factor in factors:
        if factor is None or len(product) * len(factor) > MOST_TERMS:
            return None
        product = [(c * d, a + b) for c, a in product for d, b in factor]
    return product


def _short(terms: Terms) -> Terms | None:
    return terms if len(terms) <= MOST_TERMS else None


def _logarithm(terms: Terms) -> sp.Expr:
    """log sum c_i e^{a_i}, with e^u + e^{-u} = 2 cosh u."""
    by_exponent: dict[sp.Expr, sp.Expr] = {}
    for c, a in terms:
        by_exponent[a] = by_exponent.get(a, sp.S.Zero) + c
    levels = []
    while by_exponent:
        a, c = by_exponent.popitem()
        if a.free_symbols and by_exponent.get(-a) == c:
            del by_exponent[-a]
            a, c = LogCosh(a), 2 * c
        levels.append(a + Log(c))
    return reduce(LogAddExp, sorted(levels, key=sp.default_sort_key))


def _product(expression: sp.Expr) -> sp.Expr:
    """A product with its exponentials, and reciprocals of sums of them, gathered in one exponent."""
    exponent, rest = sp.S.Zero, []
    for factor in sp.Mul.make_args(expression):
        base, power = factor.as_base_exp()
        if not power.is_Integer:
            rest.append(factor)
        elif isinstance(base, Exp):
            exponent += power * base.args[0]
        elif power < 0 and (terms := _exponentials(base)) is not None:
            exponent += power * _logarithm(terms)
        else:
            rest.append(factor)
    for i, factor in enumerate(rest):
        base, power = factor.as_base_exp()
        if isinstance(base, Sinh) and 0 < power <= -exponent.coeff(LogCosh(base.args[0])):
            rest[i] = Tanh(base.args[0]) ** power
            exponent += power * LogCosh(base.args[0])
    return sp.Mul(*rest, Exp(exponent)) if exponent != 0 else sp.Mul(*rest)
