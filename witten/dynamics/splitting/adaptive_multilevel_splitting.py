"""Rates of any size from simulated paths: fluxes between the wells, by adaptive multilevel splitting.

The cores A_i are small sets about the minima. From the number of transitions c_ij between them per unit time and the
masses pi_i from which they were the last core, both estimated without bias (`transitions`), the small rates are those
of the chain on the wells, lambda pi u = (D - C) u, up to a relative error of the order of lambda_1/lambda_m, lambda_m
the smallest rate that is no transition between cores.

Two step sizes of a scheme of order two give lambda to fourth order: lambda = (4 lambda_h - lambda_2h)/3. The interval
comes from independent repetitions of everything, left out one by one (jackknife).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, stdtrit

from witten import stopwatch
from witten.dynamics.equilibrium.equilibrium import equilibrium
from witten.dynamics.splitting.transitions import LONGEST, Plan, Sample, compile_kernels, make_plan
from witten.errors import ConvergenceError
from witten.linalg.graded_eigenvalues import WellGraph, log_rates
from witten.objectives import Objective, resolve
from witten.parallel.communicators import Communicator, agree, collectively, communicator
from witten.rates import SampledRate
from witten.request import effective_learning_rate, seed_of

__all__ = ["rate_by_splitting"]

Array = NDArray[np.float64]
CONFIDENCE = 0.95
# Repetitions with the finer and the coarser step in one round: the cheapest shares for the extrapolated rate.
FINE, COARSE = 10, 4
MOST_ROUNDS = 12


def rate_by_splitting(
    objective: Objective | str,
    learning_rate: float,
    *,
    seed: int = 0,
    noise: float = 1.0,
    dt: float | None = None,
    width: float = 0.25,
    stop: Callable[[], str | None] = lambda: None,
    comm: Any = None,
) -> SampledRate:
    """lambda_s from paths that are split on their way between wells, for rates too small to be waited for.

    Parameters
    ----------
    objective : a formula with two wells at least; above three variables smooth, and of not more than 50
    learning_rate : s > 0
    seed : decides every number, whatever the number of threads and ranks
    noise : sigma > 0; the rate is that at learning rate s sigma^2
    dt : the finer time step; 0.2 over the largest curvature where left out
    width : of the interval, relative to the rate: rounds of repetitions are added until it is met, 12 at most
    stop : asked after each round, on all ranks; a reason to stop, or None
    comm : the ranks that share the repetitions; all there are where left out

    Raises
    ------
    RequestError
        without two wells that are deep beside s, with too many variables or wells, or without a formula.
    ConvergenceError
        if every population dies out.
    """
    began = stopwatch.seconds()
    f, ranks = resolve(objective), communicator(comm)
    s = effective_learning_rate(learning_rate, noise)
    plan = agree(ranks, lambda: make_plan(equilibrium(f, s, seed), seed_of(seed, learning_rate, noise), dt))
    plan = replace(plan, objective=f)  # with the kernels of this rank
    collectively(ranks, lambda: compile_kernels(f))
    samples: dict[bool, list[tuple[Sample, ...]]] = {False: [], True: []}
    found = SplittingRate(math.nan, math.inf, ())
    for round_ in range(MOST_ROUNDS):
        for coarse, count in ((False, FINE), (True, COARSE)):
            samples[coarse] += _repetitions(plan, range(round_ * count, (round_ + 1) * count), coarse, ranks)
        found = _extrapolated(plan, samples)
        stopped = 2 * found.error > width and stop() is not None
        if stopped or 2 * found.error <= width:
            break
    return _estimate(plan, learning_rate, samples, found, stopwatch.seconds() - began, stopped)


@dataclass(frozen=True)
class SplittingRate:
    """log lambda, half the width of its interval, all log rates, the distance between those that may be one."""

    log_rate: float
    error: float
    log_rates: tuple[float, ...]
    distance: float = 0.0


def _repetitions(plan: Plan, numbers: range, coarse: bool, comm: Communicator) -> list[tuple[Sample, ...]]:
    """For each number a sample on every transition; they are independent and do not depend on who computes them."""
    jobs = [(transition, number) for number in numbers for transition in range(len(plan.transitions))]

    def mine() -> list[Sample]:
        with ThreadPoolExecutor(numba.get_num_threads()) as pool:
            return list(pool.map(lambda job: plan.run(job[0], job[1], coarse), jobs[comm.rank :: comm.size]))

    shares = comm.allgather(collectively(comm, mine))
    done = [shares[k % comm.size][k // comm.size] for k in range(len(jobs))]
    n = len(plan.transitions)
    return [tuple(done[k : k + n]) for k in range(0, len(done), n)]


def _log_rates(plan: Plan, repetitions: list[tuple[Sample, ...]]) -> Array:
    """The rates of the chain whose conductances and masses are the means over repetitions."""
    m, count = plan.cores.floors.size, math.log(len(repetitions))
    conductances = np.full((m, m), -np.inf)
    masses: list[list[float]] = [[] for _ in range(m)]
    for k, transition in enumerate(plan.transitions):
        masses[transition.source] += [sample[k].log_mass for sample in repetitions]
        if transition.target >= 0:
            flux = logsumexp([sample[k].log_flux for sample in repetitions]) - count
            i, j = transition.source, transition.target
            conductances[i, j] = conductances[j, i] = flux
    means = np.array([logsumexp(each) - math.log(len(each)) for each in masses])
    return log_rates(WellGraph(means, conductances))


def _extrapolated(plan: Plan, samples: Mapping[bool, list[tuple[Sample, ...]]]) -> SplittingRate:
    """lambda = (4 lambda_h - lambda_2h)/3 in logarithms, and the half-width of its interval.

    Rates that only chance may have separated count as one, multiple: the smallest alone would be too small. To the
    statistical error are added a tenth of the extrapolation, for the orders left out, and for what is no chain
    lambda/(smallest curvature) and the memory of shallow wells.
    """
    if all(sample.extinct for repetition in samples[False] for sample in repetition if sample.split):
        raise ConvergenceError(
            f"no path of {plan.objective.name} has come from one well to another at s = {plan.learning_rate:g}: all "
            "populations died out; take a larger learning rate"
        )
    log_rates = _log_rates(plan, samples[False])
    ties = _tied(plan, samples[False], log_rates)
    (fine, fine_error), (coarse, coarse_error) = (_jackknife(plan, samples[c], ties) for c in (False, True))
    ratio = math.exp(min(coarse - fine, 1.0))
    correction = math.log((4 - ratio) / 3)
    log_rate = fine + correction
    statistical = math.hypot(4 * fine_error, ratio * coarse_error) / (4 - ratio)
    quantile = -float(stdtrit(len(samples[False]) - 1, (1 - CONFIDENCE) / 2))  # of Student's distribution
    chain = math.exp(log_rate) / plan.slowest_relaxation + plan.memory
    error = quantile * statistical + 0.1 * abs(correction) + chain
    return SplittingRate(log_rate, error, tuple((log_rates + correction).tolist()), fine - float(log_rates[0]))


def _tied(plan: Plan, repetitions: list[tuple[Sample, ...]], log_rates: Array) -> int:
    """How many of the smallest rates may be equal to the first."""
    without = _left_out(plan, repetitions)
    if log_rates.size == 1 or not np.isfinite(without).all():
        return 1
    errors = without.std(axis=0) * math.sqrt(len(repetitions) - 1)
    apart = log_rates - log_rates[0] > 2 * np.hypot(errors, errors[0])
    return int(np.argmax(apart)) if apart.any() else log_rates.size


def _jackknife(plan: Plan, repetitions: list[tuple[Sample, ...]], ties: int) -> tuple[float, float]:
    """log of the mean of the smallest rates, as many as are tied, and its standard error."""
    count = len(repetitions)
    every = logsumexp(_log_rates(plan, repetitions)[:ties]) - math.log(ties)
    without = logsumexp(_left_out(plan, repetitions)[:, :ties], axis=1) - math.log(ties)
    if not np.isfinite(without).all():  # all depends on one repetition
        return float(every), math.inf
    return float(every), float(np.std(without) * math.sqrt(count - 1))


def _left_out(plan: Plan, repetitions: list[tuple[Sample, ...]]) -> Array:
    """log rates with each of the repetitions left out in turn, shape (repetitions, m - 1)."""
    return np.array([_log_rates(plan, repetitions[:k] + repetitions[k + 1 :]) for k in range(len(repetitions))])


def _estimate(
    plan: Plan,
    learning_rate: float,
    samples: Mapping[bool, list[tuple[Sample, ...]]],
    found: SplittingRate,
    seconds: float,
    stopped: bool,
) -> SampledRate:
    """The answer of the route, with what a reader should know."""
    every = [sample for part in samples.values() for repetition in part for sample in repetition]
    return SampledRate(
        learning_rate=float(learning_rate),
        log_rate=found.log_rate,
        lower=found.log_rate - found.error - found.distance,
        upper=found.log_rate + found.error,
        resolved=math.isfinite(found.error),
        solver="splitting",
        n_dofs=sum(sample.paths for sample in every),
        seconds=seconds,
        log_rates=found.log_rates,
        notes=tuple(_remarks(plan, every, found)),
        confidence=CONFIDENCE,
        n_steps=sum(sample.steps for sample in every),
        dt=plan.dt,
        diverged=sum(sample.lost for sample in every),
        stopped=stopped,
    )


def _remarks(plan: Plan, samples: list[Sample], found: SplittingRate) -> Iterator[str]:
    direct = sum(transition.target >= 0 for transition in plan.transitions)
    yield f"{plan.cores.floors.size} wells, {direct} direct transition{'' if direct == 1 else 's'} between them"
    dead = sum(sample.extinct for sample in samples)
    if dead:
        yield f"{dead} of {sum(sample.split for sample in samples)} populations died out"
    if not math.isfinite(found.error):
        yield "too few of them have come through for an interval"
    lost = sum(sample.lost for sample in samples)
    if lost:
        yield f"{lost} excursions diverged or did not end within {LONGEST} steps"
