"""Claim: plain differences of the Schrödinger form lose small rates; factored ones, on the same grid, do not.

The textbook matrix of -s^2 Lap + |grad f|^2 - s Lap f misses its own lowest eigenvalue, zero, by the truncation error.
What delta_1/(2s) returns below that is noise, often negative. In a symmetric well delta_1 - delta_0 is right by luck,
both errors being equal; in a tilted well they are not. `FiniteDifferences` keeps K u_0 = 0 exactly. This is the only
place where the plain matrix is built.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from measure import table
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array, eye_array, kron
from scipy.sparse.linalg import eigsh

from witten import FiniteDifferences, Grid, Objective, eigensolve, gallery

INTERVAL = (-2.0, 2.0)
# (x^2 - 1)^2/4 + tilt x: rates by an independent method, tests/references.py.
TRUTH = {
    0.0: {0.4: 1.3477798375e-1, 0.2: 3.3545287308e-2, 0.1: 2.7761406366e-3, 0.05: 1.9589273000e-5},
    0.05: {0.05: 6.506581897325e-5},
}


@dataclass(frozen=True)
class Row:
    """Rates at one tilt and learning rate: the true one, plain delta_1/(2s) and (delta_1 - delta_0)/(2s), factored."""

    tilt: float
    learning_rate: float
    truth: float
    plain: float
    difference: float
    factored: float


def plain_matrix(objective: Objective, s: float, grid: Grid) -> csc_array:
    """-s^2 Lap + |grad f|^2 - s Lap f by second differences on a full grid, zero outside."""
    laplacian = csc_array((1, 1))
    for n, h in zip(grid.shape, grid.spacing, strict=True):
        line = diags_array([np.full(n - 1, 1.0), np.full(n, -2.0), np.full(n - 1, 1.0)], offsets=[-1, 0, 1]) / h**2
        laplacian = kron(laplacian, eye_array(n)) + kron(eye_array(laplacian.shape[0]), line)
    x = grid.points
    potential = (objective.gradient(x) ** 2).sum(axis=0) - s * objective.laplacian(x)
    return csc_array(diags_array(potential) - s**2 * laplacian)


def plain_eigenvalues(objective: Objective, s: float, grid: Grid) -> NDArray[np.float64]:
    """delta_0 and delta_1 by shift-invert around a point below both."""
    below = -1e-2  # the truncation error can push delta_0 a little below zero
    return np.sort(eigsh(plain_matrix(objective, s, grid), k=2, sigma=below, return_eigenvectors=False))


def main(quick: bool = False) -> list[Row]:
    grid = Grid.uniform([INTERVAL], 600)
    rows = []
    for tilt, truths in TRUTH.items():
        f = gallery.double_well(tilt=tilt)
        for s, truth in truths.items():
            low, high = plain_eigenvalues(f, s, grid)
            factored = eigensolve(FiniteDifferences(f, grid).assemble(s), 2).gap
            rows.append(Row(tilt, s, truth, high / (2 * s), (high - low) / (2 * s), factored))
    print(f"double well on {grid.n_nodes} nodes of [{INTERVAL[0]:g}, {INTERVAL[1]:g}]")
    table(
        ["tilt", "s", "true rate", "plain d1/(2s)", "plain (d1-d0)/(2s)", "factored"],
        [(f"{r.tilt:g}", r.learning_rate, r.truth, r.plain, r.difference, r.factored) for r in rows],
    )
    return rows


if __name__ == "__main__":
    main()
