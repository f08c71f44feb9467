"""A fifth reading of the programs: intervals in, intervals out, so that the range of f or a derivative over a box is
enclosed and "no critical point lies here" can be proved.

Every operation rounds outwards (one unit in the last place for arithmetic, four for functions, which is more than
NumPy's promise), and rational numbers are enclosed, so what is proved holds for the formula as it is written. nan in an
end means that nothing is known there."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.special import expit

from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.objectives.symbolic.codegen import compile_program, logcosh
from witten.objectives.symbolic.derivatives import Derivatives
from witten.objectives.symbolic.functions import Sign

__all__ = ["Interval", "enclosure", "kinks_met", "singularities_met"]

Array = NDArray[np.float64]
TWO_PI = 2 * np.pi
LARGEST = float(np.finfo(float).max)
SMALLEST = 5e-324
# Functions g whose signs may jump in a gradient that is enclosed on either side.
KINKS = 4


class Interval:
    """[lower, upper], elementwise; the ends are arrays of one shape, or numbers."""

    __slots__ = ("lower", "upper")
    __array_ufunc__ = None  # a NumPy number on the left leaves the operation to this class

    def __init__(self, lower: Any, upper: Any) -> None:
        self.lower, self.upper = lower, upper

    def __add__(self, other: Any) -> Interval:
        b = _interval(other)
        return _rounded(self.lower + b.lower, self.upper + b.upper)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.upper, -self.lower)

    def __sub__(self, other: Any) -> Interval:
        return self + -_interval(other)

    def __rsub__(self, other: Any) -> Interval:
        return _interval(other) + -self

    def __mul__(self, other: Any) -> Interval:
        if not isinstance(other, Interval):
            ends = self.lower * other, self.upper * other
            return _rounded(*(ends if other >= 0 else ends[::-1]))
        products = [a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)]
        low, high = np.minimum(products[0], products[1]), np.maximum(products[0], products[1])
        for other_end in products[2:]:
            low, high = np.minimum(low, other_end), np.maximum(high, other_end)
        return _rounded(low, high)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Interval:
        return self * _inverse(_interval(other))

    def __rtruediv__(self, other: Any) -> Interval:
        return _interval(other) * _inverse(self)


@lru_cache(maxsize=64)
def enclosure(objective: Objective, what: str) -> Callable[[Array, Array], tuple[Array, Array]]:
    """The function (lower, upper) -> (low, high) that encloses the value (n,), gradient (d, n) or hessian (d, d, n)
    over n boxes with corners lower, upper (d, n).

    A gradient jumps where a sign(g) in it does: over a box that meets g = 0 it is enclosed on both sides, each with
    the sign that it has there, as long as there are at most KINKS such g.

    RequestError for an objective without a formula."""
    derivatives = _derivatives(objective)
    results = derivatives.results(what)
    kinks = derivatives.kinks if what == "gradient" and len(derivatives.kinks) <= KINKS else []
    choices = list(product((1, -1), repeat=len(kinks)))
    sides = [_program_enclosure(objective, kinks, results, what, signs) for signs in choices]
    if not kinks:
        return sides[0]
    value = [compile_program(objective.symbols, {"return": g}, vocabulary()) for g in kinks]

    def enclose(lower: Array, upper: Array) -> tuple[Array, Array]:
        point = [Interval(a, b) for a, b in zip(lower, upper, strict=True)]
        with np.errstate(all="ignore"):
            g = [_interval(program(point)) for program in value]
        low, high = np.full(lower.shape, np.inf), np.full(lower.shape, -np.inf)
        for signs, side in zip(choices, sides, strict=True):
            absent = [(a.upper < 0) if sign > 0 else (a.lower > 0) for sign, a in zip(signs, g, strict=True)]
            here = np.broadcast_to(~np.any(np.broadcast_arrays(*absent), axis=0), lower.shape[1:])
            ends = side(lower[:, here], upper[:, here])
            low[:, here], high[:, here] = np.minimum(low[:, here], ends[0]), np.maximum(high[:, here], ends[1])
        return low, high

    return enclose


def _program_enclosure(
    objective: Objective, kinks: list[sp.Expr], results: dict[str, sp.Expr], what: str, signs: tuple[int, ...]
) -> Callable[[Array, Array], tuple[Array, Array]]:
    """The enclosure of a program in which sign(g) is +1 or -1, as said for each g."""
    known = {Sign(g): sp.Integer(sign) for g, sign in zip(kinks, signs, strict=True)}
    lines = {target: expression.xreplace(known) for target, expression in results.items()}
    program = compile_program(objective.symbols, lines, vocabulary())
    order = {"value": 0, "gradient": 1, "hessian": 2, "laplacian": 0}[what]
    d = objective.dimension

    def enclose(lower: Array, upper: Array) -> tuple[Array, Array]:
        ends = np.empty((2, *(d,) * order, lower.shape[1]))
        point = [Interval(a, b) for a, b in zip(lower, upper, strict=True)]
        with np.errstate(all="ignore"):
            if order:
                program(point, _Ends(ends))
            else:
                _Ends(ends)[...] = program(point)
        return ends[0], ends[1]

    return enclose


def _derivatives(objective: Objective) -> Derivatives:
    if objective.formula is None:
        raise RequestError(f"{objective.name!r} is a Python callable: without a formula its range cannot be enclosed")
    return Derivatives(objective.formula, objective.symbols)


@lru_cache(maxsize=64)
def kinks_met(objective: Objective) -> Callable[[Array, Array], NDArray[np.bool_]]:
    """The function (lower, upper) -> (n,) that says which boxes may hold a kink of abs, min or max.

    RequestError for an objective without a formula."""
    return _vanishing(objective, _derivatives(objective).kinks)


def singularities_met(objective: Objective) -> Callable[[Array, Array], NDArray[np.bool_]]:
    """The same for all places where f may not be analytic: roots, powers and logarithms of what vanishes included."""
    return _vanishing(objective, objective.singularities)


def _vanishing(objective: Objective, functions: list[Any]) -> Callable[[Array, Array], NDArray[np.bool_]]:
    """Which boxes may hold a zero of one of the functions."""
    programs = [compile_program(objective.symbols, {"return": g}, vocabulary()) for g in functions]

    def met(lower: Array, upper: Array) -> NDArray[np.bool_]:
        out = np.zeros(lower.shape[1], dtype=bool)
        point = [Interval(a, b) for a, b in zip(lower, upper, strict=True)]
        with np.errstate(all="ignore"):
            for program in programs:
                g = _interval(program(point))
                out |= np.logical_not((g.lower > 0) | (g.upper < 0))
        return out

    return met


class _Ends:
    """Where a program writes its results: the lower ends in [0], the upper ends in [1]."""

    def __init__(self, ends: Array) -> None:
        self.ends = ends

    def __setitem__(self, index: Any, value: Any) -> None:
        value = _interval(value)
        self.ends[0][index], self.ends[1][index] = value.lower, value.upper


def vocabulary() -> dict[str, Any]:
    """What the names of a program mean for intervals."""
    rising = {name: _rising(getattr(np, name)) for name in ("exp", "sinh", "tanh")}
    own = {"log": _log, "sqrt": _sqrt, "root": _root, "cos": _cos, "sin": _sin, "tan": _tan, "cosh": _cosh}
    own |= {"logaddexp": _logaddexp, "logcosh": _logcosh, "logistic": _rising(expit)}
    own |= {"sign": _sign, "modulus": _modulus, "larger": _larger, "smaller": _smaller, "power": _power}
    pi = Interval(np.pi, np.nextafter(np.pi, 4.0))
    return rising | own | {"ratio": _ratio, "pi": pi, "inf": np.inf}


def _interval(value: Any) -> Interval:
    return value if isinstance(value, Interval) else Interval(value, value)


def _ratio(p: int, q: int) -> Any:
    """p/q: a double where that is exact, else the interval between its neighbours."""
    value = p / q
    numerator, denominator = value.as_integer_ratio()
    exact = numerator * q == p * denominator
    return value if exact else Interval(np.nextafter(value, -np.inf), np.nextafter(value, np.inf))


def _rounded(lower: Any, upper: Any) -> Interval:
    return Interval(np.nextafter(lower, -np.inf), np.nextafter(upper, np.inf))


def _widened(lower: Any, upper: Any) -> Interval:
    """Four units in the last place outwards; an end that overflowed is still known to be large."""
    eps = 4 * np.finfo(float).eps
    lower, upper = np.minimum(lower, LARGEST), np.maximum(upper, -LARGEST)
    return Interval(lower - eps * np.abs(lower) - SMALLEST, upper + eps * np.abs(upper) + SMALLEST)


def _rising(function: Callable[..., Any]) -> Callable[[Any], Interval]:
    def enclosed(a: Any) -> Interval:
        a = _interval(a)
        return _widened(function(a.lower), function(a.upper))

    return enclosed


def _inverse(a: Interval) -> Interval:
    """1/a; everything where a holds zero."""
    holds = (a.lower <= 0) & (a.upper >= 0)
    out = _rounded(1 / a.upper, 1 / a.lower)
    return Interval(np.where(holds, -np.inf, out.lower), np.where(holds, np.inf, out.upper))


def _power(a: Any, n: int) -> Any:
    if not isinstance(a, Interval):
        return a**n
    low, high = a.lower**n, a.upper**n
    if n % 2:
        return _widened(low, high)
    holds = (a.lower <= 0) & (a.upper >= 0)
    return _widened(np.where(holds, 0.0, np.minimum(low, high)), np.maximum(low, high))


def _log(a: Any) -> Interval:
    a = _interval(a)
    return _widened(np.log(np.where(a.upper >= 0, np.maximum(a.lower, 0.0), np.nan)), np.log(a.upper))


def _sqrt(a: Any) -> Interval:
    a = _interval(a)
    return _widened(np.sqrt(np.where(a.upper >= 0, np.maximum(a.lower, 0.0), np.nan)), np.sqrt(a.upper))


def _root(a: Any, b: Any) -> Interval:
    """a^b = exp(b log a), a >= 0."""
    product = _interval(b) * _log(a)
    return _widened(np.exp(product.lower), np.exp(product.upper))


def _cos(a: Any) -> Interval:
    a = _interval(a)
    low, high = np.minimum(np.cos(a.lower), np.cos(a.upper)), np.maximum(np.cos(a.lower), np.cos(a.upper))
    low = np.where(_meets(a, np.pi), -1.0, low)
    high = np.where(_meets(a, 0.0), 1.0, high)
    out = _widened(low, high)
    return Interval(np.maximum(out.lower, -1.0), np.minimum(out.upper, 1.0))


def _meets(a: Interval, offset: float, period: float = TWO_PI) -> Any:
    """Whether an interval holds offset + k period for a whole k; near misses count."""
    slack = 1e-14 * (1 + np.maximum(np.abs(a.lower), np.abs(a.upper)))
    first = offset + period * np.ceil((a.lower - slack - offset) / period)
    return ~(first > a.upper + slack)


def _sin(a: Any) -> Interval:
    """cos(a - pi/2), with the right angle enclosed."""
    return _cos(_interval(a) - Interval(np.pi / 2, np.nextafter(np.pi / 2, 2.0)))


def _tan(a: Any) -> Interval:
    a = _interval(a)
    pole = _meets(a, np.pi / 2, np.pi)
    out = _widened(np.tan(a.lower), np.tan(a.upper))
    return Interval(np.where(pole, -np.inf, out.lower), np.where(pole, np.inf, out.upper))


def _cosh(a: Any) -> Interval:
    a = _modulus(a)
    return _widened(np.cosh(a.lower), np.cosh(a.upper))


def _logaddexp(a: Any, b: Any) -> Interval:
    a, b = _interval(a), _interval(b)
    out = _widened(np.logaddexp(a.lower, b.lower), np.logaddexp(a.upper, b.upper))
    # Where the two terms cancel their rounding is that of the larger.
    slack = 4 * np.finfo(float).eps * np.maximum(np.abs(a.upper), np.abs(a.lower))
    return Interval(out.lower - slack, out.upper + slack)


def _logcosh(a: Any) -> Interval:
    return _rising(logcosh)(_modulus(a))


def _sign(a: Any) -> Interval:
    a = _interval(a)
    return Interval(np.sign(a.lower), np.sign(a.upper))


def _modulus(a: Any) -> Interval:
    a = _interval(a)
    low, high = np.abs(a.lower), np.abs(a.upper)
    holds = (a.lower <= 0) & (a.upper >= 0)
    return Interval(np.where(holds, 0.0, np.minimum(low, high)), np.maximum(low, high))


def _larger(a: Any, b: Any) -> Interval:
    a, b = _interval(a), _interval(b)
    return Interval(np.maximum(a.lower, b.lower), np.maximum(a.upper, b.upper))


def _smaller(a: Any, b: Any) -> Interval:
    a, b = _interval(a), _interval(b)
    return Interval(np.minimum(a.lower, b.lower), np.minimum(a.upper, b.upper))
