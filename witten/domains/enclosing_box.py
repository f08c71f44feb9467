"""A box that holds the sublevel set around the wells that matter, grown from the lowest of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.finite_values import finite_or_outside
from witten.domains.scan import Scan
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import everywhere, reach, rise

__all__ = ["TIE", "closed", "enclosing_box", "with_circles"]

# Cells along each axis of the scans that look for wells, in 1, 2 and 3 dimensions.
COARSE = {1: 1000, 2: 200, 3: 48}
# Barriers closer than this, in units of the learning rate, count as equal.
TIE = 0.1
# By how much a box is grown.
GROWTH = 1e9
# Critical points beyond which only those nearby are examined: there may be infinitely many.
MOST_KNOWN = 20_000


def enclosing_box(objective: Objective, s: float, wells: int, margin: float) -> Box:
    """Around the lowest point; then further out, to three times the size and where critical points are known; again
    from there if wells that matter turn up."""
    d = objective.dimension
    if objective.periodic_axes.all():
        return with_circles(objective, Box((0.0,) * d, (1.0,) * d))
    known = reach(objective)
    box = _around(objective, known.lowest, margin * s)
    for _ in range(10):
        box = _fitted(objective, box, s, wells, margin)
        further = with_circles(objective, box.expanded(1.0, 1.0))
        found = Scan.of(objective, further, 2 * COARSE[d], s).wells(wells)
        if known.points.shape[1] <= MOST_KNOWN and not further.holds(known.points).all():
            further = with_circles(objective, further.joined(_hull(known.points)).expanded(0.01, 0.01))
            # On a line, cells fine enough for all of the wells that are known.
            cells = max(2 * COARSE[d], 12 * known.points.shape[1] if d == 1 else 0)
            found = np.hstack([found, Scan.of(objective, further, cells, s).wells(wells)])
        outside = found[:, ~box.holds(found)]
        if not outside.size:
            return box
        for well in outside.T:
            box = box.joined(_around(objective, well, margin * s))
    raise RequestError(f"{objective.name} keeps showing wells further out; give a box that holds those of interest")


def _around(objective: Objective, x: NDArray[np.float64], height: float) -> Box:
    """A box around a well, to where f exceeds f(x) by a height along the axes."""
    sides = rise(objective, x, height)
    return with_circles(objective, Box(tuple((x - sides[:, 0]).tolist()), tuple((x + sides[:, 1]).tolist())))


def with_circles(objective: Objective, box: Box) -> Box:
    """The box with the period for its interval along each periodic axis."""
    around, ends = objective.periodic_axes, everywhere(objective)
    lower, upper = np.where(around, ends[:, 0], box.lower), np.where(around, ends[:, 1], box.upper)
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


def _hull(points: NDArray[np.float64]) -> Box:
    """The box around points (d, n), with some room where they lie in a plane."""
    low, high = points.min(axis=1), points.max(axis=1)
    room = 1e-3 * (high - low).max()
    return Box(tuple((low - room).tolist()), tuple((high + room).tolist()))


def _fitted(objective: Objective, box: Box, s: float, wells: int, margin: float) -> Box:
    """Move the sides of the box until the sublevel set fills most of it and touches none of them.

    A larger box has coarser cells, in which thin ends are lost: it is not made smaller than one that was touched."""
    d, touched = objective.dimension, None
    farthest = GROWTH * box.widths.max()
    for _ in range(200):
        scan = Scan.of(objective, box, COARSE[d], s)
        inside = scan.inside(scan.height(wells, TIE * s) + margin * s)
        spans = [np.flatnonzero(inside.any(axis=tuple(b for b in range(d) if b != a))) for a in range(d)]
        first, last = np.array([span[0] for span in spans]), np.array([span[-1] for span in spans])
        free = ~objective.periodic_axes
        below, above = (first == 0) & free, (last == COARSE[d] - 1) & free
        if below.any() or above.any():
            touched, box = box, box.expanded(0.5 * below, 0.5 * above)
            if (box.widths > farthest).any():
                break
            continue
        fitted = box.expanded((3 - first) / COARSE[d], (last + 4 - COARSE[d]) / COARSE[d])
        fitted = with_circles(objective, fitted)
        if (fitted.widths > 0.6 * box.widths).all():
            return fitted
        if touched is not None and touched.holds(np.transpose([fitted.lower, fitted.upper])).all():
            return box
        box = fitted
    level = scan.height(wells, TIE * s) + margin * s
    raise RequestError(
        f"{objective.name} stays below {level:.4g} out to {box}; give a confining objective, a box, or a smaller "
        "learning rate"
    )


def closed(objective: Objective, box: Box, level: float) -> Box:
    """The box with sides moved out until f exceeds the level on all of them: scans lose the thin ends of valleys."""
    d, n = box.dimension, {1: 1, 2: 4000, 3: 200}[box.dimension]
    for _ in range(100):
        out = np.zeros((2, d))
        for axis in np.flatnonzero(~objective.periodic_axes):
            others = [np.linspace(a, b, n) for i, (a, b) in enumerate(box.intervals) if i != axis]
            face = [x.ravel() for x in np.meshgrid(*others, indexing="ij")]
            for side, at in enumerate((box.lower[axis], box.upper[axis])):
                points = np.array([*face[:axis], np.full(n ** (d - 1), at), *face[axis:]])
                out[side, axis] = 0.04 * (finite_or_outside(objective, points) <= level).any()
        if not out.any():
            break
        box = box.expanded(*out)
    return box
