"""Regions where a slow mode may live and equilibrium paths hardly ever come.

A mode of the rate lambda lives where V_s <= 2 lambda, V_s = |grad f|^2/s - Lap f, and decays elsewhere, be there
measure or not: plateaus, shelves and shallow wells far above the minimum. Paths that start there show it by how they
leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from witten.domains.box import Box
from witten.dynamics.equilibrium.equilibrium import Equilibrium
from witten.dynamics.equilibrium.gibbs_grid import GibbsGrid
from witten.dynamics.paths.ensemble import CoreMap
from witten.objectives import Objective
from witten.objectives.topography.critical_set import reach

__all__ = ["HOME", "Region", "SlowRegions", "below", "narrow_wells", "slow_regions"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A region with less than this share of the measure shows in too few of the points that an observable is found from; of
# a region with more, what lies above all but so little of the measure.
SHARE, SELDOM = 0.02, 1e-3
# What paths must reach holds all of the measure but this part, or lies so many s below their region: a mode of the
# region has fallen by e^-DOWN there, and e^(-2 DOWN) of the paths come back.
OUTSIDE, DOWN = 0.01, 4.0
# Shells around the box of the measure, each three times as wide as the one before, and after how many of them without a
# slow cell, or at most, there is an end.
EMPTY, SHELLS = 2, 12
MOST = 24
# A minimum that lies so many s below all cells around it is a well that the grid does not see; so many are looked at.
NARROW, MOST_NARROW = 0.75, 2000
# The label of the cells that paths must reach; paths that have not been there yet have the next one.
HOME = 0


@dataclass(frozen=True, eq=False)
class Region:
    """Cells with these centres (d, n) and sides (d,), of a connected region.

    Attributes
    ----------
    floor, level : the smallest and the largest f there
    share : of the stationary measure
    """

    centres: Array
    sides: Array
    floor: float
    level: float
    share: float

    @property
    def centre(self) -> Array:
        """The mean of the cells' centres, shape (d,)."""
        return np.asarray(self.centres.mean(axis=1))

    def sample(self, count: int, seed: int) -> Array:
        """Points spread evenly over the cells, shape (d, count)."""
        random = np.random.default_rng(seed)
        n = self.centres.shape[1]
        chosen = np.minimum(((np.arange(count) + random.random(count)) / count * n).astype(int), n - 1)
        points = self.centres[:, chosen] + (random.random((self.sides.size, count)) - 0.5) * self.sides[:, None]
        return np.asarray(points[:, random.permutation(count)])


@dataclass(frozen=True, eq=False)
class SlowRegions:
    """Those regions, the lowest first.

    Attributes
    ----------
    regions : parts of space, each connected
    end : whether V_s > 2 lambda far out
    """

    regions: tuple[Region, ...]
    end: bool


def below(gibbs: GibbsGrid, objective: Objective, region: Region) -> CoreMap:
    """What paths from a region must reach: what is so far below it that hardly any comes back, or all of the measure
    but a hundredth, whichever reaches higher; on a grid that holds both."""
    height = max(gibbs.height(OUTSIDE), region.floor - DOWN * gibbs.s)
    first = (region.centres - region.sides[:, None]).min(axis=1)
    last = (region.centres + region.sides[:, None]).max(axis=1)
    box = gibbs.grid.box.joined(Box.of(list(zip(first, last, strict=True))))
    if box != gibbs.grid.box:
        gibbs = GibbsGrid.on(objective, gibbs.s, box)
    low, spacing = np.array(box.lower), gibbs.grid.spacing
    return replace(CoreMap.on_grid(low, spacing, (gibbs.values <= height).astype(np.int16)), count=HOME + 2)


def slow_regions(equilibrium: Equilibrium, rate: float) -> SlowRegions:
    """Where a mode that is not faster than a rate may live unseen, in one to three dimensions."""
    f, whole = equilibrium.objective, equilibrium.gibbs
    assert whole is not None
    regions: list[Region] = []
    shell, new = whole, np.ones(whole.values.shape, dtype=bool)
    empty = 0
    for number in range(SHELLS + 1):
        if number:
            inner = shell.grid.box
            shell = GibbsGrid.on(f, whole.s, inner.expanded(1.0, 1.0))
            new = ~inner.holds(shell.grid.points).reshape(shell.values.shape)
        slow = new & (_schroedinger_potential(f, shell) <= 2 * rate)
        empty = 0 if slow.any() else empty + 1
        regions += _regions(whole, shell, slow)
        if empty == EMPTY:
            break
    order = sorted(regions, key=lambda region: region.floor)
    return SlowRegions(tuple(_few(order)), empty == EMPTY)


def narrow_wells(equilibrium: Equilibrium) -> Iterator[Region]:
    """Minima of f far below all cells around them: wells between the nodes of the grid, of which it shows nothing."""
    f, s, gibbs = equilibrium.objective, equilibrium.s, equilibrium.gibbs
    assert gibbs is not None
    shape, low = np.array(gibbs.values.shape), np.array(gibbs.grid.box.lower)
    rim = np.pad(gibbs.values, 1, constant_values=np.inf)
    for x in reach(f).points[:, :MOST_NARROW].T:
        cell = np.floor((x - low) / gibbs.grid.spacing).astype(int)
        if not ((cell >= 0) & (cell < shape)).all():
            continue
        around = rim[tuple(slice(c, c + 3) for c in cell)]
        floor = float(f(x))
        if floor > float(around.min()) - NARROW * s:
            continue
        curvatures, axes = np.linalg.eigh(np.nan_to_num(f.piecewise_hessian(x)))
        if curvatures[0] > 0:
            sides = np.sqrt((axes**2) @ (s / curvatures))
            yield Region(x[:, None], sides, floor, floor + s, gibbs.share(np.array([floor]), sides))


def _regions(whole: GibbsGrid, shell: GibbsGrid, slow: Mask) -> Iterator[Region]:
    """The connected parts of a mask of a grid that paths hardly ever see, `whole` the grid of the measure."""
    sides, points = shell.grid.spacing, shell.grid.points
    parts = _parts(slow)
    for number in range(1, int(parts.max(initial=0)) + 1):
        part: Mask = parts == number
        if whole.share(shell.values[part], sides) > SHARE:
            part &= shell.values > whole.height(SELDOM)
        if part.any():
            f = shell.values[part]
            yield Region(points[:, part.ravel()], sides, float(f.min()), float(f.max()), whole.share(f, sides))


def _parts(mask: Mask) -> NDArray[np.int32]:
    """Connected parts, cells that share a corner counted as neighbours."""
    found, _ = label(mask, structure=np.ones((3,) * mask.ndim))
    return np.asarray(found)


def _few(regions: list[Region]) -> list[Region]:
    """The same regions; those beyond a number, if they are many, as one."""
    if len(regions) <= MOST:
        return regions
    rest = regions[MOST - 1 :]
    centres = np.concatenate([region.centres for region in rest], axis=1)
    sides = np.stack([region.sides for region in rest]).min(axis=0)
    together = Region(centres, sides, rest[0].floor, max(p.level for p in rest), sum(p.share for p in rest))
    return [*regions[: MOST - 1], together]


def _schroedinger_potential(f: Objective, gibbs: GibbsGrid) -> Array:
    """V_s at the centres of cells: the second derivatives are means over a cell along each axis, so that a kink counts
    and a steep wall that passes through the cell is not taken for a plain; +inf where f is not a number."""
    x = gibbs.grid.points
    with np.errstate(all="ignore"):
        potential = np.sum(f.gradient(x) ** 2, axis=0) / gibbs.s
        for axis, h in enumerate(gibbs.grid.spacing):
            step = np.zeros((len(x), 1))
            step[axis] = 0.5 * h
            there = [f.gradient(x + sign * step)[axis] for sign in (1, -1)]
            potential -= (there[0] - there[1]) / h
    return np.where(np.isfinite(potential), potential, np.inf).reshape(gibbs.values.shape)
