"""Rates from residence times: how long paths stay with a core before they are seen in another one.

A path's home is the core it was seen in last. Over observations h apart, with n_i of paths of home i, n_ij moves from i
to j and r_ij observations on the way there, the functions q_i(x) = P(core i is the next one | x) span a space in which
the step of the chain X_0, X_h, ... has the pencil

    (I - P) v = mu A v,    (I - P)_ij = delta_ij sum_k n_ik/n_i - n_ij/n_i,    A_ij = r_ij/n_i,  rows of A sum to one,

and 1 - mu = e^{-lambda h} up to a relative error of order lambda_1/lambda_m (milestoning [Schuette2011]). In the
symmetric case of two wells, each left at rate k, that is lambda = 2k. Observations that have not seen a next core yet
count for n_i: nothing is lost by censoring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.equilibrium.equilibrium import Equilibrium
from witten.dynamics.paths.ensemble import CoreMap, Motion, Paths, ResidenceTimes
from witten.parallel.communicators import Communicator

__all__ = ["Hitting", "Residences", "ResidenceRates", "from_minima", "residence_rates", "slow_rates"]

Array = NDArray[np.float64]
Counts = NDArray[np.int64] | Array
DRAWS = 400
# Observations are so far apart, over the largest curvature where paths often are.
APART = 1.6
# Time that paths from the minima have for forgetting that, over the smallest curvature there; observations in the first
# round, and by which factor each round makes the whole longer.
SETTLING, FIRST, LONGER = 5.0, 500, 1.6
# How many times longer many paths have.
SETTLED = 4
# Steps of all paths in a round: a run can be ended between two.
MOST_AT_ONCE = 1_000_000_000


@dataclass(frozen=True, eq=False)
class ResidenceRates:
    """Rates of the chain between cores, and how well the number of moves tells the smallest.

    Attributes
    ----------
    rates : (m - 1,) ascending; the first may be 0
    log_error : standard deviation of the logarithm of the first; inf where no move was seen that matters
    moves : moves seen
    """

    rates: Array
    log_error: float
    moves: int


def residence_rates(times: ResidenceTimes, interval: float, seed: int) -> ResidenceRates:
    """Rates per unit time from residence times that were observed every `interval`.

    The error comes from draws in which every n_ij has the gamma law of its unknown mean; a home that was never left
    may have been on the point of it (half a move in each direction).
    """
    rates = slow_rates(times.resided, times.moved, times.transit, interval)
    random = np.random.default_rng(seed)
    unseen = (times.moved.sum(axis=1, keepdims=True) == 0) & ~np.eye(times.resided.size, dtype=bool)
    draws = random.gamma(times.moved + 0.5 * unseen, size=(DRAWS, *times.moved.shape))
    mean_transit = times.transit / np.maximum(times.moved, 1)
    smallest = slow_rates(times.resided, draws, draws * mean_transit, interval)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = float(np.std(np.log(smallest)))
    known = rates[0] > 0 and np.isfinite(spread)
    return ResidenceRates(rates, spread if known else np.inf, int(times.moved.sum()))


@dataclass(frozen=True, eq=False)
class Residences:
    """Residence times, to which those of other paths can be added, and the rates from them.

    `interval` is the time between observations, `seed` that of the draws for the error.
    """

    times: ResidenceTimes
    interval: float
    seed: int

    def __add__(self, other: Residences) -> Residences:
        """Of the paths of both."""
        mine, more = self.times, other.times
        times = ResidenceTimes(mine.resided + more.resided, mine.moved + more.moved, mine.transit + more.transit)
        return replace(self, times=times)

    @cached_property
    def rates(self) -> ResidenceRates:
        """The rates from all residence times."""
        return residence_rates(self.times, self.interval, self.seed)

    @property
    def log_rate(self) -> tuple[float, float]:
        """log lambda and its standard deviation; (nan, inf) as long as nothing is known."""
        found = self.rates
        return (float(np.log(found.rates[0])), found.log_error) if found.rates[0] > 0 else (np.nan, np.inf)

    @property
    def later(self) -> tuple[float, float]:
        """Not known."""
        return math.nan, math.inf

    @property
    def remark(self) -> str:
        """How many wells, and how often one was left for another."""
        return f"{self.times.resided.size} wells, {self.rates.moves} moves between them"


class Hitting:
    """Residence times of the paths of one motion, longer ones with each round.

    They start at points (d, n), have some steps to forget that, and are observed every so many. Where homes (n,) are
    given, the cores they start in, paths have longer to settle and are watched meanwhile: those that are then on the
    way to another core count. Without, arrivals are missed for as long as a transit takes, a few per cent of the first
    round, which intervals of many paths would not hold."""

    def __init__(
        self, motion: Motion, points: Array, cores: CoreMap, comm: Communicator, *, settling: int, every: int,
        first: int = 0, homes: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        self.motion, self.every = motion, every
        self.paths = Paths(motion, points, comm=comm, cores=cores, first=first, home=-1 if homes is None else homes)
        if homes is None:
            self.paths.advance(settling)
        else:
            self.paths.watch(-(-SETTLED * settling // every), every)
            self.paths.forget()
        self.observations = 0

    @classmethod
    def between_wells(
        cls, motion: Motion, equilibrium: Equilibrium, comm: Communicator, many: bool, numbers: range
    ) -> Hitting:
        """Paths from the minima of the deep wells, by the time scales of f."""
        every = max(1, round(APART / (equilibrium.stiffness * motion.dt)))
        settling = max(1, round(SETTLING / (equilibrium.softness * motion.dt)))
        cores = CoreMap.within(equilibrium.cores.centres, equilibrium.cores.metrics)
        points, homes = from_minima(equilibrium, numbers)
        return cls(
            motion, points, cores, comm, settling=settling, every=every, first=numbers.start,
            homes=homes if many else None,
        )  # fmt: skip

    def more(self, stop: Callable[[], str | None] = lambda: None) -> None:
        """One more round of observations."""
        count = max(FIRST, round((LONGER - 1) * self.observations))
        count = min(count, 1 + MOST_AT_ONCE // (self.every * self.paths.count))
        self.paths.watch(count, self.every)
        self.observations += count

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
    def seen(self) -> Residences:
        """Of all observations so far."""
        seed = (self.motion.seed + self.motion.stream) % 2**32
        return Residences(self.paths.residence_times(), self.every * self.motion.dt, seed)

    @property
    def log_rate(self) -> tuple[float, float]:
        """log lambda and its standard deviation; (nan, inf) as long as nothing is known."""
        return self.seen.log_rate

    @property
    def later(self) -> tuple[float, float]:
        """Not known."""
        return math.nan, math.inf

    @property
    def remark(self) -> str:
        """How many wells, and how often one was left for another."""
        return self.seen.remark


def from_minima(equilibrium: Equilibrium, numbers: range) -> tuple[Array, NDArray[np.int64]]:
    """The minima of the deep wells, for paths of these numbers in turn, (d, n), and which of them, (n,)."""
    homes = np.array(numbers) % len(equilibrium.deep)
    return equilibrium.wells.minima[:, equilibrium.deep[homes]], homes


def slow_rates(resided: Counts, moved: Counts, transit: Counts, interval: float) -> Array:
    """-log(1 - mu)/h for the eigenvalues mu of the pencil but the zero, ascending; (..., m, m) -> (..., m - 1)."""
    m = resided.size
    eye = np.eye(m)
    observations = np.maximum(np.asarray(resided, dtype=float), 1.0)[:, None]
    out, between = moved / observations * (1 - eye), transit / observations * (1 - eye)
    generator = out.sum(axis=-1, keepdims=True) * eye - out
    mass = between + (1 - between.sum(axis=-1, keepdims=True)) * eye
    mu = np.sort(np.linalg.eigvals(np.linalg.solve(mass, generator)).real, axis=-1)[..., 1:]
    return np.asarray(-np.log1p(-np.clip(mu, 0.0, 1 - 1e-12)) / interval)
