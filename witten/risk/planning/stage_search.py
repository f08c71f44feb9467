"""Stages on the model of modes: which learning rates, and for how long each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize

from witten.errors import ConvergenceError
from witten.risk.planning.modal_model import ModalModel

__all__ = ["MOST_STEPS", "StageSearch"]

Array = NDArray[np.float64]
# Steps beyond which a schedule counts as never.
MOST_STEPS = 500_000
# A risk of so many targets is as bad as one that the model has lost.
WORST_RISK = 1e9
# Times at which a constant learning rate is looked at.
TIME_SAMPLES = 40
# How far along the learning rates a stage is moved at a time while that saves steps, and by what part it must.
MOVES, LEAST_SAVING = (-3, -2, -1, 1, 2, 3), 1e-4


@dataclass(eq=False)
class StageSearch:
    """Stages on the spectral model: which of its learning rates, and for how long."""

    model: ModalModel
    target: float
    found: dict[tuple[int, ...], tuple[float, Array]] = field(default_factory=dict)

    @property
    def rates(self) -> Array:
        return self.model.learning_rates

    @cached_property
    def shortest(self) -> Array:
        """The fewest steps of a stage that the model can tell the effect of."""
        return np.maximum(self.model.shortest / self.rates, 1.0)

    def constant(self, i: int) -> float:
        """Steps at learning rate number i, inf where its plateau is not below the target."""
        if self.model.plateaus[i] >= self.target:
            return math.inf

        def excess(log_time: float) -> float:
            return self._risk((i,), np.array([math.exp(log_time)])) - self.target

        low, high = math.log(self.shortest[i] * self.rates[i]), math.log(MOST_STEPS * self.rates[i])
        # From the end: the risk may have been below the target before, where modes are too few for it as well.
        times = np.linspace(low, high, TIME_SAMPLES)
        above = [k for k in range(TIME_SAMPLES) if excess(times[k]) > 0]
        if not above:
            return float(math.exp(low) / self.rates[i])
        if above[-1] == TIME_SAMPLES - 1:
            return math.inf
        once = above[-1] == len(above) - 1
        bracket = (low, high) if once else times[above[-1] : above[-1] + 2]
        return float(math.exp(brentq(excess, *bracket)) / self.rates[i])

    def best_constant(self) -> int:
        """The number of the best constant learning rate."""
        steps = [self.constant(i) for i in range(self.rates.size)]
        if not np.isfinite(steps).any():
            raise ConvergenceError(
                f"no constant learning rate reaches {self.target:g} in {MOST_STEPS} steps; ask for a larger target"
            )
        return int(np.argmin(steps))

    def durations(self, stages: tuple[int, ...], guess: Array) -> tuple[float, Array]:
        """The fewest steps with these learning rates, and the times of the stages."""
        if stages in self.found:
            return self.found[stages]
        s = self.rates[list(stages)]
        solved = minimize(
            lambda log_steps: np.exp(log_steps).sum(),
            np.log(np.maximum(guess, 1.1 * self.shortest[list(stages)])),
            jac=np.exp,
            method="SLSQP",
            bounds=[(math.log(self.shortest[i]), math.log(MOST_STEPS)) for i in stages],
            constraints={
                "type": "ineq",
                "fun": lambda log_steps: math.log(self.target) - math.log(self._risk(stages, s * np.exp(log_steps))),
            },
            options={"maxiter": 200, "ftol": 1e-8},
        )
        steps = np.exp(solved.x)
        kept = self._risk(stages, s * steps) <= self.target * (1 + 1e-6)
        self.found[stages] = (float(steps.sum()), steps) if kept else (math.inf, steps)
        return self.found[stages]

    def _risk(self, stages: tuple[int, ...], times: Array) -> float:
        risk = self.model.risk(stages, times.tolist())
        return risk if 0 < risk < WORST_RISK * self.target else WORST_RISK * self.target

    def best(self, count: int) -> list[tuple[tuple[int, ...], float, Array]]:
        """The best 1, 2, ..., `count` stages found: each time the best so far with one stage split, then moved."""
        first = self.best_constant()
        steps = self.constant(first)
        out: list[tuple[tuple[int, ...], float, Array]] = [((first,), steps, np.array([steps]))]
        while len(out) < count:
            out.append(self._moved(*self._split(*out[-1])))
        return out

    def _split(self, stages: tuple[int, ...], total: float, steps: Array) -> tuple[tuple[int, ...], float, Array]:
        """One stage more: in any place, with any learning rate between its neighbours."""
        tried = []
        for place in range(len(stages) + 1):
            above = stages[place - 1] + 1 if place else 0
            below = stages[place] if place < len(stages) else self.rates.size
            for i in range(above, below):
                guess = np.insert(steps, place, 0.2 * total)
                new = (*stages[:place], i, *stages[place:])
                tried.append((new, *self.durations(new, guess)))
        return min(tried, key=lambda each: each[1], default=(stages, total, steps))

    def _moved(self, stages: tuple[int, ...], total: float, steps: Array) -> tuple[tuple[int, ...], float, Array]:
        """Learning rates moved one by one while that saves steps."""
        while True:
            best = (stages, total, steps)
            for place in range(len(stages)):
                for by in MOVES:
                    new = (*stages[:place], stages[place] + by, *stages[place + 1 :])
                    if new[place] < 0 or new[place] >= self.rates.size or list(new) != sorted(set(new)):
                        continue
                    found, times = self.durations(new, steps)
                    if found < best[1]:
                        best = (new, found, times)
            if best[1] > (1 - LEAST_SAVING) * total:
                return stages, total, steps
            stages, total, steps = best
