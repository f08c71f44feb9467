"""Where the continuous spectrum of -L starts, and whether there is a gap at all: decided far out, where f rises least.

The spectrum that is left when any ball is taken out (Persson) is that of the ends. Where f is a sum along orthonormal
axes, turned ones too, each end of each axis is one, and there are no others: the parts of a sum have the
eigenvalue 0, so that the lowest of the bottoms is that of the whole. Otherwise the ends are the valleys that lead to
infinity, with the free energy along them (`valleys`). A gap makes every function of slope at most 1 have exponential
tails; so where the free energy rises less than linearly along a valley there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives.growth.bottom import Bottom
from witten.objectives.growth.line_asymptotics import End, falling, rising, trend
from witten.objectives.growth.mobile_bottom import mobile_bottom
from witten.objectives.growth.rays import ray, show
from witten.objectives.growth.separability import separating_axes
from witten.objectives.growth.valleys import NARROWEST, Valley, valleys
from witten.objectives.objective import Objective
from witten.objectives.periodicity import differ_by_constants, slices
from witten.objectives.symbolic.functions import Cos, Sin, Tan
from witten.objectives.symbolic.polynomials import growth
from witten.objectives.topography.critical_set import reach, rise

__all__ = ["Bottom", "FarOut", "continuous_spectrum", "essential_spectrum", "far_out"]

Array = NDArray[np.float64]
# Critical points beyond which they are taken for the beginning of endlessly many.
FEW = 60
# Lengths outside of these are those of an f that rises nowhere.
SHORTEST, LONGEST = 1e-15, 1e15
# A bottom known less well than this part of it is undecided, and a note says so.
KNOWN = 0.05
# Waves across a curved valley change its bottom by what is not computed here.
UNSURE = 0.3


@dataclass(frozen=True, eq=False)
class FarOut:
    """f far from a centre, in units of a length.

    Attributes
    ----------
    ends : (direction, End) for each end of each axis along which f is a sum; empty where it is none
    valleys : those that lead to infinity where f is no sum
    rays : (direction, End) along axes and diagonals, by way of a check
    polynomial : whether f is a polynomial that is seen to grow in every direction
    """

    ends: tuple[tuple[Array, End], ...]
    valleys: tuple[Valley, ...]
    rays: tuple[tuple[Array, End], ...]
    polynomial: bool
    centre: Array
    unit: float

    @property
    def barrier(self) -> float | None:
        """Of wells that come again and again, however far one goes: inf where it grows without bound, 0 where there are
        none; None where that is not known."""
        if self.polynomial:
            return 0.0
        return max(end.barrier for _, end in self.ends) if self.ends else None


def far_out(objective: Objective, centre: Array | None = None, scale: float | None = None) -> FarOut:
    """f far out, examined from a centre (d,) in units of a length: those of its critical points where left out;
    RequestError where f is not a number somewhere along axes and diagonals."""
    if centre is None or scale is None:
        middle, size = _middle(objective)
        centre, scale = middle if centre is None else centre, size if scale is None else scale
    return _far_out(objective, tuple(np.asarray(centre, dtype=float).tolist()), float(scale))


def _middle(objective: Objective) -> tuple[Array, float]:
    """The middle of the critical points and their extent; the deepest and how far f rises around it where they are too
    many to be all, the origin and 1 where there are none, or f rises nowhere."""
    found = reach(objective)
    if not found.points.size:
        return np.zeros(objective.dimension), 1.0
    few = found.complete or found.points.shape[1] <= FEW
    # Cells left open around one point are many points close together: f does not rise between them.
    around = float(np.mean(rise(objective, found.lowest, 1.0)))
    scale = max(found.scale, around) if few else around
    centre = found.centre if few else found.lowest
    return centre, scale if SHORTEST < scale < LONGEST else 1.0


@lru_cache(maxsize=32)
def _far_out(objective: Objective, centre: tuple[float, ...], unit: float) -> FarOut:
    c = np.array(centre)
    rays = tuple((e, End(ray(objective, c, e, unit))) for e in _directions(objective.dimension))
    if growth(objective) is not None:
        return FarOut((), (), rays, True, c, unit)
    axes = separating_axes(objective, c, unit)
    if axes is None:
        return FarOut((), tuple(valleys(objective, c, unit)), rays, False, c, unit)
    both = [sign * axes[:, i] for i in range(len(c)) for sign in (-1.0, 1.0)]
    return FarOut(tuple((e, End(ray(objective, c, e, unit))) for e in both), (), rays, False, c, unit)


def _directions(dimension: int) -> list[Array]:
    """Unit vectors along axes, and diagonals in up to three dimensions."""
    if dimension > 3:
        return list(np.vstack([np.eye(dimension), -np.eye(dimension)]))
    steps = [np.array(step) for step in product((-1.0, 0.0, 1.0), repeat=dimension) if any(step)]
    return [step / np.linalg.norm(step) for step in steps]


def continuous_spectrum(
    objective: Objective, learning_rate: float, *, centre: Array | None = None, scale: float | None = None
) -> float:
    """The rate at which the continuous spectrum of -L starts; inf where there is none. See `essential_spectrum`."""
    return essential_spectrum(objective, learning_rate, centre=centre, scale=scale).rate


def essential_spectrum(
    objective: Objective, learning_rate: float, *, centre: Array | None = None, scale: float | None = None
) -> Bottom:
    """The bottom of the continuous spectrum of -L at s.

    m^2/(2s) where f rises like m|x| along its slowest valley, the bottom of a band where it rises in waves. Along
    periodic axes there is no far out: f is examined along the others, at some places on the circles.

    Parameters
    ----------
    objective : f
    learning_rate : s
    centre, scale : from where, (d,), and in what unit of length f is examined: what is finite of its structure lies
        within a few such lengths

    Raises
    ------
    RequestError
        if e^{-2f/s} has no finite integral, if there is no gap at any learning rate since f rises too slowly or its
        barriers grow without bound, or if f is not a number far out.
    """
    if objective.mobility:
        return mobile_bottom(objective, learning_rate)
    if objective.periods:
        return _beside_circles(objective, learning_rate)
    far = far_out(objective, centre, scale)
    s = learning_rate
    for direction, end in (*far.ends, *far.rays):
        # Along a valley that narrows f need not rise: the free energy, below, may.
        if not far.valleys or end.log_growth[0] < 0 or end.log_growth[1]:
            _require_integral(objective, *end.log_growth, direction, s, end.line.furthest)
    if far.polynomial:
        return Bottom(np.inf)
    if far.ends:
        return min((_of_end(objective, direction, end, s) for direction, end in far.ends), key=lambda b: b.rate)
    return _of_valleys(objective, far, s)


def _beside_circles(objective: Objective, s: float) -> Bottom:
    """From slices of f along the axes that are not periodic."""
    parts = slices(objective)
    bottoms = [essential_spectrum(part, s) for part in parts]
    lowest = min(bottoms, key=lambda bottom: bottom.rate, default=Bottom(np.inf))
    if np.isfinite(lowest.rate) and not differ_by_constants(parts):
        raise RequestError(
            f"{objective.name} grows so slowly that its spectrum is not discrete, and it is no sum of a part on the "
            "circles and one along the other axes: where the continuous spectrum begins is not known; give a box for "
            "the axes that are not periodic"
        )
    return lowest


def _require_integral(
    objective: Objective, log_growth: float, faster: bool, direction: Array, s: float, furthest: float
) -> None:
    """RequestError where f does not rise by more than (s/2) log t along a line."""
    if log_growth > 0.5 * s * (1 + 1e-6):
        return
    if faster:
        raise RequestError(
            f"learning rate {s:g} is too large: e^(-2f/s) of {objective.name} reaches beyond |x| = {furthest:.3g}, "
            "as far as f is examined; take a smaller one, or a box"
        )
    why = "does not grow" if log_growth < 1e-9 * furthest else f"grows only like {log_growth:.3g} log|x|"
    raise RequestError(
        f"{objective.name} {why} in direction {show(direction)}: e^(-2f/s) has no finite integral at "
        f"learning rate {s:g}, so there is no Gibbs measure; give a confining objective, or a box"
    )


def _of_end(objective: Objective, direction: Array, end: End, s: float) -> Bottom:
    rate, error = end.bottom(s)
    if rate > 0:
        return Bottom(rate, error, _undecided(rate, error, direction))
    if end.barrier == np.inf:
        raise RequestError(_endless(objective, direction))
    raise RequestError(_too_slow(objective, f"|grad f| falls to zero in direction {show(direction)}"))


def _endless(objective: Objective, direction: Array) -> str:
    return (
        f"{objective.name} has no spectral gap at any learning rate: in direction {show(direction)} its barriers grow "
        "without bound, so that H_f is infinite; give a box"
    )


def _too_slow(objective: Objective, why: str) -> str:
    return (
        f"{objective.name} has no spectral gap at any learning rate: {why}; give an objective that grows at least like "
        "|x|, or a box"
    )


def _undecided(rate: float, error: float, direction: Array) -> str:
    if not np.isfinite(rate) or error <= KNOWN * rate:
        return ""
    return (
        f"undecided: in direction {show(direction)} the continuous spectrum starts near rate {rate:.3g}, known to "
        f"{error:.1g} only"
    )


@lru_cache(maxsize=32)
def _of_valleys(objective: Objective, far: FarOut, s: float) -> Bottom:
    """The lowest of what the valleys give."""
    if not far.valleys:
        return Bottom(np.inf, 0.0, "undecided: f was not followed far enough to know whether its spectrum is discrete")
    return min((_of_valley(objective, far.centre, valley, s) for valley in far.valleys), key=lambda b: b.rate)


def _of_valley(objective: Objective, centre: Array, valley: Valley, s: float) -> Bottom:
    """From the slope of the free energy: m -> (m^2)/(2s)."""
    widths = valley.widths(objective, centre, s)
    wide = (widths > 10 * NARROWEST * valley.r).all(axis=0)
    count = int(np.argmin(wide)) if not wide.all() else wide.size
    if count < 8:
        return Bottom(np.inf, 0.0, "undecided: a valley becomes too narrow for doubles to follow it")
    t = valley.arc[:count] + valley.r[0]
    f = valley.free_energy(objective, s, widths)[:count]
    direction = (valley.x[:, count - 1] - centre) / valley.r[count - 1]
    slopes, at = np.diff(f) / np.diff(t), np.sqrt(t[1:] * t[:-1])
    half = slopes.size // 2
    if rising(*trend(at, slopes)):
        return Bottom(np.inf)
    log_growth = float((f[-1] - f[half]) / np.log(t[-1] / t[half]))
    if falling(*trend(at, slopes)):
        if log_growth <= 0.5 * s * (1 + 1e-3):
            _require_integral(objective, min(log_growth, 0.5 * s), False, direction, s, float(valley.r[-1]))
        why = f"along the valley that leads in direction {show(direction)} |grad f| falls to zero"
        raise RequestError(_too_slow(objective, why))
    slope = float(slopes[-1])
    error = abs(slope - float(slopes[half + half // 2])) + 1e-9 * slope
    rate, error = slope**2 / (2 * s), (slope + error) * error / s
    if objective.formula is not None and objective.formula.has(Sin, Cos, Tan):
        error = max(error, UNSURE * rate)
    return Bottom(rate, error, _undecided(rate, error, direction))
