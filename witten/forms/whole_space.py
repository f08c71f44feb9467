"""Rates of forms on all of space: the domain is widened, then the grid refined, until neither changes a rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from witten.domains.finite_values import rounding
from witten.domains.grid import Grid
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import ConvergenceError
from witten.forms.cubical_complex import CubicalComplex
from witten.linalg.richardson import extrapolated_logs
from witten.objectives.objective import Objective

__all__ = ["DegreeProblem", "FormRates", "form_rates", "refined_rates"]

Array = NDArray[np.float64]
# By how many s the domain is widened at a time, and how often.
WIDENING, MOST_WIDENED = 4.0, 8
# Cells along each axis of the scan for slow modes further out, and how often it is tripled.
SCAN, MOST_TRIPLED = {2: 200, 3: 48}, 6


@dataclass(frozen=True, eq=False)
class FormRates:
    """Natural logarithms of rates above zero, ascending; their relative errors; nodes of the finest grid, or mesh, and
    itself."""

    log_rates: Array
    relative_errors: Array
    n_dofs: int
    domain: Any


class Refinable(Protocol):
    """A grid or a mesh."""

    @property
    def dimension(self) -> int: ...

    @property
    def n_nodes(self) -> int: ...

    @property
    def points(self) -> Array: ...

    @property
    def spacing(self) -> Array: ...

    def refined(self) -> Self: ...


class Solvable[Domain](Protocol):
    """What can be solved on one domain after the other.

    Attributes
    ----------
    largest : nodes of the largest domain
    erratic : 0 where errors are a series in h^2, 2 where re-entrant corners leave other powers: see `extrapolated_logs`
    """

    @property
    def objective(self) -> Objective: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def largest(self) -> int: ...

    @property
    def erratic(self) -> float: ...

    def rates(self, domain: Domain, k: int) -> tuple[Array, Array]: ...


class DegreeProblem(Protocol):
    """The singular values of d_f between two degrees, for one objective and learning rate.

    Attributes
    ----------
    forms : what has these rates, in words
    largest, measured : nodes of the largest grid, and of the largest on which the cut is measured
    erratic : see `Solvable`
    """

    @property
    def objective(self) -> Objective: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def forms(self) -> str: ...

    @property
    def largest(self) -> int: ...

    @property
    def measured(self) -> int: ...

    @property
    def erratic(self) -> float: ...

    def rates(self, domain: Grid, k: int) -> tuple[Array, Array]:
        """Logarithms of the k lowest above zero on a grid, and their relative errors."""
        ...

    def potential(self, x: Array) -> Array:
        """V, shape (n,): modes of rate lambda decay where V > 2 s lambda."""
        ...


def form_rates(problem: DegreeProblem, k: int, rtol: float, highest: float) -> FormRates:
    """The k lowest rates on all of space, d = 2 or 3; `highest` is f at its highest critical point.

    The domain {f <= level} is widened until that changes no rate by more than rtol/5, and reaches to wherever
    V is below 2 s lambda_k in a box three times its size. Errors add refinement, the last change by widening, and
    rounding.

    Raises
    ------
    ConvergenceError
        where slow modes lie without end, or the domain cannot be made large enough.
    """
    s = problem.learning_rate
    margin = max(4.0 - 0.5 * np.log(rtol), 8.0) * s
    region = sublevel(problem.objective, s, margin=margin / s)
    coarse = region.grid()
    level = max(region.level, highest + margin)
    grid, logs = _measured(problem, region, coarse, level, k)
    for _ in range(MOST_WIDENED):
        level = max(level + WIDENING * s, _slow_level(problem, grid, float(np.exp(logs[-1]))))
        wide, wider = _measured(problem, region, coarse, level, k)
        cut: Array = abs(np.expm1(wider - logs))
        grid, logs = wide, wider
        if (cut <= 0.2 * rtol).all():
            return _refined(problem, grid, k, rtol, cut)
    raise ConvergenceError(
        f"{_name(problem)}: rates of {problem.forms} change by {cut.max():.1e} as space is made wider; ask for fewer, "
        "for a larger rtol, or give a box"
    )


def _name(problem: DegreeProblem) -> str:
    return f"{problem.objective.name} at learning rate {problem.learning_rate:g}"


def _measured(
    problem: DegreeProblem, region: Sublevel, coarse: Grid, level: float, k: int
) -> tuple[Grid, Array]:
    """The grid up to a level, and the rates on it, halved as often as is cheap."""
    grid = region.wider(coarse, level) or coarse
    fine = grid
    while fine.n_nodes < 16 * k or fine is grid and fine.n_nodes * 2**fine.dimension <= problem.measured:
        fine = fine.refined()
    if fine.n_nodes > problem.largest:
        raise ConvergenceError(
            f"{_name(problem)}: {problem.forms} would need {fine.n_nodes} nodes and more; the most are "
            f"{problem.largest}; take a larger learning rate"
        )
    return grid, problem.rates(fine, k)[0]


def _slow_level(problem: DegreeProblem, grid: Grid, rate: float) -> float:
    """Up to which f there may be modes as slow as `rate`: where V is below 2 s times it, and a fifth more."""
    box, d, s = grid.box, grid.dimension, problem.learning_rate
    for _ in range(MOST_TRIPLED):
        box = box.expanded(np.ones(d), np.ones(d))
        scan = Grid(box, (SCAN[d],) * d)
        x = scan.points
        with np.errstate(all="ignore"):
            slow = (problem.potential(x) < 2.4 * s * rate).reshape(scan.shape)
        if not any(slow.take(end, axis).any() for axis in range(d) for end in (0, -1)):
            return float(np.asarray(problem.objective(x[:, slow.ravel()])).max(initial=-np.inf)) + 2 * s
    raise ConvergenceError(
        f"{_name(problem)}: modes of {problem.forms} as slow as {rate:.3g} may live without end, out to {box}; ask for "
        "fewer, or give a box"
    )


def _refined(problem: DegreeProblem, grid: Grid, k: int, rtol: float, cut: Array) -> FormRates:
    grid = grid.cropped()
    if CubicalComplex(grid.refined()).betti[1:] != (0,) * grid.dimension:
        raise ConvergenceError(
            f"{_name(problem)}: the domain that was kept has holes, where f is higher than at any critical point that "
            "is known, and a mode may live in each; give a box"
        )
    found = refined_rates(problem, grid, k, rtol)
    return replace(found, relative_errors=found.relative_errors + 3 * cut)


def refined_rates[Domain: Refinable](
    problem: Solvable[Domain], grid: Domain, k: int, rtol: float
) -> FormRates:
    """Grids or meshes whose cells are halved, extrapolated, until errors are small enough or the next is too large.

    A step between two of them can vanish by accident: up to three, each rate has the longest bar of all."""
    levels, noise = [], np.zeros(k)
    while True:
        found, error = problem.rates(grid, k)
        levels.append(found)
        noise = np.maximum(noise, 2 * error)
        if len(levels) > 1:
            logs, errors = extrapolated_logs(levels, erratic=problem.erratic)
            finished = len(levels) > 2 and (errors <= 0.5 * rtol).all()
            if finished or grid.n_nodes * 2**grid.dimension > problem.largest:
                break
        grid = grid.refined()
    if len(levels) <= 3:
        errors = np.full(k, errors.max())
    total = errors + noise + 1e-11 + 4 * rounding(problem.objective, grid) / problem.learning_rate
    return FormRates(logs, total, grid.n_nodes, grid)
