"""The rate from simulated paths at each learning rate, with a confidence interval.

Whatever the estimator, it is run with two time steps of a scheme of second order, h and 2h, and

    log lambda = (4 log lambda_h - log lambda_2h)/3

leaves an error of fourth order; the interval holds what is uncertain in both. Nothing but f and the paths is looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from witten.dynamics import steps
from witten.dynamics.decay import Decay, plan
from witten.dynamics.estimates import Estimate, as_detail, as_record
from witten.dynamics.hitting import Hitting
from witten.dynamics.msm import MarkovStates, require_deeptime
from witten.dynamics.paths import Motion
from witten.dynamics.sampled import Sampled, sampled
from witten.dynamics.splitting import rate_by_splitting
from witten.dynamics.thermal import Thermal, thermal
from witten.errors import ConvergenceError, RequestError, Stopped
from witten.objectives import Objective, resolve
from witten.parallel import Communicator, communicator, together
from witten.rates import RateCurve

__all__ = ["ESTIMATORS", "METHOD", "curve_of", "estimate_rate", "simulate_rate"]

METHOD = "monte-carlo"
SGD = "sgd"
ESTIMATORS = AUTO, AUTOCORRELATION, HITTING, SPLITTING, MSM = (
    "auto",
    "autocorrelation",
    "hitting",
    "splitting",
    "msm",
)
# The quantile is Student's for errors from 64 groups of paths.
CONFIDENCE, QUANTILE = 0.95, 2.0
# The finer time step times the largest curvature where paths often are.
STEP = 0.2
# Paths with the finer step, and how many times fewer with the coarser one.
PATHS, FEWER = 2048, 2
# A barrier of so many s/2 keeps apart the rates between wells and those within; below it, correlations tell.
APART = 7.0
# Steps after which an estimate is left as it is; rates, and expected numbers of steps, from which on paths are split.
MOST_STEPS = 20_000_000_000
RARE, LONG = 1e-7, 1_000_000_000
# A slow well that holds less than e^{-4} of the mass is left to the lives of paths in it at this barrier already.
SELDOM, SELDOM_APART = 4.0, 4.0
# (upper - lower)/rate of an interval that is narrow enough.
WIDTH = 0.24
# The first runs: how far apart looks are, over the largest curvature, and how many paths.
FIRST_INTERVAL, PILOTS = 0.1, 512
# Where no grid tells the stationary law, paths run for so many 1/lambda before they are measured.
BURN_IN = 2.0

Stop = Callable[[], str | None]
Ground = Thermal | Sampled


class Level(Protocol):
    """One time step's paths."""

    def more(self, stop: Stop) -> None: ...

    @property
    def n_steps(self) -> int: ...

    @property
    def log_rate(self) -> tuple[float, float]: ...

    @property
    def diverged(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Request:
    """What is simulated, and how far."""

    objective: Objective
    learning_rate: float
    noise: float
    paths: int
    dt: float | None
    scheme: str
    seed: int
    width: float
    comm: Communicator

    @property
    def order(self) -> int | None:
        """Of the rate in h; None where it is not extrapolated."""
        return {SGD: None, steps.HEUN: 2}.get(self.scheme, 1)

    @property
    def s(self) -> float:
        """s sigma^2."""
        return self.learning_rate * self.noise**2

    def motion(self, dt: float, stream: int) -> Motion:
        own = _seed(self.seed, self.learning_rate, self.noise)
        scheme = steps.EULER_MARUYAMA if self.scheme == SGD else self.scheme
        return Motion(self.objective, self.learning_rate, dt, self.noise, scheme, own, stream)

    def runs(self, dt: float) -> list[tuple[float, int, int]]:
        """Time step, number of paths and stream of each run."""
        fine = (dt, self.paths, 1)
        return [fine] if self.order is None else [fine, (2 * dt, -(-self.paths // FEWER), 2)]


def simulate_rate(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    *,
    estimator: str = AUTO,
    paths: int | None = None,
    dt: float | None = None,
    scheme: str = steps.HEUN,
    noise: float = 1.0,
    seed: int = 0,
    width: float = WIDTH,
    walltime: float | None = None,
    stop: Stop = lambda: None,
    progress: Callable[[Estimate], Any] | None = None,
    comm: Any = None,
) -> RateCurve:
    """lambda_s of dX = -grad f dt + sigma sqrt(s) dW from simulated paths, with 95 % intervals as error bars.

    The same numbers come out bit for bit whatever the number of threads and ranks.

    Parameters
    ----------
    objective : an Objective, or its text
    learning_rates : s > 0, one or many
    estimator : 'autocorrelation', 'hitting', 'splitting', or 'auto', which goes by the barriers of f beside s; 'msm' is
        a cross-check by deeptime
    paths : paths with the finer time step, 2048 where left out; half as many have the coarser one
    dt : the finer time step h; 0.2 over the largest curvature where paths often are, where left out
    scheme : 'heun'; 'euler-maruyama' or 'leimkuhler-matthews', whose rates are right to first order in h and are
        extrapolated accordingly; 'sgd' is Euler-Maruyama with h = s and its rate as it is, that of SGD itself
    noise : sigma > 0
    seed : 0 to 2^64 - 1
    width : of the interval, beside the rate, that is narrow enough to end
    walltime : seconds after which a run is ended where it is, its interval as wide as it is then
    stop : asked between runs; a reason to stop, or None
    progress : called on rank 0 with each Estimate
    comm : the ranks that share the paths; all there are where left out

    Raises
    ------
    RequestError
        if the request is wrong; ConvergenceError if paths all diverge or no transition is seen; Stopped if it was
        stopped, with the curve of what is done.
    """
    ranks = communicator(comm)
    f = resolve(objective)
    asked = [float(s) for s in np.atleast_1d(np.asarray(learning_rates, dtype=float))]
    _check(asked, estimator, paths, dt, noise, width, scheme)
    if not 0 <= seed < 2**64:
        raise RequestError(f"the seed must be from 0 to 2^64 - 1, got {seed}")
    ends = _ends(ranks, walltime, stop)
    done: list[Estimate] = []
    options = {"estimator": estimator, "paths": paths, "dt": dt, "scheme": scheme, "noise": noise, "seed": seed}
    with together(ranks):
        for s in asked:
            request = Request(f, s, noise, paths or PATHS, dt, scheme, seed, width, ranks)
            reason = ends()
            found = None if reason is not None else estimate_rate(request, estimator, ends)
            if found is None:
                raise Stopped(reason or ends() or "stopped", curve_of(f, done, options))
            done.append(found)
            if progress is not None and ranks.rank == 0:
                progress(found)
        reason = ends()
        if reason is not None and done[-1].width > width:
            raise Stopped(reason, curve_of(f, done, options))
    return curve_of(f, done, options)


def estimate_rate(request: Request, estimator: str = AUTO, stop: Stop = lambda: None) -> Estimate | None:
    """The rate at one learning rate by one estimator; rounds are added until the interval is narrow enough.

    None if it was stopped before anything was known.
    """
    began = time.perf_counter()
    request.motion(1.0, 0)  # refuses what cannot be simulated
    look = thermal if request.objective.dimension <= 3 else sampled
    ground: Ground = look(request.objective, request.s, seed=request.seed)
    dt = request.learning_rate if request.scheme == SGD else request.dt or STEP / ground.stiffness
    name = chosen(ground, dt, request.paths) if estimator == AUTO else estimator
    if name == SPLITTING:
        return rate_by_splitting(
            request.objective, request.learning_rate, seed=request.seed, noise=request.noise, dt=request.dt, stop=stop,
            comm=request.comm,
        )  # fmt: skip
    levels, extra, remarks = _levels(name, ground, request, dt, stop)
    if not levels:
        return None
    while True:
        for level in levels:
            level.more(stop)
        found = _combined(levels, request.order)
        n_steps = extra + sum(level.n_steps for level in levels)
        if 2 * QUANTILE * found[1] <= request.width or n_steps > MOST_STEPS:
            break
        if stop() is not None:
            if not math.isfinite(found[1]):
                return None
            break
    return _estimate(request, name, levels, found, n_steps, dt, time.perf_counter() - began, remarks)


def chosen(ground: Ground, dt: float, paths: int) -> str:
    """The estimator that suits the barrier of f: rates expected from curvature/(2 pi) e^{-2H/s}.

    Above three dimensions no barrier is known, and correlations are tried.
    """
    height = 2 * ground.barrier / ground.s
    if math.isnan(height):
        return AUTOCORRELATION
    # In equilibrium a well far above the others is seldom visited: its life is watched instead.
    slow = int(np.argmax(np.where(np.isfinite(ground.wells.depths), ground.wells.depths, -math.inf)))
    lifted = 2 * (ground.wells.floors[slow] - ground.wells.floors[0]) / ground.s
    if len(ground.deep) < 2 or height < (APART if lifted < SELDOM else SELDOM_APART):
        return AUTOCORRELATION
    expected = ground.softness / (2 * math.pi) * math.exp(-height)
    return SPLITTING if expected < RARE or paths / (expected * dt) > LONG else HITTING


def _levels(
    name: str, ground: Ground, request: Request, dt: float, stop: Stop
) -> tuple[list[Level], int, list[str]]:
    """The paths with step h, and those with 2h, none if stopped; steps done already, and what there is to say."""
    runs = request.runs(dt)
    levels: list[Level] = []
    if name == HITTING:
        if len(ground.deep) < 2:
            raise RequestError(
                f"{request.objective.name} has no second well deeper than {1.5 * request.s:.3g} at learning rate "
                f"{request.learning_rate:g}: nothing is hit; use --estimator autocorrelation"
            )
        levels += [Hitting(request.motion(h, stream), ground, n, request.comm) for h, n, stream in runs]
        return levels, 0, [f"{len(ground.deep)} wells"]
    seed = _seed(request.seed, request.learning_rate, request.noise) % 2**32
    pilot = request.motion(runs[-1][0], 0)
    found = plan(pilot, ground.sample(PILOTS, seed), FIRST_INTERVAL / ground.stiffness, request.comm, stop)
    if found is None:
        return [], 0, []
    for h, n, stream in runs:
        if isinstance(ground, Thermal):
            points, burn_in = ground.sample(n, seed + stream), 0.0
        else:
            points, burn_in = found.ends[:, np.arange(n) % found.ends.shape[1]], BURN_IN
        kind = MarkovStates if name == MSM else Decay
        levels.append(kind(request.motion(h, stream), points, found, request.comm, burn_in=burn_in))
    return levels, found.n_steps, [f"observable: {found.mode.about}"]


def _combined(levels: list[Level], order: int | None) -> tuple[float, float]:
    """log lambda at h -> 0 and its standard deviation."""
    values, errors = zip(*(level.log_rate for level in levels), strict=True)
    if order is None:
        return values[0], errors[0]
    a = 2**order
    return (a * values[0] - values[1]) / (a - 1), math.hypot(a * errors[0], errors[1]) / (a - 1)


def _estimate(
    request: Request,
    name: str,
    levels: list[Level],
    found: tuple[float, float],
    n_steps: int,
    dt: float,
    seconds: float,
    remarks: list[str],
) -> Estimate:
    log_rate, log_error = found
    diverged = sum(level.diverged for level in levels)
    n_paths = sum(n for _, n, _ in request.runs(dt))
    if diverged == n_paths:
        raise ConvergenceError(f"all {n_paths} paths left for infinity with time step {dt:.3g}; use a smaller --dt")
    if not (math.isfinite(log_rate) and math.isfinite(log_error)):
        raise ConvergenceError(
            f"no decay was seen at learning rate {request.learning_rate:g} in {n_steps:.2g} steps of {n_paths} paths; "
            "ask for more paths, or use --estimator splitting"
        )
    notes = list(remarks)
    if diverged:
        notes.append(f"{diverged} of {n_paths} paths left for infinity and are left out; use a smaller --dt")
    if 2 * QUANTILE * log_error > 0.25:
        notes.append("stopped before the interval was narrow")
    half = QUANTILE * log_error
    return Estimate(
        request.learning_rate, log_rate, log_rate - half, log_rate + half, CONFIDENCE, name, n_paths, n_steps, dt,
        seconds, diverged, remarks=tuple(notes),
    )  # fmt: skip


def curve_of(f: Objective, done: list[Estimate], options: dict[str, Any]) -> RateCurve:
    """The estimates as every route answers."""
    each = [as_record(estimate) for estimate in done]
    return RateCurve(
        learning_rates=np.array([record.learning_rate for record in each]),
        log_rates=np.array([record.log_rate for record in each]),
        lower=np.array([record.lower for record in each]),
        upper=np.array([record.upper for record in each]),
        resolved=np.array([record.resolved for record in each], dtype=bool),
        method=METHOD,
        objective=f.name,
        options=options,
        details=tuple(as_detail(estimate) for estimate in done),
    )


def _ends(comm: Communicator, walltime: float | None, stop: Stop) -> Stop:
    """Why to stop now, as rank 0 sees it, or None; collective."""
    limit = None if walltime is None else time.monotonic() + walltime

    def reason() -> str | None:
        late = limit is not None and time.monotonic() >= limit
        return comm.bcast(stop() or ("stopped at the walltime" if late else None))  # type: ignore[no-any-return]

    return reason


def _seed(seed: int, learning_rate: float, noise: float) -> int:
    """A seed for each learning rate, so that the errors along a curve are independent."""
    text = f"{seed} {float(learning_rate).hex()} {float(noise).hex()}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def _check(
    asked: list[float], estimator: str, paths: int | None, dt: float | None, noise: float, width: float, scheme: str
) -> None:
    if not asked:
        raise RequestError("no learning rates were given")
    for s in asked:
        if not (math.isfinite(s) and s > 0):
            raise RequestError(f"learning rate must be positive, got {s}")
    for name, value in (("noise", noise), ("width", width), *([("dt", dt)] if dt is not None else [])):
        if not (math.isfinite(value) and value > 0):
            raise RequestError(f"{name} must be positive, got {value}")
    if estimator not in ESTIMATORS:
        raise RequestError(f"unknown estimator {estimator[:60]!r}; use one of {', '.join(ESTIMATORS)}")
    if estimator == MSM:
        require_deeptime()
    if scheme not in (*steps.SCHEMES, SGD):
        raise RequestError(f"unknown scheme {scheme[:60]!r}; use one of {', '.join((*steps.SCHEMES, SGD))}")
    if scheme == SGD and (dt is not None or estimator == SPLITTING):
        raise RequestError("the time step of SGD is the learning rate, and its paths are not split; leave both out")
    if paths is not None and paths < 128:
        raise RequestError(f"at least 128 paths are needed for an interval, got {paths}")
