"""Modes for ParaView, netCDF and pictures, on grids and on simplices: what is written is what is read."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from launcher import PATIENCE

from witten import Grid, plots
from witten.domains.meshes.nodal_mesh import NodalMesh
from witten.domains.meshes.simplices import cut_grid, red_refinement
from witten.errors import ConvergenceError, RequestError
from witten.io import spectrum_dataset
from witten.plots.fields import paraview
from witten.plots.fields.slices import sheet
from witten.spectra.spectrum import Spectrum

KINDS = {1: "line", 2: "triangle", 3: "tetra"}
SIDES = ((-1.5, 1.0), (-1.0, 1.5), (-1.2, 1.2))
needs_dolfinx = pytest.mark.skipif(importlib.util.find_spec("dolfinx") is None, reason="needs DOLFINx")


def bowl(x):
    return np.sum(x**2, axis=0)


def masked(dimension):
    full = Grid.uniform(SIDES[:dimension], 9)
    return Grid(full.box, full.shape, (bowl(full.points) < 1.4).reshape(full.shape))


def simplices(dimension):
    """Nodes in no special order."""
    mesh = red_refinement(cut_grid(Grid.uniform(SIDES[:dimension], 4)))
    order = np.random.default_rng(0).permutation(mesh.points.shape[1])
    number = np.argsort(order)
    return NodalMesh(mesh.points[:, order], number[mesh.cells])


def spectrum(place, s=0.3):
    modes = np.array([np.ones(place.n_nodes), place.points[0], place.points[-1] ** 2 - place.points[0]])
    rates = np.array([0.0, 0.5, 1.0])
    return Spectrum(s, rates, 1e-6 * rates, modes, place, "bowl", "dense", place.n_nodes, 0.1)


PLACES = [pytest.param(make, d, id=f"{make.__name__}-{d}") for make in (masked, simplices) for d in (1, 2, 3)]


# ------------------------------------------------------------------------------------------------ XDMF
@pytest.mark.parametrize(("make", "dimension"), PLACES)
def test_xdmf_is_read_back(tmp_path, make, dimension):
    meshio = pytest.importorskip("meshio")
    found, path = spectrum(make(dimension)), tmp_path / "modes.xdmf"
    paraview.save_modes(found, path, bowl)
    read = meshio.read(path)
    points = read.points.T[:dimension]
    assert [block.type for block in read.cells] == [KINDS[dimension]]
    np.testing.assert_array_equal(points, found.grid.points)
    for j, mode in enumerate(found.modes):
        np.testing.assert_array_equal(read.point_data[f"mode_{j}"], mode)
    np.testing.assert_allclose(read.point_data["objective"], bowl(points), rtol=1e-14)
    np.testing.assert_allclose(read.point_data["ground_state"] ** 2, read.point_data["gibbs_density"], rtol=1e-13)
    ratio = np.log(read.point_data["ground_state"]) + bowl(points) / found.learning_rate
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


def test_the_gibbs_density_on_simplices_has_mass_one(tmp_path):
    place = simplices(2)
    density = spectrum_dataset.spectrum_dataset(spectrum(place), bowl)["gibbs_density"].values
    assert place.weights @ density == pytest.approx(1)


def test_xdmf_replaces_its_own_files_and_leaves_no_others(tmp_path):
    path = tmp_path / "modes.xdmf"
    paraview.save_modes(spectrum(masked(2)), path)
    (first,) = tmp_path.glob("*.h5")
    paraview.save_modes(spectrum(masked(2)), path, bowl)
    (second,) = tmp_path.glob("*.h5")
    assert first != second and len(os.listdir(tmp_path)) == 2
    assert second.name in path.read_text()


def test_xdmf_that_cannot_be_written_leaves_the_old_pair(tmp_path, monkeypatch):
    meshio = pytest.importorskip("meshio")
    path, rename = tmp_path / "modes.xdmf", os.replace
    paraview.save_modes(spectrum(masked(2)), path)
    before = sorted(os.listdir(tmp_path))

    def refuse(source, target):
        if str(target).endswith(".xdmf"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ConvergenceError, match="No space left"):
        paraview.save_modes(spectrum(masked(2)), path, bowl)
    assert sorted(os.listdir(tmp_path)) == before
    assert "objective" not in meshio.read(path).point_data


def test_what_others_wrote_is_not_overwritten(tmp_path):
    (tmp_path / "a.xdmf").write_text("<Xdmf/>")
    (tmp_path / "a.bp").mkdir()
    for name in ("a.xdmf", "a.bp"):
        with pytest.raises(RequestError, match="will not overwrite"):
            paraview.check_fields(tmp_path / name)


@pytest.mark.parametrize("name", ["a.vtu", "a", "missing/a.xdmf", "a:b.xdmf"])
def test_other_names_are_refused(tmp_path, name):
    with pytest.raises(RequestError, match="cannot write"):
        paraview.check_fields(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_nodes_without_simplices_are_refused(tmp_path):
    with pytest.raises(RequestError, match="make no simplex"):
        paraview.save_modes(spectrum(Grid.uniform([(0, 1), (0, 1)], (5, 1))), tmp_path / "a.xdmf")


def test_bp_without_dolfinx_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match="needs DOLFINx.*use .xdmf"):
        paraview.check_fields(tmp_path / "a.bp")


# ------------------------------------------------------------------------------------------------ VTX
@needs_dolfinx
@pytest.mark.fem
@pytest.mark.parametrize(("make", "dimension"), PLACES)
def test_bp_holds_the_fields(tmp_path, make, dimension):
    found, path = spectrum(make(dimension)), tmp_path / "modes.bp"
    for _ in range(2):  # the second replaces the first
        paraview.save_modes(found, path, bowl)
    assert os.listdir(tmp_path) == ["modes.bp"]
    assert json.loads((path / "witten.json").read_text())["rates"] == found.rates.tolist()
    names, data = (path / "mmd.0").read_bytes(), (path / "data.0").read_bytes()
    assert all(name in names for name in (b"mode_0", b"mode_2", b"objective", b"ground_state"))
    # Arrays lie in the file as they are: mode 0 is one at every node of a cell.
    joined = np.unique((found.grid if make is simplices else NodalMesh.of_grid(found.grid)).cells).size
    assert np.ones(joined).tobytes() in data and np.ones(joined + 1).tobytes() not in data


@needs_dolfinx
@pytest.mark.fem
@pytest.mark.parametrize(("make", "dimension"), PLACES)
def test_bp_is_read_by_adios2(tmp_path, make, dimension):
    if importlib.util.find_spec("adios2") is None:
        pytest.skip("no module adios2 to read it with")
    found = spectrum(make(dimension))
    paraview.save_modes(found, tmp_path / "modes.bp", bowl)
    # In a process of its own: DOLFINx brings another ADIOS2.
    code = """
import adios2, numpy
with adios2.FileReader("modes.bp") as file:
    numpy.savez("read.npz", **{name: file.read(name) for name in ("geometry", "mode_1", "objective")})
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE, cwd=tmp_path)
    read = np.load(tmp_path / "read.npz")
    np.testing.assert_allclose(read["mode_1"].squeeze(), read["geometry"][:, 0], atol=1e-14)
    np.testing.assert_allclose(read["objective"].squeeze(), bowl(read["geometry"].T), rtol=1e-13)


@needs_dolfinx
@pytest.mark.fem
@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_bp_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, step):
    path, genuine = tmp_path / "modes.bp", getattr(os, step)
    paraview.save_modes(spectrum(masked(1)), path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}

    def refuse(*arguments):
        if step == "rename" and str(arguments[0]).endswith(".part") is False:
            return genuine(*arguments)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(ConvergenceError, match="No space left"):
        paraview.save_modes(spectrum(masked(2)), path)
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert os.listdir(tmp_path) == ["modes.bp"]


# ------------------------------------------------------------------------------------------------ netCDF, pictures
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_spectra_on_simplices_are_saved_with_their_topology(tmp_path, dimension):
    found, path = spectrum(simplices(dimension)), tmp_path / "modes.nc"
    spectrum_dataset.save_spectrum(found, path, bowl)
    dataset = spectrum_dataset.load_spectrum(path)
    names = ("x", "y", "z")[:dimension]
    np.testing.assert_array_equal(dataset["modes"], found.modes)
    np.testing.assert_array_equal([dataset[name] for name in names], found.grid.points)
    np.testing.assert_array_equal(dataset["cells"], found.grid.cells)
    topology = dataset["mesh"].attrs
    assert topology["cf_role"] == "mesh_topology" and topology["topology_dimension"] == dimension
    assert topology["node_coordinates"].split() == list(names)
    assert topology[f"{('edge', 'face', 'volume')[dimension - 1]}_node_connectivity"] == "cells"
    assert (dataset["modes"].attrs["mesh"], dataset["modes"].attrs["location"]) == ("mesh", "node")


@pytest.mark.parametrize(("dimension", "objective"), [(1, bowl), (2, bowl), (3, bowl), (3, None)])
def test_modes_are_drawn(tmp_path, dimension, objective):
    found, path = spectrum(simplices(dimension)), tmp_path / "modes.png"
    figure = plots.plot_spectrum(found, objective, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figure.axes]
    labels = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    assert r"$\lambda_{1} = 0.5$" in titles + labels


def test_lines_run_from_left_to_right_whatever_the_order_of_the_nodes():
    figure = plots.plot_spectrum(spectrum(simplices(1)))
    x, y = figure.axes[0].lines[1].get_data()
    assert (np.diff(x) > 0).all() and abs(np.corrcoef(x, y)[0, 1]) == pytest.approx(1)


@pytest.mark.parametrize("height", [0.0, 0.31, -1.17])
def test_a_plane_cuts_tetrahedra_where_it_is(height):
    """Through nodes, between them, near the end; without an objective the plane is the middle of the mesh."""
    mesh = simplices(3)
    points = mesh.points * [[1], [1], [1 + 0.2 * height]] + [[0], [0], [height]]
    linear = 1 + 2 * points[0] - points[1] + 3 * points[2]
    found = replace(spectrum(mesh), grid=NodalMesh(points, mesh.cells), modes=np.array([linear] * 3))
    plane = sheet(spectrum_dataset.spectrum_dataset(found))
    np.testing.assert_allclose(plane.values["modes"][0], 1 + 2 * plane.x - plane.y + 3 * height, atol=1e-12)
    area = NodalMesh(np.array([plane.x, plane.y]), plane.triangles).weights.sum()
    assert area == pytest.approx(2.5**2, rel=1e-12)
    assert plane.bounds == pytest.approx((-1.5, 1.0, -1.0, 1.5))


def test_the_plane_goes_through_the_deepest_node():
    mesh = simplices(3)
    plane = sheet(spectrum_dataset.spectrum_dataset(spectrum(mesh), lambda x: bowl(x - [[0.1], [0.2], [0.4]])))
    deepest = mesh.points[:, np.argmin(bowl(mesh.points - [[0.1], [0.2], [0.4]]))]
    np.testing.assert_allclose(plane.values["objective"].min(), bowl(deepest - [0.1, 0.2, 0.4]), rtol=1e-12)
    assert f"{deepest[2]:.3g}" in plane.note
