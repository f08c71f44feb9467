"""Where a finite-element eigenfunction fails to solve the equation: residuals by cell, for adaptive refinement."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from dataclasses import dataclass

import witten.parallel.load_dolfinx  # noqa: F401
import dolfinx.la
import numpy as np
import ufl
from dolfinx import fem
from numpy.typing import NDArray

from witten.operators.elements.compiled_form import compiled_form
from witten.operators.elements.finite_elements import FiniteElementLaplacian

__all__ = ["Residuals"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Residuals:
    """eta_c^2 = (2/s) [h^2 int_c r^2 w + h/2 int_dc j^2 w] / lambda with w = e^{-2f/s}.

    Here r = (s/2) Lap u - grad f . grad u + lambda u, and j is the jump of (s/2) du/dn between cells, twice its value
    on the boundary. The relative error of a rate is the squared energy norm of the error of its mode, divided by the
    rate: the sum of these, up to a factor that hardly changes from mesh to mesh (residual estimator [Verfuerth1996]).
    f is interpolated here, so that one compiled form serves all objectives; derivatives of u come from its differences
    within cells, so that no rate is too small.
    """

    operator: FiniteElementLaplacian
    mode: fem.Function
    difference: fem.Function
    root: fem.Constant
    form: fem.Form

    @classmethod
    def of(cls, operator: FiniteElementLaplacian) -> Residuals:
        discretisation = operator.discretisation
        mesh, space, p = discretisation.mesh, discretisation.space, discretisation.degree
        constants = fem.functionspace(mesh, ("Discontinuous Lagrange", 0))
        f, u, h = fem.Function(space), fem.Function(space), fem.Function(constants)
        z = fem.Function(discretisation.broken_space)
        f.x.array[:] = discretisation.node_values - discretisation.reference
        cells = mesh.topology.index_map(mesh.topology.dim)
        local = np.arange(cells.size_local + cells.num_ghosts, dtype=np.int32)
        h.x.array[:] = mesh.h(mesh.topology.dim, local)
        s, root = fem.Constant(mesh, operator.learning_rate), fem.Constant(mesh, 0.0)
        # The square root of w, and squares last: what is squared is of order one where it matters.
        w, v, n = ufl.exp(-f / s), ufl.TestFunction(constants), ufl.FacetNormal(mesh)
        r = s / 2 * ufl.div(ufl.grad(z)) - ufl.dot(ufl.grad(f), ufl.grad(z)) + root * u
        flux = s / 2 * ufl.grad(z)
        measure = {"metadata": {"quadrature_degree": 2 * p + 2}, "domain": mesh}
        form = 2 / s * h**2 * (w * r) ** 2 * v * ufl.dx(**measure)
        form += 2 / s * ufl.avg(h) * (ufl.avg(w) * ufl.jump(flux, n)) ** 2 * ufl.avg(v) * ufl.dS(**measure)
        form += 2 / s * h * (w * ufl.dot(flux, n)) ** 2 * v * ufl.ds(**measure)
        return cls(operator, u, z, root, compiled_form(form))

    def __call__(self, psi: Array, difference: Array, log_rate: float) -> Array:
        """eta_c^2 for the cells of this rank; psi (n_owned,) has unit norm in the mass matrix, `difference` is what
        `within_cells` makes of u."""
        self.mode.x.array[: psi.size] = psi * np.exp(self.operator.log_scale[: psi.size])
        self.mode.x.scatter_forward()
        self.difference.x.array[:] = difference * np.exp(-0.5 * log_rate)
        self.root.value = np.exp(0.5 * log_rate)
        eta = fem.assemble_vector(self.form)
        eta.scatter_reverse(dolfinx.la.InsertMode.add)
        mesh = self.operator.discretisation.mesh
        return eta.array[: mesh.topology.index_map(mesh.topology.dim).size_local].copy()
