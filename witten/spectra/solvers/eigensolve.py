"""The verb: the k lowest eigenvalues of an assembled operator, by a solver chosen from its size and dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from witten import stopwatch
from witten.domains.grid import Grid
from witten.errors import GridError, RequestError
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.combined import Solver, planned
from witten.spectra.solvers.dense import Dense
from witten.spectra.solvers.lanczos import Lanczos
from witten.spectra.solvers.lobpcg import Multigrid
from witten.spectra.solvers.rayleigh_ritz import GUARDS, functions
from witten.spectra.solvers.sturm import Chain
from witten.spectra.spectrum import Spectrum

__all__ = ["Solver", "default_solver", "eigensolve", "require_count"]

DENSE_UP_TO = 300
# In two dimensions a factorisation stays cheap.
FACTOR_UP_TO = {1: np.inf, 2: 1_500_000, 3: 20_000}


def default_solver(grid: Grid) -> Solver:
    """On a line the chain; else dense up to 300 nodes, a factorisation while it is cheap, multigrid beyond."""
    if grid.is_chain:
        return Chain()
    if grid.n_nodes <= DENSE_UP_TO:
        return Dense()
    return Lanczos() if grid.n_nodes <= FACTOR_UP_TO[grid.dimension] else Multigrid()


def require_count(k: int, largest: int, remedy: str = ", or refine") -> None:
    """Refuse a number of eigenvalues out of 1 ... largest."""
    if k != int(k) or k < 1:
        raise RequestError(f"the number of eigenvalues must be a whole number from 1, got {k}")
    if k > largest:
        raise RequestError(f"{k} eigenvalues are more than can be computed; ask for at most {largest}{remedy}")


def eigensolve(operator: Any, k: int, *, solver: Any = None) -> Spectrum:
    """The k lowest eigenvalues of a discrete operator, zero included; error bars are the solver's alone.

    >>> from witten.spectra import Dense
    >>> grid = witten.Grid(witten.Box((-4.0,), (4.0,)), (256,))
    >>> operator = witten.FiniteDifferences(witten.gallery.quadratic(), grid).assemble(0.5)
    >>> print(*(f"{rate:.2f}" for rate in witten.eigensolve(operator, 3, solver=Dense()).rates))
    0.00 1.00 2.00

    Parameters
    ----------
    operator : WittenLaplacian on n nodes, or a DistributedLaplacian (collective; with solvers for these)
    k : 1 <= k < n - GUARDS
    solver : Chain(), Dense(), Lanczos(), Multigrid(), TwoScales(...) or any Solver. Where left out one is chosen from n
        and d, and joined or replaced by Committors() where these know a rate better

    Raises
    ------
    RequestError
        if k is out of range.
    ConvergenceError
        if the solver does not converge.
    """
    require_count(k, operator.n_dofs - GUARDS - 1)
    if not isinstance(operator, WittenLaplacian):
        from witten.spectra.solvers.distributed.eigensolve import distributed_eigensolve

        return distributed_eigensolve(operator, k, solver=solver)
    if not np.isfinite(operator.matrix.diagonal()).all():
        raise GridError(
            f"cells are too coarse for learning rate {operator.learning_rate:g}: from one to the next e^(f/s) "
            "changes by more than a double holds; refine the grid, or mask it to a sublevel set"
        )
    began = stopwatch.seconds()
    if solver is None:
        fast = default_solver(operator.grid)
        solver, pairs = planned(operator, k - 1 + GUARDS, k - 1, fast)
    else:
        pairs = solver.solve(operator, k - 1 + GUARDS)
    return Spectrum(
        learning_rate=operator.learning_rate,
        rates=np.append(0.0, pairs.rates[: k - 1]),
        errors=np.append(0.0, pairs.errors(k - 1)),
        log_rates=np.append(-np.inf, pairs.log_rates[: k - 1]),
        relative_errors=np.append(0.0, pairs.relative_errors(k - 1)),
        modes=functions(operator, pairs)[:k],
        grid=operator.grid,
        objective=operator.objective,
        solver=solver.name,
        n_dofs=operator.n_dofs,
        seconds=stopwatch.seconds() - began,
    )
