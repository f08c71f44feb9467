"""How to reach a target risk in the fewest steps: a constant learning rate, or stages of falling ones."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from witten.errors import ConvergenceError, GridError, RequestError
from witten.langevin import checked_momentum
from witten.objectives import Objective, resolve
from witten.risk.escape import escapes
from witten.risk.laws.fokker_planck import domain_of
from witten.risk.planning.modal_model import ModalModel
from witten.risk.planning.sgd_risk import FIRST_SEARCH, START_TARGETS, SGDRisk, rounded
from witten.risk.planning.stage_search import MOST_STEPS, StageSearch
from witten.risk.separable import Term, starting_point, terms, without_constant
from witten.schedules import Schedule

__all__ = ["Plan", "plan_schedule"]

Array = NDArray[np.float64]
# Learning rates that stages may have, by the largest dimension of a term.
RATE_CHOICES = {1: 36, 2: 14}
# The smallest of them has a plateau of this part of the target.
SMALLEST_PLATEAU = {1: 0.04, 2: 0.15}
# Mass that may escape in a step at the largest of them, where none is given.
SAFE_ESCAPE = 1e-10
# Corrections of the model's target by the chain, the first few with a new search for learning rates, until the chain's
# risk is the target up to this part.
CORRECTIONS, SEARCHES, TARGET_TOLERANCE = 9, 2, 2e-3
# Constant learning rates tried on the exact distribution of SGD, how far from the model's among the choices, and the
# tolerance in log s.
TRIALS = {1: (14, 2, 1e-5), 2: (6, 1, 0.02)}
# Cells along an axis while constant learning rates are tried in the plane, as a part of those of the law: half the
# time for a risk that differs by 1e-4 of itself.
FEWER_CELLS = 0.7
# A plateau of the model below this part of the target is not computed again, for SGD.
CLEARLY_BELOW = 0.8
# A start that widens the box by more than this factor is why no grid resolves it.
FAR_START = 1.5


@dataclass(frozen=True, eq=False)
class Plan:
    """Stages that reach a target.

    Attributes
    ----------
    objective, target, start : what was asked
    stages : (learning rate, steps), the learning rates falling
    risk : what SGD has after them, by its exact law
    constant : the learning rate and the steps of the best constant schedule
    constant_risk : what SGD has after it
    predicted : steps that the spectral model of the SDE predicts for 1, 2, ... stages
    """

    objective: str
    target: float
    start: Array
    stages: tuple[tuple[float, int], ...]
    risk: float
    constant: tuple[float, int]
    constant_risk: float
    predicted: tuple[float, ...]

    @property
    def schedule(self) -> Schedule:
        return Schedule.piecewise(self.stages)

    @property
    def total_steps(self) -> int:
        return sum(steps for _, steps in self.stages)

    @property
    def saved(self) -> float:
        """How many times more steps the best constant learning rate takes."""
        return self.constant[1] / self.total_steps


def plan_schedule(
    objective: Objective | str,
    target: float,
    x0: ArrayLike | None = None,
    *,
    stages: int = 3,
    noise: float = 1.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    largest: float | None = None,
) -> Plan:
    """The fewest steps of SGD to E f - min f <= target, with a number of constant stages, and with one.

    Learning rates and times are optimised on the spectral model of the SDE (`ModalModel`), whose target is corrected
    until the exact distribution of SGD ends at the target; the best constant learning rate is found in the same way.
    With momentum alpha the model is that of SGD at s/(1 - alpha), which has the same Gibbs measure, and the
    distribution that of the pairs (x, x-).

    >>> witten.plan_schedule("x^2/2", 0.2, (1.0,), stages=1).total_steps
    2

    Parameters
    ----------
    objective, x0, noise : as in `excess_risk`
    target : excess risk, positive
    stages : at most so many, 1 to 6
    momentum, nesterov : as in `excess_risk`; for functions of one variable and their sums
    largest : learning rate that is considered; (1 - alpha)/L where left out, L the largest curvature at a minimum, or
        the largest below at which less than 1e-10 of SGD without momentum escapes in a step of that over 1 - alpha

    Raises
    ------
    RequestError
        if the request is wrong, or the target is above the risk at the start.
    ConvergenceError
        if no schedule that is considered reaches the target.
    """
    given, alpha = resolve(objective), checked_momentum(momentum)
    f = without_constant(given)
    if not (math.isfinite(target) and target > 0):
        raise RequestError(f"the target must be a positive excess risk, got {target}")
    start = starting_point(f, x0, START_TARGETS * target)
    parts = terms(f, start)
    _require(target, stages, parts)
    law = SGDRisk(f, start, noise, momentum=alpha, nesterov=nesterov)
    if alpha and law.dimension > 1:
        raise RequestError(f"{f.name} is no sum of functions of one variable: with momentum it has no schedule yet")
    choices = law.affordable(_choices(law, target, None if largest is None else largest / (1 - alpha)))
    try:
        return _planned(law, target, stages, StageSearch(ModalModel(parts, choices, noise), target))
    except GridError:
        raise RequestError(_no_grid(f, target, start, parts, choices, noise)) from None


def _no_grid(f: Objective, target: float, start: Array, parts: list[Term], choices: Array, noise: float) -> str:
    """The message where no grid resolves both the learning rates and the descent from the start."""
    one = Schedule.constant(float(choices[0]), 1)
    for term in parts:
        at_minimum = replace(term, start=term.landscape.minima[0].x)
        if (domain_of(term, one, noise).widths > FAR_START * domain_of(at_minimum, one, noise).widths).any():
            where = ", ".join(f"{x:.6g}" for x in start)
            return f"the start ({where}) is too far away for a grid that resolves SGD on {f.name}; give a nearer one"
    return (
        f"the target {target:g} is too small: it needs learning rates down to {choices[-1]:.2g}, too fine for a grid "
        f"of {f.name}; ask for a larger one"
    )


def _planned(law: SGDRisk, target: float, stages: int, search: StageSearch) -> Plan:
    """The plan, with learning rates that the search may choose from."""
    constant, risk = _best_constant(search, law, target)
    best: Found = ((constant,), risk, [search.constant(search.best_constant())])
    if stages > 1:
        found = _corrected(search, stages, target, law)
        best = found if found and sum(n for _, n in found[0]) < constant[1] else best
    own, one = law.own(best[0]), law.own([constant])[0]
    return Plan(law.f.name, target, law.start, own, best[1], one, risk, tuple(best[2]))


Found = tuple[tuple[tuple[float, int], ...], float, list[float]]


def _corrected(search: StageSearch, count: int, target: float, law: SGDRisk) -> Found | None:
    """Stages whose risk by the distribution of SGD is the target: that of the model is moved until it is.

    None where one stage is best in the plane, whose length is known already (`_best_constant`).
    """
    aim, found, sequence = target, None, []
    risks: dict[tuple, float] = {}
    unseen: set[tuple[int, ...]] = set()
    for turn in range(CORRECTIONS):
        at = StageSearch(search.model, aim)
        if turn < SEARCHES:
            sequence = at.best(count)
        # One more stage may be one too many, or lead from learning rates so large to ones so small that no grid is wide
        # enough for the law and fine enough.
        sequence = [each for each in sequence if each[0] not in unseen]
        stages, _, guess = min(sequence, key=lambda each: each[1])
        if len(stages) == 1 and law.dimension > 1:
            return found
        total, steps = at.durations(stages, guess)
        plan = [(rounded(at.rates[i]), max(1, math.ceil(n))) for i, n in zip(stages, steps, strict=True)]
        # Plans recur where single steps matter.
        try:
            risk = risks[tuple(plan)] = risks.get(tuple(plan)) or law.at_end(plan)
        except ConvergenceError:
            if len(sequence) == 1:
                raise
            unseen.add(stages)
            continue
        reached = risk <= target and math.isfinite(total)
        if reached and (found is None or sum(n for _, n in plan) <= sum(n for _, n in found[0])):
            found = tuple(plan), risk, [total for _, total, _ in sequence]
        if reached and risk > (1 - TARGET_TOLERANCE) * target:
            break
        # What is above the plateau of the last stage is what its length changes.
        plateau = min(float(at.model.plateaus[stages[-1]]), 0.99 * min(aim, risk, target))
        aim = plateau + (aim - plateau) * ((1 - 0.3 * TARGET_TOLERANCE) * target - plateau) / (risk - plateau)
    if found is None:
        raise ConvergenceError(
            f"no schedule found that takes SGD to {target:g} (the nearest ends at {risk:g}); ask for a larger target"
        )
    return found


def _best_constant(search: StageSearch, law: SGDRisk, target: float) -> tuple[tuple[float, int], float]:
    """The constant learning rate that takes SGD to the target in the fewest steps, near the one of the model."""
    i, dimension = search.best_constant(), law.dimension
    trials, far, close = TRIALS[dimension]
    low, high = (search.rates[min(max(j, 0), search.rates.size - 1)] for j in (i + far, i - far))
    time, slower = search.constant(i) * search.rates[i], 1.0
    tried: dict[float, int | None] = {}

    def steps(log_s: float) -> float:
        nonlocal slower
        s = rounded(math.exp(log_s))
        guess = FIRST_SEARCH if dimension == 1 else max(1.3 * slower * time / s, 30)
        reachable = np.interp(-log_s, -np.log(search.rates), search.model.plateaus) < CLEARLY_BELOW * target
        tried[s] = n = _steps_to_compare(law, s, target, guess, bool(reachable))
        slower = max(n * s / time, 1.0) if n else slower  # SGD than the model
        return float(n or 10 * MOST_STEPS)

    options = {"maxiter": trials, "xatol": close}
    minimize_scalar(steps, bounds=(math.log(low), math.log(high)), method="bounded", options=options)
    reached = {s: n for s, n in tried.items() if n}
    for s in sorted(reached, key=lambda each: reached[each]):
        if found := law.first_below(s, target, MOST_STEPS, 1.02 * reached[s] + 1):
            return (s, found[0]), found[1]
    raise ConvergenceError(
        f"no constant learning rate takes SGD to {target:g} in {MOST_STEPS} steps; ask for a larger target"
    )


def _steps_to_compare(law: SGDRisk, s: float, target: float, guess: float, reachable: bool) -> int | None:
    """The first step below the target; in the plane on fewer cells, where these can show the law."""
    if law.dimension > 1:
        with suppress(ConvergenceError):
            return replace(law, most=FEWER_CELLS).steps_to(s, target, MOST_STEPS, guess, reachable)
    return law.steps_to(s, target, MOST_STEPS, guess, reachable)


def _choices(law: SGDRisk, target: float, largest: float | None) -> Array:
    """Learning rates from the largest down to one with a plateau well below the target, descending."""
    top = _largest(law.terms, law.noise) if largest is None else float(largest)
    if not (math.isfinite(top) and top > 0):
        raise RequestError(f"the largest learning rate must be positive, got {largest}")
    variables = sum(term.count * term.objective.dimension for term in law.terms)
    # One well of any curvature has the plateau d s/4.
    bottom = min(0.5 * top, SMALLEST_PLATEAU[law.dimension] * target * 4 / (variables * law.noise**2))
    return np.geomspace(top, bottom, RATE_CHOICES[law.dimension])


def _largest(parts: list[Term], noise: float) -> float:
    """1/L, L the largest curvature at a minimum; less where SGD would escape from there."""
    s = 1.0 / max(float(m.curvatures[-1]) for term in parts for m in term.landscape.minima)
    while any(escapes(term.objective, s, noise, SAFE_ESCAPE) for term in parts):
        s *= 0.9
    return s


def _require(target: float, stages: int, parts: list[Term]) -> None:
    if not 1 <= stages <= 6:
        raise RequestError(f"the number of stages must be from 1 to 6, got {stages}")
    at_start = sum(term.count * float(term.excess(term.start[:, None])[0]) for term in parts)
    if target >= at_start:
        raise RequestError(f"the start has the excess risk {at_start:g} already; ask for a target below it")
