"""Forms of the top degree on all of space: functions of -f, killed where f has risen far beyond its critical points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import GridError
from witten.forms.cubical_complex import CubicalComplex
from witten.objectives.objective import Objective
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.complete_pairs import complete_pairs
from witten.spectra.solvers.rayleigh_ritz import GUARDS

__all__ = ["TopForms", "top_form_operator"]

Array = NDArray[np.float64]
# The node that kills lies this many s below the rest: e^-200 comes back.
DEPTH = 100.0
# Heights of the wall, in units of s, that doubles hold beside that.
HIGHEST = 500.0


@dataclass(frozen=True, eq=False)
class TopForms:
    """d_f from (d-1)-forms to d-forms: the top degree, which is functions of -f."""

    objective: Objective
    learning_rate: float
    erratic = 0.0

    @property
    def forms(self) -> str:
        return f"{self.objective.dimension}-forms"

    @property
    def largest(self) -> int:
        return {2: 300_000, 3: 60_000}[self.objective.dimension]

    @property
    def measured(self) -> int:
        return {2: 80_000, 3: 30_000}[self.objective.dimension]

    def rates(self, domain: Grid, k: int) -> tuple[Array, Array]:
        """Logarithms and relative errors on one grid."""
        pairs = complete_pairs(top_form_operator(self.objective, domain, self.learning_rate), k + GUARDS, k)[1]
        return pairs.log_rates[:k], pairs.relative_errors(k)

    def potential(self, x: Array) -> Array:
        """V^(d) = |grad f|^2 + s Lap f."""
        f = self.objective
        return np.asarray((f.gradient(x) ** 2).sum(axis=0) + self.learning_rate * f.laplacian(x))


def top_form_operator(objective: Objective, grid: Grid, s: float) -> WittenLaplacian:
    """A_{d-1} A_{d-1}^T/(2s) on the d-cells, and a node for what leaves through the boundary: a weighted graph.

    Its ground state is that node; the other rates are those of d-forms, absolute boundary.

    Raises
    ------
    GridError
        where the boundary spans heights, or cells span slopes, that no double holds.
    """
    cells = CubicalComplex(grid)
    d = grid.dimension
    a = cells.witten_differential(d - 1, objective, s)
    values = -np.asarray(objective(cells.centres(d)), dtype=float)
    if not (np.isfinite(a.data).all() and values.size):
        raise GridError(f"{objective.name} at learning rate {s:g}: cells are too coarse for e^(f/s); take a larger one")
    beside = np.diff(a.tocsc().indptr) == 1
    killing = (a[:, beside] ** 2).sum(axis=1) / (2 * s)
    matrix = csr_array(a @ a.T) / (2 * s)
    matrix, values = _with_killing(matrix, values, killing, s, objective.name)
    h = grid.spacing / 2
    inner = Box(tuple((grid.box.lower + h).tolist()), tuple((grid.box.upper - h).tolist()))
    mask = cells.holds_top
    return WittenLaplacian(s, matrix, values, Grid(inner, mask.shape, mask, absorbing=True), objective.name)


def _with_killing(matrix: csr_array, values: Array, killing: Array, s: float, name: str) -> tuple[csr_array, Array]:
    """The graph with a node so heavy that nothing comes back."""
    out = np.flatnonzero(killing > 0)
    bottom = float(values.min()) - DEPTH * s
    if float(values[out].max()) - bottom > HIGHEST * s:
        raise GridError(f"{name} at learning rate {s:g}: f along the boundary differs by more than {HIGHEST:g} s")
    back = np.exp((bottom - values[out]) / s)
    leaving = csr_array((-killing[out] * back, (out, 0 * out)), shape=(values.size, 1))
    heavy = csr_array([[float((killing[out] * back**2).sum())]])
    whole = csr_array(block_array([[matrix, leaving], [leaving.T, heavy]], format="csr"))
    whole.indices, whole.indptr = whole.indices.astype(np.int32), whole.indptr.astype(np.int32)
    whole.sort_indices()
    return whole, np.append(values, bottom)
