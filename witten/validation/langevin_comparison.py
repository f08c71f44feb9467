"""The rates of SGD with momentum, a chain of pairs, beside those of its Langevin equation, in one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from witten.errors import ConvergenceError, RequestError
from witten.kinetic.momentum_gap import METHOD, momentum_gap
from witten.langevin import checked_momentum
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.parallel.communicators import agree, communicator
from witten.rates import ChainRate, CurveSet, KineticRate, RateRecord
from witten.request import checked_learning_rates
from witten.sgd.chain import chain_options, recorded
from witten.sgd.momentum_chain import momentum_chain
from witten.sgd.sde_comparison import CHAIN, SDE, swept_together
from witten.sweeps import Part, Stop

__all__ = ["momentum_chain_beside_langevin"]

# What the rate of the Langevin equation is asked to.
RTOL = 1e-4


def momentum_chain_beside_langevin(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    momentum: float,
    *,
    nesterov: bool = False,
    noise: float = 1.0,
    box: Sequence[tuple[float, float]] | None = None,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] = lambda record: None,
    walltime: float | None = None,
    stop: Stop = lambda: None,
    comm: Any = None,
) -> CurveSet:
    """The rates of SGD with momentum, curve "" of the set, and of its Langevin equation, curve "sde".

    Both are per unit of k s. A chain that escapes has no rate, nor has an equation without a gap; the record says why.

    >>> found = momentum_chain_beside_langevin("x^2/2", 0.5, 0.2)
    >>> print(f"{found.curves[''].rates[0]:.3f} {found.curves['sde'].rates[0]:.3f}")
    1.609 1.333

    Parameters
    ----------
    objective, momentum, nesterov, noise, box : as in `momentum_chain`; the box is that of the chain alone
    learning_rates : s > 0, one or many
    output, resume, progress, walltime, stop : of a sweep, as in `gap`
    comm : the ranks, each of which computes one rate after the other; all there are where left out

    Raises
    ------
    RequestError
        as `momentum_chain`.
    Stopped
        at the walltime or by `stop`, with the curves so far.
    """
    f, alpha, ranks = resolve(objective), checked_momentum(momentum), communicator(comm)
    mark = {"momentum": alpha, "fingerprint": agree(ranks, lambda: fingerprint(f))}
    said, own = mark | {"rtol": RTOL, "noise": float(noise)}, chain_options(noise, box) | {"nesterov": nesterov}
    parts = {
        "": Part(lambda s, one: _chain(f, s, alpha, nesterov, noise, box), CHAIN, own | mark),
        SDE: Part(lambda s, one: _langevin(f, s, alpha, noise), METHOD, said),
    }
    return swept_together(
        f.name, parts, checked_learning_rates(learning_rates, noise), ranks, output=output, resume=resume,
        progress=progress, walltime=walltime, stop=stop,
    )  # fmt: skip


def _chain(
    f: Objective, s: float, alpha: float, nesterov: bool, noise: float, box: Sequence[tuple[float, float]] | None
) -> ChainRate:
    """The rate of the chain, or why there is none."""
    try:
        found = recorded(momentum_chain(f, s, alpha, nesterov=nesterov, noise=noise, box=box))
    except ConvergenceError as error:
        nan = math.nan
        return ChainRate(s, nan, nan, nan, False, CHAIN, 0, 0.0, notes=(str(error),))
    if found.resolved:
        return found
    return replace(found, notes=(f"at learning rate {s:g} the gap of the chain is too small for its eigenvalues",))


def _langevin(f: Objective, s: float, alpha: float, noise: float) -> RateRecord:
    """The rate of the Langevin equation per unit of k s, or why there is none."""
    try:
        (found,) = momentum_gap(f, s, alpha, noise=noise, rtol=RTOL).records
    except (RequestError, ConvergenceError) as error:
        return RateRecord.empty(s, str(error))
    assert isinstance(found, KineticRate)
    unit = math.log(found.step_time / s)
    return RateRecord(
        s, found.log_rate + unit, found.lower + unit, found.upper + unit, found.resolved, found.solver, found.n_dofs,
        found.seconds, log_rates=(found.log_rate + unit,), notes=found.notes,
    )  # fmt: skip
