"""How large and how small the curvatures of f are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.objectives import Objective

__all__ = ["largest_by_power_iteration", "largest_curvature", "minimum_curvatures", "unresolved_curvature"]

Array = NDArray[np.float64]
ITERATIONS, DIFFERENCE = 30, 1e-5
# Over the length sqrt(s/theta) f rises by s/2 at the most; if it rises by more than so many s, a curvature was missed.
MISSED, HALVINGS = 1.0, 60


def largest_curvature(objective: Objective, points: Array) -> float:
    """The largest |eigenvalue| of Hess f at points (d, n) where there is one; 0 without any."""
    hessians = np.moveaxis(objective.piecewise_hessian(points), -1, 0)
    hessians = hessians[np.isfinite(hessians).all(axis=(1, 2))]
    return float(np.max(np.abs(np.linalg.eigvalsh(hessians)), initial=0.0))


def minimum_curvatures(objective: Objective, minima: Array) -> Array:
    """The eigenvalues of Hess f at points (d, m), 0 at kinks, shape (m, d)."""
    hessians = np.moveaxis(objective.piecewise_hessian(minima), -1, 0)
    return np.asarray(np.linalg.eigvalsh(np.where(np.isfinite(hessians), hessians, 0.0)))


def unresolved_curvature(objective: Objective, x: Array, s: float, stiffness: float) -> float:
    """The curvature s/l^2 of a well at x that derivatives in too long steps do not show, l the length over which f
    rises by s; 0 where f rises as it should if no curvature is larger than `stiffness`."""
    steps = np.concatenate([np.eye(x.size), -np.eye(x.size)], axis=1)
    length = np.sqrt(s / stiffness)
    for halvings in range(HALVINGS):
        if not np.max(objective(x[:, None] + length * steps)) > float(objective(x)) + MISSED * s:
            return s / length**2 if halvings else 0.0
        length /= 2
    return s / length**2


def largest_by_power_iteration(
    objective: Objective, x: Array, random: np.random.Generator, length: float, shift: float = 0.0
) -> float:
    """The largest |eigenvalue| of Hess f(x), or the largest of shift - Hess f(x), from gradients alone; `length` is
    one over which f changes."""
    v = random.normal(size=x.size)
    value = 0.0
    step = DIFFERENCE * (length + float(np.abs(x).max()))
    for _ in range(ITERATIONS):
        v /= np.linalg.norm(v)
        two = objective.gradient(np.stack([x + step * v, x - step * v], axis=1))
        image = (two[:, 0] - two[:, 1]) / (2 * step)
        image = shift * v - image if shift else image
        value = float(np.linalg.norm(image))
        v = image if value > 0 else random.normal(size=x.size)
    return value
