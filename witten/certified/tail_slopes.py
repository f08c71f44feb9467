"""How steep f is beyond an end of the line, proved: f' >= p > 0 outwards on all of [b, inf)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from witten.certified.balls import ball_constant, exact
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.objectives.symbolic.functions import Cos, Sin

if TYPE_CHECKING:
    from flint import arb

__all__ = ["KnownTails"]


class KnownTails:
    """f = P(x) + sum_i c_i cos(k_i x + b_i), P a polynomial that grows on both sides.

    Raises
    ------
    RequestError
        for any other f: one of whose tails nothing is known, or that has no rate.
    """

    def __init__(self, objective: Objective) -> None:
        x = objective.symbols[0]
        terms = sp.Add.make_args(sp.expand(objective.derivatives.formula))
        waves = [term for term in terms if not term.is_polynomial(x)]
        polynomial = sp.Poly(sp.Add(*(term for term in terms if term.is_polynomial(x))), x)
        self.coefficients = [ball_constant(c) for c in reversed(polynomial.all_coeffs())]
        self.steepest = [_steepest(wave, x, objective.name) for wave in waves]
        if polynomial.degree() < 2 or polynomial.degree() % 2 or not self.coefficients[-1] > 0:
            raise RequestError(f"{objective.name} does not grow on both sides: on all of R there is no rate to certify")

    def slope_beyond(self, end: float, side: int) -> arb | None:
        """A lower bound of the slope of f beyond an end, outwards (side = -1 or 1); None where none is seen.

        Where no derivative of P at the end points inwards, f' >= P'(end) - sum_i |c_i k_i| from there on."""
        from flint import arb, arb_poly

        derivatives = arb_poly(self.coefficients)(arb_poly([exact(end), side])).coeffs()[1:]
        if not all(c >= 0 for c in derivatives):
            return None
        slope = derivatives[0] - sum(self.steepest, arb(0))
        return slope.lower() if slope > 0 else None


def _steepest(term: sp.Expr, x: sp.Symbol, name: str) -> arb:
    """|c k| of c cos(k x + b)."""
    c, wave = term.as_independent(x, as_Add=False)
    if not (isinstance(wave, Cos | Sin) and wave.args[0].is_polynomial(x) and sp.degree(wave.args[0], x) == 1):
        raise RequestError(
            f"{name}: on all of R certificates know the tails of polynomials and of cos and sin of a x + b, not of "
            f"{str(term)[:60]}; give a --box (box=), whose ends then reflect"
        )
    return abs(ball_constant(c * wave.args[0].diff(x))).upper()
