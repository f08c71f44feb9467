"""`eigensolve` for an operator whose rows are distributed to ranks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.operators.distributed_laplacian import DistributedLaplacian
from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur
from witten.spectra.solvers.distributed.lobpcg import Preconditioned
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs
from witten.spectra.spectrum import Spectrum

__all__ = ["DistributedSolver", "distributed_eigensolve", "distributed_solver"]

# In three dimensions a factorisation is too dear beyond so many unknowns.
FACTOR_UP_TO = 25_000


class DistributedSolver(Protocol):
    """A solver: small frozen settings and one method."""

    @property
    def name(self) -> str: ...

    def solve(
        self, operator: DistributedLaplacian, k: int, start: NDArray[np.float64] | None = None
    ) -> RitzPairs:
        """The k lowest pairs above the ground state, ascending; `start` (n_owned, any) spans a first guess."""
        ...


def distributed_solver(n_dofs: int, dimension: int) -> DistributedSolver:
    """A factorisation while it is cheap, else a multigrid preconditioner."""
    return KrylovSchur() if dimension < 3 or n_dofs <= FACTOR_UP_TO else Preconditioned()


def distributed_eigensolve(
    operator: DistributedLaplacian, k: int, *, solver: DistributedSolver | None = None
) -> Spectrum:
    """The k lowest eigenvalues of a distributed operator, zero included; error bars are the solver's alone. Collective.

    Parameters
    ----------
    operator : of FiniteElements or Slabs
    k : number of eigenvalues
    solver : KrylovSchur(), Preconditioned(); chosen by size where left out
    """
    solver = solver or distributed_solver(operator.n_dofs, operator.dimension)
    began = stopwatch.seconds()
    pairs = solver.solve(operator, k - 1 + GUARDS)
    nodes, modes = operator.gathered_modes(np.column_stack([operator.ground_state, pairs.psi[:, : k - 1]]))
    return Spectrum(
        learning_rate=operator.learning_rate,
        rates=np.append(0.0, pairs.rates[: k - 1]),
        errors=np.append(0.0, pairs.errors(k - 1)),
        modes=modes,
        grid=nodes,
        objective=operator.objective,
        solver=solver.name,
        n_dofs=operator.n_dofs,
        seconds=stopwatch.seconds() - began,
    )
