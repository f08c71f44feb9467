"""Kramers's turnover: the rate of a Langevin equation against the friction, and where it is largest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scipy.optimize import minimize_scalar

from witten.kinetic.momentum_gap import Intervals, langevin_gap
from witten.objectives import Objective, resolve
from witten.rates import KineticRate
from witten.request import positive

__all__ = ["FrictionSweep", "friction_sweep"]

# How well the logarithm of the optimal friction is located: the rate is flat there, and known to the square of it.
LOCATED = 1e-3


@dataclass(frozen=True)
class FrictionSweep:
    """The rate at one temperature against the friction.

    Attributes
    ----------
    records : one for each friction, in the order asked for
    optimum : that at the friction with the largest rate; None where the largest is at an end of those asked for
    """

    records: tuple[KineticRate, ...]
    optimum: KineticRate | None


def friction_sweep(
    objective: Objective | str,
    frictions: Iterable[float],
    temperature: float,
    *,
    rtol: float = 1e-4,
    box: Intervals | None = None,
    progress: Callable[[KineticRate], Any] = lambda record: None,
) -> FrictionSweep:
    """`langevin_gap` at each friction, and its maximum between them, the friction located to a thousandth.

    With little friction a path oscillates long in a well before it has the energy to leave, with much it diffuses over
    the saddle: in between the rate is largest [Kramers1940].

    >>> sweep = witten.friction_sweep("x^2/2", [3, 4], 0.1)
    >>> print(*(f"{record.rate:.4f}" for record in sweep.records), sweep.optimum)  # it lies at less friction
    0.3820 0.2679 None

    Parameters
    ----------
    frictions : gamma > 0
    temperature, objective, rtol, box : as in `langevin_gap`
    progress : called with each record

    Raises
    ------
    RequestError, ConvergenceError
        as `langevin_gap`.
    """
    f = resolve(objective)

    def at(friction: float) -> KineticRate:
        record = langevin_gap(f, positive("friction", friction), temperature, rtol=rtol, box=box)
        progress(record)
        return record

    records = tuple(at(float(friction)) for friction in frictions)
    return FrictionSweep(records, _optimum(sorted(records, key=lambda record: record.friction), at))


def _optimum(records: list[KineticRate], at: Callable[[float], KineticRate]) -> KineticRate | None:
    """The largest rate, by Brent's method between the neighbours of the largest of the records."""
    best = max(range(len(records)), key=lambda i: records[i].log_rate)
    if best in (0, len(records) - 1):
        return None
    known: dict[float, KineticRate] = {}

    def negative(log_friction: float) -> float:
        known[log_friction] = at(math.exp(log_friction))
        return -known[log_friction].log_rate

    ends = [math.log(records[i].friction) for i in (best - 1, best + 1)]
    minimize_scalar(negative, bounds=ends, method="bounded", options={"xatol": LOCATED})
    return max((records[best], *known.values()), key=lambda record: record.log_rate)
