"""Whether SGD stays where it is: how much of it runs away in a step, and whether descent from afar comes home."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.linalg.gth_elimination import StateReduction
from witten.objectives import Objective
from witten.sgd.arnoldi import leading_masses
from witten.sgd.gradient_noise import GaussianNoise
from witten.sgd.transfer_operator import TransferOperator, transfer_operator
from witten.sgd.transfer_spectrum import Domain, first_domain

__all__ = ["distance", "runs_away", "runs_out"]

# Nodes per standard deviation of the noise, and in all; how often a box is enlarged.
NODES, MOST, ENLARGED = {1: 1.5, 2: 1.3}, {1: 3000, 2: 60_000}, 16
# Along an axis, where noise is too narrow for that.
CELLS = {1: 4000, 2: 300}
# What a larger box takes off the part that leaves, where that part comes back.
SETTLED = 0.7
# What moves from one node to another in a step and is not looked at, as a part of all.
NEGLIGIBLE = 1e-18
# Steps of descent after which a point that has not come nearer counts as one that runs away.
PATIENCE = 1000


def runs_away(objective: Objective, learning_rate: float, noise: float, safe: float) -> bool:
    """Whether more than the part `safe` of SGD leaves for good in a step, once the start is forgotten.

    On boxes that grow until no more than that leaves, or as much as before. Noise too narrow for a grid matters less
    than descent does: then it counts whether descent leaves the sublevel set that holds the law.
    """
    d = objective.dimension
    step = GaussianNoise.isotropic(d, learning_rate * noise)
    domain = first_domain(objective, learning_rate, 2, step, None)
    box, before = domain.box, np.inf
    for _ in range(ENLARGED):
        if np.prod(np.ceil(box.widths * NODES[d] / (learning_rate * noise))) > MOST[d]:
            return before < np.inf or _climbs(objective, learning_rate, domain)
        leak = _leak(objective, transfer_operator(objective, learning_rate, box, noise=step, per_deviation=NODES[d]))
        if leak <= safe:
            return False
        if leak > SETTLED * before:
            return True
        box, before = box.expanded(0.15, 0.15), leak
    return True


def _leak(objective: Objective, operator: TransferOperator) -> float:
    """What leaves in a step under the stationary law of those who are put back, or do not leave."""
    if operator.grid.dimension == 1:
        chain, lowest = operator.dense(), int(objective(operator.points).argmin())
        chain[:, lowest] += operator.killed
        masses = StateReduction.of(chain, lowest).stationary
    else:
        masses = leading_masses(lambda m: operator.adjoint(m, NEGLIGIBLE), operator.n_dofs)
    return float(masses @ operator.killed)


def _climbs(objective: Objective, learning_rate: float, domain: Domain) -> bool:
    """Whether a step of descent leaves {f <= level} from anywhere in it."""
    x = Grid(domain.box, (CELLS[objective.dimension],) * objective.dimension).points
    with np.errstate(all="ignore"):
        x = x[:, objective(x) <= domain.level]
        return not (objective(x - learning_rate * objective.gradient(x)) <= domain.level).all()


def distance(box: Box, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far points (d, n) are from the middle of a box, in halves of its widths, the worst axis: 1 on its rim."""
    lower, upper = np.array(box.lower)[:, None], np.array(box.upper)[:, None]
    return np.asarray(np.max(abs(2 * x - lower - upper) / (upper - lower), axis=0))


def runs_out(
    objective: Objective, x: NDArray[np.float64], learning_rates: NDArray[np.float64], box: Box
) -> NDArray[np.bool_]:
    """Whether descent from points (d, n) never comes nearer to the box than they are, however far off that is."""
    at_first, near = distance(box, x), np.zeros(x.shape[1], dtype=bool)
    for s in learning_rates[:PATIENCE].tolist():
        with np.errstate(all="ignore"):
            x = x - s * objective.gradient(x)
            near |= distance(box, x) < at_first
        if near.all() or not np.isfinite(x[:, ~near]).any():
            break
    return ~near
