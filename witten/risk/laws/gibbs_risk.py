"""The excess risk of the Gibbs measure, and what each learning rate of a schedule has in the long run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.domains.sublevel import sublevel
from witten.objectives import Objective
from witten.risk.separable import Term
from witten.schedules import Schedule
from witten.sgd.steps.collocation import chebyshev_points, interpolation_matrix

__all__ = ["each_rate", "gibbs_points", "gibbs_risk"]

Array = NDArray[np.float64]
# Learning rates at which a plateau is computed; it is interpolated where a schedule has more.
PLATEAU_NODES = 20


def gibbs_risk(term: Term, learning_rate: float, noise: float) -> float:
    """eps = E_mu f - min f, mu = exp(-2 f/(s sigma^2)), by the trapezoid rule."""
    s = learning_rate * noise**2
    excess = term.excess(gibbs_points(term.objective, s))
    weights = np.exp(-2.0 * excess / s)
    return float(weights @ excess / weights.sum())


def gibbs_points(f: Objective, learning_rate: float) -> Array:
    """Nodes of a uniform grid that sees exp(-2 f/s), shape (d, n)."""
    found = sublevel(f, learning_rate, wells=6, margin=20.0)
    cells = {1: 4000, 2: 500, 3: 120}[f.dimension]
    return Grid(found.box, (cells,) * f.dimension).points


def each_rate(schedule: Schedule, value: Callable[[float], float]) -> dict[float, float]:
    """value(s) at each learning rate of a schedule, interpolated in logarithms where there are many."""
    s = np.unique(schedule.learning_rates)
    if s.size <= PLATEAU_NODES:
        return {each: value(each) for each in s.tolist()}
    log_s = np.log(s)
    nodes = chebyshev_points(log_s[0], log_s[-1], PLATEAU_NODES)
    at_nodes = np.log([max(value(each), 1e-300) for each in np.exp(nodes).tolist()])
    return dict(zip(s.tolist(), np.exp(interpolation_matrix(nodes, log_s) @ at_nodes).tolist(), strict=True))
