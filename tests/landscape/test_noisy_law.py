"""The law under noise with a covariance: closed forms, values computed independently, and rates of the operator."""

import numpy as np
import pytest

import witten
from witten import noise
from witten.errors import ConvergenceError, RequestError
from witten.landscape.instantons.quasi_potential import _inequality, _Problem, instanton
from witten.landscape.laws.noisy_law import _chain_rates, exits, limiting_law, noisy_log_rates

PLANE = witten.Objective.from_formula("(x^2-1)^2/4 + x*y/5 + y^2/2 + x/10")
FULL = noise.formula("1+y^2,x/4;x/4,1+x^2/3").bind(PLANE)


def law(objective, given):
    found = witten.describe_landscape(objective)
    return found, exits(found, given.bind(found.objective))


def test_derivatives_of_the_action_are_its_own():
    points = np.linspace([-1.0, 0.2], [0.1, 0.0], 8).T + np.random.default_rng(0).normal(size=(2, 8)) / 50
    problem = _Problem.of(FULL, points[:, 0], points[:, -1])
    for value, problem_slope in ((problem.action, problem.action(points)[1]), (_inequality, _inequality(points)[1])):
        for i, k in ((0, 3), (1, 4)):
            step = np.zeros(points.shape)
            step[i, k] = 1e-6
            difference = (value(points + step)[0] - value(points - step)[0]) / 2e-6
            assert difference == pytest.approx(problem_slope[i, k], rel=1e-7)


def test_of_isotropic_noise_the_quasi_potential_is_twice_f():
    found = witten.describe_landscape(PLANE)
    m, z = found.minima[1], found.saddles[0]
    path = instanton(noise.constant([[2, 0], [0, 2]]).bind(PLANE), m.x, z.x)
    assert abs(path.action - (z.value - m.value)) < path.error < 1e-4 * path.action


def test_on_a_line_it_is_an_integral():
    """V = int 2 f'/a, k_0 = sqrt(f''(m) |f''(z)|) sqrt(a(m)/a(z))/2 pi."""
    found, ways = law("(x^2-1)^2/4", noise.formula("1+x^2"))
    x = np.linspace(-1, 0, 200_001)
    slope = 2 * (x**3 - x) / (1 + x**2)
    action = float((slope[:-1] + slope[1:]).sum() * (x[1] - x[0]) / 2)
    for way in ways:
        assert abs(way.action - action) < way.path.error + 1e-9
        assert abs(way.log_prefactor - np.log(np.sqrt(2 * 2) / (2 * np.pi))) < way.error < 0.05
    assert limiting_law(ways, 2)[0] == pytest.approx(action, rel=1e-5)


def test_of_noise_in_proportion_to_the_loss_it_is_a_logarithm():
    """V = 2 log(a(z)/a(m))/c and k_0 has (a(z)/a(m))^{d/2 - 1}, 1 in the plane."""
    found, ways = law("(x^2-1)^2/4 + y^2/2", noise.loss(1, 0.2))
    for way in ways:
        assert abs(way.action - 2 * np.log(0.45 / 0.2)) < way.path.error < 1e-3
        assert abs(way.log_prefactor - np.log(np.sqrt(2) / (2 * np.pi))) < way.error < 0.05


def test_values_of_noise_of_minibatches():
    f = "(x^2-1)^2/4 + y^2/2 + x/10 + 3*x*y/10"
    linear = np.array([[0.9, 0.2], [-0.5, 0.6], [0.3, -0.7], [-0.7, -0.1]])
    bends = np.array([[0.6, 0.2, -0.3], [-0.4, 0.3, 0.5], [0.1, -0.4, 0.2], [-0.3, -0.1, -0.4]])
    linear, bends = linear - linear.mean(axis=0), bends - bends.mean(axis=0)
    losses = [
        f"{f} + ({a:.12f})*x + ({b:.12f})*y + ({p:.12f})*x^2/2 + ({q:.12f})*x*y + ({r:.12f})*y^2/2"
        for (a, b), (p, q, r) in zip(linear, bends, strict=True)
    ]
    found, ways = law(f, noise.minibatch(losses))
    from_left, from_right = sorted(ways, key=lambda way: found.minima[way.minimum].x[0])
    assert abs(from_right.action - 0.534032) < 2e-5 and abs(from_left.action - 4.7917) < 1e-3
    assert abs(np.exp(from_right.log_prefactor) - 0.3225) < 0.003
    for s, scaled in ((0.1, 0.28682), (0.05, 0.30705), (0.025, 0.31475)):  # k e^{V/s} of the operator
        value, error = (each[0] for each in noisy_log_rates(ways, 2, s))
        assert abs(value + 0.534032 / s - np.log(scaled)) < min(error, 3 * s + 0.02)


def test_the_bar_holds_the_rate():
    for given, s in ((noise.formula("1 + tanh(2*x)/2"), 0.1), (noise.loss(1, 0.2), 0.02)):
        record = witten.eyring_kramers("double-well", s, noise=given).records[0]
        rate = witten.gap("double-well", s, noise=given).records[0]
        assert record.resolved and record.lower < rate.log_rate < record.upper < record.lower + 0.7


def test_rates_of_a_chain_have_their_digits():
    logs = {(0, 1): -2000.0, (1, 0): -3.0, (1, 2): -1500.0, (2, 1): -700.0}
    np.testing.assert_allclose(_chain_rates(logs, 3), [-700.0, -3.0], rtol=1e-12)


def test_what_has_no_law_is_refused():
    with pytest.raises(RequestError, match="order must be 0 or 1 with a covariance"):
        witten.eyring_kramers("double-well", 0.1, noise=noise.formula("1+x^2"), order=2)
    with pytest.raises(RequestError, match="not positive definite at"):
        witten.eyring_kramers("double-well", 0.1, noise=noise.formula("x^2"))
    with pytest.raises(RequestError, match="no law for a drift"):
        witten.eyring_kramers(PLANE, 0.1, noise=noise.with_drift("-y,x"))
    assert not witten.eyring_kramers("x^2/2", 0.1, noise=noise.formula("1+x^2")).resolved[0]


def test_noise_that_is_weak_in_a_place_between_two_images_is_in_the_bar():
    """V = int 2 f'/Sigma dx, here by quadrature."""
    x = np.linspace(-1.0, 0.0, 400_001)
    middle = (x[1:] + x[:-1]) / 2
    exact = float((2 * (middle**3 - middle) / (1 - 0.99 * np.exp(-1e6 * (middle + 0.53) ** 2)) * np.diff(x)).sum())
    dip = noise.formula("1 - 0.99*exp(-1000000*(x+0.53)^2)").bind(witten.gallery.double_well())
    found = instanton(dip, np.array([-1.0]), np.array([0.0]))
    assert found.error >= abs(found.action - exact) > 1e-3


@pytest.mark.parametrize(
    ("covariance", "s", "rate"),
    [
        ("1+3*exp(-100*y^2)", 0.1, -4.1569),
        ("1+3*exp(-100*y^2)", 0.02, -10.4048),
        ("1+3*exp(-100*(y-0.15)^2)", 0.05, -6.4952),
    ],
)
def test_noise_that_changes_over_the_width_of_the_tube_is_in_the_bar(covariance, s, rate):
    """A ridge of noise along the path, narrower than what paths spread across it: the law is off by a factor of 20.

    Rates are those of the generator on [-2.3, 2.3] x [-2, 2]."""
    record = witten.eyring_kramers("(x^2-1)^2/4 + y^2/2 + x/20", s, noise=noise.formula(covariance)).records[0]
    assert not record.resolved and record.lower < rate < record.upper and abs(rate - record.log_rate) > 1.5


def test_a_bump_beside_the_path_widens_the_bar_where_paths_reach_it():
    _, ways = law("(x^2-1)^2/4 + y^2/2 + x/20", noise.formula("1+3*exp(-100*((x+0.5)^2+(y-0.3)^2))"))
    left, right = sorted(ways, key=lambda way: -way.action)
    assert left.tube.log_error(0.1) > 0.3 and left.tube.log_error(1e-3) < 0.05 and right.tube.log_error(0.1) < 1e-3


def test_noise_narrower_than_what_is_looked_at_has_no_law():
    for covariance in ("1+3*exp(-100000000*((x+0.5031)^2+y^2))", "1-0.999*exp(-100000000*(x+0.5031)^2)"):
        with pytest.raises(ConvergenceError, match=r"changes too fast near \(-0\.50"):
            law("(x^2-1)^2/4 + y^2/2 + x/20", noise.formula(covariance))


def test_with_a_learning_rate_the_landscape_is_that_of_the_potential():
    """F = (1/c + s/2) log a for a = floor + c f; and F = int f'/a + (s/2) log a, whose wells are tilted and moved."""
    found = witten.describe_landscape("double-well", noise=witten.noise.loss(1, 0.2), learning_rate=0.1)
    assert found.barrier == pytest.approx(1.05 * np.log(0.45 / 0.2), rel=1e-9)
    one_sided = witten.describe_landscape(
        "double-well", noise=witten.noise.formula("1 + tanh(2*x)/2"), learning_rate=0.1
    )
    deep, shallow = (float(point.x[0]) for point in one_sided.minima)
    for x in (deep, shallow):
        a, slope = 1 + np.tanh(2 * x) / 2, 1 - np.tanh(2 * x) ** 2
        assert x**3 - x + 0.05 * slope == pytest.approx(0.0, abs=1e-6 * a)  # f' + (s/2) a' = 0
    assert deep < 0 < shallow
    assert one_sided.pairs[1].barrier == pytest.approx(0.16573138, rel=1e-5)


@pytest.mark.parametrize(
    ("noise", "learning_rate", "said"),
    [
        (witten.noise.formula("1 + x^2, 0; 0, 1"), 0.1, "no potential"),
        (witten.noise.formula("1 + x^2"), None, "depend on the learning rate"),
        (1.0, 0.1, "give a covariance"),
    ],
)
def test_a_landscape_of_noise_without_a_potential_is_refused(noise, learning_rate, said):
    with pytest.raises(RequestError, match=said):
        witten.describe_landscape("(x^2-1)^2/4 + x*y + y^2", noise=noise, learning_rate=learning_rate)
