"""Whether a run that grows will grow for ever: the map is asked at every distance that is still ahead of the run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.descent.gradient_map import DescentMap
from witten.descent.kernels import OVERFLOW

__all__ = ["COMPARED", "growth"]

Array = NDArray[np.float64]
# Steps of a run that are compared, and distances ahead of it at which the map is asked: each so much the next.
COMPARED, LADDER = 64, 1.02


def growth(descent: DescentMap, x: Array) -> float | None:
    """The factor by which each step takes a run at the state x (m,) further away from a fixed point, for ever; or
    None.

    The last steps give the factor mu and the centre c = x - dx/(mu - 1) of the growth (Aitken). It goes on for ever if
    two steps (mu may be negative) lead further away from c + t (x - c) for every t from 1 to where x^2 overflows, 2 %
    apart, as much as near x: so it does for a parabola, and for what is steeper than one further out. Where f grows
    less the run may end on a cycle, or come back. A pair of plateaus or wells narrower than that, further out than
    the run has been, would be missed."""
    path = descent.path(x, COMPARED)
    steps = np.diff(path, axis=1)
    if not np.isfinite(path).all() or not steps.any(axis=0).all():
        return None
    steps /= abs(steps).max()  # squares of the largest may be too large
    mu = float(np.sum(steps[:, 1:] * steps[:, :-1]) / np.sum(steps[:, :-1] ** 2))
    lengths = np.linalg.norm(steps, axis=0)
    if not (abs(mu) > 1.0 and np.all(lengths[2:] > lengths[:-2])):
        return None
    centre = path[:, -2] - (path[:, -1] - path[:, -2]) / (mu - 1.0)
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
