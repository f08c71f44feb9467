"""Paths between minima: the saddle of a network, barriers that are known, the law where it holds and why not."""

import json

import numpy as np
import pytest
from launcher import in_process
from scipy.integrate import quad

import witten
from witten.errors import RequestError

NETWORK = """
import numpy as np
X = np.linspace(-2, 2, 24)
Y = np.sin(2.2 * X) * np.exp(-0.1 * X**2) + 0.3 * X
def outputs(w):
    hidden = np.tanh(np.outer(X, w[:3]) + w[3:6])
    return hidden, hidden @ w[6:9] + w[9] - Y
def loss(w): return np.mean(0.5 * outputs(w)[1] ** 2) + 1e-3 * w @ w
def loss_gradients(w):
    hidden, off = outputs(w)
    first = off[:, None] * w[6:9] * (1 - hidden**2)
    return np.hstack([first * X[:, None], first, off[:, None] * hidden, off[:, None]]) + 2e-3 * w
def loss_gradient(w): return loss_gradients(w).mean(axis=0)
"""
ONE, OTHER = "1.86,1.86,.5,0,0,0,1.22,1.22,-3.2,0", "1,1.77,1,1.25,0,-1.25,-1.26,1.98,-1.26,0"


def test_the_saddle_of_a_network(tmp_path):
    """Values of an eigenvector-following search in dense matrices."""
    (tmp_path / "net.py").write_text(NETWORK)
    options = ("--lr", "0.05", "--x0", ONE, "--x1", OTHER, "--plot", "path.png", "--json")
    done = in_process("probe", "net.py:loss", *options, cwd=tmp_path)
    found = json.loads(done.stdout)
    path, lowest = found["path"], found["path"]["saddle"]["lowest_curvature"]
    assert path["minimum"]["loss"] == pytest.approx(0.0259280377, abs=1e-9)
    assert path["end"]["loss"] == pytest.approx(0.0172296849, abs=1e-9)
    assert path["saddle"]["loss"] == pytest.approx(0.0264163797, abs=1e-9)
    assert path["barrier_upper"] == pytest.approx(4.88342e-4, abs=1e-9)
    assert lowest["value"] == pytest.approx(-2.71212e-3, abs=1e-7) and lowest["error"] < 1e-7
    assert (path["index"], path["index_complete"], path["connects"]) == (1, True, True)
    assert path["saddle"]["gradient_norm"] < 1e-12
    assert path["unstable_noise"] == pytest.approx(1.12e-6, rel=0.01)
    assert path["minimum_noise"]["trace"] == pytest.approx(0.167, rel=0.01)
    assert found["law"] is None and "rank 7 of 10" in found["why"]
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("unit", "shift", "height"), [(1.0, 0.0, 1.0), (1e-6, 1e-3, 1e6), (1e5, -1e5, 1e-7)])
def test_the_barrier_of_two_wells_in_any_units(unit, shift, height):
    """f = height ((y_1^2 - 1)^2/4 + y_2 (y_1^2 - 1)/2 + sum k y_k^2), y turned and in units: with the best y_2 it is
    height 3 (y_1^2 - 1)^2/16."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    stiff = np.array([0.0, 1.0, 2.0, 5.0, 20.0, 100.0])

    def parts(x):
        return turn.T @ ((x - shift) / unit)

    def loss(x):
        y = parts(x)
        return height * ((y[0] ** 2 - 1) ** 2 / 4 + stiff @ y**2 + y[1] * (y[0] ** 2 - 1) / 2)

    def gradient(x):
        y = parts(x)
        bent = y[0] * (y[0] ** 2 - 1) + y[0] * y[1]
        return turn @ (2 * stiff * y + bent * np.eye(6)[0] + (y[0] ** 2 - 1) / 2 * np.eye(6)[1]) * height / unit

    ends = [shift + unit * turn @ (sign * np.eye(6)[0] + 0.1) for sign in (-1, 1)]
    found = witten.probe(loss, ends[0], 1e-3 * unit**2 / height, gradient=gradient, end=ends[1]).path
    assert found.transition.connects and found.transition.saddle.index == 1
    assert found.transition.barrier == pytest.approx(3 / 16 * height, rel=1e-7)
    assert found.law is None and "not known" in found.why


def noisy_well(x):
    """f' of a double well, and what eight samples add to it: Sigma = a(x)."""
    return x[0] ** 3 - x[0], np.array([1.0, -1.0] * 4) * np.sqrt(0.04) * (1 + 0.3 * x[0])


def asked(s, start=-1.1, **given):
    options = {
        "gradient": lambda x: np.array([noisy_well(x)[0]]),
        "sample_gradients": lambda x: (noisy_well(x)[0] + noisy_well(x)[1])[:, None],
        "end": [-start],
    }
    return witten.probe(lambda x: (x[0] ** 2 - 1) ** 2 / 4, [start], s, **(options | given)).path


@pytest.mark.parametrize("start", [-1.1, 1.1])
def test_the_law_in_one_dimension_with_measured_noise(start):
    """k = (1/2 pi) sqrt(f''(m)|f''(z)| a(m)/a(z)) e^{-V/s}, V = int 2 f'/a."""
    m, s = np.sign(start), 0.3
    action = quad(lambda x: 2 * (x**3 - x) / (0.04 * (1 + 0.3 * x) ** 2), m, 0)[0]
    prefactor = np.log(np.sqrt(2) / (2 * np.pi) * (1 + 0.3 * m))
    found = asked(s, start)
    assert found.law is not None, found.why
    assert found.law.action == pytest.approx(action, abs=2 * found.law.action_error + 1e-6 * action)
    assert abs(found.law.log_rate - (prefactor - action / s)) <= found.law.log_error < 0.5


@pytest.mark.parametrize(
    ("s", "given", "why"),
    [
        (0.3, {"sample_gradients": None}, "noise is not known"),
        (0.3, {"sample_gradients": lambda x: np.full((8, 1), x[0] ** 3 - x[0])}, "rank 0 of 1"),
        (0.3, {"sample_gradients": lambda x: np.arange(8.0)[:, None]}, "not theirs alone"),
        (1.5, {}, "not stable"),
        (0.7, {"start": 1.1}, "too near"),
        (0.3, {"batch": 40}, None),
    ],
)
def test_why_there_is_no_law(s, given, why):
    found = asked(s, **given)
    assert (found.law is not None and not found.why) if why is None else why in found.why and found.law is None


def test_points_that_are_no_two_minima():
    with pytest.raises(RequestError, match="ends in one minimum"):
        asked(0.3, end=[-0.9])
    with pytest.raises(RequestError, match="2 numbers"):
        asked(0.3, end=[1.0, 2.0])
