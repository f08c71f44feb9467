"""Forms of the top degree on all of space: functions of -f, killed where f has risen far beyond its critical points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import Sublevel, rounding, sublevel
from witten.errors import ConvergenceError, GridError
from witten.forms.cubical_complex import CubicalComplex
from witten.linalg.richardson import extrapolated_logs
from witten.objectives.objective import Objective
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.complete_pairs import complete_pairs
from witten.spectra.solvers.rayleigh_ritz import GUARDS

__all__ = ["TopRates", "top_form_operator", "top_rates"]

Array = NDArray[np.float64]
# The node that kills lies this many s below the rest: e^-200 comes back.
DEPTH = 100.0
# Heights of the wall, in units of s, that doubles hold beside that.
HIGHEST = 500.0
# Nodes of the largest grid in 2 and 3 dimensions, and of the largest on which the cut is measured.
LARGEST, MEASURED = {2: 300_000, 3: 60_000}, {2: 80_000, 3: 30_000}
# By how many s the domain is widened at a time, and how often.
WIDENING, MOST_WIDENED = 4.0, 8
# Cells along each axis of the scan for slow modes further out, and how often it is tripled.
SCAN, MOST_TRIPLED = {2: 200, 3: 48}, 6


@dataclass(frozen=True, eq=False)
class TopRates:
    """Natural logarithms of rates above zero, ascending; their relative errors; nodes of the finest grid."""

    log_rates: Array
    relative_errors: Array
    n_dofs: int


def top_form_operator(objective: Objective, grid: Grid, s: float) -> WittenLaplacian:
    """A_{d-1} A_{d-1}^T/(2s) on the d-cells, and a node for what leaves through the boundary: a weighted graph.

    Its ground state is that node; the other rates are those of d-forms, absolute boundary.

    Raises
    ------
    GridError
        where the boundary spans heights, or cells span slopes, that no double holds.
    """
    cells = CubicalComplex(grid)
    d = grid.dimension
    a = cells.witten_differential(d - 1, objective, s)
    values = -np.asarray(objective(cells.centres(d)), dtype=float)
    if not (np.isfinite(a.data).all() and values.size):
        raise GridError(f"{objective.name} at learning rate {s:g}: cells are too coarse for e^(f/s); take a larger one")
    beside = np.diff(a.tocsc().indptr) == 1
    killing = (a[:, beside] ** 2).sum(axis=1) / (2 * s)
    matrix = csr_array(a @ a.T) / (2 * s)
    matrix, values = _with_killing(matrix, values, killing, s, objective.name)
    h = grid.spacing / 2
    inner = Box(tuple((grid.box.lower + h).tolist()), tuple((grid.box.upper - h).tolist()))
    mask = cells.holds_top
    return WittenLaplacian(s, matrix, values, Grid(inner, mask.shape, mask, absorbing=True), objective.name)


def _with_killing(matrix: csr_array, values: Array, killing: Array, s: float, name: str) -> tuple[csr_array, Array]:
    """The graph with a node so heavy that nothing comes back."""
    out = np.flatnonzero(killing > 0)
    bottom = float(values.min()) - DEPTH * s
    if float(values[out].max()) - bottom > HIGHEST * s:
        raise GridError(f"{name} at learning rate {s:g}: f along the boundary differs by more than {HIGHEST:g} s")
    back = np.exp((bottom - values[out]) / s)
    leaving = csr_array((-killing[out] * back, (out, 0 * out)), shape=(values.size, 1))
    heavy = csr_array([[float((killing[out] * back**2).sum())]])
    whole = csr_array(block_array([[matrix, leaving], [leaving.T, heavy]], format="csr"))
    whole.indices, whole.indptr = whole.indices.astype(np.int32), whole.indptr.astype(np.int32)
    whole.sort_indices()
    return whole, np.append(values, bottom)


def top_rates(objective: Objective, s: float, k: int, rtol: float, highest: float) -> TopRates:
    """The k lowest rates of d-forms on all of space, d = 2 or 3; `highest` is f at its highest critical point.

    The domain {f <= level} is widened until that changes no rate by more than rtol/5, and reaches to wherever
    V^(d) = |grad f|^2 + s Lap f is below 2 s lambda_k in a box three times its size. Errors add refinement, the last
    change by widening, and rounding.

    Raises
    ------
    ConvergenceError
        where slow modes lie without end, or the domain cannot be made large enough.
    """
    margin = max(4.0 - 0.5 * np.log(rtol), 8.0) * s
    region = sublevel(objective, s, margin=margin / s)
    coarse = region.grid()
    level = max(region.level, highest + margin)
    grid, logs = _measured(region, coarse, level, k)
    for _ in range(MOST_WIDENED):
        level = max(level + WIDENING * s, _slow_level(objective, s, grid, float(np.exp(logs[-1]))))
        wide, wider = _measured(region, coarse, level, k)
        cut: Array = abs(np.expm1(wider - logs))
        grid, logs = wide, wider
        if (cut <= 0.2 * rtol).all():
            return _refined(objective, s, grid, k, rtol, cut)
    raise ConvergenceError(
        f"{objective.name} at learning rate {s:g}: rates of {grid.dimension}-forms change by {cut.max():.1e} as space "
        "is made wider; ask for fewer, for a larger rtol, or give a box"
    )


def _measured(region: Sublevel, coarse: Grid, level: float, k: int) -> tuple[Grid, Array]:
    """The grid up to a level, and the rates on it, halved as often as is cheap."""
    grid = region.wider(coarse, level) or coarse
    fine, most = grid, MEASURED[grid.dimension]
    while fine.n_nodes < 16 * k or fine is grid and fine.n_nodes * 2**fine.dimension <= most:
        fine = fine.refined()
    _require_size(region.objective, region.learning_rate, fine)
    return grid, _rates(region.objective, fine, region.learning_rate, k)[0]


def _require_size(objective: Objective, s: float, grid: Grid) -> None:
    if grid.n_nodes > LARGEST[grid.dimension]:
        raise ConvergenceError(
            f"{objective.name} at learning rate {s:g}: forms of the top degree would need {grid.n_nodes} nodes and "
            f"more; the most are {LARGEST[grid.dimension]}; take a larger learning rate"
        )


def _rates(objective: Objective, grid: Grid, s: float, k: int) -> tuple[Array, Array]:
    """Logarithms and relative errors on one grid."""
    pairs = complete_pairs(top_form_operator(objective, grid, s), k + GUARDS, k)[1]
    return pairs.log_rates[:k], pairs.relative_errors(k)


def _slow_level(objective: Objective, s: float, grid: Grid, rate: float) -> float:
    """Up to which f there may be modes as slow as `rate`: where V^(d) is below 2 s times it."""
    box, d = grid.box, grid.dimension
    for _ in range(MOST_TRIPLED):
        box = box.expanded(np.ones(d), np.ones(d))
        scan = Grid(box, (SCAN[d],) * d)
        x = scan.points
        with np.errstate(all="ignore"):
            potential = (objective.gradient(x) ** 2).sum(axis=0) + s * objective.laplacian(x)
            slow = (potential < 2.4 * s * rate).reshape(scan.shape)
        if not any(slow.take(end, axis).any() for axis in range(d) for end in (0, -1)):
            return float(np.asarray(objective(x[:, slow.ravel()])).max(initial=-np.inf)) + 2 * s
    raise ConvergenceError(
        f"{objective.name} at learning rate {s:g}: modes of {d}-forms as slow as {rate:.3g} may live without end, out "
        f"to {box}; ask for fewer, or give a box"
    )


def _refined(objective: Objective, s: float, grid: Grid, k: int, rtol: float, cut: Array) -> TopRates:
    """Grids whose cells are halved, extrapolated, until errors are small enough or the next is too large."""
    levels, noise = [], np.zeros(k)
    grid = grid.cropped()
    if CubicalComplex(grid.refined()).betti[1:] != (0,) * grid.dimension:
        raise ConvergenceError(
            f"{objective.name} at learning rate {s:g}: the domain that was kept has holes, where f is higher than at "
            "any critical point that is known, and a mode may live in each; give a box"
        )
    while True:
        found, error = _rates(objective, grid, s, k)
        levels.append(found)
        noise = np.maximum(noise, 2 * error)
        if len(levels) > 1:
            logs, errors = extrapolated_logs(levels)
            finished = len(levels) > 2 and (errors <= 0.5 * rtol).all()
            if finished or grid.n_nodes * 2**grid.dimension > LARGEST[grid.dimension]:
                break
        grid = grid.refined()
    total = errors + noise + 3 * cut + 1e-11 + 4 * rounding(objective, grid) / s
    return TopRates(logs, total, grid.n_nodes)
