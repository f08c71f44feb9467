"""The valleys of f that lead to infinity, wherever they turn: minimisers of f on spheres, followed outwards.

At a radius where valleys are still wide, Newton's method on the sphere takes many starts to its local minimisers; each
is then followed from sphere to sphere by extrapolation, so that a valley is not lost however narrow it becomes. Along
it the averaged dynamics are those of a line: of the arc l and the free energy

    F = f - (s/2) sum log w_i,

w_i the widths across, at which f is higher by s: a valley that narrows drives outwards less than f does, and one that
widens more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.objectives.objective import Objective

__all__ = ["Valley", "valleys"]

Array = NDArray[np.float64]
# Spheres from which valleys are followed, in units of length; the factor from one to the next; and how far.
FIRST, FACTOR, LAST = (3.0, 30.0), 1.1, {True: 1e6, False: 1e4}
STARTS, FOLLOWED = 240, 16
NEWTON, SETTLING = 6, 40
# Differences of f below this part of it are rounding.
ROUNDING = 1e-14
# Valleys narrower than this part of the distance are lost in the rounding of x.
NARROWEST = 1e-13


@dataclass(frozen=True, eq=False)
class Valley:
    """Points of one valley at growing distance from the centre.

    Attributes
    ----------
    x : points, shape (d, n)
    r : their distances from the centre, shape (n,)
    across : orthonormal directions tangent to the sphere at each, shape (n, d, d - 1)
    """

    x: Array
    r: Array
    across: Array

    @property
    def arc(self) -> Array:
        """The length of the way from the first point, shape (n,)."""
        return np.append(0.0, np.linalg.norm(np.diff(self.x, axis=1), axis=0).cumsum())

    def free_energy(self, objective: Objective, s: float, widths: Array) -> Array:
        """F at the points, of which the widths at s are known, shape (n,)."""
        with np.errstate(all="ignore"):
            f = objective(self.x)
        return np.asarray(f - 0.5 * s * np.log(widths).sum(axis=0))

    def widths(self, objective: Objective, centre: Array, s: float) -> Array:
        """How far f stays below f(x) + s across the valley, on the sphere, at most r each; shape (d - 1, n)."""
        with np.errstate(all="ignore"):
            f = np.asarray(objective(self.x))
            out = [self._width(objective, centre, f + s, self.across[:, :, i].T) for i in range(self.across.shape[2])]
        return np.array(out).reshape(self.across.shape[2], self.r.size)

    def _width(self, objective: Objective, centre: Array, level: Array, direction: Array) -> Array:
        """Both sides together, by bisection of the logarithm of the angle."""
        total = np.zeros_like(self.r)
        outward = (self.x - centre[:, None]) / self.r
        for side in (-1.0, 1.0):
            low, high = np.full(self.r.size, np.log(NARROWEST)), np.zeros(self.r.size)
            for _ in range(40):
                angle = np.exp((low + high) / 2)
                y = centre[:, None] + self.r * (np.cos(angle) * outward + side * np.sin(angle) * direction)
                below = ~(objective(y) > level)
                low, high = np.where(below, (low + high) / 2, low), np.where(below, high, (low + high) / 2)
            total += self.r * np.exp(low)
        return np.asarray(np.minimum(total, self.r))


def valleys(objective: Objective, centre: Array, unit: float) -> list[Valley]:
    """The valleys that are seen from the centre, in two or more dimensions, as far as f is finite.

    Each reaches over at least two decades, or to where f overflows."""
    found: list[Valley] = []
    for first in FIRST:
        found += _followed(objective, centre, first * unit, LAST[objective.formula is not None] * unit, found)
    return found


def _followed(objective: Objective, centre: Array, first: float, last: float, known: list[Valley]) -> list[Valley]:
    u = _spread(objective.dimension)
    u, _, _ = _settled(objective, centre, first, u, SETTLING)
    u = u[:, _distinct(objective, centre, first, u)][:, :FOLLOWED]
    if not u.size:
        return []
    radii: Array = first * FACTOR ** np.arange(int(np.log(last / first) / np.log(FACTOR)) + 1.0)
    way, frames = [u], []
    for k, r in enumerate(radii):
        guess = u if k == 0 else _predicted(objective, centre, r, way)
        u, frame, finite = _settled(objective, centre, r, guess, NEWTON)
        if not finite.all():
            break
        way = [*way[-3:], u] if k else [u]
        frames.append((u, frame))
    if len(frames) < 8:
        return []
    radii = radii[: len(frames)]
    points = np.array([frame[0] for frame in frames])  # (n, d, valleys)
    ends = points[-1]
    old = [(v.x[:, -1] - centre) / v.r[-1] for v in known if v.r[-1] > 0.9 * radii[-1]]
    taken = np.array(old).T if old else np.empty((len(centre), 0))
    out: list[Valley] = []
    for i in range(ends.shape[1]):
        if taken.size and np.linalg.norm(taken - ends[:, i : i + 1], axis=0).min() < 1e-6:
            continue
        taken = np.column_stack([taken, ends[:, i]])
        x = centre[:, None] + radii * points[:, :, i].T
        out.append(Valley(x, radii, np.array([frame[1][i] for frame in frames])))
    return out


def _predicted(objective: Objective, centre: Array, r: float, way: list[Array]) -> Array:
    """Directions on the next sphere: quadratically from the last three, or straight on where that is as low."""
    if len(way) < 3:
        return way[-1]
    u = 3 * way[-1] - 3 * way[-2] + way[-3]
    u /= np.linalg.norm(u, axis=0)
    with np.errstate(all="ignore"):
        turned, straight = (objective(centre[:, None] + r * v) for v in (u, way[-1]))
        return np.where(turned < straight - ROUNDING * abs(straight), u, way[-1])


def _settled(
    objective: Objective, centre: Array, r: float, u: Array, steps: int
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Local minimisers of f(c + r u) on the unit sphere, from starts u (d, n); directions across (n, d, d - 1), along
    the axes of the Hessian on the sphere; and where f and its derivatives are finite.

    Newton's method with the moduli of the curvatures, which only descends; a step that does not is shortened. On kinks
    a search by shrinking steps goes on."""
    c = centre[:, None]
    u = u / np.linalg.norm(u, axis=0)
    with np.errstate(all="ignore"):
        f = np.asarray(objective(c + r * u), dtype=float)
        reach = np.full(u.shape[1], 0.3)
        for _ in range(steps):
            slope, curvatures, axes = _on_sphere(objective, c, r, u)
            along = np.einsum("nia,in->na", axes, slope)
            step = -along / np.maximum(abs(curvatures), 1e-300)
            step *= np.minimum(1.0, reach * r / np.maximum(np.linalg.norm(step, axis=1), 1e-300))[:, None]
            move = np.einsum("nia,na->in", axes, step) / r
            new = u + np.where(np.isfinite(move), move, 0.0)
            new /= np.linalg.norm(new, axis=0)
            there = np.asarray(objective(c + r * new), dtype=float)
            better = there < f - ROUNDING * abs(f)
            u, f = np.where(better, new, u), np.where(better, there, f)
            reach = np.where(better, np.minimum(2 * reach, 0.3), 0.25 * np.minimum(reach, np.linalg.norm(move, axis=0)))
            if not better.any() and (reach < 1e-9).all():
                break
        if _has_kinks(objective):
            u, f = _searched(objective, c, r, u, f, axes)
        _, curvatures, axes = _on_sphere(objective, c, r, u)
    finite = np.isfinite(f) & np.isfinite(curvatures).all(axis=1)
    return u, axes, finite


def _on_sphere(objective: Objective, c: Array, r: float, u: Array) -> tuple[Array, Array, Array]:
    """grad f along the sphere (d, n); curvatures of f on it (n, d - 1) and their axes (n, d, d - 1)."""
    x = c + r * u
    g = objective.gradient(x)
    h = np.moveaxis(objective.piecewise_hessian(x), 2, 0)
    radial = (u * g).sum(axis=0)
    tangent = np.eye(len(u)) - np.einsum("in,jn->nij", u, u)
    finite = np.isfinite(h).all(axis=(1, 2)) & np.isfinite(g).all(axis=0)
    h = np.where(finite[:, None, None], h, 0.0)
    on = tangent @ h @ tangent - np.where(finite, radial / r, 0.0)[:, None, None] * tangent
    size = abs(on).max(axis=(1, 2)) + 1e-300
    # The normal is made the last of the axes by a curvature larger than all others.
    values, vectors = np.linalg.eigh(on / size[:, None, None] + 4 * len(u) * np.einsum("in,jn->nij", u, u))
    values = np.where(finite[:, None], values * size[:, None], np.nan)
    return g - radial * u, values[:, :-1], vectors[:, :, :-1]


def _has_kinks(objective: Objective) -> bool:
    return objective.formula is not None and bool(objective.derivatives.kinks)


def _searched(objective: Objective, c: Array, r: float, u: Array, f: Array, axes: Array) -> tuple[Array, Array]:
    """Steps along the axes, halved where none of them descends."""
    size = np.full(u.shape[1], 1e-2)
    for _ in range(120):
        moved = np.zeros(u.shape[1], dtype=bool)
        for a in range(axes.shape[2]):
            for side in (-1.0, 1.0):
                new = u + side * size * axes[:, :, a].T
                new /= np.linalg.norm(new, axis=0)
                there = np.asarray(objective(c + r * new), dtype=float)
                better = there < f
                u, f, moved = np.where(better, new, u), np.where(better, there, f), moved | better
        size = np.where(moved, 1.5 * size, 0.4 * size)
        if (size < 1e-13).all():
            break
    return u, f


def _distinct(objective: Objective, centre: Array, r: float, u: Array) -> NDArray[np.int64]:
    """One of each set of directions that are the same, the lowest f first."""
    with np.errstate(all="ignore"):
        f = np.asarray(objective(centre[:, None] + r * u), dtype=float)
    kept: list[int] = []
    for i in np.argsort(np.where(np.isfinite(f), f, np.inf), kind="stable"):
        if np.isfinite(f[i]) and all(np.linalg.norm(u[:, i] - u[:, j]) > 1e-3 for j in kept):
            kept.append(int(i))
        if len(kept) == FOLLOWED:
            break
    return np.array(kept, dtype=np.int64)


def _spread(dimension: int) -> Array:
    """Unit vectors (d, n): equally spaced in two dimensions, at random above."""
    if dimension == 2:
        angles = 2 * np.pi * (np.arange(STARTS) + 0.37) / STARTS
        return np.array([np.cos(angles), np.sin(angles)])
    some = np.random.default_rng(0).normal(size=(dimension, STARTS))
    return np.asarray(some / np.linalg.norm(some, axis=0))
