"""Committors between two sets: closed forms on a line, identities of capacity, current and cuts in the plane."""

import json

import numpy as np
import pytest
from scipy.integrate import cumulative_simpson
from typer.testing import CliRunner

import witten
from witten import Ball, Box
from witten.cli import app
from witten.domains.sets import predicate
from witten.errors import ConvergenceError, RequestError
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.spectra.committors.between_sets import committor_on

TILTED = "(x^2-1)^2/4 + x/20"


def tilted(x):
    return (x**2 - 1) ** 2 / 4 + x / 20


def quadrature(function, low, high, pieces=400):
    nodes, weights = np.polynomial.legendre.leggauss(20)
    ends = np.linspace(low, high, pieces + 1)
    middle, half = (ends[1:] + ends[:-1]) / 2, np.diff(ends) / 2
    return float(np.sum(function(middle[:, None] + half[:, None] * nodes) * weights * half[:, None]))


@pytest.mark.parametrize(("s", "length", "angle"), [(0.285, 1.0, 2.46), (0.06, 1e-3, 0.8), (0.5, 1e3, 4.07)])
def test_errors_hold_at_every_node_of_a_turned_domain(s, length, angle):
    """Between half-planes q is that of a line; most of its error is beside the boundary, where space was cut off."""
    c, d, a, b = np.cos(angle).item(), np.sin(angle).item(), -0.83, 0.77
    u, v = f"(({c!r})*x+({d!r})*y)/{length!r}", f"(({c!r})*y-({d!r})*x)/{length!r}"

    def along(x):
        return (c * x[0] + d * x[1]) / length

    f = f"(({u})^2-1)^2/4 + ({u})/20 + ({v})^2"
    found = witten.committor(f, s, lambda x: along(x) <= a, lambda x: along(x) >= b)
    nodes = np.linspace(a, b, 4001)
    resistance = cumulative_simpson(np.exp(2 * (tilted(nodes) - 0.25) / s), x=nodes, initial=0.0)
    q = np.interp(along(found.grid.points), nodes, resistance / resistance[-1])
    assert (abs(found.q - q) <= found.errors + 1e-6).all()
    assert np.median(found.errors) < 0.01


@pytest.mark.parametrize("s", [0.2, 0.02])
def test_on_a_line_resistances_say_it_all(s):
    """q = int_A^x e^{2f/s} / int_A^B e^{2f/s}, cap = (s/2)/(Z int_A^B e^{2f/s}); near A q is tiny, near B 1 - q is."""
    a, b = -0.87, 0.91
    found = witten.committor(TILTED, s, Box((-3.0,), (a,)), Box((b,), (3.0,)))

    def resistance(low, high):  # in units of e^{2/(4 s)}
        return quadrature(lambda x: np.exp(2 * (tilted(x) - 0.25) / s), low, high)

    def mass(low, high):  # in units of e^{2/(20 s)}
        return quadrature(lambda x: np.exp(-2 * (tilted(x) + 0.05) / s), low, high)

    whole = resistance(a, b)
    capacity = np.log(s / 2 / (whole * mass(-3, 3))) - 0.6 / s
    assert abs(found.log_capacity - capacity) <= found.relative_errors[0] <= 1e-3
    for at in (-0.86, -0.5, 0.0, 0.5, 0.9):
        i = int(abs(found.grid.points[0] - at).argmin())
        x = found.grid.points[0, i]
        assert abs(found.q[i] - resistance(a, x) / whole) <= found.errors[i] + 1e-13
        assert abs(found.complement[i] - resistance(x, b) / whole) <= found.errors[i] + 1e-13
    nodes, weights = np.polynomial.legendre.leggauss(60)
    inner = [(b - a) / 2 * t + (a + b) / 2 for t in nodes]
    part = sum(
        w * (b - a) / 2 * np.exp(-2 * (tilted(x) + 0.05) / s) * resistance(x, b) / whole
        for x, w in zip(inner, weights, strict=True)
    )
    rate = capacity + np.log(mass(-3, 3) / (mass(-3, a) + part))
    assert abs(found.log_rate - rate) <= found.relative_errors[1] + 1e-6
    assert np.exp(np.logaddexp(found.log_capacity - found.log_rate, found.log_capacity - found.log_rate_back)) == (
        pytest.approx(1.0, abs=1e-3)
    )  # the time before B and that before A are all there is


def test_relative_accuracy_where_q_is_tiny():
    s = 0.01
    found = committor_on(
        FiniteDifferences(witten.Objective.from_formula(TILTED), witten.Grid.uniform([(-1.6, 1.5)], 4000)),
        s, lambda x: x[0] < -1.0, lambda x: x[0] > 1.0,
    )  # fmt: skip
    i = int(abs(found.grid.points[0] + 0.95).argmin())
    x = found.grid.points[0, i]
    exact = quadrature(lambda x: np.exp(2 * (tilted(x) - 0.25) / s), -1.0, x) / quadrature(
        lambda x: np.exp(2 * (tilted(x) - 0.25) / s), -1.0, 1.0
    )
    assert exact < 1e-20
    assert found.q[i] == pytest.approx(exact, rel=2e-3)


@pytest.fixture(scope="module")
def plane():
    return witten.committor("(x^2-1)^2/4 + y^2/2", 0.1, Ball((-1, 0), 0.2), Ball((1, 0), 0.2))


def test_in_the_plane_capacity_is_energy_is_flux_through_any_cut(plane):
    i, j, flow = plane.flows
    x = plane.grid.points[0]
    for cut in (-0.7, -0.2, 0.0, 0.55):
        through = flow[(x[i] < cut) & (x[j] > cut)].sum() - flow[(x[i] > cut) & (x[j] < cut)].sum()
        assert through == pytest.approx(1.0, rel=1e-12)
    assert np.sum(flow * (plane.q[j] - plane.q[i])) == pytest.approx(1.0, rel=1e-12)
    assert plane.divergence < 1e-13
    assert plane.current[0].sum() * np.prod(plane.grid.spacing) > 0
    column = abs(x - x[abs(x).argmin()]) < 1e-12
    assert plane.current[0, column].sum() * plane.grid.spacing[1] == pytest.approx(1.0, rel=1e-10)


def test_symmetry(plane):
    assert abs(plane.log_rate - plane.log_rate_back) <= plane.relative_errors[1:].sum() < 1e-3
    assert plane.equilibrium_measure.sum() == pytest.approx(1.0)
    middle = np.argsort(abs(plane.grid.points[0]))[:20]
    assert abs(plane.q[middle] + plane.complement[middle] - 1).max() < 1e-12
    assert plane.q.min() == 0 and plane.q.max() == 1


def test_sets_across_the_plane_are_those_of_a_line():
    """f(x) + g(y) between half-planes."""
    found = witten.committor(f"{TILTED} + y^2/2", 0.2, lambda x: x[0] < -0.87, lambda x: x[0] > 0.91, rtol=3e-3)
    line = witten.committor(TILTED, 0.2, lambda x: x[0] < -0.87, lambda x: x[0] > 0.91)
    error = found.relative_errors[0] + line.relative_errors[0]
    assert abs(found.log_capacity - line.log_capacity) <= error
    assert abs(found.log_rate - line.log_rate) <= found.relative_errors[1] + line.relative_errors[1]


def test_rotation_leaves_the_capacity(plane):
    turned = "((0.6*x+0.8*y)^2-1)^2/4 + (0.6*y-0.8*x)^2/2"
    found = witten.committor(turned, 0.1, Ball((-0.6, -0.8), 0.2), Ball((0.6, 0.8), 0.2))
    assert abs(found.log_capacity - plane.log_capacity) <= found.relative_errors[0] + plane.relative_errors[0]


def test_small_rates_are_those_of_the_gap():
    """k_AB + k_BA -> lambda_1 as s -> 0."""
    found = witten.committor(TILTED, 0.02, [-1.0], [1.0])
    gap = witten.gap(TILTED, [0.02]).log_rates[0]
    assert np.logaddexp(found.log_rate, found.log_rate_back) == pytest.approx(gap, abs=2e-4)


def test_around_a_circle_both_ways_count():
    turn = {"x": (0.0, 2 * np.pi)}
    a, b = (lambda x: abs(x[0] - np.pi / 2) < 0.3), (lambda x: abs(x[0] - 3 * np.pi / 2) < 0.3)
    circle = witten.committor("cos(2*x)", 0.3, a, b, periodic=turn)
    line = witten.committor("cos(2*x)", 0.3, a, b, box=[(np.pi / 2, 3 * np.pi / 2)])
    # Half of the circle carries half of the current and has half of the mass.
    assert circle.log_capacity == pytest.approx(line.log_capacity, abs=2e-3)
    assert abs(circle.flows[2].max() - 0.5) < 1e-10


def test_a_deep_well_elsewhere_is_refused_or_known():
    f = "x^2*(x^2-4)^2/40 - 2*exp(-4*x^2)"
    with pytest.raises(ConvergenceError, match="too deep"):
        witten.committor(f, 0.02, Ball((-2.0,), 0.1), Ball((2.0,), 0.1))


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (Ball((-1.0,), 0.2), Ball((-0.9,), 0.2), "meet"),
        (Ball((-1.0, 0.0), 0.2), Ball((1.0,), 0.2), "dimension 2"),
        (Ball((-1.0,), 0.2), Ball((40.0,), 0.2), "no node"),
        (lambda x: x[0] < 0, lambda x: x[0] >= 0, "neighbours"),
    ],
)
def test_what_is_refused(a, b, reason):
    with pytest.raises(RequestError, match=reason):
        witten.committor("(x^2-1)^2/4", 0.1, a, b)


def test_the_well_around_a_point():
    f = witten.Objective.from_formula("(x^2-1)^2/4 + 4*y^2")
    holds = predicate((-0.8, 0.1), f, 0.04)
    assert holds(np.array([[-1.0], [0.0]])).all()
    assert not holds(np.array([[-1.0], [0.15]])).any()


@pytest.mark.parametrize(("length", "shift", "height"), [(1e-6, 0.0, 1.0), (1e7, 3e9, 1.0), (1e-3, 1e4, 1e-9)])
def test_the_well_around_a_point_knows_no_unit(length, shift, height):
    """The ball of (x^2-1)^2/4 + x/20, moved, stretched and flattened."""
    u = f"((x-({shift!r}))/{length!r})"
    f = witten.Objective.from_formula(f"({height!r})*(({u}^2-1)^2/4+{u}/20)")
    found = predicate((shift - 0.6 * length,), f, 0.02 * height)
    plain = predicate((-0.6,), witten.Objective.from_formula(TILTED), 0.02)
    nodes = np.linspace(-1.5, 0.0, 3001)
    assert np.mean(found(shift + length * nodes[None]) != plain(nodes[None])) < 0.01
    inside = nodes[plain(nodes[None])]
    assert tilted(inside).max() - tilted(nodes).min() == pytest.approx(0.02, rel=0.05)


def test_the_command_line(tmp_path):
    command = ["committor", "double-well", "--lr", "0.1", "--from", "x=-1", "--to", "x=1,r=0.2"]
    files = ["-o", str(tmp_path / "q.nc"), "--plot", str(tmp_path / "q.png")]
    done = CliRunner().invoke(app, [*command, "--json", *files])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["mean_times"][0]["time"] == pytest.approx(1 / found["rate"])
    assert (tmp_path / "q.png").stat().st_size > 10_000
    import xarray

    with xarray.open_dataset(tmp_path / "q.nc") as saved:
        assert float(saved["committor"].max()) == 1.0
    for arguments in (["plot", str(tmp_path / "q.nc"), "--plot", str(tmp_path / "again.png")], [*command, *files[:2]]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "q.png").read_bytes()
    witten.sweep(FiniteDifferences(witten.gallery.double_well(), witten.Grid.uniform([(-2, 2)], 50)), [0.5]).save(
        tmp_path / "curve.nc"
    )
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "curve.nc")])
    assert isinstance(done.exception, RequestError) and "holds a rate curve, not a committor" in str(done.exception)
    for text in ("-1", "x=-1,y=0", "x=a"):
        done = CliRunner().invoke(app, [*command[:4], "--from", text, "--to", "x=1"])
        assert isinstance(done.exception, RequestError) and "coordinates of a point" in str(done.exception)


@pytest.mark.parametrize("s", [1e-3, 2e-4, 5e-5])
def test_committors_of_which_doubles_hold_only_a_part_have_their_rates(s):
    """Beside both sets q or 1 - q is beyond doubles; the flow is the same over q = 1/2."""
    found = witten.committor("double-well:tilt=0.1", s, [-1.0467], [0.9456])
    (law,) = witten.eyring_kramers("double-well:tilt=0.1", s).records
    both = np.logaddexp(found.log_rate, found.log_rate_back)
    assert abs(both - law.log_rate) < found.relative_errors[0] + law.log_error
