"""Steepest descent dx/dt = -grad f, by steps that are exact for a quadratic f: a stiff valley costs no more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from witten.landscape.critical.critical_point import gradients, hessians
from witten.objectives.objective import Objective

__all__ = ["descend", "leaving"]

Array = NDArray[np.float64]
# Error of a step relative to its length.
TOLERANCE = 2e-3
MOST_STEPS = 10_000


def descend(
    objective: Objective,
    x: Array,
    *,
    tolerance: float = TOLERANCE,
    steps: int = MOST_STEPS,
    reach: float = 1e12,
    watch: Callable[[NDArray[np.int64], Array], None] | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Follow dx/dt = -grad f from points (d, n) to its end: where that is, and whether the end was reached.

    Over a step of time t the local quadratic model is solved exactly, dx = -V phi(h, t) V^T grad f with
    phi = (1 - e^{-ht})/h and Hess f = V h V^T [Page1988]; t follows from how well the model foretells grad f. Near a
    minimum t grows without bound and the step becomes Newton's. A path that meets a saddle on its way is pushed off it,
    one that goes beyond |x_i| = reach is given up. `watch(i, x)` is called with the numbers of the paths that moved and
    where they are.
    """
    x = np.array(x, dtype=float)
    active = np.arange(x.shape[1])
    ended = np.zeros(x.shape[1], dtype=bool)
    time = np.full(x.shape[1], np.nan)
    for _ in range(steps):
        if not active.size:
            break
        moved, done, lost = _advance(objective, x, time, active, tolerance, reach)
        if watch is not None and moved.size:
            watch(moved, x[:, moved])
        ended[done] = True
        active = np.setdiff1d(active, np.concatenate([done, lost]), assume_unique=True)
    return x, ended


def _advance(
    objective: Objective, x: Array, time: Array, active: NDArray[np.int64], tolerance: float, reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """One step of the active paths, in place: which of them moved, which have arrived, which are lost."""
    here = x[:, active]
    with np.errstate(all="ignore"):
        g, h = gradients(objective, here), hessians(objective, here)
        usable = np.isfinite(g).all(axis=0) & np.isfinite(h).all(axis=(1, 2)) & (np.abs(here).max(axis=0) < reach)
        h[~usable], g[:, ~usable] = np.eye(len(x)), 0.0
        curvature, v = np.linalg.eigh(h)
        slope = np.einsum("nij,in->nj", v, g)
        at_saddle = _at_saddle(slope, curvature, here)
        first = 0.1 / np.maximum(abs(curvature).max(axis=1), 1e-300)
        t = np.where(np.isnan(time[active]), first, time[active])
        phi = _phi(curvature, t)
        step = -np.einsum("nij,nj->in", v, phi * slope)
        # On the side it is on already; exactly at the saddle, on either.
        side = np.where(slope[:, 0] > 0, -1e-5, 1e-5) * (1 + np.linalg.norm(here, axis=0))
        step[:, at_saddle] = side[at_saddle] * v[at_saddle, :, 0].T
        there = here + step
        expected = slope * np.exp(-curvature * t[:, None])
        missed = np.einsum("nij,in->nj", v, gradients(objective, there)) - expected
        length = np.linalg.norm(step, axis=0)
        error = 0.5 * np.linalg.norm(phi * missed, axis=1)
        scale = 1 + np.linalg.norm(here, axis=0)
    settled = (curvature[:, 0] > 0) & (length < 1e-9 * scale) & (t * curvature[:, 0] > 5)
    rounded = error <= 1e-13 * scale
    good = at_saddle | rounded | (error <= tolerance * length + 1e-13 * scale)
    with np.errstate(all="ignore"):
        grown = np.clip(0.7 * np.sqrt(tolerance * length / np.maximum(error, 1e-300)), 0.2, 5.0)
        grown = np.where(rounded, 5.0, grown)  # what is rounding tells nothing about the model
    with np.errstate(over="ignore"):
        time[active] = np.where(np.isfinite(grown), np.where(good, grown, np.minimum(grown, 0.5)), 0.2) * t
    time[active[at_saddle]] = first[at_saddle]
    moves = usable & (good | settled)
    x[:, active[moves]] = there[:, moves]
    stuck = ~(moves | settled) & (t * np.maximum(abs(curvature).max(axis=1), 1e-300) < 1e-14)
    return active[moves], active[usable & settled], active[~usable | stuck]


def _phi(curvature: Array, t: Array) -> Array:
    """(1 - e^{-ht})/h, and t where h is zero."""
    exponent = curvature * t[:, None]
    small = abs(exponent) < 1e-8
    return np.where(small, t[:, None], -np.expm1(-exponent) / np.where(small, 1.0, curvature))


def _at_saddle(slope: Array, curvature: Array, x: Array) -> NDArray[np.bool_]:
    """Where a path has come to rest at a saddle."""
    newton = abs(slope / np.where(curvature == 0, np.inf, curvature)).max(axis=1)
    return (curvature[:, 0] < 0) & (newton < 1e-6 * (1 + np.linalg.norm(x, axis=0)))


def leaving(objective: Objective, saddles: Array) -> tuple[Array, Array]:
    """Points a little way down from each saddle (d, n), on its two sides along the unstable direction.

    As far as the slope still is that of the quadratic model to two per cent."""
    if not saddles.size:
        return saddles, saddles
    curvature, v = np.linalg.eigh(hessians(objective, saddles))
    direction, eta = v[:, :, 0].T, curvature[:, 0]
    sides = []
    for sign in (-1.0, 1.0):
        distance = 0.05 * (1 + np.linalg.norm(saddles, axis=0))
        for _ in range(40):
            x = saddles + sign * distance * direction
            expected = sign * eta * distance * direction
            off = np.linalg.norm(gradients(objective, x) - expected, axis=0) > 0.02 * abs(eta) * distance
            if not off.any():
                break
            distance = np.where(off & (distance > 1e-7), distance / 2, distance)
        sides.append(saddles + sign * distance * direction)
    return sides[0], sides[1]
