"""Descent on a quadratic loss along a schedule, stopped at a train loss: every step and every time in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from witten.annealing.losses import Losses
from witten.errors import ConvergenceError, RequestError
from witten.schedules import Run, Schedule

__all__ = ["Trajectory", "follow"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Descent along a schedule up to where it was stopped.

    Attributes
    ----------
    losses : of which
    schedule : with the rule that stops it
    start, end : d, shape (d,)
    steps : made, a fraction of one included; those of a flow count as its time over s
    time : sum of the learning rates up to there
    stopped : whether the train loss has reached the bound
    """

    losses: Losses
    schedule: Schedule
    start: Array
    end: Array
    steps: float
    time: float
    stopped: bool

    @property
    def train_loss(self) -> float:
        return float(self.losses.train_loss(self.end))

    @property
    def test_loss(self) -> float:
        return float(self.losses.test_loss(self.end))

    def path(self, points: int = 200) -> Array:
        """Points along it, all of the first steps and so many of each flow, shape (d, n)."""
        pieces, delta, left = [self.start[:, None]], self.start, self.steps
        for run in self.schedule.runs():
            here = min(left, float(run.steps))
            if run.flow:
                fading = np.linspace(0.0, 1.0, points) ** 3
                pieces.append(self.losses.flowed(delta, here * run.learning_rate * fading))
            else:
                pieces.append(self.losses.stepped(delta, run.learning_rate, np.arange(1, min(int(here), points) + 1)))
            delta, left = _whole(self.losses, run, delta), left - here
            if left <= 0:
                break
        return np.concatenate([*pieces, self.end[:, None]], axis=1)


def follow(losses: Losses, start: ArrayLike, schedule: Schedule | str) -> Trajectory:
    """d along a schedule, by its modes, to where the train loss first is the bound of `until loss<E`.

    Between two steps the point is on the straight line, where the train loss is the bound exactly; flows (`:flow`) are
    stopped on time.

    >>> losses = witten.annealing.Losses(np.diag([2/3, 1/3]), np.eye(2)/2)
    >>> print(*(f"{x:.4f}" for x in witten.annealing.follow(losses, (1.0, 1.0), "0.75:2").end))  # factors 0 and 1/2
    0.0000 0.2500

    Parameters
    ----------
    start : d, shape (d,)
    schedule : a Schedule or its text, "1.5:1,1:1000:flow until loss<1e-6"

    Raises
    ------
    RequestError
        for a start of another size, or a schedule that stops by the risk.
    ConvergenceError
        if descent diverges.
    """
    plan, delta = Schedule.of(schedule), np.asarray(start, dtype=float)
    if delta.shape != losses.weights.shape or not np.isfinite(delta).all():
        raise RequestError(f"the start must be {losses.weights.size} numbers, got {delta.tolist()}")
    if plan.stop is not None and plan.stop.quantity != "loss":
        raise RequestError("descent without noise has a loss and no risk; write 'until loss<E'")
    bound = -math.inf if plan.stop is None else plan.stop.below
    steps = time = 0.0
    frame, here = losses.in_modes, losses.modes.T @ delta
    with np.errstate(over="ignore", invalid="ignore"):
        for run in plan.runs():
            done = _stop(frame, here, run, bound)
            if done is not None:
                end = losses.modes @ _part(frame, run, here, done)
                return Trajectory(losses, plan, delta, end, steps + done, time + done * run.learning_rate, True)
            here, steps, time = _whole(frame, run, here), steps + run.steps, time + run.time
            if not np.isfinite(here).all():
                raise ConvergenceError(
                    f"descent diverges in {run.steps} steps of {run.learning_rate:g}; take smaller ones"
                )
    return Trajectory(losses, plan, delta, losses.modes @ here, steps, time, False)


def _whole(losses: Losses, run: Run, delta: Array) -> Array:
    """d after all steps of a run."""
    return losses.flowed(delta, run.time) if run.flow else losses.stepped(delta, run.learning_rate, run.steps)


def _part(losses: Losses, run: Run, delta: Array, steps: float) -> Array:
    """d after some steps of a run; on the line between two points where the last is not whole."""
    if run.flow:
        return losses.flowed(delta, steps * run.learning_rate)
    whole = math.floor(steps)
    first, second = losses.stepped(delta, run.learning_rate, [whole, whole + 1]).T
    return np.asarray(first + (steps - whole) * (second - first))


def _stop(losses: Losses, delta: Array, run: Run, bound: float) -> float | None:
    """Steps of a run after which the train loss is the bound, or None."""
    if losses.train_loss(delta) <= bound:
        return 0.0
    energy = losses.weights * (losses.modes.T @ delta) ** 2
    if run.flow:
        return _stop_of_flow(losses, energy, run, bound)
    squares, energy = ((1.0 - 2.0 * run.learning_rate * losses.weights) ** 2)[energy > 0], energy[energy > 0]
    # The loss after k steps, sum_i e_i q_i^k, is convex in k: it falls up to the first k at which it does not.
    turn = _first(lambda k: float(np.sum(energy * squares**k * (squares - 1.0))) >= 0, run.steps)
    k = _first(lambda k: float(np.sum(energy * squares**k)) <= bound, turn)
    if float(np.sum(energy * squares**k)) > bound:
        return None
    before, after = losses.stepped(delta, run.learning_rate, [k - 1, k]).T
    return k - 1 + _between(losses, before, after, bound)


def _stop_of_flow(losses: Losses, energy: Array, run: Run, bound: float) -> float | None:
    def excess(time: float) -> float:
        return math.log(max(float(np.sum(energy * np.exp(-4.0 * losses.weights * time))), 1e-300) / bound)

    if bound <= 0 or excess(run.time) > 0:
        return None
    return float(brentq(excess, 0.0, run.time, xtol=1e-14 * run.time, rtol=1e-15)) / run.learning_rate


def _first(holds, most: int) -> int:  # type: ignore[no-untyped-def]
    """The first k = 0, 1, ..., `most` for which a condition holds that goes on to hold; `most` if it never does."""
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _between(losses: Losses, first: Array, second: Array, bound: float) -> float:
    """theta in [0, 1] with train(first + theta (second - first)) = bound: the smaller root of a quadratic."""
    move = second - first
    a, b = float(losses.train_loss(move)), float(first @ losses.train @ move)
    c = float(losses.train_loss(first)) - bound
    # c > 0 and the end is below: b < 0, and this form of the root has no cancellation.
    return min(1.0, c / (-b + math.sqrt(max(b * b - a * c, 0.0))))
