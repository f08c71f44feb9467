"""Minima and index-1 saddles in many dimensions: descents from random starts, and climbs along soft modes from minima.

Nothing is guaranteed. What supports the result: new rounds of starts found no new minimum, every saddle's two descents
end in a minimum that is listed, and the graph of minima and saddles is in one piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from witten.landscape.descent import descend, leaving
from witten.landscape.points import distinct, hessians, polished
from witten.objectives.objective import Objective

__all__ = ["Found", "climb", "multistart"]

Array = NDArray[np.float64]
# Starts of a round, rounds at most, minima after which no more are looked for.
STARTS, ROUNDS, MOST_MINIMA = 120, 8, 400
# Climbs from each minimum at most, climbs in all.
CLIMBS, MOST_CLIMBS = 60, 4000
MOST_STEPS = 150
# Points found by different paths agree this well, relative to 1 + |x|.
SAME = 1e-5


@dataclass(frozen=True, eq=False)
class Found:
    """Critical points (d, n), minima and saddles mixed, and what there is to say about the search."""

    x: Array
    notes: tuple[str, ...]


def multistart(objective: Objective, corners: Array | None, rng: np.random.Generator) -> Found:
    """Minima and index-1 saddles of f, in a box with corners (2, d) or wherever descents lead."""
    minima = _minima(objective, corners, rng)
    saddles, climbed, lines, climbs = np.empty((objective.dimension, 0)), 0, set[tuple[int, int]](), 0
    for _ in range(ROUNDS):
        starts, modes = _soft_starts(objective, minima[:, climbed:])
        between, ways = _between(minima, lines)
        starts, modes = np.hstack([starts, between]), np.hstack([modes, ways])
        starts, modes = starts[:, : MOST_CLIMBS - climbs], modes[:, : MOST_CLIMBS - climbs]
        if not starts.size:
            break
        climbs, climbed = climbs + starts.shape[1], minima.shape[1]
        new = _within(climb(objective, starts, modes), corners)
        saddles = _united(saddles, new)
        ends, arrived = descend(objective, np.hstack(leaving(objective, saddles)))
        minima = _united(minima, _within(_polished_minima(objective, ends[:, arrived]), corners))
        if minima.shape[1] > MOST_MINIMA:
            break
    notes = [f"found from random starts and {climbs} climbs: nothing proves that none was missed"]
    if minima.shape[1] > MOST_MINIMA:
        notes.append(f"the search ended at {minima.shape[1]} minima; there are more")
    elif climbed < minima.shape[1] or climbs >= MOST_CLIMBS:
        notes.append(f"the search for saddles ended after {climbs} climbs")
    return Found(np.hstack([minima, saddles]), tuple(notes))


def _minima(objective: Objective, corners: Array | None, rng: np.random.Generator) -> Array:
    """Ends of descents from rounds of random starts, until a round brings nothing new."""
    d = objective.dimension
    found = np.empty((d, 0))
    for round_ in range(ROUNDS):
        ends, arrived = descend(objective, _starts(d, corners, found, round_, rng), tolerance=0.05)
        before = found.shape[1]
        found = _united(found, _within(_polished_minima(objective, ends[:, arrived]), corners))
        if (round_ > 0 and found.shape[1] == before) or found.shape[1] > MOST_MINIMA:
            break
    return found


def _starts(d: int, corners: Array | None, found: Array, round_: int, rng: np.random.Generator) -> Array:
    """Uniform in the box; else at all distances first, and then around the minima there are."""
    if corners is not None:
        return rng.uniform(corners[0][:, None], corners[1][:, None], size=(d, STARTS))
    x = rng.normal(size=(d, STARTS))
    if round_ == 0 or not found.size:
        return x * np.geomspace(0.03, 30.0, STARTS)
    middle, spread = found.mean(axis=1, keepdims=True), found.std(axis=1, keepdims=True)
    return middle + x * np.maximum(1.5 * spread, 0.3 * (1 + float(spread.max())))


def _polished_minima(objective: Objective, x: Array) -> Array:
    x, converged = polished(objective, x, reach=0.1)
    positive = np.linalg.eigvalsh(hessians(objective, x))[:, 0] > 0 if x.size else np.zeros(0, dtype=bool)
    return x[:, converged & positive]


def _within(x: Array, corners: Array | None) -> Array:
    if corners is None:
        return x
    return x[:, np.all((x >= corners[0][:, None]) & (x <= corners[1][:, None]), axis=0)]


def _united(old: Array, new: Array) -> Array:
    """Both, each point once, the old ones first."""
    both = np.hstack([old, new])
    return both[:, distinct(both, SAME)]


def _soft_starts(objective: Objective, minima: Array) -> tuple[Array, Array]:
    """Starts a little way out of each minimum, up and down its softest modes, and these modes."""
    if not minima.size:
        return minima, minima
    curvatures, modes = np.linalg.eigh(hessians(objective, minima))
    count = min(CLIMBS // 2, objective.dimension)
    far = 0.1 * (1 + np.linalg.norm(minima, axis=0))[:, None] * np.ones_like(curvatures)
    step = np.minimum(far, far[:, :1] * np.sqrt(curvatures[:, :1] / curvatures) * 3)
    x = minima.T[:, :, None] + modes * step[:, None, :]
    y = minima.T[:, :, None] - modes * step[:, None, :]
    starts = np.concatenate([x[:, :, :count], y[:, :, :count]], axis=2)
    along = np.concatenate([modes[:, :, :count], -modes[:, :, :count]], axis=2)
    d = objective.dimension
    return np.moveaxis(starts, 1, 0).reshape(d, -1), np.moveaxis(along, 1, 0).reshape(d, -1)


def _between(minima: Array, done: set[tuple[int, int]]) -> tuple[Array, Array]:
    """The midpoints of each minimum and its nearest neighbours, and the directions from one to the other; each once."""
    d, n = minima.shape
    if n < 2:
        return np.empty((d, 0)), np.empty((d, 0))
    _, near = cKDTree(minima.T).query(minima.T, k=min(n, 5))
    pairs = {(min(i, int(j)), max(i, int(j))) for i, row in enumerate(near) for j in row if j != i} - done
    done |= pairs
    if not pairs:
        return np.empty((d, 0)), np.empty((d, 0))
    a, b = (minima[:, list(side)] for side in zip(*sorted(pairs), strict=True))
    return (a + b) / 2, (b - a) / np.linalg.norm(b - a, axis=0)


def climb(objective: Objective, x: Array, mode: Array) -> Array:
    """Index-1 saddles reached from points (d, n): up along one mode of Hess f, down along all others.

    The mode followed is the one most like that of the step before, starting with `mode` (d, n); each component of a
    step is Newton's, |slope/curvature|, with the sign that climbs or descends (Cerjan and Miller 1981; Wales 1994),
    and its length adapts to how well the quadratic model foretells grad f.
    """
    x, mode = x.copy(), mode.copy()
    reach = 0.1 * (1 + np.linalg.norm(x, axis=0))
    active = np.arange(x.shape[1])
    for _ in range(MOST_STEPS):
        if not active.size:
            break
        here = x[:, active]
        with np.errstate(all="ignore"):
            g, h = objective.gradient(here), hessians(objective, here)
            usable = np.isfinite(h).all(axis=(1, 2)) & np.isfinite(g).all(axis=0) & (abs(here).max(axis=0) < 1e8)
            h[~usable], g[:, ~usable] = np.eye(len(x)), 0.0
            curvature, v = np.linalg.eigh(h)
            slope = np.einsum("nij,in->nj", v, g)
            overlap = np.einsum("nij,in->nj", v, mode[:, active])
            n, followed = np.arange(active.size), abs(overlap).argmax(axis=1)
            followed = np.where(curvature[:, 0] < 0, 0, followed)
            step = -slope / np.maximum(abs(curvature), 1e-12)
            # Uphill on the followed mode; exactly on a stationary point of it, the way it came.
            up = np.where(slope[n, followed] == 0, overlap[n, followed], slope[n, followed])
            size = np.where(curvature[n, followed] > 0, reach[active], abs(step[n, followed]))
            step[n, followed] = np.sign(up) * size
            length = np.linalg.norm(step, axis=1)
            step *= np.minimum(1.0, reach[active] / np.maximum(length, 1e-300))[:, None]
            move = np.einsum("nij,nj->in", v, step)
            foretold = slope + curvature * step
            met = np.einsum("nij,in->nj", v, objective.gradient(here + move))
            error = np.linalg.norm(met - foretold, axis=1) / np.maximum(np.linalg.norm(curvature * step, axis=1), 1e-300)
        scale = 1 + np.linalg.norm(here, axis=0)
        reach[active] = np.clip(reach[active] * np.where(error < 0.2, 1.5, np.where(error > 0.6, 0.4, 1.0)),
                                1e-4 * scale, 0.3 * scale)  # fmt: skip
        go = usable & (np.isfinite(error) & ((error < 2.0) | (reach[active] <= 1.01e-4 * scale)))
        x[:, active[go]] += move[:, go]
        sign = np.sign(overlap[n, followed])
        mode[:, active[go]] = (v[n, :, followed] * np.where(sign == 0, 1.0, sign)[:, None]).T[:, go]
        arrived = (length < 1e-7 * scale) & (curvature[:, 0] < 0)
        active = active[usable & ~arrived]
    x, converged = polished(objective, x, reach=1e-3)
    if not x.size:
        return x
    curvature = np.linalg.eigvalsh(np.nan_to_num(hessians(objective, x)))
    return x[:, converged & (np.count_nonzero(curvature < 0, axis=1) == 1)]
