"""Watching where paths of equilibrium do not come: the gap is the smallest of their rate and of the rates at which such
regions are left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.equilibrium.curvatures import largest_curvature
from witten.dynamics.equilibrium.equilibrium import Equilibrium
from witten.dynamics.estimators.batches import batch_size
from witten.dynamics.estimators.escape_rate import Escape
from witten.dynamics.estimators.hitting_times import APART
from witten.dynamics.estimators.unvisited_regions import Region, below, narrow_wells, slow_regions
from witten.dynamics.paths.ensemble import affordable
from witten.dynamics.request import QUANTILE, SGD, STEP, Request, Stop, combined, reach_down
from witten.rates import SampledRate

__all__ = ["watched"]

Array = NDArray[np.float64]
# Paths that are started in a region at first, and for how many 1/lambda at least one of them must stay there if the
# region is to hold a mode as slow as lambda: of 256, a dozen would.
SCOUTS, PATIENCE = 256, 3.0
# Streams of random numbers begin with this; the region, the time step and the round follow.
STREAM = 0xE5 << 24
FEWEST_ROUNDS, MOST_ROUNDS = 4, 40
HESSIANS = 4000
# Steps of the scouts that are affordable.
MOST_STEPS = 4_000_000_000


def watched(
    estimate: SampledRate, equilibrium: Equilibrium, request: Request, stop: Stop, *, seen: Array
) -> SampledRate:
    """An estimate from paths of equilibrium, or from residence times in some wells, with what may be slower elsewhere.

    `seen` (d, m) are minima in which paths have been started.
    """
    slow = slow_regions(equilibrium, math.exp(estimate.upper))
    if not slow.end:
        return _blind(estimate, "slow modes may live far out, farther than was looked: the rate is not known")
    regions = [region for region in (*slow.regions, *narrow_wells(equilibrium)) if not _holds(region, seen)]
    found = estimate
    for number, region in enumerate(regions):
        if stop() is not None:
            remark = f"stopped before {len(regions) - number} regions were watched where no path of equilibrium comes"
            return replace(_blind(found, remark), stopped=True)
        watch = _Watch(equilibrium, request, region, number)
        if watch.cost(estimate.upper) > affordable(request.motion(watch.dt, 0), MOST_STEPS):
            remark = f"a well or shelf at {_show(region.centre)} is too narrow to be watched in steps of {watch.dt:.1g}"
            return _blind(found, remark)
        found = _slower(found, watch, stop)
    if regions:
        found = replace(found, notes=(*found.notes, _about(regions)))
    return found


def _blind(estimate: SampledRate, remark: str) -> SampledRate:
    """What is known when a slower mode may be where nothing was seen: that the rate is not above the interval."""
    return replace(estimate, lower=-math.inf, blind=True, resolved=False, notes=(*estimate.notes, remark))


def _about(regions: list[Region]) -> str:
    floors = sorted({f"{region.floor:.4g}" for region in regions}, key=float)
    where = floors[0] if len(floors) == 1 else f"{floors[0]} to {floors[-1]}"
    count = "1 region" if len(regions) == 1 else f"{len(regions)} regions"
    return f"{count} where no path of equilibrium comes, f from {where} on, watched by paths that start there"


def _show(x: Array) -> str:
    return "(" + ", ".join(f"{c:.6g}" for c in x) + ")"


def _holds(region: Region, points: Array) -> bool:
    """Whether any of the points (d, m) is in a cell of the region, or next to one."""
    away = np.abs(points[:, :, None] - region.centres[:, None, :]) / region.sides[:, None, None]
    return bool((away.max(axis=0) <= 1.0).any())


class _Watch:
    """One region, and what it takes to watch it."""

    def __init__(self, equilibrium: Equilibrium, request: Request, region: Region, number: int) -> None:
        held = min(request.paths, batch_size(request.objective.dimension))
        self.request, self.region, self.number = replace(request, paths=held), region, number
        assert equilibrium.gibbs is not None
        self.target = below(equilibrium.gibbs, equilibrium.objective, region)
        stiffness = _stiffness(equilibrium, region)
        own = request.learning_rate if request.scheme == SGD else request.dt
        self.dt = own or STEP / stiffness
        self.interval = APART / stiffness

    def cost(self, log_rate: float) -> float:
        """Steps that the scouts would take."""
        return SCOUTS * (1 + PATIENCE * math.exp(-log_rate) / self.dt)

    def escape(self, dt: float, count: int, level: int) -> Escape:
        stream = STREAM | (self.number << 14) | (level << 12)
        motion = self.request.motion(dt, stream)
        points = self.region.sample(count, (motion.seed + stream) % 2**32)
        return Escape(motion, points, self.target, max(1, round(self.interval / dt)), self.request.comm)

    def levels(self) -> Iterator[Escape]:
        for level, (dt, count, _) in enumerate(self.request.runs(self.dt), start=1):
            yield self.escape(dt, count, level)


def _slower(estimate: SampledRate, watch: _Watch, stop: Stop) -> SampledRate:
    """The smaller of the rate of an estimate and that at which a region is left; each end of the interval likewise."""
    runs = watch.request.runs(watch.dt)
    scouts = watch.escape(runs[-1][0], SCOUTS, 0)
    stays = scouts.stays(PATIENCE * math.exp(-estimate.upper))
    estimate = replace(estimate, n_steps=estimate.n_steps + scouts.n_steps)
    if not stays:
        return estimate
    levels = list(watch.levels())
    if not all(level.converge(stop) for level in levels):
        return replace(_blind(estimate, "stopped before paths in another region had converged"), stopped=True)
    for _ in range(MOST_ROUNDS):
        for level in levels:
            level.more(stop)
        log_rate, error = combined(levels, watch.request.order)
        if (levels[0].rounds >= FEWEST_ROUNDS and 2 * QUANTILE * error <= watch.request.width) or stop() is not None:
            break
    if not math.isfinite(error):
        return _blind(estimate, f"no rate was found at which paths leave where f is from {watch.region.floor:.4g} on")
    # Two sets, of the measure m and 1 - m, exchange at the rate at which the first is left over 1 - m.
    back = -math.log1p(-min(watch.region.share, 0.5))
    log_rate, half = log_rate + back, QUANTILE * error + back
    low, n_steps = log_rate - reach_down(levels, half), sum(level.n_steps for level in levels)
    found = replace(
        estimate, lower=min(estimate.lower, low), upper=min(estimate.upper, log_rate + half),
        n_steps=estimate.n_steps + n_steps, n_dofs=estimate.n_dofs + sum(n for _, n, _ in runs),
        diverged=estimate.diverged + sum(level.diverged for level in levels),
    )  # fmt: skip
    if log_rate >= estimate.log_rate:
        return found
    remark = f"the slowest mode lives where f is from {watch.region.floor:.4g} on: {levels[0].remark}"
    dt = min(watch.dt, estimate.dt)
    return replace(
        found, log_rate=log_rate, log_rates=(log_rate, *estimate.log_rates), solver="hitting", dt=dt,
        notes=(*estimate.notes, remark),
    )  # fmt: skip


def _stiffness(equilibrium: Equilibrium, region: Region) -> float:
    """The largest curvature in a region and where paths from it may come, at least that where equilibrium often is."""
    gibbs = equilibrium.gibbs
    assert gibbs is not None
    low_enough = gibbs.grid.points[:, (gibbs.values <= region.level + 2 * equilibrium.s).ravel()]
    thinned = [x[:, :: x.shape[1] // HESSIANS + 1] for x in (low_enough, region.centres)]
    return max(largest_curvature(equilibrium.objective, np.concatenate(thinned, axis=1)), equilibrium.stiffness)
