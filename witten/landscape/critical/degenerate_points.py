"""What subdivision leaves open: degenerate critical points, kinks, and curves or surfaces of critical points."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
from numpy.typing import NDArray

from witten.landscape.critical.critical_point import (
    CriticalPoint,
    critical_points_at,
    distinct,
    hessians,
    inside_of,
    polished,
)
from witten.number_format import listed
from witten.objectives.objective import Objective
from witten.objectives.topography.scaled_coordinates import Units
from witten.objectives.topography.subdivision import Subdivision

__all__ = ["points_of_a_manifold", "unclear_points"]

Array = NDArray[np.float64]
# A zero that subdivision left open is said to be none where |grad f| is larger than this beside Hess f.
VANISHES = 1e-4
# Steps of Newton's method in many digits towards a degenerate point, to which each comes nearer by a fraction.
CREEPING = 200


def unclear_points(
    objective: Objective, cells: Array, regular: list[CriticalPoint], units: Units
) -> tuple[list[CriticalPoint], tuple[str, ...]]:
    """The degenerate points among the cells that were left open, and a note where it is not clear what they hold."""
    if not cells.size:
        return [], ()
    taken = np.array([point.x for point in regular]).reshape(-1, len(cells)).T
    centres = cells[:, distinct(cells, 1e-4)]
    points, notes = [], []
    for x in centres.T:
        if taken.size and np.linalg.norm(taken - x[:, None], axis=0).min() < 1e-5 * (1 + np.linalg.norm(x)):
            continue
        if _is_critical(objective, x):
            found = critical_points_at(objective, x[:, None], proved=False)
            points += [replace(p, curvatures=np.full(x.size, np.nan)) if _on_a_kink(objective, x) else p for p in found]
        elif _has_neighbours(objective, x):
            notes.append(f"whether f has a critical point near ({listed(units.out(x[:, None])[:, 0])}) is left open")
    return points, tuple(notes[:3])


def _cross(x: Array, step: float) -> Array:
    """Points so far from x on either side along each axis, (d, 2 d)."""
    return np.asarray(x[:, None] + step * np.hstack([np.eye(x.size), -np.eye(x.size)]))


def _is_critical(objective: Objective, x: Array) -> bool:
    """Whether grad f vanishes at x, or jumps over zero there (a kink)."""
    slope = float(np.linalg.norm(objective.gradient(x)))
    around = _cross(x, 1e-3 * (1 + float(np.linalg.norm(x))))
    nearby = np.linalg.norm(objective.gradient(around), axis=0)
    if not (np.isfinite(slope) and np.isfinite(nearby).all()):
        return False
    if slope <= VANISHES * nearby.max() or slope <= 1e-12:
        return True
    outward = objective(around) - objective(x)
    return bool(slope <= 2 * nearby.max() and ((outward > 0).all() or (outward < 0).all()))


def _on_a_kink(objective: Objective, x: Array) -> bool:
    """Whether grad f jumps at x, along an axis: a change over a hundredth of the way that is hardly less."""
    jumps = []
    for step in (1e-5, 1e-7):
        ahead, behind = np.split(objective.gradient(_cross(x, step)), 2, axis=1)
        jumps.append(np.linalg.norm(ahead - behind, axis=0))
    return bool(np.any(jumps[1] > 0.5 * jumps[0]))


def _has_neighbours(objective: Objective, x: Array) -> bool:
    """Whether f has values all around x: it does not where its domain ends."""
    return bool(np.isfinite(objective(_cross(x, 1e-6 * (1 + float(np.linalg.norm(x)))))).all())


def points_of_a_manifold(
    objective: Objective, found: Subdivision, corners: Array
) -> tuple[list[CriticalPoint], str] | None:
    """A few points of it, with a note, if what subdivision could not close is a curve or surface of critical points;
    else None."""
    some = found.open[:, np.linspace(0, found.open.shape[1] - 1, 400).astype(int)]
    x = some.copy()
    for _ in range(30):
        h, g = hessians(objective, x), objective.gradient(x)
        if not (np.isfinite(h).all() and np.isfinite(g).all()):
            return None
        x -= np.einsum("nij,jn->in", np.linalg.pinv(h, rcond=1e-9, hermitian=True), g)
    with np.errstate(all="ignore"):
        small = np.linalg.norm(objective.gradient(x), axis=0) <= 1e-8 * np.linalg.norm(
            hessians(objective, x), axis=(1, 2)
        )
    curvatures = abs(np.linalg.eigvalsh(hessians(objective, np.where(small, x, some))))
    flat = small & (curvatures.min(axis=1) <= 1e-9 * curvatures.max(axis=1)) & inside_of(x, corners)
    if np.count_nonzero(flat) < 0.5 * some.shape[1]:
        return None
    x = x[:, flat]
    few = x[:, distinct(x, 0.5 * float(np.ptp(x, axis=1).max()) / (1 + float(np.linalg.norm(x, axis=0).max())) + 1e-6)]
    if all(_is_critical_nearby(objective, point) for point in few.T):
        note = "critical points fill a curve or a surface: only some of them are listed"
    else:
        few = _followed(objective, few, corners)
        note = (
            "subdivision does not end around degenerate critical points: that those listed are isolated, and all that "
            "there are, is not proved"
        )
    regular, _ = polished(objective, found.zeros)
    regular = regular[:, inside_of(regular, corners)]
    points = critical_points_at(objective, few, proved=False)
    points += critical_points_at(objective, regular[:, distinct(regular)], proved=True)
    return points, note


def _is_critical_nearby(objective: Objective, x: Array) -> bool:
    """Whether grad f = 0 has a solution beside x across the flat directions, to 80 digits.

    Where f is only as flat as a power, floats cannot tell: 6 u^5 is lost beside the rounding of steeper terms."""
    h = hessians(objective, x[:, None])[0]
    across = mpmath.matrix(np.linalg.pinv(h, rcond=1e-9, hermitian=True).tolist())
    with mpmath.workdps(100):
        point = mpmath.matrix([mpmath.mpf(c) for c in x.tolist()])
        for _ in range(20):
            slope = mpmath.matrix(objective.mpmath_gradient(list(point)))
            if mpmath.norm(slope) <= mpmath.mpf(10) ** -80 * float(np.linalg.norm(h)):
                return True
            point -= across * slope
    return False


def _followed(objective: Objective, x: Array, corners: Array) -> Array:
    """Where in the box Newton's method in 100 digits leads from points (d, n); it creeps towards degenerate ones."""
    ends = []
    with mpmath.workdps(100):
        for start in x.T.tolist():
            point = mpmath.matrix([mpmath.mpf(c) for c in start])
            for _ in range(CREEPING):
                h = mpmath.matrix(objective.mpmath_hessian(list(point)))
                if not mpmath.det(h):
                    break
                point -= mpmath.lu_solve(h, mpmath.matrix(objective.mpmath_gradient(list(point))))
            ends.append([float(c) for c in point])
    out = np.array(ends).T
    out = out[:, inside_of(out, corners)]
    return out[:, distinct(out, 1e-6)]
