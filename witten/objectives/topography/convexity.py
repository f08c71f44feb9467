"""Strong convexity: the largest mu with Hess f >= mu."""

from __future__ import annotations

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.optimize import minimize

from witten.objectives.objective import Objective

__all__ = ["separate", "strong_convexity"]

STARTS, FOLLOWED = 600, 4


def strong_convexity(objective: Objective) -> tuple[float | None, bool]:
    """mu > 0 with Hess f >= mu, the largest there is, or None; and whether that is proved.

    Proved for a sum of polynomials in one variable each and for quadratics (up to rounding), and where Hess f is seen
    to have a negative eigenvalue. Otherwise the smallest eigenvalue of Hess f is minimised from 600 starts: an
    estimate."""
    if objective.formula is None:
        return None, False
    if objective.formula.is_polynomial(*objective.symbols):
        parts = separate(objective)
        if parts is not None:
            smallest = min(_smallest_second_derivative(part, x) for part, x in parts)
            return (smallest, True) if smallest > 0 else (None, True)
        h = sp.hessian(objective.formula, objective.symbols)
        if not h.free_symbols:
            smallest = float(np.linalg.eigvalsh(np.array(h.tolist(), dtype=float))[0])
            return (smallest, True) if smallest > 0 else (None, True)
    return _estimated(objective)


def separate(objective: Objective) -> list[tuple[sp.Expr, sp.Symbol]] | None:
    """The parts f_i of f = f_1(x_1) + ... + f_d(x_d) as they stand in the formula; None if f is no such sum."""
    if objective.formula is None:
        return None
    parts = dict.fromkeys(objective.symbols, sp.S.Zero)
    # Terms of one variable stay as they are: multiplied out, (x - 1000)^2 would lose six digits.
    plain: list[sp.Expr] = []
    mixed: list[sp.Expr] = []
    for term in sp.Add.make_args(objective.formula):
        (mixed if len(term.free_symbols) > 1 else plain).append(term)
    for term in (*plain, *sp.Add.make_args(sp.expand(sp.Add(*mixed)))):
        used = term.free_symbols
        if len(used) > 1:
            return None
        parts[used.pop() if used else objective.symbols[0]] += term
    return [(part, x) for x, part in parts.items()]


def _smallest_second_derivative(part: sp.Expr, x: sp.Symbol) -> float:
    """inf f'' of a polynomial in one variable, from the real zeros of f'''; -inf where there is none."""
    second = sp.Poly(part.diff(x, 2), x)
    if second.degree() <= 0:
        return float(second.LC())
    if second.degree() % 2 or second.LC() < 0:
        return -np.inf
    zeros = sp.Poly(second.diff(x), x).nroots(n=30, maxsteps=500)
    return min(float(second.eval(sp.re(zero))) for zero in zeros if abs(sp.im(zero)) < 1e-12)


def _estimated(objective: Objective) -> tuple[float | None, bool]:
    d = objective.dimension
    x = np.random.default_rng(0).normal(size=(d, STARTS))
    x *= np.geomspace(1e-3, 1e4, STARTS) / np.linalg.norm(x, axis=0)

    def lowest(points: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            h = np.moveaxis(objective.piecewise_hessian(points), 2, 0)
        finite = np.isfinite(h).all(axis=(1, 2))
        out = np.full(len(h), np.inf)
        out[finite] = np.linalg.eigvalsh(h[finite])[:, 0]
        return out

    values = lowest(x)
    if values.min() < -1e-9 * abs(values[np.isfinite(values)]).max():
        return None, True
    for i in np.argsort(values)[:FOLLOWED]:
        end = minimize(lambda y: float(lowest(y[:, None])[0]), x[:, i], method="Nelder-Mead", options={"maxfev": 400})
        values[i] = min(values[i], end.fun)
    smallest, typical = float(values.min()), float(np.median(values))
    return (smallest, False) if smallest > 1e-6 * typical else (None, False)
