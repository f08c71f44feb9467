"""Finite differences on several ranks: rank 0 leads, the others join where a grid is large enough to be shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.objectives.objective import Objective
from witten.operators.witten_laplacian import WittenLaplacian
from witten.parallel.communicators import Communicator, portable
from witten.spectra.solvers.eigensolve import Solver, default_solver
from witten.spectra.solvers.rayleigh_ritz import RitzPairs

__all__ = ["RankTeam", "SharedSolver"]

Array = NDArray[np.float64]
# From so many nodes on, several ranks are faster than one; below, messages cost more than they save.
SHARED_FROM = {1: 10**9, 2: 250_000, 3: 30_000}
# In three dimensions a factorisation is too dear.
FACTORED_IN = (1, 2)


@dataclass(frozen=True)
class RankTeam:
    """Ranks that all hold the objective: one leads a computation, and calls the others when it needs them.

    Parameters
    ----------
    comm : the ranks
    objective : f, on each of them
    options : for PETSc and SLEPc
    """

    comm: Communicator
    objective: Objective
    options: Mapping[str, str | None] = field(default_factory=dict)

    def lead(self, work: Callable[[], Any]) -> Any:
        """What `work` returns on rank 0, on all ranks; what it raises is raised on all. Collective."""
        if self.comm.size == 1:
            return work()
        return self._leading(work) if self.comm.rank == 0 else self._following()

    def _leading(self, work: Callable[[], Any]) -> Any:
        try:
            result = work()
        except Exception as error:
            self.comm.bcast(("failed", portable(error)))
            raise
        self.comm.bcast(("done", result))
        return result

    def _following(self) -> Any:
        while True:
            message: Any = None
            what, content = self.comm.bcast(message)
            if what == "failed":
                raise content
            if what == "done":
                return content
            self._solved(*content)

    def solver(self, grid: Grid) -> Solver:
        """All ranks where a grid is large, its faces reflect and PETSc is there, else one rank."""
        plain = not (any(grid.periodic) or grid.absorbing)
        large = plain and grid.n_nodes >= SHARED_FROM[grid.dimension]
        if self.comm.size > 1 and large and find_spec("slepc4py") is not None:
            return SharedSolver(self)
        return default_solver(grid)

    def solve(self, grid: Grid, learning_rate: float, k: int, start: Array | None) -> RitzPairs:
        """The k lowest pairs on a grid, by all ranks; called on rank 0."""
        task = (grid, learning_rate, k, start)
        self.comm.bcast(("solve", task))
        return self._solved(*task)

    def _solved(self, grid: Grid, learning_rate: float, k: int, start: Array | None) -> RitzPairs:
        """The pairs with all rows of their vectors."""
        from witten.operators.differences.distributed_finite_differences import Slabs
        from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur
        from witten.spectra.solvers.distributed.lobpcg import Preconditioned

        solver = (KrylovSchur if grid.dimension in FACTORED_IN else Preconditioned)(options=self.options)
        operator = Slabs(self.objective, grid, self.comm.mpi).assemble(learning_rate)
        found = solver.solve(operator, k, None if start is None else operator.share(start))
        return RitzPairs(found.rates, operator.gathered(found.psi), found.residuals, found.noise)


@dataclass(frozen=True)
class SharedSolver:
    """The solver that a team is: the operator is assembled anew, each rank its own rows."""

    team: RankTeam

    @property
    def name(self) -> str:
        return f"on {self.team.comm.size} ranks"

    def solve(self, operator: WittenLaplacian, k: int, start: Array | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state, ascending; `start` (n, any) spans a first guess."""
        return self.team.solve(operator.grid, operator.learning_rate, k, start)
