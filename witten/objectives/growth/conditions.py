"""Conditions on f for a Gibbs measure and a spectral gap to exist, whatever the learning rate: by algebra where f is a
polynomial whose growth is plain, along its axes where it is a sum, else along its valleys and on spheres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from witten.errors import RequestError
from witten.objectives.growth.essential_spectrum import Bottom, FarOut, continuous_spectrum, essential_spectrum, far_out
from witten.objectives.objective import Objective
from witten.objectives.symbolic.polynomials import growth, unbounded_below
from witten.objectives.topography.convexity import strong_convexity

__all__ = ["Bottom", "Conditions", "conditions", "continuous_spectrum", "essential_spectrum", "is_confining"]

Array = NDArray[np.float64]
# Spheres on which growth is estimated, in units of length, directions on each, and how many of the lowest are followed
# further down.
SPHERES = 10.0 ** np.array([1.0, 2.0, 4.0, 6.0])
DIRECTIONS, FOLLOWED = 3000, 3


@dataclass(frozen=True)
class Conditions:
    """What is known about f as a whole.

    Attributes
    ----------
    confining : f -> inf, and e^{-2f/s} is integrable for every s > 0
    villani : confining, and |grad f|^2/s - Lap f -> inf for every s > 0
    strong_convexity : the largest mu > 0 with Hess f >= mu, None where there is none
    proved : which of the three are proved, not estimated; None in the others means that nothing is known
    endless_barrier : of wells that come again and again, however far out: 0 where there are none, inf where their
        barriers grow without bound; None where that is not known
    """

    confining: bool | None
    villani: bool | None
    strong_convexity: float | None
    proved: frozenset[str]
    endless_barrier: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a list of wells should know, in words."""
        if self.endless_barrier == np.inf:
            return (
                "the barriers grow without bound with the distance: H_f is infinite, there is no spectral gap "
                "at any learning rate, and any list of wells is cut somewhere; give a box",
            )
        if self.endless_barrier:
            return (
                f"wells go on without end, with barriers of {self.endless_barrier:.6g} far out: the list is cut where "
                "the search for them ends",
            )
        return ()


def conditions(
    objective: Objective, *, convex: bool = True, centre: Array | None = None, scale: float | None = None
) -> Conditions:
    """Whether f is confining and Villani, and its constant of strong convexity; it never refuses.

    A polynomial with a positive leading part (see `polynomials.growth`) is both, one that does not tend to +inf along
    an axis or a diagonal is neither: that is proved. Otherwise it is an estimate: of f along its axes or valleys, of
    the smallest |grad f|^2/(1 + max(Lap f, 0)) on spheres of radius 10 to 10^6.

    Parameters
    ----------
    objective : f
    convex : False says that f is known to have more than one critical point
    centre, scale : from where, (d,), and in what unit of length f is examined
    """
    mu, certain = strong_convexity(objective) if convex else (None, True)
    known = {"strong_convexity"} if certain else set()
    if growth(objective) is not None:
        return Conditions(True, True, mu, frozenset(known | {"confining", "villani"}), 0.0)
    if unbounded_below(objective) is not None:
        return Conditions(False, False, mu, frozenset(known | {"confining", "villani"}))
    try:
        far = far_out(objective, centre, scale)
    except RequestError:  # f is not a number somewhere out there
        return Conditions(None, None, mu, frozenset(known))
    confining = _confines(objective, far)
    steep = confining and all(end.rises_steeply for _, end in far.ends)
    villani = None if objective.formula is None else steep and _is_villani(objective, far.centre, far.unit)
    return Conditions(confining, villani, mu, frozenset(known), far.barrier)


Function = Callable[[Array], Array]


def is_confining(objective: Objective) -> bool | None:
    """As in `conditions`, which also ask for more; None where f is not a number somewhere far out."""
    if growth(objective) is not None:
        return True
    if unbounded_below(objective) is not None:
        return False
    try:
        return _confines(objective, far_out(objective, None, None))
    except RequestError:
        return None


def _confines(objective: Objective, far: FarOut) -> bool:
    """Whether f rises faster than any multiple of log r towards every end."""
    lines = all(growing and rise > 0 for _, end in (*far.ends, *far.rays) for rise, growing in [end.log_growth])
    return lines and all(_grows(np.asarray(objective(valley.x))) for valley in far.valleys)


def _grows(f: Array) -> bool:
    """Whether values along a valley rise faster than any multiple of the logarithm of the distance."""
    near, far = f[f.size // 2] - f[0], f[-1] - f[f.size // 2]
    return bool(far > max(1.3 * near, 1e-9))


def _is_villani(objective: Objective, centre: Array, unit: float) -> bool:
    """Whether |grad f|^2/(1 + max(Lap f, 0)) -> inf on spheres; that is Villani's condition for every s at once.

    If it does, |grad f|^2/s - Lap f >= (1 + Lap f)(ratio/s - 1) -> inf where Lap f > 0; if it stays below M somewhere
    out there, the potential does not tend to +inf for s >= M. Lengths are counted in the unit."""

    def ratio(x: Array) -> Array:
        slope = unit**2 * np.sum(objective.gradient(x) ** 2, axis=0)
        values = slope / (1 + unit**2 * np.maximum(np.trace(objective.piecewise_hessian(x)), 0.0))
        # Where both overflow f grows like an exponential, and the square wins.
        return np.where(np.isnan(values) & (slope == np.inf), np.inf, values)

    values = _lowest(objective.dimension, lambda x: ratio(centre[:, None] + unit * x))
    return values is not None and bool(values[3] > 2 * values[2] > 4 * values[1] or values[2] == np.inf)


def _lowest(dimension: int, function: Function) -> Array | None:
    """The smallest values of a function on spheres, shape (4,); None where it is not a number."""
    found = []
    for radius in SPHERES:
        with np.errstate(all="ignore"):
            values = _lowest_on_sphere(dimension, lambda x, r=radius: function(r * x))  # type: ignore[misc]
        if np.isnan(values):
            return None
        found.append(values)
    return np.array(found)


def _lowest_on_sphere(dimension: int, function: Function) -> float:
    """The smallest value on the unit sphere: from many directions, the lowest of them followed down."""
    directions = _spread(dimension)
    values = function(directions)
    if np.isnan(values).any() or dimension == 1 or not np.isfinite(values).any():
        return float(values.min())
    lowest = float(values.min())

    def along(y: NDArray[np.float64]) -> float:
        value = float(function((y / np.linalg.norm(y))[:, None])[0])
        return np.sign(value) * np.log1p(abs(value)) if np.isfinite(value) else 1e3

    for i in np.argsort(values)[: FOLLOWED * 3 : 3]:
        simplex = directions[:, i] + np.vstack([np.zeros(dimension), 3e-3 * np.eye(dimension)])
        options = {"initial_simplex": simplex, "xatol": 1e-12, "fatol": 1e-6, "maxfev": 300}
        end = minimize(along, directions[:, i], method="Nelder-Mead", options=options).x
        lowest = min(lowest, float(function((end / np.linalg.norm(end))[:, None])[0]))
    return lowest


def _spread(dimension: int) -> NDArray[np.float64]:
    """Unit vectors (d, n): both in one dimension, equally spaced in two, at random above, axes among them."""
    if dimension == 1:
        return np.array([[-1.0, 1.0]])
    if dimension == 2:
        angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        return np.array([np.cos(angles), np.sin(angles)])
    axes = np.hstack([np.eye(dimension), -np.eye(dimension)])
    some = np.hstack([axes, np.random.default_rng(0).normal(size=(dimension, DIRECTIONS))])
    return np.asarray(some / np.linalg.norm(some, axis=0))
