"""Absorbing boundaries: exit rates against closed forms, mean exit times and the law of Eyring and Kramers."""

import json

import mpmath as mp
import numpy as np
import pytest
from typer.testing import CliRunner

import witten
from witten.cli import app
from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import ConvergenceError, GridError, RequestError
from witten.objectives.periodicity import periodic
from witten.operators.differences.finite_differences import FiniteDifferences


def exits(text, s, k, box, **options):
    return witten.spectrum(text, s, k, box=box, boundary="absorbing", **options)


def within_bars(found, expected):
    return bool((abs(found.rates - np.asarray(expected)) <= found.errors).all())


def test_a_parabola_between_walls_is_hermites_equation():
    """-L u = lambda u for f = x^2/2: u = 1F1(-lambda/2; 1/2; x^2/s) or x 1F1((1-lambda)/2; 3/2; x^2/s)."""
    s = 0.5
    even = [mp.findroot(lambda r: mp.hyp1f1(-r / 2, 0.5, 1 / s), guess) for guess in (0.24, 5.36)]
    odd = mp.findroot(lambda r: mp.hyp1f1((1 - r) / 2, 1.5, 1 / s), 2.2)
    found = exits("x^2/2", s, 3, [(-1, 1)], rtol=1e-5)
    assert within_bars(found, [float(even[0]), float(odd), float(even[1])])
    assert found.gap == found.rates[0] and found.exits
    assert found.errors.max() < 1e-4


def test_flat_ground():
    found = exits("1e-9*x + 0*y", 0.5, 4, [(0, 1), (0, 2)], rtol=1e-2)
    flat = sorted((m**2 + n**2 / 4) * 0.25 * np.pi**2 for m in (1, 2, 3) for n in (1, 2, 3))[:4]
    assert within_bars(found, flat)
    assert (found.modes[0] > 0).all()
    assert np.mean(found.modes[0] ** 2) == pytest.approx(1.0, rel=1e-3)
    assert abs(found.modes[0].reshape(found.grid.shape)[0]).max() < 0.1


@pytest.mark.parametrize("s", [0.05, 0.01])
def test_tiny_exit_rates_are_inverse_mean_times(s):
    """1/lambda = E tau, but for lambda tau_relaxation: by (2/s) int e^{2f/s} int e^{-2f/s} towards one exit."""

    def f(x):
        return x**2 / 2 - x**3 / 9

    x = np.linspace(-4.0, 1.1, 400_001)
    weight = np.exp(-2 * f(x) / s)
    inside = np.append(0.0, np.cumsum(0.5 * (weight[1:] + weight[:-1])) * (x[1] - x[0]))
    up = np.exp(np.minimum(2 * (f(x) - f(1.1)) / s, 0.0)) * inside
    log_time = 2 * f(1.1) / s + np.log(2 / s * np.sum(0.5 * (up[1:] + up[:-1])[x[:-1] > 0.0]) * (x[1] - x[0]))
    found = witten.gap("x^2/2 - x^3/9", [s], box=[(-4, 1.1)], boundary="absorbing").records[0]
    assert found.solver == "fd committors" or s > 0.03
    slack = max(2e-6, np.exp(-2 * f(1.1) / s))
    assert abs(found.log_rate + log_time) <= found.log_error + slack


def test_a_kink_between_absorbing_walls():
    """f = |x|: u = e^{x/s} (a e^{k x} + b e^{-k x}), k = sqrt(1 - 2 s lambda)/s, with u' = 0 at 0 and u = 0 at 1."""
    s = 0.3

    def at_wall(rate):
        k, slope = mp.sqrt(1 - 2 * s * rate) / s, 1 / mp.mpf(s)
        return (slope + k) * mp.exp(-k) - (slope - k) * mp.exp(k)

    expected = float(mp.findroot(at_wall, (0.005, 0.02)))
    assert within_bars(exits("abs(x-0.01)", s, 1, [(-0.99, 1.01)]), [expected])


def test_as_s_falls_the_law_of_exits_through_a_wall_is_met():
    """k = f'(b) sqrt(f''(0)/(pi s)) e^{-2 (f(b) - f(0))/s} (1 + O(s)) where f rises to the wall."""
    off = []
    for s in (0.02, 0.005):
        rate = witten.gap("x^2/2", [s], box=[(-1.0, 1.2)], boundary="absorbing").records[0].log_rate
        off.append(abs(rate + 1 / s + 0.5 * np.log(np.pi * s)))
    assert off[0] < 0.02 and 3 < off[0] / off[1] < 5


def test_two_wells_leave_at_their_own_rates():
    """A pass inside, walls outside: two small rates; the sum over both axes is that of a product box."""
    line = exits("(x^2-1)^2/4", 0.06, 2, [(-1.6, 1.7)], rtol=1e-5)
    other = exits("x^2/2", 0.06, 1, [(-0.5, 0.6)], rtol=1e-5)
    both = exits("(x^2-1)^2/4 + y^2/2", 0.06, 2, [(-1.6, 1.7), (-0.5, 0.6)], rtol=1e-3)
    expected = line.rates + other.rates[0]
    assert (abs(both.rates - expected) <= both.errors + 1e-4 * expected).all()


def test_a_strip_of_a_torus():
    found = exits("cos(x)/5 + y^2/2", 0.5, 1, [(-1, 1)], periodic={"x": (0, 2 * np.pi)})
    assert abs(found.gap - exits("y^2/2 + 0*x", 0.5, 1, [(-1, 1), (0, 1)]).gap) > 0.1  # a wall more
    assert abs(found.gap - exits("x^2/2", 0.5, 1, [(-1, 1)]).gap) <= 2 * found.errors[0] + 1e-5


def test_the_heavy_node():
    f = witten.Objective.from_formula("x^2/2 + y^2/2")
    grid = Grid(Box((-1.0, -1.0), (1.0, 1.0)), (4, 5), absorbing=True)
    operator = FiniteDifferences(f, grid).assemble(0.5)
    a = operator.matrix.toarray()
    assert a.shape == (21, 21) and np.array_equal(a, a.T)
    assert abs(a @ operator.ground_state).max() < 1e-14
    assert np.count_nonzero(a[-1]) == 14 + 1
    assert operator.ground_state[-1] == pytest.approx(1.0)
    carried = grid.prolongate(np.ones((21, 2)))
    assert carried.shape == (81, 2)


def test_what_is_refused():
    with pytest.raises(RequestError, match="give a box"):
        witten.gap("x^2/2", [0.1], boundary="absorbing")
    with pytest.raises(RequestError, match="not known"):
        witten.gap("x^2/2", [0.1], box=[(-1, 1)], boundary="open")
    with pytest.raises(RequestError, match="finite elements"):
        witten.gap("x^2/2", [0.1], box=[(-1, 1)], boundary="absorbing", method="finite-elements")
    with pytest.raises(RequestError, match="no boundary"):
        witten.gap(periodic("cos(x)", {"x": (0, 2 * np.pi)}), [0.1], box=[], boundary="absorbing")
    with pytest.raises((GridError, ConvergenceError)):
        witten.gap("x^2/2", [1e-4], box=[(-1, 1)], boundary="absorbing")


def test_the_command_line(tmp_path):
    path = tmp_path / "a.nc"
    common = ["x^2/2", "--lr", "0.5", "--box", "-1:1", "--boundary", "absorbing", "--json"]
    done = CliRunner().invoke(app, ["gap", *common, "-o", str(path)])
    found = json.loads(done.stdout)
    assert (found["quantity"], found["boundary"]) == ("exit rate", "absorbing")
    assert found["records"][0]["rate"] == pytest.approx(0.24299288, rel=1e-5)
    assert found["records"][0]["examined"] == "the box -1:1, whose walls absorb"
    assert witten.RateCurve.load(path).options["absorbing"] is True
    done = CliRunner().invoke(app, ["spectrum", *common, "-k", "2"])
    found = json.loads(done.stdout)
    assert found["quantity"] == "exit rates" and found["rates"][1] == pytest.approx(2.2456541, rel=1e-5)
