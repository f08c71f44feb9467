"""Excess risk against the step: the value in which every method answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.display import Displayed, shortened
from witten.errors import RequestError
from witten.io import netcdf
from witten.schedules import Schedule

if TYPE_CHECKING:
    import xarray

__all__ = ["KIND", "RiskCurve", "crossing", "recorded_steps"]

KIND = "risk-curve"

Array = NDArray[np.float64]
# Steps at which the risk of a long schedule is recorded.
MOST_RECORDED = 2001
# What a file holds at each recorded step.
COLUMNS = {
    "time": "t, the sum of the learning rates of the steps before",
    "learning_rate": "s of the step; at the end that of the last one",
    "excess_risk": "E f(X_k) - min f",
    "plateau": "what the excess risk would tend to at this learning rate; nan where it is not known",
    "lower": "lower end of the error bar of excess_risk",
    "upper": "upper end of the error bar of excess_risk",
}


@dataclass(frozen=True, eq=False, repr=False)
class RiskCurve(netcdf.Saved, Displayed):
    """E f(X_k) - min f along a schedule.

    Attributes
    ----------
    method : 'chain', the distribution of SGD; 'spectral', that of the SDE; 'simulate', a mean over runs of SGD
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
    momentum, nesterov : alpha, and whether the gradient is Nesterov's
    """

    kind: ClassVar[str] = KIND
    picture: ClassVar[str] = "plot_risks"

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
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        ends = f"excess risk {self.excess_risk[0]:.4g} to {self.final:.4g} in {int(self.steps[-1])} steps"
        return f"{shortened(self.objective)}, {self.method}, {shortened(self.schedule.text)}: {ends}"

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

    def to_dataset(self) -> xarray.Dataset:
        """The curve as an xarray Dataset that describes itself."""
        import xarray

        attributes = {
            "objective": self.objective,
            "method": self.method,
            "schedule": self.schedule.text,
            "x0": np.asarray(self.start, dtype=float),
            "details": json.dumps(self.details, default=np.ndarray.tolist),
            "momentum": self.momentum,
            "nesterov": int(self.nesterov),
        }

        def along(values: Array | NDArray[np.int64], long_name: str) -> tuple[str, Any, dict[str, str]]:
            return "step", values, netcdf.described(long_name)

        return xarray.Dataset(
            {name: along(getattr(self, name), about) for name, about in COLUMNS.items()},
            coords={"step": along(self.steps, "number of steps k")},
            attrs=netcdf.provenance(KIND, "Excess risk of SGD along a schedule of learning rates", attributes),
        )

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> RiskCurve:
        """The curve that `to_dataset` described; KeyError or ValueError where a part is missing or cannot be true."""
        about = dataset.attrs
        curve = cls(
            method=str(about["method"]),
            objective=str(about["objective"]),
            schedule=Schedule.parse(str(about["schedule"])),
            start=np.atleast_1d(np.asarray(about["x0"], dtype=float)),
            steps=netcdf.column(dataset, "step", ("step",), int),
            details=json.loads(about["details"]),
            momentum=float(about.get("momentum", 0.0)),
            nesterov=bool(about.get("nesterov", False)),
            **{name: netcdf.column(dataset, name, ("step",)) for name in COLUMNS},
        )
        _require_true(curve)
        return curve


def _require_true(curve: RiskCurve) -> None:
    """ValueError for steps that are none of the schedule, and for a risk that contradicts itself."""
    plan, steps = curve.schedule, curve.steps
    at = steps.astype(float)
    if not (steps.size and np.isfinite(curve.start).all() and isinstance(curve.details, dict)):
        raise ValueError("no steps, no start, or no details")
    netcdf.require(np.append(0 <= steps[0] <= plan.steps, np.diff(steps) > 0), at, "the steps do not ascend")
    netcdf.require(steps <= plan.steps, at, "the schedule has ended before the step")
    rates = plan.learning_rates[np.minimum(steps, plan.steps - 1)]
    netcdf.require(np.isclose(curve.time, plan.times[steps], rtol=1e-9, atol=0), at, "another time")
    netcdf.require(np.isclose(curve.learning_rate, rates, rtol=1e-9, atol=0), at, "another learning rate")
    netcdf.require(np.isfinite(curve.excess_risk), at, "the risk is not known")
    held = (curve.lower <= curve.excess_risk) & (curve.excess_risk <= curve.upper)
    netcdf.require(held, at, "the risk is not within its error bar")


def recorded_steps(schedule: Schedule, most: int = MOST_RECORDED, last: int | None = None) -> NDArray[np.int64]:
    """All steps 0 ... N, or about `most` of them, ends of constant runs included where these are few.

    N is the last step of the schedule, or the one at which it is stopped."""
    n = schedule.steps if last is None else last
    if n < most:
        return np.arange(n + 1)
    ends = np.cumsum([run.steps for run in schedule.runs(n)])
    even = np.round(np.linspace(0, n, most)).astype(np.int64)
    return np.unique(np.concatenate([even, ends[: most // 4], [n]]))


def crossing(first: RiskCurve, second: RiskCurve) -> float:
    """The last time at which the two curves cross.

    >>> large, small = (witten.excess_risk("x^2/2", schedule, (5.0,)) for schedule in ("0.5:20", "0.1:100"))
    >>> print(f"{witten.risk.crossing(large, small):.1f}")  # the small learning rate is ahead from then on
    2.0

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
