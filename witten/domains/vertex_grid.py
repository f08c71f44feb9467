"""Vertex-centred grids on a box."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Function, evaluated

__all__ = ["VertexGrid"]


@dataclass(frozen=True, eq=False)
class VertexGrid:
    """The corners of the cells of a uniform grid, those on the faces of the box included, in C order.

    Parameters
    ----------
    box : Box
    shape : nodes along each axis, length d, at least 2
    """

    box: Box
    shape: tuple[int, ...]

    @classmethod
    def between(cls, low: NDArray[np.float64], high: NDArray[np.float64], nodes: int) -> VertexGrid:
        """So many nodes along each axis from `low` to `high` (d,)."""
        return cls(Box.of(list(zip(low, high, strict=True))), (nodes,) * len(low))

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """h_a = width_a / (n_a - 1), shape (d,)."""
        return self.box.widths / (np.array(self.shape) - 1.0)

    @property
    def axes(self) -> tuple[NDArray[np.float64], ...]:
        """The nodes along each axis."""
        return tuple(np.linspace(a, b, n) for (a, b), n in zip(self.box.intervals, self.shape, strict=True))

    @property
    def points(self) -> NDArray[np.float64]:
        """The nodes, shape (d, n)."""
        return np.stack([x.ravel() for x in np.meshgrid(*self.axes, indexing="ij")])

    def evaluate(self, function: Function) -> NDArray[np.float64]:
        """A function of points (d, n) at the nodes, shape `shape`; inf where it is no number."""
        return evaluated(function, self.points).reshape(self.shape)
