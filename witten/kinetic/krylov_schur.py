"""Krylov-Schur with shift and invert (SLEPc, MUMPS) for the Kramers-Fokker-Planck operator, on any number of ranks."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy import sparse
from slepc4py import SLEPc

from witten.errors import ConvergenceError
from witten.kinetic.kramers_fokker_planck import KramersFokkerPlanck
from witten.kinetic.leading_modes import Factored
from witten.parallel.communicators import Communicator
from witten.spectra.solvers.distributed.krylov_schur import petsc_errors
from witten.spectra.solvers.distributed.petsc_options import petsc_options

__all__ = ["factored_by"]

Complex = NDArray[np.complex128]
TOLERANCE, RESTARTS = 1e-13, 200
# MUMPS orders by nested dissection (METIS): phase space has four dimensions.
NESTED_DISSECTION = 5


def factored_by(comm: Communicator) -> Factored:
    """By MUMPS, shared among the ranks; what is found is known to all."""

    @contextmanager
    def factored(problem: KramersFokkerPlanck, shift: float) -> Iterator[Callable[[int], tuple[Complex, Complex]]]:
        matrices = [_distributed(matrix, comm) for matrix in (problem.stiffness, problem.mass)]
        solver = _solver(matrices, shift, comm)
        try:
            yield lambda count: _nearest(solver, comm, count)
        finally:
            for each in (solver, *matrices):
                each.destroy()

    return factored


def _distributed(matrix: sparse.csc_matrix, comm: Communicator) -> Any:
    """Rows of each rank."""
    n = matrix.shape[0]
    first, last = (n * rank // comm.size for rank in (comm.rank, comm.rank + 1))
    rows = matrix.tocsr()[first:last]
    size = ((last - first, n),) * 2
    csr = rows.indptr.astype(PETSc.IntType), rows.indices.astype(PETSc.IntType), rows.data
    return PETSc.Mat().createAIJ(size, csr=csr, comm=comm.mpi)


def _solver(matrices: list[Any], shift: float, comm: Communicator) -> Any:
    solver = SLEPc.EPS().create(comm.mpi)
    solver.setType(SLEPc.EPS.Type.KRYLOVSCHUR)
    solver.setOperators(*matrices)
    solver.setProblemType(SLEPc.EPS.ProblemType.GNHEP)
    solver.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
    solver.setTarget(shift)
    solver.setTolerances(TOLERANCE, RESTARTS)
    transformation = solver.getST()
    transformation.setType(SLEPc.ST.Type.SINVERT)
    transformation.setShift(shift)
    inverse = transformation.getKSP()
    inverse.setType("preonly")
    inverse.getPC().setType("lu")
    inverse.getPC().setFactorSolverType("mumps")
    return solver


def _nearest(solver: Any, comm: Communicator, count: int) -> tuple[Complex, Complex]:
    """So many eigenvalues nearest to the shift, and their vectors; of a pair both."""
    solver.setDimensions(count, max(2 * count + 8, 24), PETSc.DETERMINE)
    with petsc_options({}, st_mat_mumps_icntl_7=NESTED_DISSECTION), petsc_errors("SLEPc with momentum"):
        solver.setFromOptions()
        solver.solve()
    found = solver.getConverged()
    if found < count:
        raise ConvergenceError(
            f"Krylov-Schur found {found} of {count} eigenvalues with momentum; take a larger friction"
        )
    values = np.array([solver.getEigenvalue(i) for i in range(found)])
    if count < found and values[count - 1].imag > 0:
        count += 1
    vectors = np.stack([_gathered(solver, i, comm) for i in range(count)], axis=1)
    return comm.bcast(values[:count]), vectors


def _gathered(solver: Any, i: int, comm: Communicator) -> Complex:
    """Eigenvector i on all ranks."""
    matrix, _ = solver.getOperators()
    real, imaginary = matrix.createVecs()
    solver.getEigenpair(i, real, imaginary)
    parts = comm.allgather(real.array + 1j * imaginary.array)
    for each in (real, imaginary):
        each.destroy()
    return np.concatenate(parts)
