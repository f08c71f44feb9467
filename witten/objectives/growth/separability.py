"""Orthonormal axes along which f is a sum of functions of one coordinate each: f(x) = sum_i f_i(q_i . x).

Along such axes all Hessians are diagonal, so that they commute; kinks show as gradients of what stands in abs, min
and max. Axes are proposed by these, and believed where f is the sum at points of many sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.objectives.objective import Objective

__all__ = ["separating_axes"]

Array = NDArray[np.float64]
# Points at which f is compared with the sum, and how well it has to agree, relative to the parts.
POINTS, AGREES = 64, 1e-9
SAMPLES = 12


def separating_axes(objective: Objective, centre: Array, unit: float) -> Array | None:
    """Columns q_i (d, d) with f(c + sum t_i q_i) = sum f(c + t_i q_i) - (d - 1) f(c), None where none are found.

    Checked at 64 points at up to 30 units of length from the centre."""
    d = objective.dimension
    if d == 1:
        return np.eye(1)
    rng = np.random.default_rng(0)
    t = unit * rng.normal(size=(d, POINTS)) * np.geomspace(0.1, 30.0, POINTS)
    for axes in _proposed(objective, centre, unit, rng):
        if _is_sum(objective, centre, axes, t):
            return axes
    return None


def _is_sum(objective: Objective, centre: Array, axes: Array, t: Array) -> bool:
    c = centre[:, None]
    with np.errstate(all="ignore"):
        whole = objective(c + axes @ t)
        parts = [objective(c + axes[:, i : i + 1] * t[i]) for i in range(len(axes))]
        origin = float(objective(centre))
        gap = abs(whole - sum(parts) + (len(axes) - 1) * origin)
        size = abs(whole) + sum(abs(part) for part in parts) + abs(origin)
    known = np.isfinite(gap) & np.isfinite(size)
    # Unless the small parts agree as well as the large ones, what is small near the centre may be no sum.
    return bool(known.sum() > POINTS // 2 and (gap <= AGREES * size)[known].all())


def _proposed(objective: Objective, centre: Array, unit: float, rng: np.random.Generator) -> Iterator[Array]:
    """Axes to try: the coordinates, those of Hessians, those of kinks."""
    d = objective.dimension
    yield np.eye(d)
    x = centre[:, None] + unit * rng.normal(size=(d, SAMPLES)) * np.geomspace(0.3, 3.0, SAMPLES)
    with np.errstate(all="ignore"):
        hessians = np.moveaxis(objective.piecewise_hessian(x), 2, 0)
    hessians = hessians[np.isfinite(hessians).all(axis=(1, 2))]
    if len(hessians):
        sizes = np.linalg.norm(hessians, axis=(1, 2))
        mixed = np.einsum("n,nij->ij", rng.normal(size=len(hessians)) / np.where(sizes > 0, sizes, 1.0), hessians)
        yield np.linalg.eigh(mixed)[1]
    normals = _linear_arguments(objective)
    for i in range(len(normals)):
        q, r = np.linalg.qr(np.column_stack([*normals[i:], *normals[:i], *np.eye(d)]))
        if abs(np.diag(r)).min() > 0:
            yield q


def _linear_arguments(objective: Objective) -> list[Array]:
    """The gradients, as unit vectors, of linear expressions that functions are taken of in the formula."""
    if objective.formula is None:
        return []
    found: list[Array] = []
    for node in sp.preorder_traversal(objective.formula):
        for argument in node.args if isinstance(node, sp.Function) else ():
            gradient = [argument.diff(x) for x in objective.symbols]
            if any(g.free_symbols for g in gradient):
                continue
            normal = np.array([float(g.doit()) for g in gradient])
            size = np.linalg.norm(normal)
            if size > 0 and all(abs(abs(normal @ other) / size - 1) > 1e-12 for other in found):
                found.append(normal / size)
    return found[:12]
