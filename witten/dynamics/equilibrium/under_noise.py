"""What is known before any path runs where noise has a covariance.

Noise with a potential F has the stationary law e^{-2F/s}: F takes the place of f, and times come from the drift, since
curvatures of F are not rates. Of other noise only bounds are known: wells of f count if the weakest noise
near them would keep a path there, and are far apart if the strongest would.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.equilibrium.curvatures import largest_curvature, minimum_curvatures
from witten.dynamics.equilibrium.equilibrium import DEPTH_OF_WELLS, OFTEN, Equilibrium, equilibrium
from witten.dynamics.equilibrium.gibbs_grid import GibbsGrid
from witten.errors import RequestError
from witten.noise import Diffusion, reversible
from witten.objectives import Objective
from witten.objectives.topography.critical_set import reach

__all__ = ["Ground", "under_noise"]

Array = NDArray[np.float64]
# Places where drift and noise are looked at, and over which part of a cell Sigma is differentiated.
PLACES, PART = 4000, 0.25
# Places along each axis where Sigma is looked at first, around the critical points of f.
FIRST = {1: 201, 2: 41, 3: 13}


@dataclass(frozen=True, eq=False)
class Ground:
    """Where paths are under noise with a covariance.

    Attributes
    ----------
    equilibrium : of F, or of f at the learning rate that the strongest noise stands for
    reversible : whether there is a potential, so that samples are those of the stationary law
    """

    equilibrium: Equilibrium
    reversible: bool


def under_noise(diffusion: Diffusion, s: float) -> Ground:
    """At a learning rate s; RequestError for a drift beside -grad f, more than three dimensions, and a Sigma that is
    not positive definite where paths often are."""
    f = diffusion.objective
    if diffusion.current:
        raise RequestError("paths with a drift beside -grad f are not simulated yet; use witten gap")
    if f.dimension > 3:
        raise RequestError(f"paths under a covariance are simulated in three dimensions at most, not in {f.dimension}")
    diffusion.require_positive(_around(f))
    found = reversible(diffusion, s)
    if found is not None and not found.turned:
        ground, own = equilibrium(found.potential, s), True
    else:
        ground, own = _bounded(diffusion, s), False
    points, spacing = _often(ground)
    diffusion.require_positive(points)
    at_minima = minimum_curvatures(f, ground.wells.minima[:, ground.deep])
    stiffness = _stiffness(diffusion, s, points, spacing, float(abs(at_minima).max()))
    softest = float(np.min(at_minima[at_minima > 0], initial=np.inf))
    softness = max(float(at_minima.min()), 1e-3 * stiffness)
    softest = softest if softest < np.inf else softness
    return Ground(replace(ground, stiffness=stiffness, softness=softness, softest=softest), own)


def _around(f: Objective) -> Array:
    """A lattice around the critical points of f."""
    known = reach(f)
    if not known.points.size:
        raise RequestError(f"{f.name} has no critical point that is known; give another objective")
    ends = zip(known.lower - known.scale, known.upper + known.scale, strict=True)
    axes = [np.linspace(a, b, FIRST[f.dimension]) for a, b in ends]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])


def _bounded(diffusion: Diffusion, s: float) -> Equilibrium:
    """Of f at s kappa, kappa the largest eigenvalue of Sigma where f is no higher than the highest saddle, or than
    such noise often makes it; its wells those that are deep for the smallest."""
    f = diffusion.objective
    kappa = float(_eigenvalues(diffusion, reach(f).points).max())
    for _ in range(20):
        ground = equilibrium(f, s * kappa)
        values = _eigenvalues(diffusion, _often(ground)[0])
        if values.max() <= kappa * (1 + 1e-9):
            break
        kappa = float(values.max())
    else:
        raise RequestError("the noise grows so fast that no domain is found where paths often are; use witten gap")
    return replace(ground, shallowest=DEPTH_OF_WELLS * s * float(values.min()))


def _eigenvalues(diffusion: Diffusion, x: Array) -> Array:
    sigma = diffusion.sigma(x)
    if not np.isfinite(sigma).all():
        diffusion.require_positive(x)
    return np.linalg.eigvalsh(np.moveaxis(sigma, 2, 0))


def _often(ground: Equilibrium) -> tuple[Array, Array]:
    """Points of the grid where paths often are, (d, n), at most so many, and its spacing (d,)."""
    gibbs: GibbsGrid = ground.gibbs  # type: ignore[assignment]
    height = ground.wells.floors[0] + (OFTEN + 0.5 * gibbs.values.ndim) * ground.s
    often = gibbs.values <= max(height, ground.wells.top + ground.s)
    points = gibbs.grid.points[:, often.ravel()]
    return points[:, :: points.shape[1] // PLACES + 1], gibbs.grid.spacing


def _stiffness(diffusion: Diffusion, s: float, points: Array, spacing: Array, at_minima: float) -> float:
    """The largest rate at which drift or noise changes: |Hess f|, and s |d Sigma|^2/(4 |Sigma|)."""
    curvature = max(largest_curvature(diffusion.objective, points), at_minima)
    strength = _eigenvalues(diffusion, points)[:, -1]
    total = np.zeros(points.shape[1])
    for axis, h in enumerate(PART * spacing):
        step = np.zeros((len(spacing), 1))
        step[axis] = h
        slope = (diffusion.sigma(points + step) - diffusion.sigma(points - step)) / (2 * h)
        total += np.linalg.norm(np.moveaxis(slope, 2, 0), axis=(1, 2)) ** 2
    growth = s * total / (4 * strength)
    return max(curvature, float(np.max(growth, where=np.isfinite(growth), initial=0.0)))
