"""The part of space that matters at a learning rate: a sublevel set of f, found from f alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from witten.domains.box import Box
from witten.domains.enclosing_box import TIE, closed, enclosing_box
from witten.domains.finite_values import finite_or_outside, finite_or_wall
from witten.domains.grid import Grid
from witten.domains.scan import Scan
from witten.domains.spacing import first_spacing
from witten.errors import GridError
from witten.linalg.merge_tree import component
from witten.objectives.growth.conditions import essential_spectrum
from witten.objectives.objective import Objective
from witten.objectives.topography.allowed_region import AllowedRegion, allowed_region

__all__ = ["LARGEST_GRID", "Sublevel", "sublevel", "too_small"]

# Cells along each axis of the scan that says what matters, in 1, 2 and 3 dimensions.
FINE = {1: 8000, 2: 600, 3: 120}
# How far f at a critical point may lie off what a scan says, in units of s.
UNSEEN = 1e-5
# Cells of a first grid, those outside the set counted: beyond, memory runs out.
MOST_CELLS = 30_000_000
# Nodes of the largest grid that is solved on.
LARGEST_GRID = {1: 2_000_000, 2: 1_200_000, 3: 2_500_000}
# How often a domain without end is made a quarter wider.
MOST_GROWN = 20
# Cells of the finest scan of a line: rates of wells that need more are beyond what exponents hold, too.
MOST_SCANNED = 200_000


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

    def wider(self, grid: Grid, level: float, whole: bool = False) -> Grid | None:
        """The same lattice on the larger set {f <= level}, and what the grid holds, reaching over the box; None if that
        is the same.

        Where f is not finite outside the box, space ends. Where the set has no end, as below a continuous spectrum,
        it is followed over MOST_GROWN boxes; else, or if the whole of it is wanted, as far as a grid may reach:
        GridError beyond.
        """
        endless = not whole and np.isfinite(essential_spectrum(self.objective, self.learning_rate).rate)
        full, held, grown = grid, grid.mask, 0
        while np.prod(full.shape, dtype=float) <= MOST_CELLS:
            cells = np.array(full.shape)
            more = np.where(grid.periodic, 0, cells // 8 + 2)
            box, held = full.box.expanded(more / cells, more / cells), np.pad(held, [(n, n) for n in more])
            full, grown = Grid(box, held.shape, periodic=grid.periodic), grown + 1
            wide = self._masked(full, level, finite_or_outside)
            wide = replace(wide, mask=wide.mask | held)
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
    found = enclosing_box(objective, learning_rate, wells, margin) if box is None else box
    scan = Scan.of(objective, found, FINE[objective.dimension], learning_rate)
    height = scan.height(wells, TIE * learning_rate)
    level = height + margin * learning_rate
    if box is None:
        found = closed(objective, found, level)
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


