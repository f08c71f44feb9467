"""The de Rham complex of finite elements on a mesh of simplices, with weights e^{-2f/s}, with DOLFINx."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
import dolfinx.fem.petsc
import dolfinx.mesh
import numpy as np
import ufl
from dolfinx import fem
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from witten.objectives.objective import Objective
from witten.operators.elements.compiled_form import compiled_form
from witten.operators.elements.finite_elements import FiniteElements

__all__ = ["ElementComplex"]

Array = NDArray[np.float64]
# Lagrange functions, Nedelec's edge and Raviart and Thomas's face elements; the top degree is discontinuous.
BELOW_TOP = {1: ("Lagrange",), 2: ("Lagrange", "N1curl"), 3: ("Lagrange", "N1curl", "RT")}


@dataclass(frozen=True, eq=False)
class ElementComplex:
    """V^0 -> ... -> V^d: P_k, Nedelec N1curl_k, Raviart-Thomas RT_k, discontinuous P_{k-1}, with d_{p+1} d_p = 0.

    A form v in V^p stands for e^{-f/s} v, so that d_f is s d, and inner products are those of e^{-2f/s}. The basis is
    scaled to unit norm. Sources: [Nedelec1980], [Raviart1977], [Arnold2006].

    Parameters
    ----------
    objective : Objective of the mesh's dimension
    mesh : dolfinx.mesh.Mesh of intervals, triangles or tetrahedra on one rank
    learning_rate : s
    degree : k = 1, 2 or 3
    relative : leave out what does not vanish along the boundary

    Raises
    ------
    RequestError
        as `FiniteElements`, and where e^{-2f/s} ranges beyond doubles on the mesh.
    """

    objective: Objective
    mesh: dolfinx.mesh.Mesh
    learning_rate: float
    degree: int = 2
    relative: bool = False

    @property
    def dimension(self) -> int:
        return int(self.mesh.topology.dim)

    @cached_property
    def spaces(self) -> list[fem.FunctionSpace]:
        """V^0, ..., V^d."""
        names = [(family, self.degree) for family in BELOW_TOP[self.dimension]] + [("DG", self.degree - 1)]
        return [fem.functionspace(self.mesh, name) for name in names]

    @cached_property
    def _functions(self) -> FiniteElements:
        """What knows f on the mesh."""
        elements = FiniteElements(self.objective, self.mesh, self.degree)
        elements.require_range(self.learning_rate)
        return elements

    @property
    def _weighted(self) -> tuple[fem.Function, ufl.Measure]:
        """e^{-2f/s}, referred to the middle of its range, and the measure at whose points it stands."""
        elements = self._functions
        rule = {"quadrature_degree": elements.quadrature, "quadrature_scheme": "default"}
        return elements.forms_at(self.learning_rate).weight, ufl.Measure("dx", domain=self.mesh, metadata=rule)

    @cached_property
    def kept(self) -> list[NDArray[np.int64]]:
        """Of each space the degrees of freedom that count: all, or those that are not in the boundary."""
        d = self.dimension
        whole = [np.arange(space.dofmap.index_map.size_local) for space in self.spaces]
        if not self.relative:
            return whole
        self.mesh.topology.create_connectivity(d - 1, d)
        facets = dolfinx.mesh.exterior_facet_indices(self.mesh.topology)
        outer = [fem.locate_dofs_topological(space, d - 1, facets) for space in self.spaces[:-1]]
        return [np.setdiff1d(every, out) for every, out in zip(whole, outer, strict=False)] + whole[-1:]

    @cached_property
    def _scaled(self) -> tuple[list[csr_array], list[Array]]:
        """Mass matrices of unit diagonal, and what each basis function was multiplied by."""
        weight, dx = self._weighted
        masses, scales = [], []
        for space, kept in zip(self.spaces, self.kept, strict=True):
            u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
            mass = _matrix(compiled_form(weight * ufl.inner(u, v) * dx))[kept][:, kept]
            scales.append(1 / np.sqrt(mass.diagonal()))
            scale = diags_array(scales[-1])
            masses.append(csr_array(scale @ mass @ scale))
        return masses, scales

    @property
    def masses(self) -> list[csr_array]:
        """M_p = int e^{-2f/s} u v, its diagonal one."""
        return self._scaled[0]

    def derivative(self, p: int) -> csr_array:
        """d from V^p to V^{p+1} in the bases as they are, shape (n_{p+1}, n_p)."""
        return csr_array(self._whole_derivative(p)[self.kept[p + 1]][:, self.kept[p]])

    def witten_differential(self, p: int) -> csr_array:
        """s d in the scaled bases: A^T M_{p+1} A v = delta M_p v."""
        below, above = self._scaled[1][p : p + 2]
        return csr_array(diags_array(self.learning_rate / above) @ self.derivative(p) @ diags_array(below))

    def at_centres(self, p: int, v: Array) -> Array:
        """e^{-f/s} v at the middles of the cells: components in space, (components, cells), of v in V^p, (n_p,)."""
        function = fem.Function(self.spaces[p])
        function.x.array[self.kept[p]] = self._scaled[1][p] * v
        cells = np.arange(self.mesh.topology.index_map(self.dimension).size_local, dtype=np.int32)
        x = dolfinx.mesh.compute_midpoints(self.mesh, self.dimension, cells)
        f = np.asarray(self.objective(x[:, : self.dimension].T))
        values = np.asarray(function.eval(x, cells)).reshape(cells.size, -1)
        return np.asarray(np.exp((self._functions.reference - f) / self.learning_rate) * values.T)

    def _whole_derivative(self, p: int) -> csr_array:
        below, above = self.spaces[p : p + 2]
        if p == self.dimension - 1:
            return self._into_cells(below, above)
        discrete = (dolfinx.fem.petsc.discrete_gradient, dolfinx.fem.petsc.discrete_curl)[p]
        found = discrete(below, above)
        found.assemble()
        return _of_petsc(found)

    def _into_cells(self, below: fem.FunctionSpace, above: fem.FunctionSpace) -> csr_array:
        """The last derivative: each cell by itself, since V^d is discontinuous."""
        u, v, w = ufl.TrialFunction(below), ufl.TestFunction(above), ufl.TrialFunction(above)
        last = {1: lambda u: u.dx(0), 2: ufl.rot, 3: ufl.div}[self.dimension]
        tested = _matrix(compiled_form(last(u) * v * ufl.dx))
        mass = _matrix(compiled_form(w * v * ufl.dx))
        cells = np.asarray(above.dofmap.list)[: self.mesh.topology.index_map(self.dimension).size_local]
        rows, columns = (np.broadcast_to(each, (*cells.shape, cells.shape[1])) for each in
                         (cells[:, :, None], cells[:, None, :]))  # fmt: skip
        blocks = np.linalg.inv(np.asarray(mass[rows.ravel(), columns.ravel()]).reshape(rows.shape))
        inverse = csr_array((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=mass.shape)
        return csr_array(inverse @ tested)


def _matrix(form: fem.Form) -> csr_array:
    found = dolfinx.fem.petsc.assemble_matrix(form)
    found.assemble()
    return _of_petsc(found)


def _of_petsc(matrix: Any) -> csr_array:
    pointers, columns, values = matrix.getValuesCSR()
    found = csr_array((values.copy(), columns.copy(), pointers.copy()), shape=matrix.getSize())
    matrix.destroy()
    return found
