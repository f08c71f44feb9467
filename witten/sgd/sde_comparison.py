"""The rates of SGD, a chain, beside those of the SDE that stands for it: computed, and kept in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from os import PathLike
from typing import Any

from witten.errors import ConvergenceError, RequestError, Stopped
from witten.noise import Noise, parted
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.objectives.topography.convexity import separate
from witten.parallel import agree, alone, communicator
from witten.parallel.communicators import Communicator
from witten.rates import CurveSet, RateCurve, RateRecord
from witten.request import checked_learning_rates
from witten.sgd.chain import CHAIN, chain_options, chain_rate
from witten.spectra.gap import FINITE_DIFFERENCES, gap
from witten.sweeps import Part, Stop, Sweep

__all__ = ["CHAIN", "SDE", "chain_beside_sde", "gap_by_terms", "swept_together"]

# The name of the curve of the SDE beside that of SGD.
SDE = "sde"
# What a rate on a line is asked to, which costs next to nothing, and one in the plane.
RTOL = {1: 1e-6, 2: 1e-4, 3: 1e-4}


def gap_by_terms(
    objective: Objective | str, learning_rates: Sequence[float], *, noise: float | Noise = 1.0
) -> RateCurve:
    """The gap of the SDE; of a sum of functions of one variable each the gap of its slowest term, each on a line.

    Parameters
    ----------
    objective : of up to three variables, or a sum of functions of one variable each, of any dimension
    learning_rates, noise : as in `gap`, with its errors
    """
    f = resolve(objective)
    parts = separate(f) if f.dimension > 1 and parted(noise, f)[1] is None else None
    if parts is None:
        return gap(f, learning_rates, rtol=RTOL.get(f.dimension, 1e-4), noise=noise)
    symbol = parts[0][1]
    lines = dict.fromkeys(part.subs(x, symbol) for part, x in parts)
    curves = [gap(Objective.from_sympy(line, [symbol]), learning_rates, rtol=RTOL[1], noise=noise) for line in lines]
    columns = zip(*(curve.records for curve in curves), strict=True)
    slowest = tuple(min(column, key=attrgetter("log_rate")) for column in columns)
    return replace(curves[0], records=slowest, objective=f.name)


def chain_beside_sde(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    *,
    noise: float | Noise = 1.0,
    box: Sequence[tuple[float, float]] | None = None,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] = lambda record: None,
    walltime: float | None = None,
    stop: Stop = lambda: None,
    comm: Any = None,
) -> CurveSet:
    """The rates of SGD, curve "" of the set, and of the SDE that stands for it, curve "sde".

    Where the SDE has no rate its record says why, and is not resolved.

    Parameters
    ----------
    objective, noise, box : as in `transfer_spectrum`; the box is that of SGD alone
    learning_rates : s > 0, one or many
    output, resume, progress, walltime, stop : of a sweep, as in `gap`
    comm : the ranks, each of which computes one rate after the other; all there are where left out

    Raises
    ------
    RequestError, ConvergenceError
        as `transfer_spectrum`.
    Stopped
        at the walltime or by `stop`, with the curves so far.
    """
    f = resolve(objective)
    ranks = communicator(comm)
    sigma, model = parted(noise, f)
    noise = sigma if model is None else model
    mark = {"fingerprint": agree(ranks, lambda: fingerprint(f))}
    rtol = RTOL[1] if f.dimension > 1 and separate(f) is not None else RTOL.get(f.dimension, 1e-4)
    parts = {
        "": Part(lambda s, one: chain_rate(f, s, noise, box), CHAIN, chain_options(noise, box) | mark),
        SDE: Part(
            lambda s, one: _sde_rate(f, s, noise), FINITE_DIFFERENCES,
            {"rtol": rtol, "noise": chain_options(noise, None)["noise"]} | mark,
        ),
    }
    return swept_together(
        f.name, parts, checked_learning_rates(learning_rates, sigma), ranks, output=output, resume=resume,
        progress=progress, walltime=walltime, stop=stop,
    )  # fmt: skip


def swept_together(
    name: str, parts: Mapping[str, Part], asked: Sequence[float], ranks: Communicator, *,
    output: str | PathLike[str] | None, resume: bool, progress: Callable[[RateRecord], Any], walltime: float | None,
    stop: Stop,
) -> CurveSet:  # fmt: skip
    """A curve of each part, of which each rank computes one rate after the other, by itself; Stopped at the walltime or
    by `stop`, with the curves so far."""
    by_one = {key: replace(part, compute=partial(_by_itself, part.compute)) for key, part in parts.items()}
    sweep = Sweep(
        name, by_one, asked, ranks, output, lambda key, record: progress(record), groups=ranks.size,
        walltime=walltime, stop=stop,
    )  # fmt: skip
    sweep.open(resume)
    reason = sweep.run()
    found = CurveSet({key: sweep.curve(key) for key in parts})
    if reason is not None:
        raise Stopped(reason, found)
    return found


def _by_itself(compute: Callable[[float, Communicator], RateRecord], s: float, group: Communicator) -> RateRecord:
    """A record that one rank computes while others compute theirs."""
    with alone():
        return compute(s, group)


def _sde_rate(f: Objective, learning_rate: float, noise: float | Noise) -> RateRecord:
    """The rate of the SDE, or why there is none."""
    try:
        return gap_by_terms(f, [learning_rate], noise=noise).records[0]
    except (RequestError, ConvergenceError) as error:
        return RateRecord.empty(learning_rate, str(error))
