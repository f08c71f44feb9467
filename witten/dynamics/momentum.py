"""The rate of SGD with momentum from its own paths, and that of its Langevin equation, by residence times.

There is no detailed balance, and correlations may oscillate: only residence times tell the rate, and only of wells that
are left slowly. With little friction a path is in a well no sooner than it has lost the energy to leave it again, so
that cores are sets of the phase space,

    {f(x) - f(m) <= h/2, |v|^2/2 <= h/2},    v = (x - x-)/dt,

h a part of the depth of the well of m.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from witten import stopwatch
from witten.dynamics.cost import check_transitions
from witten.dynamics.equilibrium.core_sets import core_heights
from witten.dynamics.equilibrium.curvatures import minimum_curvatures
from witten.dynamics.equilibrium.equilibrium import Equilibrium, equilibrium
from witten.dynamics.estimators.batches import are_many, in_batches
from witten.dynamics.estimators.hitting_times import SETTLING, Hitting, from_minima
from witten.dynamics.paths.ensemble import CoreMap
from witten.dynamics.paths.momentum import MomentumMotion
from witten.dynamics.rate_estimate import HITTING, apart, run_levels
from witten.dynamics.request import PATHS, SGD, WIDTH, Level, Request, Stop, check_count
from witten.dynamics.simulation import METHOD
from witten.errors import RequestError, Stopped
from witten.langevin import Langevin, checked_momentum, step_time
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.parallel.communicators import Communicator, agree, communicator
from witten.rates import RateCurve, RateRecord, SampledRate
from witten.request import checked_learning_rates, checked_seed, positive, seed_of
from witten.sweeps import Part, run_sweep, until

__all__ = ["BBK", "SCHEMES", "simulate_momentum"]

# The recursion itself; and the Langevin equation, to which recursions of smaller steps are extrapolated.
SCHEMES = SGD, BBK = SGD, "bbk"
# The finer time step of the latter, times the frequency of the stiffest well and times the friction.
STEP, STEP_OF_FRICTION = 0.25, 0.5
# Observations are so far apart, over that frequency.
APART = 0.4
# Of the height of a core, the parts of f and of the velocity.
PART = 0.5
# Energy is forgotten so many times more slowly than where in the well a path is, as far as residence times notice:
# where a rate is 0.2 % of the relaxation (the double well at H/T = 4.2) they are 1.8(6) % too long.
SLOWER = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class _MomentumRequest(Request):
    """Paths of the recursion, or of recursions for its Langevin equation: `dt` is the finer of their steps then."""

    langevin: Langevin
    momentum: float
    nesterov: bool

    @property
    def order(self) -> int | None:
        return None if self.scheme == SGD else 2

    @property
    def otherwise(self) -> str:
        return "witten gap or theory with --momentum"

    @property
    def s(self) -> float:
        """2T, for which e^{-2f/s} is the law of x."""
        return self.langevin.usual_learning_rate

    def motion(self, dt: float, stream: int) -> MomentumMotion:
        own = seed_of(self.seed, self.learning_rate, self.noise)
        s, alpha, noise = self.learning_rate, self.momentum, self.noise
        if self.scheme == BBK:
            s, alpha, noise = self.langevin.recursion(dt)
        return MomentumMotion(
            self.objective, s, dt, noise, seed=own, stream=stream, momentum=alpha, nesterov=self.nesterov
        )


def simulate_momentum(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    momentum: float,
    *,
    nesterov: bool = False,
    scheme: str = SGD,
    paths: int | None = None,
    dt: float | None = None,
    noise: float = 1.0,
    seed: int = 0,
    width: float = WIDTH,
    walltime: float | None = None,
    stop: Stop = lambda: None,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] | None = None,
    comm: Any = None,
) -> RateCurve:
    """The rate of x_{k+1} = y - s grad f(x_k) + s sigma xi, y = x_k + alpha (x_k - x_{k-1}), from simulated paths.

    The rate is per unit of the time t = k dt, dt = sqrt(2s/(1 + alpha)), as that of `momentum_gap`; its error bar is a
    95 % interval. At alpha = 0 the paths are those of SGD to the bit. Residence times in cores of the phase space
    [Schuette2011]; wells must be left slowly beside how fast they relax.

    >>> curve = witten.simulate_momentum("double-well", 0.06, 0.5, paths=512)
    >>> bool(curve.resolved[0])
    True

    Parameters
    ----------
    objective : an Objective of at most three variables, or its text
    learning_rates : s > 0, one or many
    momentum : alpha, from 0 to below 1
    nesterov : the gradient is taken at y
    scheme : 'sgd', the recursion as it is; 'bbk', its Langevin equation: recursions of time steps h and 2h at the same
        friction and temperature, extrapolated to h = 0 [Bruenger1984]
    paths : paths (with the finer time step), 2048 where left out
    dt : the finer time step h of 'bbk'; from the curvature of f and the friction where left out
    noise : sigma > 0
    seed, width, walltime, stop, output, resume, progress, comm : as in `simulate_rate`

    Raises
    ------
    RequestError
        if the request is wrong, or f has no two wells that are deep beside the temperature.
    ConvergenceError
        if wells are left too fast for residence times, or too seldom.
    """
    ranks, f, alpha = communicator(comm), resolve(objective), checked_momentum(momentum)
    asked = checked_learning_rates(learning_rates, noise)
    _check(f, scheme, nesterov, dt, paths, width)
    checked_seed(seed)
    end = until(walltime, stop)

    def compute(s: float, group: Communicator) -> RateRecord:
        equation = Langevin.of_momentum(s, alpha, noise)
        request = _MomentumRequest(
            f, s, noise, paths or PATHS, dt, scheme, seed, width, group, langevin=equation, momentum=alpha,
            nesterov=nesterov,
        )  # fmt: skip
        found = _estimate(request, lambda: ranks.bcast(end()))
        if found is None:
            raise Stopped(ranks.bcast(end()) or "stopped")
        return found

    options = {
        "momentum": alpha, "nesterov": nesterov, "scheme": scheme, "paths": paths, "dt": dt, "noise": float(noise),
        "seed": seed, "width": width, "fingerprint": agree(ranks, partial(fingerprint, f)),
    }  # fmt: skip
    return run_sweep(
        f.name, Part(compute, METHOD, options), asked, comm=ranks, output=output, resume=resume, progress=progress,
        stop=end,
    )  # fmt: skip


def _check(
    f: Objective, scheme: str, nesterov: bool, dt: float | None, paths: int | None, width: float
) -> None:
    positive("width", width)
    if scheme not in SCHEMES:
        raise RequestError(f"unknown scheme {scheme[:60]!r} with momentum; use one of {', '.join(SCHEMES)}")
    if scheme == SGD and dt is not None:
        raise RequestError("the time step of SGD with momentum is that of s and alpha: leave out dt, or use scheme bbk")
    if scheme == BBK and nesterov:
        raise RequestError("scheme bbk is for the Langevin equation, which has no Nesterov gradient; use scheme sgd")
    if dt is not None:
        positive("dt", dt)
    check_count(paths)
    if f.dimension > 3 or f.periods:
        what = f"{f.dimension} variables" if f.dimension > 3 else "a periodic axis"
        raise RequestError(f"{f.name} has {what}; momentum is simulated for up to three variables that have no period")


def _estimate(request: _MomentumRequest, stop: Stop) -> SampledRate | None:
    """One learning rate; None if it was stopped before anything was known."""
    began, f, equation = stopwatch.seconds(), request.objective, request.langevin
    ground = equilibrium(f, request.s)
    if len(ground.deep) < 2:
        raise RequestError(
            f"{f.name} has no second well deeper than {3 * equation.temperature:.3g} at learning rate "
            f"{request.learning_rate:g} with momentum {request.momentum:g}: nothing is hit; use witten gap --momentum"
        )
    curvatures = minimum_curvatures(f, ground.wells.minima[:, ground.deep])
    relaxation = equation.relaxation_rate(max(float(curvatures.min()), ground.softness))
    dt = _finer_step(request, ground.stiffness)
    check_transitions(request, relaxation / (2 * math.pi) * math.exp(-ground.barrier / equation.temperature), dt)
    levels: list[Level] = [
        in_batches(partial(_level, motion, ground, relaxation, request.comm, are_many(count, motion)), count, motion)
        for motion, count in ((request.motion(h, stream), n) for h, n, stream in request.runs(dt))
    ]
    found = run_levels(request, HITTING, levels, dt, stop, idles=True)
    if found is None:
        return None
    return replace(apart(found, relaxation / SLOWER), seconds=stopwatch.seconds() - began)


def _finer_step(request: _MomentumRequest, stiffness: float) -> float:
    """dt of the recursion; or of the finer one for the equation, small beside its frequency and its friction."""
    equation = request.langevin
    if request.scheme == SGD:
        return step_time(request.learning_rate, request.momentum)
    if request.dt is None:
        return min(STEP / math.sqrt(stiffness), STEP_OF_FRICTION / equation.friction)
    if request.dt * equation.friction > 1:
        most = f"{1 / equation.friction:.4g}"
        raise RequestError(f"at friction {equation.friction:.4g} steps are too long for this: a --dt of at most {most}")
    return request.dt


def _level(
    motion: MomentumMotion, ground: Equilibrium, relaxation: float, comm: Communicator, many: bool, numbers: range
) -> Hitting:
    """Paths at rest in the minima, and the cores of the phase space that are watched."""
    points, homes = from_minima(ground, numbers)
    return Hitting(
        motion, np.tile(points, (2, 1)), _cores(ground, motion.dt), comm, first=numbers.start,
        homes=homes if many else None,
        settling=max(1, round(SETTLING / (relaxation * motion.dt))),
        every=max(1, round(APART / (math.sqrt(ground.stiffness) * motion.dt))),
    )  # fmt: skip


def _cores(ground: Equilibrium, dt: float) -> CoreMap:
    """Cores of f, of a part of their height, and of |v|^2/2, in which |x - x-|^2 = |v|^2 dt^2."""
    heights = PART * core_heights(ground.wells, ground.deep, ground.s)
    return replace(CoreMap.within(ground.cores.centres, ground.cores.metrics / PART), slow=2 * heights * dt**2)
