"""The rate of leaving a minimum of a model over a saddle, with the noise that its samples have, where that is known.

    k = (lambda+/2 pi) sqrt(det P_m/|det P_z|) (C_z/C_m) e^{-V/s}

with the quasi-potential V of Sigma(x) (`witten.landscape.laws.noisy_law`). It holds as s -> 0, between a minimum and a
saddle that are not degenerate, with noise in every direction: whatever is not so is said instead of a rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError, RequestError
from witten.landscape.critical.critical_point import CriticalPoint
from witten.landscape.instantons.prefactor import log_prefactor
from witten.landscape.instantons.quasi_potential import instanton
from witten.landscape.laws.local_expansion import expand
from witten.landscape.laws.noisy_law import first_order_size
from witten.models.gradient_noise import SAME, GradientNoise
from witten.models.measured_noise import MeasuredNoise
from witten.models.model_loss import ModelLoss
from witten.models.transitions.stationary_points import Stationary
from witten.models.transitions.transition_path import Transition
from witten.noise import require_positive_definite

__all__ = ["EscapeLaw", "escape_law"]

Array = NDArray[np.float64]
# Parameters up to which derivatives of Sigma along a path are taken.
MOST = 20
# Eigenvalues of Sigma below this part of the largest are none.
RANK = 1e-10
# A gradient is zero that is this part of the largest on the path; the spread of the noise, of the way to the saddle;
# V/s that is at least needed; how far off, relative to it, a rate may be.
ZERO, NARROW, DEEP, USEFUL = 1e-8, 0.1, 6.0, 0.5


@dataclass(frozen=True)
class EscapeLaw:
    """The rate k of leaving the first minimum, per unit of time t = k s of dX = -grad f dt + sqrt(s) Sigma^{1/2} dW.

    Attributes
    ----------
    action : V, of which e^{-V/s} is a factor of k
    action_error : of V, but for paths of less action that were not found
    log_prefactor : log(k e^{V/s})
    log_rate : log k
    log_error : how far log k may be off: V, prefactor, and an estimate of what is of first order in s
    spread : sqrt(s tr(Sigma H^{-1})/2) at the minimum
    """

    action: float
    action_error: float
    log_prefactor: float
    log_rate: float
    log_error: float
    spread: float


def escape_law(
    f: ModelLoss, path: Transition, s: float, noise: GradientNoise | None, batch: int = 1
) -> tuple[EscapeLaw | None, str]:
    """The law, or None and the reason why there is none."""
    why = next(_objections(f, path, s, noise), "")
    if why:
        return None, why
    assert f.sample_gradients is not None
    measured = MeasuredNoise(f, path.start.x.size, path.distance, batch)
    try:
        return _law(measured, path, s)
    except (ConvergenceError, RequestError) as error:
        return None, str(error)


def _objections(f: ModelLoss, path: Transition, s: float, noise: GradientNoise | None) -> Iterator[str]:
    """What is not as the law asks, before the noise is looked at along the path."""
    m, z, n = path.start, path.saddle, path.start.x.size
    largest = max(float(np.linalg.norm(f.slope(x))) for x in path.images[:: max(len(path.images) // 20, 1)])
    for what, point in (("minimum", m), ("saddle", z)):
        if not point.gradient_norm <= ZERO * largest:
            yield f"the {what} was not found: |grad f| = {point.gradient_norm:.2g} there, {largest:.2g} on the path"
    if n > MOST:
        yield f"{n} parameters: the law, which needs determinants and the noise along the path, goes up to {MOST}"
    if not path.leaves_start:
        yield "the highest saddle found does not border on the first minimum's valley: a rate of one passage is not its"
    for what, point, index in (("minimum", m, 0), ("saddle", z, 1)):
        if point.index != index:
            yield f"the {what} has {point.index} negative curvatures, not {index}"
        if point.is_degenerate:
            yield f"the {what} has a curvature that is zero within its error: it is degenerate"
    if m.spectrum.upper >= 2 / s:
        yield f"descent is not stable at the minimum: its sharpness {m.spectrum.largest[0].value:.4g} is above 2/s"
    if noise is None or f.sample_gradients is None:
        yield "the noise is not known: gradients of the samples are not given, and unit noise would be a guess"
    elif noise.difference > SAME:
        yield "the samples' mean gradient is not the gradient: the noise of a step is not theirs alone"


def _law(noise: MeasuredNoise, path: Transition, s: float) -> tuple[EscapeLaw | None, str]:
    m, z = path.start, path.saddle
    covariance = noise.sigma(m.x[:, None])[..., 0]
    rank = int(np.linalg.matrix_rank(covariance, tol=RANK * float(np.linalg.norm(covariance, 2)), hermitian=True))
    if rank < m.x.size:
        return None, (
            f"the noise at the minimum has rank {rank} of {m.x.size}: along the other directions there is none, and "
            "unit noise there would be a guess"
        )
    points = [_critical(noise, point) for point in (m, z)]
    hessian = noise.objective.hessian(m.x[:, None])[..., 0]
    spread = math.sqrt(s * float(np.trace(np.linalg.solve(hessian, covariance))) / 2)
    if not spread < NARROW * path.distance:
        return (
            None,
            f"noise spreads by {spread:.3g} about the minimum, the saddle is {path.distance:.3g} away: too near",
        )
    found = instanton(noise, m.x, z.x, _uphill(path))
    if not found.action > DEEP * s:
        return None, f"V/s = {found.action / s:.3g} is less than {DEEP:g}: the minimum is left before it is settled in"
    require_positive_definite(noise.sigma(found.points), found.points)
    prefactor, off, tube = log_prefactor(noise, found)
    energy = z.loss - m.loss
    sizes = [float(np.linalg.norm(expand(noise.objective, point, energy).anharmonicity)) for point in points]
    first = sum(first_order_size(noise, point, size) for point, size in zip(points, sizes, strict=True))
    error = found.error / s + off + first * s + tube.log_error(s)
    if not error < USEFUL:
        return None, f"the law may be off by a factor of {math.exp(min(error, 700.0)):.3g}, s = {s:g} is large"
    return EscapeLaw(found.action, found.error, prefactor, prefactor - found.action / s, error, spread), ""


def _critical(noise: MeasuredNoise, point: Stationary) -> CriticalPoint:
    curvatures = np.linalg.eigvalsh(noise.objective.hessian(point.x[:, None])[..., 0])
    return CriticalPoint(point.x, point.loss, curvatures)


def _uphill(path: Transition) -> Array:
    """The path from the minimum to the saddle, (n, m)."""
    top = int(np.argmin(np.linalg.norm(path.images - path.saddle.x, axis=1)))
    return np.asarray(path.images[: top + 1].T)
