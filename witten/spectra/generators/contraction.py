"""How fast all of L2 of the stationary law contracts: the gap of the symmetrised generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.errors import ConvergenceError
from witten.linalg.richardson import extrapolated_logs
from witten.objectives import Objective
from witten.operators.generators.markov_generator import MarkovGenerator
from witten.spectra.generators.generator_pairs import all_eigenvalues
from witten.spectra.generators.lowest_rates import lowest_rates, nodes_of_wells, stationary_law

__all__ = ["log_contraction"]

Array = NDArray[np.float64]


def log_contraction(
    f: Objective, generator: Callable[[Grid], MarkovGenerator], first: Grid, finest: Grid
) -> tuple[float, float]:
    """log kappa and its relative error, kappa = min <u, -L u>/<u, u> over u with mean 0 under the law mu.

    |P_t u| <= e^{-kappa t} |u| in L2(mu) from the start on, for all u with mean 0. It is the gap of (L + L*)/2, at most
    the rate, and the rate itself where there is detailed balance. On the two grids below the finest, extrapolated in
    h^2. Both nan where the law has entries that doubles do not hold.

    Parameters
    ----------
    f : the objective, whose minima are the wells
    generator : of a grid
    first : a grid on which all eigenvalues can be computed
    """
    try:
        known = all_eigenvalues(_symmetrised(f, generator(first)).matrix)
        logs, losses = [], []
        for grid in (finest.coarsened().coarsened(), finest.coarsened()):
            mean = _symmetrised(f, generator(grid))
            found = lowest_rates(mean, 2, known, nodes_of_wells(f, mean.grid))
            known = found.pairs.eigenvalues
            if not found.values[0].real > 0:
                return np.nan, np.nan
            logs.append(np.log(found.values.real))
            losses.append(float(found.loss[0]))
    except ConvergenceError:
        return np.nan, np.nan
    limit, error = extrapolated_logs(logs)
    return float(limit[0]), float(error[0]) + losses[-1]


def _symmetrised(f: Objective, generator: MarkovGenerator) -> MarkovGenerator:
    wells = nodes_of_wells(f, generator.grid)
    lowest = wells if wells.size else np.array([int(np.argmin(f(generator.grid.points)))])
    return generator.symmetrised(stationary_law(generator, lowest))
