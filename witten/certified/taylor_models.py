"""Taylor models: polynomial + ball, an enclosure of a function on |t| <= r [Makino2003]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flint import arb, arb_poly

__all__ = ["ORDER", "TaylorModel", "symmetric"]

# Coefficients that are kept.
ORDER = 16


def symmetric(bound: arb) -> arb:
    """The ball of all y with |y| <= |bound|."""
    from flint import arb

    return arb(0, bound.abs_upper())


@dataclass(frozen=True, slots=True)
class TaylorModel:
    """All functions p(t) + e(t), |e(t)| <= error, on |t| <= radius."""

    polynomial: arb_poly
    error: arb
    radius: arb

    @property
    def range(self) -> arb:
        """A ball that holds all values."""
        return self.polynomial(symmetric(self.radius)) + self.error

    def __mul__(self, other: TaylorModel) -> TaylorModel:
        """The product, its terms from t^ORDER on put into the error."""
        t = symmetric(self.radius)
        product = self.polynomial * other.polynomial
        error = self.error * other.range + self.polynomial(t) * other.error
        if product.degree() >= ORDER:
            error += product.right_shift(ORDER)(t) * symmetric(self.radius**ORDER)
            product = product.truncate(ORDER)
        return TaylorModel(product, symmetric(error), self.radius)

    def times(self, polynomial: arb_poly) -> TaylorModel:
        """The product with a polynomial."""
        from flint import arb

        return self * TaylorModel(polynomial, arb(0), self.radius)

    def integral(self) -> arb:
        """int_{-r}^{r}."""
        primitive = self.polynomial.integral()
        return primitive(self.radius) - primitive(-self.radius) + 2 * self.radius * self.error

    def integral_from_left(self, start: arb) -> TaylorModel:
        """t -> start + int_{-r}^t."""
        primitive = self.polynomial.integral()
        return self._primitive(primitive + (start - primitive(-self.radius)))

    def integral_to_right(self, end: arb) -> TaylorModel:
        """t -> int_t^r + end."""
        primitive = self.polynomial.integral()
        return self._primitive((end + primitive(self.radius)) - primitive)

    def _primitive(self, polynomial: arb_poly) -> TaylorModel:
        return TaylorModel(polynomial, symmetric(2 * self.radius * self.error), self.radius)
