"""The prefactor of leaving a well over a saddle, along the instanton.

With momentum p, H = b . p + p . Sigma p/2, P the Hessian of V and C what multiplies e^{-V/s} in the stationary density,

    dP/dt = -(H_xx + H_px^T P + P H_px + P Sigma P),   d ln C/dt = -(div b + div Sigma . p + tr(Sigma P)/2)

from P_m = Q^{-1}, Db Q + Q Db^T + Sigma = 0. Near z C/sqrt|det P| stays what it is, and is taken there: P_z itself may
be in resonance ([Bouchet2016])."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_continuous_lyapunov

from witten.errors import ConvergenceError
from witten.landscape.instantons.quasi_potential import Instanton
from witten.landscape.instantons.tube import Tube, require_resolved
from witten.noise import Covariance

__all__ = ["log_prefactor"]

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


def log_prefactor(diffusion: Covariance, path: Instanton) -> tuple[float, float, Tube]:
    """log k_0, extrapolated to the ends of the path, the last change of that, and what is beside the path."""
    places = np.linspace(0.0, 1.0, PLACES)
    along = _along_path(diffusion, path, places)
    require_resolved(diffusion, along.points)
    coefficients = CubicSpline(places, _coefficients(diffusion, path, along))
    start, end = path.points[:, :1], path.points[:, -1:]
    jacobian = -diffusion.objective.hessian(start)[..., 0]
    first = np.linalg.inv(solve_continuous_lyapunov(jacobian, -diffusion.sigma(start)[..., 0]))
    growth = float(np.linalg.eigvalsh(-diffusion.objective.hessian(end)[..., 0])[-1])
    constant = math.log(growth / (2 * math.pi)) + 0.5 * float(np.linalg.slogdet(first)[1])
    solutions = [_solved(coefficients, first, e) for e in ENDS]
    values = [constant + float(y[-1, -1] - 0.5 * np.linalg.slogdet(y[:-1, -1].reshape(first.shape))[1])
              for _, y in solutions]  # fmt: skip
    before, last = (2 * b - a for a, b in zip(values, values[1:], strict=False))
    if not math.isfinite(last):
        raise ConvergenceError(NO_PREFACTOR)
    return last, abs(last - before), _tube(diffusion, along, *solutions[0])


@dataclass(frozen=True, eq=False)
class _Along:
    """Places along an instanton: d alpha/dt, x, dx/dt and p."""

    speed: Array
    points: Array
    velocities: Array
    momenta: Array


def _along_path(diffusion: Covariance, path: Instanton, places: Array) -> _Along:
    images = CubicSpline(np.linspace(0.0, 1.0, path.points.shape[1]), path.points, axis=1)
    x, velocity = images(places), images(places, 1)
    b = -diffusion.objective.gradient(x)
    inverse = np.moveaxis(np.linalg.inv(np.moveaxis(diffusion.sigma(x), 2, 0)), 0, 2)
    speed = np.sqrt(_form(inverse, b, b) / _form(inverse, velocity, velocity))
    p = np.einsum("ijn,jn->in", inverse, velocity * speed - b)
    return _Along(speed, x, velocity * speed, p)


def _coefficients(diffusion: Covariance, path: Instanton, along: _Along) -> Array:
    """At places alpha: d alpha/dt, div b + div Sigma . p, H_xx, H_px and Sigma, as rows, (n, 2 + 3 d^2)."""
    x, p, jacobian = along.points, along.momenta, -diffusion.objective.hessian(along.points)
    sigma, slopes = diffusion.sigma(x), diffusion.slopes(x)
    source = np.trace(jacobian) + np.einsum("ijjn,in->n", slopes, p)
    h_xx = _third(diffusion, x, p, path) + 0.5 * np.einsum("ijkln,in,jn->kln", diffusion.bends(x), p, p)
    h_px = jacobian + np.einsum("ijkn,jn->ikn", slopes, p)
    rows = [along.speed[None], source[None], *(each.reshape(-1, p.shape[1]) for each in (h_xx, h_px, sigma))]
    return np.concatenate(rows).T


def _tube(diffusion: Covariance, along: _Along, alpha: Array, solution: Array) -> Tube:
    """From P at places alpha that are some of those of the path."""
    places, d = np.linspace(0.0, 1.0, along.speed.size), len(along.points)
    inner = np.isin(places, alpha)
    times = 1 / (along.speed[inner] * (places.size - 1))
    hessians = solution[:-1].reshape(d, d, -1)[..., np.isin(alpha, places)]
    return Tube(diffusion, along.points[:, inner], along.momenta[:, inner], hessians, along.velocities[:, inner], times)


def _form(matrix: Array, v: Array, w: Array) -> Array:
    return np.asarray(np.einsum("ijn,in,jn->n", matrix, v, w))


def _third(diffusion: Covariance, x: Array, p: Array, path: Instanton) -> Array:
    """-D^3 f[p] at points (d, n), by differences of the Hessian, (d, d, n)."""
    f, sizes = diffusion.objective, np.linalg.norm(p, axis=0)
    length = float(np.linalg.norm(np.diff(path.points, axis=1), axis=0).sum())
    step = DIFFERENCE * length * p / np.where(sizes > 0, sizes, 1.0)
    return -(f.hessian(x + step) - f.hessian(x - step)) * sizes / (2 * DIFFERENCE * length)


def _solved(coefficients: CubicSpline, first: Array, end: float) -> tuple[Array, Array]:
    """Places from end to 1 - end, and P and ln C there, (d^2 + 1, n), from P = P_m and C = 1 at end."""
    d, calls = len(first), count()

    def slope(alpha: float, y: Array) -> Array:
        if next(calls) > MOST_CALLS or not np.isfinite(y).all():
            raise ConvergenceError(NO_PREFACTOR)
        row = coefficients(alpha)
        p = y[:-1].reshape(d, d)
        h_xx, h_px, sigma = row[2:].reshape(3, d, d)
        change = -(h_xx + h_px.T @ p + p @ h_px + p @ sigma @ p)
        return np.append(change.ravel(), -(row[1] + 0.5 * np.trace(sigma @ p))) / row[0]

    places = np.linspace(0.0, 1.0, PLACES)
    places = np.concatenate([[end], places[(end < places) & (places < 1 - end)], [1 - end]])
    found = solve_ivp(slope, (end, 1 - end), np.append(first.ravel(), 0.0), method="LSODA", t_eval=places, **TOLERANCES)
    if not found.success:
        raise ConvergenceError(NO_PREFACTOR)
    return places, np.asarray(found.y)
