"""Bounds on iterative solvers: so many products and so much time, and then the reason and a remedy."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError

__all__ = ["bounded"]

Array = NDArray[np.float64]
# Seconds in one solver: the largest grids that are taken need a tenth of it.
SECONDS = 600.0


def bounded(apply: Callable[[Array], Array], most: int, what: str, remedy: str) -> Callable[[Array], Array]:
    """The same product, which raises ConvergenceError once it has been asked for too often or for too long.

    Between two products is also where an exception of a signal ends a solver: nothing here catches it.
    """
    asked, until = 0, time.monotonic() + SECONDS

    def product(x: Array) -> Array:
        nonlocal asked
        asked += 1
        if asked > most or time.monotonic() > until:
            bound = f"{most} products" if asked > most else f"{SECONDS:.0f} seconds"
            raise ConvergenceError(f"{what} did not converge in {bound}; {remedy}")
        return apply(x)

    return product
