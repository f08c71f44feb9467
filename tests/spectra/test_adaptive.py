"""Rates on adaptive meshes against independent references; what is asked of the command line; on any ranks."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skfem
from launcher import cli, in_process
from numpy.polynomial import legendre
from references import CASES, double_well, rates_1d, reference_rates, separable_rates
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh
from skfem.helpers import dot, grad

import witten
from witten.domains.box import Box
from witten.errors import AccuracyWarning, ConvergenceError, RequestError
from witten.parallel import Communicator, world
from witten.rates import RateCurve

pytest.importorskip("witten.spectra.meshes.adaptive_meshes", reason="needs DOLFINx", exc_type=ImportError)
from box_meshes import box_mesh
from curved_meshes import second_order

from witten.domains.meshes.mesh import dolfinx_mesh
from witten.domains.meshes.simplices import Simplices
from witten.objectives import resolve
from witten.spectra.meshes import adaptive_meshes
from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur

pytestmark = pytest.mark.fem

MESHES = Path(__file__).parents[2] / "meshes"
FE = {"method": "finite-elements"}
WELLS = "(x^2 + y^2 - 1)^2/4"  # a circular valley
SPHERES = "(x^2 + y^2 + z^2 - 1)^2/4"
alone_only = pytest.mark.skipif(world().size > 1, reason="a command of one process")


def within(found, truth, part=0.0):
    """Rates inside their bars, `part` of the truth besides."""
    truth = np.asarray(truth)
    rates, errors = found.rates[1 : truth.size + 1], found.errors[1 : truth.size + 1]
    outside = abs(rates - truth) > errors + part * truth
    assert not outside.any(), (rates / truth - 1, errors / truth)


# ------------------------------------------------------------------------------------------------ known rates
CHOSEN = (
    "quadratic@0.1",
    "double-well@0.02",
    "double-well@0.4",
    "double-well:barrier=2@0.2",
    "double-well:tilt=0.2@0.05",
    "double-well:tilt=1@0.3",
    "shi-su-jordan-1d@0.02",
    "convex-quartic@1",
    "rugged@0.05",
    "rugged:eps=0.005@0.03",
    "styblinski-tang:dim=1@0.2",
    "quadratic:theta=3,dim=2@0.1",
    "double-well:dim=2@0.05",
    "double-well:tilt=0.1,dim=2@0.5",
    "shi-su-jordan@0.03",
    "shi-su-jordan@1",
    "styblinski-tang@0.5",
)


@pytest.mark.parametrize("case", [case for case in CASES if str(case) in CHOSEN], ids=str)
def test_rates_are_inside_their_bars_and_as_accurate_as_asked(case):
    found = witten.spectrum(case.spec, case.learning_rate, 2, **FE)
    within(found, case.rates(1))
    assert found.relative_errors[1] <= 1e-4 and found.resolved.all()
    assert found.solver.startswith("fe P3")


def test_the_chosen_cases_exist():
    assert set(CHOSEN) <= {str(case) for case in CASES}


@pytest.mark.parametrize(
    ("spec", "s", "rate"),
    [
        ("double-well", 0.4, 1.3477798375e-1),
        ("double-well", 0.2, 3.3545287308e-2),
        ("double-well", 0.1, 2.7761406366e-3),
        ("double-well", 0.05, 1.9589273000e-5),
        ("double-well:dim=2", 0.1, 2.7761406366e-3),
        ("shi-su-jordan", 0.1, 3.6128558845e-2),
        ("shi-su-jordan", 0.05, 4.0316284531e-3),
        ("shi-su-jordan-1d", 0.01, 1.0956734777e-10),
    ],
)
def test_printed_values_to_a_millionth(spec, s, rate):
    found = witten.spectrum(spec, s, 2, degree=3, rtol=1e-6)
    assert abs(found.gap - rate) <= found.errors[1] + 1e-10 * rate <= 1e-6 * rate + 1e-10 * rate


def test_mueller_brown_to_a_millionth_agrees_with_finite_differences():
    s = 0.2
    found = witten.spectrum("mueller-brown", s, 2, degree=3, rtol=1e-6)
    differences = witten.spectrum("mueller-brown", s, 2, rtol=1e-7)
    assert found.errors[1] <= 1e-6 * found.gap
    assert abs(found.gap - differences.gap) <= found.errors[1] + differences.errors[1]
    assert found.n_dofs < 20_000 < differences.n_dofs / 3


def test_cells_across_which_f_is_steep():
    """The walls of Mueller-Brown rise by more than a hundred learning rates within a cell, where conjugate gradients on
    the mass matrix stop short."""
    found = witten.spectrum("mueller-brown", 40.0, 2, degree=3, rtol=1e-2)
    differences = witten.spectrum("mueller-brown", 40.0, 2)
    assert abs(found.gap - differences.gap) <= found.errors[1] + differences.errors[1] <= 2e-4 * found.gap


@pytest.mark.parametrize(("degree", "rtol"), [(1, 2e-3), (2, 1e-4), (3, 1e-6)])
def test_every_degree_keeps_its_promise(degree, rtol):
    found = witten.spectrum("double-well:tilt=0.1,dim=2", 0.2, 3, degree=degree, rtol=rtol)
    within(found, reference_rates("double-well:tilt=0.1,dim=2", 0.2, 2))
    assert (found.relative_errors <= rtol).all()
    assert found.solver.startswith(f"fe P{degree}")


@pytest.mark.parametrize(
    ("spec", "s"),
    [
        ("double-well:tilt=0.1", 0.1),
        ("double-well:tilt=0.1,dim=2", 0.1),
        ("shi-su-jordan", 0.1),
        ("rastrigin:dim=1", 0.2),
    ],
)
def test_bars_of_higher_modes_hold_and_none_is_missed(spec, s):
    found = witten.spectrum(spec, s, 5, **FE)
    within(found, reference_rates(spec, s, 4))
    # What was counted lies below a bound in a gap of the spectrum: it does not cut a cluster in two.
    counted = found.modes_counted
    rates = np.append(0.0, reference_rates(spec, s, counted))
    assert counted >= 5 and rates[counted] > 1.01 * rates[counted - 1]


@pytest.mark.parametrize(("spec", "s"), [("triple-well", 0.15), ("himmelblau", 0.5)])
def test_several_wells_as_by_finite_differences(spec, s):
    found, differences = witten.spectrum(spec, s, 4, **FE), witten.spectrum(spec, s, 4)
    within(found, differences.rates[1:], part=1e-4)


def test_three_dimensions():
    found = witten.spectrum("double-well:dim=3", 0.6, 2, rtol=5e-3, **FE)
    within(found, reference_rates("double-well:dim=3", 0.6, 1))
    assert found.relative_errors[1] <= 5e-3 and found.solver.startswith("fe P2")


def test_weights_that_no_double_holds_are_refused():
    with pytest.raises(RequestError, match="finite differences"):
        witten.spectrum("double-well", 0.0003, 2, **FE)


def test_noise_scales_the_learning_rate():
    found = witten.spectrum("double-well", 0.1, 2, noise=np.sqrt(2.0), **FE)
    assert found.gap == pytest.approx(3.3545287308e-2, rel=1e-4)
    assert found.learning_rate == 0.1


def test_modes_are_functions_on_the_nodes():
    """f = x^2/2 + y^2/2: u_1 and u_2 span x sqrt(2/s) and y sqrt(2/s)."""
    s = 0.3
    found = witten.spectrum("quadratic:dim=2", s, 3, **FE)
    assert found.modes.shape == (3, found.grid.n_nodes) and found.n_dofs == found.grid.n_nodes
    np.testing.assert_allclose(found.modes[0], 1)
    points = found.grid.points
    near = np.linalg.norm(points, axis=0) < 1.5
    linear = np.linalg.lstsq(points[:, near].T, found.modes[1:, near].T, rcond=None)[0] * np.sqrt(s / 2)
    np.testing.assert_allclose(linear.T @ linear, np.eye(2), atol=1e-4)
    np.testing.assert_allclose(found.modes[1:, near], (points[:, near].T @ linear / np.sqrt(s / 2)).T, atol=1e-3)


# ------------------------------------------------------------------------------------------------ given domains
@cache
def radial_rates(kind, s, d, inner, outer, order=50):
    """The lowest rates of f(r) in a ball or a shell with reflecting walls, multiplicities included, zero left out.

    Modes are R(r) times a spherical harmonic of degree l: in psi = R e^{-f/s}, with Legendre polynomials for psi,

        int [(s psi' + f' psi)^2/(2 s) + (s/2) l (l + d - 2) psi^2/r^2] r^{d-1} dr = rate int psi^2 r^{d-1} dr.
    """
    slope = {"valley": lambda r: r**3 - r, "bowl": lambda r: r, "flat": lambda r: 0 * r}[kind]
    x, weights = legendre.leggauss(2 * order)
    r = inner + (outer - inner) * (x + 1) / 2
    weights = weights * (outer - inner) / 2 * r ** (d - 1)
    values = legendre.legvander(x, order - 1)
    slopes = np.stack([legendre.legval(x, legendre.legder(e)) for e in np.eye(order)], 1) * 2 / (outer - inner)
    found = []
    for angular in range(8):
        vanish = inner == 0 and angular > 0  # at the centre
        psi, prime = (values * r[:, None], slopes * r[:, None] + values) if vanish else (values, slopes)
        change = s * prime + slope(r)[:, None] * psi
        stiffness = change.T @ (change * (weights / (2 * s))[:, None])
        stiffness += s / 2 * angular * (angular + d - 2) * psi.T @ (psi * (weights / r**2)[:, None])
        rates = eigh(stiffness, psi.T @ (psi * weights[:, None]), eigvals_only=True)[:6]
        found += [*rates] * (1 if angular == 0 else 2 if d == 2 else 2 * angular + 1)
    return np.sort(found)[1:]


def test_the_radial_reference_knows_bessel_functions_and_oscillators():
    bessel = np.array([1.841183781, 1.841183781, 3.054236928])  # where J_1' and J_2' vanish
    np.testing.assert_allclose(radial_rates("flat", 2.0, 2, 0.0, 1.0)[:3], bessel**2, rtol=1e-8)
    np.testing.assert_allclose(radial_rates("flat", 2.0, 3, 0.0, 1.0)[:3], 2.081575978**2, rtol=1e-8)
    np.testing.assert_allclose(radial_rates("bowl", 0.1, 3, 0.0, 2.0)[:5], [1, 1, 1, 2, 2], rtol=1e-9)
    coarse, fine = (radial_rates("valley", 0.2, 2, 0.5, 1.5, order) for order in (40, 50))
    np.testing.assert_allclose(coarse[:8], fine[:8], rtol=1e-8)


@pytest.mark.parametrize(
    ("mesh", "formula", "kind", "s", "span", "k"),
    [
        ("disk", WELLS, "valley", 0.2, (0.0, 2.0), 6),
        ("annulus", WELLS, "valley", 0.2, (0.5, 1.5), 6),
        ("annulus", "x^2/2 + y^2/2", "bowl", 0.3, (0.5, 1.5), 5),
        ("ball", SPHERES, "valley", 0.3, (0.0, 2.0), 4),
        ("ball", "x^2/2 + y^2/2 + z^2/2", "bowl", 0.4, (0.0, 2.0), 4),
    ],
)
def test_round_domains_against_radial_separation(mesh, formula, kind, s, span, k):
    """The gap is an angular mode, double in the plane and triple in space. The files' curved boundaries are quadratic
    pieces, and bars know what these may be off."""
    d = 3 if mesh == "ball" else 2
    rtol = 1e-4 if d == 2 else 5e-3
    found = witten.spectrum(formula, s, k, mesh=MESHES / f"{mesh}.msh", rtol=rtol)
    truth = radial_rates(kind, s, d, *span)[: k - 1]
    within(found, truth)
    assert (found.relative_errors <= rtol).all() and found.modes_counted >= k
    assert truth[0] == pytest.approx(truth[d - 1], rel=1e-9)
    assert (1, 2) in {run[:2] for run in found.multiplets}


def half_annulus(n, bend):
    """Radii 1/2 to 3/2, angles 0 to pi, n times 2 n cells; straight or curved."""
    x, y = (
        each.ravel()
        for each in np.meshgrid(np.linspace(0, np.pi, 2 * n + 1), np.linspace(0.5, 1.5, n + 1), indexing="ij")
    )
    corner = (np.arange(2 * n)[:, None] * (n + 1) + np.arange(n)).ravel()
    cells = [[corner, corner + n + 1, corner + 1], [corner + n + 2, corner + n + 1, corner + 1]]
    flat = Simplices(np.array([x, y]), np.concatenate([np.transpose(each) for each in cells]))

    def round_off(points):
        angle, r = points
        return r * np.array([np.cos(angle), np.sin(angle)])

    made = second_order(flat, round_off) if bend else Simplices(round_off(flat.points), flat.cells)
    return dolfinx_mesh(world().mpi, made if world().rank == 0 else None)


@pytest.mark.parametrize(("bend", "order"), [(False, 2), (True, 4)])
def test_straight_cells_on_a_curved_boundary_leave_an_error_of_second_order_and_curved_ones_of_fourth(bend, order):
    """Bars hold it without being much wider. Each angular mode of the half is simple, cos(l angle)."""
    truth = radial_rates("valley", 0.3, 2, 0.5, 1.5)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        found = [witten.spectrum(WELLS, 0.3, 2, mesh=half_annulus(n, bend), rtol=1e-7) for n in (3, 6)]
    errors = [abs(each.gap / truth - 1) for each in found]
    assert all(error <= each.relative_errors[1] <= 10 * error for error, each in zip(errors, found, strict=True))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.5)


def test_a_re_entrant_corner_against_quartic_elements_on_a_graded_mesh():
    """L-shape: the modes are singular at the corner; scikit-fem, P4, cells halved twelve times towards it."""
    s = 0.2
    found = witten.spectrum(WELLS, s, 5, mesh=MESHES / "l-shape.msh")
    within(found, l_shape_rates(s, 4), part=1e-6)
    assert (found.relative_errors <= 1e-4).all()


def l_shape_rates(s, k):
    square = skfem.MeshTri.init_tensor(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    mesh = square.restrict(square.elements_satisfying(lambda x: (x[0] < 0) | (x[1] < 0)))
    for _ in range(12):
        corner = np.linalg.norm(mesh.p, axis=0).argmin()
        mesh = mesh.refined(np.flatnonzero((mesh.t == corner).any(axis=0)))
    basis = skfem.Basis(mesh, skfem.ElementTriP4(), intorder=14)
    x, y = np.asarray(basis.global_coordinates())
    weight = np.exp(-((x * x + y * y - 1) ** 2) / (2 * s))
    stiffness = skfem.BilinearForm(lambda u, v, w: s / 2 * dot(grad(u), grad(v)) * w["weight"])
    mass = skfem.BilinearForm(lambda u, v, w: u * v * w["weight"])
    a, m = (form.assemble(basis, weight=weight).tocsc() for form in (stiffness, mass))
    return np.sort(
        eigsh(a, k + 1, m, sigma=-0.01, v0=np.ones(a.shape[0]) + np.arange(a.shape[0]), return_eigenvectors=False)
    )[1:]


def test_a_mesh_of_dolfinx_and_a_box_have_reflecting_walls():
    interval = (-1.2, 1.3)
    truth = rates_1d(double_well(0.25, 0.1), 0.4, 2, interval=interval)
    mesh = box_mesh(world().mpi, Box.of([interval]), (4,))
    within(witten.spectrum("double-well:tilt=0.1", 0.4, 3, mesh=mesh, rtol=1e-6), truth)
    plane = box_mesh(world().mpi, Box.of([interval, (-1.0, 1.0)]), (3, 3))
    valley = rates_1d(lambda y: y * y / 2, 0.4, 2, interval=(-1.0, 1.0))
    found = witten.spectrum("double-well:tilt=0.1,dim=2", 0.4, 3, mesh=plane, rtol=1e-5)
    within(found, separable_rates([truth, valley], 2))
    wide = rates_1d(double_well(), 0.1, 1, interval=(-1.9, 1.9))
    within(witten.spectrum("double-well", 0.1, 2, box=[(-1.9, 1.9)], **FE), wide)


@pytest.mark.skipif(world().size == 1, reason="compares several ranks with one")
@pytest.mark.parametrize("spec", ["double-well", "shi-su-jordan"])
def test_all_ranks_together_find_what_one_finds(spec):
    together, by_itself = (witten.spectrum(spec, 0.1, 3, comm=comm, **FE) for comm in (None, Communicator()))
    np.testing.assert_allclose(together.rates, by_itself.rates, rtol=1e-9)
    np.testing.assert_allclose(together.grid.points, by_itself.grid.points, rtol=0, atol=1e-13)
    assert together.modes_counted == by_itself.modes_counted


# ------------------------------------------------------------------------------------------------ what can go wrong
def dropping(monkeypatch, times):
    """The solver overlooks its second pair, so often."""
    solve, left = KrylovSchur.solve, [times]

    def overlook(self, operator, k, start=None):
        pairs = solve(self, operator, k + 1, start)
        if left[0] == 0:
            return pairs.lowest(k)
        left[0] -= 1
        kept = np.delete(np.arange(k + 1), 1)
        return type(pairs)(pairs.rates[kept], pairs.psi[:, kept], pairs.residuals[kept], pairs.noise[kept])

    monkeypatch.setattr(KrylovSchur, "solve", overlook)


def test_a_missed_mode_is_an_error_with_a_remedy(monkeypatch):
    dropping(monkeypatch, times=-1)
    with pytest.raises(ConvergenceError, match=r"eigenvalues were found and \d+ counted below .*eps_ncv"):
        witten.spectrum("double-well:tilt=0.1", 0.2, 4, **FE)


def test_a_mode_missed_once_is_found_again(monkeypatch):
    dropping(monkeypatch, times=1)
    found = witten.spectrum("double-well:tilt=0.1", 0.2, 4, **FE)
    within(found, reference_rates("double-well:tilt=0.1", 0.2, 3))


def test_requests_that_make_no_sense_are_refused():
    mesh = MESHES / "disk.msh"
    with pytest.raises(RequestError, match="mesh or a box, not both"):
        witten.spectrum("mueller-brown", 0.2, 2, mesh=mesh, box=[(-1, 1), (-1, 1)])
    with pytest.raises(RequestError, match="dimension"):
        witten.spectrum("double-well", 0.2, 2, mesh=mesh)
    with pytest.raises(RequestError, match="degree 1, 2 or 3, got 4"):
        witten.spectrum("double-well", 0.2, 2, degree=4)
    with pytest.raises(RequestError, match="there is no such file"):
        witten.gap("double-well:dim=2", 0.2, mesh=MESHES / "none.msh")
    with pytest.raises(RequestError, match="finite differences do not use it"):
        witten.gap("double-well", 0.2, degree=2, method="finite-differences")
    with pytest.raises(RequestError, match=r"not finite at \("):
        witten.spectrum("log(x) + x^2", 0.2, 2, mesh=box_mesh(world().mpi, Box.of([(-1.0, 1.0)]), (4,)))


# ------------------------------------------------------------------------------------------------ the command line
def answer(*arguments, run=in_process):
    """The JSON object that `witten ARGUMENTS` prints."""
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


@alone_only
def test_gap_by_finite_elements():
    found = answer("gap", "double-well", "--lr", "0.4,0.1", "--method", "fe", run=cli)
    assert found["method"] == "fe" and found["objective"] == "double-well"
    for record, rate in zip(found["records"], (1.3477798375e-1, 2.7761406366e-3), strict=True):
        assert abs(record["rate"] - rate) <= record["rate_error"] <= 1e-4 * rate
        assert record["modes_counted"] >= 2 and record["solver"].startswith("fe P3") and record["n_dofs"] > 10


@alone_only
def test_a_degree_means_finite_elements_and_options_reach_petsc():
    found = answer("gap", "double-well", "--lr", 0.2, "--degree", 2, "--petsc", "-eps_ncv 30")
    (record,) = found["records"]
    assert found["method"] == "fe" and record["solver"].startswith("fe P2")
    assert abs(record["rate"] - 3.3545287308e-2) <= record["rate_error"]
    done = in_process(
        "gap", "double-well:dim=2", "--lr", 0.2, "--degree", 3, "--petsc", "-eps_max_it 1 -eps_tol 1e-16 -eps_ncv 7"
    )
    assert done.returncode == 1 and "Krylov-Schur found" in done.stderr and "--petsc" in done.stderr


@pytest.mark.parametrize("options", [{"eps_ncv": "2"}, {"eps_type": "nonsense"}, {"st_mat_mumps_icntl_14": "x"}])
def test_what_petsc_does_not_take_is_said_in_a_line(options):
    with pytest.raises(ConvergenceError, match="SLEPc on .* failed .*(ncv|nonsense|integer)") as error:
        witten.spectrum("double-well", 0.2, 2, petsc=options, **FE)
    assert "\n" not in str(error.value) and ".c:" not in str(error.value)


@alone_only
def test_gap_on_a_mesh():
    found = answer("gap", WELLS, "--lr", 0.2, "--mesh", MESHES / "disk.msh")
    (record,) = found["records"]
    truth = radial_rates("valley", 0.2, 2, 0.0, 2.0)[0]
    assert found["method"] == "fe" and abs(record["rate"] - truth) <= record["rate_error"] + 1e-6 * truth
    assert record["modes_counted"] >= 3  # the gap is double


@alone_only
def test_a_sweep_goes_on_from_its_file(tmp_path):
    """What is in the file is not computed again, and only the same request goes on from it."""
    file = tmp_path / "curve.nc"
    asked = "gap", "double-well", "--method", "fe", "-o", file
    first = answer(*asked, "--lr", "0.2")["records"]
    both = answer(*asked, "--lr", "0.2,0.1", "--resume")["records"]
    assert both[0] == first[0]
    assert [record["learning_rate"] for record in both] == [0.2, 0.1] and both[1]["modes_counted"] >= 2
    saved = RateCurve.load(file)
    assert saved.method == "finite-elements" and [each.modes_counted for each in saved.records] == [
        record["modes_counted"] for record in both
    ]
    done = in_process(*asked, "--lr", "0.2,0.1", "--resume", "--degree", 2)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@alone_only
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["double-well", "--mesh", MESHES / "disk.msh"], "dimension"),
        (["double-well:dim=2", "--mesh", MESHES / "disk.msh", "--box", "-2:2,-2:2"], "not both"),
        (["double-well", "--method", "fd", "--degree", "2"], "degree"),
    ],
)
def test_wrong_requests_end_with_one_line(arguments, says):
    done = in_process("gap", *arguments, "--lr", 0.2)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("witten: ") and done.stderr.count("\n") == 1 and says in done.stderr


def refusing(error, meshes):
    """`ElementSolvers.__call__`, that raises an error after so many meshes."""
    solve, seen = adaptive_meshes.ElementSolvers.__call__, []

    def call(self, operator, coarser):
        seen.append(operator)
        if len(seen) > meshes:
            raise error("no more")
        return solve(self, operator, coarser)

    return call


@pytest.mark.filterwarnings("ignore::witten.errors.AccuracyWarning")
def test_a_mesh_too_large_for_its_solver_leaves_what_coarser_ones_gave(monkeypatch):
    monkeypatch.setattr(adaptive_meshes.ElementSolvers, "__call__", refusing(adaptive_meshes.TooLargeToFactor, 2))
    found = adaptive_meshes.adapted_spectrum(resolve("himmelblau"), 0.5, 2, rtol=1e-8)
    truth = witten.gap("himmelblau", 0.5).records[0]
    assert found.errors[1] > 1e-7 * found.rates[1]
    assert abs(found.rates[1] - truth.rate) <= found.errors[1] + truth.rate_error


def test_eigenvalues_that_were_missed_are_no_reason_to_stop_early(monkeypatch):
    monkeypatch.setattr(adaptive_meshes.ElementSolvers, "__call__", refusing(ConvergenceError, 2))
    with pytest.raises(ConvergenceError, match="no more"):
        adaptive_meshes.adapted_spectrum(resolve("himmelblau"), 0.5, 2, rtol=1e-8)
