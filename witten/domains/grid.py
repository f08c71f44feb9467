"""Cell-centred grids on a box, masked to the part that matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.errors import RequestError

__all__ = ["Function", "Grid", "evaluated"]

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# With fewer cells around a circle two neighbours would be the same cell.
FEWEST_AROUND = 3
# A box with so many cells for each active one is mostly empty: what is computed over all of it takes too much memory.
MOSTLY = 16


@dataclass(frozen=True, eq=False)
class Grid:
    """The active cells of a uniform grid; node i is the centre of the i-th active cell in C order.

    The domain is the union of the active cells, and `refined` keeps exactly that domain.

    >>> grid = witten.Grid(witten.Box((0.0,), (1.0,)), (4,))
    >>> grid.points.tolist()
    [[0.125, 0.375, 0.625, 0.875]]

    Parameters
    ----------
    box : Box
    shape : cells along each axis, length d
    mask : bool array of that shape, the active cells (default: all)
    periodic : along which axes the last cell is a neighbour of the first, length d (default: none)
    absorbing : whether the other faces of the box absorb, which `operators.absorption` makes one more node of, after
        the others; else they reflect
    """

    box: Box
    shape: tuple[int, ...]
    mask: NDArray[np.bool_] = field(default=None)  # type: ignore[arg-type]
    periodic: tuple[bool, ...] = ()
    absorbing: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "periodic", tuple(map(bool, self.periodic)) or (False,) * self.box.dimension)
        if len(self.shape) != self.box.dimension or min(self.shape) < 1:
            raise RequestError(
                f"a grid on a {self.box.dimension}-dimensional box needs as many cell counts, got {self.shape}"
            )
        if any(around and n < FEWEST_AROUND for around, n in zip(self.periodic, self.shape, strict=True)):
            raise RequestError(f"a periodic axis needs at least {FEWEST_AROUND} cells, got the shape {self.shape}")
        mask = np.ones(self.shape, dtype=bool) if self.mask is None else np.array(self.mask, dtype=bool)
        if mask.shape != tuple(self.shape):
            raise RequestError(f"the mask has shape {mask.shape}, the grid {self.shape}")
        mask.setflags(write=False)
        object.__setattr__(self, "mask", mask)

    @classmethod
    def uniform(cls, intervals: Sequence[tuple[float, float]], cells: int | Sequence[int]) -> Grid:
        """A full grid: (low, high) and the number of cells along each axis."""
        box = Box.of(intervals)
        shape = (cells,) * box.dimension if isinstance(cells, int) else tuple(cells)
        return cls(box, shape)

    @property
    def dimension(self) -> int:
        return self.box.dimension

    @property
    def is_chain(self) -> bool:
        """Whether the nodes have an order in which each is a neighbour of the next alone."""
        return self.dimension == 1 and not self.periodic[0] and not self.absorbing

    @property
    def extent(self) -> float:
        """The longest side of the box, around circles not counted; 0 where there are no others."""
        return float(np.where(self.periodic, 0.0, self.box.widths).max())

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """h_a = width_a / n_a, shape (d,)."""
        return self.box.widths / np.array(self.shape)

    @cached_property
    def n_nodes(self) -> int:
        return int(np.count_nonzero(self.mask))

    @property
    def axes(self) -> tuple[NDArray[np.float64], ...]:
        """The cell centres along each axis."""
        return tuple(
            a + h * (np.arange(n) + 0.5) for a, h, n in zip(self.box.lower, self.spacing, self.shape, strict=True)
        )

    @property
    def points(self) -> NDArray[np.float64]:
        """The nodes, shape (d, n_nodes)."""
        if self.mask.all():
            return np.stack([x.ravel() for x in np.meshgrid(*self.axes, indexing="ij")])
        return np.array([x[i] for x, i in zip(self.axes, np.nonzero(self.mask), strict=True)])

    def refined(self) -> Grid:
        """The same domain with every cell halved along every axis."""
        mask: NDArray[np.bool_] = self.mask
        for axis in range(self.dimension):
            mask = mask.repeat(2, axis=axis)
        return replace(self, shape=tuple(2 * n for n in self.shape), mask=mask)

    def coarsened(self) -> Grid:
        """Cells of twice the size along every axis, active where a smaller one was; the box grows to hold them."""
        odd = np.array(self.shape) % 2
        mask = np.pad(self.mask, [(0, int(more)) for more in odd])
        for axis in range(self.dimension):
            lower, upper = (mask.take(range(first, mask.shape[axis], 2), axis) for first in (0, 1))
            mask = lower | upper
        return Grid(self.box.expanded(np.zeros(self.dimension), odd / np.array(self.shape)), mask.shape, mask)

    def cropped(self) -> Grid:
        """The same nodes in the smallest box that holds them, where MOSTLY of it is empty; circles stay whole."""
        if self.mask.size < MOSTLY * max(self.n_nodes, 1):
            return self
        axes = set(range(self.dimension))
        held = [np.flatnonzero(self.mask.any(axis=tuple(axes - {axis}))) for axis in axes]
        first = np.where(self.periodic, 0, [active[0] for active in held])
        last = np.where(self.periodic, self.shape, [active[-1] + 1 for active in held])
        shape = np.array(self.shape)
        box = self.box.expanded(-first / shape, (last - shape) / shape)
        mask = self.mask[tuple(map(slice, first, last))]
        return replace(self, box=box, shape=mask.shape, mask=mask)

    def expand(self, values: NDArray[np.float64], fill: float = np.nan) -> NDArray[np.float64]:
        """Values on the nodes (..., n_nodes) as an array (..., *shape), `fill` outside the mask."""
        out = np.full((*values.shape[:-1], *self.shape), fill)
        out[..., self.mask] = values
        return out

    def evaluate(self, function: Function) -> NDArray[np.float64]:
        """A function of points (d, n) at the nodes, shape `shape`; inf where it is no number, and outside the mask."""
        return self.expand(evaluated(function, self.points), np.inf)

    def prolongate(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values on the nodes of this grid (n_nodes, k) carried to `self.refined()`, linear along each axis; constant
        where there is no next cell. A last row that belongs to absorbing faces is carried along."""
        mask, values, rest = self.mask, values[: self.n_nodes], values[self.n_nodes :]
        full = np.zeros((*self.shape, values.shape[1]))
        full[mask] = values
        for axis in range(self.dimension):
            mask, full = mask.repeat(2, axis=axis), _linear(mask, full, axis, self.periodic[axis])
        return np.vstack([full[mask], rest])



def _linear(
    mask: NDArray[np.bool_], values: NDArray[np.float64], axis: int, periodic: bool
) -> NDArray[np.float64]:
    """Halves of cells along an axis: three quarters of the cell and one of the next cell on that side."""
    mask, values = np.moveaxis(mask, axis, 0), np.moveaxis(values, axis, 0)
    both = mask & np.roll(mask, -1, axis=0)
    both[-1] &= periodic
    slope = np.where(both[..., None], np.roll(values, -1, axis=0) - values, 0.0) / 4
    halves = np.stack([values, values], axis=1)
    halves[:, 0] -= np.roll(slope, 1, axis=0)
    halves[:, 1] += slope
    return np.moveaxis(halves.reshape(-1, *values.shape[1:]), 0, axis)


def evaluated(function: Function, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A function at points (d, n), inf where it is no number, shape (n,)."""
    with np.errstate(all="ignore"):
        values = np.asarray(function(points), dtype=float)
    return np.where(np.isnan(values), np.inf, values)
