"""What the quadrature of the weight costs the rates of finite elements, cell by cell."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from dataclasses import dataclass

import witten.parallel.load_dolfinx  # noqa: F401
import basix
import numpy as np
from numpy.typing import NDArray

from witten.operators.elements.finite_elements import FiniteElementLaplacian, quadrature_points

__all__ = ["quadrature_errors"]

Array = NDArray[np.float64]


def quadrature_errors(operator: FiniteElementLaplacian, psi: Array, z: Array, more: int) -> Array:
    """|dE_c/E - dM_c/M| for the cells of this rank and each mode, (k, cells): their sum bounds what a quadrature of
    `more` degrees more does to the Rayleigh quotients E/M.

    Cell by cell, because errors in cells with a kink of f have all signs, and a sum of few may vanish by accident.

    Parameters
    ----------
    operator : of one mesh and learning rate
    psi : the modes at the nodes of this rank, (n_owned, k)
    z : their differences within cells, (cells nodes, k)
    """
    u = operator.by_cell(operator.project(psi) * np.exp(operator.log_scale[: operator.n_owned, None]))
    z = z.reshape(-1, u.shape[1], psi.shape[1])[: len(u)]
    q = operator.discretisation.quadrature
    (e, m), (finer_e, finer_m) = (_Rule.of(operator, degree).integrals(u, z) for degree in (q, q + more))
    share = (finer_e - e) / operator.summed(e.sum(axis=0)) - (finer_m - m) / operator.summed(m.sum(axis=0))
    return np.asarray(abs(share).T)


@dataclass(frozen=True, eq=False)
class _Rule:
    """A quadrature rule on the cells of this rank.

    Attributes
    ----------
    weights : of the points times e^{-2(f - reference)/s} |det J|, (cells, points)
    basis, slopes : values and derivatives of the basis on the reference cell, (points, nodes) and (d, points, nodes)
    inverse : J^-1, (cells, d, d)
    """

    weights: Array
    basis: Array
    slopes: Array
    inverse: Array

    @classmethod
    def of(cls, operator: FiniteElementLaplacian, degree: int) -> _Rule:
        discretisation = operator.discretisation
        mesh, d = discretisation.mesh, operator.dimension
        points, weights = basix.make_quadrature(mesh.basix_cell(), degree)
        table = discretisation.space.element.basix_element.tabulate(1, points)[:, :, :, 0]
        owned = mesh.topology.index_map(d).size_local
        corners = mesh.geometry.x[mesh.geometry.dofmaps[0]][:owned, :, :d]
        jacobian = np.swapaxes(corners[:, 1 : d + 1] - corners[:, :1], 1, 2)
        f = discretisation.finite_values(quadrature_points(mesh, degree)).reshape(-1, weights.size)[:owned]
        density = np.exp(2.0 * (discretisation.reference - f) / operator.learning_rate)
        volume = abs(np.linalg.det(jacobian))
        return cls(volume[:, None] * weights * density, table[0], table[1:], np.linalg.inv(jacobian))

    def integrals(self, u: Array, z: Array) -> tuple[Array, Array]:
        """int |grad z|^2 and int u^2 with the weight over each cell, (cells, k) each; u, z: (cells, nodes, k)."""
        cells = len(self.weights)
        energies, masses = np.empty((2, cells, u.shape[2]))
        for k in range(u.shape[2]):
            slopes = np.einsum("dqn,cn->cqd", self.slopes, z[:cells, :, k], optimize=True) @ self.inverse
            energies[:, k] = (self.weights * (slopes**2).sum(axis=2)).sum(axis=1)
            masses[:, k] = (self.weights * (u[:cells, :, k] @ self.basis.T) ** 2).sum(axis=1)
        return energies, masses
