"""What is checked before a spectrum is computed, and what a reader is told of it afterwards."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.errors import AccuracyWarning, ConvergenceError, RequestError
from witten.number_format import scientific
from witten.objectives.growth.conditions import Bottom, essential_spectrum
from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.topography.critical_set import reach
from witten.request import positive
from witten.spectra.continuous_spectrum import continuous_from
from witten.spectra.solvers.eigensolve import require_count
from witten.spectra.spectrum import RESOLVED
from witten.spectra.truncation import Truncation, change_without_walls

__all__ = [
    "examined",
    "given_box",
    "notes",
    "require_discrete",
    "require_isolated",
    "require_request",
    "require_walls",
    "warn_if_wide",
]

MOST_EIGENVALUES = 50
# Walls are spoken of where a rate would change by so much without them.
WALLS_MATTER = 1e-3


def require_request(
    objective: Objective, s: float, k: int, rtol: float, box: Sequence[tuple[float, float]] | None
) -> None:
    """Refuse an objective that has no spectrum to compute on a grid or a mesh, and settings out of range."""
    positive("learning rate", s)
    if not 0 < rtol < 1:
        raise RequestError(f"rtol must lie between 0 and 1, got {rtol}")
    if objective.dimension > 3:
        raise RequestError(
            f"{objective.name} has dimension {objective.dimension}; grids go up to 3: "
            "use theory or sampling (landscape, dynamics) for more"
        )
    if objective.is_constant:
        raise RequestError(
            f"{objective.name} is constant: it has no minima to converge to; give an objective that varies"
        )
    lines = int(np.count_nonzero(~objective.periodic_axes))
    if box is not None and len(box) != lines:
        has = f"dimension {objective.dimension}" if not objective.periods else f"{lines} axes that are not periodic"
        raise RequestError(f"the box has {len(box)} intervals, {objective.name} has {has}")
    require_count(k, MOST_EIGENVALUES, remedy="")


def require_discrete(objective: Objective, s: float, box: Sequence[tuple[float, float]] | None) -> None:
    """Refuse what has a continuous spectrum at learning rate s, where nothing is known of it: with momentum."""
    if box is None and math.isfinite(essential_spectrum(objective, s).rate):
        raise RequestError(
            f"{objective.name} grows so slowly that its spectrum is not discrete; with momentum it is not known where "
            "the continuous spectrum begins: give a box"
        )


def require_walls(objective: Objective, box: Sequence[tuple[float, float]] | None, absorbing: bool) -> None:
    """Refuse absorbing walls where there are none."""
    if absorbing and box is None:
        raise RequestError(f"absorbing boundaries are those of a box; {objective.name} has all of space: give a box")
    if absorbing and objective.periodic_axes.all():
        raise RequestError(f"{objective.name} has periodic axes alone, and no boundary to absorb; leave it out")


def given_box(objective: Objective, box: Sequence[tuple[float, float]]) -> Box:
    """The user's intervals, and the period along each periodic axis."""
    given = iter(box)
    return Box.of([period or next(given) for period in objective.periods or (None,) * objective.dimension])


def require_isolated(
    objective: Objective, s: float, rates: NDArray[np.float64], bottom: Bottom, continuous: bool = False
) -> None:
    """Rates below the continuous spectrum are eigenvalues and stand; there are none above its bottom."""
    if not np.isfinite(bottom.rate):
        return
    if not continuous and rates.size > 1 and rates[-1] >= 0.99 * bottom.rate:
        raise ConvergenceError(continuous_from(objective.name, s, bottom.rate, rates.size))
    what = "there is no eigenvalue below: that is the gap" if continuous else "the rates below it stand"
    warnings.warn(
        f"{objective.name} grows too slowly for the Villani condition: at learning rate {s:g} the spectrum is "
        f"continuous from rate {bottom.rate:.6g} on; {what}",
        AccuracyWarning,
        stacklevel=3,
    )


def warn_if_wide(
    objective: Objective, s: float, log_rates: NDArray[np.float64], errors: NDArray[np.float64], rtol: float
) -> None:
    """Warn of the widest error bar where it is wider than asked for."""
    at = int(errors.argmax()) if errors.size else 0
    if errors.size == 0 or errors[at] <= rtol:
        return
    which = "the rate" if errors.size == 1 else f"rate {at + 1} of {errors.size}"
    message = f"{objective.name} at learning rate {s:g}: {which} "
    if errors[at] > RESOLVED:
        bound = scientific(float(log_rates[at] + np.log1p(errors[at])), 2)
        message += f"is too small to be resolved (below {bound})"
    else:
        message += f"is known to a relative error of {errors[at]:.1e}, not to {rtol:g}"
    warnings.warn(message, AccuracyWarning, stacklevel=3)


def notes(objective: Objective, s: float, bottom: Bottom, box: Box | None, kept: Truncation) -> tuple[str, ...]:
    """What a reader should know: what is undecided far out, where slow places were sought, and how much the walls of a
    box matter.

    An AccuracyWarning says the latter, too: who gives a box may have all of space in mind."""
    said = [bottom.note] if bottom.note else []
    if kept.sought:
        said.append(f"places other than wells where a mode may be as slow were sought in the box {kept.sought} alone")
    worst = 0.0 if box is None else change_without_walls(objective, s, box, kept)
    if worst > WALLS_MATTER:
        said.append(
            f"the walls of the box {box} reflect, and they matter: were they a little further out, the rate would "
            f"change by {worst:.0%}"
        )
        warnings.warn(f"{objective.name} at learning rate {s:g}: {said[-1]}", AccuracyWarning, stacklevel=3)
    return tuple(said)


def examined(objective: Objective, box: Box | None) -> str:
    """How far f was looked at; "" for all of space."""
    if box is not None:
        return f"the box {box}, whose walls reflect"
    known = reach(objective)
    taken = [objective.taken] if isinstance(objective, CallableObjective) and objective.taken else []
    return "" if known.complete else "; ".join([*taken, known.examined])
