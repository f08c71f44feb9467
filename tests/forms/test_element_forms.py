"""The complex of finite elements against its identities, dense spectra, grids, and the topology of meshes."""

import json

import numpy as np
import pytest
from launcher import in_process

pytest.importorskip("witten.forms.on_meshes.mesh_rates", reason="needs DOLFINx", exc_type=ImportError)

import witten
from witten.domains.meshes.mesh import dolfinx_mesh
from witten.domains.meshes.simplices import Simplices, cut_grid
from witten.forms.form_dataset import save_form_spectrum
from witten.forms.form_spectrum import FormSpectrum
from witten.forms.on_meshes.element_complex import ElementComplex
from witten.forms.on_meshes.element_forms import element_rates
from witten.forms.on_meshes.form_modes import form_modes
from witten.forms.on_meshes.mesh_rates import ElementForms, MeshDomain, mesh_rates
from witten.forms.on_meshes.simplicial_betti import simplicial_betti
from witten.forms.whole_space import refined_rates
from witten.io.netcdf import read_dataset
from witten.parallel.communicators import Communicator
from witten.plots import plot_form_modes, save_form_modes

FORMULAS = {2: "(x^2-1)^2/4 + y^2/2 + x*y/5", 3: "(x^2-1)^2/4 + y^2/2 + x*z/5 + z^2"}


def with_a_hole(d):
    """A square ring; in space a box around a tunnel, with a bubble elsewhere."""
    mask = np.ones({2: (5, 5), 3: (3, 3, 6)}[d], dtype=bool)
    if d == 2:
        mask[2, 2] = False
    else:
        mask[1, 1, [1, 3, 4, 5]] = mask[0, 1, 4] = False
    return cut_grid(witten.Grid(witten.Box((-1.4,) * d, (1.7,) * d), mask.shape, mask))


def cube(d, n):
    return cut_grid(witten.Grid(witten.Box((-1.4,) * d, (1.7,) * d), (n,) * d))


def complex_on(cells, relative, s=0.7):
    f = witten.Objective.from_formula(FORMULAS[cells.dimension])
    return ElementComplex(f, dolfinx_mesh(Communicator().mpi, cells), s, 1, relative)


def dense(complex_):
    """A_p between orthonormal bases: L_{p+1}^T A L_p^{-T}, L the Cholesky factors of the mass matrices."""
    factors = [np.linalg.cholesky(mass.toarray()) for mass in complex_.masses]
    maps = [complex_.witten_differential(p).toarray() for p in range(complex_.dimension)]
    return [above.T @ np.linalg.solve(below, a.T).T for a, below, above in
            zip(maps, factors, factors[1:], strict=False)]  # fmt: skip


@pytest.mark.parametrize("relative", [False, True])
def test_d_d_is_zero_and_kernels_are_those_of_the_mesh(relative):
    cells = with_a_hole(2)
    betti = simplicial_betti(cells)
    assert betti == (1, 1, 0)
    found = complex_on(cells, relative)
    first, last = (found.derivative(p) for p in (0, 1))
    assert abs(last @ first).max() <= 1e-14 * abs(last).max()
    ranks = [0, *(np.linalg.matrix_rank(each.toarray()) for each in (first, last)), 0]
    kernels = tuple(len(kept) - ranks[p] - ranks[p + 1] for p, kept in enumerate(found.kept))
    assert kernels == (betti[::-1] if relative else betti)


@pytest.mark.parametrize("relative", [False, True])
def test_spectra_of_neighbouring_degrees_pair_and_are_found(relative):
    complex_ = complex_on(with_a_hole(2), relative)
    a0, a1 = dense(complex_)
    betti = (0, 1, 1) if relative else (1, 1, 0)
    singular = [np.linalg.svd(a, compute_uv=False)[: np.linalg.matrix_rank(a)] ** 2 for a in (a0, a1)]
    middle = np.linalg.eigvalsh(a1.T @ a1 + a0 @ a0.T)
    both = np.sort(np.concatenate(singular))
    np.testing.assert_allclose(middle[betti[1] :], both, rtol=1e-12, atol=1e-12 * both[0])
    for q, expected in enumerate(singular):
        logs, errors = element_rates(complex_, q, 2, betti)
        np.testing.assert_allclose(np.exp(logs), expected[::-1][:2] / 1.4, rtol=1e-11)
        assert (errors < 1e-9).all()


@pytest.mark.parametrize("relative", [False, True])
def test_curls_in_space_are_found(relative):
    complex_ = complex_on(cube(3, 3), relative)
    maps = dense(complex_)
    betti = (0, 0, 0, 1) if relative else (1, 0, 0, 0)
    for q in (1, 2):
        sigma = np.linalg.svd(maps[q], compute_uv=False)
        expected = sigma[: np.linalg.matrix_rank(maps[q])][::-1][:2] ** 2 / 1.4
        logs, _ = element_rates(complex_, q, 2, betti)
        np.testing.assert_allclose(np.exp(logs), expected, rtol=1e-11)


def test_betti_numbers_of_tunnels_and_bubbles():
    assert simplicial_betti(with_a_hole(3)) == (1, 1, 1, 0)
    assert simplicial_betti(cube(3, 2)) == (1, 0, 0, 0)


def test_a_mesh_that_touches_itself_is_refused():
    points = np.array([[0, 1, 1, -1, -1], [0, 0, 1, 0, -1]], dtype=float)
    with pytest.raises(witten.RequestError, match="touches itself at \\(0, 0\\)"):
        simplicial_betti(Simplices(points, np.array([[0, 1, 2], [0, 3, 4]])))


@pytest.mark.parametrize("boundary", ["absolute", "relative"])
def test_elements_and_grids_agree_in_a_box(boundary):
    given = ("x^2/2 + 0.3*y^2", 0.2, 2, 2)
    box = [(-1, 1), (-1, 1.2)]
    grids = witten.form_spectrum(*given, box=box, boundary=boundary)
    elements = witten.form_spectrum(*given, box=box, boundary=boundary, degree=1, rtol=1e-2)
    assert elements.betti == grids.betti
    assert elements.method == "finite-elements"
    assert (abs(elements.rates - grids.rates) <= elements.errors + grids.errors).all()
    assert (elements.errors <= 0.05 * elements.rates).all()


@pytest.mark.parametrize("halved", [2, 3])
def test_bars_hold_where_a_corner_points_inwards(halved, monkeypatch):
    """Functions that vanish along the boundary of an L: their lowest rate is not off by a multiple of h^2."""
    monkeypatch.setattr("witten.forms.on_meshes.mesh_rates.LARGEST", {(2, 1): 68 * 4**halved})
    mask = np.ones((6, 6), dtype=bool)
    mask[3:, 3:] = False
    mesh = cut_grid(witten.Grid(witten.Box((-1.0, -1.0), (1.0, 1.0)), mask.shape, mask))
    problem = ElementForms(witten.Objective.from_formula("0*x + 0*y + 1"), 1.0, 0, 1, relative=True)
    found = refined_rates(problem, MeshDomain(mesh), 3, 1e-9)
    truth = np.array([9.6397238440, 15.197251926, 2 * np.pi**2]) / 2
    assert (abs(np.exp(found.log_rates) / truth - 1) <= found.relative_errors).all()
    assert (found.relative_errors < 0.05).all()


def test_a_polygon_stands_for_a_disk(tmp_path, monkeypatch):
    """f flat, relative: top forms are functions that reflect, of rate j'_{1,1}^2 s/2; the polygon is off by more than
    refinement tells."""
    monkeypatch.setattr("witten.forms.on_meshes.mesh_rates.LARGEST", {(2, 1): 1500})
    angles = np.arange(16) * np.pi / 8
    rings = [np.zeros((2, 1)), *(r * np.array([np.cos(angles), np.sin(angles)]) for r in (0.5, 1.0))]
    ring = np.arange(16)
    after = (ring + 1) % 16
    cells = np.vstack([
        np.column_stack([0 * ring, 1 + ring, 1 + after]),
        np.column_stack([1 + ring, 17 + ring, 17 + after]),
        np.column_stack([1 + ring, 17 + after, 1 + after]),
    ])  # fmt: skip
    disk = Simplices(np.hstack(rings), cells)
    monkeypatch.setattr("witten.forms.on_meshes.mesh_rates.read_msh", lambda path, dimension: disk)
    f = witten.Objective.from_formula("0*x + 0*y + 1")
    problem = ElementForms(f, 1.0, 1, 1, relative=True)
    found = mesh_rates(problem, tmp_path / "disk.msh", 1, 1e-3)
    inside = refined_rates(problem, MeshDomain(disk), 1, 1e-3)
    truth = 1.8411837813406593**2 / 2
    assert abs(np.exp(found.log_rates[0]) / truth - 1) <= found.relative_errors[0] < 0.1
    assert inside.relative_errors[0] < abs(np.exp(inside.log_rates[0]) / truth - 1)


@pytest.fixture(scope="module")
def square():
    """f flat on the unit square: top forms are sines, and the 1-forms of the same rate their turned gradients."""
    problem = ElementForms(witten.Objective.from_formula("0*x + 0*y + 1"), 1.0, 1, 1)
    grid = witten.Grid(witten.Box((0.0, 0.0), (1.0, 1.0)), (8, 8))
    return [form_modes(problem, grid, p, partners) for p, partners in ((2, (1,)), (1, (0, 2)))]


def alike(found, expected):
    return abs((found * expected).sum()) / np.sqrt((found**2).sum() * (expected**2).sum())


def test_modes_are_those_of_a_flat_square(square):
    top, fields = square
    x, y = np.pi * top.points[:, top.cells].mean(axis=2)
    assert alike(top.values[0, 0], np.sin(x) * np.sin(y)) > 0.99
    assert alike(fields.values[1], np.array([np.sin(x) * np.cos(y), -np.cos(x) * np.sin(y)])) > 0.99
    gradient = fields.values[0]  # of any of cos x and cos y, whose rates are one
    basis = np.array([[np.sin(x), 0 * y], [0 * x, np.sin(y)]])
    coefficients = np.einsum("jcm,cm->j", basis, gradient) / (np.sin(x) ** 2).sum()
    assert alike(gradient, np.einsum("j,jcm->cm", coefficients, basis)) > 0.99
    np.testing.assert_allclose((top.values**2).sum() / top.cells.shape[0], 1, atol=0.05)


def test_modes_are_written_as_vectors_and_drawn_as_arrows(square, tmp_path):
    modes = square[1]
    rates = np.log([1.0, 2.0])
    found = FormSpectrum("flat", 1.0, 1, "absolute", rates, 0 * rates, (0, 2), (1, 0, 0), None, None, 81,
                         "finite-elements", 0 * rates, 0.0, modes)  # fmt: skip
    save_form_spectrum(found, tmp_path / "m.nc")
    kept = read_dataset(tmp_path / "m.nc", "form-spectrum")
    save_form_modes(kept, tmp_path / "m.xdmf")
    text = (tmp_path / "m.xdmf").read_text()
    assert text.count('AttributeType="Vector" Center="Cell"') == 2
    np.testing.assert_array_equal(kept["modes"].values, modes.values)
    figure = plot_form_modes(kept)
    assert [sum(type(each).__name__ == "Quiver" for each in axes.collections) for axes in figure.axes[:2]] == [1, 1]
    done = in_process("plot", str(tmp_path / "m.nc"), "--json")
    assert json.loads(done.stdout)["kind"] == "form-spectrum"
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
