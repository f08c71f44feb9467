"""Runs of SGD, or of the SDE, along a schedule: the mean of f with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.paths import Motion, Paths
from witten.errors import ConvergenceError, RequestError
from witten.objectives import Objective
from witten.schedules import Run, Schedule

__all__ = ["simulated_risk"]

Array = NDArray[np.float64]
# Half-width of a 95 % interval in standard errors.
WIDTH = 1.959963984540054
# Steps of the SDE in one step of SGD, by Heun's scheme, whose error is of second order.
FLOW_PARTS = 4
# Points of paths that are kept at a time.
KEPT = 4_000_000


def simulated_risk(
    f: Objective, start: Array, plan: Schedule, steps: NDArray[np.int64], *, lowest: float, noise: float, paths: int,
    seed: int,
) -> tuple[Array, Array, Array, Mapping[str, Any]]:  # fmt: skip
    """Mean excess risk over runs, lower and upper ends of its 95 % interval at these steps, shape (n,) each.

    SGD with x+ = x - s grad f(x) + s sigma xi; where a stage is in continuous time, the SDE by Heun's scheme in steps
    of s/4.

    Raises
    ------
    RequestError
        for fewer than 2 runs; ConvergenceError if runs leave for infinity.
    """
    if paths < 2:
        raise RequestError(f"a simulation needs at least 2 runs, got {paths}")
    x = np.repeat(start[:, None], paths, axis=1)
    moments, done, index = [_moments(f, x)] if steps[0] == 0 else [], 0, 0
    for run in plan.runs():
        asked = steps[(steps > done) & (steps <= done + run.steps)] - done
        found, x, index = _along(f, run, asked, x, noise, seed, index)
        moments += found
        done += run.steps
    mean, square = np.array(moments).T
    if not np.isfinite(mean).all():
        raise ConvergenceError(f"runs on {f.name} leave for infinity; take smaller learning rates")
    bar = WIDTH * np.sqrt(np.maximum(square - mean**2, 0.0) / (paths - 1))
    return mean - lowest, mean - lowest - bar, mean - lowest + bar, {"paths": paths, "confidence": 0.95, "seed": seed}


def _along(
    f: Objective, run: Run, asked: NDArray[np.int64], x: Array, noise: float, seed: int, index: int
) -> tuple[list[tuple[float, float]], Array, int]:
    """Moments of f after the steps asked for, the points at the end, and how many steps have used random numbers."""
    parts = FLOW_PARTS if run.flow else 1
    scheme = "heun" if run.flow else "euler-maruyama"
    runs = Paths(Motion(f, run.learning_rate, run.learning_rate / parts, noise, scheme, seed), x)
    # Steps are counted on from run to run: no random number is used twice.
    runs.step = index
    moments, done = [], 0
    for k, count in _strides(np.append(asked, run.steps) if not asked.size or asked[-1] < run.steps else asked):
        most = max(1, KEPT // x.size)
        while count:
            now = min(count, most)
            snapshots = runs.record(now, k * parts)
            here = done + k * np.arange(1, now + 1)
            moments += [_moments(f, each) for each, at in zip(snapshots, here, strict=True) if at in asked]
            done, count = done + k * now, count - now
    return moments, runs.x, runs.step


def _strides(asked: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Steps asked for as (stride, how often), in order."""
    gaps = np.diff(np.append(0, asked))
    starts = np.flatnonzero(np.append(True, gaps[1:] != gaps[:-1]))
    counts = np.diff(np.append(starts, gaps.size))
    return [(int(gaps[i]), int(n)) for i, n in zip(starts, counts, strict=True)]


def _moments(f: Objective, x: Array) -> tuple[float, float]:
    with np.errstate(all="ignore"):
        values = np.asarray(f(x))
    return float(values.mean()), float((values**2).mean())
