"""Every critical point: with a proof where f is a formula in one to three dimensions, else by many starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mpmath
import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError, RequestError
from witten.landscape.critical.critical_point import CriticalPoint, critical_points_at, distinct, hessians, polished
from witten.landscape.critical.gradient_flow import descend
from witten.landscape.critical.multistart import multistart
from witten.landscape.critical.newton_on_grid import grid_search
from witten.objectives.objective import Objective
from witten.objectives.symbolic.polynomials import critical_bound
from witten.objectives.symbolic.rewriting.affine_frame import AffineFrame, affine_frame
from witten.objectives.topography.critical_set import Reach, reach
from witten.objectives.topography.scaled_coordinates import Units, units_around
from witten.objectives.topography.subdivision import Subdivision, subdivide

__all__ = ["CriticalPoints", "critical_points"]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
# Half-widths of cubes that are looked at where reach knows nothing, in the unit that the formula is written with, and
# critical points in one at most.
CUBES, MOST_IN_A_CUBE = (1e4, 1e3, 1e2, 10.0), 2000
# Cells looked at by subdivision: at a first go, and where the place is known.
GLANCE, LOOK = 150_000, 1_500_000
MOST_POINTS, MOST_OF_MORE = 100_000, 15_000
# A zero that subdivision left open is said to be none where |grad f| is larger than this beside Hess f.
VANISHES = 1e-4
# Steps of Newton's method in many digits towards a degenerate point, to which each comes nearer by a fraction.
CREEPING = 200


@dataclass(frozen=True, eq=False)
class CriticalPoints:
    """The critical points that were found, and what is known about the others.

    Attributes
    ----------
    points : ascending in value
    method : 'subdivision', 'grid' or 'multistart'
    box : lower and upper corner of where was looked, shape (2, d); None where there was no limit
    complete : whether it is proved that there are no others in the box
    everywhere : whether it is proved that there are none outside it, be it by a bound for polynomials or, up to 10^13
        of the units that the formula is written in, by subdivision
    notes : what is left open, in words
    nodes : of the grid along each axis of the box, 0 for another method
    """

    points: tuple[CriticalPoint, ...]
    method: str
    box: Array | None
    complete: bool
    everywhere: bool = False
    notes: tuple[str, ...] = ()
    nodes: int = 0

    @property
    def spacing(self) -> Array | None:
        """How far apart the nodes of the grid are, d lengths; None for another method."""
        if self.box is None or not self.nodes:
            return None
        return np.asarray(np.diff(self.box, axis=0)[0] / (self.nodes - 1))


def critical_points(objective: Objective, *, box: Intervals | None = None, seed: int = 0) -> CriticalPoints:
    """The critical points of f, in a box or wherever they are.

    A formula in one to three dimensions is searched by subdivision, which proves that nothing was missed, in all of
    space where that ends (`objectives.reach`). Where it does not, and for Python callables, a dense grid of starts
    takes its place; above three dimensions, starts at random. Both say so, and prove nothing. All of this is done in
    coordinates in which the points lie around the origin at distances of about one (`units`).

    Raises
    ------
    RequestError
        for a constant, or a box that does not fit.
    ConvergenceError
        for critical points that are too many to be distinguished.
    """
    if objective.is_constant:
        raise RequestError(f"{objective.name} is constant: every point is critical; give an objective with a landscape")
    corners = _corners(objective, box)
    points, complete, words = (corners.T, False, "") if corners is not None else _known(objective)
    units = units_around(objective, points)
    f, x, rng = units.objective(objective), units.into(points), np.random.default_rng(seed)
    found = _found(f, x, None if corners is None else x.T, units, complete, rng)
    if len(found.points) > MOST_OF_MORE and not complete:
        raise ConvergenceError(
            f"{objective.name} has {len(found.points)} critical points where was looked, and there may be more; give a "
            "box that holds those of interest"
        )
    out = tuple(point.out_of(units) for point in found.points)
    found = replace(found, points=out, box=None if found.box is None else units.out(found.box.T).T)
    further = (f"{words}; nothing is known of what may lie further out",) if words else ()
    return replace(found, notes=(*_looked_at(found), *found.notes, *further))


def _looked_at(found: CriticalPoints) -> tuple[str, ...]:
    """How finely a grid looked, in words: a well between its nodes is not seen."""
    if found.box is None or found.spacing is None:
        return ()
    sides = zip(found.spacing, found.box.T, strict=True)
    across = "; ".join(f"{h:.3g} apart on {a:.6g}:{b:.6g}" for h, (a, b) in sides)
    count = f"{found.nodes}^{len(found.spacing)}" if len(found.spacing) > 1 else f"{found.nodes}"
    return (
        "found from a grid of starts: nothing proves that none was missed; f was looked at in "
        f"{count} points, {across}: narrower wells are not excluded, nor any outside",
    )


def _known(objective: Objective) -> tuple[Array, bool, str]:
    """Critical points (d, n), more or less, whether they are proved to be all, and what was examined if not; searched
    for from the origin and in the unit that the formula is written with."""
    frame = affine_frame(objective)
    known = reach(frame.objective)
    complete = known.complete or _holds_all(frame.objective, known)
    if not complete and known.proved < CUBES[-1]:
        known = _in_a_cube(frame.objective, known)
    words = "" if complete or known.proved == 0 else f"critical points are proved complete in {_cube(known, frame)}"
    points = known.points if known.proved > 0 else _settled(frame.objective, known.points)
    return frame.out(points), complete, words


def _settled(objective: Objective, lows: Array) -> Array:
    """The critical points near lows (d, n) that were seen, or these: the floor of a wide valley has many."""
    x, converged = polished(objective, lows)
    low, high = lows.min(axis=1, keepdims=True), lows.max(axis=1, keepdims=True)
    near = converged & (x >= 2 * low - high).all(axis=0) & (x <= 2 * high - low).all(axis=0)
    return x[:, near] if near.any() else lows


def _in_a_cube(objective: Objective, known: Reach) -> Reach:
    """What is proved in the largest of some cubes around the lowest point, if there is one that does not take long."""
    if objective.formula is None or objective.dimension > 3:
        return known
    for half in CUBES:
        ends = known.lowest[:, None] + half * np.array([-1.013, 1.027])
        found = subdivide(objective, ends[:, :1], ends[:, 1:], GLANCE)
        if found.finished and 0 < found.zeros.size <= MOST_IN_A_CUBE * objective.dimension:
            points = np.hstack([polished(objective, found.zeros)[0], found.open])
            return replace(known, points=points, values=np.asarray(objective(points)), proved=half)
    return known


def _cube(known: Reach, frame: AffineFrame) -> str:
    """Where nothing was missed, in words."""
    length = float(np.linalg.svd(frame.matrix, compute_uv=False)[-1])
    return f"|x - c| < {known.proved * length:.3g}, c = ({_show(frame.out(known.centre[:, None])[:, 0])})"


def _holds_all(objective: Objective, known: Reach) -> bool:
    """Whether the cube in which nothing was missed holds all critical points of a polynomial."""
    bound = critical_bound(objective)
    return bound is not None and bool(np.all(bound + abs(known.centre) <= known.proved))


def _found(
    objective: Objective, known: Array, corners: Array | None, units: Units, complete: bool, rng: np.random.Generator
) -> CriticalPoints:
    """The critical points in units of their own, of which some (d, n) are known."""
    if objective.dimension > 3:
        found = multistart(objective, corners, rng)
        return _collected(objective, found.x, CriticalPoints((), "multistart", corners, False, notes=found.notes))
    if objective.formula is not None:
        proved = _by_subdivision(objective, known, corners, units, complete)
        if proved is not None:
            return proved
    return _by_grid(objective, known, corners, rng)


def _around(x: Array) -> Array:
    """A box around points (d, n), as wide again on each side, shape (2, d)."""
    low, high = x.min(axis=1), x.max(axis=1)
    margin = np.maximum(high - low, 1.0)
    return np.array([low - 1.013 * margin, high + 1.027 * margin])


def _corners(objective: Objective, box: Intervals | None) -> Array | None:
    """A box as its lower and upper corner, shape (2, d)."""
    if box is None:
        return None
    corners = np.array([[float(a), float(b)] for a, b in box]).T
    if corners.shape[1:] != (objective.dimension,):
        raise RequestError(f"the box has {len(box)} intervals, {objective.name} {objective.dimension} dimensions")
    if not (np.isfinite(corners).all() and (corners[0] < corners[1]).all()):
        raise RequestError("an interval of the box is empty or not finite; give it as low:high")
    return corners


def _by_subdivision(
    objective: Objective, known: Array, corners: Array | None, units: Units, complete: bool
) -> CriticalPoints | None:
    """What subdivision finds: in the given box, or around all points that are known; else None."""
    if corners is not None:
        return _proved(objective, corners, units, 2 * LOOK)
    corners = _around(known)
    found = _proved(objective, corners, units, GLANCE, glance=True) or _proved(objective, corners, units, LOOK)
    return None if found is None else replace(found, everywhere=complete and found.complete)


def _proved(
    objective: Objective, corners: Array, units: Units, budget: int, glance: bool = False
) -> CriticalPoints | None:
    """The critical points in a box by subdivision; None if it does not end within the budget.

    Unless it is only a glance, it is then asked whether they fill a curve or a surface."""
    found = _subdivided(objective, corners, budget)
    if found.zeros.shape[1] > 2 * MOST_POINTS:
        raise ConvergenceError(
            f"{objective.name} has more than {MOST_POINTS} critical points; give a box that holds those of interest"
        )
    if not found.finished:
        return None if glance else _on_a_manifold(objective, found, corners)
    x, converged = polished(objective, found.zeros)
    inside = _inside(x, corners)
    regular = critical_points_at(objective, x[:, inside][:, distinct(x[:, inside])], proved=True)
    degenerate, notes = _unclear(objective, found.open[:, _inside(found.open, corners)], regular, units)
    if not converged.all():
        notes += (f"{np.count_nonzero(~converged)} points were proved to exist but not found to the last digit",)
    points = tuple(sorted([*regular, *degenerate], key=_place))
    return CriticalPoints(points, "subdivision", corners, not notes, notes=notes)


def _subdivided(objective: Objective, corners: Array, budget: int) -> Subdivision:
    """Of a box that holds the given one, in the coordinates that the formula is written in."""
    frame = affine_frame(objective)
    if frame.objective is objective:
        return subdivide(objective, corners[:1].T, corners[1:].T, budget)
    forward = np.linalg.inv(frame.matrix)
    middle = (forward @ (corners.mean(axis=0) - frame.origin))[:, None]
    half = (abs(forward) @ np.diff(corners, axis=0)[0])[:, None] / 2
    found = subdivide(frame.objective, middle - half, middle + half, budget)
    return replace(found, zeros=frame.out(found.zeros), open=frame.out(found.open))


def _place(point: CriticalPoint) -> tuple[float, ...]:
    """By value, equal ones by their coordinates from the first on."""
    return (float(f"{point.value:.9g}"), *np.round(point.x, 9).tolist())


def _inside(x: Array, corners: Array) -> NDArray[np.bool_]:
    return np.all((x >= corners[0][:, None]) & (x <= corners[1][:, None]), axis=0)


def _unclear(
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
            notes.append(f"whether f has a critical point near ({_show(units.out(x[:, None])[:, 0])}) is left open")
    return points, tuple(notes[:3])


def _is_critical(objective: Objective, x: Array) -> bool:
    """Whether grad f vanishes at x, or jumps over zero there (a kink)."""
    slope = float(np.linalg.norm(objective.gradient(x)))
    around = x[:, None] + 1e-3 * (1 + np.linalg.norm(x)) * np.hstack([np.eye(x.size), -np.eye(x.size)])
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
        around = x[:, None] + step * np.hstack([np.eye(x.size), -np.eye(x.size)])
        ahead, behind = np.split(objective.gradient(around), 2, axis=1)
        jumps.append(np.linalg.norm(ahead - behind, axis=0))
    return bool(np.any(jumps[1] > 0.5 * jumps[0]))


def _has_neighbours(objective: Objective, x: Array) -> bool:
    """Whether f has values all around x: it does not where its domain ends."""
    around = x[:, None] + 1e-6 * (1 + np.linalg.norm(x)) * np.hstack([np.eye(x.size), -np.eye(x.size)])
    return bool(np.isfinite(objective(around)).all())


def _on_a_manifold(objective: Objective, found: Subdivision, corners: Array) -> CriticalPoints | None:
    """A few points of it, if what subdivision could not close is a curve or surface of critical points; else None."""
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
    flat = small & (curvatures.min(axis=1) <= 1e-9 * curvatures.max(axis=1)) & _inside(x, corners)
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
    regular = regular[:, _inside(regular, corners)]
    points = critical_points_at(objective, few, proved=False)
    points += critical_points_at(objective, regular[:, distinct(regular)], proved=True)
    return CriticalPoints(tuple(sorted(points, key=_place)), "subdivision", corners, False, notes=(note,))


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
    out = out[:, _inside(out, corners)]
    return out[:, distinct(out, 1e-6)]


def _by_grid(objective: Objective, known: Array, corners: Array | None, rng: np.random.Generator) -> CriticalPoints:
    """What a grid of starts finds; ConvergenceError if it misses most of the minima that a few descents have met."""
    around, ends = _scouted(objective, known, rng)
    corners = around if corners is None else corners
    x, nodes, notes = grid_search(objective, corners)
    met, converged = polished(objective, ends, reach=1e-2)
    met = met[:, converged & _inside(met, corners)]
    both = np.hstack([x, met])
    both = both[:, distinct(both, 1e-5)]
    missed = both.shape[1] - x.shape[1]
    if missed > max(2, x.shape[1] // 4):
        raise ConvergenceError(
            f"{objective.name} has more critical points than a search over all of where they may be can tell apart; "
            "give a box that holds those of interest"
        )
    if missed:
        notes += (f"the grid missed {missed} that descents have met",)
    return _collected(objective, both, CriticalPoints((), "grid", corners, False, notes=notes, nodes=nodes))


def _scouted(objective: Objective, known: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A box around what is known and where descents from all distances end, as wide again on each side; and these
    ends."""
    starts = 200 if objective.formula is not None else 40
    x = rng.normal(size=(objective.dimension, starts))
    x *= np.geomspace(1e-2, 1e3, starts) / np.linalg.norm(x, axis=0)
    ends, arrived = descend(objective, x, tolerance=0.02, steps=500)
    return _around(np.hstack([known, ends[:, arrived]])), ends[:, arrived]


def _collected(objective: Objective, x: Array, found: CriticalPoints) -> CriticalPoints:
    """The points with their curvatures."""
    points = tuple(sorted(critical_points_at(objective, x), key=_place))
    return replace(found, points=points)


def _show(x: Array) -> str:
    return ", ".join(f"{c:.6g}" for c in x)
