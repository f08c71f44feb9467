"""Finite elements: the weighted Dirichlet form of the Witten-Laplacian on a mesh of simplices, with DOLFINx."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import witten.parallel.load_dolfinx  # noqa: F401
import basix
import basix.ufl
import dolfinx.fem.petsc
import dolfinx.mesh
import numpy as np
import ufl
from dolfinx import fem
from numpy.typing import NDArray
from petsc4py import PETSc

from witten.request import positive
from witten.domains.meshes.mesh import Gather
from witten.domains.meshes.nodal_mesh import NodalMesh
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.operators.elements.compiled_form import compiled_form
from witten.operators.distributed_laplacian import DistributedLaplacian

__all__ = ["FiniteElementLaplacian", "FiniteElements"]

Array = NDArray[np.float64]

DEGREES = (1, 2, 3)
# How far f may range on a mesh, in units of s: weights are doubles.
WIDEST = 690.0
# Beyond 2p, what is exact for a constant weight: the weight varies by a factor of e^2 or so over a cell.
EXTRA_QUADRATURE = 4


@dataclass(frozen=True, eq=False)
class FiniteElements:
    """Lagrange elements of degree p: K = (s/2) int grad u . grad v e^{-2f/s}, M = int u v e^{-2f/s}.

    The basis function of node i is scaled by e^{f_i/s}, so that entries stay of order one and the kernel is
    psi_0 = e^{-f_i/s} at the nodes. Weights are referred to the middle of the range of f on the mesh: nothing under- or
    overflows while (max f - min f)/s < 600 or so. Boundaries reflect, straight or curved. The weight is evaluated at
    the quadrature points by NumPy, so that the forms are compiled once for all objectives and learning rates.

    >>> f, disk = witten.gallery.quadratic(dim=2), witten.read_mesh("meshes/disk.msh")
    >>> operator = witten.FiniteElements(f, disk, degree=1).assemble(0.5)
    >>> print(f"{witten.eigensolve(operator, 2).gap:.2f}")
    1.00

    Parameters
    ----------
    objective : Objective of the mesh's dimension, finite on the mesh
    mesh : dolfinx.mesh.Mesh of intervals, triangles or tetrahedra, straight or curved
    degree : p = 1, 2 or 3
    quadrature_degree : polynomials this far are integrated exactly; 2p + 4 where left out

    Raises
    ------
    RequestError
        if dimensions differ, p is out of range, or f is not finite at a node or a quadrature point (it says where).
    """

    objective: Objective
    mesh: dolfinx.mesh.Mesh
    degree: int = 2
    quadrature_degree: int | None = None
    method: ClassVar[str] = "finite-elements"

    def __post_init__(self) -> None:
        d = self.mesh.geometry.dim
        if self.objective.dimension != d:
            raise RequestError(f"{self.objective.name} has dimension {self.objective.dimension}, the mesh {d}")
        if self.degree not in DEGREES:
            raise RequestError(f"finite elements have degree 1, 2 or 3, got {self.degree}")

    @cached_property
    def space(self) -> fem.FunctionSpace:
        """Continuous piecewise polynomials of degree p."""
        return fem.functionspace(self.mesh, ("Lagrange", self.degree))

    @cached_property
    def broken_space(self) -> fem.FunctionSpace:
        """The same on each cell for itself: where differences within a cell are formed."""
        return fem.functionspace(self.mesh, ("Discontinuous Lagrange", self.degree))

    @cached_property
    def quadrature(self) -> int:
        return 2 * self.degree + EXTRA_QUADRATURE if self.quadrature_degree is None else self.quadrature_degree

    @cached_property
    def forms(self) -> Forms:
        return Forms.on(self.space, self.broken_space, self.quadrature)

    def forms_at(self, learning_rate: float) -> Forms:
        """The forms with the weight of this learning rate, whichever they had before."""
        forms = self.forms
        if float(forms.learning_rate.value) != learning_rate:
            forms.weight.x.array[:] = np.exp(2.0 * (self.reference - self.quadrature_values) / learning_rate)
            forms.learning_rate.value = learning_rate
        return forms

    @cached_property
    def node_values(self) -> Array:
        """f at the nodes, ghosts included."""
        return self.finite_values(self.space.tabulate_dof_coordinates()[:, : self.objective.dimension].T)

    @cached_property
    def quadrature_values(self) -> Array:
        """f at the quadrature points, in the order of the weight's entries, ghost cells included."""
        return self.finite_values(quadrature_points(self.mesh, self.quadrature))

    @cached_property
    def reference(self) -> float:
        """The height that weights are referred to: the middle of the range of f on all ranks."""
        values = (self.node_values, self.quadrature_values)
        lowest = min((float(v.min()) for v in values if v.size), default=np.inf)
        highest = max((float(v.max()) for v in values if v.size), default=-np.inf)
        found = self.mesh.comm.allgather((lowest, highest))
        return 0.5 * (min(low for low, _ in found) + max(high for _, high in found))

    def require_range(self, learning_rate: float) -> None:
        """The reference is the middle of the range."""
        lowest = min(float(v.min(initial=self.reference)) for v in (self.node_values, self.quadrature_values))
        widest = 2 * (self.reference - min(self.mesh.comm.allgather(lowest))) / learning_rate
        if widest > WIDEST:
            raise RequestError(
                f"{self.objective.name} ranges over {widest:.4g} learning rates on the mesh, and finite elements hold "
                f"{WIDEST:g}; take a larger learning rate, or finite differences"
            )

    def finite_values(self, points: Array) -> Array:
        """f at points (d, n) of this rank. RequestError on all ranks where one is not finite."""
        with np.errstate(all="ignore"):
            values = np.asarray(self.objective(points), dtype=float)
        bad = ~np.isfinite(values)
        where = None if not bad.any() else ", ".join(f"{c:.6g}" for c in points[:, bad.argmax()])
        worst = next((found for found in self.mesh.comm.allgather(where) if found is not None), None)
        if worst is not None:
            raise RequestError(f"{self.objective.name} is not finite at ({worst}); give a mesh on which it is")
        return values

    def assemble(self, learning_rate: float, out: FiniteElementLaplacian | None = None) -> FiniteElementLaplacian:
        """The operator at learning rate s; `out`, an operator of this discretisation that is not needed any more,
        lends its matrices: the sparsity pattern and, in the solver, the symbolic factorisation are then reused.

        Raises
        ------
        RequestError
            if s is not positive, or so small that weights would overflow.
        """
        positive("learning rate", learning_rate)
        self.require_range(learning_rate)
        forms = self.forms_at(learning_rate)
        log_scale = (self.node_values - self.reference) / learning_rate
        scale = np.exp(log_scale[: self.space.dofmap.index_map.size_local])
        stiffness = _assembled(forms.stiffness, scale, None if out is None else out.stiffness)
        mass = _assembled(forms.mass, scale, None if out is None else out.mass)
        return FiniteElementLaplacian(
            learning_rate=learning_rate,
            objective=self.objective.name,
            dimension=self.objective.dimension,
            comm=self.mesh.comm,
            stiffness=stiffness,
            mass=mass,
            workspace={} if out is None else out.workspace,
            log_scale=log_scale,
            discretisation=self,
        )


def _assembled(form: fem.Form, scale: Array, matrix: Any) -> Any:
    """The matrix of a form, its rows and columns scaled; into a given one of the same pattern."""
    matrix = dolfinx.fem.petsc.create_matrix(form) if matrix is None else matrix
    matrix.zeroEntries()
    dolfinx.fem.petsc.assemble_matrix(matrix, form)
    matrix.assemble()
    scaling = matrix.createVecLeft()
    scaling.array[:] = scale
    matrix.diagonalScale(scaling, scaling)
    matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    return matrix


@dataclass(frozen=True, eq=False)
class Forms:
    """The compiled forms: they know the elements and the quadrature, and neither the objective nor its numbers.

    Attributes
    ----------
    learning_rate : s, a Constant
    weight : e^{-2 (f - reference)/s} at the quadrature points
    stiffness, mass : K and M
    difference : u less its value at the first node of each cell, of the broken space
    flux : (s/2) int grad difference . grad v e^{-2f/s}, v in the broken space
    """

    learning_rate: fem.Constant
    weight: fem.Function
    stiffness: fem.Form
    mass: fem.Form
    difference: fem.Function
    flux: fem.Form

    @classmethod
    def on(cls, space: fem.FunctionSpace, broken: fem.FunctionSpace, quadrature: int) -> Forms:
        mesh = space.mesh
        dx = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": quadrature, "quadrature_scheme": "default"})
        element = basix.ufl.quadrature_element(mesh.basix_cell(), degree=quadrature, scheme="default")
        w = fem.Function(fem.functionspace(mesh, element))
        s = fem.Constant(mesh, np.nan)  # and no weight yet
        u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
        difference, z = fem.Function(broken), ufl.TestFunction(broken)
        return cls(
            learning_rate=s,
            weight=w,
            stiffness=compiled_form(s / 2 * w * ufl.inner(ufl.grad(u), ufl.grad(v)) * dx),
            mass=compiled_form(w * u * v * dx),
            difference=difference,
            flux=compiled_form(s / 2 * w * ufl.inner(ufl.grad(difference), ufl.grad(z)) * dx),
        )


def quadrature_points(mesh: dolfinx.mesh.Mesh, degree: int) -> Array:
    """The quadrature points of all local cells, cell by cell, shape (d, n)."""
    cell = mesh.basix_cell()
    reference, _ = basix.make_quadrature(cell, degree)
    geometry = mesh.geometry
    shape = mesh.ufl_domain().ufl_coordinate_element().basix_element.tabulate(0, reference)[0, :, :, 0]
    corners = geometry.x[geometry.dofmaps[0]][:, :, : geometry.dim]
    points: Array = np.einsum("qg,cgd->dcq", shape, corners).reshape(geometry.dim, -1)
    return points


@dataclass(frozen=True, eq=False)
class FiniteElementLaplacian(DistributedLaplacian):
    """The pencil K psi = lambda M psi of `FiniteElements` at one learning rate; u = e^{f_i/s} psi at the nodes.

    Parameters
    ----------
    log_scale : (f_i - reference)/s at the nodes, ghosts included
    discretisation : what it was assembled from
    """

    log_scale: Array = None  # type: ignore[assignment]
    discretisation: FiniteElements = None  # type: ignore[assignment]

    @cached_property
    def ground_state(self) -> Array:
        """psi_0 at the nodes of this rank, normalised in the mass matrix."""
        psi0 = np.exp(-self.log_scale[: self.n_owned])
        return psi0 / np.sqrt(self.gram(psi0[:, None])[0, 0])

    def gathered_modes(self, psi: Array) -> tuple[NodalMesh, Array]:
        """All nodes, in the same order on any ranks, and u = psi / psi_0 on them, (k, n), on every rank."""
        gather = Gather.of_space(self.discretisation.space)
        return gather.mesh, gather(self.functions(psi).T)

    def functions(self, psi: Array) -> Array:
        """u = psi / psi_0 at the nodes of this rank, (n, k) -> (n, k); 1 for the ground state."""
        return psi / self.ground_state[:, None]

    def apply(self, psi: Array) -> Array:
        """K psi from differences within cells: exactly zero at psi_0 up to the rounding of psi itself. (n, k)."""
        return np.stack([self._assembled(self._flux(z)) for z in self.differences(psi).T], axis=1)

    def dirichlet_form(self, psi: Array) -> Array:
        """int grad u . grad v for all pairs of columns, from differences within cells, (n, k) -> (k, k)."""
        return self.cell_form(self.differences(psi))

    def differences(self, psi: Array) -> Array:
        """u less its value at the first node of each cell, at the nodes of one cell after the other, ghosts included:
        (n, k) -> (cells nodes, k)."""
        return self.within_cells(psi * np.exp(self.log_scale[: self.n_owned, None]))

    def within_cells(self, values: Array) -> Array:
        """The same of any values at the nodes of this rank."""
        each = self.by_cell(values)
        return (each - each[:, :1]).reshape(-1, values.shape[1])

    def by_cell(self, values: Array) -> Array:
        """Values at the nodes of this rank, (n, k), cell by cell, ghosts included: (cells, nodes, k)."""
        space = self.discretisation.space
        return np.stack([self._with_ghosts(column)[space.dofmap.list] for column in values.T], axis=2)

    def _with_ghosts(self, values: Array) -> Array:
        vector = dolfinx.la.vector(self.discretisation.space.dofmap.index_map)
        vector.array[: self.n_owned] = values
        vector.scatter_forward()
        array: Array = vector.array
        return array

    def cell_form(self, z: Array) -> Array:
        """int grad u . grad v for all pairs of columns of differences within cells, (cells nodes, k) -> (k, k)."""
        fluxes = np.stack([self._flux(column) for column in z.T])
        return self.summed(z[: fluxes.shape[1]].T @ fluxes.T)

    def cell_energies(self, z: Array) -> Array:
        """int_c |grad u|^2 for each cell of this rank and each column of differences within cells, (cells, k)."""
        fluxes = np.stack([self._flux(column) for column in z.T], axis=1)
        energies: Array = (z[: len(fluxes)] * fluxes).reshape(
            -1, self.discretisation.space.dofmap.list.shape[1], z.shape[1]
        )
        return energies.sum(axis=1)

    def _flux(self, z: Array) -> Array:
        """The form's action on differences within cells, in the cells of this rank, (cells nodes,)."""
        forms, space = self.discretisation.forms_at(self.learning_rate), self.discretisation.space
        forms.difference.x.array[:] = z
        owned = self.discretisation.mesh.topology.index_map(self.dimension).size_local
        flux: Array = fem.assemble_vector(forms.flux).array[: owned * space.dofmap.list.shape[1]].copy()
        return flux

    def _assembled(self, flux: Array) -> Array:
        """Sums of what the cells give to each node of this rank, tested by the scaled basis."""
        space = self.discretisation.space
        total = dolfinx.la.vector(space.dofmap.index_map)
        width = space.dofmap.list.shape[1]
        np.add.at(total.array, space.dofmap.list[: flux.size // width].ravel(), flux)
        total.array[:] *= np.exp(self.log_scale)
        total.scatter_reverse(dolfinx.la.InsertMode.add)
        return total.array[: self.n_owned].copy()
