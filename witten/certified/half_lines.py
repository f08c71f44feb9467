"""A reading of the programs for ranges over a half line: intervals of balls that may reach to infinity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from witten.objectives.symbolic.codegen import FUNCTIONS

if TYPE_CHECKING:
    from flint import arb

__all__ = ["HalfLineRange", "half_line_vocabulary"]


@dataclass(frozen=True, slots=True)
class HalfLineRange:
    """Real numbers lower <= y <= upper, none of them infinite: 0 times an infinite end is 0.

    Ends are nan where nothing is known, which includes that there may be no real number, and stay so."""

    lower: arb
    upper: arb

    @staticmethod
    def beyond(end: arb, side: int) -> HalfLineRange:
        """[end, inf), or (-inf, end] for side = -1."""
        from flint import arb

        return HalfLineRange(end, arb.pos_inf()) if side > 0 else HalfLineRange(arb.neg_inf(), end)

    def __neg__(self) -> HalfLineRange:
        return HalfLineRange(-self.upper, -self.lower)

    def __add__(self, other: HalfLineRange) -> HalfLineRange:
        return HalfLineRange(self.lower + other.lower, self.upper + other.upper)

    def __sub__(self, other: HalfLineRange) -> HalfLineRange:
        return self + -other

    def __mul__(self, other: HalfLineRange) -> HalfLineRange:
        ends = [_product(a, b) for a in (self.lower, self.upper) for b in (other.lower, other.upper)]
        lower, upper = ends[0], ends[0]
        for end in ends[1:]:
            lower, upper = lower.min(end), upper.max(end)
        return HalfLineRange(lower, upper)

    def __truediv__(self, other: HalfLineRange) -> HalfLineRange:
        return self * (1 / other)

    def __rtruediv__(self, one: int) -> HalfLineRange:
        """1/y, not known where y may be 0."""
        return HalfLineRange(1 / self.upper, 1 / self.lower) if self.lower > 0 or self.upper < 0 else _unknown()

    def power(self, n: int) -> HalfLineRange:
        """y^n, n >= 1."""
        if n == 1:
            return self
        half = self.power(n // 2)
        product = half * half
        square = HalfLineRange(product.lower.max(0), product.upper)
        return square * self if n % 2 else square

    def exp(self) -> HalfLineRange:
        """e^y."""
        return HalfLineRange(self.lower.exp(), self.upper.exp())

    def log(self) -> HalfLineRange:
        """log y, not known where y may be 0 or less."""
        return HalfLineRange(self.lower.log(), self.upper.log()) if self.lower > 0 else _unknown()

    def sqrt(self) -> HalfLineRange:
        """The root of y, not known where y may be 0 or less."""
        return HalfLineRange(self.lower.sqrt(), self.upper.sqrt()) if self.lower > 0 else _unknown()


def half_line_vocabulary() -> dict[str, Any]:
    """What the names of a program mean for ranges; of functions that are not here nothing is known."""
    from flint import arb, fmpq

    def number(value: arb) -> HalfLineRange:
        return HalfLineRange(value, value)

    def between(low: int, high: int) -> Any:
        return lambda a: HalfLineRange(arb(low), arb(high))

    names: dict[str, Any] = {name: lambda *a: _unknown() for name in FUNCTIONS.values()}
    names |= {"exp": HalfLineRange.exp, "log": HalfLineRange.log, "sqrt": HalfLineRange.sqrt}
    names |= {"sin": between(-1, 1), "cos": between(-1, 1), "tanh": between(-1, 1), "logistic": between(0, 1)}
    names |= {"power": HalfLineRange.power, "root": lambda a, b: (b * a.log()).exp()}
    return names | {"ratio": lambda p, q: number(arb(fmpq(p, q))), "pi": number(arb.pi())}


def _unknown() -> HalfLineRange:
    from flint import arb

    return HalfLineRange(arb.nan(), arb.nan())


def _product(a: arb, b: arb) -> arb:
    from flint import arb

    infinite = abs(a).upper() == arb.pos_inf() or abs(b).upper() == arb.pos_inf()
    return arb(0) if infinite and (a.is_zero() or b.is_zero()) else a * b
