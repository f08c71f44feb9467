"""The leading eigenvalues of one discrete transfer operator, and its gap however small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eig
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs

from witten import stopwatch
from witten.errors import ConvergenceError, RequestError
from witten.linalg.gth_elimination import StateReduction
from witten.linalg.iteration_limits import bounded
from witten.sgd.balanced_basis import Balanced, conditions
from witten.sgd.committors import SlowChain, small_gap, spread_states
from witten.sgd.steps.transfer_operator import TransferOperator

__all__ = ["LEAK", "ROUNDING", "TransferSpectrum", "arnoldi", "by_modulus", "leading_masses", "operator_spectrum"]

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

# Mass that may leave the box in a step.
LEAK = 1e-14
# A matrix up to this size is handed to LAPACK.
DENSE = 300
# Gaps below the first are computed by elimination, on chains of up to so many states, by dimension; on larger ones by
# committors, if eigenvalues know the gap only to this part.
SMALL_GAP, ELIMINATED, COARSELY = 1e-3, {1: 8000, 2: 2500}, 1e-5
# At most 2 to this power steps are looked ahead.
SQUARINGS = 60
# What a chain loses in a step, relative to its gap, that does not matter for the gap.
NEGLIGIBLE = 1e-10
# A loss from which on a difference of 1 knows it to 1e-8.
LARGE_LOSS = 1e-6
# Eigenvalues among which slow ones are distinguished from the others.
DISTINGUISHED = 6
# Products that Arnoldi may ask for; a few hundred are usual.
MOST = 20_000
# Eigenvalues computed beyond those asked for, so that a multiple one is seen whole.
MORE = 2
EPS = float(np.finfo(float).eps)
ROUNDING = 64 * EPS


@dataclass(frozen=True, eq=False)
class TransferSpectrum:
    """The leading eigenvalues rho_k of the transfer operator P, by modulus.

    Attributes
    ----------
    step_size : h, the learning rate of SGD
    eigenvalues : rho_0 >= |rho_1| >= ..., complex, shape (k,); a cycle of length p shows as eigenvalues near p-th roots
        of unity
    errors : of the eigenvalues, absolute, shape (k,)
    leak : 1 - rho_0, the part lost in each step once the start is forgotten; to relative accuracy
    gap : 1 - |rho_1|/rho_0, to relative accuracy where it is small
    gap_error : its error bar
    stationary : the stationary (where mass is lost: quasi-stationary) masses at the nodes, shape (n,); None where the
        objective is a sum and the spectrum was put together from its terms
    operator : P at the finest resolution; None likewise
    seconds : wall time
    continuous : whether the gap is the bottom of the continuous spectrum, and rho_1 no eigenvalue
    """

    step_size: float
    eigenvalues: Complex
    errors: Array
    leak: float
    gap: float
    gap_error: float
    stationary: Array | None
    operator: TransferOperator | None
    objective: str
    n_dofs: int
    seconds: float
    solver: str
    continuous: bool = False

    @property
    def survival(self) -> float:
        """rho_0 = 1 - leak: 1 for a chain that has a stationary distribution."""
        return 1.0 - self.leak

    @property
    def rate(self) -> float:
        """-log(|rho_1|/rho_0)/h, the rate per unit time t = h k; inf where rho_1 = 0."""
        return -math.log1p(-self.gap) / self.step_size if self.gap < 1 else math.inf

    @property
    def rate_error(self) -> float:
        """Half-width of the error bar of the rate."""
        return self.gap_error / max(1.0 - self.gap, 1e-300) / self.step_size

    @property
    def phases(self) -> Array:
        """arg rho_k / 2 pi, shape (k,): +-1/p at cycles of length p."""
        return np.asarray(np.angle(self.eigenvalues) / (2 * np.pi))

    @property
    def resolved(self) -> bool:
        return bool(self.gap_error < 0.1 * self.gap)

    @cached_property
    def density(self) -> Array:
        """The stationary density at the nodes, shape (n,).

        Raises
        ------
        RequestError
            where the spectrum was put together from the terms of a sum.
        """
        if self.stationary is None or self.operator is None:
            raise RequestError(f"{self.objective} is a sum; ask for the stationary density of its terms one by one")
        return self.stationary / self.operator.volume


def operator_spectrum(operator: TransferOperator, k: int = 6) -> TransferSpectrum:
    """The leading eigenvalues of one discrete operator as it is; error bars are those of rounding alone.

    A gap below 1e-3 is computed again by elimination without a subtraction (`StateReduction`), or, where the chain is
    too large for that and eigenvalues know little of the gap, by committors (`small_gap`).
    """
    began = stopwatch.seconds()
    balanced = Balanced.of(operator)
    found = _leading(balanced, k)
    values, errors, masses = found.values[:k], found.errors[:k], found.masses
    leak, rounding = _loss(operator, masses, values[0].real), _rounding(operator)
    gap = 1.0 - abs(values[1]) / values[0].real if values[0].real > 0 else math.nan
    error = float(errors[:2].sum()) / max(abs(values[0]), 1e-300)
    solver = "arnoldi" if operator.n_dofs > DENSE else "dense"
    small = gap < SMALL_GAP and values[1].real > 0
    if small and operator.n_dofs <= ELIMINATED[operator.grid.dimension]:
        g, masses = _reduced(operator, masses)
        leak, solver = float(masses @ operator.killed), "reduction"
        gap, error = (g - leak) / (1.0 - leak), rounding * (g + leak)
    elif small and leak < LEAK and error > COARSELY * gap:
        slow, masses = _between_wells(balanced, found)
        gap, error, solver = slow.gap, slow.error * slow.gap, "committors"
        masses, leak = slow.weighted(masses), 0.0
    return TransferSpectrum(
        operator.step_size, values, errors, leak, gap, error, masses, operator,
        operator.objective, operator.n_dofs, stopwatch.seconds() - began, solver,
    )  # fmt: skip


def _loss(operator: TransferOperator, masses: Array, survival: float) -> float:
    """1 - rho_0: as a sum of positive parts where it is small; else as that difference, which the sides of the box,
    where the trapezoid rule ends half a cell early, do not disturb."""
    leak = float(masses @ operator.killed)
    return leak if leak < LARGE_LOSS else 1.0 - survival


def _rounding(operator: TransferOperator) -> float:
    """The relative change of the matrix by rounding: of sums, and of nodes that are known to a relative accuracy."""
    farthest = max(abs(bound) for interval in operator.grid.box.intervals for bound in interval)
    return ROUNDING * math.sqrt(operator.n_dofs) + EPS * farthest / float(operator.deviations.min())


def _reduced(operator: TransferOperator, masses: Array) -> tuple[float, Array]:
    """1 - rho_1 of the chain that returns what it loses, and stationary masses; rho_1/rho_0 = (1 - g)/(1 - leak).

    Returned according to the quasi-stationary distribution no eigenvalue changes but the first, which becomes 1, and
    the matrix is full. Returned to the heaviest node the matrix stays sparse, and where next to nothing is lost it is
    the same.
    """
    chain, ground = operator.dense(), int(masses.argmax())
    thin = chain.copy()
    thin[:, ground] += operator.killed
    reduced = StateReduction.of(thin, ground)
    g = float(reduced.small_eigenvalues(1)[0].real)
    if reduced.stationary @ operator.killed > NEGLIGIBLE * g:
        reduced = StateReduction.of(chain + np.multiply.outer(operator.killed, masses), ground)
        g = float(reduced.small_eigenvalues(1)[0].real)
    return g, reduced.stationary


def _between_wells(balanced: Balanced, found: _Leading) -> tuple[SlowChain, Array]:
    """The slow chain between wells, known by the gap in the spectrum, and masses right but for the sums of wells."""
    w = balanced.weights
    slowness = np.maximum(1.0 - abs(found.values), ROUNDING)
    count = 2 + int(np.argmax(slowness[2:] / slowness[1:-1]))
    masses = np.abs(w[:, None] * found.left[:, :count]).sum(axis=1)
    cores = spread_states(found.right[:, :count].real / w[:, None], masses)
    return small_gap(balanced.operator, cores), masses / masses.sum()


@dataclass(frozen=True, eq=False)
class _Leading:
    """Eigenvalues by modulus, their errors and vectors (n, .), and the leading left eigenvector, as above."""

    values: Complex
    errors: Array
    right: Complex
    left: Complex
    masses: Array


def _leading(balanced: Balanced, k: int) -> _Leading:
    """The k eigenvalues of largest modulus, and a few more, among which the gap behind the slow ones is seen.

    Right and left vectors are found one without the other: the eigenvalues must agree, and the angles between the
    vectors say what rounding does to them.
    """
    n, enough = balanced.weights.size, max(k + MORE, DISTINGUISHED)
    if n <= max(DENSE, 2 * enough):
        values, left, right = eig(balanced.dense(), left=True, right=True)
        left_values = values
    else:
        values, right = arnoldi(balanced.apply, n, enough)
        left_values, left = arnoldi(balanced.adjoint, n, enough)
        left = left.conj()
    order, others = _order(values)[:enough], _order(left_values)[:enough]
    values, right, left_values, left = values[order], right[:, order], left_values[others], left[:, others]
    apart = np.abs(values[:, None] - left_values).min(axis=1)
    errors = apart + _rounding(balanced.operator) * balanced.norm * conditions(values, right, left_values, left)
    if n <= DENSE:
        return _Leading(values, errors, right, left, _masses_by_squaring(balanced.operator.dense()))
    masses = np.abs(balanced.weights * left[:, np.argmax(left_values.real)].real)
    return _Leading(values, errors, right, left, masses / masses.sum())


def _masses_by_squaring(matrix: Array) -> Array:
    """The leading left eigenvector of a non-negative matrix, of sum 1: the column sums of P^(2^m), without a
    subtraction.

    (LAPACK scales rows and columns first, which keeps the eigenvalues of a graded matrix and ruins its vectors.)
    """
    before = np.zeros(len(matrix))
    for _ in range(SQUARINGS):
        masses = matrix.sum(axis=0)
        if not masses.sum() > 0:  # all is lost in a step, from wherever
            return np.full(len(matrix), 1.0 / len(matrix))
        masses /= masses.sum()
        if np.abs(masses - before).sum() < ROUNDING:
            break
        before, matrix = masses, matrix @ (matrix / matrix.max())
    return np.asarray(masses)


def leading_masses(adjoint: Callable[[Array], Array], n: int, start: Array | None = None) -> Array:
    """The leading left eigenvector of an operator on n nodes, non-negative and of sum 1; from a guess where given."""
    masses = np.abs(arnoldi(adjoint, n, 1, start)[1][:, 0].real)
    return np.asarray(masses / masses.sum())


def by_modulus(values: NDArray[Any]) -> Complex:
    """By modulus; conjugate and opposite pairs in an order that rounding does not decide."""
    return np.asarray(values[_order(values)], dtype=complex)


def _order(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.lexsort((-values.imag, -values.real.round(12), -np.abs(values).round(12)))


def arnoldi(
    apply: Callable[[Array], Array], n: int, k: int, start: Array | None = None
) -> tuple[Complex, Complex]:
    """The k eigenvalues of largest modulus and their vectors."""
    if start is None:
        start = 1.0 + 0.5 * np.random.default_rng(0).random(n)
    what, remedy = f"Arnoldi for {k} eigenvalues on {n} nodes", "ask for a larger learning rate"
    product = bounded(lambda x: apply(x.ravel()), MOST, what, remedy)
    operator = LinearOperator((n, n), matvec=product, dtype=float)
    try:
        values, vectors = eigs(operator, k=k, which="LM", v0=start, ncv=min(n, max(4 * k, 24)))
    except ArpackError as error:
        raise ConvergenceError(f"{what} did not converge: {error}; {remedy}") from error
    return values, vectors
