"""Asking the three routes for the rate at each learning rate; one that has no answer says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from witten.dynamics.request import WIDTH
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError, RequestError, Stopped
from witten.landscape.eyring_kramers import eyring_kramers
from witten.landscape.landscape import Landscape, describe_landscape
from witten.number_format import scientific
from witten.objectives import Objective, resolve
from witten.rates import RateCurve, RateRecord
from witten.request import checked_learning_rates
from witten.spectra.gap import gap
from witten.validation.comparison import Route, Validation, compare
from witten.validation.verdict import MONTE_CARLO, ROUTES, SPECTRAL, THEORY

__all__ = ["validate"]

Intervals = Sequence[tuple[float, float]]
# One learning rate: the curve of a route holds its answer.
Compute = Callable[[Objective, float], RateCurve]
# The seed of a second look differs from that of the first in this bit.
OTHER_PATHS = 1 << 63


def validate(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    *,
    rtol: float = 1e-4,
    noise: float = 1.0,
    box: Intervals | None = None,
    seed: int = 0,
    spectral: Compute | None = None,
    theory: Compute | None = None,
    monte_carlo: Compute | None = None,
    landscape: Landscape | None = None,
    progress: Callable[[str, float], Any] = lambda route, s: None,
    stop: Callable[[], str | None] = lambda: None,
) -> Validation:
    """lambda_s by the spectral route, by theory and by Monte Carlo at each learning rate, and whether they agree.

    Where a Monte Carlo interval misses, a second run with other paths and half the width takes its place.

    Parameters
    ----------
    objective : an Objective, or its text
    learning_rates : s > 0, one or many
    rtol : wanted error of the spectral rates
    noise : sigma > 0; every route is at learning rate s sigma^2
    box : (low, high) per axis: walls for the spectral route, a limit of the search for theory; Monte Carlo knows none
    seed : of what is random
    spectral, theory, monte_carlo : other ways to compute, f and s to a curve of one point
    landscape : minima and saddles known already
    progress : called with the route and s after each computation
    stop : asked before each computation but those of theory; a reason to leave out the rest, or None

    Raises
    ------
    RequestError
        for a learning rate, noise or objective that no route could take.
    """
    began = time.perf_counter()
    f = resolve(objective)
    asked = checked_learning_rates(learning_rates, noise)
    known, complaint = (landscape, None) if landscape is not None else _described(f, box, seed)
    sampled = partial(simulate_rate, noise=noise, stop=stop)
    ways: dict[str, Compute] = {
        SPECTRAL: spectral or (lambda g, s: gap(g, s, rtol=rtol, noise=noise, box=box)),
        THEORY: theory or (lambda g, s: eyring_kramers(known or g, s, noise=noise, box=box, seed=seed)),
        MONTE_CARLO: monte_carlo or partial(sampled, seed=seed),
    }
    reasons: dict[str, Callable[[float], str | None]] = {
        SPECTRAL: lambda s: stop() or _no_grid(f),
        THEORY: lambda s: complaint or _no_law(known),
        MONTE_CARLO: lambda s: stop(),
    }
    routes = {
        name: _answers(name, f, asked, ways[name], reasons[name], noise, lambda s, name=name: progress(name, s))  # type: ignore[misc]
        for name in ROUTES
    }
    found = compare(f, asked, routes, known, noise=noise)
    if monte_carlo is None and stop() is None:
        fresh = partial(sampled, seed=seed ^ OTHER_PATHS, width=WIDTH / 2)
        routes[MONTE_CARLO] = _looked_at_again(f, found, routes[MONTE_CARLO], fresh)
        found = compare(f, asked, routes, known, noise=noise)
    return replace(found, seed=seed, seconds=time.perf_counter() - began)


def _looked_at_again(f: Objective, found: Validation, route: Route, compute: Compute) -> Route:
    """Monte Carlo where it has missed, from other paths and with an interval half as wide: a miss by chance is not met
    twice, an error is."""
    records = list(route.records)
    for i, c in enumerate(found.records):
        first = records[i]
        if first is None or all(j.agree for j in c.judgements if MONTE_CARLO in j.pair):
            continue
        try:
            record, _ = _usable(MONTE_CARLO, compute(f, c.learning_rate))
        except (ConvergenceError, Stopped):
            continue
        if record is not None:
            values = [scientific(value, 3) for value in (first.log_rate, first.lower, first.upper)]
            remark = "a second run with other paths, as the first was far off: {} from {} to {}".format(*values)
            records[i] = replace(record, notes=(*record.notes, remark))
    return replace(route, records=tuple(records))


def _described(f: Objective, box: Intervals | None, seed: int) -> tuple[Landscape | None, str | None]:
    """The landscape, or why there is none."""
    try:
        return describe_landscape(f, box=box, seed=seed), None
    except ConvergenceError as error:
        return None, str(error)


def _no_grid(f: Objective) -> str | None:
    if f.dimension <= 3:
        return None
    return f"grids and meshes end at three dimensions, {f.name} has {f.dimension}"


def _no_law(landscape: Landscape | None) -> str | None:
    """Why theory is not asked."""
    if landscape is not None and len(landscape.minima) == 1:
        return "one minimum: there is no barrier, and no rate is exponentially small"
    return None


def _answers(
    name: str,
    f: Objective,
    asked: Sequence[float],
    compute: Compute,
    reason: Callable[[float], str | None],
    noise: float,
    progress: Callable[[float], Any],
) -> Route:
    """A route at every learning rate; what fails is a reason and no end."""
    records: list[RateRecord | None] = []
    why: list[str | None] = []
    method, options = name, {"noise": noise}
    for s in asked:
        record, because = None, reason(s)
        if because is None:
            try:
                curve = compute(f, s)
                method, options = curve.method, {**curve.options, "noise": noise}
                record, because = _usable(name, curve)
            except (RequestError, ConvergenceError, Stopped) as error:
                because = str(error)
        records.append(record)
        why.append(because)
        progress(s)
    return Route(name, tuple(records), tuple(why), method, options)


def _usable(name: str, curve: RateCurve) -> tuple[RateRecord | None, str | None]:
    """The one record of a curve, or why it says nothing."""
    (record,) = curve.records
    if record.resolved:
        return record, None
    if name == SPECTRAL:
        return None, "not resolved: the error bar is wider than a tenth of the rate"
    return None, "; ".join(record.notes) or "no rate was found"


