"""Claim: a learning rate of a sweep takes half as long as by DOLFINx and SLEPc alone, a sixth of scikit-fem with SciPy.

The plain script is DOLFINx with SLEPc as a competent user writes it: the weighted form in UFL with s a Constant,
compiled once; for each learning rate new matrices, a new eigensolver with shift-invert and MUMPS, two eigenvalues,
the first of them the zero. scikit-fem assembles the same form with NumPy, and `eigsh` inverts it with SuperLU. All
have the same mesh, degree and quadrature, on the part of space that matters, one process and one thread.

Then the time to a relative error of 1e-6: uniform meshes of each degree, uniform grids of finite differences, and
what `witten.gap(rtol=1e-6)` makes of either. What is not reached is extrapolated, by the fitted powers of error and
time.
"""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import witten.parallel.load_dolfinx
import dolfinx
import dolfinx.fem.petsc
import numpy as np
import skfem
import ufl
from measure import exponent, interleaved, ratio, table
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy.sparse.linalg import eigsh
from skfem.helpers import dot, grad
from slepc4py import SLEPc

import witten
from witten.domains.meshes.mesh import grid_mesh, refined
from witten.domains.sublevel import sublevel
from witten.operators.elements.finite_elements import FiniteElementLaplacian, FiniteElements
from witten.parallel import world
from witten.spectra import Lanczos
from witten.spectra.solvers.eigensolve import eigensolve
from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur

S = 0.05
TRUTH = 1.9589273000e-5
RTOL = 1e-6
SHIFT = -1e-3
ELEMENTS = {1: skfem.ElementTriP1, 2: skfem.ElementTriP2, 3: skfem.ElementTriP3}
OURS, PLAIN, SKFEM = "witten", "DOLFINx + SLEPc", "scikit-fem + eigsh"


@dataclass(frozen=True)
class Result:
    """rates : of each on one mesh; over_ours : seconds over ours, by degree and name; sweep_over_ours : the same for a
    learning rate of a sweep; errors, seconds : of the series, by method; to_rtol : seconds to 1e-6."""

    rates: dict[int, dict[str, float]]
    over_ours: dict[int, dict[str, float]]
    sweep_over_ours: dict[str, float]
    errors: dict[str, tuple[float, ...]]
    to_rtol: dict[str, float]


def domain(n: float) -> dolfinx.mesh.Mesh:
    """About n triangles on the sublevel set that matters at S."""
    region = sublevel(witten.gallery.double_well(dim=2), S, margin=12.0)
    finer = np.sqrt(2 * region.grid().n_nodes / n)
    return grid_mesh(world().mpi, replace(region, spacing=region.spacing * finer).grid())


@dataclass
class Ours:
    """One discretisation; the matrices go from one learning rate to the next."""

    mesh: dolfinx.mesh.Mesh
    degree: int
    lent: FiniteElementLaplacian | None = None
    modes: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self.elements = FiniteElements(witten.gallery.double_well(dim=2), self.mesh, self.degree)

    def rate(self, s: float) -> float:
        self.lent = self.elements.assemble(s, out=self.lent)
        solver = KrylovSchur()
        if self.modes is None:
            pairs = solver.solve(self.lent, 1)
        else:
            pairs = solver.follow(self.lent, self.modes * self.lent.ground_state[:, None])
        self.modes = self.lent.functions(pairs.psi)
        return float(pairs.rates[0])


class Plain:
    """DOLFINx and SLEPc by hand."""

    def __init__(self, mesh: dolfinx.mesh.Mesh, degree: int) -> None:
        space = dolfinx.fem.functionspace(mesh, ("Lagrange", degree))
        u, v, x = ufl.TrialFunction(space), ufl.TestFunction(space), ufl.SpatialCoordinate(mesh)
        self.s = dolfinx.fem.Constant(mesh, 1.0)
        f = (x[0] ** 2 - 1) ** 2 / 4 + x[1] ** 2 / 2
        dx = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": 2 * degree + 4})
        weight = ufl.exp(-2 * f / self.s)
        self.stiffness = dolfinx.fem.form(self.s / 2 * ufl.inner(ufl.grad(u), ufl.grad(v)) * weight * dx)
        self.mass = dolfinx.fem.form(u * v * weight * dx)

    def rate(self, s: float) -> float:
        self.s.value = s
        matrices = [dolfinx.fem.petsc.assemble_matrix(form) for form in (self.stiffness, self.mass)]
        for matrix in matrices:
            matrix.assemble()
            matrix.setOption(PETSc.Mat.Option.SPD, True)
        solver = SLEPc.EPS().create(PETSc.COMM_SELF)
        solver.setOperators(*matrices)
        solver.setProblemType(SLEPc.EPS.ProblemType.GHEP)
        solver.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
        solver.setTarget(SHIFT)
        solver.setDimensions(2)
        solver.setTolerances(1e-9)
        solver.getST().setType(SLEPc.ST.Type.SINVERT)
        linear = solver.getST().getKSP()
        linear.setType("preonly")
        linear.getPC().setType("cholesky")
        linear.getPC().setFactorSolverType("mumps")
        solver.solve()
        rate = float(np.sort([solver.getEigenvalue(i).real for i in range(2)])[1])
        for each in (solver, *matrices):
            each.destroy()
        return rate


class ScikitFem:
    """The same mesh and form in scikit-fem, and SciPy's eigsh."""

    def __init__(self, mesh: dolfinx.mesh.Mesh, degree: int) -> None:
        points, cells = mesh.geometry.x[:, :2].T.copy(), mesh.geometry.dofmaps[0].T.astype(np.int64)
        self.basis = skfem.Basis(skfem.MeshTri(points, cells), ELEMENTS[degree](), intorder=2 * degree + 4)
        x, y = np.asarray(self.basis.global_coordinates())
        self.f = (x * x - 1) ** 2 / 4 + y * y / 2
        self.stiffness = skfem.BilinearForm(lambda u, v, w: w["s"] / 2 * dot(grad(u), grad(v)) * w["weight"])
        self.mass = skfem.BilinearForm(lambda u, v, w: u * v * w["weight"])

    def rate(self, s: float) -> float:
        weight = np.exp(-2 * self.f / s)
        stiffness, mass = (form.assemble(self.basis, weight=weight, s=s) for form in (self.stiffness, self.mass))
        return float(np.sort(eigsh(stiffness, 2, mass, sigma=SHIFT, return_eigenvectors=False))[1])


def main(quick: bool = False) -> Result:
    result = Result({}, {}, {}, {}, {})
    for degree in (2,) if quick else (1, 2, 3):
        _same_mesh(result, degree, domain(1_000 if quick else 200_000 / degree**2), 1 if quick else 3)
    _sweep(result, domain(1_000 if quick else 8_000), 2 if quick else 20, 1 if quick else 2)
    _to_six_digits(result, 4_000 if quick else 400_000)
    return result


def _same_mesh(result: Result, degree: int, mesh: dolfinx.mesh.Mesh, repeats: int) -> None:
    """One learning rate, everything but the mesh and the spaces."""
    jobs = {OURS: Ours(mesh, degree), PLAIN: Plain(mesh, degree), SKFEM: ScikitFem(mesh, degree)}
    result.rates[degree] = {name: job.rate(S) for name, job in jobs.items()}

    def run(job: Ours | Plain | ScikitFem) -> Callable[[], float]:
        def anew() -> float:
            if isinstance(job, Ours):
                job.lent = job.modes = None  # nothing from the run before
            return job.rate(S)

        return anew

    seconds = interleaved({name: run(job) for name, job in jobs.items()}, repeats)
    result.over_ours[degree] = {name: ratio(seconds, name, OURS) for name in jobs}
    print(f"P{degree}, {mesh.topology.index_map(2).size_local} triangles, s = {S:g}: rate {TRUTH:.10g}")
    rows = [
        (
            name,
            float(np.median(seconds[name])),
            result.over_ours[degree][name],
            abs(result.rates[degree][name] / TRUTH - 1),
        )
        for name in jobs
    ]
    table(["", "s", "/ ours, paired", "error of the rate"], rows)


def _sweep(result: Result, mesh: dolfinx.mesh.Mesh, count: int, repeats: int) -> None:
    """A factor of two in learning rates, P3: one discretisation, the plain script, and all anew for each."""
    learning_rates = np.geomspace(S, 2 * S, count)
    ours, plain, scipy = Ours(mesh, 3), Plain(mesh, 3), ScikitFem(mesh, 3)
    separate = "separate runs"
    jobs: dict[str, Callable[[], object]] = {
        OURS: lambda: [ours.rate(s) for s in learning_rates],
        PLAIN: lambda: [plain.rate(s) for s in learning_rates],
        SKFEM: lambda: [scipy.rate(s) for s in learning_rates],
        separate: lambda: [Ours(refined(mesh, np.empty(0, np.int32)), 3).rate(s) for s in learning_rates],
    }
    seconds = interleaved(jobs, repeats)
    result.sweep_over_ours.update({name: ratio(seconds, name, OURS) for name in (PLAIN, SKFEM, separate)})
    print(f"{count} learning rates from {S:g} to {2 * S:g}, P3, {ours.lent.n_dofs if ours.lent else 0} unknowns")
    rows = [(name, float(np.median(seconds[name])) / count, ratio(seconds, name, OURS)) for name in jobs]
    table(["", "s each", "/ ours, paired"], rows)


def _to_six_digits(result: Result, largest: int) -> None:
    """Error and time of growing meshes; the time at 1e-6."""
    rows: list[Sequence[object]] = []
    for name, series in {f"P{p}, uniform": _uniform_elements(p, largest) for p in (1, 2, 3)}.items():
        rows.append(_reached(result, name, series))
    rows.append(_reached(result, "finite differences, uniform", _uniform_differences(largest)))
    f = witten.gallery.double_well(dim=2)
    for name, options in {
        "witten.gap, P2": {"degree": 2},
        "witten.gap, P3": {"degree": 3},
        "witten.gap, finite differences": {},
    }.items():
        witten.gap(f, S, rtol=RTOL, **options)
        began = time.perf_counter()
        curve = witten.gap(f, S, rtol=RTOL, **options)
        result.to_rtol[name] = time.perf_counter() - began
        result.errors[name] = (abs(curve.rates[0] / TRUTH - 1),)
        rows.append(
            (name, curve.records[0].n_dofs, result.errors[name][0], result.to_rtol[name], result.to_rtol[name])
        )
    print(f"to a relative error of {RTOL:g} at s = {S:g}")
    table(["", "unknowns of the last", "its error", "its s", f"s to {RTOL:g}"], rows)


Series = list[tuple[int, float, float]]  # unknowns, error, seconds


def _uniform_elements(degree: int, largest: int) -> Series:
    mesh, found = domain(200), []
    while True:
        began = time.perf_counter()
        ours = Ours(mesh, degree)
        error = abs(ours.rate(S) / TRUTH - 1)
        assert ours.lent is not None
        found.append((ours.lent.n_dofs, error, time.perf_counter() - began))
        if error < RTOL or 4 * found[-1][0] > largest:
            return found
        mesh = refined(mesh)


def _uniform_differences(largest: int) -> Series:
    f = witten.gallery.double_well(dim=2)
    grid, found = sublevel(f, S, margin=12.0).grid(), []
    while True:
        began = time.perf_counter()
        operator = witten.FiniteDifferences(f, grid).assemble(S)
        error = abs(eigensolve(operator, 2, solver=Lanczos()).gap / TRUTH - 1)
        found.append((operator.n_dofs, error, time.perf_counter() - began))
        if error < RTOL or 4 * found[-1][0] > largest:
            return found
        grid = grid.refined()


def _reached(result: Result, name: str, series: Series) -> Sequence[object]:
    """Seconds at 1e-6, between meshes or beyond the last by the powers of the last two."""
    unknowns, errors, seconds = zip(*series, strict=True)
    order, growth = exponent(unknowns[-2:], errors[-2:]), max(exponent(unknowns[-2:], seconds[-2:]), 1.0)
    wanted = unknowns[-1] * (RTOL / errors[-1]) ** (1 / order)
    result.errors[name] = errors
    result.to_rtol[name] = seconds[-1] * (wanted / unknowns[-1]) ** growth
    return name, unknowns[-1], errors[-1], seconds[-1], result.to_rtol[name]


if __name__ == "__main__":
    main()
