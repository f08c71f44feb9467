"""How fast paths leave a region where equilibrium has none: the hazard of those that have not left yet.

    P(T > t) ~ c e^{-lambda t},  T the time to what is far enough below;  lambda = -log(part that stays for t)/t

once the paths that are still there have the quasi-stationary law. To have many of them, each round begins with copies
of those that have survived the one before (Fleming and Viot), in groups that never mix. A group counts with the product
of the parts that have stayed in it, so that the mean over groups is free of bias; their spread is the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.estimators.unvisited_regions import HOME
from witten.dynamics.paths.ensemble import CoreMap, Motion, Paths, affordable
from witten.errors import ConvergenceError
from witten.parallel.communicators import Communicator

__all__ = ["Escape"]

Array = NDArray[np.float64]
# Observations in the first round, and how many times 1/lambda paths are left to forget where they started.
FIRST, FORGOTTEN = 8, 6.0
# Groups, and the fewest survivors from which the next round of one begins.
GROUPS, FEWEST = 16, 2
# Student's quantile for errors from so few groups, beside the 2 that intervals are made with.
STUDENT = 2.13 / 2
# Rounds whose parts make the weight of a group.
MEMORY = 3
# Rounds and steps after which a region that is not left has no rate that can be waited for.
ROUNDS, MOST_STEPS = 400, 4_000_000_000

Stop = Callable[[], str | None]


class Escape:
    """Residence times of paths of one motion in a region, more of them with each round."""

    def __init__(self, motion: Motion, points: Array, target: CoreMap, every: int, comm: Communicator) -> None:
        self.motion, self.x, self.target, self.every, self.comm = motion, points, target, every, comm
        self.n_paths = points.shape[1]
        self.groups = np.arange(points.shape[1]) * GROUPS // points.shape[1]
        self.round = self.n_steps = self.diverged = 0
        self.length = FIRST
        self.staying: list[Array] = []
        self.converged = 0

    def converge(self, stop: Stop = lambda: None) -> bool:
        """Rounds until the survivors have forgotten where they started; whether it came to that. ConvergenceError if
        next to none leaves."""
        past = 0
        while True:
            length = self.length
            part = float(self._go(length).mean())
            past += length if part > 0 else 0
            hazard = -math.log(part) / length if part > 0 else math.inf
            if part > 0.2 and hazard * past >= FORGOTTEN:
                self.length, self.converged = max(1, round(1 / hazard)), len(self.staying)
                return True
            if stop() is not None:
                return False
            if self.n_steps > affordable(self.motion, MOST_STEPS) or self.round > ROUNDS:
                raise ConvergenceError(
                    f"paths of {self.motion.objective.name} that start where none of equilibrium comes do not leave in "
                    f"{past * self.every * self.motion.dt:.3g} units of time; use --estimator hitting or splitting"
                )
            self.length = 2 * length if part > 0.7 else max(1, length // 2) if part < 0.3 else length

    def stays(self, time: float) -> bool:
        """Whether any path stays for so long, in one go."""
        return bool(self._go(max(1, round(time / (self.every * self.motion.dt)))).any())

    def more(self, stop: Stop = lambda: None) -> None:
        """One more round, as long as a mean residence time."""
        self._go(self.length)

    def _go(self, length: int) -> Array:
        """The part of each group that stays for a round; the next begins from copies of the survivors."""
        self.round += 1
        motion = replace(self.motion, stream=self.motion.stream + self.round)
        paths = Paths(motion, self.x, comm=self.comm, cores=self.target, home=HOME + 1)
        paths.watch(length, self.every)
        self.n_steps += paths.step * paths.count
        self.diverged = max(self.diverged, paths.diverged)
        stays, x = paths.of_home(HOME + 1), paths.gathered()
        random = np.random.default_rng(motion.stream)
        chosen = np.arange(x.shape[1])
        for group in range(GROUPS):
            members = np.flatnonzero(self.groups == group)
            left = members[stays[members]]
            left = left if left.size >= FEWEST else np.flatnonzero(stays)
            if left.size:
                chosen[members] = left[random.integers(left.size, size=members.size)]
        if stays.any():
            self.x = x[:, chosen]
        self.staying.append(np.bincount(self.groups, weights=stays) / np.bincount(self.groups))
        return self.staying[-1]

    @property
    def rounds(self) -> int:
        """Rounds that count."""
        return len(self.staying) - self.converged

    @property
    def remark(self) -> str:
        """How many have left."""
        left = sum(float((1 - part).mean()) for part in self.staying[self.converged :]) * self.groups.size
        return f"{round(left)} paths seen to leave"

    @property
    def log_rate(self) -> tuple[float, float]:
        """log lambda, and its standard deviation by leaving out groups; (nan, inf) as long as nothing is known."""
        return self._estimate(self.converged)

    @property
    def later(self) -> tuple[float, float]:
        """The same from the later half of the rounds."""
        return self._estimate(self.converged + self.rounds // 2)

    def _estimate(self, first: int) -> tuple[float, float]:
        if not self.rounds:
            return math.nan, math.inf
        parts = np.array(self.staying)
        every = self._log_hazard(parts, first)
        left_out = [self._log_hazard(np.delete(parts, group, axis=1), first) for group in range(GROUPS)]
        spread = STUDENT * max(math.sqrt((GROUPS - 1) * float(np.var(left_out))), self._least(parts[first:]))
        # A ratio of means over groups is biased by their variance over their number, which leaving one out shows.
        value = GROUPS * every - (GROUPS - 1) * float(np.mean(left_out))
        return (value, spread) if math.isfinite(value + spread) else (math.nan, math.inf)

    def _least(self, parts: Array) -> float:
        """What chance makes of log lambda at least, if all paths were independent: rounds end when it seems small."""
        stays = float(np.clip(parts.mean(), 1e-9, 1 - 1e-9))
        return math.sqrt((1 - stays) / (stays * self.groups.size * len(parts))) / -math.log(stays)

    def _log_hazard(self, parts: Array, first: int) -> float:
        """From the parts that stay, shape (rounds, groups), of the rounds from the first on."""
        logs = []
        with np.errstate(divide="ignore", invalid="ignore"):
            for k in range(first, len(parts)):
                weights = parts[max(k - MEMORY, 0) : k].prod(axis=0)
                logs.append(np.log(weights @ parts[k] / weights.sum()))
            hazard = -float(np.mean(logs)) / (self.length * self.every * self.motion.dt)
        return math.log(hazard) if 0 < hazard < math.inf else math.nan
