"""The Eyring-Kramers law to first order in T = s/2, with its error.

The Gibbs integral over a well is Z_m e^{c_m T} and the capacity of a saddle cap_z e^{c_z T}, both up to a factor
1 + O(T^2), where Z_m and cap_z are those of leading order. A rate k_ij = cap_z/Z_i changes by e^{(c_z - c_i) T}, and
detailed balance stays. Exponentials, since contributions of independent directions add up, as they do in the truth.

How far each of the two may be off is measured: by the integral itself, at T instead of in the limit (`log_integral`).
In more than four dimensions, where quadrature ends, the size of the terms stands for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from witten.landscape.critical.critical_point import CriticalPoint, joined
from witten.landscape.landscape import Landscape
from witten.landscape.laws.local_expansion import LocalExpansion, expand
from witten.objectives import Objective
from witten.objectives.topography.scaled_coordinates import units_around

__all__ = ["FirstOrder", "PointExpansion", "first_order"]

Array = NDArray[np.float64]
# Points of Gauss's rule along each axis, by dimension; PAIRS of points above.
NODES = {1: 60, 2: 24, 3: 12, 4: 8}
PAIRS = 256
# The error of a logarithm is MEASURED R + HIGHER |R(T) - 4 R(T/2)|, R the part of second order in T and what follows;
# BOUND (T |P|)^2 where R is not known. See docs/theory.md for the objectives on which that was tried.
MEASURED, HIGHER, BOUND = 2.5, 2.0, 8.0
EPS = float(np.finfo(float).eps)
# Largest weight that a point may get beside its Gaussian one: another well in reach is no part of the integral.
LARGEST = 6.0


@dataclass(frozen=True, eq=False)
class PointExpansion:
    """What a minimum or a saddle says beyond leading order.

    Attributes
    ----------
    objective, point : f and the point, in coordinates of the size of the landscape
    energy : by how much f changes from there to the next minimum or saddle
    """

    objective: Objective
    point: CriticalPoint
    energy: float

    @property
    def x(self) -> Array:
        """Where, shape (d,)."""
        return self.point.x

    @cached_property
    def value(self) -> float:
        """f(x)."""
        return float(self.objective(self.x))

    @cached_property
    def local(self) -> LocalExpansion:
        """The derivatives up to the fourth."""
        return expand(self.objective, self.point, self.energy)

    @cached_property
    def size(self) -> float:
        """|P|, per unit of T."""
        return float(np.linalg.norm(self.local.anharmonicity))

    def log_error(self, t: float) -> float:
        """How far the logarithm of what this point contributes may be off at T = t."""
        known = t * self.local.error + self.local.curvature_error + self.rounding(t)
        return known + self._second_order(t)

    def rounding(self, t: float) -> float:
        """What rounding of f may do to it at T = t."""
        return EPS * (abs(self.value) + self.energy) / t

    def _second_order(self, t: float) -> float:
        """What the integral at T differs by from its expansion. Below the T at which rounding hides that, the size of
        the terms, if that is no less than the difference at this T: there is then no kink, no high power."""
        bound = BOUND * (t * self.size) ** 2
        if self.x.size > max(NODES):
            return bound + self._remainder(t)
        lowest = 4 * self.energy * (EPS * max(1.0, abs(self.value) / self.energy)) ** (1 / 3)
        there = self._measured(max(t, lowest))
        if t >= lowest:
            return there
        return bound if there <= BOUND * (lowest * self.size) ** 2 else there

    def _measured(self, t: float) -> float:
        """What is left of the integral at T without its first order, from T and T/2, with what that says of T^3."""
        whole, half = (self.log_integral(x) - x * self.local.coefficient for x in (t, t / 2))
        return MEASURED * max(abs(whole), 4 * abs(half)) + HIGHER * abs(whole - 4 * half)

    def log_integral(self, t: float) -> float:
        """log of E[e^{-V}] at a minimum, V = f(x* + ...)/T without constant and second order, over normal y: the Gibbs
        integral; at a saddle, of E[|grad w|^2 e^{y_0^2 - w^2 - V}], the Dirichlet form of the trial committor Phi(w).
        Both are c T + O(T^2), and right to O(T^3)."""
        y, weights = _gauss(self.x.size)
        exponent = -self._excess(t, y)
        gradient: float | Array = 1.0
        if self.local.curvatures[0] < 0:
            a, (w, slopes) = abs(self.local.curvatures), self._trial(t, y)
            exponent, gradient = exponent + y[0] ** 2 - w**2, a @ slopes**2 / a[0]
        with np.errstate(divide="ignore"):
            return float(np.log(weights @ (gradient * np.exp(np.minimum(exponent, LARGEST)))))

    def _trial(self, t: float, y: Array) -> tuple[Array, Array]:
        """w of the trial committor at y (d, n), and its gradient (d, n)."""
        q, shift, c, v = self.local.committor
        straight, cubic = q @ y, np.einsum("ijk,jn,kn->in", c, y, y, optimize=True)
        w = y[0] + math.sqrt(t) * ((y * straight).sum(axis=0) / 2 + shift) + t * ((y * cubic).sum(axis=0) / 6 + v @ y)
        slopes = np.eye(len(y))[:, :1] + math.sqrt(t) * straight + t * (cubic / 2 + v[:, None])
        return w, slopes

    def _excess(self, t: float, y: Array) -> Array:
        """V at y (d, n); inf where f is not finite."""
        with np.errstate(all="ignore"):
            f = np.asarray(self.objective(self.x[:, None] + math.sqrt(t) * (self.local.axes @ y)))
            v = (f - self.value) / t - np.sign(self.local.curvatures) @ y**2 / 2
        return np.nan_to_num(v, nan=np.inf, posinf=np.inf)

    def _remainder(self, t: float) -> float:
        """What f does beyond the fourth order: but for that, E[V] and E[V_odd^2] are linear in T."""
        whole, half = self._moments(t), self._moments(t / 2)
        return 3 * abs(whole[0] - 2 * half[0]) + abs(whole[1] - 2 * half[1])

    def _moments(self, t: float) -> tuple[float, float]:
        y, weights = _normal_pairs(self.x.size)
        ahead, behind = (np.clip(self._excess(t, sign * y), -2.0, 2.0) for sign in (1, -1))
        return float(weights @ (ahead + behind)) / 2, float(weights @ (ahead - behind) ** 2) / 4


@lru_cache(maxsize=8)
def _gauss(d: int) -> tuple[Array, Array]:
    """Nodes (d, n) and weights of Gauss's rule for independent unit normals."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES[d])
    weights /= weights.sum()
    return np.array(list(product(nodes, repeat=d))).T, np.array(list(product(weights, repeat=d))).prod(axis=1)


@lru_cache(maxsize=8)
def _normal_pairs(d: int) -> tuple[Array, Array]:
    """Points y (d, n), each of which stands for y and -y, and weights: means over independent unit normals, with more
    points far out than these have themselves."""
    from scipy.stats import qmc

    stretch = math.sqrt(1 + 2 / d)
    y = stretch * ndtri(qmc.Sobol(d, scramble=True, rng=np.random.default_rng(0)).random(PAIRS).T)
    weights = np.exp(-0.5 * (1 - stretch**-2) * (y**2).sum(axis=0))
    return y, weights / weights.sum()


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """The expansions at the minima and at the saddles of a landscape, in their order."""

    minima: tuple[PointExpansion, ...]
    saddles: tuple[PointExpansion, ...]

    def log_factors(self, t: float, side: int = 0) -> tuple[Array, Array]:
        """What is added at T = t to the logarithms of masses and of conductances; with side = 1 or -1 for the fastest
        or slowest rates within the errors. All are extreme together: rates of a reversible chain grow with its
        conductances and fall with its masses, by the min-max principle."""
        first = t * np.array([p.local.coefficient for p in (*self.minima, *self.saddles)])
        off = side * _log_errors(self, t) if side else np.zeros_like(first)
        n = len(self.minima)
        return first[:n] - off[:n], first[n:] + off[n:]


@lru_cache(maxsize=4)
def _log_errors(points: FirstOrder, t: float) -> Array:
    return np.array([p.log_error(t) for p in (*points.minima, *points.saddles)])


@lru_cache(maxsize=16)
def first_order(landscape: Landscape) -> FirstOrder:
    """Derivatives up to the fourth at the minima and saddles of a landscape, none of them degenerate."""
    points = (*landscape.minima, *landscape.saddles)
    units = units_around(landscape.objective, joined(points))
    f = units.objective(landscape.objective)
    found = [PointExpansion(f, p.into(units), e) for p, e in zip(points, _energies(landscape), strict=True)]
    return FirstOrder(tuple(found[: len(landscape.minima)]), tuple(found[len(landscape.minima) :]))


def _energies(landscape: Landscape) -> list[float]:
    """By how much f changes from each minimum and saddle to the nearest in value of those beside it."""
    count = len(landscape.minima)
    heights: list[list[float]] = [[] for _ in range(count + len(landscape.saddles))]
    for k, z in enumerate(landscape.saddles):
        for i in z.connects:
            if i is not None and z.value > landscape.minima[i].value:
                heights[i].append(z.value - landscape.minima[i].value)
                heights[count + k].append(z.value - landscape.minima[i].value)
    every = [height for each in heights for height in each] or [1.0]
    return [min(each, default=min(every)) for each in heights]
