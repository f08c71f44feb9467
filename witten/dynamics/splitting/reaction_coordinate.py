"""A reaction coordinate from f and the wells alone: a rough committor on a coarse grid.

q is the probability to reach one core before all others. Of a walk on the nodes of a grid with conductances
c_ij ~ e^{-2 f/s} between neighbours it solves one sparse system, and log q is the coordinate of the splitting. What the
splitting estimates does not depend on the coordinate; how many paths it takes does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from witten.domains.vertex_grid import VertexGrid
from witten.dynamics.splitting.location_kernels import LEVELS

__all__ = ["SMALLEST", "Coordinate", "committor"]

Array = NDArray[np.float64]
# Heights above the tallest barrier, in units of s, beyond which f may as well be constant.
CEILING = 20.0
SMALLEST = 1e-290


@dataclass(frozen=True, eq=False)
class Coordinate:
    """log q, and how it is cut into levels: level = floor(scale (log q - first)).

    Attributes
    ----------
    first : below this all values are one
    grid, table : log q at the nodes of a grid; or
    paths, table, joined : log q at the nodes (d, n) of paths, and for each node whether the next is its neighbour
    """

    first: float
    table: Array
    grid: VertexGrid | None = None
    paths: Array | None = None
    joined: NDArray[np.int64] | None = None

    @classmethod
    def nowhere(cls, dimension: int) -> Coordinate:
        """The same everywhere, for paths that need none."""
        return cls(-1.0, np.zeros(1), paths=np.zeros((dimension, 1)), joined=np.zeros(1, np.int64))

    @property
    def scale(self) -> float:
        """Levels for one unit of log q."""
        return LEVELS / max(-self.first, 1.0)

    def as_arguments(self) -> tuple[Any, ...]:
        """As the kernels take it: a grid without paths, or paths without a grid."""
        nothing, none, whole = np.zeros(0), np.zeros((0, 0)), np.zeros(0, np.int64)
        if self.grid is None:
            return nothing, nothing, whole, nothing, self.paths, self.table, self.joined, self.first, self.scale
        low, shape = np.array(self.grid.box.lower), np.array(self.grid.shape, np.int64)
        return low, self.grid.spacing, shape, self.table, none, nothing, whole, self.first, self.scale


def committor(grid: VertexGrid, f: Array, cores: NDArray[np.int64], target: int, s: float, top: float) -> Array:
    """q at the nodes, shape (n,): 1 in the core `target`, 0 in all others.

    Parameters
    ----------
    f : at the nodes, shape (n,)
    cores : the core that each node is in, or -1; every core holds a node
    s : learning rate, times sigma^2
    top : the height of the tallest barrier
    """
    walk = _walk(np.minimum(f, top + CEILING * s), grid, s)
    free = cores < 0
    inside = sparse.identity(int(free.sum()), format="csc") - walk[free][:, free]
    to_target = walk[free][:, cores == target].sum(axis=1)
    q = np.where(cores == target, 1.0, 0.0)
    solver = splu(inside.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    q[free] = np.clip(solver.solve(np.asarray(to_target).ravel()), SMALLEST, 1.0)
    return q


def _walk(f: Array, grid: VertexGrid, s: float) -> sparse.csr_matrix:
    """The chance of a step from node i to its neighbour j: c_ij/sum_k c_ik."""
    number = np.arange(f.size).reshape(grid.shape)
    pairs, weights = [], []
    for axis, spacing in enumerate(grid.spacing):
        i, j = (np.take(number, range(a, a + grid.shape[axis] - 1), axis=axis).ravel() for a in (0, 1))
        pairs += [(i, j), (j, i)]
        half = (f[j] - f[i]) / s
        # c_ij/(mass of i) for either end: e^{-(f_i + f_j)/s} over e^{-2 f_i/s}.
        weights += [np.exp(-half) / spacing**2, np.exp(half) / spacing**2]
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    values = np.concatenate(weights)
    total = np.bincount(rows, values, minlength=f.size)
    return sparse.csr_matrix((values / total[rows], (rows, columns)), shape=(f.size, f.size))
