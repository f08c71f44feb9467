"""What the law of Eyring and Kramers, and its like for curls, says of small rates of forms, to leading order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.forms.curl_law import curl_law
from witten.landscape.critical.critical_point import CriticalPoint
from witten.landscape.critical.saddle_connections import connections
from witten.landscape.landscape import Landscape
from witten.landscape.laws.reduced_generator import law_log_rates
from witten.linalg.graded_eigenvalues import WellGraph, log_rates
from witten.objectives.objective import Objective

__all__ = ["shared_law", "top_form_law"]

Array = NDArray[np.float64]
# The wall's mass, beside that of the maxima: what leaves does not come back.
HEAVY = 1000.0


def shared_law(known: Landscape, s: float, q: int) -> Array:
    """Logarithms of the small rates that q- and (q+1)-forms share, as s -> 0, ascending; none where no law is known.

    Functions of f have them for q = 0, those of -f for q = d - 1, loops of saddles for q = 1 in space."""
    if q == 0:
        return law_log_rates(known, s)
    f = known.objective
    if f.formula is None:
        return np.empty(0)
    negative = Objective.from_sympy(-f.formula, f.symbols, name=f"-({f.name})")
    return (top_form_law if q == f.dimension - 1 else curl_law)(known, s, negative)


def top_form_law(known: Landscape, s: float, negative: Objective) -> Array:
    """Eigenvalues of the chain on the maxima of f that leaves over points z of index d - 1, one for each maximum.

    A maximum has the mass e^{2f/s}/sqrt|det Hess f|, and z the conductance nu/(2 pi) e^{2f(z)/s}/sqrt|det Hess f(z)|
    between the two places where the ascent along its positive curvature nu ends: maxima, or the wall at infinity. One
    maximum is left at the rate sum_z (nu/2 pi) sqrt(|det Hess f(max)|/|det Hess f(z)|) e^{-2(f(max) - f(z))/s}.
    Leading order: relative errors are O(s). Source: [Bovier2004] for -f.

    None where an ascent ends at no maximum that is known.
    """
    d = known.objective.dimension
    points = (*known.minima, *known.saddles, *known.others)
    maxima, passes = ([_turned(point) for point in points if point.index == index] for index in (d, d - 1))
    if not maxima:
        return np.empty(0)
    ends, strays = connections(negative, tuple(maxima), tuple(passes))
    if strays.size:
        return np.empty(0)
    wall, lowest = len(maxima), min(maximum.value for maximum in maxima)
    masses = np.array([-0.5 * each.log_det - 2 * (each.value - lowest) / s for each in maxima])
    log_c = np.full((wall + 1, wall + 1), -np.inf)
    for z, (i, j) in zip(passes, np.where(ends < 0, wall, ends).tolist(), strict=True):
        if i != j:
            value = np.log(-z.curvatures[0] / (2 * np.pi)) - 0.5 * z.log_det - 2 * (z.value - lowest) / s
            log_c[i, j] = log_c[j, i] = np.logaddexp(log_c[i, j], value)
    return log_rates(WellGraph(np.append(masses, masses.max() + HEAVY), log_c))


def _turned(point: CriticalPoint) -> CriticalPoint:
    """The point as one of -f."""
    return CriticalPoint(point.x, -point.value, -np.asarray(point.curvatures)[::-1], point.degenerate)
