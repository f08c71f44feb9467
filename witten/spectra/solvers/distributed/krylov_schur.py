"""Krylov-Schur with shift-invert on any number of ranks (SLEPc, MUMPS), and the count of eigenvalues by inertia."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc
from slepc4py import SLEPc

from witten.errors import ConvergenceError
from witten.operators.distributed_laplacian import DistributedLaplacian
from witten.spectra.solvers.distributed.rayleigh_ritz import distributed_ritz, independent
from witten.spectra.solvers.distributed.petsc_options import petsc_options
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs

__all__ = ["KrylovSchur", "count_below", "not_positive", "petsc_errors", "vectors"]

Array = NDArray[np.float64]
# MUMPS orders by approximate minimum degree in two dimensions and by nested dissection (METIS) in three.
ORDERING = {1: 0, 2: 0, 3: 5}
# Codes of PETSc's errors that options make, and what helps against these and all others.
UNSUPPORTED, UNKNOWN_TYPE = 56, 86
LEAVE_OUT = "leave the option that asks for it out of --petsc"
MORE_ROOM = (
    "a finer mesh, fewer ranks, or more room for MUMPS may help: --petsc '-st_mat_mumps_icntl_14 100'"
)
# Without these MUMPS does not give the inertia: pivots are looked at, the last front stays on one rank.
COUNTING = {"st_mat_mumps_icntl_24": 1, "st_mat_mumps_icntl_13": 1}


@dataclass(frozen=True)
class KrylovSchur:
    """SLEPc's Krylov-Schur on (K + shift M)^{-1} M, factored by MUMPS, the ground state deflated; then Rayleigh-Ritz.

    The factorisation's symbolic part and the Krylov workspace are kept with the matrices: a sweep that lends an
    operator's matrices to the next (`assemble(s, out=...)`) reuses them.

    >>> f, disk = witten.gallery.quadratic(dim=2), witten.read_mesh("meshes/disk.msh")
    >>> solver = witten.spectra.KrylovSchur()
    >>> print(f"{witten.sweep(witten.FiniteElements(f, disk, degree=1), (0.5,), solver=solver).rates[0]:.2f}")
    1.00

    Parameters
    ----------
    shift : relative to `DistributedLaplacian.scale`, far below the rates that are wanted and far above rounding, so
        that K + shift M is positive definite
    tolerance : of SLEPc, relative to each eigenvalue
    polish : at most this many steps of inverse iteration
    options : for PETSc, {'eps_ncv': '40', 'st_mat_mumps_icntl_14': '50'}; what is set here wins
    """

    shift: float = 1e-10
    tolerance: float = 1e-8
    polish: int = 4
    options: Mapping[str, str | None] = field(default_factory=dict)
    name = "krylov-schur"

    def solve(self, operator: DistributedLaplacian, k: int, start: Array | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` (n_owned, any) adds its span.

        Raises
        ------
        ConvergenceError
            if SLEPc does not converge, or the factorisation fails.
        """
        with self._prepared(operator, k, start) as solver:
            solver.solve()
        if solver.getConverged() < k:
            raise ConvergenceError(
                f"Krylov-Schur found {solver.getConverged()} of {k} eigenvalues on {operator.n_dofs} unknowns in "
                f"{solver.getIterationNumber()} iterations; allow more: --petsc '-eps_max_it 1000 -eps_ncv {6 * k}'"
            )
        psi = vectors(solver, operator, k)
        if start is not None:
            psi = independent(operator, np.column_stack([psi, start]))
        return self._polished(operator, solver, psi, k)

    def follow(self, operator: DistributedLaplacian, psi: Array) -> RitzPairs:
        """The pairs that inverse iteration makes of nearby ones (n_owned, k): those of the learning rate before.

        A factorisation and a few solves for each pair; ConvergenceError if the former fails. Nothing tells here whether
        another mode has come between them; `count_below` does.
        """
        with self._prepared(operator, psi.shape[1], None) as solver:
            inverse = solver.getST().getKSP()
            inverse.setOperators(operator.workspace["shifted"])
            inverse.setFromOptions()
            return self._polished(operator, solver, operator.solved(inverse, psi), psi.shape[1])

    @contextmanager
    def _prepared(self, operator: DistributedLaplacian, k: int, start: Array | None) -> Iterator[Any]:
        """The eigensolver kept with the operator's matrices, set for them; inside, options hold and errors are ours."""
        solver = operator.workspace.setdefault("krylov-schur", None) or self._created(operator)
        operator.workspace["krylov-schur"] = solver
        with (
            petsc_options(self.options, st_mat_mumps_icntl_7=ORDERING[operator.dimension]),
            petsc_errors(f"SLEPc on {operator.n_dofs} unknowns"),
        ):
            self._set(solver, operator, k, start)
            yield solver

    def _created(self, operator: DistributedLaplacian) -> Any:
        solver = SLEPc.EPS().create(operator.comm)
        solver.setType(SLEPc.EPS.Type.KRYLOVSCHUR)
        transformation = solver.getST()
        transformation.setType(SLEPc.ST.Type.SINVERT)
        transformation.setMatStructure(PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        by_cholesky(transformation.getKSP())
        return solver

    def _set(self, solver: Any, operator: DistributedLaplacian, k: int, start: Array | None) -> None:
        solver.setOperators(operator.stiffness, operator.mass)
        kinds = SLEPc.EPS.ProblemType
        solver.setProblemType(kinds.HEP if operator.mass is None else kinds.GHEP)
        solver.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
        solver.setTarget(-self.shift * operator.scale)
        solver.setDimensions(k, max(2 * k + 4, 12), PETSc.DETERMINE)  # or else what an earlier k led to
        solver.setTolerances(self.tolerance, 200)
        solver.setDeflationSpace([operator.vector(column) for column in operator.deflated.T])
        if start is not None:
            solver.setInitialSpace([operator.vector(column) for column in operator.project(start).T])
        solver.setFromOptions()
        shift = solver.getTarget()
        solver.getST().setShift(shift)
        # SLEPc makes a new matrix for each learning rate; a factorisation that is to be updated wants the same again.
        operator.workspace["shifted"] = shifted = operator.shifted(-shift, out=operator.workspace.get("shifted"))
        solver.getST().setPreconditionerMat(shifted)

    def _polished(self, operator: DistributedLaplacian, solver: Any, psi: Array, k: int) -> RitzPairs:
        """Inverse iteration on the k lowest Ritz vectors of a span, while it pays."""
        inverse = solver.getST().getKSP()
        pairs = distributed_ritz(operator, psi).lowest(k)
        wanted = max(k - GUARDS, 1)
        for _ in range(self.polish):
            better = distributed_ritz(operator, operator.solved(inverse, pairs.psi))
            done = better.residuals[:wanted].max() > 0.5 * pairs.residuals[:wanted].max()
            pairs = better
            if done:
                break
        return pairs


def count_below(
    operator: DistributedLaplacian, rate: float, *, options: Mapping[str, str | None] | None = None
) -> int:
    """The number of eigenvalues below `rate`, the ground state's zero not counted; known ones are.

    By Sylvester's law of inertia: the negative pivots of K - rate M, factored by MUMPS.

    Raises
    ------
    ConvergenceError
        if the factorisation fails.
    """
    shifted = operator.shifted(-rate)
    try:
        return not_positive(shifted, operator.dimension, options or {}) - 1
    finally:
        shifted.destroy()


def not_positive(matrix: Any, dimension: int, options: Mapping[str, str | None]) -> int:
    """The number of eigenvalues of a symmetric matrix that are zero or below: pivots of its factorisation by MUMPS."""
    solver = PETSc.KSP().create(matrix.getComm())
    by_cholesky(solver)
    solver.setOptionsPrefix("st_")  # as in the eigensolver, so that the same options hold
    solver.setOperators(matrix)
    try:
        with (
            petsc_options(options, st_mat_mumps_icntl_7=ORDERING[dimension], **COUNTING),
            petsc_errors("the factorisation that counts eigenvalues"),
        ):
            solver.setUp()
            negative, zero, _ = solver.getPC().getFactorMatrix().getInertia()
    finally:
        solver.destroy()
    return int(negative) + int(zero)


def by_cholesky(solver: Any) -> None:
    """Make a PETSc linear solver a Cholesky factorisation by MUMPS: PETSc's own meets zero pivots."""
    solver.setType("preonly")
    solver.getPC().setType("cholesky")
    solver.getPC().setFactorSolverType("mumps")


@contextmanager
def petsc_errors(what: str) -> Iterator[None]:
    """Turn an error of PETSc into one of ours, in a line."""
    try:
        yield
    except (PETSc.Error, SystemError) as error:  # slepc4py wraps the one in the other
        cause = error.__cause__ if isinstance(error, SystemError) else error
        if not isinstance(cause, PETSc.Error):
            raise
        lines = [line.partition("] ")[2] for line in str(cause).splitlines() if "() at " not in line]
        why = " ".join((lines or [""])[-1].split())  # what comes before is PETSc's for all errors of a kind
        asked_wrongly = cause.ierr in (UNSUPPORTED, UNKNOWN_TYPE)  # type: ignore[attr-defined]
        remedy = LEAVE_OUT if asked_wrongly else MORE_ROOM
        raise ConvergenceError(f"{what} failed ({why[:200]}); {remedy}") from None


def vectors(solver: Any, operator: DistributedLaplacian, k: int) -> Array:
    """The first k eigenvectors that SLEPc found, the rows of this rank."""
    vector = operator.stiffness.createVecRight()
    columns = []
    for i in range(k):
        solver.getEigenvector(i, vector)
        columns.append(vector.array.copy())
    return np.stack(columns, axis=1)

