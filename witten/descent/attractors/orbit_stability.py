"""Whether an orbit of gradient descent is stable, and why."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from witten.descent.gradient_map import DescentMap, stability_threshold
from witten.descent.orbits import NEUTRAL, Orbit, polish
from witten.objectives.objective import Objective

__all__ = ["exact_gradient", "judged"]

Array = NDArray[np.float64]
# A curvature this small beside the largest is zero, as far as is known.
FLAT = 1e-10
# How far along a neutral direction a curve of fixed points is sought, beside |x| (or 1 at the origin).
ALONG = 1e-3


def exact_gradient(objective: Objective, x: Array) -> list[Any] | None:
    """grad f at x (d,) in forty digits, of any exponent; None without a formula."""
    if objective.formula is None:
        return None
    with mpmath.workdps(40):
        return objective.mpmath_gradient([mpmath.mpf(float(c)) for c in x])


def judged(descent: DescentMap, orbit: Orbit) -> tuple[bool | None, str]:
    """Whether runs that start near an orbit stay near it, None where its multipliers do not say; and why, in words.

    At a fixed point by the curvatures h of f, 0 < s h < 2 (with momentum `stability_threshold`), which are known
    relative to each other however small s is; on a cycle by the moduli of the multipliers."""
    if orbit.period > 1:
        return _by_moduli(descent, orbit)
    h = np.linalg.eigvalsh(descent.objective.hessian(descent.position(orbit.points))[:, :, 0])
    largest = float(abs(h).max())
    most, limit = stability_threshold(descent.momentum, nesterov=descent.nesterov), descent.limit_in_words
    if descent.learning_rate * h[-1] > most + NEUTRAL:
        return False, f"unstable: the sharpness {h[-1]:.6g} is above {limit} = {descent.sharpness_limit:.6g}"
    if h[0] < -FLAT * largest:
        return False, f"unstable: a {'maximum' if h[-1] < 0 else 'saddle'} of f"
    if h[0] > FLAT * largest and descent.learning_rate * h[-1] < most - NEUTRAL:
        return True, f"a minimum, and its sharpness is below {limit}"
    return _neutral(descent, orbit)


def _by_moduli(descent: DescentMap, orbit: Orbit) -> tuple[bool | None, str]:
    largest = float(abs(orbit.multipliers[0]))
    if largest > 1 + NEUTRAL:
        return False, f"unstable: a multiplier has modulus {largest:.9g}"
    if orbit.neutral == 0:
        return True, f"the largest multiplier has modulus {largest:.9g}"
    return _neutral(descent, orbit)


def _neutral(descent: DescentMap, orbit: Orbit) -> tuple[bool | None, str]:
    """Orbits that fill a curve or surface are stable together; at a bifurcation multipliers do not say."""
    count = orbit.neutral
    if all(_goes_on(descent, orbit, v) for v in _neutral_directions(descent, orbit).T):
        return True, f"one of many: such orbits fill a set of dimension {max(count, 1)}, and attract across it"
    return None, "a multiplier of modulus 1 to rounding: higher derivatives decide whether it is stable"


def _neutral_directions(descent: DescentMap, orbit: Orbit) -> Array:
    """Directions (d, m) in which (F^p)' is the identity, at the first point of the orbit; zero if it is minus that."""
    product = np.eye(descent.dimension)
    for i in range(orbit.period):
        product = descent.jacobian(orbit.points[:, i]) @ product
    values, vectors = np.linalg.eig(product)
    neutral = abs(abs(values) - 1) <= NEUTRAL
    kept = np.real(vectors[:, neutral])
    kept[:, abs(values[neutral] - 1) > 0.5] = 0.0
    return kept


def _goes_on(descent: DescentMap, orbit: Orbit, v: Array) -> bool:
    """Whether there is another orbit a little way along v, as neutral as this one."""
    if not v.any():
        return False
    size = float(abs(orbit.points).max()) or 1.0
    for sign in (1.0, -1.0):
        guess = np.empty_like(orbit.points)
        step = sign * ALONG * size * v
        for i in range(orbit.period):
            guess[:, i] = orbit.points[:, i] + step
            step = descent.jacobian(orbit.points[:, i]) @ step
        other = polish(descent, guess)
        if other is None or other.period != orbit.period or other.neutral < orbit.neutral:
            return False
        moved = float((other.points - orbit.points)[:, 0] @ v) * sign
        if not 0.5 * ALONG * size < moved < 2 * ALONG * size:
            return False
    return True
