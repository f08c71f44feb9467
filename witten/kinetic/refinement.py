"""The gap of Langevin dynamics on a line, its bar from elements, Hermite orders and domains refined in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.finite_values import rounding
from witten.domains.grid import Grid
from witten.domains.scan import Scan
from witten.errors import ConvergenceError
from witten.kinetic.domain import around_wells, ends
from witten.kinetic.elements import Elements
from witten.kinetic.kramers_fokker_planck import KramersFokkerPlanck, hermite_orders, kramers_fokker_planck
from witten.kinetic.leading_modes import FEWEST, Factored, factored_here, leading
from witten.kinetic.line_cells import first_cells, halved
from witten.kinetic.saddle_flux import small_rates
from witten.langevin import Langevin
from witten.memory import require_memory
from witten.objectives import Objective
from witten.objectives.topography.critical_set import rise

__all__ = ["Found", "KineticGap", "kinetic_gap_on_line", "leading_found", "of_block", "result"]

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
Interval = tuple[float, float]
# Cut so far above the saddles, in units of 2T.
MARGIN = 12.0
SAMPLES = 8000
# Wells deeper than this, in units of T, may have rates that are taken from fluxes, below that part of the frequency.
DEPTH_FOR_FLUXES, TINY = 14.0, 1e-9
# Hermite orders at a friction like the frequency, and by how much less friction is too little.
ORDERS, WEAKEST = 20, 20.0
ARNOLDI, FLUX = "shift and invert", "flux through the saddles"
ROUNDS = 6
# Unknowns beyond which it takes minutes, and bytes that one takes per Hermite order and degree of an element.
MOST_UNKNOWNS, BYTES = 600_000, 8_000


@dataclass(frozen=True)
class KineticGap:
    """The leading eigenvalues of Langevin dynamics.

    Attributes
    ----------
    log_rate : logarithm of the smallest real part
    error : relative
    eigenvalues : by real part, the zero left out, both of a complex pair
    log_rates : logarithms of the real parts
    hermite_order : below which the finest was
    n_dofs : unknowns of the largest problem
    solver : in words
    """

    log_rate: float
    error: float
    eigenvalues: tuple[complex, ...]
    log_rates: tuple[float, ...]
    hermite_order: int
    n_dofs: int
    solver: str


@dataclass(frozen=True, eq=False)
class Line:
    """What is asked: f on an interval, its wells and the saddles between them.

    Attributes
    ----------
    frequency : of the fastest well, sqrt(2T) over the length in which f rises by T
    wells, saddles : ascending, (m,) and (m - 1,); wells that are deeper than a few T
    """

    objective: Objective
    langevin: Langevin
    frequency: float
    wells: Array
    saddles: Array
    size: list[int] = field(default_factory=lambda: [0])

    def problem(self, edges: Array, orders: int) -> KramersFokkerPlanck:
        """The operator on these cells with so many Hermite orders."""
        count = 5 * edges.size * orders
        if count > MOST_UNKNOWNS:
            raise ConvergenceError(_too_large(self, orders, count))
        require_memory(BYTES * count, f"{count} unknowns with momentum", "take a larger friction, or allow more memory")
        elements = Elements.on_line(self.objective, self.langevin.temperature, edges)
        problem = kramers_fokker_planck(elements, self.langevin.friction, hermite_orders(1, orders))
        self.size[0] = max(self.size[0], problem.orders.size)
        return problem


def _too_large(line: Line, orders: int, count: int) -> str:
    friction, temperature = line.langevin.friction, line.langevin.temperature
    return (
        f"{line.objective.name} at friction {friction:.3g} and temperature {temperature:.3g} "
        f"would need {orders} Hermite orders and {count} unknowns; take a larger friction or temperature, or rtol"
    )


@dataclass(frozen=True, eq=False)
class Found:
    """On one grid: logarithms of the real parts ascending, the eigenvalues, and what `Leading` says of the first."""

    log_rates: Array
    values: NDArray[np.complex128]
    error: float
    solver: str
    discriminant: float = np.inf
    count: int = FEWEST


def kinetic_gap_on_line(
    objective: Objective, langevin: Langevin, rtol: float, box: Sequence[Interval] | None
) -> KineticGap:
    """The smallest real part of an eigenvalue but for the zero, in one dimension.

    Elements are halved, Hermite orders doubled and the domain widened, each from the same first problem; what each
    changes is taken into account, to first order, and is the bar. Refined is what changes the rate by more than asked.

    Raises
    ------
    ConvergenceError
        where the problem would be too large, or a solver fails.
    """
    domain = around_wells(objective, langevin, box, MARGIN)
    line = _line(objective, langevin, ends(domain.outer))
    cells, orders = first_cells(objective, langevin.temperature, *ends(domain.inner)), _first_orders(line)
    first = _solved(line, cells, orders)
    slow = domain.slow_level(langevin, first.log_rates[0])
    if slow > domain.level:
        domain = around_wells(objective, langevin, box, MARGIN, slow)
        line = _line(objective, langevin, ends(domain.outer))
        cells = first_cells(objective, langevin.temperature, *ends(domain.inner))
        first = _solved(line, cells, orders)
    for _ in range(ROUNDS):
        finer, higher = (
            _solved(line, halved(cells), orders, first), _solved(line, cells, 2 * orders, first)
        )  # fmt: skip
        by_cells, by_orders = (float(each.log_rates[0] - first.log_rates[0]) for each in (finer, higher))
        if abs(by_cells) + abs(by_orders) <= 0.5 * rtol or 20 * cells.size * orders > MOST_UNKNOWNS:
            break
        if abs(by_cells) > 0.2 * rtol:
            cells = halved(cells)
        if abs(by_orders) > 0.2 * rtol:
            orders *= 2
        first = _solved(line, cells, orders)
    outer = ends(domain.outer)
    wider = first if outer == ends(domain.inner) else _solved(line, _extended(cells, outer), orders, first)
    changes = by_cells, by_orders, float(wider.log_rates[0] - first.log_rates[0])
    error = sum(map(abs, changes)) + first.error + _rounding(objective, langevin, outer)
    error += of_block(first, finer, higher, wider)
    return result(higher, first.log_rates[0] + sum(changes), error, 2 * orders, line.size[0])


def of_block(*found: Found) -> float:
    """How far a rate may be off where two eigenvalues meet, relative: what their discriminant may be off by goes into
    them by its root."""
    discriminants = [each.discriminant for each in found]
    if np.inf in discriminants:
        return 0.0
    off = max(abs(each - discriminants[0]) for each in discriminants) + EPS * abs(found[0].values[0]) ** 2
    least = min(map(abs, discriminants))
    return float(np.sqrt(least + off) / found[0].values[0].real) if least <= 4 * off else 0.0


def result(found: Found, log_rate: float, error: float, orders: int, size: int) -> KineticGap:
    """With the eigenvalues of one problem, of which the first has the real part of the rate."""
    values = found.values.copy()
    values[0] = complex(np.exp(log_rate), values[0].imag)
    pairs = tuple(complex(each) for v in values for each in ((v, v.conjugate()) if v.imag else (v,)))
    logs = (float(log_rate), *found.log_rates[1:].tolist())
    return KineticGap(float(log_rate), float(error), pairs, logs, orders, size, found.solver)


def _line(objective: Objective, langevin: Langevin, ends: Interval) -> Line:
    """With the wells that are deep enough for small rates."""
    t = langevin.temperature
    scan = Scan.of(objective, Box.of([ends]), SAMPLES, 2 * t)
    deep = scan.tree.only(scan.tree.persistence > DEPTH_FOR_FLUXES * t)
    wells = np.sort(scan.grid.points[0, deep.minima]) if deep.minima.size > 1 else scan.wells(0)[0]
    x, f = scan.grid.points[0], scan.values
    saddles = [x[a:b][f[a:b].argmax()] for a, b in pairwise(np.searchsorted(x, wells))]
    sides = [rise(objective, scan.wells(0)[:, i], t) for i in range(scan.wells(0).shape[1])]
    return Line(objective, langevin, float(np.sqrt(2 * t) / np.min(sides)), wells, np.array(saddles))


def _first_orders(line: Line) -> int:
    """Hermite orders that a first problem takes: their number grows as friction falls."""
    below = max(line.frequency / line.langevin.friction, 1.0)
    if below > WEAKEST:
        raise ConvergenceError(
            f"friction {line.langevin.friction:.3g} is below 1/{WEAKEST:g} of the frequency {line.frequency:.3g} of "
            f"{line.objective.name} in its wells, which takes too many Hermite orders; take a larger friction, that is "
            "a smaller momentum or a larger learning rate"
        )
    return int(ORDERS * 2 ** np.floor(np.log2(below)))


def _solved(line: Line, edges: Array, orders: int, like: Found | None = None) -> Found:
    """The eigenvalues with the smallest real parts, from fluxes where there are wells and they are tiny; `like` another
    problem, of which as many had to be computed."""
    problem = line.problem(edges, orders)
    if line.wells.size > 1:
        small = small_rates(problem, line.wells, line.saddles)
        if small.log_rates[0] < np.log(TINY * line.frequency):
            tiny = small.log_rates[: max(1, np.count_nonzero(small.log_rates < np.log(TINY * small.next_rate)))]
            return Found(tiny, np.exp(tiny).astype(complex), float(small.errors[0]), FLUX)
    return leading_found(problem, line.frequency, like, ARNOLDI, factored_here)


def leading_found(
    problem: KramersFokkerPlanck, frequency: float, like: Found | None, solver: str, factored: Factored
) -> Found:
    """The eigenvalues with the smallest real parts, by Arnoldi's method; what it is called as `solver` is."""
    found = leading(problem, frequency, FEWEST if like is None else like.count, factored)
    error = found.rounding / found.gap
    return Found(np.log(found.values.real), found.values, error, solver, found.discriminant, found.count)


def _extended(cells: Array, ends: Interval) -> Array:
    """More cells as wide as the last ones, up to these ends."""
    low, high = ends
    left = np.arange(cells[0], low - np.diff(cells)[0], -np.diff(cells)[0])[1:]
    right = np.arange(cells[-1], high + np.diff(cells)[-1], np.diff(cells)[-1])[1:]
    return np.concatenate([left[::-1], cells, right])


def _rounding(objective: Objective, langevin: Langevin, ends: Interval) -> float:
    """What rounding of f and of sums may change, relative."""
    return 1e-12 + 2 * rounding(objective, Grid(Box.of([ends]), (SAMPLES,))) / langevin.temperature
