"""What a splitting simulates: the transitions between cores, and one repetition on one of them.

In equilibrium the number of transitions from the core A_i to A_j per unit time is

    c_ij = mu(A_i)/h P(X_h outside of A_i, and A_j the next core | X_0 in A_i),

which is c_ji, and the mass from which A_i was the last core is pi_i = mu(A_i) E[steps before the next core, or 1]. X_0
is drawn from mu in the core by rejection, so nothing has to be equilibrated, and each factor is estimated without bias:
the probability by splitting (`kernels`), the mass of the core and the time outside by counting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from witten.dynamics.equilibrium.core_sets import Ellipsoids
from witten.dynamics.equilibrium.equilibrium import Equilibrium
from witten.dynamics.splitting import kernels
from witten.dynamics.splitting.grid_committors import Committors, grid_committors
from witten.dynamics.splitting.path_committors import path_committors
from witten.dynamics.splitting.reaction_coordinate import SMALLEST, Coordinate
from witten.errors import ConvergenceError
from witten.objectives import Objective

__all__ = ["LONGEST", "Plan", "Sample", "Transition", "compile_kernels", "make_plan"]

Array = NDArray[np.float64]
# Time step times the largest curvature, of the finer of two.
STEP = 0.2
# Variance of the logarithm that one population may have, the fewest and most paths in it, and the most coordinates.
SPREAD, FEWEST, MOST, MOST_COORDINATES = 0.04, 100, 2000, 20_000
MASS_ONLY = 1000
# Levels begin this much below the mean of log q where paths leave: those behind the core are one.
BELOW = 1.0
# Direct transitions between wells that would carry less than this part of what goes by others are left out.
NEGLIGIBLE = 1e-4
LONGEST = 2_000_000
# The streams of random numbers begin with this.
STREAM = 0x5B


@dataclass(frozen=True, eq=False)
class Transition:
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
    """What one repetition has found on a transition: logarithms of c_ij and pi_i, and what it took."""

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
    cores: Ellipsoids
    transitions: tuple[Transition, ...]
    dt: float
    seed: int
    slowest_relaxation: float
    memory: float

    def run(self, transition: int, repetition: int, coarse: bool) -> Sample:
        """One repetition on one transition, with step dt or 2 dt; its numbers are its own."""
        w, s, cores = self.transitions[transition], self.learning_rate, self.cores
        h = 2 * self.dt if coarse else self.dt
        stream = (STREAM << 25) | (coarse << 24) | (transition << 16) | (repetition << 1)
        key = np.uint64(self.seed), np.uint64(stream), np.uint64(stream + 1)
        f = self.objective.kernels()
        tries, starts, outside, log_p, _, steps, branches, lost = kernels.splitter()(
            f.value, f.gradient, w.source, w.target, w.population, h, math.sqrt(s), (cores.centres, cores.metrics),
            cores.roots, cores.normal, cores.floors[w.source], w.coordinate.as_arguments(), key, LONGEST,
        )  # fmt: skip
        weight = cores.log_volumes[w.source] - 2 * (cores.floors[w.source] - cores.floors.min()) / s
        log_flux = weight + math.log((w.population - 1) / ((tries - 1) * h)) + log_p
        log_mass = weight + math.log((starts + outside) / tries)
        return Sample(log_flux, log_mass, steps, w.population + branches, lost, w.target >= 0)


def make_plan(equilibrium: Equilibrium, seed: int, dt: float | None) -> Plan:
    """Core sets, transitions and step size: from a grid in up to three dimensions, from minimum-energy paths above;
    RequestError without two wells that are deep beside s, or without grid and minimum-energy paths. ConvergenceError if
    no double tells how much likelier one place next to a core is than another."""
    f, s = equilibrium.objective, equilibrium.s
    committors = (path_committors if equilibrium.gibbs is None else grid_committors)(equilibrium)
    cores = committors.cores
    step = dt if dt is not None else STEP / committors.stiffness
    relaxation = min(float(np.linalg.eigvalsh(f.hessian(c))[0]) for c in cores.centres)
    memory = _memory(committors.flux, committors.depths / s)
    return Plan(f, s, cores, tuple(_transitions(committors, s)), step, seed, max(relaxation, 1e-3 / step), memory)


def compile_kernels(f: Objective) -> None:
    """Kernels of f as the splitter wants them, and the splitter."""
    compiled = f.kernels()
    compiled.value.compile(kernels.VALUE.signature)  # type: ignore[attr-defined]
    compiled.gradient.compile(kernels.GRADIENT.signature)  # type: ignore[attr-defined]
    kernels.splitter()


def _transitions(committors: Committors, s: float) -> Iterator[Transition]:
    """The pairs that matter, and the wells of which only the mass is wanted."""
    sources = set()
    flux, d = committors.flux, committors.cores.centres.shape[1]
    for (i, j), start in committors.starts.items():
        if flux[i, j] < _by_others(flux, i, j) + math.log(NEGLIGIBLE):
            continue
        _require_known(start, s)
        sources.add(i)
        yield Transition(i, j, committors.coordinate(i, j, start - BELOW), _population(start, d))
    for i in set(range(len(flux))) - sources:
        yield Transition(i, -1, Coordinate.nowhere(d), MASS_ONLY)


def _memory(flux: Array, depths: Array) -> float:
    """How far the chain may be from the process because a path remembers where it came from: in a well of depth
    delta s that is left on two sides alike the rate was found too large by 0.25 e^(-1.2 delta), and less by 4 p (1 - p)
    where most, p, leave on one side."""
    shares = np.exp(flux.max(axis=1) - logsumexp(flux, axis=1))
    return float(np.max(0.25 * np.exp(-1.2 * depths) * 4 * shares * (1 - shares)))


def _by_others(flux: Array, i: int, j: int) -> float:
    """log of what flows from i to j by way of other cores, at its narrowest, on the widest way."""
    widest = flux.copy()
    widest[i, j] = widest[j, i] = -np.inf
    for k in range(len(flux)):
        widest = np.maximum(widest, np.minimum(widest[:, k, None], widest[None, k, :]))
    return float(widest[i, j])


def _require_known(start: float, s: float) -> None:
    """ConvergenceError where the reaction coordinate is flat next to the core: all populations would die out."""
    if start < math.log(SMALLEST) + 1.0:
        raise ConvergenceError(
            f"at s = {s:g} paths that leave a well come to the next one with a probability of less than {SMALLEST:g}, "
            "and splitting finds no way there; take a larger learning rate, or witten gap"
        )


def _population(start: float, dimension: int) -> int:
    """So many paths that the logarithm of the estimate, at best, has the variance SPREAD."""
    most = min(MOST, MOST_COORDINATES // dimension)
    return int(min(max(-start / SPREAD, FEWEST), most))
