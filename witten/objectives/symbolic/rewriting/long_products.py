"""Derivatives of products of many factors, whose size grows like n log n instead of n^2.

    (A B)' = A' B + A B',   A and B the halves of the product, and so on in each of them.

Written out, a Hessian of n factors has n^2 terms of n - 2 factors each."""

from __future__ import annotations

import sympy as sp

__all__ = ["derivative"]

# Products of no more factors are derived term by term, as SymPy does it.
SHORT = 8


def derivative(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """d expression/d symbol."""
    if symbol not in expression.free_symbols:
        return sp.S.Zero
    if not any(len(product.args) > SHORT for product in expression.atoms(sp.Mul)):
        return expression.diff(symbol)
    if expression.is_Add:
        return sp.Add(*(derivative(term, symbol) for term in expression.args))
    if expression.is_Mul:
        return _of_product(expression.args, symbol)
    if expression.is_Pow:  # of a whole number
        base, exponent = expression.args
        return exponent * base ** (exponent - 1) * derivative(base, symbol)
    return sp.Add(*(expression.fdiff(i + 1) * derivative(a, symbol) for i, a in enumerate(expression.args)))


def _of_product(factors: tuple[sp.Expr, ...], symbol: sp.Symbol) -> sp.Expr:
    if len(factors) == 1:
        return derivative(factors[0], symbol)
    left, right = factors[: len(factors) // 2], factors[len(factors) // 2 :]
    return _of_product(left, symbol) * sp.Mul(*right) + sp.Mul(*left) * _of_product(right, symbol)
