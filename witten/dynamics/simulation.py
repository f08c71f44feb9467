"""The rate from simulated paths at each learning rate, with intervals: nothing but f and its paths is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike
from typing import Any

from witten.dynamics.estimators.batches import batch_size
from witten.dynamics.estimators.markov_state_model import require_deeptime
from witten.dynamics.paths import schemes
from witten.dynamics.rate_estimate import AUTO, ESTIMATORS, MSM, SPLITTING, estimate_rate
from witten.dynamics.request import PATHS, SGD, WIDTH, Request, Stop, check_count
from witten.errors import RequestError, Stopped
from witten.memory import require_memory
from witten.noise import Noise, parted
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.parallel.communicators import Communicator, agree, communicator
from witten.rates import RateCurve, RateRecord
from witten.request import checked_learning_rates, checked_seed, positive
from witten.sweeps import Part, run_sweep, until

__all__ = ["ESTIMATORS", "METHOD", "simulate_rate"]

METHOD = "monte-carlo"
# Bytes that a path takes whatever the estimator, and each of its coordinates: samples, points, where it has been.
PER_PATH, PER_COORDINATE = 64, 48


def simulate_rate(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    *,
    estimator: str = AUTO,
    paths: int | None = None,
    dt: float | None = None,
    scheme: str = schemes.HEUN,
    noise: float | Noise = 1.0,
    seed: int = 0,
    width: float = WIDTH,
    walltime: float | None = None,
    stop: Stop = lambda: None,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] | None = None,
    comm: Any = None,
) -> RateCurve:
    """lambda_s of dX = -grad f dt + sigma sqrt(s) dW from simulated paths, with 95 % intervals as error bars.

    The same numbers come out bit for bit whatever the number of threads and ranks.

    >>> curve = witten.simulate_rate("x^2/2", 0.5, paths=128)
    >>> bool(curve.resolved[0])
    True

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
    noise : sigma > 0, or one of `witten.noise`, dX = -grad f dt + sqrt(s) Sigma^{1/2}(X) dW (Ito). Where Sigma depends
        on x Euler-Maruyama stands for Heun; where it has no potential, rates of wells that are far apart alone
    seed : 0 to 2^64 - 1
    width : of the interval, beside the rate, that is narrow enough to end
    walltime : seconds after which a run is ended where it is, its interval as wide as it is then
    stop : asked between runs; a reason to stop, or None
    output : netCDF file, rewritten whole after each learning rate
    resume : go on from `output`; what is there is not simulated again, unless it was ended by a stop
    progress : called on rank 0 with each RateRecord
    comm : the ranks that share the paths; all there are where left out

    Raises
    ------
    RequestError
        if the request is wrong; ConvergenceError if paths all diverge or no transition is seen; Stopped if it was
        stopped, with the curve of what is done.
    """
    ranks = communicator(comm)
    f = resolve(objective)
    sigma, model = parted(noise, f)
    diffusion = None if model is None else model.bind(f)
    if diffusion is not None and not diffusion.is_constant and scheme == schemes.HEUN:
        scheme = schemes.EULER_MARUYAMA
    asked = checked_learning_rates(learning_rates, sigma)
    _check(estimator, paths, dt, width, scheme)
    held = (paths or PATHS) if estimator == MSM else min(paths or PATHS, batch_size(f.dimension))
    require_memory(
        held * (PER_PATH + PER_COORDINATE * f.dimension),
        f"{held} paths at once",
        "ask for fewer: intervals are made narrow by longer paths as well",
    )
    checked_seed(seed)
    end = until(walltime, stop)

    def ends() -> str | None:
        return ranks.bcast(end())

    def compute(s: float, group: Communicator) -> RateRecord:
        request = Request(f, s, sigma, paths or PATHS, dt, scheme, seed, width, group, diffusion)
        found = estimate_rate(request, estimator, ends)
        if found is None:
            raise Stopped(ends() or "stopped")
        return found

    options = {"estimator": estimator, "paths": paths, "dt": dt, "scheme": scheme, "noise": sigma, "seed": seed}
    options |= {"width": width, "fingerprint": agree(ranks, partial(fingerprint, f))}
    options |= {} if model is None else {"covariance": model.text}
    # A run is ended within the walltime, and none is left out for being long.
    return run_sweep(
        f.name, Part(compute, METHOD, options), asked, comm=ranks, output=output, resume=resume, progress=progress,
        stop=end,
    )  # fmt: skip


def _check(estimator: str, paths: int | None, dt: float | None, width: float, scheme: str) -> None:
    positive("width", width)
    if dt is not None:
        positive("dt", dt)
    if estimator not in ESTIMATORS:
        raise RequestError(f"unknown estimator {estimator[:60]!r}; use one of {', '.join(ESTIMATORS)}")
    if estimator == MSM:
        require_deeptime()
    if scheme not in (*schemes.SCHEMES, SGD):
        raise RequestError(f"unknown scheme {scheme[:60]!r}; use one of {', '.join((*schemes.SCHEMES, SGD))}")
    if scheme == SGD and (dt is not None or estimator == SPLITTING):
        raise RequestError("the time step of SGD is the learning rate, and its paths are not split; leave both out")
    check_count(paths)
