"""Paths under noise with a covariance: steps, rates beside those of the operator, and what is refused."""

import numpy as np
import pytest

import witten
from witten import noise
from witten.dynamics.paths.ensemble import Motion, Paths
from witten.dynamics.paths.philox import normals
from witten.errors import ConvergenceError, RequestError

DOUBLE_WELL = witten.gallery.double_well()
PLANE = witten.Objective.from_formula("(x^2-1)^2/4 + y^2/2 + x*y/5")
X = np.linspace(-1.0, 1.5, 200).reshape(2, 100)


def test_a_step_is_euler_maruyama_with_the_noise_of_where_it_begins():
    diffusion = noise.formula("1 + y^2, x*y/9; x*y/9, 2 + x^2").bind(PLANE)
    paths = Paths(Motion(PLANE, 0.3, 0.02, seed=5, stream=2, diffusion=diffusion), X)
    paths.advance(1)
    roots = np.moveaxis(np.linalg.cholesky(np.moveaxis(diffusion.sigma(X), 2, 0)), 0, 2)
    xi = normals(5, range(100), 2, stream=2)
    expected = X - 0.02 * PLANE.gradient(X) + np.sqrt(0.3 * 0.02) * np.einsum("ijn,jn->in", roots, xi)
    np.testing.assert_allclose(paths.x, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("scheme", ["euler-maruyama", "heun", "leimkuhler-matthews"])
def test_a_multiple_of_unit_noise_is_noise_of_that_strength(scheme):
    ways = {"noise": 2.0}, {"diffusion": noise.constant([[4.0, 0.0], [0.0, 4.0]]).bind(PLANE)}
    ends = []
    for way in ways:
        paths = Paths(Motion(PLANE, 0.1, 0.02, scheme=scheme, **way), X)
        paths.advance(50)
        ends.append(paths.x)
    np.testing.assert_allclose(*ends, rtol=1e-11, atol=1e-12)


def test_a_callable_moves_by_the_same_law():
    given = noise.formula("1 + x^2, x/3; x/3, 1")
    as_callable = witten.Objective.from_callable(PLANE.__call__, 2, PLANE.gradient)
    start, spreads = np.full((2, 4000), 0.7), []
    for f in (PLANE, as_callable):
        paths = Paths(Motion(f, 0.1, 0.01, seed=3, diffusion=given.bind(PLANE)), start)
        paths.advance(1)
        spreads.append(np.cov(paths.x) / (0.1 * 0.01))
    np.testing.assert_allclose(spreads[0], given.bind(PLANE).sigma(start)[..., 0], rtol=0.1)
    np.testing.assert_allclose(*spreads, rtol=0.2)


def inside(record, rate):
    return record.lower < np.log(rate) < record.upper


def test_rates_of_noise_with_a_potential():
    given = noise.formula("1+x^2/2")
    found = witten.simulate_rate("double-well", 0.3, noise=given, paths=512).records[0]
    assert inside(found, witten.gap("double-well", 0.3, noise=given).rates[0]) and found.resolved


def test_rates_between_wells_of_noise_without_a_potential():
    given = noise.constant([[1, 0.5], [0.5, 1]])
    found = witten.simulate_rate(PLANE, 0.2, noise=given, paths=1024).records[0]
    assert found.solver == "hitting"
    assert inside(found, witten.gap(PLANE, 0.2, noise=given, rtol=1e-2).rates[0])


@pytest.mark.parametrize(
    ("objective", "s", "options", "says"),
    [
        (PLANE, 0.1, {"estimator": "autocorrelation"}, "no potential"),
        (PLANE, 0.1, {"estimator": "splitting"}, "splitting is for noise of one strength"),
        ("x^2/2+y^2+x*y", 0.1, {}, "no wells deep enough"),
    ],
)
def test_what_paths_do_not_tell_is_refused(objective, s, options, says):
    with pytest.raises(RequestError, match=says):
        witten.simulate_rate(objective, s, noise=noise.constant([[1, 0.5], [0.5, 1]]), paths=256, **options)


def test_wells_that_are_not_far_apart_have_no_residence_times():
    with pytest.raises(ConvergenceError, match="hardly slower than paths move about"):
        witten.simulate_rate(PLANE, 0.8, noise=noise.constant([[1, 0.01], [0.01, 0.05]]), paths=256)


def test_noise_that_paths_do_not_know_is_refused():
    with pytest.raises(RequestError, match="not positive definite at"):
        witten.simulate_rate("double-well", 0.3, noise=noise.formula("1+x"))
    with pytest.raises(RequestError, match="same everywhere"):
        witten.simulate_rate("double-well", 0.3, noise=noise.formula("2+x^2"), scheme="leimkuhler-matthews")
    with pytest.raises(RequestError, match="drift beside"):
        witten.simulate_rate(PLANE, 0.3, noise=noise.with_drift("-y,x"))
