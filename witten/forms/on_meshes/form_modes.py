"""Modes of p-forms as fields: functions, vectors and densities at the middles of cells."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from dataclasses import dataclass

import witten.parallel.load_dolfinx  # noqa: F401
import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.domains.meshes.mesh import dolfinx_mesh
from witten.domains.meshes.simplices import cut_grid
from witten.forms.on_meshes.element_complex import ElementComplex
from witten.forms.on_meshes.element_forms import SingularPairs, singular_pairs
from witten.forms.on_meshes.mesh_rates import ElementForms, MeshDomain
from witten.forms.on_meshes.simplicial_betti import simplicial_betti
from witten.parallel.communicators import Communicator

__all__ = ["FormModes", "form_modes"]

Array = NDArray[np.float64]
Partners = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class FormModes:
    """Eigenforms of Delta^(p), of unit norm in L2, their sign such that the largest component is positive.

    Attributes
    ----------
    points : nodes, shape (d, n)
    cells : corners of the simplices, shape (m, d + 1)
    values : at the middles of the cells, shape (k, c, m): c = 1 for functions and top forms, c = d for the vector that
        stands for a 1-form, and in space for a 2-form; nan where a zero of 2-forms in space was not computed
    """

    points: Array
    cells: NDArray[np.int64]
    values: Array


def form_modes(problem: ElementForms, domain: Grid | MeshDomain, p: int, partners: Partners) -> FormModes:
    """The modes of p-forms that have these partners, ascending among those that share one, on one mesh."""
    cells = cut_grid(domain) if isinstance(domain, Grid) else domain.simplices
    betti = simplicial_betti(cells)
    betti = betti[::-1] if problem.relative else betti
    mesh = dolfinx_mesh(Communicator().mpi, cells)
    complex_ = ElementComplex(problem.objective, mesh, problem.learning_rate, problem.degree, problem.relative)
    found = _vectors(complex_, p, partners, betti)
    of_partner = {each: iter(found[each].T) for each in set(partners)}
    fields = np.array([_upright(complex_.at_centres(p, next(of_partner[each]))) for each in partners])
    geometry = mesh.geometry
    corners = geometry.dofmaps[0][: fields.shape[2], : mesh.topology.dim + 1]
    return FormModes(geometry.x[:, : mesh.topology.dim].T.copy(), corners.astype(np.int64), fields)


def _vectors(complex_: ElementComplex, p: int, partners: Partners, betti: tuple[int, ...]) -> dict[int | None, Array]:
    """Coefficients in V^p of those that are zero (None), and that (p+1)- and (p-1)-forms have, too."""
    d = complex_.dimension
    found: dict[int | None, Array] = {None: np.full((len(complex_.kept[p]), partners.count(None)), np.nan)}
    on_top = p == d - 1 and (p == 2 or None not in partners)
    if p < d and not (on_top and p + 1 not in partners):
        pairs = singular_pairs(complex_, p, betti[p + on_top] + max(partners.count(p + 1), 1), on_top)
        found[p + 1] = _unit_fluxes(pairs)[:, betti[d] :] if on_top else pairs.vectors[:, betti[p] :]
        if not on_top:
            found[None] = pairs.vectors[:, : betti[p]]
    if p == d:
        pairs = singular_pairs(complex_, p - 1, betti[d] + max(partners.count(p - 1), 1), True)
        found[None], found[p - 1] = pairs.vectors[:, : betti[d]], pairs.vectors[:, betti[d] :]
    elif p - 1 in partners:
        pairs = singular_pairs(complex_, p - 1, betti[p - 1] + partners.count(p - 1), False)
        found[p - 1] = _unit_fluxes(pairs)[:, betti[p - 1] :]
    return found


def _unit_fluxes(pairs: SingularPairs) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return pairs.fluxes / np.sqrt(pairs.values)


def _upright(field: Array) -> Array:
    flat = field.ravel()
    known = flat[np.isfinite(flat)]
    return field if known.size == 0 or known[abs(known).argmax()] > 0 else -field
