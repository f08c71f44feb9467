"""Paths of the SDE over given times, in time steps adapted to the curvature along the paths."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.paths.ensemble import Motion, Paths
from witten.dynamics.paths.schemes import HEUN
from witten.errors import ConvergenceError
from witten.objectives import Objective

__all__ = ["curvature", "paths_over_gaps", "stiffness"]

Array = NDArray[np.float64]
# The coarser time step times the largest curvature where paths are.
CURVATURE_STEP = 0.2
# Growth of that product accepted over a leg; factor on the curvature where paths diverged, and how often.
MOST_GROWTH, CURVATURE_FACTOR, MOST_RETRIES = 1.5, 4.0, 12
# Steps after which the curvature is looked at again, and points where it is.
STEPS_PER_LEG, CURVATURE_POINTS = 128, 256
# Variables up to which the whole Hessian is computed, else so many iterations at so many points.
DENSE_UP_TO, POWER_ITERATIONS, POWER_POINTS = 8, 6, 16


def paths_over_gaps(
    motion: tuple[Objective, float, float, int], x: Array, step: int, gap: float, count: int, parts: int
) -> Iterator[tuple[Array, Array, int]]:
    """(points after 1, 2, ..., `count` gaps of time, points and number of steps so far), shape (d, n).

    Parameters
    ----------
    motion : f, the learning rate, noise and seed
    x, step : where paths are, and how many steps they have done
    gap : of time
    parts : into which the time step that the curvature asks for is divided

    Raises
    ------
    ConvergenceError
        if paths diverge however small the time step is.
    """
    f, s, noise, _ = motion
    stiff = stiffness(f, x, s * noise**2)
    while count:
        # A part of a gap, or several whole ones.
        wanted = max(gap * stiff / CURVATURE_STEP, 1e-9)
        whole = min(count, max(1, int(STEPS_PER_LEG / max(math.ceil(wanted), 1))))
        left = gap
        while wanted > STEPS_PER_LEG:
            x, step, stiff, _ = _leg(motion, x, step, (left * STEPS_PER_LEG / wanted, 1, parts), stiff)
            left -= left * STEPS_PER_LEG / wanted
            wanted = left * stiff / CURVATURE_STEP
        x, step, stiff, snapshots = _leg(motion, x, step, (left, whole, parts), stiff)
        for snapshot in snapshots:
            yield snapshot, x, step
        count -= whole


Leg = tuple[Array, int, float, Array]


def _leg(
    motion: tuple[Objective, float, float, int], x: Array, step: int, times: tuple[float, int, int], stiff: float
) -> Leg:
    """So many gaps, again with smaller steps where the curvature turns out to be larger or paths are lost."""
    f, s, noise, seed = motion
    gap, count, parts = times
    for _ in range(MOST_RETRIES):
        every = parts * max(1, math.ceil(gap * stiff / CURVATURE_STEP))
        paths = Paths(Motion(f, s, gap / every, noise, HEUN, seed), x)
        paths.step = step
        snapshots = paths.record(count, every)
        if np.isfinite(snapshots).all():
            seen = max(stiffness(f, each, s * noise**2) for each in (snapshots[0], snapshots[-1]))
            if seen <= MOST_GROWTH * stiff or gap * seen <= CURVATURE_STEP:
                return paths.x, paths.step, seen, snapshots
            stiff = seen
        else:
            stiff = max(CURVATURE_FACTOR * stiff, CURVATURE_STEP / gap)
    raise ConvergenceError(f"runs on {f.name} diverge in continuous time; is f bounded below?")


def stiffness(f: Objective, x: Array, s: float) -> float:
    """The largest |eigenvalue| of Hess f at some of the points (d, n); a kink counts with (jump of grad f)^2/s.

    Over a length l noise makes up for a jump J if J l = s, and J/l is the curvature seen there.
    """
    some = x[:, :: max(1, x.shape[1] // CURVATURE_POINTS)]
    with np.errstate(all="ignore"):
        largest = curvature(f, some)
        slopes, jump = f.gradient(some), 0.0
        for by in (1, 7, 31):
            apart = np.linalg.norm(slopes - np.roll(slopes, by, axis=1), axis=0)
            apart -= 1.5 * largest * np.linalg.norm(some - np.roll(some, by, axis=1), axis=0)
            jump = max(jump, float(np.max(apart, where=np.isfinite(apart), initial=0.0)))
    return max(largest, jump * jump / s)


def curvature(f: Objective, x: Array) -> float:
    """The largest |eigenvalue| of Hess f at points (d, n); in many variables nearly, at a few of them."""
    if f.dimension <= DENSE_UP_TO:
        hessians = np.moveaxis(f.piecewise_hessian(x), -1, 0)
        hessians = hessians[np.isfinite(hessians).all(axis=(1, 2))]
        return float(np.max(abs(np.linalg.eigvalsh(hessians)), initial=0.0)) if hessians.size else 0.0
    # By iteration on differences of gradients.
    x = x[:, :POWER_POINTS]
    direction = np.random.default_rng(0).normal(size=x.shape)
    slope, length = f.gradient(x), 1e-6 * max(float(abs(x).max()), float(np.std(x)), 1e-300)
    for _ in range(POWER_ITERATIONS):
        direction /= np.maximum(np.linalg.norm(direction, axis=0), 1e-300)
        direction = (f.gradient(x + length * direction) - slope) / length
    sizes = np.linalg.norm(direction, axis=0)
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
