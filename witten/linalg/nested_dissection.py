"""Elimination orders for sparse factorisations on grids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nested_dissection"]

LEAF = 64


def nested_dissection(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The nodes of a masked grid in the order of their elimination: halves first, the plane that parts them last.

    Source: [George1973].
    """
    numbers = np.full(mask.shape, -1, dtype=np.int64)
    numbers[mask] = np.arange(mask.sum())
    order = np.concatenate(_dissected(numbers))
    return order[order >= 0]


def _dissected(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    axis = int(np.argmax(numbers.shape))
    n = numbers.shape[axis]
    if numbers.size <= LEAF or n < 3:
        return [numbers.ravel()]
    before, plane, after = np.split(numbers, [n // 2, n // 2 + 1], axis)
    return [*_dissected(before), *_dissected(after), plane.ravel()]
