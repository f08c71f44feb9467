"""The barrier out of each well: 0-dimensional persistence on the graph of minima and index-1 saddles.

Saddles are taken in ascending order. One that joins two components is separating: the component whose lowest minimum
is the higher dies there, and that minimum's barrier is S = f(saddle) - f(minimum). One inside a component is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    equal = EQUAL * max(float(np.ptp(np.concatenate([floors, heights]))), 1e-300) if floors.size else 0.0
    parent = np.arange(floors.size)
    merges: list[tuple[int, int, int, bool]] = []
    for z in np.argsort(heights, kind="stable"):
        if min(connects[z]) < 0:
            continue
        a, b = (_root(parent, int(i)) for i in connects[z])
        if a == b:
            _mark_rival(merges, heights, int(z), connects, parent, equal)
            continue
        if (floors[a], a) < (floors[b], b):
            a, b = b, a
        parent[a] = b
        merges.append((a, int(z), b, bool(floors[a] - floors[b] <= equal)))
    return _sorted_pairs(floors, heights, merges, parent, equal)


def _root(parent: NDArray[np.int64], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = int(parent[i])
    return i


def _mark_rival(
    merges: list[tuple[int, int, int, bool]],
    heights: Array,
    z: int,
    connects: NDArray[np.int64],
    parent: NDArray[np.int64],
    equal: float,
) -> None:
    """A saddle as high as one that has just joined this component could have stood in its place."""
    if connects[z][0] == connects[z][1]:
        return
    for k in range(len(merges) - 1, -1, -1):
        a, other, b, _ = merges[k]
        if heights[z] - heights[other] > equal:
            return
        if _root(parent, a) == _root(parent, int(connects[z][0])):
            merges[k] = (a, other, b, True)


def _sorted_pairs(
    floors: Array,
    heights: Array,
    merges: Sequence[tuple[int, int, int, bool]],
    parent: NDArray[np.int64],
    equal: float,
) -> tuple[Pair, ...]:
    barriers = np.array([heights[z] - floors[a] for a, z, _, _ in merges])
    pairs = []
    for (a, z, b, tied), barrier in zip(merges, barriers, strict=True):
        twins = np.count_nonzero(abs(barriers - barrier) <= equal) > 1
        pairs.append(Pair(a, z, float(barrier), b, tied or bool(twins), float(heights[z])))
    pairs.sort(key=lambda pair: (-(pair.barrier or 0.0), pair.minimum))
    roots = [i for i in range(floors.size) if parent[i] == i]
    return (*(Pair(i, None, None, None, False) for i in sorted(roots, key=lambda i: floors[i])), *pairs)
