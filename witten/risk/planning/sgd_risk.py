"""The exact risk of SGD along stages: when it is first below a target, and what constant learning rates take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import ConvergenceError
from witten.objectives import Objective, resolve
from witten.risk.laws.master_equation import MasterEquation
from witten.risk.laws.momentum_law import MomentumLaw
from witten.risk.separable import Term, starting_point, terms, without_constant
from witten.schedules import Schedule

__all__ = ["FIRST_SEARCH", "START_TARGETS", "SGDRisk", "rounded", "steps_against_learning_rate"]

Array = NDArray[np.float64]
# Nodes per standard deviation of the noise of SGD while schedules are compared, by the largest dimension of a term.
NODES_PER_DEVIATION = {1: 2.0, 2: 1.5}
# Steps at which a target is first looked for, and the factor on their number where it is not reached.
FIRST_SEARCH, SEARCH_GROWTH = 602, {1: 8, 2: 2}
# How far above a single minimum, in targets, runs start where no point is given.
START_TARGETS = 10.0


def rounded(learning_rate: float) -> float:
    """Four digits: a plan is to be typed in again."""
    return float(f"{learning_rate:.4g}")


@dataclass(frozen=True)
class SGDRisk:
    """The exact risk of SGD from the start; `most` as in `MasterEquation`.

    With momentum alpha learning rates are those of SGD without it, of which it takes the part 1 - alpha."""

    f: Objective
    start: Array
    noise: float
    most: float = 1.0
    momentum: float = 0.0
    nesterov: bool = False

    def own(self, stages: Sequence[tuple[float, int]]) -> tuple[tuple[float, int], ...]:
        """Stages with the learning rates that SGD has."""
        return tuple((rounded((1 - self.momentum) * s) if self.momentum else s, n) for s, n in stages)

    def affordable(self, learning_rates: Array) -> Array:
        """Without those, of descending ones, that are too small for a law with momentum."""
        if self.momentum:
            plans = [Schedule.piecewise(self.own([(s, 1)])) for s in learning_rates.tolist()]
            fit = [all(law.fits for law in self._with_momentum(plan)) for plan in plans]
            return learning_rates[: max(int(np.argmin([*fit, False])), 1)]
        return learning_rates

    def risks(self, stages: Sequence[tuple[float, int]], steps: NDArray[np.int64]) -> Array:
        """The risk after these numbers of steps."""
        plan = Schedule.piecewise(self.own(stages))
        return np.asarray(sum(law.term.count * law.risks(steps).risks for law in self.laws(plan)))

    def at_end(self, stages: Sequence[tuple[float, int]]) -> float:
        """The risk after all of them."""
        return float(self.risks(stages, np.array([0, sum(steps for _, steps in stages)]))[-1])

    def plateau(self, learning_rate: float) -> float:
        """The risk after very many steps."""
        plan = Schedule.piecewise(self.own([(learning_rate, 1)]))
        return sum(law.term.count * next(iter(law.plateaus().values())) for law in self.laws(plan))

    def laws(self, plan: Schedule) -> Sequence[MasterEquation | MomentumLaw]:
        """One for each term.

        Raises
        ------
        ConvergenceError
            where no grid is wide enough for the law of pairs and fine enough.
        """
        if self.momentum:
            found = self._with_momentum(plan)
            if not all(law.fits for law in found):
                rates = f"{plan.learning_rates.min():.4g} to {plan.learning_rates.max():.4g}"
                raise ConvergenceError(
                    f"with momentum no grid holds the laws of {self.f.name} at learning rates {rates}; ask for a "
                    "larger target or fewer stages"
                )
            return found
        nodes = [NODES_PER_DEVIATION[t.objective.dimension] for t in self.terms]
        return [MasterEquation(t, plan, self.noise, n, self.most) for t, n in zip(self.terms, nodes, strict=True)]

    def _with_momentum(self, plan: Schedule) -> list[MomentumLaw]:
        return [MomentumLaw(term, plan, self.noise, self.momentum, self.nesterov) for term in self.terms]

    @property
    def terms(self) -> list[Term]:
        """The terms that f is the sum of."""
        return terms(self.f, self.start)

    @property
    def dimension(self) -> int:
        """Of the largest term: 1 for sums of functions of one variable."""
        return max(term.objective.dimension for term in self.terms)

    def first_below(
        self, s: float, target: float, most: int, guess: float = FIRST_SEARCH, reachable: bool = False
    ) -> tuple[int, float] | None:
        """The first step at which a constant learning rate is below the target, and its risk; None if its plateau is
        not."""
        steps = min(math.ceil(guess), most)
        while True:
            risks = self.risks([(s, steps)], np.arange(steps + 1))
            below = np.flatnonzero(risks <= target)
            if below.size:
                return int(below[0]), float(risks[below[0]])
            reachable = reachable or self.plateau(s) < target
            if steps >= most or not reachable:
                return None
            steps = min(SEARCH_GROWTH[self.dimension] * steps, most)

    def steps_to(
        self, s: float, target: float, most: int, guess: float = FIRST_SEARCH, reachable: bool = False
    ) -> int | None:
        """The step of `first_below`."""
        found = self.first_below(s, target, most, guess, reachable)
        return found[0] if found else None


def steps_against_learning_rate(
    objective: Objective | str, target: float, learning_rates: ArrayLike, x0: ArrayLike | None = None, *,
    noise: float = 1.0, most: int = 200_000,
) -> list[int | None]:  # fmt: skip
    """Steps of SGD at each constant learning rate until E f - min f <= target, None where that takes more than `most`.

    By the exact distribution of SGD; at once None where the plateau is above the target.

    >>> witten.risk.steps_against_learning_rate("x^2/2", 0.1, (0.05, 0.1, 0.5), (1.0,))
    [17, 9, None]
    """
    f = without_constant(resolve(objective))
    law = SGDRisk(f, starting_point(f, x0, START_TARGETS * target), noise)
    asked = np.atleast_1d(np.asarray(learning_rates, dtype=float)).tolist()
    return [law.steps_to(s, target, most) for s in asked]
