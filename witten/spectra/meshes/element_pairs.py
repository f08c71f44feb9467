"""The lowest modes of one mesh: small rates by committors, the others by Krylov-Schur or LOBPCG; none is missed."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial import cKDTree

from witten.errors import ConvergenceError
from witten.operators.distributed_laplacian import FACTOR_ONCE_UP_TO
from witten.operators.elements.finite_elements import FiniteElementLaplacian
from witten.spectra.committors.graph import SHALLOWEST
from witten.spectra.committors.elements import ElementCommittors, SmallPairs, deep
from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur, count_below
from witten.spectra.solvers.distributed.lobpcg import Preconditioned
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs
from witten.spectra.solvers.combined import ENOUGH, SHALLOW

__all__ = ["ElementPairs", "ElementSolvers", "TooLargeToFactor", "transferred"]

Array = NDArray[np.float64]

# Below this an ordinary solver starts to lose digits, above it knows ten.
TINY = 1e-9
# Up to so many unknowns a factorisation is cheap.
FACTOR_UP_TO = {1: 10**9, 2: 10**9, 3: 25_000}


class TooLargeToFactor(ConvergenceError):
    """An iteration failed on a mesh that cannot be factored instead; nothing speaks against coarser ones."""


@dataclass(frozen=True, eq=False)
class ElementPairs:
    """The lowest modes above the ground state, ascending.

    Attributes
    ----------
    operator : of which they are
    log_rates : logarithms of the rates, shape (k,)
    relative : their relative errors against the discrete ones, shape (k,)
    psi : the nodes of this rank, unit norm in the mass matrix, (n_owned, k)
    differences : u less its value at the first node of each cell, (cells nodes, k)
    counted : eigenvalues that inertia counts below a bound, the zero included, here or on the last mesh factored
    solver : the name of what solved it
    """

    operator: FiniteElementLaplacian
    log_rates: Array
    relative: Array
    psi: Array
    differences: Array
    counted: int
    solver: str


@dataclass(frozen=True)
class ElementSolvers:
    """Which solver for which mesh.

    Parameters
    ----------
    pairs : how many pairs to compute
    wanted : how many of them matter, the others being guards
    options : for PETSc
    accuracy : wanted of the rates of a mesh, where they come from an iteration
    """

    pairs: int
    wanted: int
    options: Mapping[str, str | None]
    accuracy: float

    def __call__(self, operator: FiniteElementLaplacian, coarser: ElementPairs | None) -> ElementPairs:
        """The lowest pairs of a mesh; those of a coarser one are a start. Collective. TooLargeToFactor if an iteration
        fails on a mesh too large for a factorisation. ConvergenceError if another solver fails, or eigenvalues are
        missed."""
        factored = operator.n_dofs <= FACTOR_UP_TO[operator.dimension]
        every = self._small(operator, factored)
        # Where committors know a rate to the last digit, an ordinary solver has fewer.
        better = (every.relative <= (ENOUGH if factored else self.accuracy)) | (every.rates < TINY)
        small = every.lowest(int(np.count_nonzero(better)))
        if small.rates.size >= self.wanted:
            counted = _agreed(operator, every) if every.counted is not None or coarser is None else coarser.counted
            return _completed(operator, small, None, counted, ElementCommittors.name)
        rest = replace(operator, known=_orthonormal(operator, small.psi)) if small.rates.size else operator
        k = self.pairs - small.rates.size
        prefix = f"{ElementCommittors.name}+" if small.rates.size else ""
        if factored or coarser is None:
            solver = KrylovSchur(options=self.options)
            fast, counted = _counted(rest, solver, k)
            return _completed(operator, small, fast, counted, prefix + solver.name)
        iterative = Preconditioned(tolerance=self.accuracy**0.5, options=self.options)
        start = transferred(coarser.operator, coarser.psi, operator)
        try:
            fast = iterative.solve(rest, k, start[:, small.rates.size :])
        except ConvergenceError as error:
            # Multigrid can fail on cells across which f is steep; what can be factored needs none.
            if operator.n_dofs > FACTOR_ONCE_UP_TO[operator.dimension]:
                raise TooLargeToFactor(str(error)) from error
            direct = KrylovSchur(options=self.options)
            return _completed(operator, small, direct.solve(rest, k), coarser.counted, prefix + direct.name)
        return _completed(operator, small, fast, coarser.counted, prefix + iterative.name)

    def _small(self, operator: FiniteElementLaplacian, factored: bool) -> SmallPairs:
        """What committors find, where there is a barrier: any, where the alternative is an iteration."""
        if not deep(operator, SHALLOW if factored else SHALLOWEST):
            return SmallPairs.nothing(operator)
        iterative = operator.n_dofs > FACTOR_ONCE_UP_TO[operator.dimension]
        return ElementCommittors(iterative=iterative, options=self.options).solve(operator, self.pairs)


def _completed(
    operator: FiniteElementLaplacian, small: SmallPairs, fast: RitzPairs | None, counted: int, solver: str
) -> ElementPairs:
    """Small pairs first, others behind them."""
    if fast is None:
        return ElementPairs(operator, small.log_rates, small.relative, small.psi, small.differences, counted, solver)
    k = fast.rates.size
    return ElementPairs(
        operator,
        np.append(small.log_rates, fast.log_rates),
        np.append(small.relative, fast.relative_errors(k)),
        np.column_stack([small.psi, fast.psi]),
        np.column_stack([small.differences, operator.differences(fast.psi)]),
        counted,
        solver,
    )


def _orthonormal(operator: FiniteElementLaplacian, psi: Array) -> Array:
    """Orthonormal in the mass matrix, and to the ground state; the more so as the rates are small."""
    psi = operator.project(psi)
    factor = cholesky(operator.gram(psi), lower=True)
    return np.asarray(solve_triangular(factor, psi.T, lower=True).T)


def _counted(operator: FiniteElementLaplacian, solver: KrylovSchur, k: int) -> tuple[RitzPairs, int]:
    """The k lowest pairs, none of them missed; and the number of eigenvalues, zero included, that inertia counts."""
    known = operator.deflated.shape[1] - 1
    pairs = solver.solve(operator, k)
    for seed in range(3):
        low, high = pairs.rates[-GUARDS - 1 : -1], pairs.rates[-GUARDS:]
        at = int((high / low).argmax())
        found = known + pairs.rates.size - GUARDS + at
        counted = count_below(operator, 0.5 * (low[at] + high[at]), options=solver.options)
        if counted == found:
            return pairs.lowest(k), counted + 1
        random = np.random.default_rng(seed).standard_normal((operator.n_owned, 4))
        pairs = solver.solve(operator, pairs.rates.size + 4, np.column_stack([pairs.psi, random]))
    raise ConvergenceError(
        f"{operator.objective} at learning rate {operator.learning_rate:g}: {found} eigenvalues were found and "
        f"{counted} counted below {0.5 * (low[at] + high[at]):.6g}; ask for more of them, or a larger subspace: "
        f"--petsc '-eps_ncv {6 * k}'"
    )


def _agreed(operator: FiniteElementLaplacian, small: SmallPairs) -> int:
    """The number of small eigenvalues, zero included, that inertia counts: as many as were found."""
    if small.counted not in (None, small.found):
        raise ConvergenceError(
            f"{operator.objective} at learning rate {operator.learning_rate:g}: {small.found} small eigenvalues were "
            f"found and {small.counted} counted; take finite differences, or a finer mesh"
        )
    return small.found


def transferred(coarse: FiniteElementLaplacian, psi: Array, fine: FiniteElementLaplacian) -> Array:
    """The modes on another mesh, roughly: u = psi / psi_0, smooth even where psi is not, from the d + 1 nearest nodes.

    A start for an iteration needs no more; finding the cell of every node takes longer than the iterations.
    """
    comm = coarse.comm
    u = np.concatenate(comm.allgather(coarse.functions(psi)))
    tree = cKDTree(np.concatenate(comm.allgather(_nodes(coarse))))
    distance, nearest = tree.query(_nodes(fine), k=coarse.dimension + 1)
    weight = 1.0 / np.maximum(distance, 1e-12 * distance.max(initial=1.0))
    weight /= weight.sum(axis=1, keepdims=True)
    out: Array = np.einsum("nj,njk->nk", weight, u[nearest]) * fine.ground_state[:, None]
    return out


def _nodes(operator: FiniteElementLaplacian) -> Array:
    """The nodes of this rank, shape (n_owned, d)."""
    points: Array = operator.discretisation.space.tabulate_dof_coordinates()[: operator.n_owned, : operator.dimension]
    return points
