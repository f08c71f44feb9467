"""Series a_0 + a_1 t + ... + a_n t^n modulo t^{n+1}: a program run on them gives derivatives along a line.

A function of the vocabulary is known by its differential equation: for g' = F(g, x), the series of g(a) is the solution
of dg/dt = F(g, a) da/dt, one coefficient in each pass ([Griewank2008], chapter 13)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np

from witten.objectives.symbolic.codegen import numpy_vocabulary

__all__ = ["Taylor", "constant", "taylor_vocabulary"]


@dataclass(frozen=True, eq=False)
class Taylor:
    """The coefficients, each a number or an array of them, one for each line; those that are not there are zero."""

    parts: tuple[Any, ...]
    __array_ufunc__ = None  # NumPy's numbers on the left leave the arithmetic to this class

    @property
    def value(self) -> Any:
        """a_0."""
        return self.parts[0]

    def __add__(self, other: Any) -> Taylor:
        pairs = zip_longest(self.parts, constant(other).parts, fillvalue=0.0)
        return Taylor(tuple(a + b for a, b in pairs))

    def __mul__(self, other: Any) -> Taylor:
        a, b = self.parts, constant(other).parts
        return Taylor(tuple(_convolved(a, b, k) for k in range(max(len(a), len(b)))))

    def __truediv__(self, other: Any) -> Taylor:
        a, b = self.parts, constant(other).parts
        inverse = 1 / np.asarray(b[0], dtype=float)
        found: list[Any] = []
        for k in range(max(len(a), len(b))):
            rest = _convolved((0.0, *b[1:]), found, k) if k else 0.0
            found.append(((a[k] if k < len(a) else 0.0) - rest) * inverse)
        return Taylor(tuple(found))

    def __neg__(self) -> Taylor:
        return Taylor(tuple(-a for a in self.parts))

    def __sub__(self, other: Any) -> Taylor:
        return self + -constant(other)

    def __rsub__(self, other: Any) -> Taylor:
        return constant(other) + -self

    def __rtruediv__(self, other: Any) -> Taylor:
        return constant(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def start(self, count: int) -> Taylor:
        """The first coefficients."""
        return Taylor(self.parts[:count])

    def derivative(self) -> Taylor:
        """d/dt, one coefficient less."""
        return Taylor(tuple(k * a for k, a in enumerate(self.parts))[1:])

    def integral(self, value: Any) -> Taylor:
        """The series with this derivative that begins with a value."""
        return Taylor((value, *(a / k for k, a in enumerate(self.parts, 1))))


def constant(a: Any) -> Taylor:
    """A number that does not change along the line, unless it is one that does."""
    return a if isinstance(a, Taylor) else Taylor((a,))


def _convolved(a: Any, b: Any, k: int) -> Any:
    """The coefficient of t^k of a product."""
    return sum((a[i] * b[k - i] for i in range(max(0, k - len(b) + 1), min(k + 1, len(a)))), 0.0)


def _solved(value: Any, slope: Callable[[Taylor, Taylor], Any], a: Taylor) -> Taylor:
    """g with g' = slope(g, a) a', from its value on."""
    g = Taylor((value,))
    for count in range(1, len(a.parts)):
        g = (slope(g, a.start(count)) * a.start(count + 1).derivative()).integral(value)
    return g


def _pair(values: tuple[Any, Any], sign: float, a: Taylor) -> tuple[Taylor, Taylor]:
    """(g, h) with g' = h a' and h' = sign g a': sine and cosine, or the hyperbolic ones."""
    g, h = (Taylor((value,)) for value in values)
    for count in range(1, len(a.parts)):
        da = a.start(count + 1).derivative()
        g, h = (h * da).integral(values[0]), (sign * g * da).integral(values[1])
    return g, h


def _root(a: Any, p: float) -> Taylor:
    """a^p for a > 0."""
    a = constant(a)
    inverse = p / a
    return _solved(np.asarray(a.value, dtype=float) ** p, lambda g, x: g * inverse.start(len(x.parts)), a)


def _larger(a: Any, b: Any) -> Taylor:
    a, b = constant(a), constant(b)
    first = np.asarray(a.value) > b.value
    return Taylor(tuple(np.where(first, x, y) for x, y in zip_longest(a.parts, b.parts, fillvalue=0.0)))


# F(g, a) for the functions with g' = F(g, a).
SLOPES: dict[str, Callable[[Taylor, Taylor], Any]] = {
    "exp": lambda g, a: g,
    "log": lambda g, a: 1 / a,
    "sqrt": lambda g, a: 0.5 / g,
    "tan": lambda g, a: 1 + g * g,
    "tanh": lambda g, a: 1 - g * g,
    "logistic": lambda g, a: g * (1 - g),
    "sign": lambda g, a: 0.0,
    "modulus": lambda g, a: np.sign(a.value),
}


def taylor_vocabulary() -> dict[str, Any]:
    """The names of a program's functions (see `codegen`), for points that are `Taylor`s."""
    plain = numpy_vocabulary()

    def value(name: str, a: Taylor) -> Any:
        return plain[name](np.asarray(a.value, dtype=float))

    def lifted(name: str, a: Any) -> Taylor:
        a = constant(a)
        return _solved(value(name, a), SLOPES[name], a)

    def of_pair(first: str, second: str, sign: float, which: int, a: Any) -> Taylor:
        a = constant(a)
        return _pair((value(first, a), value(second, a)), sign, a)[which]

    def logcosh(a: Any) -> Taylor:
        a = constant(a)
        slope = lifted("tanh", a)
        return _solved(value("logcosh", a), lambda g, x: slope.start(len(x.parts)), a)

    def logaddexp(a: Any, b: Any) -> Taylor:  # b + log(1 + e^(a - b))
        step = constant(a) - b
        share = lifted("logistic", step)
        rest = _solved(np.logaddexp(step.value, 0.0), lambda g, x: share.start(len(x.parts)), step)
        return constant(b) + rest

    names = {name: partial(lifted, name) for name in SLOPES}
    names |= {name: partial(of_pair, "sin", "cos", -1.0, i) for i, name in enumerate(("sin", "cos"))}
    names |= {name: partial(of_pair, "sinh", "cosh", 1.0, i) for i, name in enumerate(("sinh", "cosh"))}
    own = {"power": plain["power"], "root": _root, "logcosh": logcosh, "logaddexp": logaddexp, "larger": _larger}
    own |= {"smaller": lambda a, b: -_larger(-constant(a), -constant(b))}
    return names | own | {"pi": math.pi, "inf": math.inf}
