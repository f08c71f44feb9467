"""Bounds on the rate that are theorems, at any learning rate: Bakry-Emery, Holley-Stroock, Muckenhoupt.

They hold for the formula as it stands: constants are proved, integrals are bracketed by sums of interval enclosures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.objectives import Objective, resolve
from witten.objectives.symbolic.functions import Cos, Sin, Tanh
from witten.objectives.symbolic.interval_arithmetic import enclosure
from witten.objectives.topography.convexity import separate, strong_convexity
from witten.request import positive

__all__ = ["Bound", "rate_bounds"]

Array = NDArray[np.float64]
BOUNDED = (Cos, Sin, Tanh)
# Of the upper and lower sums in Muckenhoupt's criterion.
CELLS_OF_SUMS = 60_000
# Beyond this no tail is looked at; a formula that falls again out there is not meant.
FARTHEST = 1e100
# An interval that has to reach further than this to hold the mass is not taken.
FAR = 1e10


@dataclass(frozen=True)
class Bound:
    """log lambda_s >= lower, or log lambda_s <= upper, and the theorem that says so; the other end is infinite."""

    theorem: str
    lower: float = -np.inf
    upper: float = np.inf


def rate_bounds(objective: Objective | str, learning_rate: float) -> tuple[Bound, ...]:
    """What can be proved about log lambda_s at s, the strongest bounds first; nothing for most f above one dimension.

    * Hess f >= mu: lambda >= mu [Bakry1985].
    * f = g + p, Hess g >= mu, p between two constants: lambda >= mu e^{-2 osc(p)/s} [Holley1987].
    * one dimension, with w = e^{-2f/s} and B(x) = int_x^inf w int_m^x 2/(s w), and the same to the left:
      1/(4 max B) <= lambda, and lambda <= 1/(mu(other side) B), for any m [Muckenhoupt1972].

    For f_1(x_1) + ... + f_d(x_d) the rate is the smallest of the parts', and so are the bounds.

    >>> bound = witten.rate_bounds("x^2/2 + x^4", 0.1)[0]
    >>> bound.theorem, f"{np.exp(bound.lower):.6f}"
    ('Bakry-Emery', '1.000000')

    Raises
    ------
    RequestError
        for a learning rate that is not positive.
    """
    f = resolve(objective)
    positive("learning rate", learning_rate)
    parts = separate(f)
    if parts is None:
        return tuple(_convex(f, learning_rate))
    each = [_one_dimensional(Objective.from_sympy(part, (x,)), learning_rate) for part, x in parts]
    theorems = set.intersection(*({bound.theorem for bound in bounds} for bounds in each))
    found = []
    for theorem in sorted(theorems):
        same = [bound for bounds in each for bound in bounds if bound.theorem == theorem]
        found.append(Bound(theorem, min(b.lower for b in same), min(b.upper for b in same)))
    return tuple(sorted(found, key=lambda bound: -bound.lower))


def _one_dimensional(f: Objective, s: float) -> list[Bound]:
    return _convex(f, s) + _muckenhoupt(f, s)


def _convex(f: Objective, s: float) -> list[Bound]:
    """Bakry-Emery for a convex f, Holley-Stroock for one that is so up to bounded terms."""
    if f.formula is None:
        return []
    bounded = [term for term in sp.Add.make_args(sp.expand(f.formula)) if _amplitude(term) is not None]
    rest = Objective.from_sympy(sp.expand(f.formula) - sp.Add(*bounded), f.symbols)
    if rest.is_constant:
        return []
    mu, proved = strong_convexity(rest)
    if mu is None or not proved:
        return []
    if not bounded:
        return [Bound("Bakry-Emery", lower=float(np.log(mu)))]
    oscillation = 2 * sum(_amplitude(term) or 0.0 for term in bounded)
    return [Bound("Holley-Stroock", lower=float(np.log(mu) - 2 * oscillation / s))]


def _amplitude(term: sp.Expr) -> float | None:
    """|c| of a term c cos(...), c sin(...), c tanh(...); None for any other."""
    c, rest = term.as_independent(*term.free_symbols) if term.free_symbols else (term, sp.S.One)
    return abs(float(c)) if isinstance(rest, BOUNDED) else None


@dataclass(frozen=True)
class _Half:
    """The line to one side of a node: logarithms of lower and upper sums, over cells counted outwards from the node.

    w is e^{-2f/s}, v is 2/(s w); beyond the last cell f' is at least `slope`, outwards, and w at most e^edge."""

    w: tuple[Array, Array]
    v: tuple[Array, Array]
    slope: float
    edge: float
    s: float

    def largest(self) -> float:
        """log of an upper bound of B; beyond the last cell by the slope."""
        tail = self.edge + np.log(self.s / (2 * self.slope))
        outside = np.logaddexp.accumulate(np.append(self.w[1], tail)[::-1])[::-1][:-1]
        climbed = np.logaddexp.accumulate(self.v[1])
        beyond = np.logaddexp(tail + climbed[-1], np.log(self.s / (2 * self.slope**2)))
        return max(float((outside + climbed).max()), float(beyond))

    def least(self) -> float:
        """log of a lower bound of B."""
        outside = np.logaddexp.accumulate(self.w[0][::-1])[::-1]
        climbed = np.logaddexp.accumulate(self.v[0])
        return float((outside[1:] + climbed[:-1]).max())

    def mass(self) -> tuple[float, float]:
        """Logarithms of bounds of the integral of w."""
        tail = self.edge + np.log(self.s / (2 * self.slope))
        return float(np.logaddexp.reduce(self.w[0])), float(np.logaddexp(np.logaddexp.reduce(self.w[1]), tail))


def _muckenhoupt(f: Objective, s: float) -> list[Bound]:
    """Both sides of Muckenhoupt's criterion, from upper and lower sums over cells; nothing where a tail is not seen."""
    ends = _interval(f, s)
    if ends is None:
        return []
    (a, b), (fall, rise) = ends
    x = np.linspace(a, b, CELLS_OF_SUMS + 1)
    low, high = _cell_ranges(f, x)
    width, floor = np.log(np.diff(x)), float(low.min())
    w = width - 2 * (high - floor) / s, width - 2 * (low - floor) / s
    v = width + 2 * (low - floor) / s + np.log(2 / s), width + 2 * (high - floor) / s + np.log(2 / s)
    m = _median(w[0])
    left = _Half(
        (w[0][:m][::-1], w[1][:m][::-1]), (v[0][:m][::-1], v[1][:m][::-1]), -fall, -2 * (low[0] - floor) / s, s
    )
    right = _Half((w[0][m:], w[1][m:]), (v[0][m:], v[1][m:]), rise, -2 * (low[-1] - floor) / s, s)
    lower = -np.log(4) - max(left.largest(), right.largest())
    upper = min(_ceiling(left, right), _ceiling(right, left))
    return [Bound("Muckenhoupt", lower=float(lower), upper=upper)]


def _ceiling(side: _Half, other: _Half) -> float:
    """log of 1/(mu(other side) B), from functions that vanish on the other side: Var u >= mu(u = 0) int u^2 dmu."""
    here, there = side.mass()[1], other.mass()[0]
    return float(np.logaddexp(here, there) - there - side.least())


def _median(density: Array) -> int:
    """The number of a node that about halves the mass; any node gives valid bounds, this one about the best."""
    total = np.logaddexp.accumulate(density)
    return int(np.clip(np.searchsorted(total, total[-1] - np.log(2)), 1, density.size - 2))


def _cell_ranges(f: Objective, x: Array) -> tuple[Array, Array]:
    """Enclosures of f over cells: the natural one, and f(c) + f'(cell)(cell - c), whichever is tighter."""
    left, right = x[None, :-1], x[None, 1:]
    centre = (left + right) / 2
    low, high = enclosure(f, "value")(left, right)
    slopes = enclosure(f, "gradient")(left, right)
    at = enclosure(f, "value")(centre, centre)
    reach = np.maximum(abs(slopes[0][0]), abs(slopes[1][0])) * (right - left)[0] * 0.5000001
    return np.fmax(low, at[0] - reach), np.fmin(high, at[1] + reach)


def _interval(f: Objective, s: float) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """An interval outside of which f' is bounded away from zero and hardly any mass lies, and these bounds of f'.

    None where no such interval is seen."""
    edges = np.concatenate([[0.0], np.geomspace(1e-2, FARTHEST, 3000)])
    derivative = enclosure(f, "gradient")
    ends, slopes = [], []
    for side in (-1, 1):
        left, right = (edges[:-1], edges[1:]) if side == 1 else (-edges[1:], -edges[:-1])
        low, high = derivative(left[None], right[None])
        steep = np.nan_to_num(low[0] if side == 1 else -high[0], nan=-np.inf)
        floor = np.minimum.accumulate(steep[::-1])[::-1]  # the least slope from here on
        values = f(side * edges[None, :-1])
        with np.errstate(over="ignore", invalid="ignore"):
            heavy = np.flatnonzero(~(2 * (values - np.nanmin(values)) / s >= 50))
        # A slope that dies away, like that of a logarithm, is none.
        good = np.flatnonzero((floor > 0) & (floor > 0.1 * steep) & (edges[:-1] < FAR))
        good = good[good > (heavy[-1] if heavy.size else 0)]
        if not good.size:
            return None
        ends.append(side * float(edges[good[0]]))
        slopes.append(side * float(floor[good[0]]))
    return (ends[0], ends[1]), (slopes[0], slopes[1])
