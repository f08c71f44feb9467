"""Critical points: Newton's method to the last digit, the Morse index, and what is degenerate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.topography.scaled_coordinates import Units

__all__ = ["CriticalPoint", "by_value", "critical_points_at", "distinct", "gradients", "hessians", "inside_of",
           "joined", "polished"]  # fmt: skip

Array = NDArray[np.float64]
# A curvature this small beside those nearby counts as zero, where nothing has been proved: with derivatives from a
# formula, and with numerical ones.
FLAT = {True: 1e-8, False: 1e-5}
# Points closer than this, relative to 1 + |x|, are one point.
SAME = 1e-6


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """A zero of grad f.

    Attributes
    ----------
    x : where, shape (d,)
    value : f(x)
    curvatures : eigenvalues of Hess f(x), ascending, shape (d,); nan on a kink
    degenerate : whether one of them is zero, or the point lies on a kink: not Morse
    """

    x: Array
    value: float
    curvatures: Array
    degenerate: bool = False

    @cached_property
    def index(self) -> int:
        """The Morse index: the number of negative curvatures (those that are zero do not count)."""
        return int(np.count_nonzero(self.curvatures < (-self.flat if self.degenerate else 0.0)))

    @cached_property
    def log_det(self) -> float:
        """log |det Hess f(x)|."""
        with np.errstate(divide="ignore"):
            return float(np.sum(np.log(np.abs(self.curvatures))))

    @property
    def flat(self) -> float:
        """What counts as zero among the curvatures of a degenerate point."""
        return 1e-4 * float(np.max(np.abs(self.curvatures), initial=0.0))

    def into(self, units: Units) -> CriticalPoint:
        """The same point of f in these units."""
        x = units.into(self.x[:, None])[:, 0]
        return CriticalPoint(x, self.value, self.curvatures * units.length**2, self.degenerate)

    def out_of(self, units: Units) -> CriticalPoint:
        """The point of f, where this one is of f in these units."""
        x = units.out(self.x[:, None])[:, 0]
        return CriticalPoint(x, self.value, self.curvatures / units.length**2, self.degenerate)


def joined(points: Sequence[CriticalPoint]) -> Array:
    """Their coordinates, (d, n)."""
    return np.stack([point.x for point in points], axis=1)


def by_value(point: CriticalPoint) -> tuple[float, ...]:
    """A key to sort by: the value, of equal ones the coordinates from the first on."""
    return (float(f"{point.value:.9g}"), *np.round(point.x, 9).tolist())


def inside_of(x: Array, corners: Array) -> NDArray[np.bool_]:
    """Which points (d, n) lie between two corners (2, d)."""
    return np.all((x >= corners[0][:, None]) & (x <= corners[1][:, None]), axis=0)


def gradients(objective: Objective, x: Array) -> Array:
    """grad f at points (d, n); by plain differences, to eight digits or so, where only values of f are given."""
    if isinstance(objective, CallableObjective) and objective.given[1] is None:
        return _differences(lambda y: np.asarray(objective(y)), x, 1e-5)
    return objective.gradient(x)


def hessians(objective: Objective, x: Array) -> Array:
    """Hess f at points (d, n), shape (n, d, d) as numpy.linalg wants it; nan on a kink.

    Where it is not given and there is no formula, by plain differences: to six digits or so, which is enough to find
    the way, in a tenth of the time of `Objective.hessian`."""
    if isinstance(objective, CallableObjective) and objective.given[2] is None:
        step = 1e-4 if objective.given[1] is not None else 1e-3
        h = _differences(lambda y: gradients(objective, y), x, step)
        return np.moveaxis((h + h.swapaxes(0, 1)) / 2, 2, 0)
    return exact_hessians(objective, x)


def exact_hessians(objective: Objective, x: Array) -> Array:
    """Hess f at points (d, n), shape (n, d, d), as well as it is known; nan on a kink."""
    try:
        h = objective.hessian(x)
    except ValueError:  # one of the points lies on a kink
        h = np.stack([_hessian_or_nan(objective, point) for point in x.T], axis=-1)
    return np.moveaxis(h, 2, 0)


def _differences(function: Callable[[Array], Array], x: Array, step: float) -> Array:
    """Central differences along each axis, shape (..., d, n) for a function (d, n) -> (..., n)."""
    d, n = x.shape
    h = step * (1 + abs(x))
    moves = np.eye(d)[:, :, None] * h[:, None, :]
    with np.errstate(all="ignore"):
        ahead, behind = (function((x[:, None, :] + sign * moves).reshape(d, -1)) for sign in (1, -1))
        slopes = (ahead - behind).reshape(*ahead.shape[:-1], d, n) / (2 * h)
    return np.asarray(slopes)


def _hessian_or_nan(objective: Objective, x: Array) -> Array:
    try:
        return objective.hessian(x)
    except ValueError:
        return np.full((x.size, x.size), np.nan)


def polished(objective: Objective, x: Array, steps: int = 12, reach: float = np.inf) -> tuple[Array, NDArray[np.bool_]]:
    """Newton's method x -= Hess f^-1 grad f from points (d, n): where it ends, and where it has converged.

    No step is longer than `reach` (1 + |x|); the last one must be lost in rounding (or grow no smaller, for numerical
    derivatives)."""
    x = x.copy()
    size = np.full(x.shape[1], np.inf)
    for _ in range(steps):
        with np.errstate(all="ignore"):
            step = _newton_step(hessians(objective, x), objective.gradient(x))
            length, scale = np.linalg.norm(step, axis=0), 1 + np.linalg.norm(x, axis=0)
            step *= np.minimum(1.0, reach * scale / np.maximum(length, 1e-300))
        moving = np.isfinite(length) & ~((length >= size) & (length < 1e-7 * scale))
        x[:, moving] -= step[:, moving]
        size = np.where(np.isfinite(length), np.minimum(size, length), np.inf)
        if not moving.any() or np.all(length[moving] <= 1e-15 * scale[moving]):
            break
    return x, np.isfinite(size) & (size < 1e-7 * (1 + np.linalg.norm(x, axis=0)))


def _newton_step(h: Array, g: Array) -> Array:
    """Hess^-1 g for h (n, d, d), g (d, n); nan where h is singular."""
    good = np.isfinite(h).all(axis=(1, 2)) & np.isfinite(g).all(axis=0)
    good[good] = abs(np.linalg.det(h[good])) > 1e-300 if h.shape[1] < 20 else True
    out = np.full_like(g, np.nan)
    try:
        out[:, good] = np.linalg.solve(h[good], g.T[good][:, :, None])[:, :, 0].T
    except np.linalg.LinAlgError:
        out[:, good] = np.stack([np.linalg.pinv(a) @ b for a, b in zip(h[good], g.T[good], strict=True)], axis=1)
    return out


def distinct(x: Array, tolerance: float = SAME) -> NDArray[np.int64]:
    """Indices of one point each of the groups of points (d, n) that lie together."""
    if x.shape[1] < 2:
        return np.arange(x.shape[1])
    scale = 1 + float(np.linalg.norm(x, axis=0).max())
    pairs = cKDTree(x.T).query_pairs(tolerance * scale, output_type="ndarray")
    gaps = np.linalg.norm(x[:, pairs[:, 0]] - x[:, pairs[:, 1]], axis=0)
    near = gaps <= tolerance * (1 + np.linalg.norm(x[:, pairs[:, 0]], axis=0))
    keep = np.ones(x.shape[1], dtype=bool)
    for a, b in pairs[near]:
        if keep[min(a, b)]:
            keep[max(a, b)] = False
    return np.flatnonzero(keep)


def critical_points_at(objective: Objective, x: Array, *, proved: bool | None = None) -> list[CriticalPoint]:
    """The critical points at x (d, n); whether one is degenerate is judged by its curvatures, unless it is proved."""
    if not x.size:
        return []
    values, h = objective(x), exact_hessians(objective, x)
    known = np.isfinite(h).all(axis=(1, 2))
    curvatures = np.full(x.T.shape, np.nan)
    curvatures[known] = np.linalg.eigvalsh(h[known])
    if proved is None:
        nearby = [_curvature_nearby(objective, *each) for each in zip(x.T, h, strict=True)]
        flat = FLAT[objective.formula is not None] * np.array(nearby)
        degenerate = ~(abs(curvatures).min(axis=1) > flat)
    else:
        degenerate = ~known | (not proved)
    rows = zip(x.T, values.tolist(), curvatures, degenerate.tolist(), strict=True)
    return [CriticalPoint(*row) for row in rows]


def _curvature_nearby(objective: Objective, x: Array, h: Array) -> float:
    """How large Hess f is at x and around it: at a degenerate point it may vanish altogether."""
    axes = np.eye(x.size)[:, :20]
    around = x[:, None] + 0.1 * (1 + np.linalg.norm(x)) * np.hstack([axes, -axes])
    with np.errstate(all="ignore"):
        sizes = np.linalg.norm(hessians(objective, around), axis=(1, 2))
    finite = sizes[np.isfinite(sizes)]
    return float(np.fmax(np.linalg.norm(h), np.median(finite) if finite.size else 0.0))
