"""One rate by one estimator: which, with what time steps and how many paths, and when it is known well enough.

Whatever the estimator, it is run with two time steps of a scheme of second order, h and 2h, and

    log lambda = (4 log lambda_h - log lambda_2h)/3

leaves an error of fourth order; the interval holds what is uncertain in both.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np

from witten import stopwatch
from witten.dynamics.cost import MOST_STEPS, check_relaxation, check_transitions, expected_rate
from witten.dynamics.equilibrium.equilibrium import Equilibrium, equilibrium
from witten.dynamics.equilibrium.under_noise import under_noise
from witten.dynamics.estimators.autocorrelation import Decay, Plan, plan
from witten.dynamics.estimators.batches import are_many, in_batches
from witten.dynamics.estimators.hitting_times import Hitting
from witten.dynamics.estimators.markov_state_model import MarkovStates
from witten.dynamics.estimators.unvisited_rates import watched
from witten.dynamics.paths.ensemble import Motion, affordable
from witten.dynamics.request import CONFIDENCE, QUANTILE, SGD, STEP, Level, Request, Stop, combined, reach_down
from witten.dynamics.splitting.adaptive_multilevel_splitting import rate_by_splitting
from witten.errors import ConvergenceError, RequestError
from witten.number_format import scientific
from witten.objectives.growth.conditions import continuous_spectrum
from witten.parallel.communicators import Communicator
from witten.rates import SampledRate
from witten.request import seed_of

__all__ = ["ESTIMATORS", "apart", "chosen", "estimate_rate", "run_levels"]

ESTIMATORS = AUTO, AUTOCORRELATION, HITTING, SPLITTING, MSM = (
    "auto",
    "autocorrelation",
    "hitting",
    "splitting",
    "msm",
)
# A barrier of so many s/2 keeps apart the rates between wells and those within; below it, correlations tell.
APART = 7.0
# Rates, and expected numbers of steps, from which on paths are split.
RARE, LONG = 1e-7, 1_000_000_000
# A slow well that holds e^{-a} of the mass is left to residence times in it at a barrier lower by a, down to this.
LEAST_APART = 3.5
# The first runs: how far apart observations are, over the largest curvature, and how many paths.
FIRST_INTERVAL, PILOTS = 0.1, 512
# The part of the measure, the highest, where paths do not start; rounds after which no decay is seen at all.
SELDOM, UNSEEN = 1e-3, 30
# All paths are in wells that none leaves where so many rounds, each of which adds its half, make no error smaller.
IDLE, SAME = 2, 0.95
# Without detailed balance: the largest rate beside those within wells, and what residence times are off beside that.
LARGEST_RATIO, BIAS = 0.1, 2.0
# Where no grid tells the stationary law, paths run for so many 1/lambda before they are measured.
BURN_IN = 2.0


def estimate_rate(request: Request, estimator: str = AUTO, stop: Stop = lambda: None) -> SampledRate | None:
    """The rate at one learning rate by one estimator; rounds are added until the interval is narrow enough.

    None if it was stopped before anything was known.
    """
    began = stopwatch.seconds()
    request.motion(1.0, 0)  # refuses what cannot be simulated
    ground, balanced = _ground(request)
    dt = request.learning_rate if request.scheme == SGD else request.dt or STEP / ground.stiffness
    check_relaxation(request, ground, dt)
    name = chosen(ground, dt, request.paths) if estimator == AUTO else estimator
    if request.diffusion is not None:
        name = HITTING if estimator == AUTO and (name == SPLITTING or not balanced) else name
        _require_known(name, ground, balanced, request.learning_rate)
    if name == SPLITTING:
        return rate_by_splitting(
            request.objective, request.learning_rate, seed=request.seed, noise=request.noise, dt=request.dt,
            width=request.width, stop=stop, comm=request.comm,
        )  # fmt: skip
    if name == HITTING and len(ground.deep) > 1:
        check_transitions(request, expected_rate(ground), dt)
    levels, extra = _levels(name, ground, request, dt, stop)
    if not levels:
        return None
    estimate = run_levels(request, name, levels, dt, stop, before=extra, idles=not balanced)
    if estimate is None:
        return None
    if not balanced:
        estimate = apart(estimate, ground.softness)
    elif name == HITTING and are_many(request.paths, request.motion(dt, 0)):
        estimate = widened(estimate, ground.softness)  # which would not be noticed in an interval of few
    estimate = _elsewhere(estimate, ground, request, stop) if balanced else estimate
    return replace(estimate, seconds=stopwatch.seconds() - began)


def run_levels(
    request: Request, name: str, levels: list[Level], dt: float, stop: Stop, *, before: int = 0, idles: bool = False
) -> SampledRate | None:
    """Rounds of each level until the interval is narrow enough, or steps are as many as are affordable.

    None if it was stopped before anything was known. `before` are steps already done; `idles` ends rounds that make no
    error smaller.
    """
    errors: list[float] = []
    stopped, most_steps = False, affordable(request.motion(dt, 0), MOST_STEPS)
    for done in count(1):
        for level in levels:
            level.more(stop)
        found = combined(levels, request.order)
        n_steps = before + sum(level.n_steps for level in levels)
        if 2 * QUANTILE * found[1] <= request.width or n_steps > most_steps:
            break
        errors.append(found[1])
        if idles and len(errors) > IDLE and errors[-1] > SAME * errors[-1 - IDLE]:
            break
        if done >= UNSEEN and name in (AUTOCORRELATION, MSM) and not math.isfinite(found[1]):
            break
        stopped = stop() is not None
        if stopped:
            break
    if stopped and not math.isfinite(found[1]):
        return None
    # Where not even all the paths that were asked for have run, an interval that is narrow is no end.
    stopped |= sum(level.n_paths for level in levels) < sum(n for _, n, _ in request.runs(dt))
    return replace(_estimate(request, name, levels, found, n_steps, dt), stopped=stopped)


def _ground(request: Request) -> tuple[Equilibrium, bool]:
    """What is known before paths run, and whether it is the stationary law."""
    if request.diffusion is None:
        return equilibrium(request.objective, request.s, request.seed), True
    found = under_noise(request.diffusion, request.learning_rate)
    return found.equilibrium, found.reversible


def _require_known(name: str, ground: Equilibrium, balanced: bool, learning_rate: float) -> None:
    """RequestError for estimators that do not know noise with a covariance, or only such that has a potential."""
    if name == SPLITTING:
        raise RequestError("splitting is for noise of one strength; use --estimator hitting, or witten gap")
    if not balanced and name != HITTING:
        raise RequestError(
            "this noise has no potential, and correlations of its paths do not decay as those in detailed balance do; "
            "use --estimator hitting, or witten gap"
        )
    if not balanced and len(ground.deep) < 2:
        raise RequestError(
            f"this noise has no potential, and at learning rate {learning_rate:g} there are no wells deep enough for "
            "residence times, which alone are known then; use a smaller one, or witten gap"
        )


def apart(estimate: SampledRate, relaxation: float) -> SampledRate:
    """Residence times without detailed balance: right to the ratio of the rate and those within wells, which the
    interval then holds; `relaxation` is the smallest of these. ConvergenceError if that is not small."""
    ratio = math.exp(estimate.log_rate) / relaxation
    if ratio > LARGEST_RATIO:
        raise ConvergenceError(
            f"at learning rate {estimate.learning_rate:g} wells are left at a rate of about "
            f"{math.exp(estimate.log_rate):.2g}, hardly slower than paths move about in them ({relaxation:.2g}): "
            "residence times tell no rate; use a smaller learning rate, or witten gap"
        )
    return widened(estimate, relaxation)


def widened(estimate: SampledRate, relaxation: float) -> SampledRate:
    """The interval with what residence times are off, in the ratio of their rate and those within wells."""
    off = math.log1p(BIAS * math.exp(estimate.log_rate) / relaxation)
    return replace(estimate, lower=estimate.lower - off, upper=estimate.upper + off)


def _elsewhere(estimate: SampledRate, ground: Equilibrium, request: Request, stop: Stop) -> SampledRate:
    """The estimate with what may be slower where its paths do not come, and no rate where the spectrum has no gap below
    which it could be one; ConvergenceError if the rate is not below the continuous spectrum."""
    if ground.gibbs is None:
        return estimate
    bottom = continuous_spectrum(ground.objective, ground.s)
    if not estimate.upper < math.log(bottom):
        raise ConvergenceError(
            f"the spectrum of {request.objective.name} at learning rate {request.learning_rate:g} is continuous from "
            f"{bottom:.6g} on, and paths show no rate below that (about {scientific(estimate.log_rate, 4)}): "
            "correlations there decay by no single rate; use witten gap"
        )
    started = ground.deep if estimate.solver == HITTING else ground.deep[:0]
    return watched(estimate, ground, request, stop, seen=ground.wells.minima[:, started])


def chosen(ground: Equilibrium, dt: float, paths: int) -> str:
    """The estimator that suits the barrier of f: rates expected from curvature/(2 pi) e^{-2H/s}.

    Where no barrier is known (above three dimensions, where there are no minimum-energy paths), correlations are tried.
    """
    height = 2 * ground.barrier / ground.s
    if math.isnan(height):
        return AUTOCORRELATION
    # In equilibrium a well far above the others is seldom visited: the residence time in it is watched instead.
    slow = int(np.argmax(np.where(np.isfinite(ground.wells.depths), ground.wells.depths, -math.inf)))
    lifted = 2 * (ground.wells.floors[slow] - ground.wells.floors[0]) / ground.s
    if len(ground.deep) < 2 or height < max(APART - lifted, LEAST_APART):
        return AUTOCORRELATION
    expected = expected_rate(ground)
    return SPLITTING if expected < RARE or paths / (expected * dt) > LONG else HITTING


def _levels(name: str, ground: Equilibrium, request: Request, dt: float, stop: Stop) -> tuple[list[Level], int]:
    """The paths with step h, and those with 2h, none if stopped; and steps done already."""
    runs = request.runs(dt)
    levels: list[Level] = []
    if name == HITTING:
        if len(ground.deep) < 2:
            raise RequestError(
                f"{request.objective.name} has no second well deeper than {1.5 * request.s:.3g} at learning rate "
                f"{request.learning_rate:g}: nothing is hit; use --estimator autocorrelation"
            )
        moved = [(request.motion(h, stream), n) for h, n, stream in runs]
        kind = Hitting.between_wells
        return [in_batches(partial(kind, m, ground, request.comm, are_many(n, m)), n, m) for m, n in moved], 0
    seed = seed_of(request.seed, request.learning_rate, request.noise) % 2**32
    pilot = request.motion(runs[-1][0], 0)
    # A single path that starts where others never come would make an observable, or an error, of its own.
    points = ground.sample(PILOTS, seed, without=SELDOM)
    found = plan(pilot, points, FIRST_INTERVAL / ground.stiffness, request.comm, stop)
    if found is None:
        return [], 0
    for h, n, stream in runs:
        motion = request.motion(h, stream)
        start = partial(_correlated, name, motion, ground, found, request.comm, seed + stream)
        levels.append(start(range(n)) if name == MSM else in_batches(start, n, motion))
    return levels, found.n_steps


def _correlated(
    name: str, motion: Motion, ground: Equilibrium, plan: Plan, comm: Communicator, seed: int, numbers: range
) -> Decay:
    """Paths of these numbers in the stationary law, or on the way to it from where the first runs have ended."""
    if ground.gibbs is not None:
        points, burn_in = ground.sample(len(numbers), seed + numbers.start, without=SELDOM), 0.0
    else:
        points, burn_in = plan.ends[:, np.array(numbers) % plan.ends.shape[1]], BURN_IN
    kind = MarkovStates if name == MSM else Decay
    return kind(motion, points, plan, comm, burn_in=burn_in, first=numbers.start)


def _estimate(
    request: Request,
    name: str,
    levels: list[Level],
    found: tuple[float, float],
    n_steps: int,
    dt: float,
) -> SampledRate:
    log_rate, log_error = found
    diverged = sum(level.diverged for level in levels)
    n_paths = sum(level.n_paths for level in levels)
    if diverged == n_paths:
        raise ConvergenceError(f"all {n_paths} paths left for infinity with time step {dt:.3g}; use a smaller --dt")
    if not (math.isfinite(log_rate) and math.isfinite(log_error)):
        raise ConvergenceError(
            f"no decay was seen at learning rate {request.learning_rate:g} in {n_steps:.2g} steps of {n_paths} paths; "
            f"ask for more paths, or use {request.otherwise}"
        )
    notes = [levels[0].remark]
    if diverged:
        notes.append(f"{diverged} of {n_paths} paths left for infinity and are left out; use a smaller --dt")
    if 2 * QUANTILE * log_error > request.width:
        notes.append("stopped before the interval was narrow")
    half = QUANTILE * log_error
    return SampledRate(
        request.learning_rate, log_rate, log_rate - reach_down(levels, half), log_rate + half, True, name, n_paths,
        seconds=0.0, log_rates=(log_rate,), notes=tuple(notes), confidence=CONFIDENCE, n_steps=n_steps, dt=dt,
        diverged=diverged,
    )  # fmt: skip
