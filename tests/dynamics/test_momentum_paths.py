"""Paths of SGD with momentum: steps to the bit, their law, rates beside chain and operator, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

import witten
from witten import ConvergenceError, Objective, RequestError, gallery
from witten.dynamics.paths import philox
from witten.dynamics.paths.ensemble import CoreMap, Motion, Paths
from witten.dynamics.paths.momentum import MomentumMotion

PLANE = gallery.triple_well()
START = np.linspace(-1.0, 1.5, 140).reshape(2, 70)


def moved(f, s, alpha, steps, nesterov=False):
    motion = MomentumMotion(f, s, 1.0, seed=11, momentum=alpha, nesterov=nesterov)
    paths = Paths(motion, np.tile(START, (2, 1)))
    paths.advance(steps)
    return paths.x


@pytest.mark.parametrize("nesterov", [False, True])
def test_without_momentum_it_is_sgd_to_the_bit(nesterov):
    sgd = Paths(Motion(PLANE, 0.1, 0.1, seed=11), START)
    sgd.advance(30)
    assert np.array_equal(moved(PLANE, 0.1, 0.0, 30, nesterov)[:2], sgd.x)


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_step_is_what_it_says(nesterov):
    x, before = START.copy(), START.copy()
    for k in range(7):
        y = x + 0.6 * (x - before)
        xi = philox.normals(11, range(70), 2, first=2 * k)
        x, before = (y - 0.1 * PLANE.gradient(y if nesterov else x)) + 0.1 * xi, x
    assert np.allclose(moved(PLANE, 0.1, 0.6, 7, nesterov), np.vstack([x, before]), rtol=1e-12, atol=1e-14)
    given = Objective.from_callable(PLANE, 2, PLANE.gradient)
    assert np.allclose(moved(given, 0.1, 0.6, 7, nesterov), np.vstack([x, before]), rtol=1e-12, atol=1e-14)


def test_the_stationary_variance_of_the_recursion_is_known():
    """T/(theta (1 - s theta/(2 (1 + alpha)))) on theta x^2/2."""
    s, alpha, theta = 0.4, 0.5, 2.0
    f = Objective.from_formula("x^2")
    paths = Paths(MomentumMotion(f, s, 1.0, momentum=alpha), np.zeros((2, 4096)))
    paths.advance(60)
    exact = s / (2 * (1 - alpha)) / (theta * (1 - s * theta / (2 * (1 + alpha))))
    # 100 * 4096 values, a few of them independent of one another
    assert np.mean(paths.record(100, 5)[:, 0] ** 2) == pytest.approx(exact, rel=0.01)


def test_a_path_that_is_fast_is_not_in_a_core():
    cores = replace(CoreMap.within(np.array([[-1.0], [1.0]]), np.full((2, 1, 1), 4.0)), slow=np.array([0.01, 0.01]))
    still = Objective.from_callable(lambda x: 0 * x[0], 1, lambda x: 0 * x)
    states = np.array([[1.0, 1.0, -1.0], [0.95, 0.8, -1.0]])
    motion = MomentumMotion(still, 1e-30, 1.0, momentum=0.0)
    # Of the step before only what the first step makes of it is seen: none, without momentum.
    paths = Paths(motion, states, cores=cores)
    paths.watch(1, 1)
    assert paths.of_home(1).tolist() == [True, True, False]
    drifting = Paths(replace(motion, momentum=0.999), states, cores=cores)
    drifting.watch(1, 1)
    assert drifting.of_home(1).tolist() == [True, False, False]


@pytest.mark.parametrize("objective", ["double-well", "(x^2-1)^2/4+y^2"])
def test_paths_have_the_rate_of_the_chain(objective):
    """2.56603668e-4 per step, from the matrix of pairs (x, x-)."""
    found = witten.simulate_momentum(objective, 0.05, 0.5).records[0]
    assert found.lower < math.log(2.56603668e-4 / found.dt) < found.upper


def test_paths_with_nesterovs_gradient_have_the_rate_of_its_chain():
    found = witten.simulate_momentum("double-well", 0.05, 0.5, nesterov=True).records[0]
    assert found.lower < math.log(2.6359785e-4 / found.dt) < found.upper


@pytest.mark.parametrize(("friction", "rate"), [(2.5819888974716, 2.4967e-4 / 0.2581988897), (0.36303, 2.27625847e-3)])
def test_smaller_steps_have_the_rate_of_the_langevin_equation(friction, rate):
    """The second at the turnover, where a path may cross back before it is caught."""
    s, alpha, noise = witten.Langevin(friction, 0.05).recursion(0.2)
    found = witten.simulate_momentum("double-well", s, alpha, scheme="bbk", noise=noise).records[0]
    assert found.lower < math.log(rate) < found.upper
    assert found.upper - found.lower < 0.5


def test_what_is_saved_is_resumed_under_the_same_momentum(tmp_path):
    ask = {"paths": 128, "width": 1.0, "output": tmp_path / "a.nc", "resume": True}
    first = witten.simulate_momentum("double-well", 0.06, 0.5, **ask)
    assert witten.simulate_momentum("double-well", 0.06, 0.5, **ask) == first
    with pytest.raises(RequestError, match="momentum"):
        witten.simulate_momentum("double-well", 0.06, 0.4, **ask)


@pytest.mark.parametrize(
    ("objective", "s", "alpha", "more", "why"),
    [
        ("double-well", 0.05, 1.0, {}, "from 0 to below 1"),
        ("double-well", 0.05, 0.5, {"scheme": "heun"}, "sgd, bbk"),
        ("double-well", 0.05, 0.5, {"dt": 0.1}, "bbk"),
        ("double-well", 0.05, 0.5, {"scheme": "bbk", "nesterov": True}, "Nesterov"),
        ("double-well", 0.05, 0.5, {"scheme": "bbk", "dt": 3.0}, "--dt of at most"),
        ("double-well", 0.05, 0.5, {"paths": 8}, "128"),
        ("double-well:dim=4", 0.05, 0.5, {}, "variables"),
        ("double-well", 0.2, 0.5, {}, "no second well"),
        ("x^2", 0.05, 0.5, {}, "no second well"),
    ],
)
def test_refused(objective, s, alpha, more, why):
    with pytest.raises(RequestError, match=why):
        witten.simulate_momentum(objective, s, alpha, **more)


def test_rare_transitions_are_not_waited_for():
    with pytest.raises(ConvergenceError, match="with --momentum"):
        witten.simulate_momentum("double-well", 0.002, 0.5)
