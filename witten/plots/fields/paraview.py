"""Modes, ground state and objective for ParaView: XDMF with HDF5, and VTX (.bp), which DOLFINx writes.

Call these on one rank. XDMF is two files, NAME.xdmf and the NAME.DIGEST.h5 it names: the first is renamed into place
when the second is whole, so a reader sees the old pair or the new one. VTX is a folder, and is renamed as a whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.domains.meshes.nodal_mesh import NodalMesh
from witten.errors import RequestError
from witten.io import atomic_files, netcdf
from witten.io.spectrum_dataset import SpectrumLike, is_mesh, nodal_fields
from witten.version import __version__

__all__ = ["SUFFIXES", "check_fields", "save_fields", "save_modes"]

Array = NDArray[np.float64]

SUFFIXES = (".xdmf", ".bp")
KIND = "modes"
CARD = "witten.json"  # what says, in a .bp folder, that it is ours
TOPOLOGY = {1: "Polyline", 2: "Triangle", 3: "Tetrahedron"}
MARK = "written by witten"


def check_fields(path: str | Path) -> Path:
    """Refuse the name of a file for ParaView that could not be written, before anything is computed for it.

    Raises
    ------
    RequestError
        for another suffix, a place that cannot be written, something there that is not ours, or .bp without DOLFINx.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".bp":
        if importlib.util.find_spec("dolfinx") is None:
            raise RequestError(f"cannot write {str(path)!r}: .bp needs DOLFINx, which is not installed; use .xdmf")
        return atomic_files.check_folder(path, SUFFIXES, CARD)
    atomic_files.check_writable(path, SUFFIXES)
    if ":" in path.name:
        raise RequestError(f"cannot write {str(path)!r}: XDMF allows no colon in the name; give another")
    if path.exists() and not _is_ours(path):
        raise RequestError(f"will not overwrite {str(path)!r}: it was not written by witten; give another name")
    return path


def _is_ours(path: Path) -> bool:
    with open(path, "rb") as stream:
        return MARK.encode() in stream.read(400)


def save_modes(
    spectrum: SpectrumLike,
    path: str | Path,
    objective: Callable[[Array], Array] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write the modes u_j as mode_0, mode_1, ...; with the objective also f, the Gibbs density and the ground state.

    Nodes of a grid are joined by simplices. The eigenfunctions of the Witten-Laplacian are mode_j times ground_state.

    Raises
    ------
    RequestError
        if `path` cannot be written, or there are too few nodes for a single simplex.
    """
    grid = spectrum.grid
    mesh = NodalMesh(grid.points, grid.cells) if is_mesh(grid) else NodalMesh.of_grid(cast(Grid, grid))
    fields = {f"mode_{j}": mode for j, mode in enumerate(spectrum.modes)} | nodal_fields(spectrum, objective)
    about = {
        "objective": spectrum.objective,
        "learning_rate": float(spectrum.learning_rate),
        "noise": float(spectrum.noise),
        "rates": spectrum.rates.tolist(),
        "rate_errors": spectrum.errors.tolist(),
        "solver": spectrum.solver,
        "options": netcdf.dump_options(options or {}),
    }
    save_fields(mesh, fields, path, about=about)


def save_fields(
    mesh: NodalMesh,
    fields: Mapping[str, Array],
    path: str | Path,
    *,
    about: Mapping[str, Any] | None = None,
    cell_fields: Mapping[str, Array] | None = None,
) -> None:
    """Write named values on the nodes, shape (n,) each, as .xdmf or .bp, atomically.

    Parameters
    ----------
    cell_fields : values on the cells, of shape (1, m), or vectors, (d, m); in .xdmf alone

    Raises
    ------
    RequestError
        if `path` cannot be written, or the mesh has no cells.
    """
    path = check_fields(path)
    if not len(mesh.cells):
        raise RequestError(f"cannot write {str(path)!r}: its {mesh.n_nodes} nodes make no simplex; use a finer grid")
    card = netcdf.provenance(KIND, "Modes of the Witten-Laplacian", about or {})
    on_cells = {name: _columns(values) for name, values in (cell_fields or {}).items()}
    if path.suffix.lower() == ".xdmf":
        _write_xdmf(mesh, fields, on_cells, path, card)
    elif on_cells:
        raise RequestError(f"cannot write {str(path)!r}: values on cells are for .xdmf")
    else:
        _write_bp(mesh, fields, path, card)


def _columns(values: Array) -> Array:
    """One number per cell, (m,), or three, (m, 3)."""
    return values[0] if len(values) == 1 else _in_space(values)


# ------------------------------------------------------------------------------------------------ XDMF


def _write_xdmf(
    mesh: NodalMesh,
    fields: Mapping[str, Array],
    on_cells: Mapping[str, Array],
    path: Path,
    card: Mapping[str, Any],
) -> None:
    path, data = Path(os.path.realpath(path)), _hdf5(mesh, {**fields, **on_cells}, card)
    heavy = path.with_name(f"{path.stem}.{hashlib.sha256(data).hexdigest()[:8]}.h5")
    before = _heavy_files(path)
    atomic_files.write_bytes(heavy, data)
    try:
        atomic_files.write_bytes(path, _xdmf(mesh, fields, on_cells, heavy.name))
    except BaseException:
        if heavy not in before:
            heavy.unlink(missing_ok=True)
        raise
    for old in before - {heavy}:
        old.unlink(missing_ok=True)


def _heavy_files(path: Path) -> set[Path]:
    """The HDF5 files that an XDMF file of ours refers to, beside it."""
    if not path.exists():
        return set()
    names = {(item.text or "").strip().partition(":")[0] for item in ElementTree.parse(path).iter("DataItem")}
    return {path.with_name(name) for name in names if name.endswith(".h5") and "/" not in name}


def _hdf5(mesh: NodalMesh, fields: Mapping[str, Array], card: Mapping[str, Any]) -> bytes:
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file.attrs.update(card)
        arrays = {"points": _in_space(mesh.points), "cells": mesh.cells, **fields}
        for name, values in arrays.items():
            file.create_dataset(name, data=np.ascontiguousarray(values), compression="gzip", shuffle=True)
    return image.getvalue()


def _in_space(points: Array) -> Array:
    """Three coordinates for each node, shape (n, 3)."""
    return np.vstack([points, np.zeros((3 - len(points), points.shape[1]))]).T


def _xdmf(mesh: NodalMesh, fields: Mapping[str, Array], on_cells: Mapping[str, Array], heavy: str) -> bytes:
    """The light part: what the arrays in the HDF5 file mean."""
    root = ElementTree.Element("Xdmf", Version="3.0")
    root.append(ElementTree.Comment(f" {MARK} {__version__} "))
    grid = ElementTree.SubElement(ElementTree.SubElement(root, "Domain"), "Grid", Name=KIND, GridType="Uniform")
    _item(ElementTree.SubElement(grid, "Geometry", GeometryType="XYZ"), heavy, "points", (mesh.n_nodes, 3))
    shape = {"TopologyType": TOPOLOGY[mesh.dimension], "NumberOfElements": str(len(mesh.cells))}
    if mesh.dimension == 1:
        shape["NodesPerElement"] = "2"
    _item(ElementTree.SubElement(grid, "Topology", shape), heavy, "cells", mesh.cells.shape, number="Int")
    for center, named in (("Node", fields), ("Cell", on_cells)):
        for name, values in named.items():
            kind = "Scalar" if values.ndim == 1 else "Vector"
            attribute = ElementTree.SubElement(grid, "Attribute", Name=name, AttributeType=kind, Center=center)
            _item(attribute, heavy, name, values.shape)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _item(parent: ElementTree.Element, heavy: str, name: str, shape: tuple[int, ...], number: str = "Float") -> None:
    item = ElementTree.SubElement(
        parent, "DataItem", Dimensions=" ".join(map(str, shape)), NumberType=number, Precision="8", Format="HDF"
    )
    item.text = f"{heavy}:/{name}"


# ------------------------------------------------------------------------------------------------ VTX


def _write_bp(mesh: NodalMesh, fields: Mapping[str, Array], path: Path, card: Mapping[str, Any]) -> None:
    def fill(folder: Path) -> None:
        _vtx(mesh, fields, folder)
        (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")

    atomic_files.write_folder(path, fill)


def _vtx(mesh: NodalMesh, fields: Mapping[str, Array], folder: Path) -> None:
    """Linear functions on this rank alone."""
    import witten.parallel.load_dolfinx  # noqa: F401, I001
    import dolfinx.fem
    import dolfinx.io

    from witten.domains.meshes.mesh import dolfinx_mesh
    from witten.domains.meshes.simplices import Simplices
    from witten.parallel.communicators import Communicator

    comm = Communicator().mpi
    copy = dolfinx_mesh(comm, Simplices(mesh.points, mesh.cells))
    space = dolfinx.fem.functionspace(copy, ("Lagrange", 1))
    nodes = copy.geometry.input_global_indices[copy.geometry.dofmaps[0]]
    functions = []
    for name, values in fields.items():
        function = dolfinx.fem.Function(space, name=name)
        function.x.array[space.dofmap.list] = values[nodes]
        functions.append(function)
    with dolfinx.io.VTXWriter(comm, folder, functions) as writer:
        writer.write(0.0)
