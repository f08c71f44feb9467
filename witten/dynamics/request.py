"""What is simulated, and what an estimator's runs have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from witten.dynamics.paths import schemes
from witten.dynamics.paths.ensemble import Motion
from witten.errors import RequestError
from witten.noise import Diffusion
from witten.objectives import Objective
from witten.parallel.communicators import Communicator
from witten.request import seed_of

__all__ = [
    "CONFIDENCE",
    "PATHS",
    "QUANTILE",
    "SGD",
    "STEP",
    "WIDTH",
    "Level",
    "Request",
    "Stop",
    "check_count",
    "combined",
    "reach_down",
]

SGD = "sgd"
# The quantile is Student's for errors from 64 groups of paths.
CONFIDENCE, QUANTILE = 0.95, 2.0
# (upper - lower)/rate of an interval that is narrow enough.
WIDTH = 0.24
# The finer time step times the largest curvature where paths often are.
STEP = 0.2
# Paths with the finer step, how many times fewer with the coarser one, and limits: groups of two make an error, and
# random numbers know the number of a path by 32 bits.
PATHS, FEWER, FEWEST_PATHS, MOST_PATHS = 2048, 2, 128, 2**31

Stop = Callable[[], str | None]


class Level(Protocol):
    """One time step's paths."""

    def more(self, stop: Stop) -> None: ...

    @property
    def n_steps(self) -> int: ...

    @property
    def n_paths(self) -> int: ...

    @property
    def log_rate(self) -> tuple[float, float]: ...

    @property
    def later(self) -> tuple[float, float]: ...

    @property
    def diverged(self) -> int: ...

    @property
    def remark(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Request:
    """What is simulated, and how far."""

    objective: Objective
    learning_rate: float
    noise: float
    paths: int
    dt: float | None
    scheme: str
    seed: int
    width: float
    comm: Communicator
    diffusion: Diffusion | None = None

    @property
    def order(self) -> int | None:
        """Of the rate in h; None where it is not extrapolated."""
        return {SGD: None, schemes.HEUN: 2}.get(self.scheme, 1)

    @property
    def otherwise(self) -> str:
        """What to ask where transitions are too rare for paths."""
        return "--estimator splitting, or witten gap"

    @property
    def s(self) -> float:
        """s sigma^2."""
        return self.learning_rate * self.noise**2

    def motion(self, dt: float, stream: int) -> Motion:
        own = seed_of(self.seed, self.learning_rate, self.noise)
        scheme = schemes.EULER_MARUYAMA if self.scheme == SGD else self.scheme
        return Motion(self.objective, self.learning_rate, dt, self.noise, scheme, own, stream, self.diffusion)

    def runs(self, dt: float) -> list[tuple[float, int, int]]:
        """Time step, number of paths and stream of each run."""
        fine = (dt, self.paths, 1)
        return [fine] if self.order is None else [fine, (2 * dt, -(-self.paths // FEWER), 2)]


def check_count(paths: int | None) -> None:
    """RequestError for too few paths, or more than there are random numbers for."""
    if paths is not None and paths < FEWEST_PATHS:
        raise RequestError(f"at least {FEWEST_PATHS} paths are needed for an interval, got {paths}")
    if paths is not None and paths > MOST_PATHS:
        raise RequestError(f"random numbers are there for {MOST_PATHS} paths, got {paths}; use another --seed for more")


def combined(levels: Sequence[Level], order: int | None) -> tuple[float, float]:
    """log lambda at h -> 0 and its standard deviation."""
    values, errors = zip(*(level.log_rate for level in levels), strict=True)
    if order is None:
        return values[0], errors[0]
    a = 2**order
    return (a * values[0] - values[1]) / (a - 1), math.hypot(a * errors[0], errors[1]) / (a - 1)


def reach_down(levels: Sequence[Level], half: float) -> float:
    """How far the interval of log lambda reaches down: by its half-width, or to the lower end of the interval from
    later times, where modes under the one that is seen would show."""
    weights = [2 / 3, 1 / 3] if len(levels) == 2 else [1.0]
    later = sum(w * (level.log_rate[0] - level.later[0]) for w, level in zip(weights, levels, strict=True))
    error = QUANTILE * math.hypot(*(w * level.later[1] for w, level in zip(weights, levels, strict=True)))
    return max(half, later + error) if math.isfinite(later + error) else half
