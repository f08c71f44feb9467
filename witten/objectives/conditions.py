"""Conditions on f for a Gibbs measure and a spectral gap to exist, decided from f alone by its growth along rays."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives.objective import Objective

__all__ = ["continuous_spectrum"]

RADII = 10.0 ** np.arange(2, 9)


def continuous_spectrum(objective: Objective, learning_rate: float) -> float:
    """The rate at which the continuous spectrum of -L starts, liminf V_s/2 as |x| -> inf; inf if f is Villani.

    V_s = |grad f|^2/s - Lap f is followed along the 3^d - 1 axes and diagonals out to |x| = 1e8: an estimate, exact for
    the usual formulas, blind to what happens only between the rays.

    Raises
    ------
    RequestError
        if e^{-2f/s} is not normalisable along a ray (2 r f'(r)/s <= d), if |grad f| falls to zero along one (no
        gap), or if f is not a number there.
    """
    directions = _directions(objective.dimension)
    bottom = np.inf
    for direction in directions:
        points = np.outer(direction, RADII)
        _require_normalisable(objective, points, direction, learning_rate)
        bottom = min(bottom, _limit_along(objective, points, direction, learning_rate))
    return bottom


def _directions(dimension: int) -> NDArray[np.float64]:
    """Unit vectors along axes and diagonals, shape (3^d - 1, d)."""
    steps = np.array([step for step in product((-1.0, 0.0, 1.0), repeat=dimension) if any(step)])
    return steps / np.linalg.norm(steps, axis=1, keepdims=True)


def _require_normalisable(
    objective: Objective, points: NDArray[np.float64], direction: NDArray[np.float64], s: float
) -> None:
    with np.errstate(all="ignore"):
        f = np.asarray(objective(points), dtype=float)
        bad = np.isnan(f)
        if bad.any():
            raise RequestError(
                f"{objective.name} is not a number at {_show(points[:, bad.argmax()])}; "
                "give a box on which it is finite"
            )
        growth = (f[-1] - f[-3]) / np.log(RADII[-1] / RADII[-3])
    if f[-1] == np.inf:
        return
    if not 2 * growth / s > objective.dimension * (1 + 1e-6):
        why = "does not grow" if growth < 1e-9 else f"grows only like {growth:.3g} log|x|"
        raise RequestError(
            f"{objective.name} {why} in direction {_show(direction)}: e^(-2f/s) has no finite integral at "
            f"learning rate {s:g}, so there is no Gibbs measure; give a confining objective, or a box"
        )


def _limit_along(objective: Objective, points: NDArray[np.float64], direction: NDArray[np.float64], s: float) -> float:
    """lim V_s/2 along one ray where it is a positive constant, else inf; an error where |grad f| falls to zero.

    V_s may well be negative along a ray on which a valley narrows; there is a gap all the same.
    """
    with np.errstate(all="ignore"):
        slope = np.linalg.norm(objective.gradient(points), axis=0)
        v = slope**2 / s - objective.laplacian(points)
    if not np.isfinite(v[-3:]).all():
        return np.inf
    if _power(slope) < -0.05:
        raise RequestError(
            f"{objective.name} has no spectral gap at any learning rate: |grad f| falls to zero in direction "
            f"{_show(direction)}; give an objective that grows at least like |x|, or a box"
        )
    constant = v[-1] > 0 and abs(_power(v)) <= 0.05
    return float(v[-1] / 2) if constant else np.inf


def _power(values: NDArray[np.float64]) -> float:
    """p with values ~ r^p at the end of a ray."""
    with np.errstate(all="ignore"):
        return float(np.log(abs(values[-1] / values[-3])) / np.log(RADII[-1] / RADII[-3]))


def _show(vector: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{c:.4g}" for c in vector) + ")"
