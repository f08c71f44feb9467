"""What cells along a boundary that is meant to be curved do to a rate, straight ones and quadratic ones."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

import witten.parallel.load_dolfinx  # noqa: F401
import dolfinx.mesh
import numpy as np
import ufl
from dolfinx import fem
from numpy.typing import NDArray
from scipy.sparse import coo_array

from witten.operators.elements.compiled_form import compiled_form
from witten.operators.elements.finite_elements import FiniteElementLaplacian

__all__ = ["sagittas", "wall_errors"]

Array = NDArray[np.float64]

# Neighbouring facets that turn by more are a corner, and no part of a curve.
SHARPEST = np.deg2rad(35.0)
# Mean distance between a circle, a sphere and its interpolant on a segment, an equilateral triangle, of size h, by
# dimension and degree: so much h times the angle between neighbours to the power 2 degree - 1.
SAGITTA = {(2, 1): 1 / 12, (2, 2): 1 / 960, (3, 1): np.sqrt(3) / 8, (3, 2): 0.03}


def wall_errors(operator: FiniteElementLaplacian, psi: Array, differences: Array, rates: Array) -> Array:
    """int_boundary a |(s/2)|grad u|^2 - lambda u^2| e^{-2f/s} / lambda: the relative change of rates if it moves by a.

    a is the mean distance to a smooth boundary through the corners of the boundary facets, as the angles between these
    suggest it (Hadamard's formula for a reflecting boundary [Henrot2006]). Collective.

    Parameters
    ----------
    operator : on a mesh of straight or quadratic cells
    psi : modes, unit norm in the mass matrix, (n_owned, k)
    differences : what `within_cells` makes of their u
    rates : lambda, (k,)
    """
    d, mesh = operator.discretisation, operator.discretisation.mesh
    if (operator.dimension, mesh.geometry.cmaps[0].degree) not in SAGITTA:
        return np.zeros(rates.size)
    distance = fem.Function(fem.functionspace(mesh, ("Discontinuous Lagrange", 0)))
    distance.x.array[:] = _by_cell(mesh)
    f, u, z = fem.Function(d.space), fem.Function(d.space), fem.Function(d.broken_space)
    f.x.array[:] = d.node_values - d.reference
    s, rate = fem.Constant(mesh, operator.learning_rate), fem.Constant(mesh, 0.0)
    w = ufl.exp(-f / s)
    change = s / 2 * ufl.inner(w * ufl.grad(z), w * ufl.grad(z)) / rate - (w * u) ** 2
    measure = ufl.Measure("ds", domain=mesh, metadata={"quadrature_degree": 2 * d.degree + 2})
    form = compiled_form(distance * abs(change) * measure)
    errors = []
    for column, difference, value in zip(psi.T, differences.T, rates, strict=True):
        u.x.array[: column.size] = column * np.exp(operator.log_scale[: column.size])
        u.x.scatter_forward()
        z.x.array[:], rate.value = difference, value
        errors.append(fem.assemble_scalar(form))
    return operator.summed(np.array(errors))


def _by_cell(mesh: dolfinx.mesh.Mesh) -> Array:
    """The largest sagitta of the boundary facets of each local cell, zero inside."""
    d = mesh.topology.dim
    mesh.topology.create_connectivity(d - 1, d)
    mesh.topology.create_connectivity(d, d - 1)
    facets = dolfinx.mesh.exterior_facet_indices(mesh.topology)
    nodes = dolfinx.mesh.entities_to_geometry(mesh, d - 1, facets)
    corners = mesh.geometry.x[nodes][:, :d, :d]  # before what lies between them
    counts = mesh.comm.allgather(len(corners))
    everywhere = np.concatenate(mesh.comm.allgather(corners))
    first = sum(counts[: mesh.comm.rank])
    mine = sagittas(everywhere, mesh.geometry.cmaps[0].degree)[first : first + len(corners)]
    cells = mesh.topology.index_map(d)
    out = np.zeros(cells.size_local + cells.num_ghosts)
    to_cell = mesh.topology.connectivity(d - 1, d)
    np.maximum.at(out, [to_cell.links(facet)[0] for facet in facets], mine)
    return out


def sagittas(facets: Array, degree: int = 1) -> Array:
    """The mean distance of each boundary facet from a smooth boundary through its corners, (m,).

    Parameters
    ----------
    facets : corners of segments in the plane or of triangles in space, (m, d, d)
    degree : 1 for straight facets, 2 for quadratic ones
    """
    m, d, _ = facets.shape
    if not m:
        return np.zeros(0)
    size = np.linalg.norm(facets - np.roll(facets, 1, axis=1), axis=2).mean(axis=1)
    _, corner = np.unique(np.round(facets.reshape(-1, d) / (1e-9 * size.max())), axis=0, return_inverse=True)
    shared = coo_array((np.ones(m * d), (np.repeat(np.arange(m), d), corner.ravel()))).tocsr()
    # Neighbours have all corners but one in common.
    pairs = (shared @ shared.T).tocoo()
    next_to = (pairs.data == d - 1) & (pairs.row != pairs.col)
    one, two = pairs.row[next_to], pairs.col[next_to]
    normal = _normals(facets)
    turn = np.arccos(np.clip(abs((normal[one] * normal[two]).sum(axis=1)), 0.0, 1.0))
    smooth = turn <= SHARPEST
    angle = np.zeros(m)
    np.maximum.at(angle, one[smooth], turn[smooth])
    return np.asarray(SAGITTA[d, degree] * size * angle ** (2 * degree - 1))


def _normals(facets: Array) -> Array:
    """Unit normals, their sign left open, (m, d)."""
    edges = facets[:, 1:] - facets[:, :1]
    if facets.shape[1] == 2:
        normal = np.stack([-edges[:, 0, 1], edges[:, 0, 0]], axis=1)
    else:
        normal = np.cross(edges[:, 0], edges[:, 1])
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))
