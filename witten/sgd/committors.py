"""Small gaps of chains too large to be eliminated: committors between single states, one in each well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import LinearOperator, SuperLU, gmres, splu

from witten.errors import ConvergenceError
from witten.linalg.gth_elimination import StateReduction
from witten.sgd.steps.transfer_operator import TransferOperator

__all__ = ["SlowChain", "small_gap", "spread_states"]

Array = NDArray[np.float64]
# Sweeps of the solve, each in units of what the last one found, so that small values get digits of their own.
SWEEPS, DIGITS, RESTART, CYCLES = 4, 1e-10, 80, 12
# What is left of the right side where rounding ends.
SOLVED = 1e-13
# A value nearer to zero than this part of the largest is not known yet in the next sweep.
FAINTEST = 1e-17


@dataclass(frozen=True, eq=False)
class _Absorbed:
    """P with some states taken out: x -> (1 - P_BB) x on the others."""

    operator: TransferOperator
    cores: NDArray[np.int64]

    def inside(self, x: Array) -> Array:
        """x with zeros at the cores."""
        out = np.array(x, dtype=float)
        out[self.cores] = 0.0
        return out

    @cached_property
    def diffusion(self) -> SuperLU:
        """-h L_BB, factorised, L the generator of the SDE that the chain is close to; the cores keep a one."""
        near = self.operator.neighbour_rates()
        n, beside = self.operator.n_dofs, ~np.isin(near.row, self.cores)
        i, j, rates = near.row[beside], near.col[beside], near.data[beside]
        out = np.bincount(i, weights=rates, minlength=n)
        out[self.cores] = 1.0
        matrix = (diags_array(out) - coo_array((rates, (i, j)), shape=(n, n))).tocsc()
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})

    def solve(self, right: Array) -> Array:
        """(1 - P_BB)^{-1} right for right >= 0, zero at the cores: small values with as many digits as large ones.

        The unknown is divided by the last solution: the chain becomes the one that is bound to be absorbed (Doob).

        Raises
        ------
        ConvergenceError
            if GMRES stops short: a well without a core keeps the chain for long.
        """
        unit, solution, faint = np.ones(right.size), np.zeros(right.size), True
        for _ in range(SWEEPS):
            residual = self.inside(right - solution + self.operator.apply(solution)) / unit
            if not faint and np.abs(residual).max() < SOLVED:
                break
            solution = solution + unit * self._scaled(residual, unit)
            least = FAINTEST * unit * solution.max()
            unit, faint = np.maximum(solution, least), bool((self.inside(least) > solution).any())
        return self.inside(np.maximum(solution, 0.0))

    def _scaled(self, right: Array, unit: Array) -> Array:
        """(1 - P_BB)^{-1} right in these units, by GMRES on (1 - P_BB) M, M = 1 + (-h L_BB)^{-1}: slow parts are those
        of the SDE, and fast ones take a step."""
        n = right.size
        if not np.abs(right).max() > 0:
            return np.zeros(n)

        def nearly(x: Array) -> Array:
            return x + self.inside(self.diffusion.solve(x * unit)) / unit

        def product(x: Array) -> Array:
            y = nearly(x)
            return y - self.inside(self.operator.apply(y * unit)) / unit

        system = LinearOperator((n, n), matvec=product, dtype=float)
        found, stopped = gmres(system, right, rtol=DIGITS, atol=0.0, restart=RESTART, maxiter=CYCLES)
        short = np.linalg.norm(system @ found - right) > 1e-8 * np.linalg.norm(right)
        if stopped and short:
            raise ConvergenceError("committors of the chain did not converge: more wells are slow than were given")
        return nearly(found)


@dataclass(frozen=True, eq=False)
class SlowChain:
    """What a chain does between wells.

    Attributes
    ----------
    gap : 1 - rho_1, to first order in itself
    error : a bound on its relative error
    shares : stationary mass of each well, shape (m,)
    committors : probability to reach each core before the others, shape (n, m)
    """

    gap: float
    error: float
    shares: Array
    committors: Array

    def weighted(self, masses: Array) -> Array:
        """Masses with the right sum in every well, known up to that sum."""
        well = self.committors.argmax(axis=1)
        sums = np.bincount(well, weights=masses, minlength=self.shares.size)
        return np.asarray(masses * (self.shares / np.maximum(sums, 1e-300))[well])


def small_gap(operator: TransferOperator, cores: NDArray[np.int64]) -> SlowChain:
    """The slow part of a chain, by committors between cores, one state in each well.

    With h_b(i) the probability to reach core b before any other, q_ab = sum_j P_aj h_b(j) is that of an excursion from
    a that ends in b, and T_a its mean length: both sums of positive numbers. The chain on the cores that leaves a for
    b with probability q_ab/T_a has the small eigenvalues of 1 - P up to a relative error of about 1 - rho_1 times the
    longest time to a core.
    """
    absorbed = _Absorbed(operator, cores)
    n, m = operator.n_dofs, cores.size
    flows, committors = np.zeros((m, m)), np.zeros((n, m))
    for b in range(m):
        at = np.zeros(n)
        at[cores[b]] = 1.0
        committors[:, b] = absorbed.solve(absorbed.inside(operator.apply(at))) + at
        flows[:, b] = operator.apply(committors[:, b])[cores]
    times = absorbed.solve(absorbed.inside(np.ones(n)))
    lengths = 1.0 + operator.apply(times)[cores]
    np.fill_diagonal(flows, 0.0)
    rates = flows / lengths[:, None]
    slow = StateReduction.of(rates / rates.max(), 0)
    gap = float(slow.small_eigenvalues(1)[0].real) * rates.max()
    return SlowChain(float(gap), float(4 * gap * times.max()), slow.stationary, committors)


def spread_states(vectors: Array, weights: Array) -> NDArray[np.int64]:
    """A state for each column of functions that are nearly constant on wells: corners of their simplex, (n, m) -> (m,).

    (Weber's inner simplex algorithm.) States of next to no weight are passed over; then each moves to the heaviest of
    the states that look like it.
    """
    heavy = np.flatnonzero(weights > 1e-6 * weights.max())
    rows = np.array(vectors[heavy], dtype=float)
    chosen = [int(np.argmax(np.linalg.norm(rows, axis=1)))]
    rest = rows - rows[chosen[0]]
    while len(chosen) < rows.shape[1]:
        length = np.linalg.norm(rest, axis=1)
        chosen.append(int(np.argmax(length)))
        direction = rest[chosen[-1]] / length[chosen[-1]]
        rest = rest - np.multiply.outer(rest @ direction, direction)
    corners = rows[chosen]
    nearest = np.linalg.norm(rows[:, None, :] - corners, axis=2).argmin(axis=1)
    return np.array([heavy[nearest == w][weights[heavy[nearest == w]].argmax()] for w in range(len(chosen))])
