"""Exponentially small rates of a weighted graph, every digit, through the committors of its wells.

With one node grounded in each of m wells, the cores, let h_j be the committor of well j: K h_j = 0 outside the cores,
h_j = 1 in the core of well j and 0 in the others. Any u is H c + w, w zero in the cores, and K u = lambda M u becomes

    C c = lambda (M_0 + lambda M_1 + lambda^2 M_2 + ...) c,    M_p = H^T M (G M)^p H,

C the conductances between the wells and G the inverse of the grounded K. That is exact for every rate below 1/max tau,
tau = G M 1 the mean time on the way to a core; there are at most m - 1 of them, and none is missed. G belongs to an
M-matrix without small eigenvalues, and every entry of C and M_p is a sum of non-negative numbers: no digit is lost,
however small the rates (after [Bovier2004]).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, csr_matrix
from scipy.sparse.linalg import cg, splu

from witten.errors import ConvergenceError
from witten.linalg.graded_eigenvalues import slow_modes
from witten.linalg.merge_tree import MergeTree, merge_tree_of_graph
from witten.memory import require_memory
from witten.operators.kernels import kernel
from witten.operators.witten_laplacian import BLOCKS, WittenLaplacian
from witten.spectra.committors.grounded_laplacian import Grounded, GroundedNodes, Reduced
from witten.spectra.solvers.rayleigh_ritz import RitzPairs, rounding

__all__ = ["SHALLOWEST", "Committors", "absorbed", "factorised"]

Array = NDArray[np.float64]
Inverse = Callable[[Array], Array]

# Wells with a smaller barrier than this many learning rates do not make a rate small.
SHALLOWEST = 3.0
# Wells need no core if their barriers are lower than that of the last rate wanted by more than this many s, so that
# their rates are larger by e^24, ...
RELEVANT = 12.0
# ... and lower than this many: with a deeper one left, the grounded matrix would be close to singular.
NEEDS_CORE = 8.0
MOST_WELLS = 120
# Numbers in an array with a row for each node and a column for each well.
MOST_ENTRIES = 64_000_000
# Such arrays at a time.
COPIES = 6
# Beyond this lambda max tau the series in lambda is not summed.
FASTEST = 0.05
# In three dimensions a factorisation becomes too dear.
FACTOR_UP_TO = 30_000
# Committors that sum to something else than one by this much belong to a singular matrix: a deep well has no core.
WRONG = 1e-3
# Flows below this have lost digits on the way.
NOTHING = 1e-290


@dataclass(frozen=True)
class Committors:
    """Rates below about e^-6 through committors: one factorisation, two solves per well.

    >>> f, grid = witten.gallery.double_well(), witten.Grid(witten.Box((-1.5,), (1.5,)), (800,))
    >>> curve = witten.sweep(witten.FiniteDifferences(f, grid), (0.01,), solver=witten.spectra.Committors())
    >>> print(f"{curve.rates[0]:.1e}")
    8.6e-23

    Parameters
    ----------
    deepest : a core is the lowest node of its well, or all of the well that lies more than this many s below its lowest
        exit: what is cut off there is of order e^{-2 deepest}
    deepest_iterative : the same where systems are solved by conjugate gradients with multigrid, whose errors are
        relative to the largest values
    """

    deepest: float = 150.0
    deepest_iterative: float = 14.0
    name = "committors"

    def solve(self, operator: WittenLaplacian, k: int, start: Array | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state, or fewer where fewer are small; `start` is not needed."""
        a, s = operator.matrix, operator.learning_rate
        found = merge_tree_of_graph(a.indptr, a.indices, operator.values, SHALLOWEST * s)
        m = wells_with_core(found, s, k)
        # Between cells so coarse that a double does not hold e^{(f_i - f_j)/s} there is nothing to be computed.
        possible = np.isfinite(a.diagonal()).all()
        if not possible or m < 2 or m > min(MOST_WELLS, MOST_ENTRIES // operator.n_dofs):
            return self.nothing(operator)
        what = f"the committors of {m} wells on {operator.n_dofs} nodes"
        require_memory(COPIES * 8 * m * operator.n_dofs, what, "ask for a larger rtol, or allow more memory")
        return self._pairs(operator, found.only(slice(m)), k)

    def nothing(self, operator: WittenLaplacian) -> RitzPairs:
        """No pairs."""
        return RitzPairs(np.zeros(0), np.zeros((operator.n_dofs, 0)), np.zeros(0), np.zeros(0))

    def _pairs(self, operator: WittenLaplacian, found: MergeTree, k: int) -> RitzPairs:
        iterative = operator.grid.dimension > 2 and operator.n_dofs > FACTOR_UP_TO
        deepest = self.deepest_iterative if iterative else self.deepest
        grounded = Grounded(operator, GroundedNodes.of(operator, found, deepest))
        try:
            reduced = (_iterative if iterative else _direct)(grounded)
        except RuntimeError:  # a pivot is zero, as a deep well has no core; or conjugate gradients fail
            return self.nothing(operator)
        if not reduced.extra < WRONG:
            return self.nothing(operator)
        log_rates, c = slow_modes(reduced.wells, min(k, found.minima.size - 1), reduced.longest)
        small = np.count_nonzero(log_rates + np.log(reduced.longest) < np.log(FASTEST))
        log_rates, c = log_rates[:small], c[:, :small]
        relative = reduced.errors(log_rates) + rounding(operator)
        rates = np.exp(log_rates)
        psi, modes = reduced.vectors(rates, c)
        residuals = np.linalg.norm(operator.apply(psi) - psi * rates, axis=0)
        return RitzPairs(rates, psi, residuals, relative * rates, log_rates, relative, modes)


def _direct(grounded: Grounded) -> Reduced:
    """By one factorisation; conductances are flows into the cores."""
    inverse = factorised(grounded)
    h, log_conductances, wrong = absorbed(grounded, inverse)
    back = np.maximum(inverse(h), 0.0)
    longest = max(float(back.sum(axis=1).max(initial=0.0)), grounded.longest_inside)
    return Reduced.of(grounded, log_conductances, h, back, longest, 8 * wrong)


def absorbed(grounded: Grounded, inverse: Inverse) -> tuple[Array, Array, float]:
    """The committors h of the cores on the inner nodes, (inner, m), the logarithms of the conductances between cores,
    (m, m), and how wrong rounding has made them: h sums to one, and as much flows one way as the other."""
    h = np.maximum(inverse(grounded.inflow(symmetric=False)), 0.0)
    log_flows = grounded.log_flows(grounded.everywhere(h))
    log_conductances, imbalance = _agreed(log_flows, grounded.cores.log_scale)
    return h, log_conductances, float(abs(h.sum(axis=1) - 1.0).max(initial=0.0)) + imbalance


def factorised(grounded: Grounded) -> Inverse:
    """x -> G M x = (M^{-1} K)^{-1} x on the inner nodes. Rows of M^{-1} K sum to zero, and h comes out between 0 and 1,
    whatever the weights of the nodes."""
    a, log_psi0 = grounded.operator.matrix, grounded.operator.log_ground_state
    rows = np.repeat(log_psi0, np.diff(a.indptr))
    generator = csr_array((a.data * np.exp(log_psi0[a.indices] - rows), a.indices, a.indptr), shape=a.shape)
    lu = splu(
        csc_array(generator[grounded.inner][:, grounded.inner]),
        permc_spec="NATURAL" if grounded.dissected else "MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return lambda b: np.asarray(lu.solve(b))


def _agreed(log_flows: Array, log_scale: Array) -> tuple[Array, float]:
    """Conductances from flows both ways, (m, m), and how far these are apart at most.

    The flow into the higher core is taken: there both committors are large.
    """
    higher = log_scale[:, None] <= log_scale
    chosen = np.where(higher, log_flows, log_flows.T)
    chosen = np.where(higher & higher.T, np.logaddexp(log_flows, log_flows.T) - np.log(2.0), chosen)
    known = log_flows - 2.0 * log_scale[:, None] > np.log(NOTHING)
    both = known & known.T
    apart = np.subtract(log_flows, log_flows.T, out=np.zeros_like(log_flows), where=both)
    return chosen, float(abs(apart).max(initial=0.0))


def _iterative(grounded: Grounded) -> Reduced:
    """By conjugate gradients with multigrid; conductances are energies, which only know errors of second order."""
    c, a, weight = grounded.cores, grounded.operator.matrix, grounded.weight
    inverse = _multigrid(grounded)
    psi = np.maximum(inverse(grounded.inflow(symmetric=True)), 0.0)
    later = np.maximum(inverse(psi), 0.0)
    inside = weight[grounded.inner]
    h, back = (np.divide(x, inside, out=np.zeros_like(x), where=inside > NOTHING) for x in (psi, later))
    energies = -_energies(a.indptr, a.indices, a.data, weight, grounded.everywhere(h)).sum(axis=0)
    with np.errstate(divide="ignore"):
        log_conductances = np.log(np.maximum(energies, 0.0)) + c.log_scale[:, None] + c.log_scale
    # An estimate: tau itself is lost in rounding where psi_0 is small.
    longest = 10 * float(((later**2).sum(axis=0) / (psi * later).sum(axis=0)).max())
    return Reduced.of(grounded, log_conductances, h, back, max(longest, grounded.longest_inside), 1e-10)


def wells_with_core(found: MergeTree, s: float, k: int) -> int:
    """How many wells need a core for the k lowest rates above zero."""
    barriers = found.persistence / s
    return int(np.count_nonzero(barriers >= min(barriers[min(k, barriers.size - 1)] - RELEVANT, NEEDS_CORE)))


@kernel
def _energies(indptr, indices, data, weight, h):  # type: ignore[no-untyped-def]
    """sum_e c_e (h_a(i) - h_a(j)) (h_b(i) - h_b(j)) in units of cores a and b, in blocks (BLOCKS, m, m)."""
    n, m = h.shape
    out = np.zeros((BLOCKS, m, m))
    for block in numba.prange(BLOCKS):
        for i in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if j < i:
                    for a in range(m):
                        flow = data[e] * weight[i, a] * (h[i, a] - h[j, a])
                        for b in range(m):
                            out[block, a, b] -= flow * weight[j, b] * (h[i, b] - h[j, b])
    return out


def _multigrid(grounded: Grounded) -> Inverse:
    """x -> A^{-1} x on the inner nodes, A scaled symmetrically."""
    from pyamg import ruge_stuben_solver

    a = csr_matrix(grounded.operator.matrix[grounded.inner][:, grounded.inner])
    sweeps = [("gauss_seidel", {"sweep": direction}) for direction in ("forward", "backward")]
    preconditioner = ruge_stuben_solver(a, presmoother=sweeps[0], postsmoother=sweeps[1]).aspreconditioner(cycle="V")

    def inverse(b: Array) -> Array:
        x = np.zeros_like(b)
        for j in range(b.shape[1]):
            for _ in range(3):
                step, info = cg(a, b[:, j] - a @ x[:, j], rtol=1e-10, maxiter=200, M=preconditioner)
                if info != 0:
                    raise ConvergenceError("conjugate gradients did not converge for a committor; refine the grid")
                x[:, j] += step
        return x

    return inverse
