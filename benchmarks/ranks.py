"""Claim: two ranks do in little more than half the time what one does, from about a million unknowns on.

One learning rate, s = 0.1, double well: P2 elements and finite differences with about a million unknowns in the
plane, by a factorisation (MUMPS) and by LOBPCG with algebraic multigrid; finite differences with about 460,000
unknowns in space, the gap and six more modes, by LOBPCG. LOBPCG starts from two coarser meshes or grids, which count.
Each number of ranks is a run of its own under the mpiexec beside this Python, one thread per rank; seconds are those
of assembly and solution, the slowest rank's, medians over runs in turns. Efficiency is t_1/(N t_N). The rates of all
runs are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import table

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
S = 0.1
# what is computed: dimension, unknowns, pairs
JOBS: dict[str, tuple[int, int, int]] = {
    "2-D P2, direct": (2, 1_100_000, 1),
    "2-D P2, iterative": (2, 1_100_000, 1),
    "2-D differences, direct": (2, 1_100_000, 1),
    "2-D differences, iterative": (2, 1_100_000, 1),
    "3-D differences, iterative": (3, 520_000, 7),
}
QUICK = ("3-D differences, iterative",)


@dataclass(frozen=True)
class Row:
    """One job. unknowns; seconds : by number of ranks; rates : likewise, the lowest of each run."""

    job: str
    unknowns: int
    seconds: dict[int, float]
    rates: dict[int, float]

    @property
    def efficiency(self) -> float:
        """Of the largest number of ranks."""
        most = max(self.seconds)
        return self.seconds[1] / (most * self.seconds[most])


def main(quick: bool = False) -> list[Row]:
    rows = [_measured(job, quick) for job in (QUICK if quick else JOBS)]
    print(f"double well, s = {S:g}")
    table(
        ["", "unknowns", "s on 1", "s on 2", "efficiency"],
        [(row.job, row.unknowns, row.seconds[1], row.seconds[2], row.efficiency) for row in rows],
    )
    return rows


def _measured(job: str, quick: bool) -> Row:
    runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for _ in range(1 if quick else 3):
        for n in runs:
            runs[n].append(_run(job, n, 100 if quick else 1))
    seconds = {n: float(np.median([each["seconds"] for each in found])) for n, found in runs.items()}
    return Row(job, runs[1][0]["unknowns"], seconds, {n: found[0]["rate"] for n, found in runs.items()})


def _run(job: str, n: int, smaller: int) -> dict[str, Any]:
    """What n ranks print."""
    command = [str(MPIEXEC), "-n", str(n), sys.executable, __file__, job, str(smaller)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1200, check=True, env={**os.environ, **ONE_THREAD}
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


# ------------------------------------------------------------------------------------------------ on each rank
def work(job: str, smaller: int) -> None:
    """Run one job and print its unknowns, seconds and lowest rate on rank 0."""
    from witten.parallel import world

    dimension, unknowns, k = JOBS[job]
    solve = (_elements if "P2" in job else _differences)(dimension, unknowns // smaller, k, "direct" in job)
    world().barrier()
    began = time.perf_counter()
    rates = solve()
    seconds = max(world().allgather(time.perf_counter() - began))
    if world().rank == 0:
        print(json.dumps({"unknowns": rates[1], "seconds": seconds, "rate": float(rates[0][0])}))


def _grid(dimension: int, nodes: int) -> Any:
    """A grid of about so many nodes on the sublevel set that matters."""
    import witten
    from witten.domains.sublevel import sublevel

    region = sublevel(witten.gallery.double_well(dim=dimension), S, margin=12.0)
    finer = (region.grid().n_nodes / nodes) ** (1 / dimension)
    return region.objective, replace(region, spacing=region.spacing * finer).grid()


def _elements(dimension: int, unknowns: int, k: int, direct: bool) -> Callable[[], tuple[Any, int]]:
    """P2 on half as many triangles as unknowns, refined twice from a first mesh; the meshes are there before."""
    from witten.domains.meshes.mesh import grid_mesh, refined
    from witten.operators.elements.finite_elements import FiniteElements
    from witten.parallel import world
    from witten.spectra.meshes.element_pairs import transferred

    f, grid = _grid(dimension, unknowns // 64)  # a cell of the grid has two triangles, and they have four nodes
    meshes = [grid_mesh(world().mpi, grid)]
    meshes += [refined(meshes[0])]
    meshes += [refined(meshes[1])]
    levels = [FiniteElements(f, mesh, 2) for mesh in (meshes[-1:] if direct else meshes)]
    levels[0].assemble(S)  # compiles

    def solve() -> tuple[Any, int]:
        coarse = None
        for elements in levels:
            operator = elements.assemble(S)
            pairs = _pairs(operator, k, direct, None if coarse is None else transferred(*coarse, operator))
            coarse = operator, pairs.psi
        return pairs.rates, operator.n_dofs

    return solve


def _differences(dimension: int, unknowns: int, k: int, direct: bool) -> Callable[[], tuple[Any, int]]:
    """A grid twice refined: iterations start from the coarser ones, which are part of the time."""
    from witten.operators.differences.distributed_finite_differences import Slabs
    from witten.parallel import world

    f, coarse = _grid(dimension, unknowns // 4**dimension)
    levels = [coarse, coarse.refined(), coarse.refined().refined()]
    Slabs(f, coarse, world().mpi).assemble(S)  # compiles

    def solve() -> tuple[Any, int]:
        found = None
        for grid in levels[-1:] if direct else levels:
            operator = Slabs(f, grid, world().mpi).assemble(S)
            start = None if found is None else operator.share(grid.coarsened().prolongate(found))
            pairs = _pairs(operator, k, direct, start)
            found = operator.gathered(pairs.psi)
        return pairs.rates, operator.n_dofs

    return solve


def _pairs(operator: Any, k: int, direct: bool, start: Any) -> Any:
    from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur
    from witten.spectra.solvers.distributed.lobpcg import Preconditioned

    return (KrylovSchur() if direct else Preconditioned()).solve(operator, k, start)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        main()
