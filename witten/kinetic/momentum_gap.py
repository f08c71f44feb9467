"""The rate of SGD with momentum against the learning rate, and that of a Langevin equation."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any

from witten.errors import AccuracyWarning, RequestError
from witten.kinetic.refinement import KineticGap, kinetic_gap_on_line
from witten.langevin import BBK, Langevin, checked_momentum
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.parallel.communicators import Communicator, agree, communicator
from witten.rates import KineticRate, RateCurve, RateRecord
from witten.request import checked_learning_rates
from witten.spectra.checks import examined, require_discrete, require_request
from witten.sweeps import Part, run_sweep

__all__ = ["langevin_gap", "momentum_gap"]

Intervals = Sequence[tuple[float, float]]
METHOD = "hermite-elements"
# A relative error beyond which a rate is not resolved.
RESOLVED = 0.5
ALONE = Communicator()


def momentum_gap(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    momentum: float,
    *,
    rtol: float = 1e-4,
    noise: float = 1.0,
    box: Intervals | None = None,
    equation: str = BBK,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] | None = None,
    groups: int = 1,
    walltime: float | None = None,
    stop: Callable[[], str | None] = lambda: None,
    comm: Any = None,
) -> RateCurve:
    """The spectral gap of x_{k+1} = x_k + alpha (x_k - x_{k-1}) - s grad f(x_k) + s sigma xi, as a Langevin equation.

    The rate is the smallest real part of an eigenvalue of -L but for the zero, per unit of its time t = k dt, for

        L = v . grad - grad f . grad_v - gamma v . grad_v + gamma T Lap_v

    with dt, gamma and T as `Langevin.of_momentum` says. Records are `KineticRate`s, with the rate per step and per
    learning rate beside it. At alpha = 0 this is not `gap`: friction and the time of a step remain finite. Source:
    [Bruenger1984]; one and two dimensions.

    >>> curve = witten.momentum_gap("double-well", 0.05, 0.5)
    >>> print(f"{curve.records[0].rate_per_step:.4e}")
    2.4967e-04

    Parameters
    ----------
    objective : f, of one or two variables: an Objective, or its text
    learning_rates : s > 0, one or many
    momentum : alpha, from 0 to below 1
    rtol : wanted error, relative to each rate
    noise : sigma > 0
    box : (low, high) for each axis, where paths are reflected, instead of automatic truncation
    equation : 'bbk', or 'shi' for the equation of [Shi2024], to compare with
    output, resume, progress, groups, walltime, stop, comm : as in `gap`

    Raises
    ------
    RequestError
        if the request is wrong, f is not confining or has more than two variables.
    ConvergenceError
        where friction or temperature is too small for the unknowns that it takes, or a solver fails.
    """
    f, alpha, ranks = resolve(objective), checked_momentum(momentum), communicator(comm)
    asked = checked_learning_rates(learning_rates, noise)
    for s in asked:
        _require(f, Langevin.of_momentum(s, alpha, noise, equation), rtol, box)

    def compute(s: float, group: Communicator) -> KineticRate:
        langevin = Langevin.of_momentum(s, alpha, noise, equation)
        if f.dimension == 1:
            return agree(group, lambda: _record(f, langevin, rtol, box, s, alpha))
        return group.bcast(_record(f, langevin, rtol, box, s, alpha, group))

    options = {
        "rtol": float(rtol), "noise": float(noise), "momentum": alpha, "equation": equation,
        "box": None if box is None else [[float(a), float(b)] for a, b in box],
        "fingerprint": agree(ranks, lambda: fingerprint(f)),
    }  # fmt: skip
    return run_sweep(
        f.name, Part(compute, METHOD, options), asked, comm=ranks, output=output, resume=resume, progress=progress,
        groups=groups, walltime=walltime, stop=stop,
    )  # fmt: skip


def langevin_gap(
    objective: Objective | str,
    friction: float,
    temperature: float,
    *,
    rtol: float = 1e-4,
    box: Intervals | None = None,
) -> KineticRate:
    """The spectral gap of dX = V dt, dV = -gamma V dt - grad f dt + sqrt(2 gamma T) dW.

    Its record has the learning rate 2T, at which SGD without momentum has the same Gibbs measure, and no rate per step.

    >>> print(f"{witten.langevin_gap('x^2/2', 3, 0.1).rate:.6f}")
    0.381966

    Parameters
    ----------
    friction, temperature : gamma and T, positive
    objective, rtol, box : as in `momentum_gap`

    Raises
    ------
    RequestError, ConvergenceError
        as `momentum_gap`.
    """
    f, langevin = resolve(objective), Langevin(float(friction), float(temperature))
    _require(f, langevin, rtol, box)
    return _record(f, langevin, rtol, box, langevin.usual_learning_rate, math.nan)


def _require(f: Objective, langevin: Langevin, rtol: float, box: Intervals | None) -> None:
    """RequestError for what has no gap, or none that is known here."""
    require_request(f, langevin.usual_learning_rate, 2, rtol, box)
    if f.dimension > 2 or f.periods:
        what = f"dimension {f.dimension}" if f.dimension > 2 else "a periodic axis"
        raise RequestError(
            f"{f.name} has {what}; rates with momentum are those of up to two variables without a period"
        )
    require_discrete(f, langevin.usual_learning_rate, box)


def _record(
    f: Objective, langevin: Langevin, rtol: float, box: Intervals | None, s: float, alpha: float,
    comm: Communicator = ALONE,
) -> KineticRate:  # fmt: skip
    """One learning rate, in the plane by all ranks; an AccuracyWarning where the bar is longer than asked for."""
    began = time.perf_counter()
    if f.dimension == 1:
        found = kinetic_gap_on_line(f, langevin, rtol, box)
    else:
        from witten.kinetic.plane import kinetic_gap_in_plane

        found = kinetic_gap_in_plane(f, langevin, rtol, box, comm)
    if found.error > rtol and comm.rank == 0:
        _warn(f, s, found)
    return KineticRate(
        learning_rate=s,
        log_rate=found.log_rate,
        lower=found.log_rate + (math.log1p(-found.error) if found.error < 1 else -math.inf),
        upper=found.log_rate + math.log1p(found.error),
        resolved=found.error < RESOLVED,
        solver=found.solver,
        n_dofs=found.n_dofs,
        seconds=time.perf_counter() - began,
        log_rates=found.log_rates,
        examined="" if box is None else examined(f, None),
        momentum=alpha,
        friction=langevin.friction,
        temperature=langevin.temperature,
        step_time=math.nan if langevin.step_time is None else langevin.step_time,
        hermite_order=found.hermite_order,
        eigenvalues=found.eigenvalues,
    )


def _warn(f: Objective, s: float, found: KineticGap) -> None:
    warnings.warn(
        f"{f.name} at learning rate {s:g} with momentum: the rate is known to a relative error of {found.error:.1e}",
        AccuracyWarning,
        stacklevel=4,
    )
