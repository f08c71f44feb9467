"""The merge tree of f: its wells, and the heights at which they join (0-dimensional persistence).

One sweep from low to high, a union-find, for f on a grid, on a graph, and for minima that saddles join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["MergeTree", "component", "merge_tree", "merge_tree_of_graph", "merge_tree_of_saddles", "pieces"]

Array = NDArray[np.float64]
Nodes = NDArray[np.int64]
Around = Sequence[bool] | NDArray[np.bool_]
NONE = np.empty(0, dtype=np.int64)
# Up to so many nodes Python is faster than to load a compiled kernel, and far faster than to compile one.
FEW = 100


@dataclass(frozen=True, eq=False)
class MergeTree:
    """Wells of f, the most persistent first; the first holds the global minimum and never merges.

    Where two wells meet, the one with the higher floor ends; equal floors are distinguished by their numbers.

    Attributes
    ----------
    minima : number of each well's lowest node, shape (w,)
    floors : f there
    saddles : the height at which the well joins a deeper one; inf for the first
    exits : the height of the lowest way out of a well into any other of these, deeper or not; inf if there is no other
    passes : number of the node where the well joins a deeper one; -1 for the first
    into : number of the lowest node of that deeper well; -1 for the first
    """

    minima: Nodes
    floors: Array
    saddles: Array
    exits: Array
    passes: Nodes
    into: Nodes

    @property
    def persistence(self) -> Array:
        """saddle - floor, the barrier out of each well towards a deeper one; inf for the first."""
        return self.saddles - self.floors

    def only(self, which: slice | NDArray[np.bool_] | Nodes) -> MergeTree:
        """Some of the wells."""
        return MergeTree(*(getattr(self, field.name)[which] for field in fields(self)))


def merge_tree(values: Array, smallest: float = 0.0, periodic: Around = ()) -> MergeTree:
    """Wells of persistence above `smallest` of f on a grid, whose cells are numbered as in `ravel`.

    Cells that share a face, an edge or a corner are neighbours.

    Parameters
    ----------
    values : f at the cells, shape (n_1, ..., n_d); +inf is a wall
    periodic : along which axes the last cell is a neighbour of the first (default: none)
    """
    # The rim is a wall, so that no neighbour lies outside the array.
    flat = np.pad(np.asarray(values, dtype=float), 1, constant_values=np.inf).ravel()
    cells = np.pad(np.arange(values.size).reshape(values.shape), 1, constant_values=-1)
    finite = np.flatnonzero(np.isfinite(flat))
    order = finite[np.argsort(flat[finite], kind="stable")]
    images, offsets = _images(cells.shape, periodic), _neighbours(cells.shape)
    tree = _tree(flat, order[:1], _sweep(flat, order, NONE, offsets, smallest, images))
    minima, passes, into = (cells.ravel()[nodes] for nodes in (tree.minima, tree.passes, tree.into))
    return replace(tree, minima=minima, passes=passes, into=into)


def merge_tree_of_graph(
    indptr: NDArray[np.integer], indices: NDArray[np.integer], values: Array, smallest: float = 0.0
) -> MergeTree:
    """Wells of persistence above `smallest` of f on a graph.

    Parameters
    ----------
    indptr, indices : the graph, as the structure of a CSR matrix; a diagonal is ignored
    values : f at the nodes, shape (n,)
    """
    order = np.argsort(values, kind="stable")
    return _tree(values, order[:1], _sweep(values, order, indptr, indices, smallest, NONE))


def merge_tree_of_saddles(floors: Array, heights: Array, ends: Nodes) -> MergeTree:
    """The wells of minima that saddles join: passes are numbers of saddles. Each piece has one that never merges.

    Parameters
    ----------
    floors : f at the minima, shape (n,)
    heights : f at the saddles, shape (m,)
    ends : the two minima below each saddle, shape (m, 2); a saddle with -1 for one of them joins nothing
    """
    used = np.flatnonzero((ends >= 0).all(axis=1))
    used = used[np.argsort(heights[used], kind="stable")]
    n, ends = floors.size, ends[used]
    # The nodes are the minima and then the saddles, which rounding must not have put below what they join.
    values = np.concatenate([floors, np.maximum(heights[used], floors[ends].max(axis=1))])
    indptr = np.concatenate([np.zeros(n, np.int64), 2 * np.arange(used.size + 1)])
    sweep = _sweep(values, np.arange(values.size), indptr, ends.ravel(), -np.inf, NONE)
    roots = np.setdiff1d(np.arange(n), sweep[0])
    tree = _tree(values, roots[np.argsort(floors[roots], kind="stable")], sweep)
    return replace(tree, passes=np.append(used, -1)[np.where(tree.passes < 0, -1, tree.passes - n)])


def _images(shape: tuple[int, ...], periodic: Around) -> Nodes:
    """Which cell of a padded array each of its cells stands for: on the rim of a periodic axis that at its other end;
    none at all where no axis is periodic."""
    if not np.any(periodic):
        return NONE
    images = np.arange(np.prod(shape)).reshape(shape)
    for axis in np.flatnonzero(periodic):
        along = np.moveaxis(images, axis, 0)
        along[0], along[-1] = along[-2], along[1]
    return images.ravel()


def pieces(mask: NDArray[np.bool_], periodic: Around = (), structure: Nodes | None = None) -> tuple[Nodes, int]:
    """The connected pieces of a mask, numbered from 1, and how many there are; 0 outside.

    Parameters
    ----------
    periodic : along which axes the last cell is a neighbour of the first (default: none)
    structure : which of the 3^d - 1 cells around one are its neighbours (default: those that share a face)
    """
    labels, count = label(mask, structure)
    for axis in np.flatnonzero(periodic):
        a, b = labels.take(-1, axis).ravel(), labels.take(0, axis).ravel()
        both = (a > 0) & (b > 0)
        graph = coo_array((np.ones(both.sum()), (a[both], b[both])), shape=(count + 1, count + 1))
        count, joined = connected_components(graph, directed=False)
        count, labels = count - 1, joined[labels]  # 0, which nothing is joined to, stays 0
    return labels, count


def component(values: Array, level: float, cell: int, periodic: Around = ()) -> NDArray[np.bool_]:
    """The cells of {f <= level} connected to the given flat cell through faces, as a mask of the same shape."""
    labels, _ = pieces(values <= level, periodic)
    mask: NDArray[np.bool_] = labels == labels.ravel()[cell]
    return mask


def _tree(values: Array, roots: Nodes, sweep: tuple[Nodes, Nodes, Nodes, Array]) -> MergeTree:
    """From the wells that merge, in the order in which they do, and those that never do."""
    ended, passes, into, exits = sweep
    none = np.full(roots.size, -1)
    minima, saddles = np.concatenate([ended, roots]), np.concatenate([values[passes], np.full(roots.size, np.inf)])
    floors, passes, into = values[minima], np.concatenate([passes, none]), np.concatenate([into, none])
    tree = MergeTree(minima, floors, saddles, exits[minima], passes, into)
    return tree.only(np.argsort(floors - saddles, kind="stable"))


def _neighbours(shape: tuple[int, ...]) -> Nodes:
    """Flat offsets of the 3^d - 1 neighbours."""
    strides = np.append(np.cumprod(shape[:0:-1])[::-1], 1)
    steps = np.array(np.meshgrid(*[[-1, 0, 1]] * len(shape))).reshape(len(shape), -1)
    offsets = strides @ steps
    return offsets[offsets != 0].astype(np.int64)


def _sweep(
    values: Array, order: Nodes, indptr: NDArray[np.integer], indices: NDArray[np.integer], smallest: float,
    images: Nodes,
) -> tuple[Nodes, Nodes, Nodes, Array]:  # fmt: skip
    """Wells that end, where, and in which other; and the lowest exits of all. Neighbours are a row of a CSR structure,
    or where it has none the same offsets for every node, which may lead to images of others."""
    parent, exits = np.full(values.size, -1, dtype=np.int64), np.full(values.size, np.inf)
    merged = np.empty((order.size, 3), dtype=np.int64)
    merge = _merge.py_func if order.size <= FEW else _merge
    count = merge(values, order, indptr, indices, smallest, images, parent, exits, merged)
    ended, passes, into = merged[:count].T
    return ended, passes, into, exits


@numba.njit(cache=True)
def _merge(values, order, indptr, indices, smallest, images, parent, exits, merged):  # type: ignore[no-untyped-def]
    """Fill `exits` and the first rows (well, pass, into) of `merged`; how many there are. parent = -1: not reached yet;
    the root of a component is its lowest node."""
    count = 0
    for node in order:
        parent[node] = node
        first, last, shift = (indptr[node], indptr[node + 1], 0) if indptr.size else (0, indices.size, node)
        for e in range(first, last):
            other = images[indices[e] + shift] if images.size else indices[e] + shift
            if parent[other] < 0:
                continue
            a, b = _root(parent, node), _root(parent, other)
            if a == b:
                continue
            if values[a] < values[b] or (values[a] == values[b] and a < b):
                a, b = b, a
            parent[a] = b
            height = values[node]
            if a != node and height - values[a] > smallest:
                merged[count, 0], merged[count, 1], merged[count, 2] = a, node, b
                count += 1
                exits[a], exits[b] = min(exits[a], height), min(exits[b], height)
    return count


@register_jitable
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i
