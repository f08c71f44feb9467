"""f near a critical point to fourth order, in coordinates y in which its second order is sum_i sign(h_i) y_i^2/2.

x = x* + sum_i y_i u_i/sqrt|h_i| with curvatures h_i and axes u_i. All that the first order of the law asks of f beyond
that are its third derivatives t_ijk in y, and of the fourth the traces V_ij = sum_k f_ijkk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, permutations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from witten.landscape.critical.critical_point import CriticalPoint, exact_hessians
from witten.objectives import Objective
from witten.objectives.callables import Evaluated, complete_unchecked
from witten.objectives.objective import CallableObjective

__all__ = ["LocalExpansion", "expand"]

Array = NDArray[np.float64]
# Steps of numerical derivatives, in widths of the well at the height `energy`: each half of the one before.
STEPS = 0.5 ** np.arange(1, 9)


@dataclass(frozen=True, eq=False)
class LocalExpansion:
    """Derivatives at a critical point, in y.

    Attributes
    ----------
    curvatures : h, ascending, shape (d,)
    axes : columns u_i/sqrt|h_i|, shape (d, d)
    third : t, symmetric, shape (d, d, d)
    fourth : V, symmetric, shape (d, d)
    unstable : f_0ijk, i.e. the fourth derivatives of which one is along the first axis, shape (d, d, d)
    error : of `coefficient`, as far as the derivatives are known; 0 from a formula
    curvature_error : of log |det Hess f|, likewise
    """

    curvatures: Array
    axes: Array
    third: Array
    fourth: Array
    unstable: Array
    error: float = 0.0
    curvature_error: float = 0.0

    @cached_property
    def coefficient(self) -> float:
        """c: at a minimum the Gibbs integral over the well, at a saddle of index 1 the capacity, is that of leading
        order times 1 + c T + O(T^2), T = s/2."""
        return float(sum(_gaussian_terms(self.third, self.fourth)) if self.curvatures[0] > 0 else _capacity(self))

    @cached_property
    def committor(self) -> tuple[Array, float, Array, Array]:
        """Q, w, C and v of the committor Phi(y_0 + (y.Q y/2 + w) sqrt T + (C yyy/6 + v.y) T + ...) at a saddle, y_0 the
        unstable direction: its equation, solved degree by degree.

        The Dirichlet form is stationary there, so that it needs Q and w alone for c, and C and v for the next order."""
        a, t = abs(self.curvatures), self.third
        q = -a[0] * t[0] / (a[:, None] + a + a[0])
        w = float(a @ np.diag(q)) / float(a[0])
        unit = np.eye(a.size)[0]
        cubic = _outer(unit, (q * a) @ q) + a[0] * _outer(q[0], q) + t @ (a[:, None] * q) / 2 + a[0] / 6 * self.unstable
        c = -6 * _symmetric(cubic) / (a[:, None, None] + a[:, None] + a + a[0])
        v = (np.einsum("j,jjk->k", a, c) - 2 * w * a[0] * q[0]) / (a + a[0])
        return q, w, c, v

    @cached_property
    def anharmonicity(self) -> Array:
        """P = s s^T/8 + sum_jk t_ijk t_ljk/12 + |V|/8 with s_i = sum_j t_ijj: what the terms of c come to where none
        cancels another, as a matrix over directions, so that it adds up over independent ones. In one dimension
        5 f'''^2/(24 |f''|^3) + |f''''|/(8 f''^2)."""
        s, flat = np.trace(self.third, axis1=1, axis2=2), self.third.reshape(self.third.shape[0], -1)
        values, vectors = np.linalg.eigh(self.fourth)
        return np.asarray(np.outer(s, s) / 8 + flat @ flat.T / 12 + (vectors * abs(values)) @ vectors.T / 8)


def _gaussian_terms(third: Array, fourth: Array) -> tuple[float, ...]:
    """E[f3^2]/2 - E[f4] over independent unit normals, by Wick's theorem."""
    s = np.trace(third, axis1=1, axis2=2)
    return float(s @ s) / 8, float(np.vdot(third, third)) / 12, -float(np.trace(fourth)) / 8


def _capacity(at: LocalExpansion) -> float:
    """c at a saddle: the linear term of the Dirichlet form of the trial committor, all in means over unit normals."""
    a, (q, w, _, _) = abs(at.curvatures), at.committor
    trace, square = float(np.trace(q)), float(np.vdot(q, q))
    unit = np.eye(a.size)[0]
    tilted = at.third + 6 * _symmetric(_outer(unit, q))
    slope = 2 * (q[0] - w * unit)
    gradient = float(a @ (q**2).sum(axis=1)) / a[0]
    own = gradient - w * trace + w**2 - 4 * w * q[0, 0] - (trace**2 + 2 * square) / 4
    return own - float(slope @ np.trace(tilted, axis1=1, axis2=2)) / 2 + sum(_gaussian_terms(tilted, at.fourth))


def _outer(a: Array, b: Array) -> Array:
    return a[:, None, None] * b


def _symmetric(a: Array) -> Array:
    """The mean over the orders of three indices."""
    return np.asarray(sum(a.transpose(order) for order in permutations(range(3)))) / 6


def expand(objective: Objective, point: CriticalPoint, energy: float) -> LocalExpansion:
    """f near a critical point that is not degenerate: from a formula by Taylor arithmetic, of a Python function by
    central differences of its Hessian over ranges in which f changes by about `energy` > 0 and less."""
    curvatures, vectors = np.linalg.eigh(exact_hessians(objective, point.x[:, None])[0])
    axes = vectors / np.sqrt(abs(curvatures))
    if isinstance(objective, CallableObjective):
        return _from_differences(objective, point.x, curvatures, axes, energy)
    along = objective.hessian_along(point.x, _directions(axes))
    third, bends = (np.einsum("ia,ijk,jb->abk", axes, order, axes, optimize=True) for order in (along[1], 2 * along[2]))
    return LocalExpansion(curvatures, axes, _symmetric(third[..., : len(axes)]), *_fourth(bends))


def _directions(axes: Array) -> Array:
    """The axes, and each with the first one added."""
    return np.hstack([axes, axes + axes[:, :1]])


def _fourth(bends: Array) -> tuple[Array, Array]:
    """V and f_0ijk from the second derivatives of the Hessian along `_directions`, (d, d, 2 d), by polarisation."""
    d = len(bends)
    v = bends[..., :d].sum(axis=2)
    mixed = (bends[..., d:] - bends[..., :d] - bends[..., :1]) / 2
    return (v + v.T) / 2, _symmetric(mixed)


def _from_differences(f: CallableObjective, x: Array, curvatures: Array, axes: Array, energy: float) -> LocalExpansion:
    """The expansion at that step at which the derivatives change least from one step to the next; the errors are three
    times the largest of three changes around it, inf where too few steps give numbers."""
    hessian, root = _hessian_in(f, x, axes, energy), np.sqrt(energy)
    centre = hessian(np.zeros((x.size, 1)))[..., 0]
    rows = [_differences(hessian, centre, step) for step in STEPS]
    finer = [((4 * b[0] - a[0]) / 3 / root, (4 * b[1] - a[1]) / 3 / energy) for a, b in pairwise(rows)]
    changes = np.array([_change(*pair) for pair in pairwise(finer)])
    off = sliding_window_view(np.where(np.isfinite(changes), changes, np.inf), 3).max(axis=1)
    third, bends = finer[int(off.argmin()) + 1]
    if not np.isfinite(off.min()):
        third, bends = np.zeros_like(third), np.zeros_like(bends)
    bent = float(np.linalg.norm(centre - np.diag(np.sign(curvatures)), "nuc"))
    return LocalExpansion(curvatures, axes, _symmetric(third), *_fourth(bends), 3 * float(off.min()), bent)


def _change(a: tuple[Array, Array], b: tuple[Array, Array]) -> float:
    """By how much the coefficient may change from derivatives a to b, which are random to the same degree."""
    root, fourths = np.sqrt(len(a[0])), _fourth(b[1] - a[1])
    size, third = float(np.linalg.norm(b[0])), float(np.linalg.norm(b[0] - a[0]))
    return root * float(np.linalg.norm(fourths[0])) / 8 + (root / 4 + 1 / 6) * third * (size + third)


def _hessian_in(f: CallableObjective, x: Array, axes: Array, energy: float) -> Evaluated:
    """The Hessian of g(z) = f(x + sqrt(energy) axes z)/energy, in which its own steps are of the right size."""
    a = np.sqrt(energy) * axes
    given = f.functions

    def value(z: Array) -> Array:
        return given["value"](x[:, None] + a @ z) / energy

    def gradient(z: Array) -> Array:
        return np.asarray(a.T @ given["gradient"](x[:, None] + a @ z)) / energy

    def hessian(z: Array) -> Array:
        return np.einsum("ia,ijn,jb->abn", a, given["hessian"](x[:, None] + a @ z), a, optimize=True) / energy

    _, slope, curvature = f.given
    made = complete_unchecked(value, None if slope is None else gradient, None if curvature is None else hessian)
    return made["hessian"]


def _differences(hessian: Evaluated, centre: Array, step: float) -> tuple[Array, Array]:
    """First derivatives of the Hessian along the axes, (d, d, d), and second ones along `_directions`, (d, d, 2 d)."""
    d = len(centre)
    moves = step * _directions(np.eye(d))
    ahead, behind = hessian(moves), hessian(-moves)
    return (ahead - behind)[..., :d] / (2 * step), (ahead + behind - 2 * centre[..., None]) / step**2
