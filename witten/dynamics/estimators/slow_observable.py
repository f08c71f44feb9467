"""The slowest observable of simulated paths, found from the data: a variational estimate with held-out scoring.

Among the functions u = sum_a c_a chi_a of mean 0, the one whose correlation over a lag is largest,

    C(tau) c = rho C(0) c,   C(tau)_ab = <chi_a(X_t) chi_b(X_{t+tau})>,

is nearest to the slowest mode of the generator [Noe2013]. chi are the coordinates and Gaussians around points that
paths have visited. How many Gaussians is decided on paths that the coefficients have not seen: there the largest rho
wins, and too many functions lose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from witten.dynamics.paths.gradient_kernels import exponential

__all__ = ["SlowMode", "correlation", "rough_mode", "slow_directions", "slow_mode"]

Array = NDArray[np.float64]
# How many Gaussians are tried.
SIZES, ROUGH = (0, 8, 16, 32, 48), 12
# Points that Gaussians are put around are chosen among so many; pairs of points that a fit looks at.
CANDIDATES, PAIRS = 2000, 10_000
# Combinations of functions whose variance is below this part of the largest are left out.
NEGLIGIBLE = 1e-9
# Of more coordinates than this, the slowest are taken before their best combinations are looked for.
COORDINATES, DIRECTIONS = 64, 3


@dataclass(frozen=True, eq=False)
class SlowMode:
    """u(x) = offset + slope . P x + sum_q c_q exp(-|P x - y_q|^2/(2 w^2)), P x in units of its deviation.

    Attributes
    ----------
    projection : P, shape (p, d)
    middle, scale : of P x, shape (p,)
    centres, width : y_q, shape (q, p), and w
    coefficients : of 1, the coordinates and the Gaussians, shape (1 + p + q,)
    score : correlation over the lag on paths that the fit has not seen
    """

    projection: Array
    middle: Array
    scale: Array
    centres: Array
    width: float
    coefficients: Array
    score: float = math.nan

    @property
    def about(self) -> str:
        """What u is made of, and how well it was found to correlate."""
        p, q = len(self.projection), len(self.centres)
        made = f"{p} coordinate{'s' if p > 1 else ''}" + (f" and {q} Gaussians" if q else "")
        return f"{made}, held-out correlation {self.score:.3f}"

    def __call__(self, x: Array) -> Array:
        """u at points (..., d, n), shape (..., n)."""
        with np.errstate(all="ignore"):  # paths that have diverged
            return np.asarray(np.einsum("a,a...->...", self.coefficients, self.features(x)))

    def coordinates(self, x: Array) -> Array:
        """P x, in units of its deviation, at points (..., d, n), shape (p, ..., n)."""
        y = np.einsum("pd,...dn->p...n", self.projection, x)
        return np.asarray((y - _column(self.middle, y)) / _column(self.scale, y))

    def features(self, x: Array) -> Array:
        """1, the coordinates and the Gaussians at points (..., d, n), shape (1 + p + q, ..., n)."""
        y = self.coordinates(x)
        # Sizes are spelled out: a rank may have no paths.
        flat = np.ascontiguousarray(y.reshape(y.shape[0], math.prod(y.shape[1:])))
        bumps = np.empty((len(self.centres), flat.shape[1]))
        _gaussians(flat, self.centres, 0.5 / self.width**2, bumps)
        found = np.concatenate([np.ones((1, flat.shape[1])), flat, bumps])
        return found.reshape(len(found), *y.shape[1:])


def _column(values: Array, like: Array) -> Array:
    return values.reshape(-1, *(1,) * (like.ndim - 1))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gaussians(y, centres, steepness, out):  # type: ignore[no-untyped-def]
    for q in range(centres.shape[0]):
        out[q] = 0.0
        for c in range(y.shape[0]):
            for i in range(y.shape[1]):
                away = y[c, i] - centres[q, c]
                out[q, i] += away * away
        for i in range(y.shape[1]):
            out[q, i] = exponential(-steepness * out[q, i])


def slow_mode(snapshots: Array, lag: int, *, projection: Array | None = None) -> SlowMode:
    """The slowest observable of paths (k, d, n), k observations of n of them, over a lag counted in observations.

    `projection` (p, d) holds the directions it may depend on; all coordinates where left out.
    """
    d, n = snapshots.shape[1:]
    p = np.eye(d) if projection is None else projection
    half = n // 2
    first, second = snapshots[..., :half], snapshots[..., half:]
    frames = {size: _frame(snapshots, p, size) for size in SIZES}
    scores = {}
    for size, frame in frames.items():
        held_out = [correlation(_fitted(frame, a, lag)(b), lag) for a, b in ((first, second), (second, first))]
        scores[size] = float(np.mean(held_out))
    best = max(scores, key=lambda size: scores[size])
    return replace(_fitted(frames[best], snapshots, lag), score=scores[best])


def rough_mode(snapshots: Array, lag: int, *, projection: Array | None = None) -> SlowMode:
    """The same from a few Gaussians, without held-out paths: enough to tell how long paths must be."""
    p = np.eye(snapshots.shape[1]) if projection is None else projection
    return _fitted(_frame(snapshots, p, ROUGH), snapshots, lag)


def correlation(values: Array, lag: int) -> float:
    """<u(X_t) u(X_{t+lag})>/<u^2>, u of mean 0; values (k, n)."""
    u = values - values.mean()
    return float(np.mean(u[:-lag] * u[lag:]) / np.mean(u * u))


def _frame(snapshots: Array, projection: Array, size: int) -> SlowMode:
    """Functions without coefficients: Gaussians around points far from one another, as wide as their distances."""
    points = np.einsum("pd,kdn->pkn", projection, snapshots).reshape(len(projection), -1)
    middle, scale = points.mean(axis=1), np.maximum(points.std(axis=1), 1e-300)
    some = (points[:, :: max(1, points.shape[1] // CANDIDATES)] - middle[:, None]) / scale[:, None]
    centres, width = _spread(some.T, size)
    return SlowMode(projection, middle, scale, centres, width, np.zeros(1 + len(projection) + size))


def _spread(points: Array, size: int) -> tuple[Array, float]:
    """`size` of the points (n, p), each the farthest from those before it, and a width that lets them overlap."""
    if size == 0:
        return np.empty((0, points.shape[1])), 1.0
    near = np.argsort(np.sum((points - np.median(points, axis=0)) ** 2, axis=1), kind="stable")
    points = points[near[: int(0.98 * len(points))]]
    chosen = [0]
    distances = np.sum((points - points[0]) ** 2, axis=1)
    while len(chosen) < size:
        chosen.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.sum((points - points[chosen[-1]]) ** 2, axis=1))
    return np.ascontiguousarray(points[chosen]), 1.2 * math.sqrt(float(distances.max())) + 1e-3


def _fitted(frame: SlowMode, snapshots: Array, lag: int) -> SlowMode:
    """The coefficients with the largest correlation on these paths.

    They are rounded to eight digits, so that the last bits of a linear algebra library do not reach the result.
    """
    before, after = (frame.features(_some(part)) for part in (snapshots[:-lag], snapshots[lag:]))
    mean = 0.5 * (before.mean(axis=1) + after.mean(axis=1))
    a, b = before - mean[:, None], after - mean[:, None]
    norm = np.sqrt(0.5 * (np.mean(a * a, axis=1) + np.mean(b * b, axis=1)))
    norm = np.where(norm > 1e-12, norm, np.inf)
    a, b = a / norm[:, None], b / norm[:, None]
    zero = 0.5 * (_products(a, a) + _products(b, b))
    lagged = _products(a, b)
    values, vectors = np.linalg.eigh(zero)
    kept = vectors[:, values > NEGLIGIBLE * values[-1]] / np.sqrt(values[values > NEGLIGIBLE * values[-1]])
    c = kept @ np.linalg.eigh(kept.T @ (0.5 * (lagged + lagged.T)) @ kept)[1][:, -1]
    c *= np.sign(c[np.argmax(np.abs(c))])
    c = np.round(c / np.abs(c).max(), 8) / norm
    c[0] = -float(np.sum(c * mean))
    return replace(frame, coefficients=c)


def _some(snapshots: Array) -> Array:
    """Points (d, m) from snapshots (k, d, n), from all times and paths."""
    flat = np.moveaxis(snapshots, 1, 0).reshape(snapshots.shape[1], -1)
    return flat[:, :: max(1, flat.shape[1] // PAIRS)]


def _products(a: Array, b: Array) -> Array:
    """<a_i b_j>, summed in one order whatever the number of threads."""
    return np.asarray(np.einsum("in,jn->ij", a, b)) / a.shape[1]


def slow_directions(snapshots: Array, lag: int) -> Array:
    """The few linear combinations of coordinates that are slowest along paths (k, d, n), shape (p, d).

    Rounded to eight digits, for the reason that coefficients of a `SlowMode` are.
    """
    d = snapshots.shape[1]
    u = snapshots - snapshots.mean(axis=(0, 2), keepdims=True)
    scale = np.sqrt(np.mean(u * u, axis=(0, 2)))
    single = np.mean(u[:-lag] * u[lag:], axis=(0, 2)) / scale**2
    slowest = np.sort(np.argsort(-single, kind="stable")[:COORDINATES])
    v = np.moveaxis(u[:, slowest] / scale[slowest, None], 1, 0).reshape(len(slowest), len(u), -1)
    before, after = (part.reshape(len(slowest), -1) for part in (v[:, :-lag], v[:, lag:]))
    zero = 0.5 * (np.einsum("in,jn->ij", before, before) + np.einsum("in,jn->ij", after, after))
    lagged = np.einsum("in,jn->ij", before, after)
    values, vectors = np.linalg.eigh(zero)
    white = vectors[:, values > 1e-9 * values[-1]] / np.sqrt(values[values > 1e-9 * values[-1]])
    best = white @ np.linalg.eigh(white.T @ (0.5 * (lagged + lagged.T)) @ white)[1][:, ::-1][:, :DIRECTIONS]
    best *= np.sign(best[np.argmax(np.abs(best), axis=0), np.arange(best.shape[1])])
    out = np.zeros((best.shape[1], d))
    out[:, slowest] = np.round(best / np.abs(best).max(axis=0), 8).T / scale[slowest]
    return out
