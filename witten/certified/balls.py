"""A sixth reading of the programs: power series whose coefficients are balls of Arb, rigorous to any precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from importlib.util import find_spec
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import sympy as sp

from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.objectives.symbolic.codegen import FUNCTIONS, compile_program
from witten.objectives.symbolic.functions import Larger, Modulus, Sign, Smaller

if TYPE_CHECKING:
    from flint import arb, arb_series

__all__ = ["Series", "ball_constant", "ball_series", "decimal", "exact", "precision", "require_flint"]

# (x, n) -> the coefficients of f(x + t) up to t^(n - 1), as balls; x may be a ball, all of whose points are meant.
Series = Callable[["arb", int], "arb_series"]
KINKS = (Larger, Modulus, Sign, Smaller)
DIGITS = 25


def require_flint() -> None:
    """RequestError where Arb is not installed."""
    if find_spec("flint") is None:
        raise RequestError("certificates need Arb: install witten[certify] (python-flint)")


@contextmanager
def precision(bits: int, order: int) -> Iterator[None]:
    """Balls of so many bits, series of up to so many coefficients."""
    from flint import ctx

    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = bits, order
    try:
        yield
    finally:
        ctx.prec, ctx.cap = before


def exact(value: float | Fraction) -> arb:
    """A number as a ball; a float is the decimal number that it is printed as, so that 0.1 is 1/10."""
    from flint import arb, fmpq

    q = value if isinstance(value, Fraction) else Fraction(repr(float(value)))
    return arb(fmpq(q.numerator, q.denominator))


def decimal(ball: arb, *, up: bool, digits: int = DIGITS) -> str:
    """The upper end of a ball in decimals, rounded up; or the lower one, rounded down."""
    mantissa, exponent = (int(part) for part in (ball.upper() if up else ball.lower()).man_exp())
    rounded = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR, Emin=-(10**15), Emax=10**15)
    scale = Decimal(2 ** abs(exponent))
    return str(rounded.multiply(mantissa, scale) if exponent > 0 else rounded.divide(Decimal(mantissa), scale))


def ball_series(objective: Objective) -> Series:
    """f of one variable as a function of balls; RequestError for a callable, which has no formula, and where f has a
    kink."""
    formula = objective.derivatives.formula
    kinks = formula.atoms(*KINKS)
    if kinks:
        raise RequestError(f"{objective.name} has a kink in {min(map(str, kinks))}: certificates are for analytic f")
    program = compile_program(objective.symbols, {"return": formula}, vocabulary())

    def series(x: Any, n: int) -> Any:
        from flint import arb_series

        return arb_series([0], n) + program([arb_series([x, 1], n)])

    return series


def ball_constant(expression: sp.Expr) -> arb:
    """The number that an expression without variables is."""
    from flint import arb

    return arb(0) + compile_program((), {"return": expression}, vocabulary())(())


def vocabulary() -> dict[str, Any]:
    """What the names of a program mean for series of balls (and for balls, in constants)."""
    from flint import arb, fmpq

    def logistic(a: Any) -> Any:
        return 1 / (1 + (-a).exp())

    def power(a: Any, n: int) -> Any:  # Arb's own is nan where a ball holds numbers of both signs
        half = power(a, n // 2) if n > 1 else None
        return a if half is None else half * half * a if n % 2 else half * half

    def tan(a: Any) -> Any:
        return a.sin() / a.cos()

    def cosh(a: Any) -> Any:
        return (a.exp() + (-a).exp()) / 2

    own: dict[str, Any] = {name: methodcaller(name) for name in ("exp", "log", "sqrt", "sin", "cos")}
    own |= {"tan": tan, "logistic": logistic, "tanh": lambda a: 2 * logistic(2 * a) - 1}
    own |= {"sinh": lambda a: (a.exp() - (-a).exp()) / 2, "cosh": cosh, "logcosh": lambda a: cosh(a).log()}
    own |= {"logaddexp": lambda a, b: (a.exp() + b.exp()).log(), "root": lambda a, b: (b * a.log()).exp()}
    own |= {"power": power, "pi": arb.pi()}
    names = own | {"ratio": lambda p, q: arb(fmpq(p, q))}
    assert set(FUNCTIONS.values()) - {FUNCTIONS[kink] for kink in KINKS} <= set(names)
    return names
