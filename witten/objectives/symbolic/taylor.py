"""Numbers a + b t + c t^2 modulo t^3: a program run on them gives two derivatives along a line, without a step.

A function g acts by g(a + b t + c t^2) = g(a) + g'(a) b t + (g'(a) c + g''(a) b^2/2) t^2, so that of each function of
the vocabulary two derivatives are stated here, once ([Griewank2008], chapter 13)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from witten.objectives.symbolic.codegen import numpy_vocabulary

__all__ = ["Taylor", "constant", "taylor_vocabulary"]


@dataclass(frozen=True, eq=False)
class Taylor:
    """value + slope t + bend t^2; each a number or an array of them, one for each line."""

    value: Any
    slope: Any = 0.0
    bend: Any = 0.0
    __array_ufunc__ = None  # NumPy's numbers on the left leave the arithmetic to this class

    def __add__(self, other: Any) -> Taylor:
        b = constant(other)
        return Taylor(self.value + b.value, self.slope + b.slope, self.bend + b.bend)

    def __mul__(self, other: Any) -> Taylor:
        b = constant(other)
        bend = self.value * b.bend + self.slope * b.slope + self.bend * b.value
        return Taylor(self.value * b.value, self.value * b.slope + self.slope * b.value, bend)

    def __neg__(self) -> Taylor:
        return Taylor(-self.value, -self.slope, -self.bend)

    def __sub__(self, other: Any) -> Taylor:
        return self + -constant(other)

    def __rsub__(self, other: Any) -> Taylor:
        return constant(other) + -self

    def __truediv__(self, other: Any) -> Taylor:
        return self * _reciprocal(constant(other))

    def __rtruediv__(self, other: Any) -> Taylor:
        return constant(other) * _reciprocal(self)

    __radd__, __rmul__ = __add__, __mul__

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        """The three coefficients."""
        return self.value, self.slope, self.bend

    def through(self, g: Any, first: Any, second: Any) -> Taylor:
        """g of this, from g, g' and g'' at its value."""
        return Taylor(g, first * self.slope, first * self.bend + second * self.slope**2 / 2)


def constant(a: Any) -> Taylor:
    """A number that does not change along the line, unless it is one that does."""
    return a if isinstance(a, Taylor) else Taylor(a)


def _reciprocal(a: Taylor) -> Taylor:
    inverse = 1 / np.asarray(a.value, dtype=float)
    return a.through(inverse, -(inverse**2), 2 * inverse**3)


def _power(a: Any, n: float) -> Taylor:
    """a^n for a whole number n >= 1, without a division by a, which may be zero."""
    x, a = constant(a).value, constant(a)
    return a.through(x**n, n * x ** (n - 1), n * (n - 1) * x ** max(n - 2, 0))


def _root(a: Any, p: float) -> Taylor:
    """a^p for a > 0."""
    x, a = np.asarray(constant(a).value, dtype=float), constant(a)
    return a.through(x**p, p * x ** (p - 1), p * (p - 1) * x ** (p - 2))


def _larger(a: Any, b: Any) -> Taylor:
    a, b = constant(a), constant(b)
    first = np.asarray(a.value) > b.value
    return Taylor(*(np.where(first, x, y) for x, y in zip(a.parts, b.parts, strict=True)))


def _logaddexp(a: Any, b: Any) -> Taylor:
    """log(e^a + e^b) = b + log(1 + e^(a - b))."""
    g = numpy_vocabulary()["logistic"]
    step = constant(a) - b
    share = g(step.value)
    return constant(b) + step.through(np.logaddexp(step.value, 0.0), share, share * (1 - share))


# g, g' and g'' from the value; s is what g itself gives there.
RULES: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "exp": lambda x, s: (s, s),
    "log": lambda x, s: (1 / x, -1 / x**2),
    "sqrt": lambda x, s: (0.5 / s, -0.25 / s**3),
    "sin": lambda x, s: (np.cos(x), -s),
    "cos": lambda x, s: (-np.sin(x), -s),
    "tan": lambda x, s: (1 + s**2, 2 * s * (1 + s**2)),
    "sinh": lambda x, s: (np.cosh(x), s),
    "cosh": lambda x, s: (np.sinh(x), s),
    "tanh": lambda x, s: (1 - s**2, -2 * s * (1 - s**2)),
    "logcosh": lambda x, s: (np.tanh(x), 1 - np.tanh(x) ** 2),
    "logistic": lambda x, s: (s * (1 - s), s * (1 - s) * (1 - 2 * s)),
    "sign": lambda x, s: (0.0, 0.0),
    "modulus": lambda x, s: (np.sign(x), 0.0),
}


def _lifted(function: Callable[[Any], Any], rule: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any], Taylor]:
    def lifted(a: Any) -> Taylor:
        a = constant(a)
        x = np.asarray(a.value, dtype=float)
        value = function(x)
        return a.through(value, *rule(x, value))

    return lifted


def taylor_vocabulary() -> dict[str, Any]:
    """The names of a program's functions (see `codegen`), for points that are `Taylor`s."""
    plain = numpy_vocabulary()
    own = {"power": _power, "root": _root, "logaddexp": _logaddexp, "larger": _larger}
    own |= {"smaller": lambda a, b: -_larger(-constant(a), -constant(b))}
    return {name: _lifted(plain[name], rule) for name, rule in RULES.items()} | own | {"pi": math.pi, "inf": math.inf}
