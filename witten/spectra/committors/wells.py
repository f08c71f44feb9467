"""The wells of a weighted graph, found from f at its nodes alone (0-dimensional persistence along the edges)."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Wells", "wells"]


@dataclass(frozen=True, eq=False)
class Wells:
    """Wells of f on a graph, the most persistent first; the first holds the global minimum and never merges.

    Attributes
    ----------
    minima : the node at the bottom of each well, shape (w,)
    saddles : the height at which a well joins a deeper one; inf for the first
    exits : the height of the lowest way out of a well into any other of these, deeper or not; inf if there is no other
    floors : f at the bottom
    """

    minima: NDArray[np.int64]
    saddles: NDArray[np.float64]
    exits: NDArray[np.float64]
    floors: NDArray[np.float64]

    @property
    def persistence(self) -> NDArray[np.float64]:
        """saddle - floor, the barrier out of each well towards a deeper one; inf for the first."""
        return self.saddles - self.floors

    def deepest(self, count: int) -> Wells:
        """The `count` most persistent wells."""
        kept = slice(0, count)
        return Wells(self.minima[kept], self.saddles[kept], self.exits[kept], self.floors[kept])


def wells(indptr: NDArray[np.int32], indices: NDArray[np.int32], values: NDArray[np.float64], smallest: float) -> Wells:
    """Wells of persistence above `smallest`, by union-find over the nodes in ascending order of f.

    Parameters
    ----------
    indptr, indices : the graph, as the structure of a CSR matrix; a diagonal is ignored
    values : f at the nodes, shape (n,)
    """
    order = np.argsort(values, kind="stable")
    minima, saddles, exits = _sweep(indptr, indices, values, order, smallest)
    rank = np.argsort(values[minima] - saddles, kind="stable")
    return Wells(minima[rank], saddles[rank], exits[rank], values[minima][rank])


@numba.njit(cache=True)
def _sweep(indptr, indices, values, order, smallest):  # type: ignore[no-untyped-def]
    # parent = -1: not reached yet. The root of a component is its lowest node.
    parent = np.full(values.size, -1, dtype=np.int64)
    first_exit = np.full(values.size, np.inf)
    minima, saddles = [], []
    for node in order:
        parent[node] = node
        for e in range(indptr[node], indptr[node + 1]):
            if parent[indices[e]] < 0:
                continue
            a, b = _root(parent, node), _root(parent, indices[e])
            if a == b:
                continue
            # The well with the higher floor ends here; equal floors are told apart by their number.
            if values[a] < values[b] or (values[a] == values[b] and a < b):
                a, b = b, a
            parent[a] = b
            if values[node] - values[a] > smallest:
                minima.append(a)
                saddles.append(values[node])
                first_exit[a] = min(first_exit[a], values[node])
                first_exit[b] = min(first_exit[b], values[node])
    minima.append(order[0])
    saddles.append(np.inf)
    found = np.array(minima)
    return found, np.array(saddles), first_exit[found]


@numba.njit(cache=True)
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i
