"""Claim: in two dimensions a factorisation, in three multigrid, takes little more than linear time and memory.

(In three a factorisation does not: about the square of the nodes in time. That is why the default changes over.)

One solve for the gap of the double well at s = 0.1, on the sublevel set of margin 12 s, against the number of nodes:
seconds, peak memory beyond what was there before, and p of the fit cost ~ nodes^p. The grids differ, the error of
the rate falls like nodes^{-2/d} or faster: every figure is one solve, from a random start, not a converged rate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numba
import numpy as np
from measure import exponent, peak_memory, table

from witten import FiniteDifferences, WittenLaplacian, eigensolve, gallery
from witten.domains.sublevel import sublevel
from witten.spectra import Lanczos, Multigrid
from witten.spectra.solvers.eigensolve import Solver

S = 0.1
TRUTH = 2.7761406366e-3
# Nodes wanted, by dimension and solver.
SIZES: dict[tuple[int, str], tuple[int, ...]] = {
    (2, "lanczos"): (8_000, 32_000, 128_000, 512_000),
    (2, "multigrid"): (8_000, 32_000, 128_000, 512_000),
    (3, "lanczos"): (4_000, 12_000, 36_000),
    (3, "multigrid"): (4_000, 12_000, 36_000, 108_000, 324_000),
}
QUICK = {(2, "lanczos"): (2_000, 8_000), (3, "multigrid"): (2_000, 8_000)}
SOLVERS: dict[str, Solver] = {"lanczos": Lanczos(), "multigrid": Multigrid()}


@dataclass(frozen=True)
class Cost:
    """One series. nodes, seconds, bytes, error (of the rate, relative) : one entry per size; the exponents fitted."""

    dimension: int
    solver: str
    nodes: tuple[int, ...]
    seconds: tuple[float, ...]
    memory: tuple[float, ...]
    error: tuple[float, ...]
    time_exponent: float
    memory_exponent: float


def operator(dimension: int, nodes: int) -> WittenLaplacian:
    """The double well's operator on about that many nodes of its sublevel set."""
    region = sublevel(gallery.double_well(dim=dimension), S, margin=12.0)
    finer = (region.grid().n_nodes / nodes) ** (1 / dimension)
    grid = replace(region, spacing=region.spacing * finer).grid()
    return FiniteDifferences(region.objective, grid).assemble(S)


def main(quick: bool = False) -> list[Cost]:
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        return [_series(*which, sizes, 1 if quick else 3) for which, sizes in (QUICK if quick else SIZES).items()]
    finally:
        numba.set_num_threads(threads)


def _series(dimension: int, name: str, sizes: tuple[int, ...], repeats: int) -> Cost:
    solver = SOLVERS[name]
    eigensolve(operator(dimension, sizes[0]), 2, solver=solver)  # compiles, imports
    found = [_cost(operator(dimension, size), solver, repeats) for size in sizes]
    nodes, seconds, memory, error = zip(*found, strict=True)
    # The smallest sizes say more about what is paid once.
    growth = exponent(nodes[-3:], seconds[-3:])
    memory_growth = exponent(nodes[-3:], memory[-3:]) if min(memory[-3:]) > 0 else float("nan")
    print(f"{dimension}-D, {name}: time ~ nodes^{growth:.2f}, memory ~ nodes^{memory_growth:.2f} (largest three)")
    rows = [(str(n), t, 1e6 * t / n, 1e-6 * m, m / n, e) for n, t, m, e in found]
    table(["nodes", "s", "s per million", "MB", "bytes per node", "error of the rate"], rows)
    return Cost(dimension, name, nodes, seconds, memory, error, growth, memory_growth)


def _cost(a: WittenLaplacian, solver: Solver, repeats: int) -> tuple[int, float, float, float]:
    """Nodes, median seconds, bytes and relative error of one operator's gap."""
    gaps: list[float] = []
    memory = peak_memory(lambda: gaps.append(eigensolve(a, 2, solver=solver).gap))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        eigensolve(a, 2, solver=solver)
        times.append(time.perf_counter() - began)
    return a.n_dofs, float(np.median(times)), memory, abs(gaps[0] / TRUTH - 1)


if __name__ == "__main__":
    main()
