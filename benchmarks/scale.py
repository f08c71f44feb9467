"""Claim: by iteration, time and memory grow like the unknowns, and the options `large` cost nothing on a few ranks.

The gap of the double well at s = 0.1 by finite differences whose rows are distributed, LOBPCG with algebraic multigrid,
in the plane and in space, against the number of unknowns N: CPU seconds a rank of assembly and solution on the last of
three grids (iteration starts from the coarser ones), iterations, and the largest resident memory of a rank less what
it held before. With the default options of PETSc and with `large`, in turns. a and p of the fit a N^p, from which
`docs/hpc.md` says what larger runs would take: a model, and no measurement.

    .venv/bin/python benchmarks/scale.py [--most UNKNOWNS] [--ranks N]

The defaults, a million and 2, take some minutes; 10 million need 20 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import exponent, peak_memory, table

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
S = 0.1
SMALLEST, GROWTH = 30_000, 10**0.5
OPTIONS: dict[str, Mapping[str, str | None]] = {"default": {}, "large": {"large": None}}


@dataclass(frozen=True)
class Solve:
    """One solve. dimension; options : their name; unknowns, seconds, memory (bytes a rank), iterations, rate."""

    dimension: int
    options: str
    unknowns: int
    seconds: float
    memory: float
    iterations: int
    rate: float


def main(quick: bool = False, most: int = 1_000_000, ranks: int = 2) -> list[Solve]:
    if quick:
        return [solve(3, 8_000, name) for name in OPTIONS]
    sizes = [SMALLEST]
    while sizes[-1] * GROWTH <= 1.01 * most:
        sizes.append(round(sizes[-1] * GROWTH))
    found = [_on_ranks(ranks, d, n, name) for d in (2, 3) for n in sizes for name in OPTIONS]
    for d in (2, 3):
        for name in OPTIONS:
            _print(d, name, ranks, [each for each in found if (each.dimension, each.options) == (d, name)])
    return found


def _print(dimension: int, name: str, ranks: int, series: Sequence[Solve]) -> None:
    unknowns = [each.unknowns for each in series]
    time_exponent = exponent(unknowns[-3:], [each.seconds for each in series[-3:]])
    memory_exponent = exponent(unknowns[-3:], [each.memory for each in series[-3:]])
    print(f"{dimension}-D, {name}, {ranks} ranks: time ~ N^{time_exponent:.2f}, memory ~ N^{memory_exponent:.2f}")
    rows = [
        (str(n), each.seconds, 1e6 * ranks * each.seconds / n, ranks * each.memory / n, each.iterations)
        for n, each in zip(unknowns, series, strict=True)
    ]
    table(["unknowns", "CPU s a rank", "CPU s per million, all ranks", "bytes per unknown", "iterations"], rows)


def _on_ranks(ranks: int, *words: object) -> Solve:
    """`solve`, in processes of its own."""
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, __file__, "--solve", json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **ONE_THREAD})
    return Solve(*json.loads(done.stdout.splitlines()[-1]))


# ------------------------------------------------------------------------------------------------ on each rank
def solve(dimension: int, unknowns: int, name: str) -> Solve:
    """The lowest rate on a grid of about so many nodes, after two coarser ones; seconds and bytes of the worst rank."""
    from witten.operators.differences.distributed_finite_differences import Slabs
    from witten.parallel import world
    from witten.spectra.solvers.distributed.lobpcg import Preconditioned

    objective, coarse = _grid(dimension, unknowns // 4**dimension)
    solver, found = Preconditioned(options=OPTIONS[name]), None
    Slabs(objective, coarse, world().mpi).assemble(S)  # compiles
    for grid in (coarse, coarse.refined(), coarse.refined().refined()):
        last: list[Any] = []

        def one(grid: Any = grid, found: Any = found, last: list[Any] = last) -> None:
            operator = Slabs(objective, grid, world().mpi).assemble(S)
            start = None if found is None else operator.share(grid.coarsened().prolongate(found))
            last += [operator, solver.solve(operator, 1, start)]

        began = time.process_time()
        memory = peak_memory(one)
        seconds = time.process_time() - began
        operator, pairs = last
        found = operator.gathered(pairs.psi)
    worst = np.max(world().allgather([seconds, memory]), axis=0).tolist()
    iterations, rate = operator.workspace["iterations"], float(pairs.rates[0])
    return Solve(dimension, name, operator.n_dofs, *worst, iterations, rate)


def _grid(dimension: int, nodes: int) -> Any:
    """f, and a grid of about so many nodes on the sublevel set that matters."""
    import witten
    from witten.domains.sublevel import sublevel

    region = sublevel(witten.gallery.double_well(dim=dimension), S, margin=12.0)
    finer = (region.grid().n_nodes / nodes) ** (1 / dimension)
    return region.objective, replace(region, spacing=region.spacing * finer).grid()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--solve", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.solve:
        from witten.parallel import world

        answer = solve(*given.solve)
        if world().rank == 0:
            print(json.dumps(astuple(answer)))
    else:
        main(most=given.most, ranks=given.ranks)
