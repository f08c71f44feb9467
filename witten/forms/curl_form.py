"""d_f from 1-forms to 2-forms in space (curl): its singular values, apart from those of gradients."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr, svd
from scipy.sparse import csr_array, csr_matrix
from scipy.sparse.linalg import lobpcg

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import sublevel
from witten.errors import ConvergenceError, GridError
from witten.forms.cubical_complex import CubicalComplex
from witten.landscape.critical_point import exact_hessians
from witten.objectives.objective import Objective
from witten.spectra.solvers.lobpcg import multigrid_cycle
from witten.spectra.solvers.rayleigh_ritz import GUARDS, RitzPairs

__all__ = ["CurlForms", "curl_pairs", "first_grid"]

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# Edges up to which all eigenvectors are found at once.
DENSE = 1200
# Relative errors on one grid beyond which a rate may as well be one of functions.
KNOWN = 0.3
# Part of |A_0^T v|^2 + |A_1 v|^2 that makes v a mixture.
MIXED = 1e-6
# Residuals of eigenvectors, beside the smallest diagonal entry; iterations in each attempt to reach them.
TOLERANCE, ITERATIONS, ATTEMPTS = 1e-8, 60, 4


@dataclass(frozen=True, eq=False)
class CurlForms:
    """d_f from 1-forms to 2-forms, d = 3; `relative` where the boundary of the box is."""

    objective: Objective
    learning_rate: float
    relative: bool = False
    forms = "1- and 2-forms"
    largest = 64_000
    measured = 8_000

    def rates(self, domain: Grid, k: int) -> tuple[Array, Array]:
        """Logarithms and relative errors on one grid."""
        cells = CubicalComplex(_with_outer_nodes(domain) if self.relative else domain, self.relative)
        a0, a1 = (cells.witten_differential(q, self.objective, self.learning_rate) for q in (0, 1))
        if not (np.isfinite(a0.data).all() and np.isfinite(a1.data).all()):
            raise GridError(
                f"{self.objective.name} at learning rate {self.learning_rate:g}: cells are too coarse for e^(f/s)"
            )
        unit = np.sqrt(2 * self.learning_rate)
        pairs = curl_pairs(a0 / unit, a1 / unit, k)
        errors = pairs.relative_errors(k)
        if (errors > KNOWN).any():
            raise ConvergenceError(
                f"{self.objective.name} at learning rate {self.learning_rate:g}: a rate of {self.forms} near "
                f"{pairs.rates[(errors > KNOWN).argmax()]:.1e} is lost in rounding; take a larger learning rate"
            )
        return pairs.log_rates[:k], errors

    def potential(self, x: Array) -> Array:
        """The larger of V^(p) = |grad f|^2 - s Lap f + 2 s (sum of the p smallest curvatures) for p = 1 and 2.

        A mode is a 1-form v, and d_f v: it decays where either does."""
        f, s = self.objective, self.learning_rate
        curvatures = np.linalg.eigvalsh(exact_hessians(f, x))
        sums = np.cumsum(curvatures, axis=1)
        above = np.maximum(sums[:, 0], sums[:, 1])
        return np.asarray((f.gradient(x) ** 2).sum(axis=0) + s * (2 * above - sums[:, 2]))


def _with_outer_nodes(grid: Grid) -> Grid:
    """The box with nodes on its faces, where relative cells end, instead of half a cell before them."""
    h = grid.spacing / 2
    return Grid(grid.box.expanded(h / grid.box.widths, h / grid.box.widths), tuple(n + 1 for n in grid.shape))


def first_grid(objective: Objective, s: float, box: Box, largest: int) -> Grid:
    """Cells of a box that two refinements leave fewer than `largest`."""
    cells = np.maximum(np.ceil(box.widths / sublevel(objective, s, box=box).spacing), 4).astype(int)
    while 4**box.dimension * np.prod(cells, dtype=float) > largest and (cells > 4).any():
        cells = np.maximum((0.9 * cells).astype(int), 4)
    return Grid(box, tuple(cells.tolist()))


def curl_pairs(a0: csr_array, a1: csr_array, k: int) -> RitzPairs:
    """The lowest eigenpairs of A_1^T A_1 above zero, at least k and GUARDS, with A_1 A_0 = 0.

    B = A_1^T A_1 + A_0 A_0^T has them and those of A_0 A_0^T, each with its own vectors: |A_1 v| tells which is which.
    """
    b = csr_matrix(a1.T @ a1 + a0 @ a0.T)
    count = 2 * (k + GUARDS)
    while True:
        count = min(count, b.shape[0])
        pairs = _curls(a0, a1, _lowest(b, count))
        if pairs.rates.size >= k + GUARDS:
            return pairs
        if count > b.shape[0] // 2:
            raise ConvergenceError(f"a grid with {b.shape[0]} edges has fewer than {k + GUARDS} rates of curls")
        count *= 2


def _lowest(b: csr_matrix, count: int) -> Array:
    """The lowest eigenvectors of B, shape (n, count)."""
    if b.shape[0] <= max(DENSE, 20 * count):
        return np.asarray(eigh(b.toarray(), subset_by_index=(0, count - 1))[1])
    size = float(b.diagonal().min())
    start = np.random.default_rng(0).standard_normal((b.shape[0], count + GUARDS))
    cycle = multigrid_cycle(b, 1e-3 * size)
    for _ in range(ATTEMPTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is its residual, which is measured here
            _, start = lobpcg(b, start, M=cycle, tol=TOLERANCE * size, maxiter=ITERATIONS, largest=False)
        values, rotation = eigh(start.T @ (b @ start))
        v = start @ rotation[:, :count]
        residuals = np.linalg.norm(b @ v - v * values[:count], axis=0)
        if residuals.max() <= 4 * TOLERANCE * size:
            return np.asarray(v)
    raise ConvergenceError(
        f"LOBPCG stopped at a residual of {residuals.max():.1e} on {b.shape[0]} edges; ask for fewer rates, or take a "
        "larger learning rate"
    )


def _curls(a0: csr_array, a1: csr_array, v: Array) -> RitzPairs:
    """Singular values of A_1 in the span of v, those left out that belong to gradients.

    Where an eigenvalue that both have is cut, its last vector is a mixture: nothing from there on is complete."""
    triangle = qr(a1 @ v, mode="r")[0][: v.shape[1]]
    _, sigma, rotation = svd(triangle)
    w = v @ rotation.T
    of_gradients = ((a0.T @ w) ** 2).sum(axis=0)
    whole = sigma**2 + of_gradients
    mixed = np.minimum(sigma**2, of_gradients) > MIXED * whole
    complete = whole < 0.999 * whole[mixed].min(initial=np.inf)
    curls = np.flatnonzero(complete & (sigma**2 > of_gradients))[::-1]
    w, sigma = w[:, curls], sigma[curls]
    residuals = np.linalg.norm(a1.T @ (a1 @ w) - sigma**2 * w, axis=0)
    noise = 8 * EPS * sigma * np.linalg.norm(abs(a1) @ abs(w), axis=0)
    return RitzPairs(sigma**2, w, residuals, noise)
