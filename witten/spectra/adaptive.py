"""The spectrum by finite elements to a wanted accuracy: meshes refined where the residuals of the modes are."""

# ruff: noqa: I001  (witten.fenics has to come first)
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import witten.fenics  # noqa: F401
import dolfinx.mesh
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from witten.domains.box import Box
from witten.domains.mesh import grid_mesh, read_mesh, refined
from witten.domains.nodal_mesh import NodalMesh
from witten.errors import ConvergenceError, RequestError
from witten.objectives.conditions import continuous_spectrum
from witten.objectives.objective import Objective
from witten.operators.finite_elements import FiniteElementLaplacian, FiniteElements
from witten.operators.residuals import Residuals
from witten.parallel import agree, communicator
from witten.spectra.krylov_schur import KrylovSchur, count_below
from witten.spectra.preconditioned import Preconditioned
from witten.spectra import refinement
from witten.spectra.ritz import GUARDS, RitzPairs
from witten.spectra.spectrum import Spectrum

__all__ = ["adapted_spectrum", "default_degree"]

Array = NDArray[np.float64]

# Unknowns on the finest mesh.
LARGEST = {1: 400_000, 2: 600_000, 3: 600_000}
MOST_MESHES = 30
# Up to so many unknowns a factorisation is cheap.
FACTOR_UP_TO = {1: 10**9, 2: 10**9, 3: 25_000}
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
    mesh : a gmsh file or a DOLFINx mesh, its boundary reflecting, instead of automatic truncation. The mesh is the
        domain: how far its boundary is from one that was meant is not in the error bar
    box : (low, high) per axis, likewise
    petsc : options for PETSc and SLEPc
    comm : the ranks that compute it together; all there are where left out
    modes : whether to gather the modes, on all ranks

    Raises
    ------
    RequestError
        if f has no Gibbs measure or no gap, is constant or not finite, if the box cuts off what matters, if the mesh
        cannot be read, or an argument is out of range.
    ConvergenceError
        if a solver fails, or eigenvalues are missed.
    """
    ranks = communicator(comm)
    refinement._require(objective, learning_rate, k, rtol, box)
    p = default_degree(objective.dimension) if degree is None else degree
    if mesh is not None and box is not None:
        raise RequestError("give a mesh or a box, not both: the mesh is the domain")
    began = time.perf_counter()
    if mesh is None:
        grid, pairs_needed, cut, bottom = agree(ranks, lambda: _domain(objective, learning_rate, k - 1, rtol, box))
        first = grid_mesh(ranks.mpi, grid.coarsened() if p > 1 else grid)
    else:
        first = mesh if isinstance(mesh, dolfinx.mesh.Mesh) else read_mesh(ranks.mpi, mesh, objective.dimension)
        pairs_needed, cut, bottom = k - 1 + GUARDS, np.zeros(k - 1), np.inf
    found = _adapted(objective, learning_rate, first, p, k - 1, pairs_needed, rtol, petsc or {})
    order = np.argsort(found.rates, kind="stable")
    rates, errors = found.rates[order], (found.errors + cut + 1e-11 * found.rates)[order]
    refinement._require_isolated(objective, learning_rate, rates, bottom)
    if ranks.rank == 0:
        refinement._warn_if_wide(objective, learning_rate, np.log(rates), errors / rates, rtol)
    space, values = _modes(found, order) if modes else _nothing(objective.dimension, k)
    return Spectrum(
        learning_rate=learning_rate,
        rates=np.append(0.0, rates),
        errors=np.append(0.0, errors),
        modes=values,
        grid=space,
        objective=objective.name,
        solver=f"fe P{p} {found.solver}",
        n_dofs=found.operator.n_dofs,
        seconds=time.perf_counter() - began,
        modes_counted=found.counted,
    )


@dataclass(frozen=True, eq=False)
class Adapted:
    """What the last mesh gave.

    Attributes
    ----------
    rates, errors : of the wanted modes, shape (wanted,)
    operator, pairs : on the last mesh
    counted : eigenvalues that inertia counts below a bound, the zero included, on the last mesh that was factored
    solver : the name of what solved there
    """

    rates: Array
    errors: Array
    operator: FiniteElementLaplacian
    pairs: RitzPairs
    counted: int
    solver: str


def _domain(
    objective: Objective, s: float, wanted: int, rtol: float, box: Sequence[tuple[float, float]] | None
) -> tuple[Any, int, Array, float]:
    """A grid on the part of space that matters, the pairs to compute, what the cut costs, where spectrum ends."""
    bottom = continuous_spectrum(objective, s) if box is None else np.inf
    return *refinement._truncated(objective, s, wanted, rtol, None if box is None else Box.of(box)), bottom


def _adapted(
    objective: Objective,
    s: float,
    mesh: dolfinx.mesh.Mesh,
    degree: int,
    wanted: int,
    pairs_needed: int,
    rtol: float,
    petsc: Mapping[str, str | None],
) -> Adapted:
    """Refine until the wanted rates have errors below rtol/2, or the mesh is as large as it may become."""
    rates: list[Array] = []
    residuals: list[Array] = []
    # The error of a rate is quadratic in what the iteration leaves.
    direct, iterative = KrylovSchur(options=petsc), Preconditioned(tolerance=0.01 * rtol**0.5, options=petsc)
    coarser: tuple[FiniteElementLaplacian, RitzPairs] | None = None
    for _ in range(MOST_MESHES):
        operator = FiniteElements(objective, mesh, degree).assemble(s)
        factored = operator.n_dofs <= FACTOR_UP_TO[objective.dimension]
        if factored or coarser is None:
            pairs, counted = _counted(operator, direct, pairs_needed)
        else:
            pairs = iterative.solve(operator, pairs_needed, transferred(*coarser, operator))
        residual = Residuals.of(operator)
        by_cell = np.array([residual(psi, rate) for psi, rate in zip(pairs.psi.T[:wanted], pairs.rates, strict=False)])
        rates.append(pairs.rates[:wanted])
        residuals.append(operator.summed(by_cell.sum(axis=1)))
        noise = 2 * pairs.errors(wanted)
        factor = calibrated(rates, residuals)
        error = factor * residuals[-1]
        if len(rates) > 1 and (error <= np.maximum(0.4 * rtol * rates[-1], noise)).all():
            break
        if operator.n_dofs > LARGEST[objective.dimension] / 2 and len(rates) > 1:
            break
        coarser = operator, pairs
        mesh = refined(mesh, _marked(operator, by_cell, factor, rates, 0.2 * rtol))
    errors = error + noise + _quadrature_error(operator, pairs, wanted)
    name = direct.name if factored else iterative.name
    # An error that is not small is not known well enough to be subtracted.
    limit = rates[-1] - np.where(error < 0.5 * rates[-1], error, 0.0)
    return Adapted(limit, errors, operator, pairs, counted, name)


def transferred(coarse: FiniteElementLaplacian, pairs: RitzPairs, fine: FiniteElementLaplacian) -> Array:
    """The modes on another mesh, roughly: u = psi / psi_0, smooth even where psi is not, from the d + 1 nearest nodes.

    A start for an iteration needs no more; finding the cell of every node takes longer than the iterations.
    """
    comm = coarse.comm
    u = np.concatenate(comm.allgather(coarse.functions(pairs.psi)))
    tree = cKDTree(np.concatenate(comm.allgather(_nodes(coarse))))
    distance, nearest = tree.query(_nodes(fine), k=coarse.dimension + 1)
    weight = 1.0 / np.maximum(distance, 1e-12 * distance.max(initial=1.0))
    weight /= weight.sum(axis=1, keepdims=True)
    psi: Array = np.einsum("nj,njk->nk", weight, u[nearest]) * fine.ground_state[:, None]
    return psi


def _nodes(operator: FiniteElementLaplacian) -> Array:
    """The nodes of this rank, shape (n_owned, d)."""
    points: Array = operator.discretisation.space.tabulate_dof_coordinates()[: operator.n_owned, : operator.dimension]
    return points


def calibrated(rates: Sequence[Array], residuals: Sequence[Array]) -> Array:
    """C with rate - truth = C eta^2, from what meshes did to both: the larger of the last two such factors."""
    if len(rates) < 2:
        return np.ones_like(rates[-1])
    falls, drops = -np.diff(np.array(rates), axis=0)[-2:], -np.diff(np.array(residuals), axis=0)[-2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = abs(falls) / np.maximum(drops, 1e-3 * np.array(residuals)[-len(drops) :])
    factor: Array = np.nan_to_num(factors).max(axis=0)
    return factor


def _marked(
    operator: FiniteElementLaplacian, by_cell: Array, factor: Array, rates: Sequence[Array], rtol: float
) -> NDArray[np.int32]:
    """The cells of this rank to refine: with more than their share of the error allowed, or else most of the error."""
    share = (factor / rates[-1]) @ by_cell
    everywhere = np.concatenate(operator.comm.allgather(share))
    if len(rates) > 1 and (everywhere > rtol / everywhere.size).any():
        threshold = rtol / everywhere.size
    else:
        descending = np.sort(everywhere)[::-1]
        total = np.cumsum(descending)
        threshold = descending[np.searchsorted(total, BULK * total[-1])]
    return np.flatnonzero(share >= threshold).astype(np.int32)


def _counted(operator: FiniteElementLaplacian, solver: KrylovSchur, k: int) -> tuple[RitzPairs, int]:
    """The k lowest pairs, none of them missed; and the number of eigenvalues, zero included, that inertia counts."""
    pairs = solver.solve(operator, k)
    for seed in range(3):
        low, high = pairs.rates[-GUARDS - 1 : -1], pairs.rates[-GUARDS:]
        at = int((high / low).argmax())
        found = pairs.rates.size - GUARDS + at
        counted = count_below(operator, 0.5 * (low[at] + high[at]), options=solver.options)
        if counted == found:
            return pairs.lowest(k), counted + 1
        random = np.random.default_rng(seed).standard_normal((operator.n_owned, 4))
        pairs = solver.solve(operator, pairs.rates.size + 4, np.column_stack([pairs.psi, random]))
    raise ConvergenceError(
        f"{operator.objective} at learning rate {operator.learning_rate:g}: {found} eigenvalues were found and "
        f"{counted} counted below {0.5 * (low[at] + high[at]):.6g}; ask for more of them, or a larger subspace: "
        f"--petsc '-eps_ncv {6 * k}'"
    )


def _quadrature_error(operator: FiniteElementLaplacian, pairs: RitzPairs, wanted: int) -> Array:
    """How far the Rayleigh quotients of the modes change when the weights are integrated with two degrees more."""
    d = operator.discretisation
    finer = FiniteElements(d.objective, d.mesh, d.degree, d.quadrature + 2).assemble(operator.learning_rate)
    psi = pairs.psi[:, :wanted] * np.exp(operator.log_scale - finer.log_scale)[: operator.n_owned, None]
    psi = finer.project(psi)
    quotients = np.diag(finer.dirichlet_form(psi)) / np.diag(finer.gram(psi))
    return abs(quotients - pairs.rates[:wanted])


def _nothing(dimension: int, k: int) -> tuple[NodalMesh, Array]:
    """Modes on no nodes."""
    return NodalMesh(np.empty((dimension, 0)), np.empty((0, dimension + 1), dtype=np.int64)), np.empty((k, 0))


def _modes(found: Adapted, order: NDArray[np.int64]) -> tuple[NodalMesh, Array]:
    """All nodes and the modes on them, u_0 = 1 first, on every rank."""
    psi = np.column_stack([found.operator.ground_state, found.pairs.psi[:, order]])
    return found.operator.gathered_modes(psi)
