"""The spectrum by finite elements to a wanted accuracy: meshes refined where the residuals of the modes are."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import dolfinx.mesh
import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.domains.box import Box
from witten.domains.meshes.mesh import grid_mesh, read_mesh, refined
from witten.domains.meshes.nodal_mesh import NodalMesh
from witten.errors import RequestError
from witten.memory import require_memory
from witten.objectives.growth.conditions import Bottom, essential_spectrum
from witten.objectives.objective import Objective
from witten.operators.elements.finite_elements import FiniteElementLaplacian, FiniteElements
from witten.operators.elements.quadrature_estimator import quadrature_errors
from witten.operators.elements.residual_estimator import Residuals
from witten.operators.elements.boundary_sensitivity import wall_errors
from witten.parallel.communicators import agree, collectively, communicator
from witten.spectra.checks import examined, notes, require_isolated, require_request, warn_if_wide
from witten.spectra.continuous_spectrum import Gap
from witten.spectra.grids.nested_grids import NestedGrids
from witten.spectra.meshes.element_pairs import ElementPairs, ElementSolvers, TooLargeToFactor
from witten.spectra.solvers.rayleigh_ritz import GUARDS
from witten.spectra.spectrum import Spectrum
from witten.spectra.truncation import rounding_error, truncation

__all__ = ["adapted_spectrum", "default_degree"]

Array = NDArray[np.float64]

# Unknowns on the finest mesh.
LARGEST = {1: 400_000, 2: 600_000, 3: 600_000}
MOST_MESHES = 30
# Bytes that solving takes for each unknown, the factors of MUMPS or the levels of a multigrid method included.
BYTES_PER_UNKNOWN = {1: 1500, 2: 2900, 3: 4300}
# Degrees more of the quadrature that a first one is measured by; the second where f may have kinks. There the factor
# between residuals and errors is not constant either, as cells at kinks come and go: bars are twice as long.
MORE, SHARPER = 2, 12
# By how much a first factor between residuals and errors may be too small.
UNSURE = 4.0
# Part of the residuals in the cells that are refined, while errors are not known yet.
BULK = 0.9


def default_degree(dimension: int) -> int:
    """3 in one and two dimensions, 2 in three."""
    return 3 if dimension < 3 else 2


def adapted_spectrum(
    objective: Objective,
    learning_rate: float,
    k: int,
    *,
    rtol: float = 1e-4,
    degree: int | None = None,
    mesh: str | Path | dolfinx.mesh.Mesh | None = None,
    box: Sequence[tuple[float, float]] | None = None,
    petsc: Mapping[str, str | None] | None = None,
    comm: Any = None,
    modes: bool = True,
) -> Spectrum:
    """The k lowest rates at learning rate s by finite elements, zero included, each with an error bar of at most rtol.

    Rates of conforming elements lie above the truth and fall as the mesh is refined. Their error is proportional to
    the squared residuals of the modes, by a factor that two meshes give; it is subtracted, and as much again put in the
    bar. The bar also holds what was measured of the quadrature, of the truncation of space and of the solver.

    Parameters
    ----------
    objective : in 1, 2 or 3 dimensions
    learning_rate : s > 0
    k : number of eigenvalues, the zero counted
    rtol : wanted relative error
    degree : of the elements, 1 to 3; 3 in one and two dimensions and 2 in three where left out
    mesh : a gmsh file or a DOLFINx mesh, its boundary reflecting, instead of automatic truncation. Straight facets that
        turn by less than 35 degrees stand for a smooth boundary: what it may be off is in the error bar
    box : (low, high) per axis, likewise
    petsc : options for PETSc and SLEPc
    comm : the ranks that compute it together; all there are where left out
    modes : whether to gather the modes, on all ranks

    Raises
    ------
    RequestError
        if f has no Gibbs measure or no gap, is constant or not finite, if the mesh cannot be read, or an argument is
        out of range.
    ConvergenceError
        if a solver fails, or eigenvalues are missed.
    """
    ranks = communicator(comm)
    require_request(objective, learning_rate, k, rtol, box)
    p = default_degree(objective.dimension) if degree is None else degree
    if mesh is not None and box is not None:
        raise RequestError("give a mesh or a box, not both: the mesh is the domain")
    began = stopwatch.seconds()
    within = None if box is None else Box.of(box)
    if mesh is None:
        grid, pairs_needed, cut, bottom, edge, said = agree(
            ranks, lambda: _domain(objective, learning_rate, k - 1, rtol, box)
        )
        if edge is not None:
            return _at_the_edge(objective, learning_rate, bottom, edge, stopwatch.seconds() - began, rtol)
        first = grid_mesh(ranks.mpi, grid.coarsened() if p > 1 else grid)
    else:
        first = mesh if isinstance(mesh, dolfinx.mesh.Mesh) else read_mesh(mesh, objective.dimension, comm=ranks)
        pairs_needed, cut, bottom, said = k - 1 + GUARDS, np.full(k - 1, 1e-11), Bottom(np.inf), ()
    found = _adapted(objective, learning_rate, first, p, k - 1, pairs_needed, rtol, petsc or {}, mesh is not None)
    order = np.argsort(found.log_rates, kind="stable")
    log_rates, errors = found.log_rates[order], (found.errors + cut)[order]
    require_isolated(objective, learning_rate, np.exp(log_rates), bottom)
    if ranks.rank == 0:
        warn_if_wide(objective, learning_rate, log_rates, errors, rtol)
    space, values = _modes(found, order) if modes else _nothing(objective.dimension, k)
    return Spectrum.above_zero(
        log_rates,
        errors,
        learning_rate=learning_rate,
        modes=values,
        grid=space,
        objective=objective.name,
        solver=f"fe P{p} {found.solver}",
        n_dofs=found.operator.n_dofs,
        seconds=stopwatch.seconds() - began,
        modes_counted=found.counted,
        notes=said,
        examined="the mesh, whose boundary reflects" if mesh is not None else examined(objective, within),
    )


def _at_the_edge(
    objective: Objective, s: float, bottom: Bottom, edge: Gap[Any], seconds: float, rtol: float
) -> Spectrum:
    """No eigenvalue, but the bottom of the continuous spectrum, which no mesh is needed for."""
    log_rates, errors = np.log([edge.rate]), np.array([edge.error])
    require_isolated(objective, s, np.exp(log_rates), bottom, True)
    warn_if_wide(objective, s, log_rates, errors, rtol)
    space, values = _nothing(objective.dimension, 2)
    return Spectrum.above_zero(
        log_rates,
        errors,
        learning_rate=s,
        modes=values,
        grid=space,
        objective=objective.name,
        solver="bottom of the continuous spectrum",
        n_dofs=0,
        seconds=seconds,
        continuous=True,
        notes=(bottom.note,) if bottom.note else (),
        examined=examined(objective, None),
    )


@dataclass(frozen=True, eq=False)
class Adapted:
    """What the last mesh gave.

    Attributes
    ----------
    log_rates, errors : of the wanted modes, errors relative, shape (wanted,)
    operator, psi : on the last mesh; psi (n_owned, any)
    counted : eigenvalues that inertia counts below a bound, the zero included, on the last mesh that was factored
    solver : the name of what solved there
    """

    log_rates: Array
    errors: Array
    operator: FiniteElementLaplacian
    psi: Array
    counted: int
    solver: str


def _domain(
    objective: Objective, s: float, wanted: int, rtol: float, box: Sequence[tuple[float, float]] | None
) -> tuple[Any, int, Array, Bottom, Gap[Any] | None, tuple[str, ...]]:
    """A grid on the part of space that matters, the pairs to compute, what the cut and rounding cost, where the
    continuous spectrum starts, the gap if it is that, and notes."""
    bottom = essential_spectrum(objective, s) if box is None else Bottom(np.inf)
    within = None if box is None else Box.of(box)
    kept = truncation(objective, s, wanted, rtol, within)
    said = notes(objective, s, bottom, within, kept)
    if wanted > 1 or not np.isfinite(bottom.rate):
        cut = kept.cut + rounding_error(objective, s, kept.grid)
        return kept.grid, kept.pairs_needed, cut, bottom, None, said
    grids = NestedGrids(objective, s, rtol)
    gap = grids.gap_beside(bottom, grids.solve(kept.grid, kept.pairs_needed, kept.cut))
    first = gap.result.first
    cut = kept.cut + gap.cut + rounding_error(objective, s, first)
    return first, kept.pairs_needed, cut, bottom, gap if gap.continuous else None, said


def _adapted(
    objective: Objective,
    s: float,
    mesh: dolfinx.mesh.Mesh,
    degree: int,
    wanted: int,
    pairs_needed: int,
    rtol: float,
    petsc: Mapping[str, str | None],
    curved: bool = False,
) -> Adapted:
    """Refine until the wanted rates have errors below rtol/2, or the mesh is as large as it may become.

    Rates are logarithms and errors relative, so that no learning rate is too small.
    """
    log_rates: list[Array] = []
    residuals: list[Array] = []
    solvers = ElementSolvers(pairs_needed, wanted, petsc, 1e-3 * rtol)
    walls = np.zeros(wanted)
    coarser: ElementPairs | None = None
    kinked = objective.formula is None or bool(objective.singularities)
    more, safety = (SHARPER, 2.0) if kinked else (MORE, 1.0)
    for _ in range(MOST_MESHES):
        operator = FiniteElements(objective, mesh, degree).assemble(s)
        collectively(communicator(operator.comm), partial(_require_room, operator, objective.dimension))
        try:
            found = solvers(operator, coarser)
        except TooLargeToFactor:
            if len(log_rates) < 2:
                raise
            break  # what the coarser mesh gave stands, with its longer bar
        if coarser is None and curved:
            walls = 2 * wall_errors(
                operator, found.psi[:, :wanted], found.differences[:, :wanted], np.exp(found.log_rates[:wanted])
            )
        residual = Residuals.of(operator)
        modes = zip(found.psi.T, found.differences.T, found.log_rates[:wanted], strict=False)
        by_cell = np.array([residual(*mode) for mode in modes])
        log_rates.append(found.log_rates[:wanted])
        residuals.append(operator.summed(by_cell.sum(axis=1)))
        noise = 2 * found.relative[:wanted]
        factor = calibrated(log_rates, residuals)
        weights = quadrature_errors(operator, found.psi[:, :wanted], found.differences[:, :wanted], more)
        integration = safety * operator.summed(weights.sum(axis=1))
        error = factor * residuals[-1]
        if len(log_rates) > 1 and (safety * error + integration <= np.maximum(0.4 * rtol, noise)).all():
            break
        if operator.n_dofs > LARGEST[objective.dimension] / 2 and len(log_rates) > 1:
            break
        coarser = found
        shares = safety * (factor @ by_cell + weights.sum(axis=0))
        mesh = refined(mesh, _marked(operator, shares, len(log_rates) > 1, 0.2 * rtol))
    # An error that is not small is not known well enough to be subtracted.
    limit = found.log_rates[:wanted] + np.log1p(-np.where(error < 0.5, error, 0.0))
    errors = safety * error + noise + integration + walls
    return Adapted(limit, errors, found.operator, found.psi, found.counted, found.solver)


def _require_room(operator: FiniteElementLaplacian, dimension: int) -> None:
    """ConvergenceError where the memory does not suffice for this rank's part of a solution."""
    own = operator.n_dofs / operator.comm.size
    what = f"a mesh of {operator.n_dofs} unknowns"
    remedy = "ask for a larger rtol or a lower degree, take more ranks, or allow more memory"
    require_memory(BYTES_PER_UNKNOWN[dimension] * own, what, remedy)


def calibrated(log_rates: Sequence[Array], residuals: Sequence[Array]) -> Array:
    """C with (rate - truth)/rate = C eta^2, from what meshes did to both: the larger of the last two such factors.

    The first two meshes are too coarse for a good one.

    Parameters
    ----------
    log_rates : logarithms of the rates on one mesh after the other, shape (wanted,) each
    residuals : eta^2, each as a part of the rate on its mesh
    """
    if len(log_rates) < 2:
        return np.ones_like(log_rates[-1])
    rates = np.exp(np.minimum(np.array(log_rates)[-3:] - log_rates[-1], 300.0))  # in units of the last ones
    eta = np.array(residuals)[-3:] * rates
    falls, drops = -np.diff(rates, axis=0), -np.diff(eta, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = abs(falls) / np.maximum(drops, 1e-3 * eta[1:])
    factor: Array = np.nan_to_num(factors).max(axis=0)
    return factor if len(factors) > 1 else UNSURE * factor


def _marked(
    operator: FiniteElementLaplacian, share: Array, calibrated: bool, rtol: float
) -> NDArray[np.int32]:
    """The cells of this rank to refine: with more than their share of the error allowed, or else most of the error."""
    everywhere = np.concatenate(operator.comm.allgather(share))
    if calibrated and (everywhere > rtol / everywhere.size).any():
        threshold = rtol / everywhere.size
    else:
        descending = np.sort(everywhere)[::-1]
        total = np.cumsum(descending)
        threshold = descending[np.searchsorted(total, BULK * total[-1])]
    return np.flatnonzero(share >= threshold).astype(np.int32)


def _nothing(dimension: int, k: int) -> tuple[NodalMesh, Array]:
    """Modes on no nodes."""
    return NodalMesh(np.empty((dimension, 0)), np.empty((0, dimension + 1), dtype=np.int64)), np.empty((k, 0))


def _modes(found: Adapted, order: NDArray[np.int64]) -> tuple[NodalMesh, Array]:
    """All nodes and the modes on them, u_0 = 1 first, on every rank."""
    psi = np.column_stack([found.operator.ground_state, found.psi[:, order]])
    return found.operator.gathered_modes(psi)
