"""Rates of any size from simulated paths: fluxes between the wells, by adaptive multilevel splitting.

The cores A_i are small sets about the minima. In equilibrium the number of ways from A_i to A_j per unit time is

    c_ij = mu(A_i)/h P(X_h outside of A_i, and A_j the next core | X_0 in A_i),

which is c_ji, and the mass from which A_i was the last core is pi_i = mu(A_i) E[steps before the next core, or 1]. The
small rates are those of the chain on the wells, lambda pi u = (D - C) u, up to a relative error of the order of
lambda_1/lambda_m, lambda_m the fastest rate that is no transition between cores. X_0 is drawn from mu in the core by
rejection, so nothing has to be equilibrated, and each factor is estimated without bias: the probability by splitting
(`excursions`), the volume of the core and the time outside by counting.

Two step sizes of a scheme of order two give lambda to fourth order: lambda = (4 lambda_h - lambda_2h)/3. The interval
comes from independent repetitions of everything, left out one by one (jackknife).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import combinations
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.special import logsumexp
from scipy.stats import t as student

from witten.dynamics import excursions
from witten.dynamics.coordinate import Coordinate, Lattice, committor, lattice
from witten.dynamics.cores import Cores, cores_of
from witten.dynamics.estimates import Estimate
from witten.dynamics.well_chain import WellChain
from witten.dynamics.wells import Wells, find_wells
from witten.errors import ConvergenceError, RequestError
from witten.objectives import Objective, resolve
from witten.parallel import Communicator, agree, collectively, communicator

__all__ = ["rate_by_splitting"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
CONFIDENCE = 0.95
# A well is a core of its own if f must rise by this many s before it joins a deeper one.
DEEP = 1.5
# Height above the tallest barrier, in units of s, up to which the reaction coordinate is known.
ROOM = 10.0
# Time step times the largest curvature, of the finer of two.
STEP = 0.2
# Repetitions with the finer and the coarser step in one round: the cheapest shares for the extrapolated rate.
FINE, COARSE = 10, 4
MOST_ROUNDS = 12
# Variance of the logarithm that one population may have, and the fewest and most paths in it.
SPREAD, FEWEST, MOST = 0.04, 100, 2000
MASS_ONLY = 1000
# Levels begin this much below the mean of log q where paths leave: those behind the core are not told apart.
BELOW = 1.0
# Direct ways between wells that would carry less than this part of what goes by others are left out.
NEGLIGIBLE = 1e-4
LONGEST = 2_000_000
# The streams of random numbers begin with this.
STREAM = 0x5B
SMALLEST = 1e-290


def rate_by_splitting(
    objective: Objective | str,
    learning_rate: float,
    *,
    seed: int = 0,
    noise: float = 1.0,
    dt: float | None = None,
    width: float = 0.25,
    stop: Callable[[], str | None] = lambda: None,
    comm: Any = None,
) -> Estimate:
    """lambda_s from paths that are split on their way between wells, for rates too small to be waited for.

    Parameters
    ----------
    objective : a formula of one to three variables with two wells at least
    learning_rate : s > 0
    seed : every number is told by it, whatever the number of threads and ranks
    noise : sigma > 0; the rate is that at learning rate s sigma^2
    dt : the finer time step; 0.2 over the largest curvature where left out
    width : of the interval, relative to the rate: rounds of repetitions are added until it is met, 12 at most
    stop : asked after each round, on all ranks; a reason to stop, or None
    comm : the ranks that share the repetitions; all there are where left out

    Raises
    ------
    RequestError
        without two wells that are deep beside s, above three dimensions, or without a formula.
    ConvergenceError
        if every population dies out.
    """
    began = time.perf_counter()
    f, ranks = resolve(objective), communicator(comm)
    s = _effective(learning_rate, noise)
    plan = agree(ranks, lambda: _plan(f, s, _own_seed(seed, learning_rate, noise), dt))
    plan = replace(plan, objective=f)  # with the kernels of this rank
    collectively(ranks, lambda: _compile(f))
    samples: dict[bool, list[tuple[Sample, ...]]] = {False: [], True: []}
    found = Found(math.nan, math.inf, ())
    for round_ in range(MOST_ROUNDS):
        for coarse, count in ((False, FINE), (True, COARSE)):
            samples[coarse] += _repetitions(plan, range(round_ * count, (round_ + 1) * count), coarse, ranks)
        found = _extrapolated(plan, samples)
        stopped = 2 * found.error > width and stop() is not None
        if stopped or 2 * found.error <= width:
            break
    return _estimate(plan, learning_rate, samples, found, time.perf_counter() - began, stopped)


def _effective(learning_rate: float, noise: float) -> float:
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise RequestError(f"learning rate must be positive, got {learning_rate}")
    if not (math.isfinite(noise) and noise > 0):
        raise RequestError(f"noise must be positive, got {noise}")
    return learning_rate * noise**2


def _own_seed(seed: int, learning_rate: float, noise: float) -> int:
    """A seed for each learning rate, so that the errors along a curve are independent."""
    text = f"{seed} {float(learning_rate).hex()} {float(noise).hex()}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


# ------------------------------------------------------------------------------------------------ what is simulated


@dataclass(frozen=True, eq=False)
class Way:
    """From a core to another directly; to none, if only the mass of the first is wanted.

    Attributes
    ----------
    source, target : numbers of cores; target -1 for none
    coordinate : the reaction coordinate
    population : paths of one repetition
    """

    source: int
    target: int
    coordinate: Coordinate
    population: int


@dataclass(frozen=True, eq=False)
class Sample:
    """What one repetition has found on a way: logarithms of c_ij and pi_i, and what it took."""

    log_flux: float
    log_mass: float
    steps: int
    paths: int
    lost: int
    split: bool

    @property
    def extinct(self) -> bool:
        """Whether no path of the population came to the target."""
        return self.split and self.log_flux == -math.inf


@dataclass(frozen=True, eq=False)
class Plan:
    """All that repetitions have in common."""

    objective: Objective
    learning_rate: float
    cores: Cores
    ways: tuple[Way, ...]
    dt: float
    seed: int
    slowest_relaxation: float
    memory: float

    def run(self, way: int, repetition: int, coarse: bool) -> Sample:
        """One repetition on one way, with step dt or 2 dt; its numbers are its own."""
        w, s, cores = self.ways[way], self.learning_rate, self.cores
        h = 2 * self.dt if coarse else self.dt
        stream = (STREAM << 25) | (coarse << 24) | (way << 16) | (repetition << 1)
        key = np.uint64(self.seed), np.uint64(stream), np.uint64(stream + 1)
        f = self.objective.kernels()
        tries, starts, outside, log_p, _, steps, branches, lost = excursions.splitter()(
            f.value, f.gradient, w.source, w.target, w.population, h, math.sqrt(s), (cores.centres, cores.metrics),
            cores.roots, cores.floors[w.source], w.coordinate.as_arguments(), key, LONGEST,
        )  # fmt: skip
        weight = cores.log_volumes[w.source] - 2 * (cores.floors[w.source] - cores.floors.min()) / s
        log_flux = weight + math.log((w.population - 1) / ((tries - 1) * h)) + log_p
        log_mass = weight + math.log((starts + outside) / tries)
        return Sample(log_flux, log_mass, steps, w.population + branches, lost, w.target >= 0)


def _plan(f: Objective, s: float, seed: int, dt: float | None) -> Plan:
    """Cores, ways and step size at s (times sigma^2)."""
    wells = _wells(f)
    kept = np.flatnonzero(wells.depths >= DEEP * s)
    if kept.size < 2:
        raise RequestError(
            f"splitting needs two wells that are {DEEP:g} s deep, and {f.name} has none at s = {s:g}; take another "
            "estimator"
        )
    cores = cores_of(f, wells, kept, s)
    grid = lattice(f, *_region(f, wells, s))
    at = _nodes_in_cores(cores, grid)
    fields = [committor(grid, at, j, s, wells.top) for j in range(kept.size)]
    flux, depths = _rough_fluxes(cores, grid, at, fields, s)
    ways = tuple(_ways(grid, fields, flux, depths))
    step = dt if dt is not None else STEP / _stiffness(f, grid, wells.top + s)
    relaxation = min(float(np.linalg.eigvalsh(f.hessian(c))[0]) for c in cores.centres)
    return Plan(f, s, cores, ways, step, seed, max(relaxation, 1e-3 / step), _memory(flux, wells.depths[kept] / s))


def _compile(f: Objective) -> None:
    """Kernels of f as the splitter wants them, and the splitter."""
    kernels = f.kernels()
    kernels.value.compile(excursions.VALUE.signature)  # type: ignore[attr-defined]
    kernels.gradient.compile(excursions.GRADIENT.signature)  # type: ignore[attr-defined]
    excursions.splitter()


@lru_cache(maxsize=8)
def _wells(f: Objective) -> Wells:
    return find_wells(f)


def _region(f: Objective, wells: Wells, s: float) -> tuple[Array, Array]:
    """The smallest box that holds the places where f is not too high for a path on its way."""
    grid = lattice(f, wells.low, wells.high)
    low_enough = grid.nodes[:, grid.f <= wells.top + ROOM * s]
    air = 2 * grid.spacing
    low = np.maximum(low_enough.min(axis=1) - air, wells.low)
    return low, np.minimum(low_enough.max(axis=1) + air, wells.high)


def _nodes_in_cores(cores: Cores, grid: Lattice) -> Integers:
    """The core of each node, or -1; the node nearest to a centre always counts."""
    at = cores.members(grid.nodes)
    for k, centre in enumerate(cores.centres):
        at[np.argmin(np.linalg.norm((grid.nodes - centre[:, None]) / grid.spacing[:, None], axis=0))] = k
    return at


def _stiffness(f: Objective, grid: Lattice, height: float) -> float:
    """The largest curvature where f is below a height."""
    inside = grid.nodes[:, grid.f <= height]
    h = np.moveaxis(f._evaluate("hessian", inside[:, :: max(inside.shape[1] // 3000, 1)]), 2, 0)
    return float(np.max(np.abs(np.linalg.eigvalsh(h))))


def _rough_fluxes(
    cores: Cores, grid: Lattice, at: Integers, fields: Sequence[Array], s: float
) -> tuple[Array, dict[tuple[int, int], float]]:
    """log of what the grid lets flow between cores, (m, m); and for each pair, from the higher well to the lower, log
    of the mean of q next to the first."""
    m = cores.floors.size
    order = np.argsort(-cores.floors, kind="stable")
    flux, depths = np.full((m, m), -np.inf), {}
    for a, b in combinations(range(m), 2):
        i, j = int(order[a]), int(order[b])
        near = _neighbours(at == i, grid.shape) & (at < 0)
        logs, weights = np.log(fields[j][near]), -2 * (grid.f[near] - cores.floors.min()) / s
        flux[i, j] = flux[j, i] = logsumexp(logs + weights)
        depths[i, j] = float(flux[i, j] - logsumexp(weights))
    return flux, depths


def _ways(
    grid: Lattice, fields: Sequence[Array], flux: Array, depths: Mapping[tuple[int, int], float]
) -> Iterator[Way]:
    """The pairs that matter, and the wells of which only the mass is wanted."""
    sources = set()
    for (i, j), depth in depths.items():
        if flux[i, j] < _by_others(flux, i, j) + math.log(NEGLIGIBLE):
            continue
        sources.add(i)
        yield Way(i, j, _coordinate(grid, fields[j], depth - BELOW), _population(depth))
    for i in set(range(len(flux))) - sources:
        yield Way(i, -1, Coordinate(grid, np.zeros(grid.f.size), -1.0), MASS_ONLY)


def _memory(flux: Array, depths: Array) -> float:
    """How far the chain may be from the process because a path remembers where it came from: in a well of depth
    delta s that is left on two sides alike the rate was found too large by 0.25 e^(-1.2 delta), and less by 4 p (1 - p)
    where most, p, leave on one side."""
    shares = np.exp(flux.max(axis=1) - logsumexp(flux, axis=1))
    return float(np.max(0.25 * np.exp(-1.2 * depths) * 4 * shares * (1 - shares)))


def _neighbours(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The nodes next to those of a mask."""
    grid = mask.reshape(shape)
    return np.asarray(binary_dilation(grid) & ~grid).ravel()


def _by_others(flux: Array, i: int, j: int) -> float:
    """log of what flows from i to j by way of other cores, at its narrowest, on the widest way."""
    widest = flux.copy()
    widest[i, j] = widest[j, i] = -np.inf
    for k in range(len(flux)):
        widest = np.maximum(widest, np.minimum(widest[:, k, None], widest[None, k, :]))
    return float(widest[i, j])


def _coordinate(grid: Lattice, q: Array, first: float) -> Coordinate:
    """log q, with cores other than the target no further than where the paths begin."""
    return Coordinate(grid, np.where(q > 0, np.log(np.maximum(q, SMALLEST)), first), first)


def _population(depth: float) -> int:
    """So many paths that the logarithm of the estimate, at best, has the variance SPREAD."""
    return int(min(max(-depth / SPREAD, FEWEST), MOST))


# ------------------------------------------------------------------------------------------------ what comes of it


@dataclass(frozen=True)
class Found:
    """log lambda, half the width of its interval, all log rates, how far tied ones are parted."""

    log_rate: float
    error: float
    log_rates: tuple[float, ...]
    parted: float = 0.0


def _repetitions(plan: Plan, numbers: range, coarse: bool, comm: Communicator) -> list[tuple[Sample, ...]]:
    """For each number a sample on every way; they are independent and do not depend on who computes them."""
    jobs = [(way, number) for number in numbers for way in range(len(plan.ways))]

    def mine() -> list[Sample]:
        with ThreadPoolExecutor(numba.get_num_threads()) as pool:
            return list(pool.map(lambda job: plan.run(job[0], job[1], coarse), jobs[comm.rank :: comm.size]))

    shares = comm.allgather(collectively(comm, mine))
    done = [shares[k % comm.size][k // comm.size] for k in range(len(jobs))]
    n = len(plan.ways)
    return [tuple(done[k : k + n]) for k in range(0, len(done), n)]


def _log_rates(plan: Plan, repetitions: list[tuple[Sample, ...]]) -> Array:
    """The rates of the chain whose conductances and masses are the means over repetitions."""
    m, count = plan.cores.floors.size, math.log(len(repetitions))
    conductances = np.full((m, m), -np.inf)
    masses: list[list[float]] = [[] for _ in range(m)]
    for k, way in enumerate(plan.ways):
        masses[way.source] += [sample[k].log_mass for sample in repetitions]
        if way.target >= 0:
            flux = logsumexp([sample[k].log_flux for sample in repetitions]) - count
            conductances[way.source, way.target] = conductances[way.target, way.source] = flux
    means = np.array([logsumexp(each) - math.log(len(each)) for each in masses])
    return WellChain(means, conductances).log_rates()


def _extrapolated(plan: Plan, samples: Mapping[bool, list[tuple[Sample, ...]]]) -> Found:
    """lambda = (4 lambda_h - lambda_2h)/3 in logarithms, and the half-width of its interval.

    Rates that chance may have parted are one, multiple: the smallest alone would be too small. To the statistical error
    are added a tenth of the extrapolation, for the orders left out, and for what is no chain lambda/(smallest
    curvature) and the memory of shallow wells.
    """
    if all(sample.extinct for repetition in samples[False] for sample in repetition if sample.split):
        raise ConvergenceError(
            f"no path of {plan.objective.name} has come from one well to another at s = {plan.learning_rate:g}: all "
            "populations died out; take a larger learning rate"
        )
    log_rates = _log_rates(plan, samples[False])
    ties = _tied(plan, samples[False], log_rates)
    (fine, fine_error), (coarse, coarse_error) = (_jackknife(plan, samples[c], ties) for c in (False, True))
    ratio = math.exp(min(coarse - fine, 1.0))
    correction = math.log((4 - ratio) / 3)
    log_rate = fine + correction
    statistical = math.hypot(4 * fine_error, ratio * coarse_error) / (4 - ratio)
    quantile = float(student.isf((1 - CONFIDENCE) / 2, len(samples[False]) - 1))
    chain = math.exp(log_rate) / plan.slowest_relaxation + plan.memory
    error = quantile * statistical + 0.1 * abs(correction) + chain
    return Found(log_rate, error, tuple((log_rates + correction).tolist()), fine - float(log_rates[0]))


def _tied(plan: Plan, repetitions: list[tuple[Sample, ...]], log_rates: Array) -> int:
    """How many of the smallest rates cannot be told from the first."""
    without = _left_out(plan, repetitions)
    if log_rates.size == 1 or not np.isfinite(without).all():
        return 1
    errors = without.std(axis=0) * math.sqrt(len(repetitions) - 1)
    apart = log_rates - log_rates[0] > 2 * np.hypot(errors, errors[0])
    return int(np.argmax(apart)) if apart.any() else log_rates.size


def _jackknife(plan: Plan, repetitions: list[tuple[Sample, ...]], ties: int) -> tuple[float, float]:
    """log of the mean of the smallest rates, as many as are tied, and its standard error."""
    count = len(repetitions)
    every = logsumexp(_log_rates(plan, repetitions)[:ties]) - math.log(ties)
    without = logsumexp(_left_out(plan, repetitions)[:, :ties], axis=1) - math.log(ties)
    if not np.isfinite(without).all():  # all hangs on one repetition
        return float(every), math.inf
    return float(every), float(np.std(without) * math.sqrt(count - 1))


def _left_out(plan: Plan, repetitions: list[tuple[Sample, ...]]) -> Array:
    """log rates with each of the repetitions left out in turn, shape (repetitions, m - 1)."""
    return np.array([_log_rates(plan, repetitions[:k] + repetitions[k + 1 :]) for k in range(len(repetitions))])


def _estimate(
    plan: Plan,
    learning_rate: float,
    samples: Mapping[bool, list[tuple[Sample, ...]]],
    found: Found,
    seconds: float,
    stopped: bool,
) -> Estimate:
    """The answer of the route, with what a reader should know."""
    every = [sample for part in samples.values() for repetition in part for sample in repetition]
    return Estimate(
        learning_rate=float(learning_rate),
        log_rate=found.log_rate,
        low=found.log_rate - found.error - found.parted,
        high=found.log_rate + found.error,
        confidence=CONFIDENCE,
        estimator="splitting",
        n_paths=sum(sample.paths for sample in every),
        n_steps=sum(sample.steps for sample in every),
        dt=plan.dt,
        seconds=seconds,
        diverged=sum(sample.lost for sample in every),
        stopped=stopped,
        resolved=math.isfinite(found.error),
        rates=tuple(math.exp(value) for value in found.log_rates),
        remarks=tuple(_remarks(plan, every, found)),
    )


def _remarks(plan: Plan, samples: list[Sample], found: Found) -> Iterator[str]:
    ways = sum(way.target >= 0 for way in plan.ways)
    yield f"{plan.cores.floors.size} wells, {ways} direct way{'' if ways == 1 else 's'} between them"
    dead = sum(sample.extinct for sample in samples)
    if dead:
        yield f"{dead} of {sum(sample.split for sample in samples)} populations died out"
    if not math.isfinite(found.error):
        yield "too few of them have come through for an interval"
    lost = sum(sample.lost for sample in samples)
    if lost:
        yield f"{lost} excursions diverged or did not end within {LONGEST} steps"
