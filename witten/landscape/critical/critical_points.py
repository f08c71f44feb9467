"""Every critical point: with a proof where f is a formula in one to three dimensions, else by many starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError, RequestError
from witten.landscape.critical.critical_point import (
    CriticalPoint,
    by_value,
    critical_points_at,
    distinct,
    inside_of,
    polished,
)
from witten.landscape.critical.degenerate_points import points_of_a_manifold, unclear_points
from witten.landscape.critical.gradient_flow import descend
from witten.landscape.critical.multistart import multistart
from witten.landscape.critical.newton_on_grid import grid_search
from witten.number_format import listed
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
    return f"|x - c| < {known.proved * length:.3g}, c = ({listed(frame.out(known.centre[:, None])[:, 0])})"


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
        return _sorted(critical_points_at(objective, found.x), "multistart", corners, notes=found.notes)
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
        few = None if glance else points_of_a_manifold(objective, found, corners)
        return None if few is None else _sorted(few[0], "subdivision", corners, notes=(few[1],))
    x, converged = polished(objective, found.zeros)
    inside = inside_of(x, corners)
    regular = critical_points_at(objective, x[:, inside][:, distinct(x[:, inside])], proved=True)
    degenerate, notes = unclear_points(objective, found.open[:, inside_of(found.open, corners)], regular, units)
    if not converged.all():
        notes += (f"{np.count_nonzero(~converged)} points were proved to exist but not found to the last digit",)
    return _sorted([*regular, *degenerate], "subdivision", corners, not notes, notes=notes)


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


def _by_grid(objective: Objective, known: Array, corners: Array | None, rng: np.random.Generator) -> CriticalPoints:
    """What a grid of starts finds; ConvergenceError if it misses most of the minima that a few descents have met."""
    around, ends = _scouted(objective, known, rng)
    corners = around if corners is None else corners
    x, nodes, notes = grid_search(objective, corners)
    met, converged = polished(objective, ends, reach=1e-2)
    met = met[:, converged & inside_of(met, corners)]
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
    return _sorted(critical_points_at(objective, both), "grid", corners, notes=notes, nodes=nodes)


def _scouted(objective: Objective, known: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A box around what is known and where descents from all distances end, as wide again on each side; and these
    ends."""
    starts = 200 if objective.formula is not None else 40
    x = rng.normal(size=(objective.dimension, starts))
    x *= np.geomspace(1e-2, 1e3, starts) / np.linalg.norm(x, axis=0)
    ends, arrived = descend(objective, x, tolerance=0.02, steps=500)
    return _around(np.hstack([known, ends[:, arrived]])), ends[:, arrived]


def _sorted(
    points: Sequence[CriticalPoint], method: str, box: Array | None, complete: bool = False, **known: Any
) -> CriticalPoints:
    return CriticalPoints(tuple(sorted(points, key=by_value)), method, box, complete, **known)
