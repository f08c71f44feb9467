"""The Gibbs weight w = e^{-2 f/s} on cells, enclosed, and what lies beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from witten.certified.balls import Series
from witten.certified.taylor_models import ORDER, TaylorModel, symmetric
from witten.errors import ConvergenceError

if TYPE_CHECKING:
    from flint import arb, arb_series

__all__ = ["Cell", "Tail", "cells", "ranges"]


@dataclass(frozen=True, slots=True)
class Cell:
    """w and 1/w on one cell."""

    weight: TaylorModel
    inverse: TaylorModel

    @property
    def radius(self) -> arb:
        """Half its width."""
        return self.weight.radius


@dataclass(frozen=True, slots=True)
class Tail:
    """What lies beyond an end b of the line, where f' >= slope > 0, outwards: w falls at least like e^{-2 slope t/s}.

    Attributes
    ----------
    slope : a lower bound of f' outwards
    height : f(b)
    mass : a ball that holds int w, which is at most s w(b)/(2 slope)
    spread : a ball that holds (2/s) int X^2/w for X = int_x^inf w, at most (2/s) (s/(2 slope))^2 int w
    """

    slope: arb
    height: arb
    mass: arb
    spread: arb

    @staticmethod
    def beyond(height: arb, slope: arb, s: arb) -> Tail:
        """Of f(b) and a bound of f'."""
        from flint import arb

        length = s / (2 * slope)
        most = (-2 / s * height).exp() * length
        return Tail(slope, height, arb(0).union(most), arb(0).union(2 / s * length**2 * most))


def cells(f: Series, s: arb, nodes: Sequence[arb]) -> list[Cell]:
    """The cells between nodes."""
    return [_cell(f, s, a, b) for a, b in zip(nodes[:-1], nodes[1:], strict=True)]


def _cell(f: Series, s: arb, a: arb, b: arb) -> Cell:
    centre, radius = (a + b) / 2, (b - a) / 2
    at = f(centre, ORDER) * (2 / s)
    over = f(a.union(b), ORDER + 1) * (2 / s)
    return Cell(_model((-at).exp(), (-over).exp(), radius), _model(at.exp(), over.exp(), radius))


def _model(at: arb_series, over: arb_series, radius: arb) -> TaylorModel:
    """Taylor's theorem: the coefficients at the centre, and the next one over the whole cell."""
    from flint import arb_poly

    return TaylorModel(arb_poly(at.coeffs()), symmetric(over[ORDER] * radius**ORDER), radius)


def ranges(f: Series, nodes: Sequence[arb]) -> list[tuple[arb, arb]]:
    """(min f, max f) over each cell, from below and from above: f(c) + f'(c) t + f''(cell) t^2/2; ConvergenceError
    where f has no finite series."""
    found = []
    for a, b in zip(nodes[:-1], nodes[1:], strict=True):
        r = (b - a) / 2
        at, over = f((a + b) / 2, 2), f(a.union(b), 3)
        value = at[0] + at[1] * symmetric(r) + over[2] * (r * r).union(0)
        if not value.is_finite():
            raise ConvergenceError(f"f is not seen to be analytic around {float(a.mid()):.6g}; choose another box")
        found.append((value.lower(), value.upper()))
    return found
