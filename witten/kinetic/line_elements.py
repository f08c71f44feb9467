"""Elements on a line for the Kramers-Fokker-Planck operator: even Hermite orders of the velocity are continuous, P_k,
odd ones discontinuous, DG_{k-1}. Were all of them continuous there would be spurious eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy import sparse

from witten.objectives import Objective
from witten.objectives.symbolic.interval_arithmetic import kinks_met

__all__ = ["LineElements", "first_cells", "halved", "line_elements"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
DEGREE = 5
QUADRATURE = 14
# Cells for a first mesh: so many units of T that f changes by in one, widths of a Gaussian well, and cells at least.
CHANGE, WIDTHS, FEWEST = 10.0, 0.8, 12
SAMPLES = 4000
# Halvings until a kink is known to rounding, and cells that may hold one beyond which they are not looked for.
HALVINGS, MOST_KINKS = 55, 500


@dataclass(frozen=True, eq=False)
class LineElements:
    """Matrices in the basis phi_j e^{(f_j - f)/2T}, phi_j one at its node, f_j = f there, with the measure dx.

    Attributes
    ----------
    edges : of the n cells, (n + 1,)
    even_mass, odd_mass : of P_k, and of DG_{k-1} (block diagonal)
    gradient : B = sqrt(T) int psi phi', odd by even
    adjoint : C = int phi^* psi, even by odd, phi^* = -sqrt(T) phi' + f' phi/sqrt(T)
    even_nodes, odd_nodes : where basis functions are one
    even_weights, odd_weights : f/T there
    """

    edges: Array
    even_mass: sparse.csr_matrix
    odd_mass: sparse.csr_matrix
    gradient: sparse.csr_matrix
    adjoint: sparse.csr_matrix
    even_nodes: Array
    odd_nodes: Array
    even_weights: Array
    odd_weights: Array


def line_elements(objective: Objective, temperature: float, edges: Array) -> LineElements:
    """The matrices on cells with these edges (n + 1,)."""
    t, root = temperature, np.sqrt(temperature)
    q, weights = leggauss(QUADRATURE)
    half, middle = np.diff(edges)[:, None] / 2, (edges[:-1, None] + edges[1:, None]) / 2
    even = -np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)
    odd = leggauss(DEGREE)[0]
    x, x_even, x_odd = (middle + half * local for local in (q, even, odd))
    f, f_even, f_odd = (_values(objective, places) / t for places in (x, x_even, x_odd))
    slope = objective.gradient(x.reshape(1, -1)).reshape(x.shape)
    measure = weights * half
    phi, dphi = _lagrange(even, q)
    psi, _ = _lagrange(odd, q)
    u, v = (np.exp((places[:, None, :] - f[:, :, None]) / 2) for places in (f_even, f_odd))
    du, u, v = u * dphi / half[:, :, None], u * phi, v * psi
    star = slope[:, :, None] * u / root - root * du
    at_even = np.arange(edges.size - 1)[:, None] * DEGREE + np.arange(DEGREE + 1)
    at_odd = np.arange(edges.size - 1)[:, None] * DEGREE + np.arange(DEGREE)

    def assembled(left: Array, right: Array, rows: Indices, columns: Indices) -> sparse.csr_matrix:
        return _assembled(np.einsum("eq,eqi,eqj->eij", measure, left, right, optimize=True), rows, columns)

    return LineElements(
        edges,
        assembled(u, u, at_even, at_even), assembled(v, v, at_odd, at_odd),
        assembled(v, root * du, at_odd, at_even), assembled(star, v, at_even, at_odd),
        np.append(x_even[:, :-1].ravel(), edges[-1]), x_odd.ravel(),
        np.append(f_even[:, :-1].ravel(), f_even[-1, -1]), f_odd.ravel(),
    )  # fmt: skip


def _values(objective: Objective, x: Array) -> Array:
    return np.asarray(objective(x.reshape(1, -1)), dtype=float).reshape(x.shape)


def _lagrange(nodes: Array, q: Array) -> tuple[Array, Array]:
    """Lagrange polynomials on the nodes and their derivatives at q, (points, nodes)."""
    coefficients = np.linalg.inv(np.vander(nodes, increasing=True))
    values, slopes = (polynomial.polyval(q, each) for each in (coefficients, polynomial.polyder(coefficients)))
    return np.asarray(values.T, dtype=float), np.asarray(slopes.T, dtype=float)


def _assembled(cells: Array, rows: Indices, columns: Indices) -> sparse.csr_matrix:
    """The sum of the matrices of cells (n, i, j)."""
    row = np.repeat(rows, columns.shape[1], axis=1).ravel()
    column = np.tile(columns, (1, rows.shape[1])).ravel()
    return sparse.csr_matrix((cells.ravel(), (row, column)), shape=(rows.max() + 1, columns.max() + 1))


def first_cells(objective: Objective, temperature: float, low: float, high: float, samples: int = SAMPLES) -> Array:
    """Edges of cells that see how f/T changes and bends; kinks of a formula are edges."""
    x = np.linspace(low, high, max(samples, SAMPLES) + 1)
    with np.errstate(all="ignore"):
        slope = abs(np.gradient(_values(objective, x), x))
        bend = abs(objective.piecewise_hessian(x[None])[0, 0])
    bend = np.where(np.isfinite(bend), bend, 0.0)
    density = slope / (CHANGE * temperature) + np.sqrt(bend / temperature) / WIDTHS + FEWEST / (high - low)
    count = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    edges = np.interp(np.linspace(0, count[-1], int(np.ceil(count[-1])) + 1), count, x)
    edges[[0, -1]] = low, high
    return _with(edges, _kinks(objective, edges))


def _with(edges: Array, kinks: Array) -> Array:
    """The edges and the kinks, without edges that are nearly kinks."""
    room = 0.1 * np.diff(edges).min()
    far = np.all(abs(edges[:, None] - kinks) > room, axis=1)
    far[[0, -1]] = True
    inner = kinks[(kinks > edges[0] + room) & (kinks < edges[-1] - room)]
    return np.sort(np.concatenate([edges[far], inner]))


def _kinks(objective: Objective, edges: Array) -> Array:
    """Where a formula has kinks, by halving cells; none for a callable."""
    if objective.formula is None:
        return np.empty(0)
    met = kinks_met(objective)
    low, high = edges[None, :-1], edges[None, 1:]
    for _ in range(HALVINGS):
        keep = met(low, high)
        low, high = low[:, keep], high[:, keep]
        if low.shape[1] == 0 or low.shape[1] > MOST_KINKS:
            return np.empty(0)
        middle = (low + high) / 2
        low, high = np.hstack([low, middle]), np.hstack([middle, high])
    places = np.sort(((low + high) / 2)[0])
    apart = np.append(True, np.diff(places) > 1e-9 * (edges[-1] - edges[0]))
    return np.asarray(places[apart])


def halved(edges: Array) -> Array:
    """Each cell in two."""
    return np.sort(np.concatenate([edges, (edges[:-1] + edges[1:]) / 2]))
