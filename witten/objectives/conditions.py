"""Conditions on f for a Gibbs measure and a spectral gap to exist, decided from f alone: by algebra where f is a
polynomial whose growth is plain, else estimated from how f grows along rays and on spheres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from witten.errors import RequestError
from witten.objectives.convexity import strong_convexity
from witten.objectives.objective import Objective
from witten.objectives.polynomials import growth, unbounded_below

__all__ = ["Conditions", "conditions", "continuous_spectrum"]

RADII = 10.0 ** np.arange(2, 9)
# Steps in log r over which f rises by so much more than over those before: it grows faster than log r.
FASTER = 1.02
# Spheres on which growth is estimated, directions on each, and how many of the lowest are followed further down.
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
    """

    confining: bool | None
    villani: bool | None
    strong_convexity: float | None
    proved: frozenset[str]


def conditions(objective: Objective, *, convex: bool = True) -> Conditions:
    """Whether f is confining and Villani, and its constant of strong convexity; it never refuses.

    A polynomial with a positive leading part (see `polynomials.growth`) is both, one that does not tend to +inf along
    an axis or a diagonal is neither: that is proved. Otherwise the minima of f and of |grad f|^2/(1 + max(Lap f, 0))
    on spheres of radius 10 to 10^6 are followed: an estimate. `convex=False` says that f is known to have more than one
    critical point.
    """
    mu, certain = strong_convexity(objective) if convex else (None, True)
    known = {"strong_convexity"} if certain else set()
    if growth(objective) is not None:
        return Conditions(True, True, mu, frozenset(known | {"confining", "villani"}))
    if unbounded_below(objective) is not None:
        return Conditions(False, False, mu, frozenset(known | {"confining", "villani"}))
    confining = _grows(_lowest(objective, objective))
    villani = None if objective.formula is None else confining and _is_villani(objective)
    return Conditions(confining, villani, mu, frozenset(known))


Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _grows(values: NDArray[np.float64] | None) -> bool | None:
    """Whether the minima of f on spheres grow faster than any multiple of log r."""
    if values is None:
        return None
    if values[1] == np.inf:
        return True
    near, far = (values[2] - values[1]) / 2, (values[3] - values[2]) / 2
    return bool(far > max(1.3 * near, 1e-9) or values[2] == np.inf)


def _is_villani(objective: Objective) -> bool:
    """Whether |grad f|^2/(1 + max(Lap f, 0)) -> inf on spheres; that is Villani's condition for every s at once.

    If it does, |grad f|^2/s - Lap f >= (1 + Lap f)(ratio/s - 1) -> inf where Lap f > 0; if it stays below M somewhere
    out there, the potential does not tend to +inf for s >= M."""

    def ratio(x: NDArray[np.float64]) -> NDArray[np.float64]:
        slope = np.sum(objective.gradient(x) ** 2, axis=0)
        values = slope / (1 + np.maximum(np.trace(objective._evaluate("hessian", x)), 0.0))
        # Where both overflow f grows like an exponential, and the square wins.
        return np.where(np.isnan(values) & (slope == np.inf), np.inf, values)

    values = _lowest(objective, ratio)
    return values is not None and bool(values[3] > 2 * values[2] > 4 * values[1] or values[2] == np.inf)


def _lowest(objective: Objective, function: Function) -> NDArray[np.float64] | None:
    """The smallest values of a function on spheres, shape (4,); None where it is not a number."""
    found = []
    for radius in SPHERES:
        with np.errstate(all="ignore"):
            values = _lowest_on_sphere(objective.dimension, lambda x, r=radius: function(r * x))  # type: ignore[misc]
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


def continuous_spectrum(objective: Objective, learning_rate: float) -> float:
    """The rate at which the continuous spectrum of -L starts, liminf V_s/2 as |x| -> inf; inf if f is Villani.

    V_s = |grad f|^2/s - Lap f is followed along the 3^d - 1 axes and diagonals out to |x| = 1e8: an estimate, exact for
    the usual formulas, blind to what happens only between the rays.

    Raises
    ------
    RequestError
        if e^{-2f/s} is not normalisable along a ray (2 r f'(r)/s <= d), if |grad f| falls to zero along one (no
        gap), or if f is not a number there.
    """
    directions = _directions(objective.dimension)
    bottom = np.inf
    for direction in directions:
        points = np.outer(direction, RADII)
        _require_normalisable(objective, points, direction, learning_rate)
        bottom = min(bottom, _limit_along(objective, points, direction, learning_rate))
    return bottom


def _directions(dimension: int) -> NDArray[np.float64]:
    """Unit vectors along axes and diagonals, shape (3^d - 1, d)."""
    steps = np.array([step for step in product((-1.0, 0.0, 1.0), repeat=dimension) if any(step)])
    return steps / np.linalg.norm(steps, axis=1, keepdims=True)


def _require_normalisable(
    objective: Objective, points: NDArray[np.float64], direction: NDArray[np.float64], s: float
) -> None:
    with np.errstate(all="ignore"):
        f = np.asarray(objective(points), dtype=float)
        bad = np.isnan(f)
        if bad.any():
            raise RequestError(
                f"{objective.name} is not a number at {_show(points[:, bad.argmax()])}; "
                "give a box on which it is finite"
            )
        growth = (f[-1] - f[-3]) / np.log(RADII[-1] / RADII[-3])
    if f[-1] == np.inf:
        return
    if not growth > 0.5 * s * objective.dimension * (1 + 1e-6):
        if f[-1] - f[-2] > FASTER * (f[-2] - f[-3]) > 0:
            raise RequestError(
                f"learning rate {s:g} is too large: e^(-2f/s) of {objective.name} reaches beyond |x| = {RADII[-1]:g}, "
                "as far as is looked; take a smaller one, or a box"
            )
        why = "does not grow" if growth < 1e-9 else f"grows only like {growth:.3g} log|x|"
        raise RequestError(
            f"{objective.name} {why} in direction {_show(direction)}: e^(-2f/s) has no finite integral at "
            f"learning rate {s:g}, so there is no Gibbs measure; give a confining objective, or a box"
        )


def _limit_along(objective: Objective, points: NDArray[np.float64], direction: NDArray[np.float64], s: float) -> float:
    """lim V_s/2 along one ray where it is a positive constant, else inf; an error where |grad f| falls to zero.

    V_s may well be negative along a ray on which a valley narrows; there is a gap all the same.
    """
    with np.errstate(all="ignore"):
        try:
            v, slope = _potential(objective, points, s)
        except ValueError:  # the ray runs along a kink: beside it
            aside = 1e-6 * np.sqrt(np.arange(2.0, objective.dimension + 2.0))[:, None]
            v, slope = _potential(objective, points + aside, s)
    if not np.isfinite(v[-3:]).all():
        return np.inf
    if _power(slope) < -0.05:
        raise RequestError(
            f"{objective.name} has no spectral gap at any learning rate: |grad f| falls to zero in direction "
            f"{_show(direction)}; give an objective that grows at least like |x|, or a box"
        )
    constant = v[-1] > 0 and abs(_power(v)) <= 0.05
    return float(v[-1] / 2) if constant else np.inf


def _potential(
    objective: Objective, points: NDArray[np.float64], s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """V_s = |grad f|^2/s - Lap f, and |grad f|."""
    slope = np.linalg.norm(objective.gradient(points), axis=0)
    return slope**2 / s - objective.laplacian(points), slope


def _power(values: NDArray[np.float64]) -> float:
    """p with values ~ r^p at the end of a ray."""
    with np.errstate(all="ignore"):
        return float(np.log(abs(values[-1] / values[-3])) / np.log(RADII[-1] / RADII[-3]))


def _show(vector: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{c:.4g}" for c in vector) + ")"
