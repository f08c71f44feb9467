"""The lowest rates of a Markov generator, be they exponentially small, and its stationary law in every digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from witten.domains.grid import Grid
from witten.linalg.block_elimination import censored
from witten.linalg.gth_elimination import StateReduction
from witten.linalg.nested_dissection import nested_dissection
from witten.objectives import Objective
from witten.objectives.topography.critical_set import reach
from witten.operators.generators.markov_generator import MarkovGenerator
from witten.spectra.generators.generator_pairs import GeneratorPairs, generator_pairs

__all__ = ["LowestRates", "lowest_rates", "nodes_of_wells", "stationary_law"]

Array = NDArray[np.float64]
# Rates below this part of the next are those of the chain of wells, which is exact to that part.
SMALL = 1e-7
# Digits of a rate that the solver may lose, in parts of the rate at its shift.
ROUNDING = 1e-12
# Digits that rates between wells lose beside larger ones, in parts of the largest; the smallest loses none.
OF_WELLS = 1e-13


@dataclass(frozen=True, eq=False)
class LowestRates:
    """The eigenvalues of -Q but the zero, by real part.

    Attributes
    ----------
    values, loss : (k - 1,), and what rounding, edges in doubt and the chain of wells may have changed, relative
    pairs : what Arnoldi's method found
    solver : where the small ones are from
    """

    values: NDArray[np.complex128]
    loss: Array
    pairs: GeneratorPairs
    solver: str


def lowest_rates(
    generator: MarkovGenerator, k: int, known: NDArray[np.complex128], wells: NDArray[np.int64]
) -> LowestRates:
    """By Arnoldi's method; below SMALL of the next from the chain watched in the wells, eliminated without a
    subtraction.

    Parameters
    ----------
    known : eigenvalues of a coarser grid
    wells : nodes, one in each
    """
    pairs, solver = generator_pairs(generator, k, known), "arnoldi"
    found = pairs.eigenvalues[1:k]
    loss = ROUNDING * (1 + pairs.distance / np.maximum(abs(found), 1e-300))
    for j, value in enumerate(found, 1):
        loss[j - 1] += generator.in_doubt(pairs.vectors[:, j], pairs.density) / max(value.real, 1e-300)
    m = wells.size
    if m > 1 and pairs.eigenvalues.size > m:
        small, next_one = max(abs(pairs.eigenvalues[m - 1]), 0.0), pairs.eigenvalues[m].real
        if small < SMALL * next_one:
            chain, solver = _of_wells(generator, wells), "elimination"
            rounding = OF_WELLS * abs(chain).max() / abs(chain)
            rounding[0] = 0.0  # is the last to be eliminated, without a subtraction
            lost, n = 1e-11 + rounding + 2 * abs(chain) / next_one, min(chain.size, k - 1)
            found, loss = np.append(chain[:n], found[n:]), np.append(lost[:n], loss[n:])
    return LowestRates(found, loss, pairs, solver)


def _of_wells(generator: MarkovGenerator, wells: NDArray[np.int64]) -> NDArray[np.complex128]:
    """The small eigenvalues of the chain watched in the wells, the smallest to full relative accuracy."""
    chain = censored(generator.rates, _blocks(generator, wells), wells).generator
    if wells.size == 2:
        return np.array([chain.sum()], dtype=complex)
    found = StateReduction.of(chain, 0).small_eigenvalues(wells.size - 1)
    return np.asarray(found[np.argsort(found.real)])


def _blocks(generator: MarkovGenerator, kept: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Slices along the longest axis as thick as the longest step along it, without what is kept."""
    grid = generator.grid
    axis = int(np.argmax(np.array(grid.shape) / np.maximum(generator.reach, 1)))
    layer = np.nonzero(grid.mask)[axis] // max(int(generator.reach[axis]), 1)
    layer[kept] = -1
    return [np.flatnonzero(layer == each) for each in np.unique(layer[layer >= 0])]


def nodes_of_wells(f: Objective, grid: Grid) -> NDArray[np.int64]:
    """The nodes nearest to the minima of f in the domain."""
    known = reach(f)
    points = known.points[:, grid.box.holds(known.points)]
    with np.errstate(all="ignore"):
        hessian = np.moveaxis(f.piecewise_hessian(points), 2, 0)
    lowest = [x for x, h in zip(points.T, hessian, strict=True) if np.linalg.eigvalsh(h)[0] > 0]
    nodes = grid.points
    near = [int((((nodes - x[:, None]) / grid.spacing[:, None]) ** 2).sum(axis=0).argmin()) for x in lowest]
    return np.unique(near).astype(np.int64)


def stationary_law(generator: MarkovGenerator, wells: NDArray[np.int64]) -> Array:
    """pi with pi Q = 0 and sum 1, (n,), every entry to about twelve digits of itself; 0 where nothing comes.

    The time between two visits of wells, from the factors of an M-matrix, which has no small pivot since wells are
    left out; in the wells the law of the chain watched there. All sums are of numbers that are not negative.

    Parameters
    ----------
    wells : nodes, one in each well; at least one
    """
    order = nested_dissection(generator.grid.mask)
    rest = order[~np.isin(order, wells)]
    into, out = generator.rates[wells], generator.rates[rest][:, wells]
    inner = csc_array(generator.matrix[rest][:, rest])
    lu = splu(inner, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    times = lu.solve(into[:, rest].toarray().T, trans="T").T
    chain = into[:, wells].toarray() + times @ out.toarray()
    law = np.empty(order.size)
    law[wells] = StateReduction.of(chain, 0).stationary
    law[rest] = law[wells] @ times
    return np.asarray(law / law.sum())
