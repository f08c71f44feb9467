"""What is kept of space for a Langevin equation, and a wider part of it to see what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import Sublevel, sublevel
from witten.langevin import Langevin
from witten.objectives import Objective

__all__ = ["Domain", "Interval", "around_wells", "ends"]

Interval = tuple[float, float]
# What more is kept to see what the cut changes, in units of 2T.
WIDENING = 4.0
# Wells that the domain holds.
WELLS = 6
# Cells of a user's box along each axis.
CELLS = 200


@dataclass(frozen=True, eq=False)
class Domain:
    """What is kept of space, a wider one to see what that costs, and up to which f; without a region a user's box.

    Attributes
    ----------
    height : of the highest saddle that matters
    """

    inner: Grid
    outer: Grid
    level: float = np.inf
    height: float = np.inf
    region: Sublevel | None = None

    def slow_level(self, langevin: Langevin, log_rate: float) -> float:
        """Up to which f there may be modes as slow as the first: on long times momentum is diffusion, at gamma times
        the rate."""
        if self.region is None:
            return -np.inf
        found = self.region.allowed_region(1.2 * langevin.friction * np.exp(log_rate))
        return found.level + 2 * langevin.usual_learning_rate if found.end else -np.inf


def around_wells(
    objective: Objective, langevin: Langevin, box: Sequence[Interval] | None, margin: float, level: float = -np.inf
) -> Domain:
    """The box, or {f <= level} around the wells, at least `margin` units of 2T above the saddles between them."""
    s = langevin.usual_learning_rate
    if box is not None:
        grid = Grid(Box.of([(float(a), float(b)) for a, b in box]), (CELLS,) * objective.dimension)
        return Domain(grid, grid)
    region = sublevel(objective, s, wells=WELLS, margin=margin)
    grid = region.grid()
    if level > region.level:
        region = replace(region, level=level)
        grid = region.wider(grid, level) or grid
    wide = region.wider(grid, region.level + WIDENING * s) or grid
    return Domain(grid, wide, region.level, region.height, region)


def ends(grid: Grid) -> Interval:
    """Of the cells that are kept of a line."""
    return grid.cropped().box.intervals[0]
