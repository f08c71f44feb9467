"""lower <= lambda_1 <= upper, proved, for one variable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from witten.certified.balls import require_flint
from witten.certified.certificate import Certificate
from witten.certified.line_problem import line_problem
from witten.errors import ConvergenceError, RequestError
from witten.objectives import Objective, resolve
from witten.request import effective_learning_rate

__all__ = ["certified_gap"]

# By how much 2 f/s changes over a cell, from one attempt to the next.
CHANGES = (0.25, 0.12, 0.06)
# Relative widths: one that is not tried to be made smaller, one beyond which there is no certificate.
NARROW, WIDEST = 5e-13, 1e-3


def certified_gap(
    objective: Objective | str,
    learning_rate: float,
    *,
    noise: float = 1.0,
    box: Sequence[tuple[float, float]] | None = None,
) -> Certificate:
    """lower <= lambda_s <= upper as a theorem, f of one variable: Lehmann's bounds in ball arithmetic [Lehmann1949].

    >>> proof = witten.certified_gap("x^2/2", 0.1)
    >>> float(proof.lower) <= 1 <= float(proof.upper), proof.relative_width < 1e-12
    (True, True)

    Numbers are taken as they are printed: 0.1 is 1/10. f is a formula without kinks; on all of R it rises steadily from
    some place on.

    Parameters
    ----------
    objective : an Objective with a formula of one variable, or its text
    learning_rate : s > 0
    noise : sigma > 0; the rate is that at learning rate s sigma^2
    box : ((low, high),) with reflecting ends, instead of all of R

    Raises
    ------
    RequestError
        where no certificate can be made of such an f, or python-flint is not installed.
    ConvergenceError
        where the bounds are not found; nothing is guessed.
    """
    require_flint()
    began = time.perf_counter()
    f = resolve(objective)
    if f.dimension != 1:
        raise RequestError(f"certificates are for one variable, and {f.name} has {f.dimension}")
    effective_learning_rate(learning_rate, noise)
    if box is not None and len(box) != 1:
        raise RequestError(f"a box of {f.name} has one interval, got {len(box)}")
    s = Fraction(repr(float(learning_rate))) * Fraction(repr(float(noise))) ** 2
    problem = line_problem(f, s, None if box is None else box[0])
    best, why = None, ""
    for change in CHANGES:
        try:
            found = problem.certificate(change)
        except ConvergenceError as error:
            why = str(error)
            continue
        best = found if best is None or found.relative_width < best.relative_width else best
        if best.relative_width <= NARROW:
            break
    if best is None or best.relative_width > WIDEST:
        why = why or "the bounds are further apart than one part in a thousand"
        raise ConvergenceError(f"no certificate of {f.name} at learning rate {learning_rate:g}: {why}")
    return replace(best, learning_rate=float(learning_rate), seconds=time.perf_counter() - began)
