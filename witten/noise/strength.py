"""Noise as it is asked for: of one strength, which the learning rate can stand for, or with a covariance."""

from __future__ import annotations

import numpy as np

from witten.errors import RequestError
from witten.noise.models import Isotropic, Noise
from witten.objectives import Objective

__all__ = ["parted"]


def parted(noise: float | Noise, objective: Objective) -> tuple[float, Noise | None]:
    """(sigma, None) for noise of one strength, which the learning rate can stand for, else (1, noise).

    Raises
    ------
    RequestError
        where the noise does not fit the objective.
    """
    if isinstance(noise, Isotropic):
        return noise.sigma, None
    if isinstance(noise, int | float | np.number):
        return float(noise), None
    if not hasattr(noise, "bind"):
        raise RequestError(f"noise is a number or one of witten.noise, got {type(noise).__name__}")
    bound = noise.bind(objective)
    matrix, strength = bound.matrix, bound.matrix[0, 0]
    same = strength.is_number and matrix == strength * type(matrix).eye(objective.dimension)
    if same and strength > 0 and not bound.current:
        return float(strength) ** 0.5, None
    return 1.0, noise
