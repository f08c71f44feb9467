"""d_f from 1-forms to 2-forms in space (curl): its singular values, apart from those of gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr, svd
from scipy.sparse import csr_array, csr_matrix
from scipy.sparse.linalg import lobpcg
from scipy.spatial import cKDTree

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import sublevel
from witten.errors import ConvergenceError, GridError
from witten.forms.cubical_complex import CubicalComplex
from witten.landscape.critical.critical_point import exact_hessians
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
# Residuals on coarser grids, whose vectors are a start; and nodes of the coarsest.
ROUGH, COARSEST = 1e-3, 600


@dataclass(frozen=True, eq=False)
class CurlForms:
    """d_f from 1-forms to 2-forms, d = 3; `relative` where the boundary of the box is."""

    objective: Objective
    learning_rate: float
    relative: bool = False
    forms = "1- and 2-forms"
    largest = 64_000
    measured = 8_000
    erratic = 0.0

    def rates(self, domain: Grid, k: int) -> tuple[Array, Array]:
        """Logarithms and relative errors on one grid."""
        cells = self._cells(domain)
        a0, a1 = self._maps(cells)
        if not (np.isfinite(a0.data).all() and np.isfinite(a1.data).all()):
            raise GridError(
                f"{self.objective.name} at learning rate {self.learning_rate:g}: cells are too coarse for e^(f/s)"
            )
        pairs = curl_pairs(a0, a1, k, lambda count: self._guess(domain, cells, count))
        errors = pairs.relative_errors(k)
        if (errors > KNOWN).any():
            raise ConvergenceError(
                f"{self.objective.name} at learning rate {self.learning_rate:g}: a rate of {self.forms} near "
                f"{pairs.rates[(errors > KNOWN).argmax()]:.1e} is lost in rounding; take a larger learning rate"
            )
        return pairs.log_rates[:k], errors

    def _cells(self, domain: Grid) -> CubicalComplex:
        return CubicalComplex(_with_outer_nodes(domain) if self.relative else domain, self.relative)

    def _maps(self, cells: CubicalComplex) -> tuple[csr_array, csr_array]:
        """A_0 and A_1, whose squares are rates."""
        unit = np.sqrt(2 * self.learning_rate)
        a0, a1 = (cells.witten_differential(q, self.objective, self.learning_rate) / unit for q in (0, 1))
        return a0, a1

    def _guess(self, domain: Grid, cells: CubicalComplex, count: int) -> Array:
        """Eigenvectors of a grid of half as many cells along each axis, roughly, on the nearest edges; else noise."""
        n = cells.centres(1).shape[1]
        noise = np.random.default_rng(0).standard_normal((n, count + GUARDS))
        if domain.n_nodes < COARSEST:
            return noise
        coarser = domain.coarsened()
        coarse = self._cells(coarser)
        a0, a1 = self._maps(coarse)
        b = _laplacian(a0, a1)
        if not np.isfinite(b.data).all() or b.shape[0] < 2 * noise.shape[1]:
            return noise
        v = _iterated(b, self._guess(coarser, coarse, count), ROUGH)
        noise[:, :count] = v[_nearest_edges(coarse, cells), :count] / np.sqrt(n / b.shape[0])
        return noise

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


def _nearest_edges(coarse: CubicalComplex, fine: CubicalComplex) -> NDArray[np.int64]:
    """Of each edge of the fine grid the number of the nearest on the coarse one that runs along the same axis."""
    (there, axes), (here, along) = ((cells.centres(1), cells.axes_of_edges) for cells in (coarse, fine))
    far = 4 * float(np.ptp(here, axis=1).max())
    apart = (np.vstack([x, far * axis]).T for x, axis in ((there, axes), (here, along)))
    return np.asarray(cKDTree(next(apart)).query(next(apart))[1])


def _laplacian(a0: csr_array, a1: csr_array) -> csr_matrix:
    return csr_matrix(a1.T @ a1 + a0 @ a0.T)


def curl_pairs(
    a0: csr_array, a1: csr_array, k: int, guess: Callable[[int], Array] | None = None
) -> RitzPairs:
    """The lowest eigenpairs of A_1^T A_1 above zero, at least k and GUARDS, with A_1 A_0 = 0.

    B = A_1^T A_1 + A_0 A_0^T has them and those of A_0 A_0^T, each with its own vectors: |A_1 v| tells which is which.
    `guess` gives a start, (n, count + GUARDS), for the iteration; noise where left out.
    """
    b = _laplacian(a0, a1)
    guess = guess or (lambda count: np.random.default_rng(0).standard_normal((b.shape[0], count + GUARDS)))
    count = 2 * (k + GUARDS)
    while True:
        count = min(count, b.shape[0])
        pairs = _curls(a0, a1, _lowest(b, count, guess))
        if pairs.rates.size >= k + GUARDS:
            return pairs
        if count > b.shape[0] // 2:
            raise ConvergenceError(f"a grid with {b.shape[0]} edges has fewer than {k + GUARDS} rates of curls")
        count *= 2


def _lowest(b: csr_matrix, count: int, guess: Callable[[int], Array]) -> Array:
    """The lowest eigenvectors of B, shape (n, count)."""
    if b.shape[0] <= max(DENSE, 20 * count):
        return np.asarray(eigh(b.toarray(), subset_by_index=(0, count - 1))[1])
    tolerance, v = TOLERANCE * float(b.diagonal().min()), guess(count)
    for _ in range(ATTEMPTS):
        v = _iterated(b, v, TOLERANCE)
        values = ((b @ v) * v).sum(axis=0)
        residuals = np.linalg.norm(b @ v - v * values, axis=0)[:count]
        if residuals.max() <= 4 * tolerance:
            return v[:, :count]
    raise ConvergenceError(
        f"LOBPCG stopped at a residual of {residuals.max():.1e} on {b.shape[0]} edges; ask for fewer rates, or take a "
        "larger learning rate"
    )


def _iterated(b: csr_matrix, start: Array, tolerance: float) -> Array:
    """Ritz vectors, ascending, of LOBPCG with one V-cycle of multigrid; the residual is the caller's to look at."""
    size = float(b.diagonal().min())
    cycle = multigrid_cycle(b, 1e-3 * size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is its residual
        v = lobpcg(b, start, M=cycle, tol=tolerance * size, maxiter=ITERATIONS, largest=False)[1]
    return np.asarray(v @ eigh(v.T @ (b @ v))[1])


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
