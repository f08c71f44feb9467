"""Claim: the operator is assembled about as fast as memory allows.

Into a reused matrix, `FiniteDifferences.assemble(s)` takes at most three times what the machine needs to move the bytes
of the matrix once, a tenth of what SciPy takes for the same matrix as a product, and a hundredth of what P1 finite
elements (scikit-fem) take with as many unknowns.

All of them repeat only what a new learning rate changes: f at the nodes, patterns, meshes and bases are there before.
The bound counts what must be read (f, indptr, indices, the axis of each entry) and written (the entries), at the speed
of a triad on as many threads. log psi_0, which the matrix does not need, is left to whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import skfem
from measure import Triad, interleaved, ratio, table
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array, kron, vstack
from skfem.helpers import dot, grad

from witten import FiniteDifferences, Grid, gallery

S = 0.1
LENGTH = 2.5
BOUND, OURS = "bandwidth bound", "ours, reused memory"


@dataclass(frozen=True)
class Result:
    """`difference`: between the matrices, relative; the rest by number of threads.

    seconds : of each job, per million unknowns, medians
    over_bound, product_over_ours, fem_over_ours : medians of paired ratios
    """

    difference: float
    seconds: dict[int, dict[str, float]]
    over_bound: dict[int, float]
    product_over_ours: dict[int, float]
    fem_over_ours: dict[int, float]


class SciPy:
    """The same matrix put together from SciPy's sparse constructors, from f on an unmasked 2-D grid."""

    def __init__(self, objective, grid: Grid) -> None:
        self.f = objective(grid.points).reshape(grid.shape)
        self.shape, self.spacing = grid.shape, grid.spacing
        self.middles = [self._middles(objective, grid, axis) for axis in (0, 1)]
        x, y = (diags_array([-np.ones(n - 1), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n)) for n in self.shape)
        self.incidence = csr_array(vstack([kron(x, eye_array(self.shape[1])), kron(eye_array(self.shape[0]), y)]))

    def _middles(self, objective, grid: Grid, axis: int) -> NDArray[np.float64]:
        """f half a cell above all nodes but the last along an axis."""
        points = np.delete(grid.points.reshape(2, *grid.shape), -1, axis=axis + 1)
        points[axis] += 0.5 * grid.spacing[axis]
        return objective(points.reshape(2, -1)).reshape(points.shape[1:])

    def _couplings(self, s: float) -> list[NDArray[np.float64]]:
        """(s/2)/h^2 e^{(f_i + f_j - 2 f_ij)/s} of the edges along each axis."""
        return [
            0.5 * s / h**2 * np.exp((_sums(self.f, axis) - 2 * middle) / s)
            for axis, (h, middle) in enumerate(zip(self.spacing, self.middles, strict=True))
        ]

    def product(self, s: float) -> csr_array:
        """A = psi_0^{-1} D^T C D psi_0^{-1}, as in the textbook: D the incidence matrix, C the conductances."""
        psi0 = np.exp((self.f.min() - self.f) / s)
        conductances = [
            each.ravel() * np.exp(-(_sums(self.f, axis) - 2 * self.f.min()) / s).ravel()
            for axis, each in enumerate(self._couplings(s))
        ]
        scaled = self.incidence @ diags_array(1 / psi0.ravel())
        return csr_array(scaled.T @ (diags_array(np.concatenate(conductances)) @ scaled))

    def diags(self, s: float) -> csr_array:
        n, m = self.shape
        diagonal = np.zeros(self.shape)
        for axis, coupling in enumerate(self._couplings(s)):
            along, f = np.moveaxis(diagonal, axis, 0), np.moveaxis(self.f, axis, 0)
            step, edges = np.exp(np.diff(f, axis=0) / s), np.moveaxis(coupling, axis, 0)
            along[:-1] += edges / step
            along[1:] += edges * step
        far, near = self._couplings(s)
        near = np.pad(near, ((0, 0), (0, 1))).ravel()[:-1]  # the end of a row of the grid has no neighbour there
        entries = [-far.ravel(), -near, diagonal.ravel(), -near, -far.ravel()]
        return diags_array(entries, offsets=[-m, -1, 0, 1, m], format="csr")


def _sums(f: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """f_i + f_j over the edges along an axis."""
    f = np.moveaxis(f, axis, 0)
    return np.moveaxis(f[:-1] + f[1:], 0, axis)


class FiniteElements:
    """P1 on as many nodes: K = (s/2) int grad u . grad v e^{-2f/s} and M = int u v e^{-2f/s}."""

    def __init__(self, objective, grid: Grid) -> None:
        mesh = skfem.MeshTri.init_tensor(*(np.linspace(-LENGTH, LENGTH, n) for n in grid.shape))
        self.basis = skfem.Basis(mesh, skfem.ElementTriP1())
        x = np.asarray(self.basis.global_coordinates())
        self.f = objective(x.reshape(2, -1)).reshape(x.shape[1:])
        self.stiffness = skfem.BilinearForm(lambda u, v, w: 0.5 * S * dot(grad(u), grad(v)) * w["weight"])
        self.mass = skfem.BilinearForm(lambda u, v, w: u * v * w["weight"])

    def assemble(self, s: float) -> tuple[object, object]:
        weight = np.exp(-2.0 * self.f / s)
        return self.stiffness.assemble(self.basis, weight=weight), self.mass.assemble(self.basis, weight=weight)


def main(quick: bool = False) -> Result:
    n = 200 if quick else 1000
    f = gallery.double_well(dim=2)
    grid = Grid.uniform([(-LENGTH, LENGTH)] * 2, n)
    ours, scipy, elements = FiniteDifferences(f, grid), SciPy(f, grid), FiniteElements(f, grid)
    pattern = ours.pattern
    lent = ours.assemble(S)
    triad = Triad(10**6 if quick else 10**7)
    moved = sum(a.nbytes for a in (lent.matrix.data, pattern.indices, pattern.axis, pattern.indptr, ours.values))

    expected = ours.assemble(S).matrix
    difference = max(
        float(abs(expected - matrix).max() / abs(expected).max()) for matrix in (scipy.product(S), scipy.diags(S))
    )
    # Each group runs in turns with ours; the bound by itself, since freeing the others' memory disturbs it.
    groups: list[tuple[int, dict[str, Callable[[], object]]]] = [
        (40, {BOUND: triad}),
        (10, {"ours, new memory": lambda: ours.assemble(S)}),
        (10, {"scipy diags": lambda: scipy.diags(S), "scipy product": lambda: scipy.product(S)}),
        (3, {"skfem P1 K + M": lambda: elements.assemble(S)}),
    ]
    result = Result(difference, {}, {}, {}, {})
    for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        numba.set_num_threads(threads)
        medians: dict[str, float] = {}
        over_ours: dict[str, float] = {OURS: 1.0}
        for repeats, jobs in groups:
            seconds = interleaved({OURS: lambda: ours.assemble(S, out=lent)} | jobs, 2 if quick else repeats)
            if BOUND in seconds:
                seconds[BOUND] *= moved / triad.bytes
            for name in jobs:
                over_ours[name] = ratio(seconds, name, OURS)
            medians = {name: float(np.median(times)) * 1e6 / grid.n_nodes for name, times in seconds.items()} | medians
        _record(result, threads, medians, over_ours, grid.n_nodes)
    print(f"largest difference between the matrices, relative: {difference:.1e}\n")
    return result


def _record(
    result: Result, threads: int, medians: dict[str, float], over_ours: dict[str, float], nodes: int
) -> None:
    """Print and keep what one number of threads gave."""
    result.seconds[threads] = medians
    result.over_bound[threads] = 1.0 / over_ours[BOUND]
    result.product_over_ours[threads] = over_ours["scipy product"]
    result.fem_over_ours[threads] = over_ours["skfem P1 K + M"]

    print(f"{nodes} unknowns, {threads} thread{'s' * (threads > 1)}")
    names = sorted(medians, key=over_ours.__getitem__)
    table(["", "s per million", "/ ours, paired"], [(name, medians[name], over_ours[name]) for name in names])
    print(
        f"ours / bound {result.over_bound[threads]:.2f} (wanted: <= 3), "
        f"product / ours {result.product_over_ours[threads]:.1f} (wanted: >= 10), "
        f"skfem / ours {result.fem_over_ours[threads]:.0f} (wanted: >= 100)\n"
    )


if __name__ == "__main__":
    main()
