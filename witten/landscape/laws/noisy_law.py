"""The Eyring-Kramers law under noise with a covariance: rates of leaving wells from quasi-potentials and prefactors.

    k_{m -> z} = (lambda+/2 pi) sqrt(det P_m/|det P_z|) (C_z/C_m) e^{-V/s}

V the action of the path of least action from m to z (`quasi_potential`), lambda+ the positive eigenvalue of Db(z),
b = -grad f, P = Hess V, C what multiplies e^{-V/s} in the stationary density (`instantons.prefactor`). The rates are
those of the chain with these k, times 1 + O(s) ([Bouchet2016])."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import mpmath
import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.landscape.critical.critical_point import CriticalPoint
from witten.landscape.critical.saddle_connections import descent_paths
from witten.landscape.instantons.prefactor import log_prefactor
from witten.landscape.instantons.quasi_potential import Instanton, instanton
from witten.landscape.instantons.tube import Tube
from witten.landscape.landscape import Landscape
from witten.landscape.laws.first_order import first_order
from witten.noise import Covariance, Diffusion

__all__ = ["Exit", "exits", "first_order_size", "limiting_law", "noisy_log_rates"]

Array = NDArray[np.float64]
# What is left out, of first order in s: so many times the anharmonicity of f, and what Sigma varies, at both ends.
LEFT_OUT = 2.0


@dataclass(frozen=True, eq=False)
class Exit:
    """Leaving a well over a saddle, at the rate e^{log_prefactor - action/s} (1 + O(s)).

    Attributes
    ----------
    minimum, saddle, into : their numbers, and that of the minimum on the other side
    path : the instanton, its action V and error
    log_prefactor, error : log k_0, and how far off the extrapolation to the ends of the path may be
    first_order : how large c is about, in k (1 + c s + ...): an estimate
    tube : paths beside the instanton, on which Sigma may be another than its expansion says
    """

    minimum: int
    saddle: int
    into: int
    path: Instanton
    log_prefactor: float
    error: float
    first_order: float
    tube: Tube

    @property
    def action(self) -> float:
        """V, the quasi-potential of the saddle seen from the minimum."""
        return self.path.action

    def log_rate(self, s: float) -> float:
        """log k at s."""
        return self.log_prefactor - self.action / s

    def log_error(self, s: float) -> float:
        """How far that may be off."""
        return self.path.error / s + self.error + self.first_order * s + self.tube.log_error(s)


@lru_cache(maxsize=8)
def exits(landscape: Landscape, diffusion: Diffusion) -> tuple[Exit, ...]:
    """All ways out of wells, two for each saddle between two of them.

    >>> from witten.landscape.laws.noisy_law import exits
    >>> wells = witten.describe_landscape("double-well")
    >>> left, right = exits(wells, witten.noise.formula("1 + tanh(2*x)/2").bind(wells.objective))
    >>> print(f"{left.action:.3f} {right.action:.3f}")  # f is symmetric, the wells are not
    0.805 0.368

    Raises
    ------
    RequestError
        for a drift beside -grad f, and a Sigma that is not positive definite on the way.
    ConvergenceError
        where no path of least action is found.
    """
    if diffusion.current:
        raise RequestError("there is no law for a drift beside -grad f yet; use witten gap")
    found = []
    for k, (z, strings) in enumerate(zip(landscape.saddles, descent_paths(landscape.objective, landscape.saddles),
                                         strict=True)):  # fmt: skip
        i, j = z.connects
        if i is None or j is None or i == j:
            continue
        for start, into in ((i, j), (j, i)):
            found.append(_exit(landscape, diffusion, k, start, into, strings))
    return tuple(found)


def _exit(
    landscape: Landscape, diffusion: Diffusion, number: int, start: int, into: int, strings: Sequence[Array]
) -> Exit:
    m, z = landscape.minima[start], landscape.saddles[number]
    string = min(strings, key=lambda points: float(np.linalg.norm(points[:, -1] - m.x)))
    up = np.concatenate([m.x[:, None], string[:, -2:0:-1], z.x[:, None]], axis=1)
    diffusion.require_positive(np.concatenate([np.linspace(m.x, z.x, 50, axis=1), up], axis=1))
    path = instanton(diffusion, m.x, z.x, up)
    diffusion.require_positive(path.points)
    value, error, tube = log_prefactor(diffusion, path)
    points = first_order(landscape)
    about = first_order_size(diffusion, m, points.minima[start].size)
    about += first_order_size(diffusion, z, points.saddles[number].size)
    return Exit(start, number, into, path, value, error, about, tube)


def first_order_size(diffusion: Covariance, point: CriticalPoint, anharmonicity: float) -> float:
    """What a point adds to c, roughly: T = s/2 times the largest variance, and how much Sigma varies over the width of
    the stationary density."""
    sigma = diffusion.sigma(point.x[:, None])[..., 0]
    largest = float(np.linalg.norm(sigma, 2))
    change = float(np.linalg.norm(diffusion.slopes(point.x[:, None]))) / largest
    return LEFT_OUT * largest / 2 * (anharmonicity + change**2 / float(abs(point.curvatures).min()))


def noisy_log_rates(ways: Sequence[Exit], count: int, s: float) -> tuple[Array, Array]:
    """Logarithms of the rates of the chain on `count` wells, by real part, ascending, and how far they may be off.

    That of two wells is a sum of all k; others are quotients of sums of products, in which 2 count - 3 differ."""
    logs, errors = (np.array(each) for each in zip(*((way.log_rate(s), way.log_error(s)) for way in ways), strict=True))
    if count == 2:
        total, highest = np.logaddexp.reduce(logs), np.logaddexp.reduce(logs + errors)
        return np.array([total]), np.array([max(highest - total, total - np.logaddexp.reduce(logs - errors))])
    joined = {(way.minimum, way.into): -math.inf for way in ways}
    for way, log in zip(ways, logs, strict=True):
        joined[way.minimum, way.into] = float(np.logaddexp(joined[way.minimum, way.into], log))
    return _chain_rates(joined, count), np.full(count - 1, (2 * count - 3) * errors.max())


def _chain_rates(logs: dict[tuple[int, int], float], count: int) -> Array:
    """Logarithms of the eigenvalues of -Q but the zero, in as many digits as the rates are apart."""
    spread = max(logs.values()) - min(logs.values())
    with mpmath.workdps(30 + int(count * spread / math.log(10))):
        generator = mpmath.zeros(count)
        for (i, j), value in logs.items():
            generator[i, j] -= mpmath.exp(value)
            generator[i, i] += mpmath.exp(value)
        values = sorted(mpmath.re(each) for each in mpmath.eig(generator, left=False, right=False))
        return np.array([float(mpmath.log(each)) for each in values[1:]])


def limiting_law(ways: Sequence[Exit], count: int) -> tuple[float, float]:
    """(V, a) of the smallest rate, a e^{-V/s} as s -> 0."""
    s = min(way.action for way in ways) / 500
    one, two = (float(noisy_log_rates(ways, count, each)[0][0]) for each in (s, s / 2))
    action = (one - two) * s
    return action, math.exp(one + action / s)
