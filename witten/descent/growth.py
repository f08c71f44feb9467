"""Whether a run that grows will grow for ever: the map is asked at every distance that is still ahead of the run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.descent.kernels import OVERFLOW
from witten.descent.map import DescentMap
from witten.objectives.objective import Objective

__all__ = ["growth", "nonlinear_length"]

Array = NDArray[np.float64]
# Steps of a run that are compared, and distances ahead of it at which the map is asked: each so much the next.
COMPARED, LADDER = 64, 1.02
# The curvature of f changes beyond a length at which slopes differ by this from what it says.
CHANGED = 0.1


def growth(descent: DescentMap, x: Array) -> float | None:
    """The factor by which each step takes a run at x (d,) further away from a fixed point, if it does so for ever; or
    None.

    The last steps tell the factor mu and the centre c = x - dx/(mu - 1) of the growth (Aitken). It goes on for ever if
    two steps (mu may be negative) lead further away from c + t (x - c) for every t from 1 to where x^2 overflows, 2 %
    apart, as much as near x: so it does for a parabola, and for what is steeper than one further out. Where f grows
    less the run may end on a cycle, or come back. A pair of plateaus or wells narrower than that, further out than
    the run has been, would be missed."""
    path = descent.path(x, COMPARED)
    steps = np.diff(path, axis=1)
    if not np.isfinite(path).all() or not steps.any(axis=0).all():
        return None
    mu = float(np.sum(steps[:, 1:] * steps[:, :-1]) / np.sum(steps[:, :-1] ** 2))
    lengths = np.linalg.norm(steps, axis=0)
    if not (abs(mu) > 1.0 and np.all(lengths[2:] > lengths[:-2])):
        return None
    centre = path[:, -2] - steps[:, -1] / (mu - 1.0)
    away = path[:, -1] - centre
    with np.errstate(all="ignore"):
        furthest = np.log(OVERFLOW / np.linalg.norm(away)) / np.log(LADDER)
        ladder = centre[:, None] + away[:, None] * LADDER ** np.arange(max(furthest, 1.0))
        before = np.linalg.norm(ladder - centre[:, None], axis=0)
        once = descent(ladder)
        after = np.linalg.norm(descent(once) - centre[:, None], axis=0)
        after = np.where(abs(once).max(axis=0) >= OVERFLOW, np.inf, after)
        further = (after - before) / before >= 0.5 * (mu**2 - 1.0)
    return mu if further.all() else None


def nonlinear_length(objective: Objective, x: Array) -> float:
    """How far from x (d,) grad f is linear, to a tenth: the unit of length that f has near x; inf if everywhere.

    Looked for along the axes and a few other directions, at distances 2^k from what rounding lets see."""
    known = 1e6 * 2.0**-52 * float(abs(x).max())
    r = 2.0 ** np.arange(np.ceil(np.log2(max(known, 1e-120))), 400.0)
    rng = np.random.default_rng(0)
    directions = np.hstack([np.eye(x.size)[:, :8], rng.normal(size=(x.size, 4))])
    directions /= np.linalg.norm(directions, axis=0)
    shortest = np.inf
    with np.errstate(all="ignore"):
        here = objective.gradient(x)[:, None]
        for e in np.hstack([directions, -directions]).T:
            slopes = (objective.gradient(x[:, None] + e[:, None] * r) - here) / r
            changed = ~(np.linalg.norm(slopes - slopes[:, :1], axis=0) <= CHANGED * np.linalg.norm(slopes[:, 0]))
            if changed.any():
                shortest = min(shortest, float(r[changed.argmax()]))
    return shortest
