"""Asking the three routes for the rate at each learning rate; one that has no answer says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

from witten.dynamics.paths.schemes import HEUN
from witten.dynamics.rate_estimate import AUTO
from witten.dynamics.request import WIDTH
from witten.dynamics.simulation import METHOD as PATHS
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError, RequestError
from witten.landscape.landscape import Landscape, describe_landscape
from witten.landscape.laws.eyring_kramers import METHOD as LAW
from witten.landscape.laws.eyring_kramers import eyring_kramers
from witten.noise import Noise, parted
from witten.number_format import scientific
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.objectives.independent_blocks import independent_blocks
from witten.parallel import Communicator, agree, communicator
from witten.rates import RateCurve, RateRecord
from witten.request import checked_learning_rates
from witten.spectra.gap import FINITE_DIFFERENCES, gap
from witten.sweeps import Part, Stop, Sweep, until
from witten.validation.comparison import Route, Validation, compare
from witten.validation.judgement import MONTE_CARLO, ROUTES, SPECTRAL, THEORY, Judgement

__all__ = ["validate"]

Intervals = Sequence[tuple[float, float]]
# One learning rate: the curve of a route holds its answer.
Compute = Callable[[Objective, float], RateCurve]
SECOND_LOOK = "second_look"
UNRESOLVED = {FINITE_DIFFERENCES: "not resolved: the error bar is wider than a tenth of the rate"}
# What paths are simulated with.
DEFAULTS = {"estimator": AUTO, "paths": None, "dt": None, "scheme": HEUN, "width": WIDTH}
# The seed of a second look differs from that of the first in this bit.
OTHER_PATHS = 1 << 63


def validate(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    *,
    rtol: float = 1e-4,
    noise: float | Noise = 1.0,
    box: Intervals | None = None,
    seed: int = 0,
    spectral: Compute | None = None,
    theory: Compute | None = None,
    monte_carlo: Compute | None = None,
    landscape: Landscape | None = None,
    about: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], Any] = lambda route, s: None,
    stop: Stop = lambda: None,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    walltime: float | None = None,
    comm: Any = None,
) -> Validation:
    """lambda_s by the spectral route, by theory and by Monte Carlo at each learning rate, and whether they agree.

    Where a Monte Carlo interval misses, a second run with other paths and half the width takes its place.

    >>> witten.validate("x^2/2", 0.5).agree
    True

    Parameters
    ----------
    objective : an Objective, or its text
    learning_rates : s > 0, one or many
    rtol : wanted error of the spectral rates
    noise : sigma > 0; every route is at learning rate s sigma^2. Or one of `witten.noise`, as each route knows it
    box : (low, high) per axis: walls for the spectral route, a limit of the search for theory; Monte Carlo knows none
    seed : of what is random
    spectral, theory, monte_carlo : other ways to compute, f and s to a curve of one point
    landscape : minima and saddles known already
    about : what else these ways depend on; a file made with another is not gone on with
    progress : called with the route and s after each computation
    stop : asked before each computation; a reason to leave out the rest, or None
    output : netCDF file, rewritten whole after each computation: spectral rates, theory_rate, monte_carlo_rate, ...
    resume : go on from `output`; what is there is not computed again
    walltime : as in `gap`
    comm : the ranks that compute it together; all there are where left out

    Raises
    ------
    RequestError
        for a learning rate, noise or objective that no route could take.
    """
    began = time.perf_counter()
    f = resolve(objective)
    sigma, model = parted(noise, f)
    asked = checked_learning_rates(learning_rates, sigma)
    end = until(walltime, stop)
    known, complaint = (landscape, None) if landscape is not None else _described(f, box, seed)
    sampled = partial(simulate_rate, noise=noise, stop=end)
    walls = None if box is None else [[float(a), float(b)] for a, b in box]
    ranks = communicator(comm)
    mark = {"noise": sigma, "fingerprint": agree(ranks, lambda: fingerprint(f))} | dict(about or {})
    named: dict[str, Any] = {"noise": sigma, "covariance": "" if model is None else model.text}
    mark |= {} if model is None else {"covariance": model.text}
    parts = {
        SPECTRAL: _part(
            f, spectral or (lambda g, s: gap(g, s, rtol=rtol, noise=noise, box=box)), lambda s: _no_grid(f),
            FINITE_DIFFERENCES, mark | ({} if spectral else {"rtol": rtol, "box": walls, "seed": seed}),
        ),
        THEORY: _part(
            f,
            theory
            or (lambda g, s: eyring_kramers(known or g, s, noise=noise, box=box, seed=seed, comm=Communicator())),
            lambda s: complaint or _no_law(known), LAW,
            mark | ({} if theory else {"order": 1, "box": walls, "seed": seed}),
        ),
        MONTE_CARLO: _part(
            f, monte_carlo or partial(sampled, seed=seed), lambda s: None, PATHS,
            mark | ({} if monte_carlo else DEFAULTS | {"seed": seed}),
        ),
        SECOND_LOOK: _part(
            f, partial(sampled, seed=seed ^ OTHER_PATHS, width=WIDTH / 2), lambda s: None, PATHS,
            mark | DEFAULTS | {"seed": seed ^ OTHER_PATHS, "width": WIDTH / 2},
        ),
    }  # fmt: skip
    left = walltime and walltime - (time.perf_counter() - began)
    sweep = Sweep(
        f.name, parts, asked, ranks, output, lambda name, record: progress(name, record.learning_rate),
        walltime=left, stop=end,
    )  # fmt: skip
    sweep.open(resume)
    reason = sweep.run((name, s) for name in ROUTES for s in asked)
    found = compare(f, asked, _routes(sweep, asked, reason), known, **named)
    if monte_carlo is None and reason is None:
        missed = [c.learning_rate for c in found.records if not all(j.agree for j in c.judgements if _is_sampled(j))]
        reason = sweep.run((SECOND_LOOK, s) for s in missed)
        found = compare(f, asked, _routes(sweep, asked, reason), known, **named)
    return replace(found, seed=seed, seconds=time.perf_counter() - began, stopped=reason)


def _part(
    f: Objective, compute: Compute, refuse: Callable[[float], str | None], method: str, options: dict[str, Any]
) -> Part:
    """A route as a curve of the sweep; where it has no answer its record says why, which is no end."""

    def answer(s: float, group: Communicator) -> RateRecord:
        because = refuse(s)
        if because is not None:
            return RateRecord.empty(s, because)
        try:
            (record,) = compute(f, s).records
        except (RequestError, ConvergenceError) as error:
            return RateRecord.empty(s, str(error))
        if record.resolved:
            return record
        return RateRecord.empty(s, UNRESOLVED.get(method) or "; ".join(record.notes) or "no rate was found")

    return Part(answer, method, options)


def _routes(sweep: Sweep, asked: Sequence[float], reason: str | None) -> dict[str, Route]:
    """What the routes say at each learning rate; a second look takes the place of a first."""
    found = {}
    for name in ROUTES:
        records = [sweep.known.get((name, s)) for s in asked]
        if name == MONTE_CARLO:
            again = [sweep.known.get((SECOND_LOOK, s)) for s in asked]
            records = [_second(*both) for both in zip(records, again, strict=True)]
        answers = tuple(None if record is None or not record.resolved else record for record in records)
        why = tuple(
            reason or "it was not asked for" if record is None else None if record.resolved else "; ".join(record.notes)
            for record in records
        )
        found[name] = Route(name, answers, why, sweep.parts[name].method, sweep.parts[name].options)
    return found


def _second(first: RateRecord | None, again: RateRecord | None) -> RateRecord | None:
    """Monte Carlo where it has missed, from other paths and with an interval half as wide: a miss by chance is not met
    twice, an error is."""
    if first is None or again is None or not again.resolved:
        return first
    values = [scientific(value, 3) for value in (first.log_rate, first.lower, first.upper)]
    remark = "a second run with other paths, as the first was far off: {} from {} to {}".format(*values)
    return replace(again, notes=(*again.notes, remark))


def _is_sampled(judgement: Judgement) -> bool:
    return MONTE_CARLO in judgement.pair


def _described(f: Objective, box: Intervals | None, seed: int) -> tuple[Landscape | None, str | None]:
    """The landscape, or why there is none."""
    try:
        return describe_landscape(f, box=box, seed=seed), None
    except ConvergenceError as error:
        return None, str(error)


def _no_grid(f: Objective) -> str | None:
    if f.dimension <= 3 or independent_blocks(f):
        return None
    return f"grids and meshes end at three dimensions, {f.name} has {f.dimension} and is no sum of blocks of so many"


def _no_law(landscape: Landscape | None) -> str | None:
    """Why theory is not asked."""
    if landscape is not None and len(landscape.minima) == 1:
        return "one minimum: there is no barrier, and no rate is exponentially small"
    return None
