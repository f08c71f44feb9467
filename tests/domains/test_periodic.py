"""Objectives on circles and tori: against Hill's equation, resistances in parallel, and where the seam is."""

import json

import mpmath as mp
import numpy as np
import pytest
from typer.testing import CliRunner

import witten
from witten.cli import app
from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.linalg.merge_tree import merge_tree, pieces
from witten.objectives.growth.conditions import essential_spectrum
from witten.objectives.periodicity import periodic
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.spectra import Chain

TURN = (0.0, 2 * np.pi)


def hill(coefficients: dict[int, float], s: float, count: int = 4) -> list[float]:
    """The lowest rates of f = sum_k a_k cos(k x) on the circle: K = -s^2 d^2 + f'^2 - s f'' = 2 s lambda in Fourier
    space, with 30 digits."""
    with mp.workdps(30):
        n, s = 40, mp.mpf(s)
        slope: dict[int, mp.mpc] = {}
        potential: dict[int, mp.mpf] = {}
        for k, a in coefficients.items():
            for q in (k, -k):
                slope[q] = mp.mpc(0, q) * a / 2
                potential[q] = potential.get(q, 0) + s * k * k * mp.mpf(a) / 2
        for p, a in slope.items():
            for q, b in slope.items():
                potential[p + q] = potential.get(p + q, 0) + mp.re(a * b)
        matrix = mp.zeros(2 * n + 1)
        for i in range(2 * n + 1):
            matrix[i, i] += s * s * (i - n) ** 2
            for q, v in potential.items():
                if 0 <= i + q <= 2 * n:
                    matrix[i + q, i] += v
        return [float(mp.log(value / (2 * s))) for value in mp.eigsy(matrix, eigvals_only=True)[1:count]]


def within_bars(found, expected):
    return bool((abs(np.exp(np.asarray(expected) - found.log_rates[1:]) - 1) <= found.relative_errors[1:]).all())


@pytest.mark.parametrize("s", [0.5, 0.3])
def test_rates_on_a_circle_are_those_of_hills_equation(s):
    found = witten.spectrum("cos(2*x) + 0.3*cos(x)", s, 4, periodic={"x": TURN})
    assert within_bars(found, hill({2: 1.0, 1: 0.3}, s))


def test_every_rate_of_a_cosine_on_a_circle_is_double():
    found = witten.spectrum("cos(x)", 0.5, 5, periodic={"x": TURN})
    assert within_bars(found, hill({1: 1.0}, 0.5, 5))
    assert found.multiplets == ((1, 2), (3, 4))


def test_a_tiny_rate_has_two_resistances_in_parallel():
    s = 0.02

    def f(x):
        return np.cos(2 * x) + 0.3 * np.cos(x)

    def integral(function, low, high):
        nodes, weights = np.polynomial.legendre.leggauss(20)
        ends = np.linspace(low, high, 201)
        middle, half = (ends[1:] + ends[:-1]) / 2, np.diff(ends) / 2
        return float(np.sum(function(middle[:, None] + half[:, None] * nodes) * weights * half[:, None]))

    # Wells at acos(-0.075) and its mirror image, of the same mass; passes at 0 and pi.
    well = np.arccos(-0.075)
    mass = integral(lambda x: np.exp(-2 * f(x) / s), 0, np.pi)
    passes = (-well, well), (well, 2 * np.pi - well)
    over, under = (integral(lambda x: 2 / s * np.exp(2 * f(x) / s), *ends) for ends in passes)
    # k = (1/m + 1/m)(1/R1 + 1/R2), up to e^(-2 H/s).
    expected = float(np.log(2 / mass * (1 / over + 1 / under)))
    curve = witten.gap("cos(2*x) + 0.3*cos(x)", [s], rtol=1e-7, periodic={"x": TURN})
    assert curve.records[0].solver == "fd committors"
    assert curve.log_rates[0] == pytest.approx(expected, abs=1e-7)
    assert abs(curve.log_rates[0] - expected) <= curve.upper[0] - curve.log_rates[0]


@pytest.mark.parametrize("shift", [0.0, 1.6457122, np.pi, 4.0])
def test_the_seam_may_lie_anywhere(shift):
    """At a pass, at the bottom of a well, and in between: a well on the seam is one well."""
    seam = {"x": (shift, shift + 2 * np.pi)}
    found = witten.spectrum("cos(2*x) + 0.3*cos(x)", 0.05, 3, rtol=1e-6, periodic=seam)
    assert found.log_rates[1] == pytest.approx(-68.25711344, abs=1e-8)
    assert found.rates[2] == pytest.approx(3.64572905, rel=1e-8)


def test_a_torus_has_the_rates_of_its_circles():
    torus = witten.spectrum("sin(x) + cos(2*y) + 0.3*cos(y)", 0.5, 2, periodic={"x": TURN, "y": (1.0, 1 + 2 * np.pi)})
    assert within_bars(torus, hill({2: 1.0, 1: 0.3}, 0.5, 2))


def test_beside_a_circle_a_line_is_truncated():
    found = witten.spectrum("y^2/2 + cos(2*x) + 0.3*cos(x)", 0.5, 3, periodic={"x": TURN})
    assert within_bars(found, [hill({2: 1.0, 1: 0.3}, 0.5)[0], 0.0])
    assert found.grid.periodic == (True, False)
    assert found.grid.mask.all(axis=0).any()  # circles are whole


def test_growth_is_asked_of_lines_alone():
    slow = periodic("sqrt(1+y^2) + cos(2*x) + 0.3*cos(x)", {"x": TURN})
    assert essential_spectrum(slow, 0.5).rate == pytest.approx(1.0)
    with pytest.raises(RequestError, match="does not grow"):
        witten.gap("sin(x) + sin(x)^2*y", [0.5], periodic={"x": TURN})
    with pytest.raises(RequestError, match="not discrete"):
        witten.gap("sqrt(1 + (2+cos(x))*y^2)", [0.5], periodic={"x": TURN})


def test_kinks_on_a_circle():
    """Two wells of mass m, two resistances r in parallel: 4/(m r), but for e^(-2H/s) = e^(-40)."""
    s, x = 0.05, (np.arange(100_000) + 0.5) * np.pi / 100_000
    mass = np.pi * np.mean(np.exp(-2 / s * np.sin(x)))
    resistance = 2 / s * np.pi * np.mean(np.exp(2 / s * np.sin(x)))
    found = witten.gap("abs(sin(x))", [s], rtol=1e-3, periodic={"x": (-1.0, -1.0 + 2 * np.pi)})
    assert abs(found.log_rates[0] - np.log(4 / (mass * resistance))) <= found.upper[0] - found.log_rates[0] < 1e-3


@pytest.mark.parametrize(
    ("text", "periods", "reason"),
    [
        ("x^2", {"x": (0, 1)}, r"f is 0 at the lower end and 1 at the upper one"),
        ("(x^2-1)^2", {"x": (-2, 2)}, r"grad f is -24 at the lower end and 24"),
        ("sin(x/2) + y^2", {"x": TURN}, r"grad f is .* at y = "),
        ("cos(x) + 1e-10*x", {"x": TURN}, "f is 1 at the lower end"),
        ("cos(x)", {"y": TURN}, "no variable 'y'"),
        ("cos(x)", {"x": (1, 0)}, "empty or not finite"),
    ],
)
def test_what_does_not_meet_is_refused(text, periods, reason):
    with pytest.raises(RequestError, match=reason):
        periodic(text, periods)


def test_routes_that_know_no_circles_refuse():
    f = periodic("cos(x)", {"x": TURN})
    for verb in (lambda: witten.eyring_kramers(f, [0.1]), lambda: witten.describe_landscape(f)):
        with pytest.raises(RequestError, match="periodic axes"):
            verb()
    with pytest.raises(RequestError, match="finite elements know no periodic axes"):
        witten.gap(f, [0.1], method="finite-elements")
    with pytest.raises(RequestError, match="0 axes that are not periodic"):
        witten.gap(f, [0.1], box=[(0, 1)])


def test_the_graph_of_a_torus():
    f = periodic("sin(x) + cos(y)", {"x": TURN, "y": TURN})
    grid = Grid(Box((0.0, 0.0), (TURN[1], TURN[1])), (4, 5), periodic=(True, True))
    operator = FiniteDifferences(f, grid).assemble(0.5)
    a = operator.matrix.toarray()
    assert np.count_nonzero(a) == 5 * 20
    assert np.array_equal(a, a.T) and operator.matrix.has_sorted_indices
    assert abs(a @ operator.ground_state).max() < 1e-14
    with pytest.raises(RequestError, match="two ends"):
        Chain().solve(operator, 1)


def test_modes_are_carried_over_the_seam():
    grid = Grid(Box((0.0,), (1.0,)), (32,), periodic=(True,))
    wave = np.cos(2 * np.pi * grid.points.T)
    fine = np.cos(2 * np.pi * grid.refined().points.T)
    assert grid.refined().periodic == (True,)
    assert abs(grid.prolongate(wave) - fine).max() < 0.01


def test_wells_and_pieces_around_a_circle():
    f = np.cos(np.linspace(0, 4 * np.pi, 40, endpoint=False) + 2.0)
    for shift in range(40):
        tree = merge_tree(np.roll(f, shift), periodic=[True])
        assert tree.minima.size == 2
        assert pieces(np.roll(f, shift) < 0, [True])[1] == 2
    assert merge_tree(np.roll(f, -f.argmin())).minima.size == 3


def test_a_callable_on_a_circle():
    f = witten.Objective.from_callable(lambda x: np.cos(2 * x[0]) + 0.3 * np.cos(x[0]), 1)
    found = witten.gap(f, [0.5], periodic={"x1": (1.0, 1 + 2 * np.pi)})
    assert found.log_rates[0] == pytest.approx(hill({2: 1.0, 1: 0.3}, 0.5)[0], abs=1e-5)


def test_sweeps_remember_the_circle(tmp_path):
    path = tmp_path / "a.nc"
    witten.gap("cos(2*x)", [0.5], periodic={"x": TURN}, output=path)
    with pytest.raises(RequestError):
        witten.gap("cos(2*x)", [0.5, 0.4], periodic={"x": (0, np.pi)}, output=path, resume=True)
    assert witten.gap("cos(2*x)", [0.5, 0.4], periodic={"x": TURN}, output=path, resume=True).records[1].resolved


def test_the_command_line():
    run = CliRunner().invoke
    done = run(app, ["gap", "cos(2*x)+0.3*cos(x)", "--lr", "0.5", "--periodic", "x=0:2*pi", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["periodic"] == {"x": [0.0, 2 * np.pi]}
    assert np.log(found["records"][0]["rate"]) == pytest.approx(hill({2: 1.0, 1: 0.3}, 0.5)[0], abs=1e-5)
    for text, reason in [("x=0:1", "not periodic"), ("x", "write name=low:high"), ("x=0:x", "not a number"),
                         ("x=0:1,x=0:2", "named twice"), ("x=1:0", "reversed")]:  # fmt: skip
        done = run(app, ["gap", "cos(x)", "--lr", "0.5", "--periodic", text])
        assert isinstance(done.exception, RequestError) and reason in str(done.exception)
