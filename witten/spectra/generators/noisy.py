"""Rates under noise that is neither isotropic nor the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import ConvergenceError, RequestError
from witten.noise import Diffusion, Noise, Reversible, reversible
from witten.objectives.growth.conditions import essential_spectrum
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import reach
from witten.spectra.checks import given_box, require_request
from witten.spectra.grids.nested_grids import refined_spectrum
from witten.spectra.spectrum import Spectrum

__all__ = ["noisy_spectrum", "require_positive", "require_room"]

Array = NDArray[np.float64]
# Places along each axis at which Sigma is looked at before anything is computed.
LOOKED_AT = {1: 401, 2: 61, 3: 17}


def require_room(noise: Noise | None, elements: bool, absorbing: bool) -> None:
    """RequestError where noise with a covariance meets what does not know it yet."""
    if noise is not None and (elements or absorbing):
        who = "finite elements know" if elements else "absorbing boundaries know"
        raise RequestError(f"{who} noise of one strength only; use finite differences and reflecting boundaries")


def noisy_spectrum(
    objective: Objective,
    learning_rate: float,
    k: int,
    noise: Noise,
    *,
    rtol: float = 1e-4,
    box: Sequence[tuple[float, float]] | None = None,
    modes: bool = True,
) -> Spectrum:
    """The k lowest rates, by real part, of L u = (s/2) tr(Sigma Hess u) - grad f . grad u, zero included.

    Noise with a potential is a weighted graph, to the same accuracy as unit noise and for rates of any size; other
    noise a Markov generator, see `generator_spectrum`.

    Parameters
    ----------
    objective, learning_rate, k, rtol, box : as in `refined_spectrum`
    noise : Sigma
    modes : whether modes are asked for, on a grid in the coordinates of f

    Raises
    ------
    RequestError
        if the request is wrong, or Sigma is not positive definite somewhere.
    """
    require_request(objective, learning_rate, k, rtol, box)
    if objective.periods:
        raise RequestError(f"{objective.name} has periodic axes, on which noise must be of one strength yet")
    diffusion = noise.bind(objective)
    require_positive(diffusion, box)
    found = reversible(diffusion, learning_rate)
    if found is None or (found.turned and (modes or box is not None)):
        from witten.spectra.generators.irreversible import generator_spectrum  # what most requests have no use for

        return replace(generator_spectrum(diffusion, learning_rate, k, rtol, box), covariance=noise.text)
    result = _of_potential(found.potential, learning_rate, k, rtol, box)
    return replace(result, covariance=noise.text, potential=_on(found, result))


def require_positive(diffusion: Diffusion, box: Sequence[tuple[float, float]] | None) -> None:
    """RequestError, with the place, where Sigma on a lattice over the box, or around the critical points of f, is not
    finite or not positive definite."""
    f = diffusion.objective
    diffusion.require_positive(_looked_at(f, None if box is None else given_box(f, box)))


def _of_potential(
    potential: Objective, s: float, k: int, rtol: float, box: Sequence[tuple[float, float]] | None
) -> Spectrum:
    """The rates of noise with a potential; where they are near a continuous spectrum, tails may have no end."""
    try:
        return refined_spectrum(potential, s, k, rtol=rtol, box=box)
    except ConvergenceError as error:
        if box is not None or not np.isfinite(essential_spectrum(potential, s).rate):
            raise
        raise ConvergenceError(
            f"with this noise the stationary density of {potential.name} has the tail of a power at learning rate "
            f"{s:g}, and no domain was found that holds enough of it; take a smaller learning rate, or a box"
        ) from error


def _on(found: Reversible, result: Spectrum) -> Array:
    """The potential at the nodes."""
    return np.asarray(found.potential(result.grid.points))


def _looked_at(objective: Objective, box: Box | None) -> Array:
    """A lattice over the box, or around the critical points of f."""
    if box is None:
        known = reach(objective)
        if not known.points.size:
            raise RequestError(f"{objective.name} has no critical point that is known; give a box")
        box = Box.of(list(zip(known.lower - known.scale, known.upper + known.scale, strict=True)))
    return Grid(box, (LOOKED_AT[objective.dimension],) * objective.dimension).points
