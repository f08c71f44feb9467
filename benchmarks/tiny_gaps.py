"""Claim: rates between 1e-2 and 1e-50, and far below, to ten digits where every standard solver returns noise.

The graph is that of `FiniteDifferences` for (x^2-1)^2/4 + x/50 + y^2/2 on a tensor grid, so that its rate is that of
the chain along x, which mpmath finds with enough digits. All solvers get the same symmetric matrix; PyGT, if it is
installed (pip install PyGT), the same graph as a Markov chain, of which it finds the mean first-passage times between
the wells: lambda = 1/t_12 + 1/t_21 up to a relative error of about lambda.

Then what a tiny rate costs: beside one sparse Cholesky factorisation of the same matrix (MUMPS through PETSc, if that
is installed, else SuperLU), and beside PyGT on 10,000 states.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numba
import numpy as np
from measure import interleaved, peak_memory, table
from scipy.linalg import eigh
from scipy.sparse import coo_array, csc_array, csr_array, eye_array
from scipy.sparse.linalg import eigsh, lobpcg, splu

from witten import FiniteDifferences, Grid, eigensolve, gallery
from witten.operators.witten_laplacian import WittenLaplacian

TILT = 0.02
INTERVALS = ((-1.7, 1.7), (-1.0, 1.0))
# Rates of about 1e-2, 1e-5, 1e-10, 1e-15, 1e-20, 1e-30 and 1e-50.
LEARNING_RATES = (0.15, 0.05, 0.022, 0.0145, 0.0108, 0.0072, 0.0043)
Method = Callable[[WittenLaplacian], float]


@dataclass(frozen=True)
class Row:
    """At one learning rate: the exact rate of the graph, and the relative error of each method."""

    learning_rate: float
    truth: float
    errors: dict[str, float]


@dataclass(frozen=True)
class Price:
    """On one grid. seconds : of the rate and of the factorisations, medians; memory : bytes, of the rate."""

    nodes: int
    seconds: dict[str, float]
    memory: float


@dataclass(frozen=True)
class Results:
    accuracy: list[Row]
    cost: list[Price]


def operator(s: float, shape: tuple[int, int]) -> WittenLaplacian:
    return FiniteDifferences(gallery.double_well(tilt=TILT, dim=2), Grid.uniform(INTERVALS, shape)).assemble(s)


def truth(s: float, nodes: int) -> mp.mpf:
    """The rate of the chain along x: least positive eigenvalue, with enough digits."""
    chain = FiniteDifferences(gallery.double_well(tilt=TILT), Grid.uniform(INTERVALS[:1], nodes))
    with mp.workdps(int(50 + 1.2 / s)):
        f, middles = ([mp.mpf(float(x)) for x in values] for values in (chain.values, chain.edge_values[0]))
        coupling = mp.mpf(s) / 2 / mp.mpf(float(chain.grid.spacing[0])) ** 2
        a = mp.zeros(nodes)
        for i in range(nodes - 1):
            a[i, i + 1] = a[i + 1, i] = -coupling * mp.exp((f[i] + f[i + 1] - 2 * middles[i]) / mp.mpf(s))
            for k in (i, i + 1):
                a[k, k] += coupling * mp.exp(2 * (f[k] - middles[i]) / mp.mpf(s))
        return sorted(mp.eigsy(a, eigvals_only=True))[1]


# ------------------------------------------------------------------------------------------------ the methods


def by_witten(a: WittenLaplacian) -> float:
    return eigensolve(a, 2).gap


def by_lapack(a: WittenLaplacian) -> float:
    return float(eigh(a.matrix.toarray(), eigvals_only=True, subset_by_index=[0, 1])[1])


def by_arpack(a: WittenLaplacian) -> float:
    return float(np.sort(eigsh(csc_array(a.matrix), k=2, sigma=-1e-3, return_eigenvectors=False))[1])


def by_lobpcg(a: WittenLaplacian) -> float:
    """With an exact preconditioner and the exact ground state deflated: the best it can do."""
    solve = splu(csc_array(a.matrix + 1e-3 * eye_array(a.n_dofs))).solve
    start = np.random.default_rng(0).standard_normal((a.n_dofs, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values, _ = lobpcg(
            csr_array(a.matrix), start, M=solve, Y=a.ground_state[:, None], largest=False, tol=1e-14, maxiter=100
        )
    return float(np.min(values))


def by_slepc(a: WittenLaplacian) -> float:
    """Krylov-Schur, shift-inverted, Cholesky by MUMPS."""
    from slepc4py import SLEPc

    solver = SLEPc.EPS().create()
    solver.setOperators(_petsc(a.matrix))
    solver.setProblemType(SLEPc.EPS.ProblemType.HEP)
    solver.setDimensions(2)
    solver.setTarget(-1e-3)
    solver.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
    transform = solver.getST()
    transform.setType("sinvert")
    transform.getKSP().setType("preonly")
    transform.getKSP().getPC().setType("cholesky")
    transform.getKSP().getPC().setFactorSolverType("mumps")
    solver.setTolerances(1e-14)
    solver.solve()
    return sorted(solver.getEigenvalue(i).real for i in range(solver.getConverged()))[1]


def by_pygt(a: WittenLaplacian) -> float:
    """Mean first-passage times between the lowest nodes of the wells, by graph transformation."""
    from PyGT.mfpt import compute_MFPT

    x = a.grid.points[0]
    wells = [int(np.where(side, a.values, np.inf).argmin()) for side in (x < 0, x > 0)]
    # In continuous time: node j leaves at rate A_jj, towards i with probability -A_ij psi_0i / (psi_0j A_jj).
    log_psi0, leaving = a.log_ground_state, a.matrix.diagonal()
    jumps = coo_array(a.matrix)
    i, j = jumps.coords
    chances = np.where(i == j, 0.0, -jumps.data * np.exp(log_psi0[i] - log_psi0[j]) / leaving[j])
    jumps = csr_array((chances, (i, j)), shape=a.matrix.shape)
    jumps.eliminate_zeros()
    with contextlib.redirect_stdout(io.StringIO()):
        one, other = np.ravel(compute_MFPT(*wells, jumps, 1.0 / leaving))
    return float(1.0 / one + 1.0 / other)


def methods() -> dict[str, Method]:
    """What is installed here."""
    found: dict[str, Method] = {
        "witten": by_witten,
        "LAPACK eigh": by_lapack,
        "SciPy eigsh": by_arpack,
        "LOBPCG": by_lobpcg,
    }
    if _petsc_here():
        found["SLEPc"] = by_slepc
    if importlib.util.find_spec("PyGT") is not None:
        found["PyGT"] = by_pygt
    return found


def _petsc_here() -> bool:
    if importlib.util.find_spec("dolfinx_solver") is not None:
        importlib.import_module("dolfinx_solver")
    return importlib.util.find_spec("slepc4py") is not None


def _petsc(matrix: csr_array) -> Any:
    from petsc4py import PETSc

    made = PETSc.Mat().createAIJ(matrix.shape, csr=(matrix.indptr, matrix.indices, matrix.data))
    made.setOption(PETSc.Mat.Option.SPD, True)
    return made


# ------------------------------------------------------------------------------------------------ who is right


def _accuracy(learning_rates: tuple[float, ...], shape: tuple[int, int]) -> list[Row]:
    rows = []
    for s in learning_rates:
        exact, a = truth(s, shape[0]), operator(s, shape)
        errors = {name: _error(method, a, exact) for name, method in methods().items()}
        rows.append(Row(s, float(exact), errors))
    print(f"relative errors of the rate of one graph, {shape[0]} x {shape[1]} nodes")
    names = list(methods())
    table(["s", "rate", *names], [(f"{r.learning_rate:g}", r.truth, *(r.errors[n] for n in names)) for r in rows])
    return rows


def _error(method: Method, a: WittenLaplacian, exact: mp.mpf) -> float:
    """inf where a method gives up."""
    try:
        return float(abs(mp.mpf(method(a)) / exact - 1))
    except Exception as reason:
        warnings.warn(f"{method.__name__}: {reason}", stacklevel=2)
        return float("inf")


# ------------------------------------------------------------------------------------------------ what it costs


def _cholesky(a: WittenLaplacian, solver: str) -> Callable[[], object]:
    """One factorisation of A + 1e-3, by MUMPS in its fastest order here (AMD) or by SuperLU."""
    shifted = csr_array(a.matrix + 1e-3 * eye_array(a.n_dofs))
    if solver == "SuperLU":
        options = {"SymmetricMode": True}
        return lambda: splu(csc_array(shifted), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    matrix = _petsc(shifted)

    def factor() -> None:
        from petsc4py import PETSc

        pc = PETSc.PC().create()
        pc.setType("cholesky")
        pc.setFactorSolverType("mumps")
        pc.setOperators(matrix)
        pc.setFactorSetUpSolverType()
        pc.getFactorMatrix().setMumpsIcntl(7, 0)
        pc.setUp()
        pc.destroy()

    return factor


def _cost(sizes: tuple[int, ...], repeats: int, pygt_states: int) -> list[Price]:
    prices = []
    for n in sizes:
        a = operator(0.01, (n, n))
        memory = peak_memory(lambda a=a: eigensolve(a, 2))
        solvers = ["SuperLU", *(["MUMPS"] if _petsc_here() else [])]
        jobs: dict[str, Callable[[], object]] = {"witten": lambda a=a: eigensolve(a, 2)}
        jobs |= {solver: _cholesky(a, solver) for solver in solvers}
        seconds = {name: float(np.median(times)) for name, times in interleaved(jobs, repeats).items()}
        if n * n == pygt_states and "PyGT" in methods():
            began = time.perf_counter()
            by_pygt(a)
            seconds["PyGT"] = time.perf_counter() - began
        prices.append(Price(n * n, seconds, memory))
    print("seconds for the rate at s = 0.01 (1e-22), one thread, beside one factorisation of the same matrix")
    names = list(dict.fromkeys(name for price in prices for name in price.seconds))
    rows = [(str(p.nodes), *(p.seconds.get(n, "") for n in names), 1e-6 * p.memory) for p in prices]
    table(["nodes", *names, "MB"], rows)
    return prices


def main(quick: bool = False) -> Results:
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        accuracy = _accuracy(LEARNING_RATES[1::3] if quick else LEARNING_RATES, (32, 12) if quick else (48, 24))
        return Results(accuracy, _cost((60,) if quick else (100, 300, 1000), 1 if quick else 3, 10_000))
    finally:
        numba.set_num_threads(threads)


if __name__ == "__main__":
    main()
