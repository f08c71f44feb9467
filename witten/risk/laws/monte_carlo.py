"""Runs of SGD, or of the SDE, along a schedule: the mean of f with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.descent.gradient_map import DescentMap
from witten.dynamics.paths.ensemble import Motion, Paths
from witten.dynamics.paths.momentum import MomentumMotion
from witten.errors import ConvergenceError, RequestError
from witten.noise import Diffusion
from witten.objectives import Objective
from witten.risk.laws.sde_paths import paths_over_gaps
from witten.schedules import Run, Schedule

__all__ = ["simulated_risk"]

Array = NDArray[np.float64]
# Half-width of a 95 % interval in standard errors.
Z_95 = 1.959963984540054
# Points of paths that are kept at a time.
MOST_KEPT_POINTS = 4_000_000
# Part of the extrapolation in the time step that the bar holds: the next order is smaller by about the time step times
# the curvature, a fifth.
DOUBTED_CORRECTION = 0.5
# Steps of descent after the end, and the factor by which f then grows where a run escapes.
DESCENT_STEPS, ESCAPE_FACTOR = 1000, 1e6
# Roundings of f in a value of f - min f.
ROUNDINGS = 4 * float(np.finfo(float).eps)


def simulated_risk(
    f: Objective, start: Array, plan: Schedule, steps: NDArray[np.int64], *, lowest: float, noise: float,
    momentum: float, nesterov: bool, paths: int, seed: int, diffusion: Diffusion | None = None,
) -> tuple[Array, Array, Array, Mapping[str, Any]]:  # fmt: skip
    """Mean excess risk over runs, lower and upper ends of its 95 % interval at these steps, shape (n,) each.

    SGD with x+ = x - s grad f(x) + s sigma xi, with momentum from rest, or without and s Sigma(x)^{1/2} xi; where a
    stage is in continuous time, the SDE by Heun's scheme with two time steps, of which each run has its own
    extrapolation (4 f_h - f_2h)/3; the interval holds what that may leave.

    Raises
    ------
    RequestError
        for fewer than 2 runs, and for a covariance with a stage in continuous time; ConvergenceError if runs diverge.
    """
    if paths < 2:
        raise RequestError(f"a simulation needs at least 2 runs, got {paths}")
    flow = any(run.flow for run in plan.runs(int(steps[-1])))
    if flow and diffusion is not None:
        raise RequestError("a schedule in continuous time is for noise of one strength; leave :flow out")
    points = np.repeat(start[:, None], paths, axis=1)
    levels = [_Runs(f, points, noise, momentum, nesterov, seed, parts, diffusion) for parts in (2, 1)[: 1 + flow]]
    moments = [_moments([f(points) for _ in levels], lowest)] if steps[0] == 0 else []
    done, last = 0, None
    for run in plan.runs(int(steps[-1])):
        asked = steps[(steps > done) & (steps <= done + run.steps)] - done
        moments += [_moments(values, lowest) for values in zip(*(lv.along(run, asked) for lv in levels), strict=True)]
        done, last = done + run.steps, run
    mean, error, correction = np.array(moments).T
    if not np.isfinite(mean).all() or (last and _escaped(levels[0], last, lowest)):
        raise ConvergenceError(f"runs on {f.name} diverge; take smaller learning rates")
    bar = Z_95 * error + DOUBTED_CORRECTION * abs(correction) + ROUNDINGS * abs(lowest)
    details = {"paths": paths, "confidence": 0.95, "seed": seed}
    if flow:
        details["discretisation"] = float(abs(correction).max())
    return mean, mean - bar, mean + bar, details


class _Runs:
    """Runs at one size of time steps; `parts` of them, 1 or 2, where the coarser runs have one.

    Steps are counted on from run to run: no random number is used twice. With momentum `x` are pairs.
    """

    def __init__(
        self, f: Objective, points: Array, noise: float, momentum: float, nesterov: bool, seed: int, parts: int,
        diffusion: Diffusion | None,
    ) -> None:  # fmt: skip
        self.f, self.noise, self.momentum, self.nesterov = f, noise, momentum, nesterov
        self.seed, self.parts, self.step, self.diffusion = seed, parts, 0, diffusion
        self.x = np.tile(points, (2, 1)) if momentum else points

    def along(self, run: Run, asked: NDArray[np.int64]) -> Iterator[Array]:
        """f at the points of all runs after the steps asked for, (paths,) each; then on to the end of the run."""
        stops = np.append(asked, run.steps) if not asked.size or asked[-1] < run.steps else asked
        walk = self._flow if run.flow else self._sgd
        for at, x in walk(run.learning_rate, _strides(stops)):
            if at in asked:
                with np.errstate(all="ignore"):
                    yield np.asarray(self.f(x[: self.f.dimension]), dtype=float)

    def _sgd(self, s: float, strides: list[tuple[int, int]]) -> Iterator[tuple[int, Array]]:
        paths = Paths(self._motion(s), self.x)
        paths.step, done = self.step, 0
        for k, count in strides:
            while count:
                now = min(count, max(1, MOST_KEPT_POINTS // self.x.size))
                for snapshot in paths.record(now, k):
                    done += k
                    yield done, snapshot
                count -= now
        self.x, self.step = paths.x, paths.step

    def _motion(self, s: float) -> Motion:
        asked = (self.f, s, s, self.noise, "euler-maruyama", self.seed)
        if not self.momentum:
            return Motion(*asked, diffusion=self.diffusion)
        return MomentumMotion(*asked, momentum=self.momentum, nesterov=self.nesterov)

    def _flow(self, s: float, strides: list[tuple[int, int]]) -> Iterator[tuple[int, Array]]:
        done = 0
        for k, count in strides:
            motion = (self.f, s, self.noise, self.seed)
            for snapshot, x, step in paths_over_gaps(motion, self.x, self.step, k * s, count, self.parts):
                self.x, self.step, done = x, step, done + k
                yield done, snapshot


def _strides(stops: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Steps asked for as (stride, how often), in order."""
    gaps = np.diff(np.append(0, stops))
    starts = np.flatnonzero(np.append(True, gaps[1:] != gaps[:-1]))
    counts = np.diff(np.append(starts, gaps.size))
    return [(int(gaps[i]), int(n)) for i, n in zip(starts, counts, strict=True)]


def _moments(values: tuple[Array, ...] | list[Array], lowest: float) -> tuple[float, float, float]:
    """Mean of f - min f, its standard error, and what extrapolation adds; from f at one time step or at h and 2h."""
    fine = np.asarray(values[0]) - lowest
    correction = (fine - (np.asarray(values[1]) - lowest)) / 3 if len(values) > 1 else np.zeros(fine.size)
    each = fine + correction
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(each.size)), float(correction.mean())


def _escaped(runs: _Runs, last: Run, lowest: float) -> bool:
    """Whether descent from most end points climbs: the height of f there alone says nothing."""
    if last.flow:
        return False
    f, x, descent = runs.f, runs.x, DescentMap(runs.f, last.learning_rate, runs.momentum, runs.nesterov)
    with np.errstate(all="ignore"):
        bound = ESCAPE_FACTOR * (f(descent.position(x)) - lowest)
        gone = np.zeros(x.shape[1], dtype=bool)
        for _ in range(DESCENT_STEPS):
            if not (np.isfinite(x).all(axis=0) & ~gone).any():
                break
            x = descent(x)
            gone |= ~(f(descent.position(x)) - lowest <= bound)
    return bool(2 * np.count_nonzero(gone) > gone.size)
