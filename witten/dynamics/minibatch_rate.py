"""SGD with the noise it has: a gradient on a few samples drawn at every step, instead of a Gaussian.

    x <- x - s g(x, B_k),   B_k: `batch` of `samples` data, drawn independently, with replacement

There is no SDE behind it here, and nothing is extrapolated: the rate is that of this chain, per unit of time t = k s.
The draws have addresses as the Gaussian noise has: (seed, stream, path, step).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.estimators.autocorrelation import Decay, plan
from witten.dynamics.paths.philox import uniforms
from witten.errors import ConvergenceError, RequestError
from witten.parallel.communicators import Communicator, communicator
from witten.rates import SampledRate
from witten.request import positive

__all__ = ["Minibatch", "minibatch_rate"]

Array = NDArray[np.float64]
Gradient = Callable[[Array, NDArray[np.int64]], Array]
CONFIDENCE, QUANTILE = 0.95, 2.0
# Burn-in in units of 1/lambda, as the first guess has it, and rounds of measurement at most.
BURN_IN, MOST_ROUNDS = 3.0, 40


@dataclass(frozen=True, eq=False)
class Minibatch:
    """How SGD moves on minibatches.

    >>> from witten.dynamics.minibatch_rate import Minibatch
    >>> y = np.array([-1.0, 1.0])
    >>> motion = Minibatch(lambda x, chosen: x - y[chosen].mean(axis=0, keepdims=True), 1, samples=2, learning_rate=0.1)
    >>> motion.chosen(range(3), step=0).shape  # one sample for each of three paths
    (1, 3)

    Parameters
    ----------
    gradient : g(x, chosen) with points x (d, n) and the samples chosen for each, whole numbers (batch, n): the mean
        gradient of their losses, (d, n)
    dimension : d
    samples : how many data there are
    learning_rate : s, which is the time step too
    batch : samples per step
    seed, stream : choose the random numbers
    """

    gradient: Gradient
    dimension: int
    samples: int
    learning_rate: float
    batch: int = 1
    seed: int = 0
    stream: int = 0

    def __post_init__(self) -> None:
        positive("learning rate", self.learning_rate)
        for name in ("dimension", "samples", "batch"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def dt(self) -> float:
        """A step is one unit s of time."""
        return self.learning_rate

    def chosen(self, paths: range, step: int) -> NDArray[np.int64]:
        """The samples of a step, shape (batch, n)."""
        u = uniforms(self.seed, paths, self.batch, first=step * self.batch, stream=self.stream)
        return (u * self.samples).astype(np.int64)

    def moved(self, paths: range, x: Array, step: int) -> Array:
        """x (d, n) after one step."""
        with np.errstate(all="ignore"):
            return x - self.learning_rate * np.asarray(self.gradient(x, self.chosen(paths, step)))


def minibatch_rate(
    motion: Minibatch,
    start: Array,
    *,
    paths: int = 512,
    width: float = 0.24,
    stop: Callable[[], str | None] = lambda: None,
    comm: Communicator | None = None,
) -> SampledRate:
    """The rate at which SGD on minibatches forgets where it started, from its slowest observable.

    >>> from witten.dynamics.minibatch_rate import Minibatch, minibatch_rate
    >>> y = np.array([-1.0, 1.0])
    >>> motion = Minibatch(lambda x, chosen: x - y[chosen].mean(axis=0, keepdims=True), 1, samples=2, learning_rate=0.1)
    >>> found = minibatch_rate(motion, np.zeros(1), paths=128)
    >>> bool(found.lower < np.log(-np.log(0.9) / 0.1) < found.upper)
    True

    Parameters
    ----------
    motion : how it moves; start (d,) or (d, m) : where the first paths start, minima as a rule
    paths : how many are simulated
    width : of the 95 % interval, beside the rate, that is narrow enough to end
    stop : asked between rounds; a reason to stop, or None

    Raises
    ------
    ConvergenceError
        if paths leave for infinity, or no decay is seen.
    """
    began, ranks = time.perf_counter(), comm or communicator()
    points = np.atleast_2d(np.asarray(start, dtype=float).T).T.reshape(motion.dimension, -1)
    pilots = replace(motion, stream=motion.stream + 1)
    found = plan(pilots, points[:, np.arange(paths) % points.shape[1]], motion.dt, ranks)
    assert found is not None  # it is not stopped before it knows something
    ends = found.ends[:, np.arange(paths) % found.ends.shape[1]]
    decay = Decay(motion, ends, found, ranks, burn_in=BURN_IN)
    for _ in range(MOST_ROUNDS):
        decay.more()
        log_rate, error = decay.log_rate
        if 2 * QUANTILE * error <= width or stop() is not None:
            break
    if not math.isfinite(error):
        raise ConvergenceError("no decay was seen; ask for more paths, or start them elsewhere")
    half = QUANTILE * error
    remark = f"noise of minibatches: {motion.batch} of {motion.samples} samples, drawn with replacement"
    return SampledRate(
        motion.learning_rate, log_rate, log_rate - half, log_rate + half, True, "autocorrelation", paths,
        time.perf_counter() - began, (log_rate,), notes=(remark, decay.remark), confidence=CONFIDENCE,
        n_steps=found.n_steps + decay.n_steps, dt=motion.dt, diverged=decay.diverged,
    )  # fmt: skip
