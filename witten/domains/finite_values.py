"""Values of f where they are finite, walls where they overflow, and by how much rounding moves them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives.objective import Objective

__all__ = ["Sampled", "finite_or_outside", "finite_or_wall", "rounding"]

# Places without a value at which it is asked whether that is overflow alone.
PROBES = 9


class Sampled(Protocol):
    """Points, (d, n_nodes), and how far they are apart along each axis, (d,)."""

    @property
    def n_nodes(self) -> int: ...

    @property
    def points(self) -> NDArray[np.float64]: ...

    @property
    def spacing(self) -> NDArray[np.float64]: ...


def finite_or_wall(objective: Objective, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """f at the points, shape (n,), +inf where it, or a term of it, overflows upwards; RequestError where f is not a
    number or -inf; it says where."""
    with np.errstate(all="ignore"):
        values = np.asarray(objective(points), dtype=float)
    nan = np.flatnonzero(np.isnan(values))
    if nan.size and objective.formula is not None:
        some = nan[np.linspace(0, nan.size - 1, min(nan.size, PROBES)).astype(int)]
        if all(objective.is_number(x) for x in points[:, some].T):
            values[nan] = np.inf
    bad = np.isnan(values) | (values == -np.inf)
    if bad.any():
        where = ", ".join(f"{c:.6g}" for c in points[:, bad.argmax()])
        if objective.mobility:  # a potential, that of noise from place to place
            raise RequestError(
                f"the potential of {objective.name} with this covariance is {values[bad.argmax()]} at ({where}): the "
                "covariance must be positive and finite; give another, or a box where it is"
            )
        raise RequestError(f"{objective.name} is {values[bad.argmax()]} at ({where}); give a box on which it is finite")
    return values


def rounding(objective: Objective, grid: Sampled) -> float:
    """How far values of f are off by rounding: its typical second difference over steps so short that f itself has
    none, and half its change over the spacing of doubles, since x itself is rounded to eps |x|."""
    points = grid.points[:, :: max(1, grid.n_nodes // 4000)]
    worst = 0.0
    for axis, h in enumerate(grid.spacing):
        ulp = np.spacing(abs(points[axis]))
        step = np.maximum(1e-7 * h, 8 * ulp)
        below, here, above, next_to = (
            finite_or_outside(objective, _moved(points, axis, by)) for by in (-step, 0.0, step, ulp)
        )
        with np.errstate(invalid="ignore"):
            off = abs(below - 2 * here + above) + 0.5 * abs(next_to - here)
        off = off[np.isfinite(off)]
        worst = max(worst, float(np.mean(off)) if off.size else 0.0)
    return worst


def _moved(points: NDArray[np.float64], axis: int, by: NDArray[np.float64] | float) -> NDArray[np.float64]:
    moved = points.copy()
    moved[axis] += by
    return moved


def finite_or_outside(objective: Objective, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """f at the points, +inf where it is not finite."""
    with np.errstate(all="ignore"):
        values = np.asarray(objective(points), dtype=float)
    return np.where(np.isfinite(values), values, np.inf)
