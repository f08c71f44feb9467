"""What an estimator answers: a rate with its confidence interval, and what it took."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from witten.rates import RateRecord, Sampling

__all__ = ["Estimate", "as_record"]


@dataclass(frozen=True)
class Estimate:
    """The rate lambda_s at one learning rate, from simulated paths.

    Logarithms, because a rate from splitting may be of any size.

    Parameters
    ----------
    learning_rate : s
    log_rate : natural logarithm of the rate
    low, high : natural logarithms of the ends of the interval; low may be -inf
    confidence : of the interval, 0.95
    estimator : 'autocorrelation', 'hitting', 'splitting', ...
    n_paths : independent paths
    n_steps : steps of all paths together, those of every step size counted
    dt : the finest time step
    seconds : wall time
    diverged : paths that left for infinity; they are counted and left out of the averages
    stopped : whether it was ended before the interval was narrow enough
    blind : whether a mode, a slower one perhaps, may live where the paths hardly ever come
    resolved : whether the interval means anything
    rates : all rates found, without the zero, the smallest first
    remarks : what a reader should know, in words
    """

    learning_rate: float
    log_rate: float
    low: float
    high: float
    confidence: float
    estimator: str
    n_paths: int
    n_steps: int
    dt: float
    seconds: float
    diverged: int = 0
    stopped: bool = False
    blind: bool = False
    resolved: bool = True
    rates: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """lambda_s; 0.0 where it is below the doubles."""
        return math.exp(self.log_rate)

    @property
    def width(self) -> float:
        """(high - low)/rate of the interval, both ends as rates."""
        return math.exp(self.high - self.log_rate) - math.exp(self.low - self.log_rate)


def as_record(estimate: Estimate) -> RateRecord:
    """The estimate as every route answers; the interval becomes the error bar."""
    return RateRecord(
        estimate.learning_rate,
        estimate.log_rate,
        estimate.low,
        estimate.high,
        estimate.resolved,
        solver=estimate.estimator,
        n_dofs=estimate.n_paths,
        seconds=estimate.seconds,
        rates=estimate.rates,
        sampling=Sampling(**{each.name: getattr(estimate, each.name) for each in fields(Sampling)}),
    )
