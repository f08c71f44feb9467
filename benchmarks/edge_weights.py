"""Claim: with f at the middle of edges and the term in h^2 from the mode, an equal error bar takes a small part of the
unknowns and of the time that the mean of f at the ends of edges takes, whose errors are a series in h^2 alone.

Both run in turns on the same domains, from the same first grid, refined until the bar is what was asked for. The mean
of the ends is the same operator without its second differences of f. Errors are those of the lowest rate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from unittest import mock

import numba
import numpy as np
from measure import table

import witten
from witten.objectives import resolve
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.spectra.grids import nested_grids
from witten.spectra.truncation import Truncation, truncation

# Objective, learning rate, rate: that of the factor along x.
CASES: tuple[tuple[str, float, float], ...] = (
    ("double-well", 0.05, 1.9589273000e-5),
    ("double-well:dim=2", 0.05, 1.9589273000e-5),
    ("double-well:dim=2", 0.1, 2.7761406366e-3),
    ("double-well:dim=2", 0.4, 1.3477798375e-1),
    ("double-well:dim=3", 0.4, 1.3477798375e-1),
)
TOLERANCES = (1e-4, 1e-6)


class MeanOfEnds(FiniteDifferences):
    """Edges weighted by (f_i + f_j)/2 instead of f_ij."""

    @property
    def second_differences(self) -> np.ndarray:  # type: ignore[override]
        return np.zeros(self.grid.points.shape)


@dataclass(frozen=True)
class Run:
    """One way to a rate: unknowns of the finest grid, relative error and bar, and CPU seconds, the median."""

    nodes: int
    error: float
    bar: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """One objective to one tolerance, by the means of ends and by the middles."""

    objective: str
    learning_rate: float
    rtol: float
    ends: Run
    middle: Run

    @property
    def fewer(self) -> float:
        return self.ends.nodes / self.middle.nodes


def main(quick: bool = False) -> list[Result]:
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        found = [_compared(*case, rtol, 1 if quick else 5) for rtol in TOLERANCES for case in _cases(quick, rtol)]
    finally:
        numba.set_num_threads(threads)
    _print(found)
    return found


def _cases(quick: bool, rtol: float) -> list[tuple[str, float, float]]:
    # Six digits in space are beyond the mean of the ends.
    return [case for case in CASES[: 2 if quick else None] if rtol > 1e-5 or not case[0].endswith("3")]


def _compared(objective: str, s: float, truth: float, rtol: float, repeats: int) -> Result:
    f = resolve(objective)
    kept = truncation(f, s, 1, rtol, None)
    runs: tuple[list[Run], list[Run]] = ([], [])
    for turn in range(repeats + 1):
        for found, ends in zip(runs, (True, False), strict=True):
            run = _run(f, s, rtol, kept, truth, ends)
            if turn:  # the first compiles
                found.append(run)
    return Result(objective, s, rtol, *(sorted(found, key=lambda run: run.seconds)[repeats // 2] for found in runs))


def _run(f: witten.Objective, s: float, rtol: float, kept: Truncation, truth: float, ends: bool) -> Run:
    began = time.process_time()
    with mock.patch.object(nested_grids, "FiniteDifferences", MeanOfEnds if ends else FiniteDifferences):
        # With walls there is a series in h^2, and nothing is known of its first term.
        grids = nested_grids.NestedGrids(f, s, rtol, walls=ends)
        found = grids.solve(kept.grid, kept.pairs_needed, kept.cut)
    seconds = time.process_time() - began
    error = abs(float(np.expm1(found.log_rates[0] - np.log(truth))))
    return Run(found.operator.n_dofs, error, float(found.errors[0]), seconds)


def _print(results: list[Result]) -> None:
    columns = ["nodes", "error", "bar", "CPU s"]
    head = ["objective", "s", "rtol", *(f"ends: {columns[0]}", *columns[1:]), *(f"middle: {columns[0]}", *columns[1:])]
    rows = []
    for r in results:
        both = [part for run in (r.ends, r.middle) for part in (run.nodes, run.error, run.bar, run.seconds)]
        rows.append((r.objective, r.learning_rate, r.rtol, *both, r.fewer, r.ends.seconds / r.middle.seconds))
    table([*head, "nodes: ends/middle", "CPU s: ends/middle"], rows)


if __name__ == "__main__":
    main()
