"""Linear systems on the nodes outside the cores of wells, by MUMPS or conjugate gradients, on any ranks."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from witten.errors import ConvergenceError
from witten.operators.distributed_laplacian import times
from witten.operators.elements.finite_elements import FiniteElementLaplacian
from witten.spectra.solvers.distributed.krylov_schur import ORDERING, by_cholesky, not_positive, petsc_errors
from witten.spectra.solvers.distributed.lobpcg import near_kernel
from witten.spectra.solvers.distributed.petsc_options import petsc_options

__all__ = ["GroundedInverse"]

Array = NDArray[np.float64]
Nodes = NDArray[np.int64]
# Of conjugate gradients, and how often they start again from what is left.
TOLERANCE, RESTARTS = 1e-10, 2


@dataclass(eq=False)
class GroundedInverse:
    """b -> K^{-1} b on the nodes outside the cores, zero in the cores, for columns (n_owned, any).

    Attributes
    ----------
    operator : the pencil
    inner : the nodes of this rank outside the cores
    log_kernel : logarithms of what the grounded matrix nearly maps to zero, at these nodes
    iterative : whether by conjugate gradients
    options : for PETSc
    """

    operator: FiniteElementLaplacian
    inner: Nodes
    log_kernel: Array
    iterative: bool
    options: Mapping[str, str | None]

    def __enter__(self) -> GroundedInverse:
        self.matrix = self._submatrix(self.operator.stiffness, self.inner)
        self.matrix.setOption(PETSc.Mat.Option.SPD, True)
        self.solver = PETSc.KSP().create(self.operator.comm)
        self.solver.setOperators(self.matrix)
        self.solver.setOptionsPrefix("committor_")
        with self._options():
            if self.iterative:
                near_kernel(self.matrix, np.exp(self.log_kernel))
                self.solver.setType("cg")
                self.solver.getPC().setType("hypre" if PETSc.Sys.hasExternalPackage("hypre") else "gamg")
                self.solver.setTolerances(rtol=TOLERANCE, max_it=400)
            else:
                by_cholesky(self.solver)
            self.solver.setFromOptions()
            self.solver.setUp()
        return self

    def __exit__(self, *_: object) -> None:
        self.solver.destroy()
        self.matrix.destroy()

    def counted(self, rate: float, sound: NDArray[np.bool_]) -> int:
        """How many eigenvalues the grounded pencil has below a rate: of these no committor knows.

        sound : the nodes of this rank, (n_owned,), where rounding has done no harm. High up at the edge of space signs
            of pivots mean nothing, and no mode lives there.
        """
        inner = self.inner[sound[self.inner]]
        mass, shifted = (self._submatrix(m, inner) for m in (self.operator.mass, self.operator.stiffness))
        shifted.axpy(-rate, mass, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        shifted.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        try:
            return not_positive(shifted, self.operator.dimension, self.options)
        finally:
            shifted.destroy()
            mass.destroy()

    def _submatrix(self, matrix: Any, nodes: Nodes) -> Any:
        """The rows and columns of these nodes."""
        rows = (nodes + self.operator.stiffness.getOwnershipRange()[0]).astype(PETSc.IntType)
        both = PETSc.IS().createGeneral(rows, comm=self.operator.comm)
        return matrix.createSubMatrix(both, both)

    def _options(self) -> Any:
        ordering = {"committor_mat_mumps_icntl_7": ORDERING[self.operator.dimension]}
        return petsc_options(self.options, **({} if self.iterative else ordering))

    def __call__(self, b: Array) -> Array:
        x = np.zeros_like(b)
        with petsc_errors(f"the linear solver for committors on {self.operator.n_dofs} unknowns"):
            for j in range(b.shape[1]):
                x[self.inner, j] = self._solved(b[self.inner, j])
        return x

    def _solved(self, b: Array) -> Array:
        right, x = self.matrix.createVecs()
        step = x.duplicate()
        total = np.zeros_like(b)
        for _ in range(RESTARTS if self.iterative else 1):
            right.array[:] = b - times(self.matrix, total[:, None])[:, 0] if total.any() else b
            self.solver.solve(right, step)
            if not self.solver.is_converged:
                raise ConvergenceError(
                    "conjugate gradients did not converge for a committor; refine the mesh, or allow more: "
                    "--petsc '-committor_ksp_max_it 2000'"
                )
            total += step.array
        return total
