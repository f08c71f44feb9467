"""How many steps well-known schedules take to a target risk: cosine, step decay, logarithmic."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike

from witten.objectives import Objective, resolve
from witten.risk.excess_risk import excess_risk
from witten.risk.planning.sgd_risk import START_TARGETS
from witten.risk.risk_curve import RiskCurve
from witten.risk.separable import starting_point, terms, without_constant
from witten.schedules import Schedule, Stop

__all__ = ["classical_laws", "classical_schedules"]


def classical_schedules(
    objective: Objective | str, target: float, x0: ArrayLike | None = None, *, learning_rate: float,
    noise: float = 1.0, most: int = 5_000,
) -> dict[str, int | None]:  # fmt: skip
    """Steps of SGD to the target along well-known schedules from a learning rate, None where `most` is not enough.

    'cosine': the shortest one that ends at or below the target; 'step decay': by 10, the first half at the full
    learning rate; 'logarithmic': C/log(2 + k) with C = 2H, H the barrier.
    """
    f = without_constant(resolve(objective))
    start, out = starting_point(f, x0, START_TARGETS * target), dict[str, int | None]()

    def along(plan: Schedule) -> RiskCurve:
        return excess_risk(f, plan, start, noise=noise, records=2, plateaus=False)

    for name, make in classical_laws(f, start, learning_rate=learning_rate).items():
        if name == "logarithmic":  # does not depend on where it ends
            out[name] = along(make(most).until(Stop("risk", target))).first_below(target)
        else:
            out[name] = _shortest(make, lambda plan: along(plan).final <= target, most)
    return out


def classical_laws(
    objective: Objective | str, x0: ArrayLike | None = None, *, learning_rate: float
) -> dict[str, Callable[[int], Schedule]]:
    """The schedules of `classical_schedules`, by the number of their steps."""
    f = resolve(objective)
    barriers = [term.landscape.barrier for term in terms(f, starting_point(f, x0, learning_rate))]
    out: dict[str, Callable[[int], Schedule]] = {
        "cosine": lambda n: Schedule.cosine(learning_rate, n),
        "step decay": lambda n: Schedule.step_decay(learning_rate, n, 10.0, max(1, n // 2)),
    }
    known = [barrier for barrier in barriers if barrier is not None]
    if known:
        out["logarithmic"] = lambda n: Schedule.logarithmic(2 * max(known), n)
    return out


def _shortest(make: Callable[[int], Schedule], ends_below: Callable[[Schedule], bool], most: int) -> int | None:
    """The smallest n, to a percent, for which the schedule make(n) ends at or below the target."""
    high = 64
    while not ends_below(make(high)):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if ends_below(make(middle)) else (middle, high)
    return high
