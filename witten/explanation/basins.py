"""The wells on a grid: which of its cells flow down into each, and the Gibbs measure that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.special import logsumexp

from witten.domains.grid import Grid
from witten.explanation.relief import Relief
from witten.linalg.merge_tree import merge_tree
from witten.objectives import Objective

__all__ = ["Basins", "basins"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
# Cells on either side of a border that may belong to the other side: on a line one, which the border cuts; on a grid in
# the plane the ways that cells allow lead astray in places where there is little of the measure.
BORDER = {1: 1, 2: 3, 3: 3}


@dataclass(frozen=True, eq=False)
class Basins:
    """The wells that count, as sets of nodes.

    Attributes
    ----------
    grid, values, s : the grid, f on its n nodes, the effective learning rate
    wells : numbers of the minima, shape (k,)
    label : the place in `wells` of the well that each node flows into, shape (n,)
    """

    grid: Grid
    values: Array
    s: float
    wells: Integers
    label: Integers

    @cached_property
    def log_weights(self) -> Array:
        """log mu_s of the nodes, shape (n,); they sum to one."""
        logs = -2 * (self.values - self.values.min()) / self.s
        return np.asarray(logs - logsumexp(logs))

    @cached_property
    def log_masses(self) -> Array:
        """log mu_s of the wells, shape (k,)."""
        return self._log_masses(np.ones(self.label.size, dtype=bool))

    @cached_property
    def log_errors(self) -> Array:
        """What these may be off, shape (k,). It adds what every other node along each axis gives instead, the border,
        what lies in the highest layer, of thickness s, of the part of space that is kept (what is cut off is less), and
        rounding."""
        even = np.zeros(self.grid.shape, dtype=bool)
        even[tuple(slice(None, None, 2) for _ in self.grid.shape)] = True
        coarse = self._log_masses(even[self.grid.mask])
        top = self.values >= self.values.max() - self.s
        beyond = np.exp(self._log_sums(top) - self.log_masses) + np.exp(logsumexp(self.log_weights[top]))
        rounding = 4 * np.spacing(abs(self.values).max()) / self.s
        return np.asarray(abs(coarse - self.log_masses) + np.log1p(beyond + self._borders()) + rounding)

    def _borders(self) -> Array:
        """What lies beside the border of each well, on both sides, as a part of the well, shape (k,): the way from cell
        to cell is not that of steepest descent, and a cell is on one side only."""
        modes = ["wrap" if ring else "constant" for ring in self.grid.periodic]
        found = []
        for k in range(self.wells.size):
            own, other = (
                maximum_filter(self.grid.expand(1.0 * inside, 0.0), 2 * BORDER[self.grid.dimension] + 1, mode=modes)
                for inside in (self.label == k, self.label != k)
            )
            logs = self.log_weights[((own > 0) & (other > 0))[self.grid.mask]]
            found.append(float(logsumexp(logs)) if logs.size else -np.inf)
        with np.errstate(over="ignore"):
            return np.exp(np.array(found) - self.log_masses)

    def _log_masses(self, used: NDArray[np.bool_]) -> Array:
        return np.asarray(self._log_sums(used) - logsumexp(self.log_weights[used]))

    def _log_sums(self, used: NDArray[np.bool_]) -> Array:
        parts = (self.log_weights[used & (self.label == k)] for k in range(self.wells.size))
        return np.array([logsumexp(part) if part.size else -np.inf for part in parts])

    def means(self, field: Array) -> Array:
        """The mean of a function (n,) in each well, shape (k,)."""
        inside = (np.flatnonzero(self.label == k) for k in range(self.wells.size))
        logs = zip(inside, self._log_sums(np.ones(self.label.size, dtype=bool)), strict=True)
        return np.array([np.exp(self.log_weights[nodes] - log) @ field[nodes] for nodes, log in logs])


def basins(objective: Objective, relief: Relief, grid: Grid, s: float) -> Basins | None:
    """The wells deeper than s: a node belongs to the minimum where the way from cell to lowest neighbour ends, and a
    shallower well to the one that it joins. None where the cells do not tell the wells apart."""
    values = grid.evaluate(objective)
    ends = _downhill(values, grid.periodic)
    tree = merge_tree(values, periodic=grid.periodic)
    owner, minima = relief.owner(s), _cells(grid, relief.minima)
    # The lowest cell around each minimum; where two have the same, the deeper well has it.
    known: dict[int, int] = {}
    for k in np.argsort(-relief.depths, kind="stable").tolist():
        if ends[minima[k]] in known and owner[known[int(ends[minima[k]])]] != owner[k]:
            return None
        known.setdefault(int(ends[minima[k]]), k)
    into = dict(zip(tree.minima.tolist(), tree.into.tolist(), strict=True))
    wells = relief.deep(s)
    place = {int(well): i for i, well in enumerate(wells)}
    label_of: dict[int, int] = {}
    for root in np.unique(ends[grid.mask.ravel()]).tolist():
        at = root
        while at not in known:
            at = into.get(at, -1)
            if at < 0:
                return None
        label_of[root] = place[int(owner[known[at]])]
    roots = np.array(sorted(label_of))
    labels = np.array([label_of[root] for root in roots.tolist()])
    inside = ends[grid.mask.ravel()]
    return Basins(grid, values[grid.mask], s, wells, labels[np.searchsorted(roots, inside)])


def _cells(grid: Grid, x: Array) -> Integers:
    """The numbers of the cells that hold points (d, n)."""
    low = np.array(grid.box.lower)[:, None]
    index = np.floor((x - low) / grid.spacing[:, None]).astype(np.int64)
    shape = np.array(grid.shape)[:, None]
    return np.asarray(np.ravel_multi_index(tuple(np.clip(index, 0, shape - 1)), grid.shape))


def _downhill(values: Array, periodic: tuple[bool, ...]) -> Integers:
    """Where the way from each cell to its lowest neighbour, diagonal ones too, ends, as in `ravel`, shape (n,)."""
    # Equal cells are told apart by their numbers, as in a merge tree.
    rank = np.argsort(np.argsort(values, axis=None, kind="stable"), kind="stable").reshape(values.shape)
    around, cells = rank, np.arange(values.size).reshape(values.shape)
    for axis, ring in enumerate(periodic):
        width = [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)]
        around = np.pad(around, width, "wrap") if ring else np.pad(around, width, constant_values=values.size)
        cells = np.pad(cells, width, "wrap") if ring else np.pad(cells, width, constant_values=0)
    lowest, target = rank, np.arange(values.size).reshape(values.shape)
    for step in product((0, 1, 2), repeat=values.ndim):
        part = tuple(slice(first, first + n) for first, n in zip(step, values.shape, strict=True))
        lower = around[part] < lowest
        lowest, target = np.where(lower, around[part], lowest), np.where(lower, cells[part], target)
    ends = target.ravel()
    while not np.array_equal(further := ends[ends], ends):
        ends = further
    return ends
