"""Trial functions in floating point: smooth indicators of the wells, by inverse iteration with fluxes.

Nothing here has to be right: what is proved holds for any functions, and good ones make it sharp. Between cuts
z_1 < ... < z_n lie n + 1 parts. u_j, which rises from 0 to 1 across z_j, solves -(s/2) (w u_j')' = w (g_j - g_{j+1})
with the indicators g of both parts, each of mass one, up to a factor; differences of the u_j are new indicators, that
sum to one, and so on. Each step is the inverse of the generator on all of them at once. Integrals are taken from the
side on which they are small, so that indicators keep their digits beside wells of any depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.objectives.objective import Objective

__all__ = ["well_indicators"]

Array = NDArray[np.float64]
Long = NDArray[np.longdouble]
GAUSS = 6
STEPS = 80


def well_indicators(objective: Objective, s: float, nodes: Array, cuts: NDArray[np.intp]) -> tuple[Array, Array]:
    """Values and slopes at the nodes, (parts, nodes) each; the cuts are numbers of nodes. Overflows show as nan.

    Extended precision is for its range of exponents, e^{+-11000}."""
    cut_nodes = np.searchsorted(cuts, np.arange(nodes.size), side="right")
    iteration = _Iteration(objective, s, nodes, cuts)
    with np.errstate(all="ignore"):
        indicators = (iteration.part == np.arange(cuts.size + 1)[:, None, None]).astype(np.longdouble)
        for _ in range(STEPS):
            before, indicators = indicators, iteration.step(indicators)
            if not np.abs(indicators - before).max() > 1e-15:
                break
        rise, fall, slopes = iteration.at_nodes
        values = _indicators(rise, fall, cut_nodes)
        slopes = -np.diff(slopes, axis=0, prepend=0, append=0)
    return values.astype(float), slopes.astype(float)


class _Iteration:
    """One step of inverse iteration, and what the last one left at the nodes."""

    def __init__(self, objective: Objective, s: float, nodes: Array, cuts: NDArray[np.intp]) -> None:
        t, weights, self.inside = _gauss_legendre()
        width = np.diff(nodes)[:, None]
        x = nodes[:-1, None] + width * t
        heights, ends = (objective(points.reshape(1, -1)) for points in (x, nodes))
        base = heights.min()
        self.weight = np.exp((-2 / s * (heights - base)).astype(np.longdouble)).reshape(x.shape)
        self.end_weight = np.exp((-2 / s * (ends - base)).astype(np.longdouble))
        self.width, self.gauss = width, weights
        self.part = np.searchsorted(cuts, np.arange(width.size), side="right")[:, None]
        self.beyond = np.arange(width.size)[:, None] >= cuts[:, None, None]
        self.node_beyond = np.arange(nodes.size) >= cuts[:, None]
        self.at_nodes: tuple[Long, Long, Long]

    def step(self, indicators: Long) -> Long:
        """(parts, cells, points) -> the same."""
        density = indicators * self.weight
        density /= self._whole(density).sum(axis=1)[:, None, None]
        left, right, node_left, node_right = self._integrals(density[:-1] - density[1:])
        flux = np.where(self.beyond, -right, left)
        node_flux = np.where(self.node_beyond, -node_right, node_left)
        rise, fall, node_rise, node_fall = self._integrals(flux / self.weight)
        total = node_rise[:, -1:]
        self.at_nodes = node_rise / total, node_fall / total, node_flux / self.end_weight / total
        return _indicators(rise / total[..., None], fall / total[..., None], self.part)

    def _whole(self, g: Long) -> Long:
        """The integral over each cell."""
        return (g * (self.width * self.gauss)).sum(axis=2)

    def _integrals(self, g: Long) -> tuple[Long, Long, Long, Long]:
        """From the left and from the right, at the points and at the nodes."""
        whole, zero = self._whole(g), np.zeros((g.shape[0], 1))
        node_left = np.hstack([zero, np.cumsum(whole, axis=1)])
        node_right = np.hstack([np.cumsum(whole[:, ::-1], axis=1)[:, ::-1], zero])
        left = self.width * (g @ self.inside.T)
        right = self.width * (g @ (self.gauss - self.inside).T)
        return node_left[:, :-1, None] + left, node_right[:, 1:, None] + right, node_left, node_right


def _indicators(rise: Long, fall: Long, part: NDArray[np.intp]) -> Long:
    """u_{j-1} - u_j for each part, from rise = u and fall = 1 - u, with u_0 = 1 and u_{n+1} = 0."""
    ones, zeros = np.ones_like(rise[:1]), np.zeros_like(rise[:1])
    rise, fall = np.concatenate([ones, rise, zeros]), np.concatenate([zeros, fall, ones])
    number = np.arange(rise.shape[0] - 1).reshape(-1, *[1] * (rise.ndim - 1))
    within = 1 - fall[:-1] - rise[1:]
    return np.where(part < number, rise[:-1] - rise[1:], np.where(part > number, fall[1:] - fall[:-1], within))


def _gauss_legendre() -> tuple[Array, Array, Array]:
    """Nodes and weights of [0, 1], and the matrix that integrates from 0 to each node."""
    t, weights = np.polynomial.legendre.leggauss(GAUSS)
    powers = np.arange(GAUSS)
    primitive = ((t[:, None] + 1) / 2) ** (powers + 1) / (powers + 1)
    t = (t + 1) / 2
    return t, weights / 2, np.linalg.solve((t[:, None] ** powers).T, primitive.T).T
