"""Lengths that f itself has, so that no other is needed: over which grad f is linear, or goes like one power."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from witten.objectives.objective import CallableObjective, Objective

__all__ = ["nonlinear_length"]

Array = NDArray[np.float64]
# Distances are powers of two from what rounding lets see, beside |x|, to where squares overflow.
KNOWN, SMALLEST, LARGEST = 1e6 * 2.0**-52, 2.0**-400, 400
# Numbers below this lose digits when they are squared.
DENORMAL = float(np.sqrt(np.finfo(float).tiny / np.finfo(float).eps))
# The power of r in |grad f(x + r e) - grad f(x)| may change by this.
CHANGED = 0.1
# Directions beside the axes, and axes at most.
OTHERS, AXES = 4, 8


def nonlinear_length(objective: Objective, x: Array, *, known: float = KNOWN) -> float:
    """How far from x (d,) |grad f(x + r e) - grad f(x)| goes like one power of r, to a tenth: the unit of length that
    f has near x, within a factor of about two; inf for a parabola or a power, which have none.

    At a point with a Hessian the power is one; it is another at degenerate points and on kinks. Of a function that has
    no gradient of its own, the values are examined instead. Shorter lengths than `known` |x| are not sought: a
    degenerate point or a kink is there only to so much."""
    r = np.exp2(np.arange(np.ceil(np.log2(max(known * float(abs(x).max()), SMALLEST))), LARGEST))
    change = _change(objective, x)
    lengths = [_single_power(r, change(e[:, None] * r)) for e in _directions(x.size).T]
    return min(lengths, default=np.inf)


def _directions(d: int) -> Array:
    others = np.random.default_rng(0).normal(size=(d, OTHERS if d > 1 else 0))
    u = np.hstack([np.eye(d)[:, :AXES], others / np.linalg.norm(others, axis=0)])
    return np.hstack([u, -u])


def _change(objective: Objective, x: Array) -> Callable[[Array], Array]:
    """|grad f(x + v) - grad f(x)|, or |f(x + v) - f(x)|, at v (d, n); nan where rounding hides it."""
    by_value = isinstance(objective, CallableObjective) and objective.given[1] is None

    def change(v: Array) -> Array:
        with np.errstate(all="ignore"):
            if by_value:
                there, here = np.asarray(objective(x[:, None] + v)), float(objective(x))
                size, known = abs(there - here), KNOWN * abs(here)
            else:
                there, start = objective.gradient(x[:, None] + v), objective.gradient(x)[:, None]
                size, known = np.linalg.norm(there - start, axis=0), KNOWN * float(np.linalg.norm(start))
        return np.where(np.isfinite(size) & (size > max(known, DENORMAL)), size, np.nan)

    return change


def _single_power(r: Array, change: Array) -> float:
    """Up to which r the change goes like the power that it has at the smallest r at which it is known."""
    with np.errstate(all="ignore"):
        powers = np.diff(np.log2(change))
    known = np.flatnonzero(np.isfinite(powers))
    if not known.size:
        return np.inf
    off = known[abs(powers[known] - powers[known[0]]) > CHANGED * max(1.0, abs(powers[known[0]]))]
    return float(r[off[0] + 1]) if off.size else np.inf
