"""Eigenvalues of a Markov generator with the smallest real parts: all of a small one, some of a large one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import ArpackError, LinearOperator, SuperLU, eigs, splu

from witten.errors import ConvergenceError
from witten.linalg.iteration_limits import bounded
from witten.linalg.nested_dissection import nested_dissection
from witten.operators.generators.markov_generator import MarkovGenerator

__all__ = ["GeneratorPairs", "all_eigenvalues", "generator_pairs"]

Array = NDArray[np.float64]
# How many eigenvalues near zero are computed at most, beside guards, and products that Arnoldi may ask for.
MOST, GUARDS, PRODUCTS = 60, 3, 5000
# The shift lies so many times the rate wanted below zero: never on an eigenvalue.
SHIFT = 0.05
# An imaginary part below this part of the modulus is rounding.
REAL = 1e-9


@dataclass(frozen=True, eq=False)
class GeneratorPairs:
    """Eigenvalues of -Q, by real part, the zero first, and their modes.

    Attributes
    ----------
    eigenvalues : (j,)
    vectors : right eigenvectors u, (n, j)
    density : the stationary law of the nodes, (n,), sum 1
    distance : of the shift from zero
    """

    eigenvalues: NDArray[np.complex128]
    vectors: NDArray[np.complex128]
    density: Array
    distance: float

    @property
    def log_density(self) -> Array:
        """log of the stationary law, (n,); as far as doubles know it."""
        return np.asarray(np.log(np.maximum(self.density, 1e-300)))

    def modes(self, k: int) -> Array:
        """u_j, unit norm in L2 of the law, (k, n); of a complex pair real and imaginary part, 1 for the zero."""
        out = np.ones((k, self.density.size))
        for j in range(1, k):
            u, value = self.vectors[:, j], self.eigenvalues[j]
            u = u / u[abs(u).argmax()]
            part = u.imag if value.imag < 0 else u.real
            out[j] = part / np.sqrt(np.sum(self.density * part**2))
        return out


def all_eigenvalues(matrix: csr_array) -> NDArray[np.complex128]:
    """All eigenvalues of a small -Q, by real part."""
    return _sorted(np.linalg.eigvals(matrix.toarray()).astype(complex))[0]


def generator_pairs(generator: MarkovGenerator, k: int, known: NDArray[np.complex128]) -> GeneratorPairs:
    """The k eigenvalues with the smallest real parts, from what is known of a coarser grid.

    All that lie as near to zero as these did are computed, by Arnoldi's method with a factorisation around a shift
    below zero, and sorted.

    Raises
    ------
    ConvergenceError
        if Arnoldi fails, or more than MOST eigenvalues are as near, as under a drift that turns fast.
    """
    wanted = known[:k]
    near = int(np.count_nonzero(abs(known) <= 1.1 * abs(wanted).max()))
    count = max(near, k) + GUARDS
    if count > MOST + GUARDS:
        raise ConvergenceError(
            f"{near} eigenvalues lie nearer to zero than the {k} with the smallest real parts: the drift turns fast; "
            "ask for fewer, or a slower drift"
        )
    shift = -SHIFT * float(np.sort(abs(known))[min(k, known.size - 1)])
    lu, order = _factorised(generator, shift)
    values, vectors = _arnoldi(lu, order, count)
    values, at = _sorted(shift + 1 / values)
    return GeneratorPairs(values, vectors[:, at], _law(lu, order), -shift)


def _sorted(values: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], NDArray[np.int64]]:
    """By real part, the zero (the one nearest to it) first, of pairs the one above the axis first."""
    values = np.where(abs(values.imag) <= REAL * abs(values), values.real, values)
    zero = int(abs(values).argmin())
    real = values.real.copy()
    real[zero] = -np.inf
    order = np.lexsort((-values.imag, real))
    values = values.copy()
    values[zero] = 0.0
    return values[order], order


def _factorised(generator: MarkovGenerator, shift: float) -> tuple[SuperLU, NDArray[np.int64]]:
    order = nested_dissection(generator.grid.mask)
    matrix = csc_array(generator.matrix - shift * eye_array(order.size))[order][:, order]
    options = {"SymmetricMode": True}
    try:
        return splu(csc_array(matrix), permc_spec="NATURAL", diag_pivot_thresh=0.0, options=options), order
    except (RuntimeError, MemoryError) as error:
        raise ConvergenceError(
            f"the generator of {order.size} states could not be factorised ({error}); ask for a larger rtol"
        ) from error


Complex = NDArray[np.complex128]


def _arnoldi(lu: SuperLU, order: NDArray[np.int64], count: int) -> tuple[Complex, Complex]:
    n = order.size
    what, remedy = f"Arnoldi on a generator of {n} states", "ask for a larger learning rate, or fewer rates"
    solve = LinearOperator((n, n), matvec=bounded(lambda x: lu.solve(x.ravel()), PRODUCTS, what, remedy), dtype=float)
    start = np.random.default_rng(0).standard_normal(n)
    try:
        values, found = eigs(solve, k=count, which="LM", v0=start, tol=1e-13, ncv=min(n - 1, 3 * count + 20))
    except ArpackError as error:
        raise ConvergenceError(f"{what} did not converge: {error}; {remedy}") from error
    vectors = np.empty_like(found)
    vectors[order] = found
    return values, vectors


def _law(lu: SuperLU, order: NDArray[np.int64]) -> Array:
    """The stationary law by inverse iteration, which the shift makes converge fast."""
    law = np.ones(order.size)
    for _ in range(12):
        law = abs(lu.solve(law / law.sum(), trans="T"))
    out = np.empty(order.size)
    out[order] = law / law.sum()
    return out
