"""Rates of forms by finite elements: on a mesh from a file, in a box, or on the domain that grids find."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.domains.meshes.mesh import dolfinx_mesh
from witten.domains.meshes.msh import read_msh
from witten.domains.meshes.simplices import Simplices, cut_grid, red_refinement
from witten.errors import RequestError
from witten.forms.curl_form import CurlForms
from witten.forms.on_meshes.element_complex import ElementComplex
from witten.forms.on_meshes.element_forms import element_rates
from witten.forms.on_meshes.simplicial_betti import boundary_facets, simplicial_betti
from witten.forms.top_form import TopForms
from witten.forms.whole_space import FormRates, refined_rates
from witten.objectives.objective import Objective
from witten.operators.elements.boundary_sensitivity import sagittas
from witten.parallel.communicators import Communicator

__all__ = ["ElementForms", "MeshDomain", "mesh_rates"]

Array = NDArray[np.float64]
# Nodes of the largest grid of cubes, each of d! cells, or vertices of the largest mesh, by dimension and degree.
LARGEST = {(1, 1): 60_000, (1, 2): 30_000, (1, 3): 20_000, (2, 1): 30_000, (2, 2): 8_000, (2, 3): 4_000,
           (3, 1): 3_000, (3, 2): 500, (3, 3): 150}  # fmt: skip


@dataclass(frozen=True, eq=False)
class MeshDomain:
    """A mesh, as grids look: its nodes, the size of its cells, and the mesh whose cells are cut into 2^d."""

    simplices: Simplices

    @property
    def dimension(self) -> int:
        return self.simplices.dimension

    @property
    def n_nodes(self) -> int:
        return int(self.simplices.points.shape[1])

    @property
    def points(self) -> Array:
        return self.simplices.points

    @property
    def spacing(self) -> Array:
        """The edge of a cube of the size of a mean cell, shape (d,)."""
        return np.full(self.dimension, float(abs(self.simplices.volumes).mean()) ** (1 / self.dimension))

    def refined(self) -> MeshDomain:
        return MeshDomain(red_refinement(self.simplices))


@dataclass(frozen=True, eq=False)
class ElementForms:
    """d_f from q-forms to (q+1)-forms in `ElementComplex` of degree k; `relative` where the boundary is."""

    objective: Objective
    learning_rate: float
    q: int
    degree: int
    relative: bool = False
    erratic = 2.0

    @property
    def forms(self) -> str:
        return f"{self.q}- and {self.q + 1}-forms"

    @property
    def largest(self) -> int:
        return LARGEST[self.objective.dimension, self.degree]

    @property
    def measured(self) -> int:
        return self.largest // 4

    def rates(self, domain: Grid | MeshDomain, k: int) -> tuple[Array, Array]:
        """Logarithms and relative errors on one mesh."""
        cells = cut_grid(domain) if isinstance(domain, Grid) else domain.simplices
        betti = simplicial_betti(cells)
        mesh = dolfinx_mesh(Communicator().mpi, cells)
        complex_ = ElementComplex(self.objective, mesh, self.learning_rate, self.degree, self.relative)
        return element_rates(complex_, self.q, k, betti[::-1] if self.relative else betti)

    def potential(self, x: Array) -> Array:
        """That of the same degrees on grids."""
        top = self.q == self.objective.dimension - 1
        same = (TopForms if top else CurlForms)(self.objective, self.learning_rate)
        return same.potential(x)


def mesh_rates(problem: ElementForms, path: str | Path, k: int, rtol: float) -> FormRates:
    """The k lowest rates on a mesh from a gmsh file, refined, with what straight cells leave of a smooth boundary;
    RequestError as `read_msh`, where the boundary touches itself, and where the mesh cannot be refined once."""
    mesh = read_msh(path, problem.objective.dimension)
    _require_size(problem, mesh, path)
    found = refined_rates(problem, MeshDomain(mesh), k, rtol)
    return replace(found, relative_errors=found.relative_errors + _wall_errors(problem, mesh, k))


def _require_size(problem: ElementForms, mesh: Simplices, path: str | Path) -> None:
    """An error bar takes two meshes, and the second one in space takes minutes and gigabytes."""
    n, most = mesh.points.shape[1], problem.largest // 2**mesh.dimension
    if mesh.dimension == 3 and n > most:
        raise RequestError(
            f"{str(path)!r} has {n} nodes, and {problem.forms} in space are solved on meshes of {most} at most, which "
            "are refined once; take a coarser mesh, or leave --mesh out"
        )


def _wall_errors(problem: ElementForms, mesh: Simplices, k: int) -> Array:
    """Twice the relative change of rates as the boundary moves outwards by its mean distance to a smooth one."""
    moved = _moved_outwards(mesh)
    if moved is None:
        return np.zeros(k)
    before, after = (problem.rates(MeshDomain(each), k)[0] for each in (mesh.straight, moved))
    return np.asarray(2 * abs(np.expm1(after - before)))


def _moved_outwards(mesh: Simplices) -> Simplices | None:
    """Its straight cells, with the vertices of the boundary moved by the sagittas of the facets around; None where
    the boundary has no curves."""
    facets, opposite = boundary_facets(mesh.vertices)
    if mesh.dimension == 1:
        return None
    corners = mesh.points.T[facets]
    sagitta = sagittas(corners, mesh.degree)
    if not sagitta.any():
        return None
    outwards = corners.mean(axis=1) - mesh.points.T[opposite]
    normals = np.linalg.svd(corners[:, 1:] - corners[:, :1])[2][:, -1]
    normals *= np.sign((normals * outwards).sum(axis=1))[:, None]
    total, steps = np.zeros((mesh.points.shape[1], mesh.dimension)), np.zeros(mesh.points.shape[1])
    for column in facets.T:
        np.add.at(total, column, normals)
        np.maximum.at(steps, column, sagitta)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return Simplices(mesh.points + (steps[:, None] * total / np.maximum(length, 1e-300)).T, mesh.vertices)
