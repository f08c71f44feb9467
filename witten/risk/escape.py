"""Whether SGD escapes: the mass that leaves in a step, and whether descent from far away returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.linalg.gth_elimination import StateReduction
from witten.objectives import Objective
from witten.sgd.arnoldi import leading_masses
from witten.sgd.chain_domain import Domain, first_domain
from witten.sgd.steps.step_noise import UniformNoise
from witten.sgd.steps.transfer_operator import TransferOperator

__all__ = ["distance", "escapes", "never_returns"]

# Nodes per standard deviation of the noise, and in all; how often a box is enlarged.
NODES_PER_DEVIATION, MOST_NODES, MOST_ENLARGEMENTS = {1: 1.5, 2: 1.3}, {1: 3000, 2: 60_000}, 16
# Along an axis, where noise is too narrow for that.
FIXED_CELLS = {1: 4000, 2: 300}
# A larger box reduces the leak below this part of it where the mass that leaves would come back.
CONVERGED_LEAK = 0.7
# Mass that moves between two nodes in a step and is neglected, relative to the total.
NEGLIGIBLE_MASS = 1e-18
# Steps of descent after which a point that has not come nearer is taken to diverge.
PATIENCE = 1000


def escapes(objective: Objective, learning_rate: float, noise: float, safe: float) -> bool:
    """Whether more than `safe` of the quasi-stationary mass of SGD escapes in a step.

    On boxes that grow until no more than that leaves, or as much as before. Noise too narrow for a grid matters less
    than descent does: then it counts whether descent leaves the sublevel set that holds the law.
    """
    d = objective.dimension
    step = UniformNoise.of_sgd(objective, learning_rate, noise)
    domain = first_domain(step, 2)
    box, before = domain.box, np.inf
    for _ in range(MOST_ENLARGEMENTS):
        if np.prod(np.ceil(box.widths * NODES_PER_DEVIATION[d] / (learning_rate * noise))) > MOST_NODES[d]:
            return before < np.inf or _climbs(objective, learning_rate, domain)
        operator = step.operator(box, np.inf, domain.unit, NODES_PER_DEVIATION[d])
        leak = _leak(objective, operator)
        if leak <= safe:
            return False
        if leak > CONVERGED_LEAK * before:
            return True
        box, before = box.expanded(0.15, 0.15), leak
    return True


def _leak(objective: Objective, operator: TransferOperator) -> float:
    """Mass that leaves in a step under the stationary distribution of the chain restarted at the minimum (1-D), or
    the quasi-stationary one (2-D)."""
    if operator.grid.dimension == 1:
        chain, lowest = operator.dense(), int(objective(operator.points).argmin())
        chain[:, lowest] += operator.killed
        masses = StateReduction.of(chain, lowest).stationary
    else:
        masses = leading_masses(lambda m: operator.adjoint(m, NEGLIGIBLE_MASS), operator.n_dofs)
    return float(masses @ operator.killed)


def _climbs(objective: Objective, learning_rate: float, domain: Domain) -> bool:
    """Whether a step of descent leaves {f <= level} from anywhere in it."""
    x = Grid(domain.box, (FIXED_CELLS[objective.dimension],) * objective.dimension).points
    with np.errstate(all="ignore"):
        x = x[:, objective(x) <= domain.level]
        return not (objective(x - learning_rate * objective.gradient(x)) <= domain.level).all()


def distance(box: Box, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far points (d, n) are from the middle of a box, in halves of its widths, the worst axis: 1 on its rim."""
    lower, upper = np.array(box.lower)[:, None], np.array(box.upper)[:, None]
    return np.asarray(np.max(abs(2 * x - lower - upper) / (upper - lower), axis=0))


def never_returns(
    objective: Objective, x: NDArray[np.float64], learning_rates: NDArray[np.float64], box: Box
) -> NDArray[np.bool_]:
    """Whether descent from points (d, n) never comes nearer to the box than it starts."""
    at_first, near = distance(box, x), np.zeros(x.shape[1], dtype=bool)
    for s in learning_rates[:PATIENCE].tolist():
        with np.errstate(all="ignore"):
            x = x - s * objective.gradient(x)
            near |= distance(box, x) < at_first
        if near.all() or not np.isfinite(x[:, ~near]).any():
            break
    return ~near
