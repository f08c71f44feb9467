"""Excess risk against the step: the value in which every method answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.schedules import Schedule

__all__ = ["RiskCurve", "crossing", "recorded_steps"]

Array = NDArray[np.float64]
# Steps at which the risk of a long schedule is told.
MOST_RECORDED = 2001


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """E f(X_k) - min f along a schedule.

    Attributes
    ----------
    method : 'chain', the law of SGD; 'spectral', that of the SDE; 'simulate', a mean over runs of SGD
    objective : its name
    schedule : of the learning rate
    start : x0, shape (d,)
    steps : k, shape (n,), from 0
    time : t_k, the sum of the learning rates of the steps before, shape (n,)
    learning_rate : of step k, shape (n,); at the end that of the last step
    excess_risk : shape (n,)
    plateau : what the excess risk would tend to at this learning rate, shape (n,); nan where it is not known
    lower, upper : ends of the error bars, shape (n,); of 95 % intervals for 'simulate'
    details : overlaps, lost mass, numbers of nodes or runs, and the like
    """

    method: str
    objective: str
    schedule: Schedule
    start: Array
    steps: NDArray[np.int64]
    time: Array
    learning_rate: Array
    excess_risk: Array
    plateau: Array
    lower: Array
    upper: Array
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> float:
        """The excess risk at the end."""
        return float(self.excess_risk[-1])

    def at_time(self, time: float | Array) -> Any:
        """The excess risk at times, linear between steps."""
        return np.interp(time, self.time, self.excess_risk)

    def first_below(self, risk: float) -> int | None:
        """The first recorded step with an excess risk of at most this, or None."""
        below = np.flatnonzero(self.excess_risk <= risk)
        return int(self.steps[below[0]]) if below.size else None


def recorded_steps(schedule: Schedule, most: int = MOST_RECORDED) -> NDArray[np.int64]:
    """All steps 0 ... N, or about `most` of them, ends of constant runs included where these are few."""
    n = schedule.steps
    if n < most:
        return np.arange(n + 1)
    ends = np.cumsum([run.steps for run in schedule.runs()])
    even = np.round(np.linspace(0, n, most)).astype(np.int64)
    return np.unique(np.concatenate([even, ends[: most // 4], [n]]))


def crossing(first: RiskCurve, second: RiskCurve) -> float:
    """The last time at which the two curves cross.

    Raises
    ------
    RequestError
        if they do not.
    """
    end = min(first.time[-1], second.time[-1])
    t = np.union1d(first.time, second.time)
    t = t[t <= end]
    difference = first.at_time(t) - second.at_time(t)
    change = np.flatnonzero(np.sign(difference[:-1]) * np.sign(difference[1:]) < 0)
    if not change.size:
        raise RequestError(f"the two risks do not cross up to t = {end:g}; give longer schedules")
    a, b = difference[change[-1] : change[-1] + 2]
    return float(t[change[-1]] + (t[change[-1] + 1] - t[change[-1]]) * a / (a - b))
