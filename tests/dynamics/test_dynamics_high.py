"""Many dimensions, Python functions, and SGD with the noise of its minibatches."""

import math

import numpy as np
import pytest

import witten
from witten.dynamics.equilibrium.equilibrium import from_paths
from witten.dynamics.estimators import markov_state_model
from witten.dynamics.estimators.slow_observable import slow_directions
from witten.dynamics.minibatch_rate import Minibatch, minibatch_rate
from witten.dynamics.paths.ensemble import Motion, Paths
from witten.dynamics.paths.philox import uniform, uniforms
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError, RequestError
from witten.objectives import Objective, gallery

SLOW = 3.3545287308e-2  # of the double well at s = 0.2, whatever the dimension


@pytest.mark.parametrize(("dim", "estimator"), [(5, "autocorrelation"), (40, "hitting")])
def test_the_rate_of_the_double_well_is_the_same_in_any_dimension(dim, estimator):
    s, truth = (0.2, SLOW) if estimator == "autocorrelation" else (0.1, 2.7761406366e-3)
    found = simulate_rate(gallery.double_well(dim=dim), s, estimator=estimator, paths=1024, seed=1)
    assert abs(found.log_rates[0] - math.log(truth)) < 1.7 * (found.upper[0] - found.log_rates[0])
    assert found.upper[0] - found.log_rates[0] < 0.125


def test_a_thousand_dimensions():
    """Uncoupled Ornstein-Uhlenbeck processes: variances s/(2 theta), up to the error of the step."""
    s, h, theta = 0.2, 0.1, 2.0
    run = Paths(Motion(gallery.quadratic(theta, dim=1000), s, h, seed=1), np.zeros((1000, 40)))
    run.advance(60)
    expected = s / (2 * theta * (1 - h * theta / 2))
    assert np.mean(run.x**2) == pytest.approx(expected, rel=4 * math.sqrt(2 / run.x.size))
    assert abs(np.corrcoef(run.x[:2].ravel(), run.x[2:4].ravel())[0, 1]) < 0.4


def test_curvatures_and_minima_by_descents_alone():
    ground = from_paths(gallery.double_well(barrier=0.5, dim=6), 0.1)
    assert np.allclose(np.sort(ground.wells.minima[0]), [-1, 1], atol=1e-4)
    assert ground.softness == pytest.approx(1, rel=0.02)
    assert ground.stiffness >= 3.9 and len(ground.deep) == 2
    with pytest.raises(RequestError, match="confining"):
        from_paths(Objective.from_formula("-x1^2 - x2^2 - x3^2 - x4^2"), 0.1)


def test_slow_directions_are_found_among_many():
    """A slow process along one diagonal of twelve fast ones."""
    random, d = np.random.default_rng(0), 12
    direction = random.normal(size=d)
    direction /= np.linalg.norm(direction)
    x = random.normal(size=(60, d, 300))
    slow = np.empty((60, 300))
    slow[0] = random.normal(size=300)
    for k in range(1, 60):
        slow[k] = 0.9 * slow[k - 1] + math.sqrt(1 - 0.81) * random.normal(size=300)
    x += 5 * direction[:, None] * slow[:, None, :]
    found = np.einsum("d,kdn->kn", slow_directions(x, 3)[0], x)
    assert abs(np.corrcoef(found.ravel(), slow.ravel())[0, 1]) > 0.95


def test_a_python_function_has_the_rate_of_its_formula():
    f = gallery.quadratic(1.5, dim=2)
    found = simulate_rate(Objective.from_callable(f, 2, f.gradient), 0.3, paths=256, width=0.9, seed=2)
    same = simulate_rate(f, 0.3, paths=256, width=0.9, seed=2)
    assert found.log_rates[0] == pytest.approx(same.log_rates[0], rel=1e-6)
    assert abs(found.log_rates[0] - math.log(1.5)) < 1.7 * (found.upper[0] - found.log_rates[0])


# ------------------------------------------------------------------------------------------------ minibatches


def line(a, y):
    """Mean gradient of (a_i x - y_i)^2/2 over the samples chosen."""
    return lambda x, chosen: np.mean(a[chosen] * (a[chosen] * x - y[chosen]), axis=0, keepdims=True)


def test_uniform_numbers_have_the_addresses_of_single_ones():
    u = uniforms(3, range(5, 9), 6, first=2, stream=1)
    assert u[4, 2] == uniform(3, 1, 7, 6)
    assert np.array_equal(u[1:], uniforms(3, range(5, 9), 5, first=3, stream=1))


def test_minibatches_on_a_line_forget_at_the_mean_curvature():
    """E x_{k+1} = (1 - s mean(a^2)) x_k + const, so that the rate is -log(1 - s mean(a^2))/s exactly."""
    random = np.random.default_rng(4)
    a, y = random.uniform(0.5, 1.5, 20), random.normal(size=20)
    s = 0.2
    motion = Minibatch(line(a, y), 1, 20, s, batch=2, seed=1)
    found = minibatch_rate(motion, np.zeros(1))
    truth = -math.log(1 - s * np.mean(a**2)) / s
    assert abs(found.log_rate - math.log(truth)) < 1.5 * (found.upper - found.log_rate) < 0.19
    assert found.dt == s and "2 of 20 samples" in found.notes[0]


def test_minibatch_steps_are_sgd_on_the_samples_drawn():
    a, y = np.arange(1.0, 6.0) / 3, np.arange(5.0)
    motion = Minibatch(line(a, y), 1, 5, 0.1, batch=3, seed=7)
    run = Paths(motion, np.zeros((1, 70)))
    run.advance(4)
    for path in (0, 65):
        x = 0.0
        for k in range(4):
            chosen = [int(5 * uniform(7, 0, path, 3 * k + b)) for b in range(3)]
            x -= 0.1 * np.mean([a[i] * (a[i] * x - y[i]) for i in chosen])
        assert run.x[0, path] == pytest.approx(x, rel=1e-13)


def test_a_small_network_on_minibatches():
    """Two tanh units fitted to noisy data: a rate with an interval, the same for the same seed."""
    random = np.random.default_rng(0)
    t = np.linspace(-1, 1, 16)
    y = np.tanh(2 * t) + 0.3 * random.normal(size=16)

    def gradient(x, chosen):
        v, w, b = x[0:2], x[2:4], x[4:6]  # (2, n) each
        inputs, targets = t[chosen], y[chosen]  # (batch, n)
        h = np.tanh(w[:, None] * inputs + b[:, None])
        error = np.sum(v[:, None] * h, axis=0) - targets
        inner = error * v[:, None] * (1 - h**2)
        parts = np.concatenate([(error * h).mean(axis=1), (inner * inputs).mean(axis=1), inner.mean(axis=1)])
        return parts + 0.05 * x  # weight decay

    motion = Minibatch(gradient, 6, 16, 0.4, batch=2, seed=3)
    found = [minibatch_rate(motion, 0.3 * np.ones(6), paths=128, width=1.0) for _ in range(2)]
    assert found[0].log_rate == found[1].log_rate and found[0].diverged == 0
    assert 0.02 < found[0].rate < 1.0 and found[0].lower < found[0].log_rate < found[0].upper


def test_minibatches_that_diverge_or_make_no_sense_are_refused():
    with pytest.raises(ConvergenceError, match="left for infinity"):
        minibatch_rate(Minibatch(lambda x, chosen: -5 * x, 1, 4, 0.5), np.ones(1), paths=128)
    with pytest.raises(RequestError, match="batch must be at least 1"):
        Minibatch(lambda x, chosen: x, 1, 4, 0.5, batch=0)
    with pytest.raises(RequestError, match="learning rate must be positive"):
        Minibatch(lambda x, chosen: x, 1, 4, -0.5)


# ------------------------------------------------------------------------------------------------ a Markov state model


def test_a_markov_state_model_agrees():
    pytest.importorskip("deeptime", reason="needs deeptime")
    found = simulate_rate("convex-quartic", 1.0, estimator="msm", paths=1024, seed=1)
    truth = math.log(witten.gap("convex-quartic", 1.0).rates[0])
    assert abs(found.log_rates[0] - truth) < 1.7 * (found.upper[0] - found.log_rates[0]) < 0.25
    assert found.records[0].solver == "msm"


def test_without_deeptime_the_model_is_refused(monkeypatch):
    monkeypatch.setattr(markov_state_model, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"witten\[deeptime\]"):
        simulate_rate("convex-quartic", 1.0, estimator="msm")
