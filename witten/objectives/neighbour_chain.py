"""Formulas that are sums over a chain: polynomials in which each coordinate stands beside its two neighbours alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.objectives.objective import Objective

__all__ = ["NeighbourChain", "neighbour_chain"]

Array = NDArray[np.float64]
# Coordinates of a chain.
FEWEST, MOST = 2, 20


@dataclass(frozen=True)
class NeighbourChain:
    """f = sum_i a_i(x_i) + sum_i b_i(x_i, x_{i+1}), all polynomials, in the order of the chain.

    Attributes
    ----------
    polynomial : f in symbols of that order
    order : which coordinate of the objective stands at each place
    """

    polynomial: sp.Poly
    order: tuple[int, ...]

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.order)

    def scaled(self, centre: Array, length: Array) -> NeighbourChain:
        """The same in y, x_i = centre_i + length_i y_i."""
        symbols = self.polynomial.gens
        moves = {
            x: sp.Rational(float(c)) + sp.Rational(float(a)) * x
            for x, c, a in zip(symbols, centre, length, strict=True)
        }
        moved = self.polynomial.as_expr().subs(moves, simultaneous=True)
        return NeighbourChain(sp.Poly(moved, *symbols), self.order)

    def at(self, place: int) -> dict[tuple[int, int], float]:
        """a_i, the terms in x_i alone: coefficients by (power, 0)."""
        return {(key[0], 0): c for key, c in self._terms((place,)).items()}

    def bond(self, place: int) -> dict[tuple[int, int], float]:
        """b_i, the terms in both x_i and x_{i+1}: coefficients by their powers."""
        return {(key[0], key[1]): c for key, c in self._terms((place, place + 1)).items()}

    def _terms(self, places: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        return {
            tuple(powers[k] for k in places): float(c)
            for powers, c in self.polynomial.terms()
            if _places(powers) == places
        }

    def schroedinger(self, s: float, length: Array) -> dict[tuple[int, ...], float]:
        """|grad f|^2/(2 s) - Lap f/2 in x, of f in y: coefficients by powers."""
        symbols, f = self.polynomial.gens, self.polynomial
        parts = [
            (f.diff(y) ** 2 / (2 * sp.Rational(s)) - f.diff(y, y) / 2) / sp.Rational(float(a)) ** 2
            for y, a in zip(symbols, length, strict=True)
        ]
        total = sum(parts, sp.Poly(0, *symbols))
        return {powers: float(c) for powers, c in total.terms() if c != 0}


def neighbour_chain(objective: Objective) -> NeighbourChain | None:
    """f as a chain, if it is a polynomial that is one in some order of its coordinates."""
    if objective.formula is None or not FEWEST <= objective.dimension <= MOST or objective.mobility:
        return None
    symbols = objective.symbols
    if not objective.formula.is_polynomial(*symbols):
        return None
    polynomial = sp.Poly(objective.formula, *symbols)
    order = _order([_places(powers) for powers in polynomial.monoms()], objective.dimension)
    if order is None:
        return None
    return NeighbourChain(sp.Poly(polynomial.as_expr(), *(symbols[k] for k in order)), order)


def _places(powers: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(k for k, power in enumerate(powers) if power)


def _order(terms: list[tuple[int, ...]], dimension: int) -> tuple[int, ...] | None:
    """Coordinates from one end of a chain to the other; None where terms join more than two, or make no chain."""
    beside: list[set[int]] = [set() for _ in range(dimension)]
    for places in terms:
        if len(places) > 2:
            return None
        for a in places:
            beside[a] |= set(places) - {a}
    ends = [k for k, near in enumerate(beside) if len(near) == 1]
    if len(ends) != 2 or any(len(near) > 2 for near in beside):
        return None
    order = [ends[0]]
    while len(order) < dimension:
        following = beside[order[-1]] - set(order)
        if not following:
            return None
        order.append(following.pop())
    return tuple(order)
