"""Watching where paths of equilibrium do not come: the gap is the smallest of their rate and of the rates at which such
places are left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.equilibrium.gibbs_grid import Thermal
from witten.dynamics.estimators.escape_rate import Escape
from witten.dynamics.estimators.hitting_times import APART
from witten.dynamics.estimators.unvisited_regions import HiddenPlaces, Place, below, hidden_places, narrow_wells
from witten.dynamics.request import QUANTILE, SGD, STEP, Request, Stop, combined, reach_down
from witten.rates import SampledRate

__all__ = ["watched"]

Array = NDArray[np.float64]
# Paths that are started in a place at first, and for how many 1/lambda at least one of them must stay there if the
# place is to hold a mode as slow as lambda: of 256, a dozen would.
SCOUTS, PATIENCE = 256, 3.0
# Streams of random numbers begin with this; the place, the time step and the round follow.
STREAM = 0xE5 << 24
FEWEST_ROUNDS, MOST_ROUNDS = 4, 40
HESSIANS = 4000
# Steps of the scouts that are affordable.
MOST_STEPS = 4_000_000_000


def watched(estimate: SampledRate, ground: Thermal, request: Request, stop: Stop, *, seen: Array) -> SampledRate:
    """An estimate from paths of equilibrium, or of lives in some wells, with what may be slower in other places.

    `seen` (d, m) are minima in which paths have been started.
    """
    hidden = hidden_places(ground, math.exp(estimate.upper))
    if not hidden.end:
        return _blind(estimate, "slow modes may live far out, farther than was looked: the rate is not known")
    places = [place for place in (*hidden.places, *narrow_wells(ground)) if not _holds(place, seen)]
    found = estimate
    for number, place in enumerate(places):
        if stop() is not None:
            remark = f"stopped before {len(places) - number} places were watched where no path of equilibrium comes"
            return replace(_blind(found, remark), stopped=True)
        watch = _Watch(ground, request, place, number)
        if watch.cost(estimate.upper) > MOST_STEPS:
            remark = f"a well or shelf at {_show(place.centre)} is too narrow to be watched in steps of {watch.dt:.1g}"
            return _blind(found, remark)
        found = _slower(found, watch, stop)
    if places:
        found = replace(found, notes=(*found.notes, _about(HiddenPlaces(tuple(places), True))))
    return found


def _blind(estimate: SampledRate, remark: str) -> SampledRate:
    """What is known when a slower mode may be where nothing was seen: that the rate is not above the interval."""
    return replace(estimate, lower=-math.inf, blind=True, resolved=False, notes=(*estimate.notes, remark))


def _about(hidden: HiddenPlaces) -> str:
    floors = sorted({f"{place.floor:.4g}" for place in hidden.places}, key=float)
    where = floors[0] if len(floors) == 1 else f"{floors[0]} to {floors[-1]}"
    count = "1 place" if len(hidden.places) == 1 else f"{len(hidden.places)} places"
    return f"{count} where no path of equilibrium comes, f from {where} on, watched by paths that start there"


def _show(x: Array) -> str:
    return "(" + ", ".join(f"{c:.6g}" for c in x) + ")"


def _holds(place: Place, points: Array) -> bool:
    """Whether any of the points (d, m) is in a cell of the place, or next to one."""
    away = np.abs(points[:, :, None] - place.centres[:, None, :]) / place.sides[:, None, None]
    return bool((away.max(axis=0) <= 1.0).any())


class _Watch:
    """One place, and what it takes to watch it."""

    def __init__(self, ground: Thermal, request: Request, place: Place, number: int) -> None:
        self.ground, self.request, self.place, self.number = ground, request, place, number
        self.target = below(ground, place)
        stiffness = _stiffness(ground, place)
        own = request.learning_rate if request.scheme == SGD else request.dt
        self.dt = own or STEP / stiffness
        self.interval = APART / stiffness

    def cost(self, log_rate: float) -> float:
        """Steps that the scouts would take."""
        return SCOUTS * (1 + PATIENCE * math.exp(-log_rate) / self.dt)

    def escape(self, dt: float, count: int, level: int) -> Escape:
        stream = STREAM | (self.number << 14) | (level << 12)
        motion = self.request.motion(dt, stream)
        points = self.place.sample(count, (motion.seed + stream) % 2**32)
        return Escape(motion, points, self.target, max(1, round(self.interval / dt)), self.request.comm)

    def levels(self) -> Iterator[Escape]:
        for level, (dt, count, _) in enumerate(self.request.runs(self.dt), start=1):
            yield self.escape(dt, count, level)


def _slower(estimate: SampledRate, watch: _Watch, stop: Stop) -> SampledRate:
    """The smaller of the rate of an estimate and that at which a place is left; each end of the interval likewise."""
    runs = watch.request.runs(watch.dt)
    scouts = watch.escape(runs[-1][0], SCOUTS, 0)
    stays = scouts.stays(PATIENCE * math.exp(-estimate.upper))
    estimate = replace(estimate, n_steps=estimate.n_steps + scouts.n_steps)
    if not stays:
        return estimate
    levels = list(watch.levels())
    if not all(level.settle(stop) for level in levels):
        return replace(_blind(estimate, "stopped before paths in another place had settled"), stopped=True)
    for _ in range(MOST_ROUNDS):
        for level in levels:
            level.more(stop)
        log_rate, error = combined(levels, watch.request.order)
        if (levels[0].rounds >= FEWEST_ROUNDS and 2 * QUANTILE * error <= watch.request.width) or stop() is not None:
            break
    if not math.isfinite(error):
        return _blind(estimate, f"no rate was found at which paths leave where f is from {watch.place.floor:.4g} on")
    # Two sets, of the measure m and 1 - m, exchange at the rate at which the first is left over 1 - m.
    back = -math.log1p(-min(watch.place.share, 0.5))
    log_rate, half = log_rate + back, QUANTILE * error + back
    low, n_steps = log_rate - reach_down(levels, half), sum(level.n_steps for level in levels)
    found = replace(
        estimate, lower=min(estimate.lower, low), upper=min(estimate.upper, log_rate + half),
        n_steps=estimate.n_steps + n_steps, n_dofs=estimate.n_dofs + sum(n for _, n, _ in runs),
        diverged=estimate.diverged + sum(level.diverged for level in levels),
    )  # fmt: skip
    if log_rate >= estimate.log_rate:
        return found
    remark = f"the slowest mode lives where f is from {watch.place.floor:.4g} on: {levels[0].remark}"
    return replace(
        found, log_rate=log_rate, log_rates=(log_rate, *estimate.log_rates), solver="hitting",
        dt=min(watch.dt, estimate.dt), notes=(*estimate.notes, remark),
    )  # fmt: skip


def _stiffness(ground: Thermal, place: Place) -> float:
    """The largest curvature in a place and where paths from it may come, at least that where equilibrium often is."""
    low_enough = ground.centres(np.flatnonzero(ground.values <= place.level + 2 * ground.s))
    points = np.concatenate([low_enough[:, :: low_enough.shape[1] // HESSIANS + 1],
                             place.centres[:, :: place.centres.shape[1] // HESSIANS + 1]], axis=1)  # fmt: skip
    hessians = np.moveaxis(ground.objective.piecewise_hessian(points), -1, 0)
    hessians = hessians[np.isfinite(hessians).all(axis=(1, 2))]
    largest = np.max(np.abs(np.linalg.eigvalsh(hessians)), initial=0.0)
    return max(float(largest), ground.stiffness)
