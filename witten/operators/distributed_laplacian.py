"""The Witten-Laplacian on several ranks: a pencil of PETSc matrices, and the form in differences beside it."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from witten.domains.grid import Grid
from witten.domains.meshes.nodal_mesh import NodalMesh
from witten.errors import ConvergenceError

__all__ = ["FACTOR_ONCE_UP_TO", "DistributedLaplacian", "times"]

Array = NDArray[np.float64]
# A mass matrix scaled to a unit diagonal has a condition number kappa of a few tens, and of 1e5 where f is steep within
# cells, which takes 400 steps. Conjugate gradients fall short of r^T M^{-1} r by kappa MASS_TOLERANCE^2 of it at most.
MASS_TOLERANCE, MASS_STEPS = 1e-3, 400
# Up to so many unknowns a matrix can be factored.
FACTOR_ONCE_UP_TO = {1: 10**9, 2: 10**9, 3: 60_000}


@dataclass(frozen=True, eq=False)
class DistributedLaplacian(ABC):
    """The pencil K psi = lambda M psi, whose eigenvalues are the rates, with the rows distributed to ranks.

    A block of vectors is an array (n_owned, k): the rows of this rank. What is said to be summed is summed over the
    ranks in their order, so that all of them hold the same bits.

    Parameters
    ----------
    learning_rate : s > 0
    objective : the objective's name
    dimension : d
    comm : the ranks' communicator, of mpi4py
    stiffness, mass : K and M, PETSc matrices, symmetric, with entries of order one; a mass of
        None stands for the identity
    workspace : what solvers keep with the matrices, to use again for others of the same pattern
    known : eigenvectors that solvers leave out beside the ground state, (n_owned, m), orthonormal in the mass matrix
    """

    learning_rate: float
    objective: str
    dimension: int
    comm: Any
    stiffness: Any
    mass: Any
    workspace: dict[str, Any] = field(default_factory=dict, repr=False)
    known: Array | None = field(default=None, repr=False)

    @property
    def n_dofs(self) -> int:
        return int(self.stiffness.getSize()[0])

    @property
    def n_owned(self) -> int:
        return int(self.stiffness.getLocalSize()[0])

    @property
    @abstractmethod
    def ground_state(self) -> Array:
        """psi_0, K psi_0 = 0, the rows of this rank, normalised to psi_0^T M psi_0 = 1."""

    @abstractmethod
    def apply(self, psi: Array) -> Array:
        """K psi from differences, without cancellation, (n_owned, k)."""

    @abstractmethod
    def dirichlet_form(self, psi: Array) -> Array:
        """psi^T K psi from differences, without cancellation, summed: (n_owned, k) -> (k, k)."""

    @abstractmethod
    def gathered_modes(self, psi: Array) -> tuple[Grid | NodalMesh, Array]:
        """All nodes, and u = psi / psi_0 on them, (n_owned, k) -> (k, n), on every rank."""

    @cached_property
    def scale(self) -> float:
        """sum_i K_ii psi_0i^2: rounding moves the lowest eigenvalues by eps times this. It does not grow where f is
        steep, since psi_0 falls as K_ii grows."""
        return float(self.gram_diagonal(self.ground_state[:, None])[0])

    def gram_diagonal(self, psi: Array) -> Array:
        """sum_i K_ii psi_i^2 for each column, summed."""
        return self.summed(self.stiffness.getDiagonal().array @ psi**2)

    def vector(self, values: Array) -> Any:
        """A PETSc vector of the rows of this rank."""
        vector = self.stiffness.createVecRight()
        vector.array[:] = values
        return vector

    def solved(self, inverse: Any, psi: Array) -> Array:
        """inverse M psi for a PETSc linear solver, column by column."""
        x, y = self.stiffness.createVecs()
        columns = []
        for column in self.times_mass(self.project(psi)).T:
            x.array[:] = column
            inverse.solve(x, y)
            columns.append(y.array.copy())
        return np.stack(columns, axis=1)

    def shifted(self, rate: float, out: Any = None) -> Any:
        """K + rate M, a new matrix, or one given of the same pattern."""
        same = PETSc.Mat.Structure.SAME_NONZERO_PATTERN
        shifted: Any = self.stiffness.copy(out, structure=None if out is None else same)
        if self.mass is None:
            shifted.shift(rate)
        else:
            shifted.axpy(rate, self.mass, structure=same)
        shifted.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        return shifted

    def times_mass(self, psi: Array) -> Array:
        """M psi, (n_owned, k)."""
        return psi if self.mass is None else times(self.mass, psi)

    def gram(self, a: Array, b: Array | None = None) -> Array:
        """a^T M b, summed."""
        return self.summed(a.T @ self.times_mass(a if b is None else b))

    @cached_property
    def deflated(self) -> Array:
        """psi_0 and what else is known, (n_owned, 1 + m)."""
        psi0 = self.ground_state[:, None]
        return psi0 if self.known is None else np.column_stack([psi0, self.known])

    @cached_property
    def _dual(self) -> Array:
        return self.times_mass(self.deflated)

    def project(self, psi: Array) -> Array:
        """psi less its part in the span of the ground state, and of what else is known; twice."""
        for _ in range(2):
            psi = psi - self.deflated @ self.summed(self._dual.T @ psi)
        return psi

    def dual_norms(self, residual: Array) -> Array:
        """sqrt(r^T M^{-1} r) of the columns: the norms in which a residual bounds the error of an eigenvalue.

        By conjugate gradients; by a factorisation where they stop short, since what they have by then is too small for
        a bound. ConvergenceError where the mesh is too large for one, or M is singular to rounding.
        """
        if self.mass is None:
            return np.sqrt(np.diag(self.summed(residual.T @ residual)))
        x, y = self.mass.createVecs()
        squares = []
        for column in residual.T:
            x.array[:] = column
            self._mass_solver.solve(x, y)
            if not self._mass_solver.is_converged and self.n_dofs <= FACTOR_ONCE_UP_TO[self.dimension]:
                self._mass_factors.solve(x, y)
            elif not self._mass_solver.is_converged:
                raise ConvergenceError(
                    f"conjugate gradients on the mass matrix did not converge in {MASS_STEPS} steps, so that nothing "
                    "bounds the errors of rates; give a finer mesh, or elements of a lower degree"
                )
            squares.append(x.dot(y))
        if not np.min(squares, initial=0.0) >= 0:
            raise ConvergenceError(
                "the mass matrix is singular to rounding, so that nothing bounds the errors of rates; give a finer "
                "mesh, or elements of a lower degree"
            )
        return np.sqrt(np.array(squares))

    @cached_property
    def _mass_solver(self) -> Any:
        """Conjugate gradients until r^T D^{-1} r, D the diagonal of M, has fallen: in the usual norm of D^{-1} r they
        would stop early or late by how the basis is scaled."""
        solver: Any = PETSc.KSP().create(self.comm)
        solver.setOperators(self.mass)
        solver.setType("cg")
        solver.getPC().setType("jacobi")
        solver.setNormType(PETSc.KSP.NormType.NATURAL)
        solver.setTolerances(rtol=MASS_TOLERANCE, max_it=MASS_STEPS)
        return solver

    @cached_property
    def _mass_factors(self) -> Any:
        solver = PETSc.KSP().create(self.comm)
        solver.setOperators(self.mass)
        solver.setType("preonly")
        solver.getPC().setType("cholesky")
        solver.getPC().setFactorSolverType("mumps")
        return solver

    def summed(self, values: Array) -> Array:
        """The sum over the ranks, taken in their order: the same bits on each."""
        if self.comm.size == 1:
            return values
        total: Array = np.sum(self.comm.allgather(values), axis=0)
        return total


def times(matrix: Any, columns: Array) -> Array:
    """A PETSc matrix times columns, (n_owned, k)."""
    x, y = matrix.createVecs()
    products = []
    for column in columns.T:
        x.array[:] = column
        matrix.mult(x, y)
        products.append(y.array.copy())
    return np.stack(products, axis=1)
