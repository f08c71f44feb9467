"""A block solver with a multigrid preconditioner on any number of ranks, where factorisations are too dear (SLEPc)."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc
from slepc4py import SLEPc

from witten.errors import ConvergenceError
from witten.operators.distributed_laplacian import DistributedLaplacian
from witten.spectra.solvers.distributed.rayleigh_ritz import distributed_ritz
from witten.spectra.solvers.distributed.krylov_schur import petsc_errors, vectors
from witten.spectra.solvers.distributed.petsc_options import petsc_options
from witten.spectra.solvers.rayleigh_ritz import RitzPairs

__all__ = ["Preconditioned", "near_kernel"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Preconditioned:
    """LOBPCG [Knyazev2001] by SLEPc, preconditioned by algebraic multigrid for K + shift M; then Rayleigh-Ritz.

    Multigrid is hypre's BoomerAMG where PETSc has it, else GAMG. The ground state is deflated.

    >>> f, disk = witten.gallery.quadratic(dim=2), witten.read_mesh("meshes/disk.msh")
    >>> solver = witten.spectra.Preconditioned()
    >>> print(f"{witten.sweep(witten.FiniteElements(f, disk, degree=1), (0.5,), solver=solver).rates[0]:.2f}")
    1.00

    Parameters
    ----------
    shift : as a part of the largest of the rates sought, to keep the preconditioner positive definite
    tolerance : of SLEPc, for the residual relative to the rate; the error of a rate is quadratic in it
    most : iterations
    options : for PETSc; what is set here wins
    """

    shift: float = 0.02
    tolerance: float = 1e-4
    most: int = 400
    options: Mapping[str, str | None] = field(default_factory=dict)
    name = "lobpcg"

    def solve(self, operator: DistributedLaplacian, k: int, start: Array | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` (n_owned, any) is where the iteration begins.

        Raises
        ------
        ConvergenceError
            if LOBPCG does not converge.
        """
        guess = distributed_ritz(operator, self._start(operator, k, start)).lowest(k)
        solver = SLEPc.EPS().create(operator.comm)
        try:
            with petsc_options(self.options), petsc_errors(f"LOBPCG on {operator.n_dofs} unknowns"):
                self._set(solver, operator, guess)
                solver.solve()
            operator.workspace["iterations"] = solver.getIterationNumber()
            if solver.getConverged() < k:
                raise ConvergenceError(
                    f"LOBPCG found {solver.getConverged()} of {k} eigenvalues on {operator.n_dofs} unknowns in "
                    f"{solver.getIterationNumber()} iterations; allow more: --petsc '-eps_max_it {4 * self.most}'"
                )
            psi = vectors(solver, operator, k)
        finally:
            solver.destroy()
        return distributed_ritz(operator, psi)

    def _start(self, operator: DistributedLaplacian, k: int, start: Array | None) -> Array:
        """A first block of k columns: what is given, filled up with random ones."""
        known = np.empty((operator.n_owned, 0)) if start is None else start
        missing = max(k - known.shape[1], 0)
        random = np.random.default_rng(operator.comm.rank).standard_normal((operator.n_owned, missing))
        return np.column_stack([known, random * np.abs(operator.ground_state[:, None])])

    def _set(self, solver: Any, operator: DistributedLaplacian, guess: RitzPairs) -> None:
        k = guess.rates.size
        kinds = SLEPc.EPS.ProblemType
        solver.setType(SLEPc.EPS.Type.LOBPCG)
        solver.setOperators(operator.stiffness, operator.mass)
        solver.setProblemType(kinds.HEP if operator.mass is None else kinds.GHEP)
        solver.setWhichEigenpairs(SLEPc.EPS.Which.SMALLEST_REAL)
        solver.setDimensions(k)
        solver.setLOBPCGBlockSize(k)
        solver.setTolerances(self.tolerance, self.most)
        solver.setDeflationSpace([operator.vector(column) for column in operator.deflated.T])
        solver.setInitialSpace([operator.vector(column) for column in guess.psi.T])
        transformation = solver.getST()
        transformation.setType(SLEPc.ST.Type.PRECOND)
        shifted = operator.shifted(self.shift * guess.rates[-1])
        near_kernel(shifted, operator.ground_state)
        transformation.setPreconditionerMat(shifted)
        linear = transformation.getKSP()
        # One sweep of Richardson is the preconditioner itself; as `preonly`, two ranks crash.
        linear.setType("richardson")
        linear.setTolerances(max_it=1)
        linear.setNormType(PETSc.KSP.NormType.NONE)
        linear.getPC().setType("hypre" if PETSc.Sys.hasExternalPackage("hypre") else "gamg")
        solver.setFromOptions()


def near_kernel(matrix: Any, psi0: Array) -> None:
    """Tell multigrid what a matrix nearly maps to zero: psi_0 at the nodes of this rank, and not the constants."""
    vector = matrix.createVecRight()
    vector.array[:] = psi0
    vector.normalize()
    matrix.setNearNullSpace(PETSc.NullSpace().create(vectors=[vector], comm=matrix.getComm()))
