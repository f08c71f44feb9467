"""Lows of f, found from values alone: f is sampled around several centres at all scales."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter
from scipy.optimize import minimize

from witten.objectives.objective import CallableObjective, Objective

__all__ = ["Lows", "scale_search"]

Array = NDArray[np.float64]
# Half-widths of the lattices, from one to the next, and their points along each axis.
SCALES = 4.0 ** np.arange(-14, 23)
ALONG = {1: 401, 2: 41, 3: 15}
# Directions in which f is sampled above three dimensions.
DIRECTIONS = 200
# Lows of a lattice that are followed, and lows around which the search is repeated.
FOLLOWED, CENTRES = 12, 6
# The lowest of the lows, to which a line may lead down from others.
TARGETS = 3
# Halvings of the pattern by which a low is followed down, and its steps.
HALVINGS, STEPS = 40, 200


@dataclass(frozen=True, eq=False)
class Lows:
    """Local minima of f, as far as it was sampled.

    Attributes
    ----------
    points : (d, n), the lowest first
    spacings : of the lattice that showed each of them, (n,)
    nearest, farthest : the smallest and the largest half-width of a lattice
    """

    points: Array
    spacings: Array
    nearest: float
    farthest: float

    @property
    def centre(self) -> Array:
        """The middle of the box around the points, shape (d,)."""
        return (self.points.min(axis=1) + self.points.max(axis=1)) / 2

    @property
    def size(self) -> float:
        """Half the longest side of that box; where there is one point, the spacing of the finest lattice."""
        return float(np.ptp(self.points, axis=1).max()) / 2 or float(self.spacings.min())


def scale_search(objective: Objective) -> Lows:
    """Local minima of f on lattices of half-width 4^-14 to 4^22 around the origin, and around the lowest of these; for
    a callable with a center around that too, in units of its scale. Where there are none, where a descent from the
    center or else the origin leads.

    Blind to wells narrower than the cells of every lattice that meets them."""
    first, unit = np.zeros(objective.dimension), 1.0
    found = _around(objective, first)
    if isinstance(objective, CallableObjective) and objective.center is not None:
        first, unit = np.array(objective.center), objective.scale
        found = _joined(objective, _around(objective, first, unit), found)
    if not found.spacings.size:
        found = _downhill(objective, first[:, None], np.array([unit * SCALES[0]]))
    for centre in found.points.T[:CENTRES]:
        found = _joined(objective, found, _around(objective, centre))
    return found


def _around(objective: Objective, centre: Array, unit: float = 1.0) -> Lows:
    """Lows on all lattices around a centre."""
    offsets, shape = _lattice(objective.dimension)
    points, spacings = [], []
    for scale in unit * SCALES:
        x = centre[:, None] + scale * offsets
        low = x[:, _lows(_values(objective, x).reshape(shape))]
        points.append(low)
        spacings.append(np.full(low.shape[1], 2 * scale / (shape[-1] - 1)))
    return _downhill(objective, np.hstack(points), np.concatenate(spacings))


def _downhill(objective: Objective, x: Array, h: Array) -> Lows:
    """Where descents from points (d, n) of lattices with spacings h (n,) end, as far as these are wells."""
    x, stalled = _followed(objective, x, h)
    distinct = _distinct(objective, x, h)
    ends = distinct.points.copy()
    for at, low in enumerate(zip(ends.T, distinct.spacings, strict=True)):
        if stalled[np.all(x == low[0][:, None], axis=0)].any():
            ends[:, at] = _minimised(objective, *low)
    return _wells(objective, _distinct(objective, ends, distinct.spacings))


def _wells(objective: Objective, lows: Lows) -> Lows:
    """The lows without those from which a straight line leads down to one of the lowest, without a rise on the way:
    on the floor of a steep valley a descent stalls far from the minimum."""
    t = np.concatenate([np.geomspace(1e-9, 1e-2, 100), np.linspace(1e-2, 1.0, 101)])
    values, keep = _values(objective, lows.points), np.ones(lows.spacings.size, dtype=bool)
    for lowest in range(min(TARGETS, keep.size)):
        for i in np.flatnonzero(keep)[1:]:
            if i > lowest:
                way = lows.points[:, [i]] + t * (lows.points[:, [lowest]] - lows.points[:, [i]])
                keep[i] = (_values(objective, way) > values[i] * (1 + 1e-12)).any()
    return Lows(lows.points[:, keep], lows.spacings[keep], lows.nearest, lows.farthest)


def _minimised(objective: Objective, x: Array, h: float) -> Array:
    """Where a quasi-Newton descent from x ends, in units of h: patterns stall in narrow curved valleys."""

    def value(y: Array) -> float:
        return float(_values(objective, (x + h * y)[:, None])[0])

    def slope(y: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(h * objective.gradient(x + h * y))

    jac = slope if objective.formula is not None else None
    with np.errstate(all="ignore"):
        end = x + h * minimize(value, np.zeros_like(x), jac=jac, method="BFGS", options={"maxiter": 200}).x
    better = np.isfinite(end).all() and _values(objective, end[:, None])[0] < _values(objective, x[:, None])[0]
    return np.asarray(end if better else x)


def _lattice(d: int) -> tuple[Array, tuple[int, ...]]:
    """Points of [-1, 1]^d, (d, n), and how they are laid out; above three dimensions, on lines through the origin."""
    if d in ALONG:
        axis = np.linspace(-1.0, 1.0, ALONG[d])
        return np.stack([x.ravel() for x in np.meshgrid(*[axis] * d, indexing="ij")]), (ALONG[d],) * d
    u = np.random.default_rng(0).normal(size=(d, DIRECTIONS))
    u = np.hstack([np.eye(d), u / np.linalg.norm(u, axis=0)])
    t = np.linspace(-1.0, 1.0, 2 * ALONG[3] + 1)
    return np.einsum("di,t->dit", u, t).reshape(d, -1), (u.shape[1], t.size)


def _lows(values: Array) -> NDArray[np.int64]:
    """Places whose value is below all finite ones around, the lowest FOLLOWED of them; none on the rim."""
    finite = np.where(np.isfinite(values), values, np.inf)
    along = range(values.ndim) if values.ndim != 2 or values.shape[0] == values.shape[1] else (1,)
    size = [3 if axis in along else 1 for axis in range(values.ndim)]
    low = (finite <= minimum_filter(finite, size=size, mode="nearest")) & np.isfinite(finite)
    for axis in along:
        low[(slice(None),) * axis + ([0, -1],)] = False
        # Flat ground is no low.
        low &= finite < maximum_filter1d(finite, 3, axis=axis, mode="nearest")
    at = np.flatnonzero(low)
    return at[np.argsort(finite.ravel()[at], kind="stable")][:FOLLOWED]


def _followed(objective: Objective, x: Array, h: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Each point moved down on a pattern of spacing h/2 around it, halved where none of its points is lower; and which
    of them have not converged."""
    d = len(x)
    steps = np.array(list(product((-1.0, 0.0, 1.0), repeat=d))).T if d <= 3 else np.hstack([np.eye(d), -np.eye(d)])
    x, h, halved = x.copy(), h / 2, np.zeros(h.size, dtype=int)
    values = _values(objective, x)
    for _ in range(STEPS):
        on = np.flatnonzero(halved < HALVINGS)
        if not on.size:
            break
        there = x[:, on, None] + h[on, None] * steps[:, None, :]
        f = _values(objective, there.reshape(d, -1)).reshape(on.size, -1)
        best = f.argmin(axis=1)
        lower = f[np.arange(on.size), best] < values[on]
        move = on[lower]
        x[:, move] = there[:, lower, best[lower]]
        values[move] = f[lower, best[lower]]
        halved[on[~lower]] += 1
        h[on[~lower]] /= 2
    return x, halved < HALVINGS


def _distinct(objective: Objective, x: Array, h: Array) -> Lows:
    """The points, the lowest first, without those nearer to a lower one than the lattice that showed them resolves."""
    order = np.argsort(_values(objective, x), kind="stable")
    kept: list[int] = []
    for i in order:
        apart = np.linalg.norm(x[:, kept] - x[:, i : i + 1], axis=0)
        if (apart > np.maximum(np.minimum(h[kept], h[i]), 1e-6 * np.maximum(h[kept], h[i]))).all():
            kept.append(int(i))
    return Lows(x[:, kept], h[kept], float(SCALES[0]), float(SCALES[-1]))


def _joined(objective: Objective, a: Lows, b: Lows) -> Lows:
    return _distinct(objective, np.hstack([a.points, b.points]), np.append(a.spacings, b.spacings))


def _values(objective: Objective, x: Array) -> Array:
    """f at points (d, n), +inf where it is not finite; a user's function is not asked about no points."""
    if not x.size:
        return np.empty(x.shape[1:])
    with np.errstate(all="ignore"):
        values = np.asarray(objective(x), dtype=float)
    return np.where(np.isfinite(values), values, np.inf)
