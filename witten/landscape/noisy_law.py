"""The Eyring-Kramers law under noise with a covariance: rates of leaving wells from quasi-potentials and prefactors.

    k_{m -> z} = (lambda+/2 pi) sqrt(det P_m/|det P_z|) (C_z/C_m) e^{-V/s}

V the action of the path of least action from m to z, lambda+ the positive eigenvalue of Db(z), b = -grad f, P = Hess
V, C what multiplies e^{-V/s} in the stationary density. Along the path, with momentum p and H = b . p + p . Sigma p/2,

    dP/dt = -(H_xx + H_px^T P + P H_px + P Sigma P),   d ln C/dt = -(div b + div Sigma . p + tr(Sigma P)/2)

from P_m = Q^{-1}, Db Q + Q Db^T + Sigma = 0. Near z C/sqrt|det P| stays what it is, and is taken there: P_z itself may
be in resonance ([Bouchet2016]). The rates are those of the chain with these k, times 1 + O(s)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import mpmath
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_continuous_lyapunov

from witten.errors import ConvergenceError, RequestError
from witten.landscape.critical_point import CriticalPoint
from witten.landscape.first_order import PointExpansion, first_order
from witten.landscape.landscape import Landscape
from witten.landscape.quasi_potential import Instanton, instanton
from witten.landscape.saddle_connections import descent_paths
from witten.noise import Diffusion

__all__ = ["Exit", "exits", "limiting_law", "noisy_log_rates"]

Array = NDArray[np.float64]
# Which part of a path is left out at either end, the next half of the one before; and the step, over the length of the
# path, by which Hessians of f are differentiated.
ENDS, DIFFERENCE = (0.06, 0.03, 0.015), 1e-4
# Places along a path where coefficients are evaluated.
PLACES = 401
TOLERANCES = {"rtol": 1e-8, "atol": 1e-10}
# Evaluations beyond which the Riccati equation is taken to blow up, or to be too stiff.
MOST_CALLS = 50_000
NO_PREFACTOR = "no prefactor was found: the quasi-potential has a caustic on the way, or bends much; use witten gap"
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
    """

    minimum: int
    saddle: int
    into: int
    path: Instanton
    log_prefactor: float
    error: float
    first_order: float

    @property
    def action(self) -> float:
        """V, the quasi-potential of the saddle seen from the minimum."""
        return self.path.action

    def log_rate(self, s: float) -> float:
        """log k at s."""
        return self.log_prefactor - self.action / s

    def log_error(self, s: float) -> float:
        """How far that may be off."""
        return self.path.error / s + self.error + self.first_order * s


@lru_cache(maxsize=8)
def exits(landscape: Landscape, diffusion: Diffusion) -> tuple[Exit, ...]:
    """All ways out of wells, two for each saddle between two of them.

    >>> from witten.landscape.noisy_law import exits
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
    value, error = _log_prefactor(diffusion, path)
    points = first_order(landscape)
    about = _left_out(diffusion, m, points.minima[start]) + _left_out(diffusion, z, points.saddles[number])
    return Exit(start, number, into, path, value, error, LEFT_OUT * about)


def _left_out(diffusion: Diffusion, point: CriticalPoint, expansion: PointExpansion) -> float:
    """What a point adds to c, roughly: T = s/2 times the largest variance, and how much Sigma varies over the width of
    the stationary density."""
    sigma = diffusion.sigma(point.x[:, None])[..., 0]
    largest = float(np.linalg.norm(sigma, 2))
    change = float(np.linalg.norm(diffusion.slopes(point.x[:, None]))) / largest
    return largest / 2 * (expansion.size + change**2 / float(abs(point.curvatures).min()))


def _log_prefactor(diffusion: Diffusion, path: Instanton) -> tuple[float, float]:
    """log k_0, extrapolated to the ends of the path, and the last change of that."""
    places = np.linspace(0.0, 1.0, PLACES)
    coefficients = CubicSpline(places, _coefficients(diffusion, path, places))
    start, end = path.points[:, :1], path.points[:, -1:]
    jacobian = -diffusion.objective.hessian(start)[..., 0]
    first = np.linalg.inv(solve_continuous_lyapunov(jacobian, -diffusion.sigma(start)[..., 0]))
    growth = float(np.linalg.eigvalsh(-diffusion.objective.hessian(end)[..., 0])[-1])
    constant = math.log(growth / (2 * math.pi)) + 0.5 * float(np.linalg.slogdet(first)[1])
    values = [constant + _along(coefficients, first, e) for e in ENDS]
    before, last = (2 * b - a for a, b in zip(values, values[1:], strict=False))
    if not math.isfinite(last):
        raise ConvergenceError(NO_PREFACTOR)
    return last, abs(last - before)


def _coefficients(diffusion: Diffusion, path: Instanton, places: Array) -> Array:
    """At places alpha: d alpha/dt, div b + div Sigma . p, H_xx, H_px and Sigma, as rows, (n, 2 + 3 d^2)."""
    f, images = diffusion.objective, CubicSpline(np.linspace(0.0, 1.0, path.points.shape[1]), path.points, axis=1)
    x, velocity = images(places), images(places, 1)
    sigma, slopes = diffusion.sigma(x), diffusion.slopes(x)
    b, jacobian = -f.gradient(x), -f.hessian(x)
    inverse = np.moveaxis(np.linalg.inv(np.moveaxis(sigma, 2, 0)), 0, 2)
    speed = np.sqrt(_form(inverse, b, b) / _form(inverse, velocity, velocity))
    p = np.einsum("ijn,jn->in", inverse, velocity * speed - b)
    source = np.trace(jacobian) + np.einsum("ijjn,in->n", slopes, p)
    h_xx = _third(diffusion, x, p, path) + 0.5 * np.einsum("ijkln,in,jn->kln", diffusion.bends(x), p, p)
    h_px = jacobian + np.einsum("ijkn,jn->ikn", slopes, p)
    rows = [speed[None], source[None], *(each.reshape(-1, places.size) for each in (h_xx, h_px, sigma))]
    return np.concatenate(rows).T


def _form(matrix: Array, v: Array, w: Array) -> Array:
    return np.asarray(np.einsum("ijn,in,jn->n", matrix, v, w))


def _third(diffusion: Diffusion, x: Array, p: Array, path: Instanton) -> Array:
    """-D^3 f[p] at points (d, n), by differences of the Hessian, (d, d, n)."""
    f, sizes = diffusion.objective, np.linalg.norm(p, axis=0)
    length = float(np.linalg.norm(np.diff(path.points, axis=1), axis=0).sum())
    step = DIFFERENCE * length * p / np.where(sizes > 0, sizes, 1.0)
    return -(f.hessian(x + step) - f.hessian(x - step)) * sizes / (2 * DIFFERENCE * length)


def _along(coefficients: CubicSpline, first: Array, end: float) -> float:
    """ln C - ln|det P|/2 at 1 - end, from P = P_m and C = 1 at end."""
    d, calls = len(first), count()

    def slope(alpha: float, y: Array) -> Array:
        if next(calls) > MOST_CALLS or not np.isfinite(y).all():
            raise ConvergenceError(NO_PREFACTOR)
        row = coefficients(alpha)
        p = y[:-1].reshape(d, d)
        h_xx, h_px, sigma = row[2:].reshape(3, d, d)
        change = -(h_xx + h_px.T @ p + p @ h_px + p @ sigma @ p)
        return np.append(change.ravel(), -(row[1] + 0.5 * np.trace(sigma @ p))) / row[0]

    found = solve_ivp(slope, (end, 1 - end), np.append(first.ravel(), 0.0), method="LSODA", **TOLERANCES)
    if not found.success:
        return math.nan
    return float(found.y[-1, -1] - 0.5 * np.linalg.slogdet(found.y[:-1, -1].reshape(d, d))[1])


def noisy_log_rates(ways: Sequence[Exit], count: int, s: float) -> tuple[Array, Array]:
    """Logarithms of the rates of the chain on `count` wells, by real part, ascending, and how far they may be off.

    Each rate is a quotient of sums of products of k, in which at most 2 count - 3 of them differ."""
    logs = {(way.minimum, way.into): [] for way in ways}  # type: ignore[var-annotated]
    for way in ways:
        logs[way.minimum, way.into].append(way.log_rate(s))
    joined = {pair: float(np.logaddexp.reduce(each)) for pair, each in logs.items()}
    error = (2 * count - 3) * max(way.log_error(s) for way in ways)
    return _chain_rates(joined, count), np.full(count - 1, error)


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
