"""How steep f is beyond an end of the line, proved: f' >= p > 0 outwards on all of [b, inf)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from witten.certified.balls import ball_constant, exact
from witten.certified.half_lines import HalfLineRange, half_line_vocabulary
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.objectives.symbolic.codegen import compile_program

if TYPE_CHECKING:
    from flint import arb

__all__ = ["KnownTails"]

# What rises steadily from some place on does so here.
FAR = 1e13


class KnownTails:
    """f = P(x) + sum_i g_i(x), P a polynomial: where no derivative of P of order two or more points inwards at b,

        f' >= P'(b) + sum_i (least g_i' on the half line)   on all of [b, inf), and in the same way to the left.

    Raises
    ------
    RequestError
        where no such bound is positive on either side, however far out.
    """

    def __init__(self, objective: Objective) -> None:
        x = objective.symbols[0]
        terms = sp.Add.make_args(sp.expand(objective.derivatives.formula))
        polynomial = sp.Poly(sp.Add(*(term for term in terms if term.is_polynomial(x))), x)
        self.coefficients = [ball_constant(c) for c in reversed(polynomial.all_coeffs())]
        vocabulary = half_line_vocabulary()
        others = [term.diff(x) for term in terms if not term.is_polynomial(x)]
        self.slopes = [compile_program((x,), {"return": slope}, vocabulary) for slope in others]
        if self.slope_beyond(FAR, 1) is None or self.slope_beyond(-FAR, -1) is None:
            raise RequestError(
                f"{objective.name} is not seen to rise steadily on both sides, as a rate on all of R asks for; give a "
                "--box (box=), whose ends then reflect"
            )

    def slope_beyond(self, end: float, side: int) -> arb | None:
        """A positive lower bound of the slope of f beyond an end, outwards (side = -1 or 1); None if none is seen."""
        from flint import arb, arb_poly

        derivatives = arb_poly(self.coefficients)(arb_poly([exact(end), side])).coeffs()[1:]
        if not all(c >= 0 for c in derivatives[1:]):
            return None
        beyond = HalfLineRange.beyond(exact(end), side)
        slope = derivatives[0] if derivatives else arb(0)
        for program in self.slopes:
            least = program([beyond])
            slope += least.lower if side > 0 else -least.upper
        return slope.lower() if slope > 0 and slope.is_finite() else None
