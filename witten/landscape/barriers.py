"""The barrier out of each well: 0-dimensional persistence on the graph of minima and index-1 saddles.

Saddles are taken in ascending order. One that joins two components is separating: the component whose lowest minimum
is the higher dies there, and that minimum's barrier is S = f(saddle) - f(minimum). One inside a component is not.
Source: [Edelsbrunner2002]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.linalg.merge_tree import MergeTree, merge_tree_of_saddles

__all__ = ["Pair", "barrier_pairs"]

Array = NDArray[np.float64]
# Heights closer than this, relative to the range of heights, are equal: a tie.
EQUAL = 1e-9


@dataclass(frozen=True)
class Pair:
    """A minimum with the saddle over which it reaches a deeper one.

    Attributes
    ----------
    minimum : its number
    saddle : number of the saddle; None for the lowest minimum of each piece of the graph
    barrier : S = f(saddle) - f(minimum); None without a saddle
    into : number of the deeper minimum on the other side; None without a saddle
    tied : whether equal heights made this a choice: another pair of equal barrier, a saddle as high that would have
        done, or two minima of equal depth
    joins : f(saddle), inf without one
    """

    minimum: int
    saddle: int | None
    barrier: float | None
    into: int | None
    tied: bool
    joins: float = np.inf


def barrier_pairs(floors: Array, heights: Array, connects: NDArray[np.int64]) -> tuple[Pair, ...]:
    """The pairs, one for each minimum, the lowest minimum first and then by falling barrier.

    Parameters
    ----------
    floors : f at the minima, shape (n,)
    heights : f at the index-1 saddles, shape (m,)
    connects : the two minima below each saddle, shape (m, 2), -1 for none
    """
    tree = merge_tree_of_saddles(floors, heights, connects)
    alone = tree.passes < 0
    roots = [Pair(i, None, None, None, False) for i in tree.minima[alone].tolist()]
    tree = tree.only(~alone)
    joins = heights[tree.passes]
    barriers = joins - tree.floors
    equal = EQUAL * max(float(np.ptp(np.concatenate([floors, heights]))), 1e-300) if floors.size else 0.0
    twins = np.array([np.count_nonzero(abs(barriers - each) <= equal) > 1 for each in barriers], dtype=bool)
    level = tree.floors - floors[tree.into] <= equal
    tied = twins | level | np.isin(tree.minima, list(_rivals(tree, heights, connects, equal)))
    columns = (tree.minima, tree.passes, barriers, tree.into, tied, joins)
    pairs = [Pair(*each) for each in zip(*(column.tolist() for column in columns), strict=True)]
    return (*roots, *sorted(pairs, key=lambda pair: (-(pair.barrier or 0.0), pair.minimum)))


def _rivals(tree: MergeTree, heights: Array, connects: NDArray[np.int64], equal: float) -> Iterator[int]:
    """Minima whose saddle might have been another, as high, that comes later and joins nothing any more."""
    place = np.argsort(np.argsort(heights, kind="stable"))
    into = dict(zip(tree.minima.tolist(), tree.into.tolist(), strict=True))
    ends = dict(zip(tree.minima.tolist(), place[tree.passes].tolist(), strict=True))

    def component(i: int, z: int) -> int:
        """The lowest minimum of the component of i when saddle z is reached."""
        while ends.get(i, heights.size) < place[z]:
            i = into[i]
        return i

    for z in np.setdiff1d(np.arange(heights.size), tree.passes).tolist():
        i, j = connects[z].tolist()
        near = (heights[z] - heights[tree.passes] <= equal) & (place[tree.passes] < place[z])
        if min(i, j) >= 0 and i != j:
            yield from (a for a in tree.minima[near].tolist() if component(a, z) == component(i, z))
