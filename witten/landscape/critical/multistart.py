"""Minima and index-1 saddles in many dimensions: descents from random starts, and climbs along soft modes from minima.

Nothing is guaranteed. What supports the result: new rounds of starts found no new minimum, every saddle's two descents
end in a minimum that is listed, and the graph of minima and saddles is in one piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from witten.landscape.critical.critical_point import distinct, gradients, hessians, polished
from witten.landscape.critical.gradient_flow import descend, leaving
from witten.objectives.objective import Objective

__all__ = ["Found", "climb", "multistart"]

Array = NDArray[np.float64]
# Starts of a round, rounds at most, minima after which no more are looked for.
STARTS, ROUNDS, MOST_MINIMA = 120, 8, 400
# Climbs from each minimum at most, climbs in all.
CLIMBS, MOST_CLIMBS = 60, 4000
MOST_STEPS = 150
# Paths between minima not joined yet: nearest tried for each, paths at a time, points and steps of a path.
NEIGHBOURS, MOST_STRINGS, IMAGES, STRING_STEPS = 3, 60, 13, 100
# Points found by different paths agree this well, relative to 1 + |x|.
SAME = 1e-5


@dataclass(frozen=True, eq=False)
class Found:
    """Critical points (d, n), minima and saddles mixed, and what there is to say about the search."""

    x: Array
    notes: tuple[str, ...]


def multistart(objective: Objective, corners: Array | None, rng: np.random.Generator) -> Found:
    """Minima and index-1 saddles of f, in a box with corners (2, d) or wherever descents lead."""
    state = _Graph(objective, corners, _minima(objective, corners, rng))
    lines: set[tuple[int, int]] = set()
    climbed = 0
    for _ in range(ROUNDS):
        soft, between = _soft_starts(objective, state.minima[:, climbed:]), _between(state.minima, lines)
        starts, modes = (np.hstack(pair)[:, : MOST_CLIMBS - state.climbs] for pair in zip(soft, between, strict=True))
        if not starts.size or state.minima.shape[1] > MOST_MINIMA:
            break
        climbed = state.minima.shape[1]
        state.extend(starts, modes)
    tried: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        pairs = state.gaps(tried)
        if not pairs or state.minima.shape[1] > MOST_MINIMA:
            break
        a, b = (state.minima[:, list(side)] for side in zip(*pairs, strict=True))
        state.extend(*relaxed_strings(objective, a, b))
    notes = [f"found from random starts and {state.climbs} climbs: nothing proves that none was missed"]
    if state.minima.shape[1] > MOST_MINIMA:
        notes.append(f"the search ended at {state.minima.shape[1]} minima; there are more")
    elif climbed < state.minima.shape[1] or state.climbs >= MOST_CLIMBS:
        notes.append(f"the search for saddles ended after {state.climbs} climbs")
    return Found(np.hstack([state.minima, state.saddles]), tuple(notes))


class _Graph:
    """Minima and saddles as the search goes on, and which saddle joins which minima."""

    def __init__(self, objective: Objective, corners: Array | None, minima: Array) -> None:
        self.objective, self.corners, self.minima = objective, corners, minima
        self.saddles, self.climbs = np.empty((objective.dimension, 0)), 0
        self.links: set[tuple[int, int]] = set()

    def extend(self, starts: Array, modes: Array) -> None:
        """Climb from the starts; take in the saddles, and the minima below them."""
        self.climbs += starts.shape[1]
        limit = 3 * (1 + float(np.linalg.norm(np.hstack([self.minima, starts]), axis=0).max()))
        known = self.saddles.shape[1]
        self.saddles = _united(self.saddles, _within(climb(self.objective, starts, modes, limit), self.corners))
        new = self.saddles[:, known:]
        if not new.size:
            return
        ends, arrived = descend(self.objective, np.hstack(leaving(self.objective, new)))
        found = _polished_minima(self.objective, ends[:, arrived])
        self.minima = _united(self.minima, _within(found, self.corners))
        distance, number = cKDTree(self.minima.T).query(ends.T)
        number = np.where(distance <= SAME * (1 + np.linalg.norm(ends, axis=0)), number, -1)
        self.links |= {(int(i), int(j)) for i, j in number.reshape(2, -1).T if i >= 0 and j >= 0}

    def gaps(self, tried: set[tuple[int, int]]) -> list[tuple[int, int]]:
        """Pairs of minima near each other that no path of saddles joins, each once; none if the graph is whole."""
        n = self.minima.shape[1]
        rows, columns = np.array(sorted(self.links), dtype=int).reshape(-1, 2).T
        pieces, piece = connected_components(coo_array((np.ones(rows.size), (rows, columns)), shape=(n, n)))
        if pieces < 2:
            return []
        _, near = cKDTree(self.minima.T).query(self.minima.T, k=n)
        pairs: set[tuple[int, int]] = set()
        for i, row in enumerate(near):
            outside = [int(j) for j in row if piece[j] != piece[i]][:NEIGHBOURS]
            pairs |= {(min(i, j), max(i, j)) for j in outside} - tried
        chosen = sorted(pairs, key=lambda p: float(np.linalg.norm(self.minima[:, p[0]] - self.minima[:, p[1]])))
        tried |= set(chosen[:MOST_STRINGS])
        return chosen[:MOST_STRINGS]


def relaxed_strings(objective: Objective, a: Array, b: Array) -> tuple[Array, Array]:
    """The highest points of paths from a to b (d, n) that have sunk towards minimum energy paths, and the tangents.

    The images move against grad f and are spread out evenly again after each step [E2007]; the path need not settle,
    since a climb starts from its top."""
    weights = np.linspace(0.0, 1.0, IMAGES)
    x = a[:, :, None] * (1 - weights) + b[:, :, None] * weights
    d, n = a.shape
    h = hessians(objective, x.reshape(d, -1))
    stiffest = np.nanmax(abs(np.linalg.eigvalsh(np.nan_to_num(h))).reshape(n, -1), axis=1)
    for _ in range(STRING_STEPS):
        g = gradients(objective, x.reshape(d, -1)).reshape(x.shape)
        x[:, :, 1:-1] -= (0.5 / stiffest)[:, None] * np.nan_to_num(g)[:, :, 1:-1]
        x = _evenly_spaced(x)
    top = np.argmax(np.asarray(objective(x.reshape(d, -1))).reshape(n, -1)[:, 1:-1], axis=1) + 1
    each = np.arange(n)
    tangent = x[:, each, top + 1] - x[:, each, top - 1]
    return x[:, each, top], tangent / np.maximum(np.linalg.norm(tangent, axis=0), 1e-300)


def _evenly_spaced(x: Array) -> Array:
    """The same polygons (d, n, images) with their corners at equal distances along them."""
    lengths = np.linalg.norm(np.diff(x, axis=2), axis=0)
    along = np.concatenate([np.zeros((x.shape[1], 1)), np.cumsum(lengths, axis=1)], axis=1)
    out = np.empty_like(x)
    for i, marks in enumerate(along):
        places = np.linspace(0.0, marks[-1], x.shape[2])
        for axis in range(len(x)):
            out[axis, i] = np.interp(places, marks, x[axis, i])
    return out


def _minima(objective: Objective, corners: Array | None, rng: np.random.Generator) -> Array:
    """Ends of descents from rounds of random starts, until a round brings nothing new."""
    d = objective.dimension
    found = np.empty((d, 0))
    for round_ in range(ROUNDS):
        ends, arrived = descend(objective, _starts(d, corners, found, round_, rng), tolerance=0.05, steps=1000)
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


def climb(objective: Objective, x: Array, mode: Array, limit: float = 1e8) -> Array:
    """Index-1 saddles reached from points (d, n): up along one mode of Hess f, down along all others.

    The mode followed is the one most like that of the step before, starting with `mode` (d, n); each component of a
    step is Newton's, |slope/curvature|, with the sign that climbs or descends ([Cerjan1981], [Wales1994]), and its
    length adapts to how well the quadratic model foretells grad f. A climb beyond |x| = limit is given up.
    """
    x, mode = x.copy(), mode.copy()
    reach = 0.1 * (1 + np.linalg.norm(x, axis=0))
    active = np.arange(x.shape[1])
    for _ in range(MOST_STEPS):
        if not active.size:
            break
        here = x[:, active]
        with np.errstate(all="ignore"):
            g, h = gradients(objective, here), hessians(objective, here)
            usable = np.isfinite(h).all(axis=(1, 2)) & np.isfinite(g).all(axis=0)
            usable &= np.linalg.norm(here, axis=0) < limit
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
            met = np.einsum("nij,in->nj", v, gradients(objective, here + move))
            change = np.maximum(np.linalg.norm(curvature * step, axis=1), 1e-300)
            error = np.linalg.norm(met - foretold, axis=1) / change
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
    negative = np.count_nonzero(np.linalg.eigvalsh(np.nan_to_num(hessians(objective, x))) < 0, axis=1)
    return x[:, converged & (np.linalg.norm(x, axis=0) < limit) & (negative == 1)]
