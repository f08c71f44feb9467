"""The verb: the k lowest eigenvalues of an assembled operator, by a solver chosen from its size and dimension."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.dense import Dense
from witten.spectra.lanczos import Lanczos
from witten.spectra.multigrid import Multigrid
from witten.spectra.ritz import GUARDS, RitzPairs
from witten.spectra.spectrum import Spectrum

__all__ = ["Solver", "default_solver", "eigensolve", "require_count"]

DENSE_UP_TO = 300
# In one and two dimensions a factorisation stays cheap.
FACTOR_UP_TO = {1: 2_000_000, 2: 1_500_000, 3: 20_000}


class Solver(Protocol):
    """A solver: small frozen settings and one method."""

    @property
    def name(self) -> str: ...

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state, ascending; `start` (n, any) spans a first guess."""
        ...


def default_solver(n_dofs: int, dimension: int) -> Solver:
    """Dense up to 300 nodes, a sparse factorisation while it is cheap, multigrid beyond."""
    if n_dofs <= DENSE_UP_TO:
        return Dense()
    return Lanczos() if n_dofs <= FACTOR_UP_TO[dimension] else Multigrid()


def require_count(k: int, largest: int) -> None:
    """Refuse a number of eigenvalues out of 1 ... largest."""
    if k != int(k) or k < 1:
        raise RequestError(f"the number of eigenvalues must be a whole number from 1, got {k}")
    if k > largest:
        raise RequestError(
            f"{k} eigenvalues are more than this operator can give; ask for at most {largest}, or refine"
        )


def eigensolve(operator: WittenLaplacian, k: int, *, solver: Solver | None = None) -> Spectrum:
    """The k lowest eigenvalues of a discrete operator, zero included; error bars are the solver's alone.

    Parameters
    ----------
    operator : WittenLaplacian on n nodes
    k : 1 <= k < n - GUARDS
    solver : Dense(), Lanczos(), Multigrid() or any Solver; chosen from n and d where left out

    Raises
    ------
    RequestError
        if k is out of range.
    ConvergenceError
        if the solver does not converge.
    """
    require_count(k, operator.n_dofs - GUARDS - 1)
    if not np.isfinite(operator.matrix.diagonal()).all():
        raise RequestError(
            f"cells are too coarse for learning rate {operator.learning_rate:g}: from one to the next e^(f/s) "
            "changes by more than a double holds; refine the grid, or mask it to a sublevel set"
        )
    solver = solver or default_solver(operator.n_dofs, operator.grid.dimension)
    began = time.perf_counter()
    pairs = solver.solve(operator, k - 1 + GUARDS)
    return Spectrum(
        learning_rate=operator.learning_rate,
        rates=np.append(0.0, pairs.rates[: k - 1]),
        errors=np.append(0.0, pairs.errors(k - 1)),
        modes=operator.modes(np.column_stack([operator.ground_state, pairs.psi[:, : k - 1]])),
        grid=operator.grid,
        objective=operator.objective,
        solver=solver.name,
        n_dofs=operator.n_dofs,
        seconds=time.perf_counter() - began,
    )
