"""What the law to first order says of wells and of the ways between them, with what that may be off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from witten.landscape.critical.critical_point import joined
from witten.landscape.landscape import Landscape
from witten.landscape.laws.first_order import first_order
from witten.landscape.laws.reduced_generator import well_graph
from witten.linalg.graded_eigenvalues import WellGraph, log_mean_time, log_rates
from witten.objectives.topography.scaled_coordinates import units_around

__all__ = ["law_limits", "law_log_masses", "law_log_time", "law_offset"]

Array = NDArray[np.float64]
# Wells up to which derivatives by each conductance are taken, and the step of their logarithms.
MOST_WELLS, STEP = 40, 1e-4


def law_log_masses(landscape: Landscape, s: float, groups: NDArray[np.int64]) -> tuple[Array, Array]:
    """log mu_s of groups of minima, numbered 0, 1, ... from each minimum's entry (m,), and the errors, shape (k,)."""
    log_masses, off = well_graph(landscape, s, order=1).log_masses, _errors(landscape, s)[0]

    def shares(logs: Array) -> Array:
        sums = np.array([logsumexp(logs[groups == k]) for k in range(int(groups.max()) + 1)])
        return np.asarray(sums - logsumexp(logs))

    return shares(log_masses), _spread(shares, log_masses, off)


def law_log_time(landscape: Landscape, s: float, start: int, end: int) -> tuple[float, float]:
    """log of the mean time from one minimum to another, to first order, and its error: as far as it depends on each
    mass and each conductance, times what these may be off."""
    graph, (off_masses, off_edges) = well_graph(landscape, s, order=1), _errors(landscape, s)
    pairs = np.argwhere(np.triu(np.isfinite(off_edges), 1))
    m = graph.log_masses.size

    def time(logs: Array) -> Array:
        return np.array([log_mean_time(_graph(graph, logs[:m], pairs, logs[m:]), start, end)])

    edges = graph.log_conductances[tuple(pairs.T)]
    logs = np.concatenate([graph.log_masses, edges])
    error = _spread(time, logs, np.concatenate([off_masses, off_edges[tuple(pairs.T)]]))
    return float(time(logs)[0]), float(error[0])


def law_limits(landscape: Landscape, s: float) -> dict[tuple[int, int], float]:
    """(i, j) -> d log lambda / d log c_ij of the slowest rate, over rates that are equal their mean; largest first.

    They sum to one: the rate of a graph is proportional to its conductances. Nothing for more than 40 wells."""
    graph = well_graph(landscape, s, order=1)
    if graph.log_masses.size > MOST_WELLS:
        return {}
    equal = int(np.sum(log_rates(graph) - log_rates(graph)[0] < STEP))
    pairs = np.argwhere(np.triu(np.isfinite(graph.log_conductances), 1))
    edges = graph.log_conductances[tuple(pairs.T)]

    def rate(k: int, step: float) -> float:
        moved = edges + step * (np.arange(edges.size) == k)
        return float(log_rates(_graph(graph, graph.log_masses, pairs, moved))[:equal].mean())

    found = {(int(i), int(j)): (rate(k, STEP) - rate(k, -STEP)) / (2 * STEP) for k, (i, j) in enumerate(pairs)}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def law_offset(landscape: Landscape, s: float, saddle: Array, ahead: Array) -> float:
    """How far from a saddle the committor is one half, along its unstable direction, to first order in s: where
    y_0 + w sqrt T = 0, T = s/2, of the committor's expansion. Positive in the direction `ahead` (d,).

    nan if the landscape has no such saddle."""
    points = (*landscape.minima, *landscape.saddles)
    for k, z in enumerate(landscape.saddles):
        if z.x is saddle:
            local = first_order(landscape).saddles[k].local
            length = units_around(landscape.objective, joined(points)).length
            move = -0.5 * s * local.committor[1] * length * local.axes[:, 0]
            return float(np.linalg.norm(move)) * float(np.sign(move @ ahead))
    return float("nan")


def _errors(landscape: Landscape, s: float) -> tuple[Array, Array]:
    """What the logarithms of masses (m,) and of conductances between wells (m, m) may be off; nan without an edge."""
    first = first_order(landscape)
    (masses, saddles), (small, large) = first.log_factors(s / 2), first.log_factors(s / 2, 1)
    edges = np.full((len(landscape.minima),) * 2, np.nan)
    for z, error in zip(landscape.saddles, large - saddles, strict=True):
        i, j = z.connects
        if i is not None and j is not None and i != j:
            edges[i, j] = edges[j, i] = np.fmax(edges[i, j], error)
    return masses - small, edges


def _graph(graph: WellGraph, log_masses: Array, pairs: NDArray[np.int64], edges: Array) -> WellGraph:
    """The graph with other masses and conductances."""
    log_c = graph.log_conductances.copy()
    log_c[tuple(pairs.T)] = log_c[tuple(pairs.T[::-1])] = edges
    return WellGraph(log_masses, log_c)


def _spread(function: Callable[[Array], Array], x: Array, off: Array) -> Array:
    """By how much a function of x may be off where each entry is: the sum of what each changes by itself, the larger
    of both ways."""
    total = np.zeros_like(function(x))
    for k in np.flatnonzero(off):
        moved = [abs(function(x + sign * off[k] * (np.arange(x.size) == k)) - function(x)) for sign in (1, -1)]
        total += np.fmax(*moved)
    return total
