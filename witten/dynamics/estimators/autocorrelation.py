"""Rates from the decay of the autocorrelation of a slow observable.

    C(t) = <u(X_0) u(X_t)> = sum_k a_k e^{-lambda_k t},   lambda = log(C(t_1)/C(t_2))/(t_2 - t_1)

over stationary paths, t_1 about 1/(4 lambda) and t_2 one 1/lambda later. u is found by a first run (`slow_mode`), which
also tells how long an interval between observations and a run must be; the paths that are measured are others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.estimators.slow_observable import SlowMode, correlation, rough_mode, slow_directions, slow_mode
from witten.dynamics.paths.ensemble import Paths, Steps, affordable
from witten.dynamics.paths.schemes import FAR
from witten.errors import ConvergenceError
from witten.memory import require_memory
from witten.parallel.communicators import Communicator, agree

__all__ = ["Correlations", "Decay", "DecayRate", "Plan", "decay_rate", "plan"]

Array = NDArray[np.float64]
# Observations of a path in a first run and in a round of measurement, how many of them there should be in 1/lambda, and
# the lag of a fit, in observations.
OBSERVATIONS, ROUND, PER_TIME, FIT_LAG = 40, 80, 8, 3
# The lags between which the decay is measured, in units of 1/lambda; and up to which a slower one is looked for.
FIRST, LAST, LATER = 0.25, 1.25, 2.0
MOST_PILOTS, MOST_PILOT_STEPS = 14, 4_000_000_000
GROUPS = 64
# How often all observations are held at once: as simulated, gathered, kept, and in products.
COPIES = 4
# Coordinates of all paths that are held in memory, and steps of all paths between two questions whether to stop.
MOST_NUMBERS, MOST_AT_ONCE = 10_000_000, 500_000_000

Stop = Callable[[], str | None]


@dataclass(frozen=True, eq=False)
class Plan:
    """The observable, a first guess of lambda, the steps that finding them took, and where they ended."""

    mode: SlowMode
    rate: float
    n_steps: int
    ends: Array


@dataclass(frozen=True, eq=False)
class DecayRate:
    """log lambda with its standard deviation, the part of u's variance that decays so slowly, and the first two from
    later lags: C is a sum of decays, and what is measured of it later is nearer to the slowest."""

    log_rate: float
    log_error: float
    overlap: float
    later: tuple[float, float] = (math.nan, math.inf)


def plan(
    motion: Steps, points: Array, first_interval: float, comm: Communicator, stop: Stop = lambda: None
) -> Plan | None:
    """Runs of growing length until 1/lambda fits into one several times; then the observable.

    points (d, n) are where the first paths start, in the stationary law or near it. None if it was stopped.

    Raises
    ------
    ConvergenceError
        if most paths leave for infinity, or nothing decays within a run that is still affordable.
    """
    interval, n_steps = first_interval, 0
    paths = Paths(motion, points, comm=comm)
    for _ in range(MOST_PILOTS):
        every = max(1, round(interval / motion.dt))
        _check_length(n_steps + OBSERVATIONS * every * points.shape[1], motion)
        _require_room(OBSERVATIONS * points.size, points.shape[1])
        snapshots = paths.gathered(paths.record(OBSERVATIONS, every))
        n_steps += OBSERVATIONS * every * points.shape[1]
        kept = _whole(snapshots, motion)
        rough = agree(comm, partial(rough_mode, kept, FIT_LAG, projection=_projection(kept)))
        rate = _guess(rough(kept), every * motion.dt)
        if PER_TIME * rate * 1.5 * interval > 1:
            break
        if stop() is not None:
            return None
        interval *= min(1 / (PER_TIME * rate * interval), 4.0) if rate > 0 else 4.0
    mode = agree(comm, partial(slow_mode, kept, FIT_LAG, projection=_projection(kept)))
    return Plan(mode, max(_guess(mode(kept), every * motion.dt), 1e-3 / interval), n_steps, kept[-1])


def _require_room(numbers: int, paths: int) -> None:
    """ConvergenceError where the memory does not suffice for so many numbers and what is made of them."""
    require_memory(COPIES * 8 * numbers, f"the observations of {paths} paths", "ask for fewer paths")


def _whole(snapshots: Array, motion: Steps) -> Array:
    """The paths that have not left for infinity."""
    whole = (np.abs(snapshots) < FAR).all(axis=(0, 1))
    if 2 * np.count_nonzero(whole) < whole.size:
        raise ConvergenceError(
            f"paths left for infinity with time step {motion.dt:.3g}, {np.count_nonzero(~whole)} of {whole.size}; "
            "use a smaller --dt"
        )
    return snapshots[..., whole]


def _check_length(n_steps: int, motion: Steps) -> None:
    most = affordable(motion, MOST_PILOT_STEPS)
    if n_steps > most:
        raise ConvergenceError(
            f"correlations do not decay within {most:.0e} steps of {motion.dt:.3g}; "
            "give a larger --dt, or use --estimator hitting or splitting"
        )


def _projection(snapshots: Array) -> Array | None:
    """What an observable depends on: all coordinates, or a few slow directions where there are many."""
    return None if snapshots.shape[1] <= 3 else slow_directions(snapshots, FIT_LAG)


def _guess(values: Array, interval: float) -> float:
    """A first rate from the shortest lag at which the correlation has fallen by a third, or from the longest."""
    for lag in range(1, OBSERVATIONS // 2):
        rho = correlation(values, lag)
        if rho < 0.7:
            break
    return -math.log(min(max(rho, 1e-3), 1.0)) / (lag * interval)


class Decay:
    """Values of the observable along stationary paths of one motion, more of them with each round.

    Paths first run for `burn_in` 1/lambda, where the points are not in the stationary law.
    """

    def __init__(
        self, motion: Steps, points: Array, plan: Plan, comm: Communicator, *, burn_in: float = 0.0, first: int = 0
    ) -> None:
        self.mode = plan.mode
        self.every = max(1, round(1 / (PER_TIME * plan.rate * motion.dt)))
        observations = 1 / (plan.rate * motion.dt * self.every)
        early = max(1, round(FIRST * observations))
        late = max(early + 1, round(LAST * observations))
        self.lags = early, late, max(late + 1, round(LATER * observations))
        self.paths = Paths(motion, points, comm=comm, first=first)
        self.values = np.empty((0, points.shape[1]))
        self.paths.advance(round(burn_in / (plan.rate * motion.dt)))

    def more(self, stop: Stop = lambda: None) -> None:
        """One more round of observations, or a part of it if it is stopped."""
        count = self.paths.count
        _require_room((len(self.values) + ROUND) * count, count)
        at_once = min(ROUND, MOST_NUMBERS // (self.paths.x.shape[0] * count), MOST_AT_ONCE // (self.every * count))
        at_once = max(at_once, 1)
        for done in range(0, ROUND, at_once):
            snapshots = self.paths.record(min(at_once, ROUND - done), self.every)
            self.values = np.concatenate([self.values, self.paths.gathered(self.observed(snapshots))])
            if at_once < ROUND and stop() is not None:
                break

    def observed(self, snapshots: Array) -> Array:
        """What is kept of points (k, d, n): the observable, shape (k, n); nan for paths that have left for infinity."""
        return np.where((np.abs(snapshots) < FAR).all(axis=1), self.mode(snapshots), np.nan)

    @property
    def n_steps(self) -> int:
        return self.paths.step * self.paths.count

    @property
    def n_paths(self) -> int:
        return self.paths.count

    @property
    def diverged(self) -> int:
        return self.paths.diverged

    @property
    def log_rate(self) -> tuple[float, float]:
        """log lambda and its standard deviation; (nan, inf) as long as nothing is known."""
        return self.seen.log_rate

    @property
    def later(self) -> tuple[float, float]:
        """log lambda from later lags and its standard deviation; (nan, inf) as long as it is not known."""
        return self.seen.later

    @property
    def remark(self) -> str:
        """Which observable, and the part of its variance that decays at the rate found."""
        return self.seen.remark

    @property
    def seen(self) -> Correlations:
        """Of all observations so far; paths that have diverged are left out."""
        values = self.values[:, np.isfinite(self.values).all(axis=0)]
        return Correlations.of(values, self.every * self.paths.motion.dt, self.lags, self.mode.about)


@dataclass(frozen=True, eq=False)
class Correlations:
    """C(t) of an observable u of mean 0 at a few lags, summed over the paths of each group: those of other paths can be
    added.

    Attributes
    ----------
    sums : (1 + l, GROUPS), for t = 0 and each lag; zero where no path has been watched for as long as the last
    lags : two or three, in observations
    interval : time between observations
    about : what u is made of
    """

    sums: Array
    lags: tuple[int, ...]
    interval: float
    about: str = ""

    @classmethod
    def of(cls, values: Array, interval: float, lags: tuple[int, ...], about: str = "") -> Correlations:
        """Of values (k, n) of an observable along paths. Its mean is that of these values."""
        if len(values) <= lags[-1]:
            return cls(np.zeros((1 + len(lags), GROUPS)), lags, interval, about)
        u = values - values.mean()
        groups = np.arange(u.shape[1]) * GROUPS // u.shape[1]
        sums = [_by_group(u[: len(u) - lag] * u[lag:], groups) / (len(u) - lag) for lag in (0, *lags)]
        return cls(np.array(sums), lags, interval, about)

    def __add__(self, other: Correlations) -> Correlations:
        """Of the paths of both."""
        return replace(self, sums=self.sums + other.sums)

    @property
    def log_rate(self) -> tuple[float, float]:
        """log lambda and its standard deviation; (nan, inf) as long as nothing is known."""
        return self.rate.log_rate, self.rate.log_error

    @property
    def later(self) -> tuple[float, float]:
        """The same from the last two lags."""
        return self.rate.later

    @property
    def remark(self) -> str:
        """Which observable, and the part of its variance that decays at the rate found."""
        return f"observable: {self.about}, overlap {self.rate.overlap:.3f}"

    @cached_property
    def rate(self) -> DecayRate:
        """From two lags, its error by leaving out groups of paths (jackknife); with that from the second to a third
        lag, if there is one."""
        (first, last), every = self.lags[:2], self.sums.sum(axis=1)
        without = every[:, None] - self.sums
        log_rate, log_error = _log_decay(every[1:3], without[1:3], (last - first) * self.interval)
        if not math.isfinite(log_rate):
            return DecayRate(math.nan, math.inf, math.nan)
        overlap = float(every[1] / every[0] * math.exp(math.exp(log_rate) * first * self.interval))
        if len(self.lags) == 2:
            return DecayRate(log_rate, log_error, overlap)
        later = (self.lags[2] - last) * self.interval
        return DecayRate(log_rate, log_error, overlap, _log_decay(every[2:], without[2:], later))


def decay_rate(values: Array, interval: float, *lags: int) -> DecayRate:
    """The rate from u along paths, values (k, n), by two or three lags counted in observations."""
    return Correlations.of(values, interval, lags).rate


def _log_decay(every: Array, without: Array, time: float) -> tuple[float, float]:
    """log of the rate at which one sum over all groups becomes the next in a time, and its standard deviation from the
    sums without each group; (nan, inf) where it does not fall."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = math.log(every[0] / every[1]) / time if 0 < every[1] < every[0] else math.nan
        left_out = np.log(without[0] / without[1]) / time
    spread = math.sqrt((GROUPS - 1) * float(np.mean((left_out - left_out.mean()) ** 2)))
    return (math.log(rate), spread / rate) if rate > 0 and math.isfinite(spread) else (math.nan, math.inf)


def _by_group(products: Array, groups: NDArray[np.int64]) -> Array:
    """Sums over observations and over the paths of each group, shape (GROUPS,)."""
    return np.bincount(groups, weights=products.sum(axis=0), minlength=GROUPS)
