"""What can be decided about polynomials without estimates: how they grow, and where their critical points can be.

With a weight w_i = 1/n_i for each variable, n_i the power of x_i that stands alone, the monomial x^a has weight
a.w. If no weight exceeds 1 and the part f_1 of weight 1 is at least m max_i |x_i|^n_i with m > 0, then f grows like
f_1, and Euler's identity sum_i w_i x_i df/dx_i = sum_k k f_k bounds where grad f can vanish."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.optimize import brentq

from witten.objectives.objective import Objective

__all__ = ["Growth", "critical_bound", "growth", "polynomial", "unbounded_below"]

Terms = dict[tuple[int, ...], float]
# Terms beyond which a polynomial is not examined.
MOST_TERMS = 2000


@dataclass(frozen=True)
class Growth:
    """f >= m r (1 + o(1)) with r = max_i |x_i|^n_i.

    Attributes
    ----------
    powers : n_i, even
    smallest : m > 0
    lower : (k, c): sum of |coefficient| over the terms of each weight 0 < k < 1
    """

    powers: tuple[int, ...]
    smallest: float
    lower: tuple[tuple[float, float], ...]


@lru_cache(maxsize=64)
def polynomial(objective: Objective) -> sp.Poly | None:
    """f as a polynomial in its symbols, None if it is not one."""
    if objective.formula is None or not objective.formula.is_polynomial(*objective.symbols):
        return None
    found = sp.Poly(objective.formula, *objective.symbols)
    return found if len(found.terms()) <= MOST_TERMS else None


def growth(objective: Objective) -> Growth | None:
    """How a polynomial grows, where its leading part is seen to be positive; None where nothing is proved."""
    f = polynomial(objective)
    if f is None:
        return None
    terms: Terms = {powers: float(coefficient) for powers, coefficient in f.terms()}
    alone = [max((a[i] for a in terms if sum(a) == a[i] > 0), default=0) for i in range(objective.dimension)]
    if any(n == 0 or n % 2 for n in alone):
        return None
    weights = {a: sum(Fraction(p, n) for p, n in zip(a, alone, strict=True)) for a in terms}
    if max(weights.values()) > 1:
        return None
    smallest = _smallest({a: c for a, c in terms.items() if weights[a] == 1}, alone)
    lower: dict[float, float] = {}
    for a, c in terms.items():
        if 0 < weights[a] < 1:
            lower[float(weights[a])] = lower.get(float(weights[a]), 0.0) + abs(c)
    return Growth(tuple(alone), smallest, tuple(lower.items())) if smallest > 0 else None


def _smallest(leading: Terms, alone: list[int]) -> float:
    """A lower bound m of f_1 >= m max_i |x_i|^n_i.

    A mixed term that can be negative takes at most |c| a_i/n_i from the coefficient of each x_i^n_i (weighted means).
    """
    d = len(alone)
    pure = [leading[tuple(n if j == i else 0 for j in range(d))] for i, n in enumerate(alone)]
    for a, c in leading.items():
        mixed = sum(p > 0 for p in a) > 1
        if mixed and (c < 0 or any(p % 2 for p in a)):
            pure = [have - abs(c) * p / n for have, p, n in zip(pure, a, alone, strict=True)]
    return (1 - 1e-12) * min(pure) if min(pure) > 1e-12 else 0.0


def critical_bound(objective: Objective) -> NDArray[np.float64] | None:
    """b (d,) such that every critical point has |x_i| <= b_i; None where the growth of f is not known.

    sum_i w_i x_i df/dx_i >= m r - sum_k k c_k r^k, which is positive beyond one value of r."""
    known = growth(objective)
    if known is None:
        return None

    def surplus(log_r: float) -> float:
        return known.smallest - sum(k * c * np.exp((k - 1) * log_r) for k, c in known.lower)

    high = 1.0
    while surplus(high) <= 0 and high < 600:
        high *= 2
    low = -1.0
    while surplus(low) > 0 and low > -600:
        low *= 2
    log_r = brentq(surplus, low, high) if surplus(low) <= 0 < surplus(high) else high
    return 1.001 * np.exp((log_r + 1e-6) / np.array(known.powers)) + 1e-3


def unbounded_below(objective: Objective) -> NDArray[np.float64] | None:
    """A direction (d,) along which a polynomial does not tend to +inf, among axes and diagonals; None if it does."""
    f = polynomial(objective)
    if f is None or objective.dimension > 6:
        return None
    t = sp.Symbol("t", real=True)
    for steps in np.ndindex(*(3,) * objective.dimension):
        direction = [step - 1 for step in steps]
        if not any(direction):
            continue
        along = sp.Poly(f.as_expr().subs({x: step * t for x, step in zip(f.gens, direction, strict=True)}), t)
        if along.degree() <= 0 or along.LC() < 0:
            return np.array(direction, dtype=float)
    return None
