"""The part of space that matters at a learning rate: a sublevel set of f, found from f alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import binary_dilation
from scipy.optimize import minimize

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.spacing import first_spacing
from witten.errors import GridError, RequestError
from witten.linalg.merge_tree import MergeTree, component, merge_tree
from witten.objectives.growth.conditions import essential_spectrum
from witten.objectives.objective import Objective
from witten.objectives.topography.allowed_region import AllowedRegion, allowed_region
from witten.objectives.topography.critical_set import everywhere, reach, rise

__all__ = ["LARGEST_GRID", "Scan", "Sublevel", "rounding", "sublevel", "too_small", "with_circles"]

# Cells along each axis of the scans that look for wells, in 1, 2 and 3 dimensions.
COARSE = {1: 1000, 2: 200, 3: 48}
FINE = {1: 8000, 2: 600, 3: 120}
# Barriers closer than this, in units of the learning rate, count as equal.
TIE = 0.1
# Wells that are checked by descent; see Scan.of.
CHECKED = 6
# How far f at a critical point may lie off what a scan says, in units of s.
UNSEEN = 1e-5
# Places without a value at which it is asked whether that is overflow alone.
PROBES = 9
# By how much a box is grown.
GROWTH = 1e9
# Critical points beyond which only those nearby are examined: there may be infinitely many.
MOST_KNOWN = 20_000
# Cells of a first grid, those outside the set counted: beyond, memory runs out.
MOST_CELLS = 30_000_000
# Nodes of the largest grid that is solved on.
LARGEST_GRID = {1: 2_000_000, 2: 1_200_000, 3: 2_500_000}
# How often a domain without end is made a quarter wider.
MOST_GROWN = 20
# Cells of the finest scan of a line: rates of wells that need more are beyond what exponents hold, too.
MOST_SCANNED = 200_000


class Sampled(Protocol):
    """Points, (d, n_nodes), and how far they are apart along each axis, (d,)."""

    @property
    def n_nodes(self) -> int: ...

    @property
    def points(self) -> NDArray[np.float64]: ...

    @property
    def spacing(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True, eq=False)
class Scan:
    """f sampled on a full grid, with its wells.

    Attributes
    ----------
    grid : Grid, unmasked
    values : f at the centres of the cells, shape grid.shape; +inf where f overflows
    lowest : f there, or at the lowest critical point known in the cell: no well is too narrow
    tree : MergeTree of `lowest`, of those wells whose barrier exceeds the learning rate, without the artefacts of
        coarse cells
    places : {cell: the critical point that makes it lower}
    """

    grid: Grid
    values: NDArray[np.float64]
    lowest: NDArray[np.float64]
    tree: MergeTree
    places: dict[int, NDArray[np.float64]]

    @classmethod
    def of(cls, objective: Objective, box: Box, cells: int, learning_rate: float) -> Scan:
        grid = Grid(box, (cells,) * box.dimension, periodic=tuple(objective.periodic_axes))
        values = finite_or_wall(objective, grid.points).reshape(grid.shape)
        if not np.isfinite(values).any():
            raise RequestError(f"{objective.name} overflows everywhere on {box}; give a box on which it is finite")
        lowest, places = _with_known_points(objective, grid, values)
        tree = merge_tree(lowest, learning_rate, grid.periodic)
        tree = _genuine(objective, grid, tree, places)
        return cls(grid, values, lowest, tree, places)

    def height(self, k: int, tie: float) -> float:
        """The highest saddle out of the k most persistent wells, and of those within `tie` of the last of them.

        The floor of the deepest well where it is the only one.
        """
        barriers = self.tree.persistence[1:]
        if barriers.size == 0:
            return float(self.tree.floors[0])
        matters = barriers >= barriers[min(k, barriers.size) - 1] - tie
        return float(self.tree.saddles[1:][matters].max())

    def inside(self, level: float) -> NDArray[np.bool_]:
        """The part of {f <= level} around the global minimum; gaps of a few cells are bridged.

        So a valley narrower than the cells still is one piece.
        """
        below = self.lowest <= level
        bridged = np.where(binary_dilation(below, iterations=2), 0.0, 1.0)
        return below & component(bridged, 0.5, int(self.tree.minima[0]), self.grid.periodic)

    def wells(self, k: int) -> NDArray[np.float64]:
        """The lowest points of the k + 1 most persistent wells, shape (d, .)."""
        return _places(self.grid, self.tree.minima[: k + 1], self.places)


@dataclass(frozen=True, eq=False)
class Sublevel:
    """The sublevel set {f <= height + margin s} around the wells that matter, within a box.

    Cutting there costs a rate a relative error of about e^{-2 margin}.

    Attributes
    ----------
    objective, learning_rate : f and s
    box : Box around the set, or the user's own
    height : of the highest saddle that matters (of the only minimum, where there is one)
    level : height + margin s
    wells : how many wells have a barrier above s, the deepest counted
    spacing : cell sizes fit for a first grid, shape (d,): they see f change by about s, and the set's chords
    """

    objective: Objective
    learning_rate: float
    box: Box
    height: float
    level: float
    wells: int
    spacing: NDArray[np.float64]

    def grid(self) -> Grid:
        """A first grid: cells of at most `spacing` that meet the set, connected to the deepest well.

        GridError where that would be more than MOST_CELLS."""
        with np.errstate(over="ignore", divide="ignore"):
            cells = np.maximum(np.ceil(self.box.widths / self.spacing), 4)
            wanted = float(np.prod(cells))
        if not wanted <= MOST_CELLS:
            raise GridError(too_small(self.objective, self.learning_rate, wanted))
        shape = tuple(int(n) for n in cells)
        full = Grid(self.box, shape, periodic=tuple(self.objective.periodic_axes))
        return self._masked(full, self.level, finite_or_wall)

    def allowed_region(self, rate: float) -> AllowedRegion:
        """Where a mode of this rate may live, in and around the box and beyond."""
        low, high = (np.asarray(side, dtype=float) for side in (self.box.lower, self.box.upper))
        return allowed_region(self.objective, self.learning_rate, low, high, rate)

    def wider(self, grid: Grid, level: float) -> Grid | None:
        """The same lattice on the larger set {f <= level}, reaching over the box; None if that is the same.

        Where f is not finite outside the box, space ends. Where the set has no end, as below a continuous spectrum,
        it is followed over MOST_GROWN boxes; else as far as a grid may reach: GridError beyond.
        """
        endless = np.isfinite(essential_spectrum(self.objective, self.learning_rate).rate)
        full, grown = grid, 0
        while np.prod(full.shape, dtype=float) <= MOST_CELLS:
            cells = np.array(full.shape)
            more = np.where(grid.periodic, 0, cells // 8 + 2)
            box = full.box.expanded(more / cells, more / cells)
            full, grown = Grid(box, tuple(int(n) for n in cells + 2 * more), periodic=grid.periodic), grown + 1
            wide = self._masked(full, level, _finite_or_outside)
            if wide.n_nodes == grid.n_nodes:
                return None
            if not _touches_rim(wide) or endless and grown == MOST_GROWN:
                return wide
            if wide.n_nodes > LARGEST_GRID[grid.dimension]:
                break
        raise GridError(too_small(self.objective, self.learning_rate, np.inf))

    def _masked(self, full: Grid, level: float, values: Values) -> Grid:
        """The cells of a full grid whose centre or a corner lies in {f <= level}, connected to the lowest; along a
        periodic axis all that are beside one of these: circles are not cut."""
        n = np.array(full.shape)
        centres = values(self.objective, full.points).reshape(full.shape)
        corners = Grid(full.box.expanded(0.5 / n, 0.5 / n), tuple(int(m) for m in n + 1))
        f = values(self.objective, corners.points).reshape(corners.shape)
        for axis in range(full.dimension):
            f = np.minimum(f.take(range(f.shape[axis] - 1), axis), f.take(range(1, f.shape[axis]), axis))
        # A cell with no value at its centre cannot be a node, whatever its corners say.
        lowest = np.where(np.isfinite(centres), np.minimum(centres, f), np.inf)
        around = tuple(np.flatnonzero(full.periodic).tolist())
        lowest, centres = (f.min(axis=around, keepdims=True) for f in (lowest, centres))
        mask = np.broadcast_to(component(lowest, level, int(centres.argmin())), full.shape)
        return Grid(full.box, full.shape, mask, full.periodic)


def too_small(objective: Objective, learning_rate: float, cells: float) -> str:
    """What to say where a grid would have too many cells."""
    wanted = f"{cells:.2g}" if np.isfinite(cells) else "too many"
    return (
        f"learning rate {learning_rate:g} is too small for a grid: {objective.name} would need {wanted} cells; take "
        "a larger one or a smaller box, or `witten theory`, which needs no grid"
    )


Values = Callable[[Objective, NDArray[np.float64]], NDArray[np.float64]]


def _centres(grid: Grid, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """The centres of flat cells of a full grid, shape (d, n)."""
    return np.array([axis[i] for axis, i in zip(grid.axes, np.unravel_index(cells, grid.shape), strict=True)])


def _places(grid: Grid, cells: NDArray[np.int64], places: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The critical points known in cells, or else their centres, shape (d, n)."""
    points = _centres(grid, cells)
    for column, cell in enumerate(cells.tolist()):
        if cell in places:
            points[:, column] = places[cell]
    return points


def _with_known_points(
    objective: Objective, grid: Grid, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]:
    """f on the cells or at a critical point in them, whichever is lower; and these points by their flat cells."""
    known = reach(objective)
    cells, inside = _cells(grid, known.points)
    lowest, places = values.ravel().copy(), {}
    for cell, point, value in zip(cells[inside].tolist(), known.points[:, inside].T, known.values[inside], strict=True):
        if value < lowest[cell]:
            lowest[cell], places[cell] = value, point
    return lowest.reshape(values.shape), places


def _cells(grid: Grid, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The flat cells that hold the points (d, n) of the box, and which points lie in it."""
    index = np.floor((points - np.array(grid.box.lower)[:, None]) / grid.spacing[:, None])
    shape = np.array(grid.shape)[:, None]
    inside = np.all((index >= 0) & (index < shape), axis=0)
    index = np.where(inside, index, 0).astype(np.int64)
    return np.ravel_multi_index(tuple(index), grid.shape), inside


def _genuine(
    objective: Objective, grid: Grid, tree: MergeTree, places: dict[int, NDArray[np.float64]]
) -> MergeTree:
    """The tree without spurious wells: where a valley is narrower than the cells, its floor breaks into several.

    Descent from a spurious one ends in another well. The most persistent wells are checked; if none of them is genuine,
    nor are the rest.
    """
    starts = _places(grid, tree.minima[: CHECKED + 1], places)
    ends = [_descend(objective, start, grid) for start in starts.T]
    radius, circumference = 3.0 * grid.spacing, np.where(grid.periodic, grid.box.widths, np.inf)

    def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.minimum(abs(a - b), circumference - abs(a - b))

    keep = np.ones(tree.minima.size, dtype=bool)
    for i in range(1, len(ends)):
        keep[i] = all((distance(ends[i], ends[j]) > radius).any() for j in range(i) if keep[j])
    keep[len(ends) :] = keep[1 : len(ends)].any()
    return tree.only(keep)


def _descend(objective: Objective, start: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Where a local minimisation from a point of the grid ends, kept in its box.

    Lengths are counted in cells and heights in the rise over the first cell, so that no step leaves the well.
    """
    h = grid.spacing
    lower, upper = np.where(grid.periodic, -np.inf, grid.box.lower), np.where(grid.periodic, np.inf, grid.box.upper)
    with np.errstate(all="ignore"):
        unit = max(float(np.linalg.norm(h * objective.gradient(start))), 1e-300)
        found = minimize(
            lambda y: (float(objective(start + h * y)) / unit, h * objective.gradient(start + h * y) / unit),
            np.zeros_like(start),
            jac=True,
            method="L-BFGS-B",
            bounds=np.column_stack([(lower - start) / h, (upper - start) / h]),
            options={"maxiter": 300, "maxfun": 400, "ftol": 1e-12},
        )
    return objective.wrapped(np.asarray(start + h * found.x, dtype=float)[:, None])[:, 0]


def finite_or_wall(objective: Objective, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """f at the points, shape (n,), +inf where it, or a term of it, overflows upwards.

    Raises
    ------
    RequestError
        where f is not a number or -inf; it says where.
    """
    with np.errstate(all="ignore"):
        values = np.asarray(objective(points), dtype=float)
    nan = np.flatnonzero(np.isnan(values))
    if nan.size and objective.formula is not None:
        some = nan[np.linspace(0, nan.size - 1, min(nan.size, PROBES)).astype(int)]
        if all(objective.is_number(x) for x in points[:, some].T):
            values[nan] = np.inf
    bad = np.isnan(values) | (values == -np.inf)
    if bad.any():
        where = ", ".join(f"{c:.6g}" for c in points[:, bad.argmax()])
        raise RequestError(f"{objective.name} is {values[bad.argmax()]} at ({where}); give a box on which it is finite")
    return values


def rounding(objective: Objective, grid: Sampled) -> float:
    """How far values of f are off by rounding: its typical second difference over steps so short that f itself has
    none, and half its change over the spacing of doubles, since x itself is rounded to eps |x|."""
    points = grid.points[:, :: max(1, grid.n_nodes // 4000)]
    worst = 0.0
    for axis, h in enumerate(grid.spacing):
        ulp = np.spacing(abs(points[axis]))
        step = np.maximum(1e-7 * h, 8 * ulp)
        below, here, above, next_to = (
            _finite_or_outside(objective, _moved(points, axis, by)) for by in (-step, 0.0, step, ulp)
        )
        with np.errstate(invalid="ignore"):
            off = abs(below - 2 * here + above) + 0.5 * abs(next_to - here)
        off = off[np.isfinite(off)]
        worst = max(worst, float(np.mean(off)) if off.size else 0.0)
    return worst


def _moved(points: NDArray[np.float64], axis: int, by: NDArray[np.float64] | float) -> NDArray[np.float64]:
    moved = points.copy()
    moved[axis] += by
    return moved


def _finite_or_outside(objective: Objective, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """f at the points, +inf where it is not finite."""
    with np.errstate(all="ignore"):
        values = np.asarray(objective(points), dtype=float)
    return np.where(np.isfinite(values), values, np.inf)


def _touches_rim(grid: Grid) -> bool:
    faces = [grid.mask.take(i, axis) for axis in np.flatnonzero(~np.array(grid.periodic)) for i in (0, -1)]
    return any(face.any() for face in faces)


def sublevel(
    objective: Objective, learning_rate: float, *, wells: int = 1, margin: float = 8.0, box: Box | None = None
) -> Sublevel:
    """The sublevel set that holds the global minimum, the `wells` most persistent other wells and their saddles.

    Along periodic axes the box is the period. Along the others, without a `box`, one is grown around the lowest of the
    critical points that are known (`reach`) until f exceeds the level on its whole rim, then fitted; a scan of three
    times its size, and one that holds all of these points, catch wells further out. Scans see what their cells resolve,
    and the critical points that are known.

    >>> from witten.domains.sublevel import sublevel
    >>> kept = sublevel(witten.gallery.double_well(), 0.1)
    >>> round(kept.height, 6), round(kept.level, 6), kept.grid().dimension  # the saddle, and 8 s above it
    (0.25, 1.05, 1)

    Raises
    ------
    RequestError
        if no box up to GROWTH times the size of the lowest well holds the set, f is not finite in it, or s is too small
        for a grid.
    """
    found = _enclosing(objective, learning_rate, wells, margin) if box is None else box
    scan = Scan.of(objective, found, FINE[objective.dimension], learning_rate)
    height = scan.height(wells, TIE * learning_rate)
    level = height + margin * learning_rate
    if box is None:
        found = _closed(objective, found, level)
    weighty = height + 3 * learning_rate
    spacing = first_spacing(scan.grid, scan.values, weighty=weighty, level=level, s=learning_rate)
    spacing = np.minimum(spacing, _of_narrow_wells(objective, scan, weighty, learning_rate))
    finer = _finer_scan(scan, spacing[0])
    if finer is not None:
        if finer > MOST_SCANNED:
            raise GridError(too_small(objective, learning_rate, float(found.widths[0] / spacing[0])))
        height = Scan.of(objective, found, finer, learning_rate).height(wells, TIE * learning_rate)
        level = height + margin * learning_rate
    return Sublevel(objective, learning_rate, found, height, level, scan.tree.floors.size, spacing)


def _of_narrow_wells(objective: Objective, scan: Scan, weighty: float, s: float) -> NDArray[np.float64]:
    """The spacing that critical points ask for which a scan does not see: sqrt(s / |D^2 f|) there, shape (d,).

    A curvature counts if f does change by about s/2 so far away, which it does not at a kink or the tip of a cone.
    """
    grid, spacing = scan.grid, np.full(scan.grid.dimension, np.inf)
    points = np.array([x for x in scan.places.values() if objective(x) <= weighty]).reshape(-1, grid.dimension).T
    if not points.size:
        return spacing
    seen = RegularGridInterpolator(grid.axes, scan.values, bounds_error=False, fill_value=None)
    with np.errstate(all="ignore"):
        unseen = abs(objective(points) - seen(points.T)) > UNSEEN * s
        curvatures = abs(np.einsum("iin->in", objective.piecewise_hessian(points)))
        widths = np.sqrt(s / curvatures)
        beside = [objective(points + widths[a] * np.eye(len(points))[:, a, None]) for a in range(len(points))]
        curved = abs(np.array(beside) - objective(points)) >= s / 8
    resolved = curvatures * grid.spacing[:, None] ** 2 <= s
    asked = np.where(np.isfinite(curvatures) & unseen & ~resolved & curved, 1.2 * widths, np.inf)
    return np.asarray(asked.min(axis=1))


def _finer_scan(scan: Scan, spacing: float) -> int | None:
    """Cells of a scan of a line as fine as a grid of this spacing; None where the scan is.

    The highest cell of a scan lies below the saddle; where that is several s, the sublevel set would end before it.
    In the plane and in space a learning rate for which that counts asks for too large a grid anyway.
    """
    if scan.grid.dimension > 1 or scan.grid.spacing[0] <= spacing:
        return None
    with np.errstate(over="ignore", divide="ignore"):
        cells = np.ceil(scan.grid.box.widths[0] / spacing)
    return int(min(cells, MOST_SCANNED + 1))


def _enclosing(objective: Objective, s: float, wells: int, margin: float) -> Box:
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


def _closed(objective: Objective, box: Box, level: float) -> Box:
    """The box with sides moved out until f exceeds the level on all of them: scans lose the thin ends of valleys."""
    d, n = box.dimension, {1: 1, 2: 4000, 3: 200}[box.dimension]
    for _ in range(100):
        out = np.zeros((2, d))
        for axis in np.flatnonzero(~objective.periodic_axes):
            others = [np.linspace(a, b, n) for i, (a, b) in enumerate(box.intervals) if i != axis]
            face = [x.ravel() for x in np.meshgrid(*others, indexing="ij")]
            for side, at in enumerate((box.lower[axis], box.upper[axis])):
                points = np.array([*face[:axis], np.full(n ** (d - 1), at), *face[axis:]])
                out[side, axis] = 0.04 * (_finite_or_outside(objective, points) <= level).any()
        if not out.any():
            break
        box = box.expanded(*out)
    return box
