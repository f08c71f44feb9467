"""How much of space matters to the lowest rates, and what is lost by cutting off the rest.

A domain {f <= level} is widened as long as that changes the wanted rates, all measured on a first grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_propagation

from witten.domains.box import Box
from witten.domains.enclosing_box import with_circles
from witten.domains.finite_values import rounding
from witten.domains.grid import Grid
from witten.domains.sublevel import LARGEST_GRID, Sublevel, sublevel, too_small
from witten.errors import ConvergenceError, GridError, RequestError
from witten.memory import require_memory
from witten.objectives.growth.conditions import essential_spectrum
from witten.objectives.objective import Objective
from witten.objectives.topography.allowed_region import AllowedRegion, may_reach_far
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.spectra.solvers.complete_pairs import complete_pairs
from witten.spectra.solvers.rayleigh_ritz import GUARDS

__all__ = ["Truncation", "change_without_walls", "require_room", "rounding_error", "truncation", "widened"]

Array = NDArray[np.float64]

# Bytes that solving on a grid takes for each node, factors included, and for each cell of its box, active or not.
BYTES_PER_NODE, BYTES_PER_CELL = {1: 400, 2: 1900, 3: 1650}, 8
# Margins beyond which a domain is not widened; cuts at 20 cost e^{-40} where there is a gap to the next rates, more
# just below a continuous spectrum.
LARGEST_MARGIN = {1: 400.0, 2: 40.0, 3: 20.0}
# By how much of s a domain is widened at a time, and nodes on which that is measured.
WIDENING = 4.0
FEWEST_NODES = {1: 1000, 2: 1, 3: 1}
# What lies so many s above the saddles of a user's box counts less than rounding, unless a mode lives there.
BOX_MARGIN = 20.0
# Rates below this part of s/L^2, L the longest side of the grid, are those of barriers.
BARRIERS = 1e-4
# Wells beyond those asked for whose modes are computed along, so that the guards lie above the small rates.
MORE_WELLS = 4


@dataclass(frozen=True, eq=False)
class Truncation:
    """The part of space that is kept.

    Attributes
    ----------
    grid : a first grid on it
    pairs_needed : how many pairs to compute, guards included
    cut : what a still wider domain would change in the wanted rates, relative, shape (wanted,)
    log_rates : natural logarithms of the wanted rates on the first grid, refined, shape (wanted,)
    sought : where places were sought at which modes as slow may live, in words; "" where it is proved that there are
        no others
    """

    grid: Grid
    pairs_needed: int
    cut: Array
    log_rates: Array
    sought: str = ""


def rounding_error(objective: Objective, s: float, grid: Grid) -> float:
    """What rounding may change in a rate, as a part of it: in sums over a hundred thousand edges and more about 1e-11,
    and in weights e^{-2f/s} what f is off."""
    return 1e-11 + 4 * rounding(objective, grid) / s


def truncation(
    objective: Objective, s: float, wanted: int, rtol: float, box: Box | None, absorbing: bool = False
) -> Truncation:
    """The domain for the `wanted` lowest rates above zero, to a relative error rtol.

    A box of the user's is all of space: its walls reflect, or absorb, and nothing is cut. Nor is anything along
    periodic axes.

    The domain is widened in steps of WIDENING s, as long as one changes them; what the steps beyond would add follows
    from the last two. All is measured on the first grid, refined: coarse cells make the effect of a cut too small.
    """
    if box is None and objective.periodic_axes.all():
        box = with_circles(objective, Box((0.0,) * objective.dimension, (1.0,) * objective.dimension))
    if box is not None:
        return _absorbed(objective, s, wanted, box) if absorbing else _in_box(objective, s, wanted, box)
    margin = max(3.0 - 0.5 * np.log(rtol), 5.0)
    while True:
        region = sublevel(objective, s, wells=max(wanted, 1), margin=margin)
        pairs_needed = _pairs_needed(region, wanted)
        grid = _fine_enough(region.grid(), 4 * pairs_needed)
        domains = _Domains(objective, s, pairs_needed, wanted, _halvings(grid))
        levels = domains.add(grid)
        slow, places = _slow_level(region, grid, levels[0][wanted - 1], wanted, margin)
        sought = _sought(objective, places)
        level = max(region.level + WIDENING * s, slow)
        wide = region.wider(grid, level, whole=places is not None and places.enclosed and slow > region.level)
        if wide is None:
            return Truncation(grid, pairs_needed, np.zeros(wanted), levels[0][:wanted], sought)
        levels = domains.add(wide)
        change = _shared(*_changes(*levels))[:wanted]
        if grid.dimension == 3:
            # A wider domain costs too much to be more than a measure: what it changes is what the smaller one lacks.
            rest = 3 * change
            if (rest <= 0.2 * rtol).all() or (margin >= LARGEST_MARGIN[3] and slow <= region.level):
                return Truncation(grid, pairs_needed, rest, levels[0][:wanted], sought)
            margin = max(margin + 2.0, (slow - region.height) / s)
            continue
        rest = change
        if (change > 1e-3 * rtol).any() and (wider := region.wider(wide, level + WIDENING * s)) is not None:
            levels = domains.add(wider)
            last = _shared(*_changes(*levels[1:]))[:wanted]
            rest = 2 * last / (1 - np.minimum(last / np.maximum(change, 1e-300), 0.9))
        if (rest <= 0.2 * rtol).all() or margin >= LARGEST_MARGIN[objective.dimension]:
            return Truncation(wide, pairs_needed, rest, levels[1][:wanted], sought)
        margin = max(1.3 * margin, (slow - region.height) / s)


def _in_box(objective: Objective, s: float, wanted: int, box: Box) -> Truncation:
    """As `truncation`, in a box: cells that matter to no mode as slow as those wanted are left out."""
    region = sublevel(objective, s, wells=max(wanted, 1), margin=BOX_MARGIN, box=box)
    while True:
        pairs_needed = _pairs_needed(region, wanted)
        grid = _fine_enough(region.grid(), 4 * pairs_needed)
        log_rates = _rates_on(objective, s, grid, pairs_needed, wanted, _halvings(grid))
        if grid.n_nodes == np.prod(grid.shape):
            return Truncation(grid, pairs_needed, np.zeros(wanted), log_rates[:wanted])
        slow, _ = _slow_level(region, grid, log_rates[wanted - 1], wanted, BOX_MARGIN, box)
        if slow <= region.level:
            return Truncation(grid, pairs_needed, np.zeros(wanted), log_rates[:wanted])
        region = replace(region, level=max(slow, region.level + BOX_MARGIN * s))


def _absorbed(objective: Objective, s: float, wanted: int, box: Box) -> Truncation:
    """All of a box whose faces absorb: paths leave over what is high, too."""
    region = sublevel(objective, s, wells=max(wanted, 1), margin=BOX_MARGIN, box=box)
    pairs_needed = _pairs_needed(region, wanted) + 1
    grid = replace(region, level=np.inf).grid()
    grid = _fine_enough(replace(grid, mask=np.ones(grid.shape, dtype=bool), absorbing=True), 4 * pairs_needed)
    log_rates = _rates_on(objective, s, grid, pairs_needed, wanted, _halvings(grid))
    return Truncation(grid, pairs_needed, np.zeros(wanted), log_rates[:wanted])


def _halvings(grid: Grid) -> int:
    """How often the cells of a domain are halved before it is measured: at least once."""
    return max(1, int(np.ceil(np.log2(FEWEST_NODES[grid.dimension] / grid.n_nodes))))


@dataclass(eq=False)
class _Domains:
    """Ever wider domains, and rates on them; all are refined alike, as often as the widest can be, or the change would
    be that of the cells, too."""

    objective: Objective
    s: float
    pairs_needed: int
    wanted: int
    halvings: int
    grids: list[Grid] = field(default_factory=list)
    log_rates: list[Array] = field(default_factory=list)

    def add(self, grid: Grid) -> list[Array]:
        """One more; the logarithms of the rates on all."""
        fitting = max(1, int(np.log2(LARGEST_GRID[grid.dimension] / grid.n_nodes) / grid.dimension) - 1)
        if fitting < self.halvings:
            self.halvings = fitting
            self.log_rates = [self._rates(each) for each in self.grids]
        self.grids.append(grid)
        self.log_rates.append(self._rates(grid))
        return self.log_rates

    def _rates(self, grid: Grid) -> Array:
        return _rates_on(self.objective, self.s, grid, self.pairs_needed, self.wanted, self.halvings)


def _rates_on(objective: Objective, s: float, grid: Grid, k: int, wanted: int, halvings: int) -> Array:
    """The logarithms of the k lowest rates, or at least of the wanted ones, on a grid halved so often."""
    fine = grid.cropped()
    require_room(fine, halvings)
    for _ in range(halvings):
        fine = fine.refined()
    if fine.n_nodes * 2**fine.dimension > LARGEST_GRID[fine.dimension]:
        raise GridError(too_small(objective, s, fine.n_nodes))
    return complete_pairs(FiniteDifferences(objective, fine).assemble(s), k, wanted)[1].log_rates


def _pairs_needed(region: Sublevel, wanted: int) -> int:
    return wanted + GUARDS + max(0, min(region.wells - 1 - wanted, MORE_WELLS))


def _of_barriers(grid: Grid, s: float) -> float:
    """The logarithm of a rate so much below those of diffusion across a grid that only barriers make it."""
    return float(np.log(BARRIERS * s) - 2 * np.log(grid.box.widths.max()))


def _slow_level(
    region: Sublevel, grid: Grid, log_rate: float, wanted: int, margin: float, box: Box | None = None
) -> tuple[float, AllowedRegion | None]:
    """Up to which f there may be other modes as slow as the last one wanted, and where they were sought; None where
    only barriers make one so slow.

    Wells make a rate tiny, and the more persistent ones the smaller, or a width that diffusion does not cross before;
    other rates ask for all that is flat. Where that has no end the spectrum is continuous, and `gap_beside` tells how
    far to go.
    """
    f, s, rate = region.objective, region.learning_rate, 1.2 * np.exp(log_rate)
    endless = box is None and np.isfinite(essential_spectrum(f, s).rate)
    of_barriers = log_rate <= _of_barriers(grid, s)
    level = sublevel(f, s, wells=2 * wanted + 4, margin=margin, box=box).level if of_barriers else -np.inf
    if of_barriers and (endless or f.mobility or not may_reach_far(f, s, rate)):
        return level, None
    found = region.allowed_region(rate)
    return max(level, region.level if endless and not found.end else found.level + 2 * s), found


def _sought(objective: Objective, places: AllowedRegion | None) -> str:
    """Where slow places of a formula were sought, in words; "" where it is proved that there are no others, and for a
    callable, of which a record says anyway how far it was examined."""
    if places is None or places.enclosed or objective.formula is None:
        return ""
    return ", ".join(f"{low:.3g}:{high:.3g}" for low, high in zip(places.lower, places.upper, strict=True))


def _changes(inner: Array, outer: Array) -> tuple[Array, Array]:
    """By what part rates change when space grows, from their logarithms; and the logarithms of the former."""
    both = min(inner.size, outer.size)
    return abs(np.expm1(np.minimum(outer[:both] - inner[:both], 700.0))), inner[:both]


def _shared(changes: Array, log_rates: Array) -> Array:
    """The largest of the changes of rates so close that they may come in another order on finer grids."""
    near = abs(log_rates[:, None] - log_rates) <= 0.1
    shared: Array = np.where(near, changes, 0.0).max(axis=1)
    return shared


def require_room(grid: Grid, halvings: int = 0) -> None:
    """Refuse a grid, its cells halved so often, for which the memory does not suffice; ConvergenceError with what it
    would take, what there is, and a remedy."""
    finer = 2 ** (halvings * grid.dimension)
    nodes, cells = finer * grid.n_nodes, finer * float(np.prod(grid.shape))
    needed = BYTES_PER_NODE[grid.dimension] * nodes + BYTES_PER_CELL * cells
    require_memory(needed, f"a grid of {nodes} nodes", "ask for a larger rtol, a smaller box, or allow more memory")


def _fine_enough(grid: Grid, nodes: int) -> Grid:
    while grid.n_nodes < nodes:
        grid = grid.refined()
    return grid


def change_without_walls(objective: Objective, s: float, box: Box, kept: Truncation) -> float:
    """By what part the wanted rates change when cells around a box join in; 0 where there are none, or too many."""
    region = sublevel(objective, s, wells=kept.cut.size, margin=BOX_MARGIN, box=box)
    try:
        wide = region.wider(kept.grid, region.level)
        if wide is None:
            return 0.0
        outer = _rates_on(objective, s, wide, kept.pairs_needed, kept.cut.size, _halvings(kept.grid))
    except (ConvergenceError, RequestError):
        return 0.0
    return float(_shared(*_changes(kept.log_rates, outer)).max(initial=0.0))


def widened(objective: Objective, s: float, grid: Grid, box: Box | None) -> Grid | None:
    """The same lattice with the cells around a grid that lie up to WIDENING s higher than its highest node, within a
    user's box; None where there are none."""
    level = float(np.asarray(objective(grid.points)).max()) + WIDENING * s
    if box is None:
        return sublevel(objective, s, margin=BOX_MARGIN).wider(grid, level)
    full = replace(grid, mask=np.ones(grid.shape, dtype=bool))
    low = full.expand(np.asarray(objective(full.points))) <= level
    mask = binary_propagation(grid.mask, mask=grid.mask | low)
    return None if (mask == grid.mask).all() else replace(grid, mask=mask)
