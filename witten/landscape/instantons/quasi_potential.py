"""The quasi-potential of noise with a covariance, by paths of least action.

    V(m, z) = min over paths of  int |x'|_L |b|_L - x' . L b,   b = -grad f,  L = Sigma^{-1},  |v|_L^2 = v . L v

is what 2 (f(z) - f(m)) is for unit noise: paths leave a well at a rate of about e^{-V/s} [Freidlin2012]. The integral
does not depend on how fast a path is run through (geometric minimum action [Heymann2008]): images are kept equally far
apart by a penalty, since a long step would jump what is costly. Midpoint rule, extrapolated in the number of images.
What is found is an upper bound: several paths are tried, the lowest is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize

from witten.errors import ConvergenceError
from witten.noise import Covariance

__all__ = ["Instanton", "instanton"]

Array = NDArray[np.float64]
# Numbers of segments, each extrapolated with the next; and of the first tries.
SEGMENTS, FIRST = (24, 48, 96), 24
# Segments of the path found at which its action is looked at once more.
FINE = 6144
# Weight of the penalty on unequal segments, relative to the action; a longest one of so many times the shortest is none
# that it has equalised.
PENALTY, UNEQUAL = 20.0, 1.5
# On the way from isotropic noise to Sigma.
HOMOTOPY = (0.0, 0.3, 0.6, 0.85)
OPTIONS = {"maxiter": 1500, "maxfun": 3000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30}
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Instanton:
    """The path of least action from a minimum to a saddle.

    Attributes
    ----------
    points : images at equal distances, the minimum first, (d, n)
    action : V
    error : how far off the extrapolation may be; an action lower than all that were found is not in it
    others : the actions of the other paths that were tried, ascending
    """

    points: Array
    action: float
    error: float
    others: tuple[float, ...] = ()


def instanton(diffusion: Covariance, start: Array, end: Array, string: Array | None = None) -> Instanton:
    """From a minimum (d,) of f to a saddle (d,).

    >>> from witten.landscape.instantons.quasi_potential import instanton
    >>> noise = witten.noise.formula("1 + x^2").bind(witten.gallery.double_well())
    >>> print(f"{instanton(noise, np.array([-1.0]), np.array([0.0])).action:.6f}")  # 2 log 2 - 1
    0.386294

    Parameters
    ----------
    string : a path to try besides the straight one, (d, n), that of steepest descent, say

    Raises
    ------
    ConvergenceError
        where no path was found.
    """
    problem = _Problem.of(diffusion, start, end)
    straight = np.linspace(start, end, FIRST + 1, axis=1)
    tries = [straight] if string is None or start.size == 1 else [straight, _spread(string, FIRST)]
    found = [problem.relaxed(path) for path in tries]
    if start.size > 1:
        path = tries[-1]
        for share in HOMOTOPY:
            path = problem.with_share(share).relaxed(path)
        found.append(problem.relaxed(path))
    actions = [problem.action(path)[0] for path in found]
    order = np.argsort(actions)
    points, values = found[order[0]], []
    for n in SEGMENTS:
        points = problem.relaxed(_spread(points, n))
        values.append(problem.action(points)[0])
    _require_equal(points)
    before, last = ((4 * b - a) / 3 for a, b in zip(values, values[1:], strict=False))
    fine = problem.action(_spread(points, FINE))[0]  # what narrow noise between the images adds to this path
    error = abs(last - before) + abs(last - fine) + ROUNDING * last
    return Instanton(points, last, error, tuple(actions[k] for k in order[1:]))


def _require_equal(points: Array) -> None:
    lengths = np.linalg.norm(np.diff(points, axis=1), axis=0)
    if not lengths.max() <= UNEQUAL * lengths.min():
        raise ConvergenceError("no path of least action was found: its images do not stay equally far apart")


def _spread(points: Array, segments: int) -> Array:
    """The same path with so many segments of equal length."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=1), axis=0))])
    kept = np.concatenate([[True], np.diff(along) > 0])
    places = np.linspace(0.0, along[-1], segments + 1)
    return np.asarray(CubicSpline(along[kept], points[:, kept], axis=1)(places))


@dataclass(frozen=True, eq=False)
class _Problem:
    """The action between two points, for Sigma or, on the way to it, (1 - share) kappa I + share Sigma."""

    diffusion: Covariance
    start: Array
    end: Array
    kappa: float
    share: float = 1.0

    @classmethod
    def of(cls, diffusion: Covariance, start: Array, end: Array) -> _Problem:
        sigma = diffusion.sigma(np.stack([start, end], axis=1))
        return cls(diffusion, start, end, float(np.trace(sigma).mean()) / start.size)

    def with_share(self, share: float) -> _Problem:
        return _Problem(self.diffusion, self.start, self.end, self.kappa, share)

    def relaxed(self, path: Array) -> Array:
        """The nearest path of least action, its images equally far apart; coordinates and action in their own units."""
        length, size = float(np.linalg.norm(self.end - self.start)), self.action(path)[0]

        basis = _smooth_basis(path.shape[1] - 1)
        line = np.linspace(self.start, self.end, path.shape[1], axis=1)

        def points_of(flat: Array) -> Array:
            points = line.copy()
            points[:, 1:-1] += length * flat.reshape(self.start.size, -1) @ basis
            return points

        def value(flat: Array) -> tuple[float, Array]:
            points = points_of(flat)
            action, slope = self.action(points)
            penalty, pull = _inequality(points / length)
            gradient = slope[:, 1:-1] * (length / size) + pull[:, 1:-1]
            return action / size + penalty, (gradient @ basis.T).ravel()

        first = np.linalg.solve(basis.T, (path - line)[:, 1:-1].T / length).T
        found = minimize(value, first.ravel(), jac=True, method="L-BFGS-B", options=OPTIONS)
        if not np.isfinite(found.fun):
            raise ConvergenceError("no path of least action was found: the noise is degenerate on the way")
        return points_of(found.x)

    def action(self, points: Array) -> tuple[float, Array]:
        """By the midpoint rule, and its derivatives by the images, (d, n)."""
        step, x = np.diff(points, axis=1), (points[:, 1:] + points[:, :-1]) / 2
        f, eye = self.diffusion.objective, np.eye(len(x))[:, :, None]
        sigma = self.share * self.diffusion.sigma(x) + (1 - self.share) * self.kappa * eye
        slopes = self.share * self.diffusion.slopes(x)
        b, jacobian = -f.gradient(x), -f.piecewise_hessian(x)
        inverse = np.moveaxis(np.linalg.inv(np.moveaxis(sigma, 2, 0)), 0, 2)
        u, w = (np.einsum("ijn,jn->in", inverse, v) for v in (step, b))
        alpha, beta, gamma = (step * u).sum(axis=0), (b * w).sum(axis=0), (step * w).sum(axis=0)
        ratio = np.sqrt(beta / alpha)
        by_step = ratio * u - w
        by_alpha, by_beta, by_gamma = (
            -np.einsum("in,ijkn,jn->kn", p, slopes, q) for p, q in ((u, u), (w, w), (u, w))
        )
        by_beta = by_beta + 2 * np.einsum("in,ikn->kn", w, jacobian)
        by_gamma = by_gamma + np.einsum("in,ikn->kn", u, jacobian)
        by_x = 0.5 * (ratio * by_alpha + by_beta / ratio) - by_gamma
        out = np.zeros(points.shape)
        out[:, 1:] += by_x / 2 + by_step
        out[:, :-1] += by_x / 2 - by_step
        return float((np.sqrt(alpha * beta) - gamma).sum()), out


@lru_cache(maxsize=8)
def _smooth_basis(n: int) -> Array:
    """Sines on the n - 1 inner images, rows of modes, each over the root of its eigenvalue of -d^2/dalpha^2: in their
    coefficients the second derivatives of an action are about as large for all modes."""
    k = np.arange(1, n)
    eigenvalues = 4 * n**2 * np.sin(np.pi * k / (2 * n)) ** 2
    return np.asarray(np.sqrt(2 / eigenvalues)[:, None] * np.sin(np.pi * np.outer(k, k) / n))


def _inequality(points: Array) -> tuple[float, Array]:
    """N sum (l_i - mean)^2/mean of the squared lengths of segments, times a weight, and its derivatives."""
    step = np.diff(points, axis=1)
    squares = (step**2).sum(axis=0)
    mean, n = squares.mean(), squares.size
    away = squares - mean
    value = PENALTY * n * float((away**2).sum() / mean)
    by_square = PENALTY * n * (2 * away / mean - (away**2).sum() / (n * mean**2))
    by_step = 2 * by_square * step
    out = np.zeros(points.shape)
    out[:, 1:] += by_step
    out[:, :-1] -= by_step
    return value, out
