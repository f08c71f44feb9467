"""Singular values of d_f between two degrees of forms, by the finite elements of `ElementComplex`."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, svd
from scipy.sparse import block_array, csr_array
from scipy.sparse.csgraph import connected_components
from petsc4py import PETSc

from witten.errors import ConvergenceError
from witten.forms.on_meshes.element_complex import ElementComplex
from witten.spectra.solvers.distributed.krylov_schur import ORDERING, by_cholesky, petsc_errors
from witten.spectra.solvers.distributed.petsc_options import petsc_options
from witten.spectra.solvers.rayleigh_ritz import GUARDS

__all__ = ["ShiftedInverse", "SingularPairs", "element_rates", "singular_pairs"]

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# Applications of the inverse to a block before Rayleigh and Ritz, and how often that is repeated.
POWERS, MOST_ROUNDS = 3, 40
# Change of a Ritz vector in a round, at which it is taken; and that at which it is where rounding lets it fall no
# further.
TOLERANCE, STALLED = 1e-12, 1e-7
# Zeros are below this part of the first that is none.
ZERO = 1e-6


@dataclass(frozen=True, eq=False)
class ShiftedInverse:
    """(S + tau)^{-1} of a symmetric S with S y . y = |A y|^2, without a matrix of it.

    Attributes
    ----------
    solve : M u, (n, m), to y with S y + tau M y = M u, and the flux of y, whose square in `of_flux` is S y . y
    mass : M, the inner product of y
    of_flux : the inner product of fluxes
    rounding : y to what rounding leaves of each flux, (m,)
    shift : tau
    """

    solve: Callable[[Array], tuple[Array, Array]]
    mass: csr_array
    of_flux: csr_array
    rounding: Callable[[Array], Array]
    shift: float


def top_inverse(complex_: ElementComplex, shift: float) -> ShiftedInverse:
    """S = A_{d-1} A_{d-1}^T on d-forms: the flux is that of a mixed method, M_{d-1} flux = -A^T M_d y."""
    d = complex_.dimension
    below, mass = complex_.masses[d - 1 :]
    coupling = csr_array(mass @ complex_.witten_differential(d - 1))
    factor = _factored(block_array([[below, coupling.T], [coupling, -shift * mass]]), d)
    n = below.shape[0]

    def solve(b: Array) -> tuple[Array, Array]:
        found = factor(np.vstack([np.zeros((n, b.shape[1])), -b]))
        return found[n:], found[:n]

    return ShiftedInverse(
        solve, mass, below, lambda y: 8 * EPS * np.linalg.norm(abs(coupling).T @ abs(y), axis=0), shift
    )


def lower_inverse(complex_: ElementComplex, q: int, shift: float) -> ShiftedInverse:
    """S = A_q^T M_{q+1} A_q on the q-forms that are orthogonal to the range of A_{q-1}, q <= 1 [Kikuchi1989]."""
    mass, above = complex_.masses[q : q + 2]
    a = complex_.witten_differential(q)
    matrix = csr_array(a.T @ above @ a) + shift * mass
    n = mass.shape[0]
    if q:
        constraint = csr_array(mass @ _injective(complex_))
        matrix = block_array([[matrix, constraint], [constraint.T, None]])
    factor = _factored(matrix, complex_.dimension)

    def solve(b: Array) -> tuple[Array, Array]:
        y = factor(np.vstack([b, np.zeros((matrix.shape[0] - n, b.shape[1]))]))[:n]
        return y, np.asarray(a @ y)

    return ShiftedInverse(solve, mass, above, lambda y: 8 * EPS * np.linalg.norm(abs(a) @ abs(y), axis=0), shift)


def _factored(matrix: csr_array, dimension: int) -> Callable[[Array], Array]:
    """b, (n, m), to the solution of a symmetric system, definite or not, by MUMPS."""
    matrix = csr_array(matrix)
    matrix.sort_indices()
    rows = tuple(each.astype(PETSc.IntType) for each in (matrix.indptr, matrix.indices))
    whole: Any = PETSc.Mat().createAIJ(matrix.shape, csr=(*rows, matrix.data), comm=PETSc.COMM_SELF)
    whole.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    solver = PETSc.KSP().create(PETSc.COMM_SELF)
    by_cholesky(solver)
    solver.setOptionsPrefix("forms_")
    solver.setOperators(whole)
    with petsc_options({}, forms_mat_mumps_icntl_7=ORDERING[dimension]), petsc_errors("the factorisation for forms"):
        solver.setUp()
    factor = solver.getPC().getFactorMatrix()

    def solve(b: Array) -> Array:
        arrays: Any = (np.array(each, order="F") for each in (b, np.zeros_like(b)))
        right, x = (PETSc.Mat().createDense(b.shape, array=each, comm=PETSc.COMM_SELF) for each in arrays)
        with petsc_errors("the linear solver for forms"):
            factor.matSolve(right, x)
        return np.array(x.getDenseArray())

    return solve


def _injective(complex_: ElementComplex) -> csr_array:
    """A_0 without one node of each component on which constants are functions."""
    a = complex_.witten_differential(0)
    if complex_.relative:
        return a
    component = connected_components(a.T @ a)[1]
    first = np.unique(component, return_index=True)[1]
    return csr_array(a[:, np.setdiff1d(np.arange(a.shape[1]), first)])


@dataclass(frozen=True, eq=False)
class SingularPairs:
    """Of one mesh, ascending: the zeros of the degree that was solved for are the first.

    Attributes
    ----------
    values : theta = sigma(A_q)^2, shape (k,)
    errors : what each may be off on this mesh, shape (k,)
    vectors : of unit norm, of the degree that was solved for, shape (n, k)
    fluxes : of norm sigma, of the other degree, shape (m, k)
    """

    values: Array
    errors: Array
    vectors: Array
    fluxes: Array


def singular_pairs(complex_: ElementComplex, q: int, k: int, on_top: bool) -> SingularPairs:
    """The k lowest of A_q, zeros included, on (q+1)-forms for `on_top`, which asks for q = d - 1; else on q-forms that
    are orthogonal to the range of A_{q-1}, q <= 1. ConvergenceError where the mesh has too few, or the iteration does
    not end."""
    longest = float(np.ptp(complex_.mesh.geometry.x, axis=0).max())
    shift = complex_.learning_rate**2 / longest**2
    return _lowest(top_inverse(complex_, shift) if on_top else lower_inverse(complex_, q, shift), k)


def element_rates(complex_: ElementComplex, q: int, k: int, betti: tuple[int, ...]) -> tuple[Array, Array]:
    """Logarithms of the k lowest sigma(A_q)^2/(2s) above zero, and their relative errors on this mesh.

    Found on (q+1)-forms for q = d - 1, else on q-forms, of which as many zeros are dropped as Betti's number says.

    Raises
    ------
    ConvergenceError
        as `singular_pairs`, and where rounding hides a rate.
    """
    s, on_top = complex_.learning_rate, q == complex_.dimension - 1
    zeros = betti[q + on_top]
    pairs = singular_pairs(complex_, q, k + zeros, on_top)
    name = f"{complex_.objective.name} at learning rate {s:g}"
    theta, errors = pairs.values[zeros:], pairs.errors[zeros:]
    if zeros and pairs.values[zeros - 1] > ZERO * theta[0]:
        raise ConvergenceError(
            f"{name}: {zeros} rates are zero, and {theta[0] / (2 * s):.1e} cannot be told from them; take a larger "
            "learning rate"
        )
    if (errors > 0.3 * theta).any():
        lost = theta[(errors > 0.3 * theta).argmax()] / (2 * s)
        raise ConvergenceError(f"{name}: a rate near {lost:.1e} is lost in rounding; take a larger learning rate")
    return np.log(theta / (2 * s)), errors / theta


def _lowest(inverse: ShiftedInverse, k: int) -> SingularPairs:
    """By block Krylov spaces of the inverse, restarted."""
    n, block = inverse.mass.shape[0], k + 2 * GUARDS
    if n < block:
        raise ConvergenceError(f"a mesh with {n} unknowns is too coarse for {k} rates; take a finer one")
    v, last = np.random.default_rng(0).standard_normal((n, block)), np.inf
    for _ in range(MOST_ROUNDS):
        powers = [_orthonormal(inverse.mass, v)]
        for _ in range(POWERS):
            powers.append(_orthonormal(inverse.mass, inverse.solve(inverse.mass @ powers[-1])[0]))
        y, flux = inverse.solve(inverse.mass @ _orthonormal(inverse.mass, np.hstack(powers)))
        theta, v, flux = _ritz(inverse, y, flux)
        v, found = v[:, :block], v[:, :k]
        off = found - inverse.solve(inverse.mass @ found)[0] * (theta[:k] + inverse.shift)
        change = np.sqrt(np.einsum("ij,ij->j", off, inverse.mass @ off))
        stalls, last = 0.5 * last < change.max() < STALLED, float(change.max())
        if last < TOLERANCE or stalls:
            noise = inverse.rounding(found)
            errors = 4 * change**2 * theta[v.shape[1] - 1] + 2 * noise * np.sqrt(theta[:k]) + noise**2
            return SingularPairs(theta[:k], errors, found, flux[:, :k])
    raise ConvergenceError(f"forms on a mesh: eigenvectors change by {last:.1e} in each round; ask for fewer")


def _orthonormal(mass: csr_array, v: Array) -> Array:
    """A basis of the span, orthonormal in the mass matrix; what depends on the rest is left out."""
    for _ in range(2):
        v = v @ _independent(v.T @ (mass @ v))
    return v


def _independent(gram: Array) -> Array:
    """Coefficients of orthonormal combinations of vectors with these inner products, (n, at most n)."""
    size = np.sqrt(gram.diagonal())
    values, vectors = eigh(gram / np.outer(size, size))
    whole = values > 1e-13 * values[-1]
    return np.asarray(vectors[:, whole] / np.sqrt(values[whole]) / size[:, None])


def _ritz(inverse: ShiftedInverse, y: Array, flux: Array) -> tuple[Array, Array, Array]:
    """Ritz values |flux|^2/|y|^2, ascending, unit vectors and their fluxes: a thin SVD, which keeps small ones."""
    for _ in range(2):
        unit = _independent(y.T @ (inverse.mass @ y))
        y, flux = y @ unit, flux @ unit
    gram = flux.T @ (inverse.of_flux @ flux)
    size = np.sqrt(gram.diagonal())
    parts, vectors = eigh(gram / np.outer(size, size))
    _, sigma, rotation = svd(np.sqrt(np.maximum(parts, 0))[:, None] * vectors.T * size)
    return sigma[::-1] ** 2, y @ rotation[::-1].T, flux @ rotation[::-1].T
