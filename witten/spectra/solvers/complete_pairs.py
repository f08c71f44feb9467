"""The lowest pairs on a first grid, none of them missed."""

from __future__ import annotations

import numpy as np

from witten.errors import ConvergenceError
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.combined import Solver, TwoScales, merged, planned
from witten.spectra.solvers.eigensolve import default_solver
from witten.spectra.solvers.lanczos import Lanczos, missed
from witten.spectra.solvers.rayleigh_ritz import RitzPairs

__all__ = ["complete_pairs"]


def complete_pairs(operator: WittenLaplacian, k: int, wanted: int) -> tuple[Solver, RitzPairs]:
    """The solver for this grid and finer ones, and the k lowest pairs, or at least the wanted ones; none is missed.

    Bisection and committors miss none by themselves; otherwise pairs are counted by inertia.
    """
    solver, pairs = planned(operator, k, wanted, default_solver(operator.grid))
    if not isinstance(solver.fast if isinstance(solver, TwoScales) else solver, Lanczos):
        return solver, pairs
    for seed in range(4):
        if not missed(operator, pairs):
            return solver, pairs.lowest(k)
        random = np.random.default_rng(seed).standard_normal((operator.n_dofs, 4))
        block = np.column_stack([pairs.psi, random])
        pairs = merged(pairs, Lanczos(polish=30).solve(operator, block.shape[1], block))
    raise ConvergenceError(
        f"Lanczos keeps missing eigenvalues of {operator.objective} at learning rate {operator.learning_rate:g}; ask "
        "for more of them"
    )
