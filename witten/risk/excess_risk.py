"""E f(X_k) - min f along a schedule, by three methods with two laws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import GridError, RequestError
from witten.langevin import checked_momentum
from witten.noise import Noise, parted
from witten.objectives import Objective, resolve
from witten.request import effective_learning_rate
from witten.risk.laws.fokker_planck import MODE_TRUNCATION, on_two_grids, overlaps
from witten.risk.laws.gibbs_risk import each_rate, gibbs_risk
from witten.risk.laws.master_equation import MasterEquation
from witten.risk.laws.momentum_law import MomentumLaw
from witten.risk.laws.monte_carlo import simulated_risk
from witten.risk.risk_curve import RiskCurve, recorded_steps
from witten.risk.separable import START_HEIGHT, Term, starting_point, terms, without_constant
from witten.schedules import Schedule

__all__ = ["METHODS", "excess_risk"]

Array = NDArray[np.float64]
Steps = NDArray[np.int64]
METHODS = ("chain", "spectral", "simulate")
Law = MasterEquation | MomentumLaw
Found = tuple[Array, Array, Array, Mapping[str, Any]]
# Most terms, and learning rates, whose details are reported.
MOST_REPORTED = 6
# Steps computed first where a rule stops the schedule, and the factor each time after that.
FIRST_STEPS, GROWTH = 2000, 4


def excess_risk(
    objective: Objective | str,
    schedule: Schedule | str,
    x0: ArrayLike | None = None,
    *,
    method: str = "chain",
    noise: float | Noise = 1.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    paths: int = 2000,
    seed: int = 0,
    records: int = 2001,
    plateaus: bool = True,
) -> RiskCurve:
    """E f(X_k) - min f along a schedule of learning rates, from a point.

    Two distributions differ by O(s): that of SGD, x+ = x - s_k grad f(x) + s_k sigma xi ('chain', computed without
    sampling, and 'simulate', the mean of runs), and that of the SDE dX = -grad f dt + sigma sqrt(s) dW over the times
    s_k ('spectral'; and 'simulate' with a schedule in continuous time). Source: [Shi2023].

    >>> print(f"{witten.excess_risk('x^2/2', '0.1:500', (1.0,)).excess_risk[-1]:.5f}")  # s/(4 - 2 s)
    0.02632

    Parameters
    ----------
    objective : of one or two variables, or a sum of functions of one variable each; for 'simulate' of any dimension
    schedule : a Schedule or its text, "0.1:500,0.05:500"
    x0 : the start (d,); the highest local minimum where left out
    method : 'chain', 'spectral' or 'simulate'
    noise : sigma; or one of `witten.noise`, for 'simulate' in steps alone, without momentum:
        x+ = x - s_k grad f(x) + s_k Sigma(x)^{1/2} xi, from a start that is given
    momentum : alpha, from 0 to below 1: SGD is x+ = x + alpha (x - x-) - s_k grad f + s_k sigma xi, and starts at rest;
        by 'chain', for functions of one variable and their sums, and by 'simulate'
    nesterov : whether grad f is taken at x + alpha (x - x-)
    paths, seed : of 'simulate'
    records : about how many steps of a long schedule are recorded
    plateaus : whether to compute these; nan if not, and with a covariance

    Raises
    ------
    RequestError
        if the request is wrong; ConvergenceError if SGD diverges, or its distribution is too narrow for a grid.
    """
    given, plan, alpha = resolve(objective), Schedule.of(schedule), checked_momentum(momentum)
    if method not in METHODS:
        raise RequestError(f"method {method[:40]!r} is not known; use one of {', '.join(METHODS)}")
    sigma, model = parted(noise, given)
    if model is not None and method != "simulate":
        raise RequestError(f"method {method!r} knows noise of one strength only; with a covariance take 'simulate'")
    for s in (plan.learning_rates.min(), plan.learning_rates.max()):
        effective_learning_rate(float(s), sigma)
    if alpha and method == "spectral":
        raise RequestError("the law of the SDE along a schedule is not known with momentum; use 'chain' or 'simulate'")
    if alpha and model is not None:
        raise RequestError("with momentum noise of one strength is known only; leave out the covariance, or momentum")
    if alpha and any(stage.flow for stage in plan.stages):
        raise RequestError("with momentum there are no stages in continuous time; leave out :flow")
    if plan.stop is not None and plan.stop.quantity != "risk":
        raise RequestError(f"a distribution has no single {plan.stop.quantity} to stop by; use 'until risk<E'")
    f = without_constant(given)
    height = START_HEIGHT * f.dimension * float(plan.learning_rates.max()) * sigma**2 / (1 - alpha)
    start = starting_point(f, x0, height)
    parts = terms(f, start)
    diffusion = None if model is None else model.bind(f)
    if diffusion is not None:
        diffusion.require_positive(start[:, None])

    def law(term: Term) -> Law:
        if alpha:
            return MomentumLaw(term, plan, sigma, alpha, nesterov)
        return MasterEquation(term, plan, sigma)

    def found(steps: Steps) -> Found:
        if method == "simulate":
            return simulated_risk(
                f, start, plan, steps, lowest=_lowest(parts), noise=sigma, momentum=alpha, nesterov=nesterov,
                paths=paths, seed=seed, diffusion=diffusion,
            )  # fmt: skip
        try:
            return _by_chain(parts, law, steps) if method == "chain" else _by_modes(parts, plan, steps, sigma)
        except GridError:
            raise RequestError(_no_grid(f, start, plan)) from None

    steps, (risk, lower, upper, details) = _recorded(found, plan, records)
    known = plateaus and model is None
    plateau = _plateaus(parts, plan, steps, sigma, method, law) if known else np.full(steps.size, np.nan)
    rates = plan.learning_rates[np.minimum(steps, plan.steps - 1)]
    return RiskCurve(
        method, given.name, plan, start, steps, plan.times[steps], rates, risk, plateau, lower, upper, details,
        alpha, nesterov,
    )  # fmt: skip


def _recorded(found: Callable[[Steps], Found], plan: Schedule, records: int) -> tuple[Steps, Found]:
    """The recorded steps and the risk there; a stopping rule is evaluated after every step."""
    if plan.stop is None:
        steps = recorded_steps(plan, records)
        return steps, found(steps)
    last = 0
    while True:
        last = min(max(FIRST_STEPS, GROWTH * last), plan.steps)
        risk, lower, upper, details = found(np.arange(last + 1))
        below = np.flatnonzero(risk <= plan.stop.below)
        if below.size or last == plan.steps:
            break
    steps = recorded_steps(plan, records, int(below[0]) if below.size else last)
    return steps, (risk[steps], lower[steps], upper[steps], details)


def _no_grid(f: Objective, start: Array, plan: Schedule) -> str:
    """The message where learning rates are too small for a grid that also holds the start."""
    where = ", ".join(f"{x:.6g}" for x in start)
    return (
        f"no grid resolves both the start ({where}) and the distribution on {f.name} at learning rate "
        f"{plan.learning_rates.min():.4g}; give a nearer start, a larger learning rate, or take the method 'simulate'"
    )


def _by_chain(parts: list[Term], law: Callable[[Term], Law], steps: Steps) -> Found:
    """The sum over the terms; where mass escapes, the mean over the rest, and its box."""
    risk, bar = np.zeros((2, steps.size))
    lost, boxes = 0.0, []
    for term in parts:
        of_term = law(term)
        found = of_term.risks(steps)
        risk += term.count * found.risks
        bar += term.count * (found.bars + of_term.error(steps, found))
        lost += term.count * found.lost
        boxes.append({"term": term.objective.name, "box": str(found.box), "survival": 1.0 - found.lost})
    return risk, risk - bar, risk + bar, {"lost": lost, "boxes": boxes[:MOST_REPORTED]}


def _by_modes(parts: list[Term], plan: Schedule, steps: Steps, noise: float) -> Found:
    """On two grids, extrapolated; the bar is the correction that made, and what modes leave out."""
    risk, bar = np.zeros((2, steps.size))
    reported: list[dict[str, Any]] = []
    for term in parts:
        rough, fine = ((law, law.risks(steps)) for law in on_two_grids(term, plan, noise))
        correction = (fine[1] - rough[1]) / 3
        risk += term.count * (fine[1] + correction)
        bar += term.count * (abs(correction) + MODE_TRUNCATION * abs(fine[1]))
        for s in dict.fromkeys(run.learning_rate for run in plan.runs()) if len(reported) < MOST_REPORTED else ():
            if len(reported) < MOST_REPORTED:
                reported.append({"term": term.objective.name, "learning_rate": s, "modes": overlaps(fine[0], s)})
    return risk, risk - bar, risk + bar, {"overlaps": reported}


def _plateaus(
    parts: list[Term], plan: Schedule, steps: Steps, noise: float, method: str, law: Callable[[Term], Law]
) -> Array:
    """The stationary risk of the method's distribution; nan where a term has too many variables for a grid."""
    if any(term.objective.dimension > 2 for term in parts):
        return np.full(steps.size, np.nan)
    gibbs = method == "spectral" or any(stage.flow for stage in plan.stages)
    out = np.zeros(steps.size)
    for term in parts:
        values = each_rate(plan, partial(gibbs_risk, term, noise=noise)) if gibbs else law(term).plateaus()
        out += term.count * _along(plan, steps, values)
    return out


def _lowest(parts: list[Term]) -> float:
    """min f, from its terms."""
    return sum(term.count * term.lowest for term in parts)


def _along(plan: Schedule, steps: Steps, values: Mapping[float, float]) -> Array:
    """A number for each learning rate, at the learning rates of these steps."""
    rates = plan.learning_rates[np.minimum(steps, plan.steps - 1)]
    known, index = np.unique(rates, return_inverse=True)
    return np.array([values[s] for s in known.tolist()])[index]
