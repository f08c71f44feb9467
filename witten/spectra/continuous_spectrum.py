"""Rates beside the continuous spectrum: whether the lowest one is an eigenvalue, or the bottom itself is the gap.

A mode of the rate lambda < Lambda, the bottom, decays like e^{-kappa |x|}, kappa = sqrt(2 (Lambda - lambda)/s). With
walls at a distance X the rate is known to about e^{-2 kappa X}, if f is by then what it is far out, or to what the mode
itself still is there, if that is more; where it stays above the bottom there is no mode with kappa > 1/X, and the gap
lies within s/(2 X^2) of the bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from witten.objectives.growth.conditions import Bottom

__all__ = ["FAR_BELOW", "ROUGHLY", "Attempt", "Gap", "continuous_from", "gap_beside"]

# Rates below this part of the bottom are eigenvalues whose modes end well within the first domain.
FAR_BELOW = 0.3
# A mode closer to the bottom than this, as a part of it, is not looked for: domains would grow without end.
CLOSE = 1e-4
# The error of rates by which only the walls are judged.
ROUGHLY = 0.01
# How far above the wells, in units of s, the walls stand at first, and at most.
FIRST_MARGIN, LARGEST_MARGIN = 10.0, 3e4


@dataclass(frozen=True)
class Attempt[Result]:
    """The lowest rate in one domain: its value and relative error, the extent of the domain, the integral of psi^2 over
    its walls, and how it was found."""

    rate: float
    error: float
    extent: float
    at_walls: float
    result: Result


@dataclass(frozen=True)
class Gap[Result]:
    """The gap, its relative error, whether it is the bottom of the continuous spectrum, and the last result.

    `cut` is what walls may be in the error of an eigenvalue."""

    rate: float
    error: float
    continuous: bool
    result: Result
    cut: float = 0.0


class Domain[Result](Protocol):
    """A domain in which nothing is computed yet."""

    @property
    def extent(self) -> float: ...

    def attempt(self, tolerance: float) -> Attempt[Result]:
        """The lowest rate, to a relative error."""
        ...


def gap_beside[Result](
    bottom: Bottom, s: float, first: Attempt[Result], widen: Callable[[float], Domain[Result] | None], rtol: float
) -> Gap[Result]:
    """The gap below a finite bottom, from domains that are doubled until it is known to rtol.

    Parameters
    ----------
    bottom : of the continuous spectrum
    s : the learning rate
    first : what the usual domain gave
    widen : margin -> a domain that reaches so many s above the wells; None where that is too large
    rtol : wanted relative error

    How far the walls must be is asked of rough rates; the last domain is then computed as well as its walls allow.
    """
    far_below = first.rate * (1 + first.error) < FAR_BELOW * bottom.rate
    if far_below or (_is_below(first, bottom) and first.error + _cut(first, bottom, s) <= rtol):
        return Gap(first.rate, first.error, False, first.result)
    attempt, widest, margin = first, None, FIRST_MARGIN
    while margin <= LARGEST_MARGIN and (domain := widen(margin)) is not None:
        margin *= 2
        # Beyond the first domain alone f is as it is far out.
        if domain.extent > first.extent:
            attempt, widest = domain.attempt(max(rtol, ROUGHLY)), domain
            if _walls(attempt, bottom, s, rtol) <= 0.3:
                break
    tolerance = rtol * max(1.0, 0.3 * min(_walls(attempt, bottom, s, rtol), 1 / rtol))
    if widest is not None and attempt.error > tolerance:
        attempt = widest.attempt(tolerance)
    if _is_below(attempt, bottom):
        cut = _cut(attempt, bottom, s)
        return Gap(attempt.rate, attempt.error + cut, False, attempt.result, cut)
    error = bottom.error / bottom.rate + _within(attempt, bottom, s)
    return Gap(bottom.rate, error, True, attempt.result)


def _is_below(attempt: Attempt[object], bottom: Bottom) -> bool:
    return attempt.rate * (1 + attempt.error) < bottom.rate - bottom.error


def _walls(attempt: Attempt[object], bottom: Bottom, s: float, rtol: float) -> float:
    """What walls leave unknown, in units of the wanted error."""
    return min(_cut(attempt, bottom, s) / rtol, _within(attempt, bottom, s) / max(rtol, CLOSE))


def _cut(attempt: Attempt[object], bottom: Bottom, s: float) -> float:
    """By what part walls change the rate of a mode below the bottom; inf where there is none.

    Continued beyond a wall by e^{-kappa x}, psi has a quotient lower by (|f'| - s kappa) psi^2/2 there, |f'| at most
    sqrt(2 s Lambda); four times that."""
    if not _is_below(attempt, bottom):
        return np.inf
    decay = np.sqrt(2 * (bottom.rate - attempt.rate) / s)
    far_out = 4 * np.exp(-min(decay * attempt.extent, 700.0))
    return float(max(far_out, 2 * np.sqrt(2 * s * bottom.rate) * attempt.at_walls / attempt.rate))


def _within(attempt: Attempt[object], bottom: Bottom, s: float) -> float:
    """How far below the bottom, as a part of it, there may still be a mode that the walls have pushed up."""
    return float(8 * s / (attempt.extent**2 * bottom.rate))


def continuous_from(name: str, s: float, bottom: float, wanted: int) -> str:
    """What to say where eigenvalues were asked for that are not there."""
    fewer = "no isolated rate below it: that is the gap" if wanted == 1 else "too few isolated rates below it"
    remedy = "" if wanted == 1 else "ask for fewer, or "
    return (
        f"{name} at learning rate {s:g} has continuous spectrum from rate {bottom:.6g} on and {fewer}; {remedy}give a "
        "box, or, where f is smooth at its minimum, a smaller learning rate"
    )
