"""Large steps that are decayed against small ones, stopped at one train loss: test losses, and how often it matters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.annealing.losses import Losses
from witten.annealing.trajectory import Trajectory, follow
from witten.display import Displayed
from witten.errors import RequestError
from witten.schedules import Schedule, Stage, Stop

__all__ = ["Annealing", "Comparison", "Outcome", "anneal", "compare", "limit_ratio"]

Array = NDArray[np.float64]
# Large steps are taken until the modes that they shrink add less than this part of eps to the train loss.
FORGOTTEN = 1e-9
MOST_LARGE_STEPS, MOST_STEPS, MOST_SAMPLES = 100_000, 10_000_000, 1000
# Its squares and those of what is forgotten have to be doubles.
SMALLEST_EPS = 1e-100
# The paper's: three samples, stopped where higher orders in eps do not show.
SAMPLES, EPS = 3, 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Displayed):
    """Large steps and then the flow, against small steps alone, both stopped at one train loss.

    Attributes
    ----------
    losses, eps : of what, and the train loss
    annealed, small : the two trajectories
    """

    picture: ClassVar[str] = "plot_annealing"

    losses: Losses
    eps: float
    annealed: Trajectory
    small: Trajectory

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        losses = f"{self.annealed.test_loss:.4g} after large steps, {self.small.test_loss:.4g} after small ones"
        return f"train loss {self.eps:g}: test loss {losses}, ratio {self.ratio:.4g}"

    @property
    def ratio(self) -> float:
        """Test loss of the small steps over that of the large ones that were decayed."""
        return self.small.test_loss / self.annealed.test_loss


def limit_ratio(losses: Losses) -> float:
    """(mu_n/lambda_n)/(mu_1/lambda_1), the ratio as eps -> 0 where lambda_1 and lambda_n are simple and the start has a
    part of both; 1 where a direction is not seen at all, whose test loss both keep, or all weights are equal.

    >>> print(f"{witten.annealing.limit_ratio(witten.annealing.Losses(np.diag([2/3, 1/3]), np.eye(2)/2)):.6f}")
    2.000000
    """
    weights, population = losses.weights, losses.population_weights
    if weights[-1] <= 0.0 or np.ptp(weights) <= 1e-12 * weights[0]:
        return 1.0
    return float((population[-1] / weights[-1]) / (population[0] / weights[0]))


def compare(
    losses: Losses,
    start: ArrayLike,
    eps: float,
    *,
    large: float | None = None,
    large_steps: int | None = None,
    small: float | None = None,
) -> Comparison:
    """Descent with large steps and then the flow, and with small steps alone, stopped at the train loss eps.

    >>> losses = witten.annealing.Losses(np.diag([2/3, 1/3]), np.eye(2)/2)
    >>> print(f"{witten.annealing.compare(losses, (1.0, 1.0), 1e-6).ratio:.4f}")
    2.0000

    Parameters
    ----------
    start : d, shape (d,)
    eps : at least 1e-100, and below the train loss of the start
    large : the large step size; 1/lambda_1 where left out
    large_steps : how many of them; as many as it takes to forget all modes but those of lambda_1, where left out
    small : the small step size of both; the flow where left out

    Raises
    ------
    RequestError
        if eps is not below the train loss of the start or too small for doubles, or a small step size does not converge
        to it.
    """
    delta = np.asarray(start, dtype=float)
    before = float(losses.train_loss(delta))
    if not SMALLEST_EPS <= eps < before:
        raise RequestError(
            f"eps must be between {SMALLEST_EPS:g} and the train loss of the start, {before:g}, got {eps:g}"
        )
    s = losses.edge if large is None else float(large)
    count = _large_steps(losses, delta, s, eps) if large_steps is None else large_steps
    with np.errstate(over="ignore", invalid="ignore"):
        after = losses.stepped(delta, s, count)
    if not np.isfinite(losses.train_loss(after)):
        raise RequestError(f"{count} steps of {s:g} diverge; take fewer, or smaller ones")
    if small is not None and not 0 < small < losses.edge:
        raise RequestError(f"the small step size must be positive and below {losses.edge:g}, got {small:g}")
    plans = _plan(losses, after, eps, small, (s, count)), _plan(losses, delta, eps, small, None)
    found = [follow(losses, delta, plan) for plan in plans]
    if not all(each.stopped for each in found):
        raise RequestError(f"the train loss does not fall to {eps:g} in {MOST_STEPS} steps; take other step sizes")
    return Comparison(losses, float(eps), *found)


def _plan(losses: Losses, delta: Array, eps: float, small: float | None, head: tuple[float, int] | None) -> Schedule:
    """Small steps, or the flow, after a head of large ones that ends at d, for as long as it may take."""
    seen = losses.weights[losses.weights > 0]
    s = 1.0 / float(seen[0]) if small is None else float(small)
    largest = max(1e-16, float(abs(1.0 - 2.0 * s * seen).max()))
    slowest = 2.0 * s * float(seen[-1]) if small is None else -math.log(largest)
    above = math.log(max(math.e, float(losses.train_loss(delta)) / eps))
    steps = min(MOST_STEPS, 2 + math.ceil(above / (2.0 * slowest)))
    stages = [] if head is None else [Stage("constant", float(head[0]), int(head[1]))]
    tail = Stage("constant", s, steps, flow=small is None)
    return Schedule((*stages, tail), Stop("loss", float(eps)))


def _large_steps(losses: Losses, delta: Array, s: float, eps: float) -> int:
    """Steps until the modes with factors below 1 in size add less than FORGOTTEN eps to the train loss."""
    factors = abs(1.0 - 2.0 * s * losses.weights)
    energy = losses.weights * (losses.modes.T @ delta) ** 2
    fading = (factors < 1.0 - 1e-9) & (energy > FORGOTTEN * eps)
    if not fading.any():
        return 1
    wanted = np.log(FORGOTTEN * eps / energy[fading]) / (2.0 * np.log(np.maximum(factors[fading], 1e-16)))
    return min(max(1, math.ceil(wanted.max())), MOST_LARGE_STEPS)


@dataclass(frozen=True, eq=False)
class Outcome:
    """Samples that hold e1 so many times.

    Attributes
    ----------
    counts : how often e1 and e2 were drawn
    probability : of these counts
    losses : train and test loss
    """

    counts: tuple[int, int]
    probability: float
    losses: Losses

    @property
    def mismatched(self) -> bool:
        """Whether both are seen, and one more often than the other: the samples that gain."""
        return min(self.counts) > 0 and self.counts[0] != self.counts[1]


@dataclass(frozen=True, eq=False)
class Annealing:
    """Noiseless regression on inputs drawn from e1 and e2, each with probability 1/2.

    Attributes
    ----------
    samples, eps : how many inputs, and the train loss at which both trajectories are stopped
    outcomes : all samples, by counts
    comparison : of the most probable mismatched sample; None where there is none
    """

    samples: int
    eps: float
    outcomes: tuple[Outcome, ...]
    comparison: Comparison | None

    @property
    def probability(self) -> float:
        """Of a mismatched sample."""
        return float(sum(each.probability for each in self.outcomes if each.mismatched))

    @property
    def ratio(self) -> float:
        """Test loss of small steps over that of decayed ones, on the most probable mismatched sample; nan without."""
        return math.nan if self.comparison is None else self.comparison.ratio


def anneal(samples: int = SAMPLES, eps: float = EPS, *, small: float | None = None) -> Annealing:
    """The example of [Nakkiran2020]: x uniform on {e1, e2}, y = w* . x, from d = (1, 1); with 3 samples the ratio
    tends to 2, and the probability is 3/4.

    >>> round(witten.anneal().ratio, 3)
    2.0

    Parameters
    ----------
    samples : n, 1 to 1000
    eps : train loss at which both trajectories are stopped
    small : as in `compare`

    Raises
    ------
    RequestError
        if the request is wrong.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise RequestError(f"the number of samples must be from 1 to {MOST_SAMPLES}, got {samples}")
    outcomes = tuple(_outcome(k, samples) for k in range(samples, -1, -1))
    mismatched = [each for each in outcomes if each.mismatched]
    likely = max(mismatched, key=lambda each: each.probability, default=None)
    found = None if likely is None else compare(likely.losses, np.ones(2), eps, small=small)
    return Annealing(samples, float(eps), outcomes, found)


def _outcome(k: int, n: int) -> Outcome:
    losses = Losses(np.diag([k / n, 1.0 - k / n]), 0.5 * np.eye(2))
    return Outcome((k, n - k), math.comb(n, k) / 2**n, losses)
