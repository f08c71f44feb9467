"""The gap of Langevin dynamics in the plane, phase space having four dimensions: few large elements of high degree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from witten.domains.finite_values import rounding
from witten.domains.grid import Grid
from witten.domains.scan import Scan
from witten.errors import ConvergenceError
from witten.kinetic.domain import WELLS, Domain, Interval, around_wells
from witten.kinetic.elements import DEGREE, Elements, values_at
from witten.kinetic.kramers_fokker_planck import hermite_orders, kramers_fokker_planck, normalised
from witten.kinetic.leading_modes import Factored, factored_here
from witten.kinetic.refinement import Found, KineticGap, leading_found, of_block, result
from witten.langevin import Langevin
from witten.memory import require_memory
from witten.objectives import Objective
from witten.objectives.symbolic.interval_arithmetic import kinks_met
from witten.objectives.topography.critical_set import reach, rise
from witten.parallel.communicators import Communicator

__all__ = ["kinetic_gap_in_plane"]

Array = NDArray[np.float64]
# Cut so far above the saddles at least, in units of 2T.
MARGIN = 4.0
# A cell in widths sqrt(T/|f''|) of a Gaussian, more by e^{1/4} for each T above the saddles; and cells at least.
WIDTHS, FEWEST_CELLS = 3.6, 3
# What is narrower than this part of a cell is added to its neighbour.
LEAST = 0.2
# Hermite orders at a friction like the frequency, and at least.
ORDERS, LEAST_ORDERS = 6.0, 6
# Unknowns beyond which it takes minutes; entries of the factors are this times a power of them, 16 bytes each.
MOST_UNKNOWNS, FILL, POWER, BYTES = 120_000, 35.0, 1.33, 16
ROUNDS = 6
# Cells of the scan for wells, along each axis; nodes of a grid at which it is looked how f bends.
SCANNED, LOOKED_AT = 200, 40_000
# Of a cell of a grid, what is none.
SLIVER = 1e-6
KRYLOV_SCHUR, ARNOLDI = "Krylov-Schur, MUMPS", "shift and invert"
# The bar as a multiple of the changes, since few large elements make no series: a quadratic was off by 1.0002 times
# them. Beside kinks they are erratic.
DOUBT, ERRATIC = 2.0, 10.0


@dataclass(frozen=True, eq=False)
class Mesh:
    """Cells along each axis, (n_i + 1,), and which of them there are."""

    edges: tuple[Array, ...]
    kept: NDArray[np.bool_]

    @classmethod
    def over(cls, grid: Grid, cells: Sequence[int]) -> Mesh:
        """So many cells along each axis over what is kept of a grid."""
        edges = tuple(
            np.linspace(low, high, n + 1) for (low, high), n in zip(grid.cropped().box.intervals, cells, strict=True)
        )
        return cls(edges, _holding(grid, edges))

    def finer(self, grid: Grid) -> Mesh:
        """A fifth more cells along each axis."""
        return Mesh.over(grid, [n + max(1, n // 5) for n in self.kept.shape])

    def unknowns(self, count: int) -> int:
        """With Hermite orders |a| < count, about."""
        return int(np.count_nonzero(self.kept)) * DEGREE**2 * count * (count + 1) // 2

    def wider(self, grid: Grid) -> Mesh:
        """More cells, about as wide as those at the ends, up to what is kept of a wider grid, beside all there are."""
        edges, more = [], []
        for own, (low, high) in zip(self.edges, grid.cropped().box.intervals, strict=True):
            h = own[1] - own[0]
            left, right = (max(0, math.ceil(gap / h - LEAST)) for gap in (own[0] - low, high - own[-1]))
            low, high = min(low, own[0]), max(high, own[-1])
            before, after = np.linspace(low, own[0], left + 1), np.linspace(high, own[-1], right + 1)[::-1]
            edges.append(np.concatenate([before, own[1:-1], after]))
            more.append((left, right))
        wide = tuple(edges)
        return Mesh(wide, _holding(grid, wide) | np.pad(self.kept, more))


def _holding(grid: Grid, edges: tuple[Array, ...]) -> NDArray[np.bool_]:
    """Which cells hold something of what is kept of the grid."""
    held = grid.mask.astype(np.int64)
    for axis, (own, h, low) in enumerate(zip(edges, grid.spacing, grid.box.lower, strict=True)):
        sums = np.insert(held.cumsum(axis), 0, 0, axis)
        at = (own - low) / h
        first, last = np.floor(at[:-1] + SLIVER), np.ceil(at[1:] - SLIVER)
        first, last = (np.clip(each, 0, held.shape[axis]).astype(np.int64) for each in (first, last))
        held = sums.take(last, axis) - sums.take(np.minimum(first, last), axis)
    return np.asarray(held > 0)


@dataclass(frozen=True, eq=False)
class Plane:
    """What is asked.

    Attributes
    ----------
    frequency : of the fastest well
    sizes : unknowns of the problems that were solved
    """

    objective: Objective
    langevin: Langevin
    frequency: float
    comm: Communicator
    sizes: list[int] = field(default_factory=list)

    def solved(self, mesh: Mesh, count: int, like: Found | None = None) -> Found:
        """The leading eigenvalues with Hermite orders |a| < count; `like` another problem, which took as many."""
        unknowns = mesh.unknowns(count)
        if unknowns > MOST_UNKNOWNS:
            raise ConvergenceError(self.too_large(unknowns))
        needed = BYTES * FILL * unknowns**POWER / self.comm.size
        require_memory(needed, f"{unknowns} unknowns with momentum", "take a larger friction, or allow more memory")
        elements = Elements(self.objective, self.langevin.temperature, mesh.edges, mesh.kept)
        problem = normalised(kramers_fokker_planck(elements, self.langevin.friction, hermite_orders(2, count)))
        self.sizes.append(problem.orders.size)
        return leading_found(problem, self.frequency, like, *_solver(self.comm))

    def too_large(self, unknowns: int) -> str:
        """What to say where it takes too many."""
        return (
            f"{self.objective.name} at friction {self.langevin.friction:.3g} and temperature "
            f"{self.langevin.temperature:.3g} would need {unknowns} unknowns in phase space, more than the "
            f"{MOST_UNKNOWNS} that are taken; take a larger friction or temperature, or the law (theory --momentum)"
        )


def _solver(comm: Communicator) -> tuple[str, Factored]:
    """SLEPc and MUMPS where they are, and how that is called."""
    if find_spec("slepc4py") is None:
        return ARNOLDI, factored_here
    from witten.kinetic.krylov_schur import factored_by

    return KRYLOV_SCHUR, factored_by(comm)


def kinetic_gap_in_plane(
    objective: Objective, langevin: Langevin, rtol: float, box: Sequence[Interval] | None, comm: Communicator
) -> KineticGap:
    """The smallest real part of an eigenvalue but for the zero, in two dimensions; collective.

    A mesh of a fifth more cells along each axis, two more Hermite orders and a wider domain are tried, each from the
    same first problem; what each changes is taken into account, to first order, and twice that is the bar. Refined is
    what changes the rate by more than asked, as long as there is room.

    Raises
    ------
    ConvergenceError
        where the problem would be too large, or a solver fails.
    """
    margin = max(MARGIN, -0.5 * math.log(rtol))
    domain = around_wells(objective, langevin, box, margin)
    plane, mesh = _first(objective, langevin, domain, comm)
    count = 2 * math.ceil(max(ORDERS * plane.frequency / langevin.friction, LEAST_ORDERS) / 2)
    first = plane.solved(mesh, count)
    slow = domain.slow_level(langevin, first.log_rates[0])
    if slow > domain.level:
        domain = around_wells(objective, langevin, box, margin, slow)
        plane, mesh = _first(objective, langevin, domain, comm)
        first = plane.solved(mesh, count)
    tried = _refined(plane, domain.inner, _tried(plane, domain.inner, mesh, count, first), rtol)
    return _with_bar(plane, domain, tried)


@dataclass(frozen=True, eq=False)
class Tried:
    """A first problem, the same on a finer mesh, and the same with two more orders."""

    mesh: Mesh
    count: int
    first: Found
    finer: Found
    higher: Found

    @property
    def changes(self) -> tuple[float, float]:
        """Of the logarithm of the rate, by the finer mesh and by the orders."""
        by_cells, by_orders = (float(each.log_rates[0] - self.first.log_rates[0]) for each in (self.finer, self.higher))
        return by_cells, by_orders


def _tried(plane: Plane, grid: Grid, mesh: Mesh, count: int, first: Found) -> Tried:
    finer = plane.solved(mesh.finer(grid), count, first)
    return Tried(mesh, count, first, finer, plane.solved(mesh, count + 2, first))


def _refined(plane: Plane, grid: Grid, tried: Tried, rtol: float) -> Tried:
    """With what changes the rate by more than asked refined, as long as there is room."""
    for _ in range(ROUNDS):
        by_cells, by_orders = map(abs, tried.changes)
        if by_cells + by_orders <= 0.25 * rtol:
            break
        meshes, counts = by_cells > 0.1 * rtol, by_orders > 0.1 * rtol
        mesh = tried.mesh.finer(grid) if meshes else tried.mesh
        count = tried.count + 2 if counts else tried.count
        if max(mesh.finer(grid).unknowns(count), mesh.unknowns(count + 2)) > MOST_UNKNOWNS:
            break
        known = {(True, False): tried.finer, (False, True): tried.higher}.get((meshes, counts))
        tried = _tried(plane, grid, mesh, count, known or plane.solved(mesh, count, tried.first))
    return tried


def _with_bar(plane: Plane, domain: Domain, tried: Tried) -> KineticGap:
    """The rate with the changes by mesh, orders and domain; twice their sum, rounding and kinks are its bar."""
    mesh, first, objective = tried.mesh, tried.first, plane.objective
    wide = mesh.wider(domain.outer)
    wider = first if np.array_equal(wide.kept, mesh.kept) else plane.solved(wide, tried.count, first)
    changes = *tried.changes, float(wider.log_rates[0] - first.log_rates[0])
    error = DOUBT * sum(map(abs, changes)) + first.error + of_block(first, tried.finer, tried.higher, wider)
    error += 1e-12 + 2 * rounding(objective, domain.outer) / plane.langevin.temperature
    if objective.formula is None or _has_kinks(objective, mesh):
        error += ERRATIC * abs(changes[0])
    return result(tried.higher, first.log_rates[0] + sum(changes), error, tried.count + 2, max(plane.sizes))


def _first(objective: Objective, langevin: Langevin, domain: Domain, comm: Communicator) -> tuple[Plane, Mesh]:
    """What is asked, and a first mesh, which sees how f/T bends."""
    t = langevin.temperature
    scan = Scan.of(objective, domain.outer.box, SCANNED, 2 * t)
    wells, height = scan.wells(WELLS), scan.height(WELLS, 0.0)
    bends = np.linalg.eigvalsh(np.moveaxis(objective.piecewise_hessian(wells), -1, 0)).max()
    sides = min(float(rise(objective, x, t).min()) for x in wells.T)
    frequency = max(math.sqrt(2 * t) / sides, math.sqrt(max(float(bends), 0.0)))
    points = _looked_at(objective, domain)
    hessian, f = abs(objective.piecewise_hessian(points)), values_at(objective, points)
    if not (np.isfinite(hessian).all() and np.isfinite(f).all()):
        raise ConvergenceError(f"{objective.name} or its curvature is infinite where it matters; give a box where not")
    above = np.exp(np.maximum(f - height, 0.0) / (4 * t))
    with np.errstate(divide="ignore"):
        widths = [WIDTHS * float((np.sqrt(t / hessian[i, i]) * above).min()) for i in range(2)]
    spans = domain.inner.cropped().box.widths
    wanted = np.minimum(spans / np.array(widths), MOST_UNKNOWNS)
    cells = [max(FEWEST_CELLS, math.ceil(each)) for each in wanted]
    plane = Plane(objective, langevin, frequency, comm)
    if math.prod(cells) > MOST_UNKNOWNS:
        raise ConvergenceError(plane.too_large(math.prod(cells) * DEGREE**2))
    return plane, Mesh.over(domain.inner, cells)


def _looked_at(objective: Objective, domain: Domain) -> Array:
    """Places that a mesh must see, (2, n): some of the grid, and the critical points among it that are known."""
    known, (low, high) = reach(objective), np.array(domain.inner.box.intervals).T
    inside = np.all((known.points >= low[:, None]) & (known.points <= high[:, None]), axis=0)
    inside &= known.values <= domain.level
    some = domain.inner.points[:, :: max(1, domain.inner.n_nodes // LOOKED_AT)]
    return np.hstack([some, known.points[:, inside]])


def _has_kinks(objective: Objective, mesh: Mesh) -> bool:
    """Whether a formula has a kink in a cell."""
    at = np.nonzero(mesh.kept)
    low, high = (np.array([e[i + k] for e, i in zip(mesh.edges, at, strict=True)]) for k in (0, 1))
    return bool(kinks_met(objective)(low, high).any())
