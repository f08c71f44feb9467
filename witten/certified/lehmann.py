"""Two-sided bounds of the lowest rate from trial functions [Lehmann1949].

Of functions v_i with int v_i w = 0, and X_i(x) = int_x^inf v_i w,

    A0 = int (s/2) w v_i' v_j',    A1 = int w v_i v_j,    A2 = int (2/(s w)) X_i X_j

are (A v, v), (v, v) and (A^-1 v, v) of the generator A. lambda_1 <= x^T A1 x / x^T A2 x for every x. And if of n
functions L <= rho <= lambda_{n+1}, and (rho A1 - A0) - L (rho A2 - A1) is positive definite, then lambda_1 >= L: else
(A - rho)(A - L) would be negative on n - 1 dimensions at most, and on all n of the functions A^{-1/2} v."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import mpmath as mp

from witten.certified.taylor_models import TaylorModel
from witten.certified.weights import Cell, Tail

if TYPE_CHECKING:
    from flint import arb, arb_mat, arb_poly

__all__ = ["Forms", "lower_bound", "trial_forms", "upper_bound"]

# What is tried below the end of the enclosure of a lower bound, relative to it.
MARGINS = [0.0] + [4.0**k for k in range(-60, -3)]


@dataclass(frozen=True)
class Forms:
    """A0, A1, A2: symmetric matrices of balls, one row for each trial function."""

    energy: arb_mat
    mass: arb_mat
    inverse: arb_mat


def trial_forms(
    cells: Sequence[Cell],
    tails: tuple[Tail | None, Tail | None],
    functions: Sequence[Sequence[arb_poly]],
    s: arb,
    middle: int,
) -> Forms:
    """A0, A1, A2 of functions that are a polynomial on each cell and constant in the tails, less their means.

    X is summed from the left on cells before the middle and from the right from there on: from where it is small."""
    from flint import arb_mat

    trial = [_Trial.of(cells, tails, pieces, middle) for pieces in functions]
    forms = [arb_mat(len(trial), len(trial)) for _ in range(3)]
    for i, j in combinations_with_replacement(range(len(trial)), 2):
        for form, value in zip(forms, _products(cells, tails, trial[i], trial[j], s), strict=True):
            form[i, j] = form[j, i] = value
    return Forms(*forms)


@dataclass(frozen=True)
class _Trial:
    """v, w v, w v' and X on each cell, and v in the tails."""

    values: Sequence[arb_poly]
    weighted: Sequence[TaylorModel]
    slopes: Sequence[arb_poly]
    tops: Sequence[TaylorModel]
    ends: tuple[arb, arb]

    @staticmethod
    def of(
        cells: Sequence[Cell], tails: tuple[Tail | None, Tail | None], pieces: Sequence[arb_poly], middle: int
    ) -> _Trial:
        ends = pieces[0](-cells[0].radius), pieces[-1](cells[-1].radius)
        masses = [_tail_mass(tail) for tail in tails]
        total = _sum(cell.weight.integral() for cell in cells) + _sum(masses)
        first = _sum(cell.weight.times(p).integral() for cell, p in zip(cells, pieces, strict=True))
        mean = (first + _sum(m * v for m, v in zip(masses, ends, strict=True))) / total
        values = [p - mean for p in pieces]
        left, right = (v - mean for v in ends)
        weighted = [cell.weight.times(v) for cell, v in zip(cells, values, strict=True)]
        tops = _tops(weighted, masses[0] * left, masses[1] * right, middle)
        return _Trial(values, weighted, [p.derivative() for p in pieces], tops, (left, right))


def _tail_mass(tail: Tail | None) -> arb:
    from flint import arb

    return arb(0) if tail is None else tail.mass


def _sum(terms: object) -> arb:
    from flint import arb

    return sum(terms, arb(0))  # type: ignore[call-overload, no-any-return]


def _tops(weighted: Sequence[TaylorModel], left: arb, right: arb, middle: int) -> list[TaylorModel]:
    """X on each cell; int v w = 0, so that -X is the integral from the left."""
    tops = []
    for model in weighted[:middle]:
        tops.append(model.integral_from_left(left))
        left = left + model.integral()
    after = []
    for model in reversed(weighted[middle:]):
        after.append(model.integral_to_right(right))
        right = right + model.integral()
    negative = [TaylorModel(-top.polynomial, top.error, top.radius) for top in tops]
    return negative + after[::-1]


def _products(
    cells: Sequence[Cell], tails: tuple[Tail | None, Tail | None], u: _Trial, v: _Trial, s: arb
) -> tuple[arb, arb, arb]:
    """The three integrals of two functions."""
    numbers = range(len(cells))
    energy = _sum(cells[k].weight.times(u.slopes[k] * v.slopes[k]).integral() for k in numbers) * s / 2
    mass = _sum(u.weighted[k].times(v.values[k]).integral() for k in numbers)
    inverse = _sum((cells[k].inverse * (u.tops[k] * v.tops[k])).integral() for k in numbers) * 2 / s
    for tail, a, b in zip(tails, u.ends, v.ends, strict=True):
        if tail is not None:
            mass, inverse = mass + a * b * tail.mass, inverse + a * b * tail.spread
    return energy, mass, inverse


def upper_bound(forms: Forms) -> arb | None:
    """A ball whose upper end is above lambda_1: the quotient of the best combination that floating point finds."""
    x = _lowest(forms.mass, forms.inverse)
    if x is None:
        return None
    above, below = (x.transpose() * form * x for form in (forms.mass, forms.inverse))
    return above[0, 0] / below[0, 0] if below[0, 0] > 0 else None


def lower_bound(forms: Forms, rho: arb) -> arb | None:
    """A number L <= lambda_1, for rho <= lambda_{n+1} of n functions; None where nothing is proved."""
    above, below = forms.mass * rho - forms.energy, forms.inverse * rho - forms.mass
    x = _lowest(above, below)
    if x is None:
        return None
    first, second = ((x.transpose() * form * x)[0, 0] for form in (above, below))
    start = (first / second).lower()
    for margin in MARGINS:
        bound: arb = (start * (1 - margin)).lower()
        if 0 < bound < rho and positive_definite(above - below * bound):
            return bound
    return None


def positive_definite(a: arb_mat) -> bool:
    """Whether elimination proves it: all pivots are positive."""
    n = a.nrows()
    rows = [[a[i, j] for j in range(n)] for i in range(n)]
    for k in range(n):
        if not rows[k][k] > 0:
            return False
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [rows[i][j] - factor * rows[k][j] for j in range(n)]
    return True


def _lowest(a: arb_mat, b: arb_mat) -> arb_mat | None:
    """x with the least x^T a x / x^T b x, about; None where b is not positive definite."""
    from flint import arb, arb_mat, ctx

    n = a.nrows()
    if n == 1:
        return arb_mat([[1]])
    with mp.workprec(ctx.prec):
        try:
            factor = mp.cholesky(_midpoints(b))
            inverse = mp.inverse(factor)
            _, vectors = mp.eigsy(inverse * _midpoints(a) * inverse.T)
        except (ValueError, ZeroDivisionError):
            return None
        x = inverse.T * vectors[:, 0]
        return arb_mat([[arb(mp.nstr(x[i], mp.mp.dps)).mid()] for i in range(n)])


def _midpoints(a: arb_mat) -> mp.matrix:
    from flint import ctx

    digits = int(ctx.prec * 0.302) + 5
    n = a.nrows()
    return mp.matrix([[mp.mpf(a[i, j].mid().str(digits, radius=False)) for j in range(n)] for i in range(n)])
