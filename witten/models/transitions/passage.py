"""What a path from one minimum of a model to another says: barrier, curvatures, noise, and a rate if there is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.models.gradient_noise import GradientNoise, gradient_noise
from witten.models.hessian_products import hessian_product
from witten.models.hessian_spectrum import hessian_spectrum
from witten.models.model_loss import ModelLoss
from witten.models.transitions.escape_law import EscapeLaw, escape_law
from witten.models.transitions.stationary_points import Stationary
from witten.models.transitions.transition_path import Transition, transition_path

__all__ = ["Passage", "passage"]

Array = NDArray[np.float64]
# Places of a path at which its sharpness is computed, and steps of Lanczos for each.
PLACES, STEPS = 11, 30


@dataclass(frozen=True, eq=False)
class Passage:
    """A path between two minima and what is known along it.

    Attributes
    ----------
    transition : the path
    positions : lengths along it, at its images, (m,)
    places, sharpness : some of these lengths, and the largest Ritz values there, (k,): from below
    minimum_noise, saddle_noise : of the gradient there, None where nothing is known of samples; `along` the sharpest
        and the softest direction
    law : the escape rate from the first minimum, None where its conditions do not hold
    why : the reason for that
    """

    transition: Transition
    positions: Array
    places: Array
    sharpness: Array
    minimum_noise: GradientNoise | None
    saddle_noise: GradientNoise | None
    law: EscapeLaw | None
    why: str


def passage(f: ModelLoss, x0: Array, x1: Array, s: float, batch: int = 1) -> Passage:
    """From the minimum below x0 to that below x1, at learning rate s, with steps of `batch` samples.

    Raises
    ------
    RequestError
        where both are the same, or the loss is not finite on the way.
    """
    path = transition_path(f, x0, x1)
    steps = np.linalg.norm(np.diff(path.images, axis=0), axis=1)
    positions = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.unique(np.abs(positions[:, None] - np.linspace(0, positions[-1], PLACES)).argmin(axis=0))
    spectra = [hessian_spectrum(hessian_product(f, x)[0], x.size, count=1, steps=STEPS) for x in path.images[at]]
    sharpness = np.array([each.largest[0].value for each in spectra])
    there, top = (_noise(f, point) for point in (path.start, path.saddle))
    law, why = escape_law(f, path, s, there, batch)
    return Passage(path, positions, positions[at], sharpness, there, top, law, why)


def _noise(f: ModelLoss, point: Stationary) -> GradientNoise | None:
    along = np.array([point.spectrum.largest[0].vector, point.spectrum.lowest.vector])
    return gradient_noise(f, point.x, f.slope(point.x), along)
