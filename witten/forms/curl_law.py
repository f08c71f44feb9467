"""The law of the small rates that 1- and 2-forms in space share, from loops of saddles that loops of maxima link."""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
from numpy.typing import NDArray

from witten.landscape.critical.critical_point import CriticalPoint, joined
from witten.landscape.critical.saddle_connections import descent_paths
from witten.landscape.landscape import Landscape
from witten.linalg.linking_numbers import gauss_integral
from witten.linalg.merge_tree import merge_tree_of_saddles
from witten.objectives.objective import Objective

__all__ = ["curl_law"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Points = tuple[CriticalPoint, ...]
# A line ends in a point that is this close to it, and at infinity this far out, in units of how far apart points lie.
ARRIVED, FAR = 1e-4, 30.0
# Units of how far apart saddles lie, in which lines are followed.
REACH = 1e4
# What linking numbers may be off integers: loops through infinity are not closed there.
INTEGER = 0.05


def curl_law(known: Landscape, s: float, negative: Objective) -> Array:
    """Logarithms of the small rates of curls as s -> 0, ascending: one for each loop of minima and saddles, d = 3.

    They are the squares of the nonzero singular values of Morse's complex with weights [Witten1982],

        D_zx = n_zx sqrt(a(x)/(2 pi a(z))) e^{-(f(z) - f(x))/s},   a = sqrt|det Hess f|/|product of curvatures < 0|,

    x of index 1, z of index 2, n_zx the lines of steepest descent from z to x, counted with signs. Where one entry of a
    row or a column exceeds the others these are the pairs of [LePeutrec2013]. Leading order: relative errors are O(s).

    n = U L^{-1} V^T, columns of V a basis of the loops of minima and saddles, those of U of the loops of maxima, points
    of index 2 and infinity, L_ij their linking numbers (Alexander's duality): only lines from points of index 1 and 2
    are followed. None where a line ends nowhere, where L is not a matrix of integers with determinant 1 or -1, or n has
    a line that does not descend.

    Parameters
    ----------
    known : critical points, all of them and none degenerate
    s : learning rate
    negative : -f
    """
    points = (*known.minima, *known.saddles, *known.others)
    of_index = [tuple(point for point in points if point.index == p) for p in range(4)]
    below = _loops(known.objective, of_index[0], of_index[1], 1.0)
    above = _loops(negative, of_index[3], of_index[2], -1.0)
    if below is None or above is None or below.basis.shape[1] != above.basis.shape[1] or not below.basis.size:
        return np.empty(0)
    gauss = np.array([[gauss_integral(a, b) for b in above.lines] for a in below.lines])
    linking = below.basis.T @ gauss @ above.basis
    whole = np.rint(linking)
    if abs(linking - whole).max() > INTEGER or abs(abs(np.linalg.det(whole)) - 1) > INTEGER:
        return np.empty(0)
    lines = below.basis @ np.rint(np.linalg.inv(whole).T) @ above.basis.T
    if any(of_index[1][x].value >= of_index[2][z].value for x, z in np.argwhere(lines).tolist()):
        return np.empty(0)
    log_x, log_z = (np.array([_log_weight(point, s) for point in of_index[p]]) for p in (1, 2))
    return _log_eigenvalues(below.basis, -log_x, above.basis, log_z, whole) - np.log(2 * np.pi)


def _log_weight(point: CriticalPoint, s: float) -> float:
    """log (a^{-1} e^{-2f/s}) at a critical point."""
    negative = point.curvatures[point.curvatures < 0]
    return float(np.log(-negative).sum() - 0.5 * point.log_det - 2 * point.value / s)


@dataclass(frozen=True, eq=False)
class Loops:
    """The lines through the points of index 1, from the end on one side to that on the other, (3, n) each; and a basis
    of the loops that they make, integers, (lines, loops)."""

    lines: list[Array]
    basis: Integers


def _loops(f: Objective, minima: Points, passes: Points, sign: float) -> Loops | None:
    """Of f, or of -f with sign -1, for which infinity is one more minimum. None where a line ends nowhere, or they do
    not join all minima."""
    if not passes:
        return Loops([], np.empty((0, 0), dtype=np.int64))
    sides = descent_paths(f, passes, reach=REACH)
    lines = [np.hstack([first[:, ::-1], second]) for first, second in sides]
    ends = np.array([[_end(x, joined([*minima, *passes]), len(minima)) for x in line.T[[0, -1]]] for line in lines])
    floors, heights = (np.array([sign * point.value for point in each]) for each in (minima, passes))
    if sign < 0:
        floors = np.append(floors, min(floors.min(initial=np.inf), heights.min()) - 1.0)
    tree = merge_tree_of_saddles(floors, heights, ends)
    inside = tree.passes[tree.passes >= 0]
    if ends.min() < 0 or ends.max() >= floors.size or inside.size < floors.size - 1:
        return None
    return Loops(lines, _cycles(ends, inside, floors.size))


def _end(x: Array, points: Array, count: int) -> int:
    """The number of the minimum, of the first `count` points, that is here; `count` for infinity, -1 for neither."""
    extent = float(np.ptp(points, axis=1).max()) or 1.0
    if np.linalg.norm(x - points.mean(axis=1)) > FAR * extent:
        return count
    near = np.flatnonzero(np.linalg.norm(points[:, :count] - x[:, None], axis=0) <= ARRIVED * extent)
    return int(near[0]) if near.size else -1


def _cycles(ends: Integers, tree: Integers, nodes: int) -> Integers:
    """For each edge that is not in the spanning tree the cycle that it closes, (edges, cycles)."""
    edges = np.arange(len(ends))
    incidence = np.zeros((nodes, edges.size))
    np.add.at(incidence, (ends[:, 1], edges), 1)
    np.add.at(incidence, (ends[:, 0], edges), -1)
    others = np.setdiff1d(edges, tree)
    cycles = np.zeros((edges.size, others.size), dtype=np.int64)
    cycles[others, np.arange(others.size)] = 1
    cycles[tree] = -np.rint(np.linalg.solve(incidence[1:, tree], incidence[1:, others]))
    return cycles


def _log_eigenvalues(v: Integers, log_v: Array, u: Integers, log_u: Array, linking: Array) -> Array:
    """Logarithms of the eigenvalues of (U^T e^{log_u} U) L^{-1} (V^T e^{log_v} V) L^{-T}, in as many digits as they are
    apart."""
    apart = float(np.ptp(log_v) + np.ptp(log_u)) / np.log(10)
    with mpmath.workdps(30 + round(2 * apart)):
        of_v, of_u = (_gram(v, log_v), _gram(u, log_u))
        root = mpmath.cholesky(of_u).T * mpmath.inverse(mpmath.matrix(linking.tolist()))
        found = mpmath.eigsy(root * of_v * root.T, eigvals_only=True)
        return np.array(sorted(float(mpmath.log(each)) for each in found))


def _gram(basis: Integers, logs: Array) -> mpmath.matrix:
    weights = mpmath.diag([mpmath.exp(each) for each in logs])
    return mpmath.matrix(basis.T.tolist()) * weights * mpmath.matrix(basis.tolist())
