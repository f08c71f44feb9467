"""The merge tree of f on a grid: its wells, and the heights at which they join (0-dimensional persistence)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["MergeTree", "component", "merge_tree", "pieces"]


@dataclass(frozen=True, eq=False)
class MergeTree:
    """Wells of f on a grid, the most persistent first; the first holds the global minimum and never merges.

    Attributes
    ----------
    minima : flat cell index of each well's lowest cell, shape (w,)
    floors : f there
    saddles : the height at which the well joins a deeper one; inf for the first
    """

    minima: NDArray[np.int64]
    floors: NDArray[np.float64]
    saddles: NDArray[np.float64]

    @property
    def persistence(self) -> NDArray[np.float64]:
        """saddle - floor, the barrier out of each well towards a deeper one; inf for the first."""
        return self.saddles - self.floors


def merge_tree(
    values: NDArray[np.float64], smallest: float = 0.0, periodic: Sequence[bool] | NDArray[np.bool_] = ()
) -> MergeTree:
    """Wells of persistence above `smallest`, by union-find over the cells in ascending order of f.

    Cells that share a face, an edge or a corner are neighbours.

    Parameters
    ----------
    values : f at the cells, shape (n_1, ..., n_d); +inf is a wall
    periodic : along which axes the last cell is a neighbour of the first (default: none)
    """
    padded = np.pad(np.asarray(values, dtype=float), 1, constant_values=np.inf)
    flat = padded.ravel()
    order = np.argsort(flat, kind="stable")[: np.count_nonzero(np.isfinite(flat))]
    minima, saddles = _sweep(flat, order, _neighbours(padded.shape), smallest, _images(padded.shape, periodic))
    floors = flat[minima]
    rank = np.argsort(floors - saddles, kind="stable")
    cells = np.array(np.unravel_index(minima[rank], padded.shape)) - 1
    return MergeTree(np.ravel_multi_index(tuple(cells), values.shape), floors[rank], saddles[rank])


def _images(shape: tuple[int, ...], periodic: Sequence[bool] | NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which cell of a padded array each of its cells stands for: on the rim of a periodic axis that at its other end;
    none at all where no axis is periodic."""
    if not np.any(periodic):
        return np.empty(0, dtype=np.int64)
    images = np.arange(np.prod(shape)).reshape(shape)
    for axis in np.flatnonzero(periodic):
        along = np.moveaxis(images, axis, 0)
        along[0], along[-1] = along[-2], along[1]
    return images.ravel()


def pieces(
    mask: NDArray[np.bool_],
    periodic: Sequence[bool] | NDArray[np.bool_] = (),
    structure: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], int]:
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


def component(
    values: NDArray[np.float64], level: float, cell: int, periodic: Sequence[bool] | NDArray[np.bool_] = ()
) -> NDArray[np.bool_]:
    """The cells of {f <= level} connected to the given flat cell through faces, as a mask of the same shape."""
    labels, _ = pieces(values <= level, periodic)
    mask: NDArray[np.bool_] = labels == labels.ravel()[cell]
    return mask


def _neighbours(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat offsets of the 3^d - 1 neighbours."""
    strides = np.append(np.cumprod(shape[:0:-1])[::-1], 1)
    steps = np.array(np.meshgrid(*[[-1, 0, 1]] * len(shape))).reshape(len(shape), -1)
    offsets = strides @ steps
    return offsets[offsets != 0].astype(np.int64)


@numba.njit(cache=True)
def _sweep(values, order, offsets, smallest, images):  # type: ignore[no-untyped-def]
    # parent = -1: not reached yet. The root of a component is its lowest cell. Walls are never reached, and the rim is
    # a wall or an image, so no neighbour lies outside the array.
    parent = np.full(values.size, -1, dtype=np.int64)
    minima, saddles = [], []
    for cell in order:
        parent[cell] = cell
        for offset in offsets:
            neighbour = images[cell + offset] if images.size else cell + offset
            if parent[neighbour] < 0:
                continue
            a, b = _root(parent, cell), _root(parent, neighbour)
            if a == b:
                continue
            # The well with the higher floor ends here; equal floors are told apart by their position.
            if values[a] < values[b] or (values[a] == values[b] and a < b):
                a, b = b, a
            parent[a] = b
            if values[cell] - values[a] > smallest:
                minima.append(a)
                saddles.append(values[cell])
    minima.append(order[0])
    saddles.append(np.inf)
    return np.array(minima), np.array(saddles)


@numba.njit(cache=True)
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i
