"""Noise as a value: what it says of Sigma, and what is refused."""

import numpy as np
import pytest
import sympy as sp

import witten
from witten import noise
from witten.errors import RequestError

DOUBLE_WELL = witten.Objective.from_formula("(x^2-1)^2/4")
PLANE = witten.Objective.from_formula("(x^2-1)^2/4 + y^2/2 + x*y/5")
X = np.array([[0.3, -1.1, 2.0], [0.7, 0.1, -0.4]])


def test_each_kind_says_its_matrix():
    kinds = {
        noise.isotropic(3.0): 9 * np.eye(2)[:, :, None] + 0 * X[0],
        noise.constant([[1, 0.5], [0.5, 2]]): np.array([[1, 0.5], [0.5, 2]])[:, :, None] + 0 * X[0],
        noise.formula("1 + y^2, x/9; x/9, 2"): np.array([[1 + X[1] ** 2, X[0] / 9], [X[0] / 9, 2 + 0 * X[0]]]),
        noise.formula("max(1, x)"): np.eye(2)[:, :, None] * np.maximum(1, X[0]),
    }
    for kind, expected in kinds.items():
        np.testing.assert_allclose(kind.bind(PLANE).sigma(X), expected, rtol=1e-14)


def test_loss_is_counted_from_the_global_minimum():
    f = witten.Objective.from_formula("(x^2-1)^2/4 + x/10")
    x = np.linspace(-2, 2, 1001)[None]
    sigma = noise.loss(2.0, 0.25).bind(f).sigma(x)[0, 0]
    np.testing.assert_allclose(sigma, 0.25 + 2 * (f(x) - f(x).min()), atol=1e-5)
    assert sigma.min() >= 0.25


def test_minibatch_is_the_covariance_of_the_gradients():
    losses = ["x^2/2 + x*y", "x^2 + y^2/2", "3*x^2/2 + y^2 - x*y - x"]
    f = witten.Objective.from_formula("x^2 + y^2/2 - x/3")
    slopes = np.array([witten.Objective.from_formula(each).gradient(X) for each in losses])
    spread = slopes - slopes.mean(axis=0)
    expected = np.einsum("kin,kjn->ijn", spread, spread) / 3 / 4
    np.testing.assert_allclose(noise.minibatch(losses, batch=4).bind(f).sigma(X), expected, atol=1e-14)
    with pytest.raises(RequestError, match="not the mean of the 3 losses"):
        noise.minibatch(losses).bind(PLANE)


def test_divergence_and_root():
    diffusion = noise.formula("1 + y^2, x*y/9; x*y/9, 2 + x^2").bind(PLANE)
    np.testing.assert_allclose(diffusion.divergence(X), [X[0] / 9, X[1] / 9], atol=1e-15)
    root = diffusion.root(X)
    np.testing.assert_allclose(np.einsum("ikn,kjn->ijn", root, root), diffusion.sigma(X), rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: noise.constant([[1, 2], [0, 1]]), "not symmetric"),
        (lambda: noise.constant([[1, 2], [2, 1]]), "smallest eigenvalue is -1"),
        (lambda: noise.constant([[1, np.nan], [np.nan, 1]]), "not finite"),
        (lambda: noise.constant([1, 2]), "square matrix"),
        (lambda: noise.loss(1, 0), "give a floor"),
        (lambda: noise.loss(-1, 0.2), "c must be positive"),
        (lambda: noise.formula("1,2;3"), "as many columns as rows"),
        (lambda: noise.formula("1,x;y,1").bind(PLANE), "not symmetric: row 2, column 1 is y"),
        (lambda: noise.formula("1,0;0,z").bind(PLANE), "other variables"),
        (lambda: noise.constant([[1, 0], [0, 1]]).bind(DOUBLE_WELL), "2 by 2"),
        (lambda: noise.loss(1, 0.2).bind(witten.Objective.from_callable(lambda x: (x**2).sum(axis=0), 2)), "callable"),
        (lambda: noise.minibatch(["x"]), "two losses or more"),
        (lambda: noise.parse("loss:c=1"), "c and floor"),
        (lambda: noise.parse("pink"), "not known"),
    ],
)
def test_what_is_no_noise_is_refused(make, says):
    with pytest.raises(RequestError, match=says):
        make()


@pytest.mark.parametrize(
    ("covariance", "says"),
    [
        ("x", r"not positive definite at \(-1\.4"),
        ("1/x^2", r"not finite at \(0\)"),
        ("1 + log(x)", "not finite at"),
        ("x^2", r"not positive definite at \(0\)"),
    ],
)
def test_where_sigma_is_wrong_is_said(covariance, says):
    with pytest.raises(RequestError, match=says):
        witten.gap("x^2/2", 0.1, noise=noise.formula(covariance))


def test_other_routes_refuse_a_covariance():
    with pytest.raises(RequestError, match="theory and validate alone know a covariance"):
        witten.explain("double-well", 0.1, noise=noise.formula("1+x^2"))
    with pytest.raises(RequestError, match="finite elements know noise of one strength"):
        witten.gap("double-well", 0.1, noise=noise.formula("1+x^2"), method="finite-elements")
    with pytest.raises(RequestError, match="absorbing boundaries"):
        witten.gap("x^2/2", 0.1, noise=noise.formula("1+x^2"), box=[(-1, 1)], boundary="absorbing")


def test_a_primitive_is_exact_to_rounding():
    from witten.noise.primitive import Primitive

    x = np.array([-30.0, -0.2, 0.3, 2.0, 1e6])
    poly = Primitive(lambda t: t**3 - t, 0.0, 1.0)(x)
    np.testing.assert_allclose(poly, x**4 / 4 - x**2 / 2, rtol=2e-14)
    far = Primitive(lambda t: np.cos(t - 1e4), 1e4, 1.0)(1e4 + x[:4])
    np.testing.assert_allclose(far, np.sin(x[:4]), atol=2e-11)  # x is rounded
    kink = Primitive(lambda t: np.sign(t - 0.3), 0.1, 1.0)
    np.testing.assert_allclose(kink(x[:4]) - kink(np.array([0.3])), abs(x[:4] - 0.3), rtol=1e-12, atol=1e-14)
    assert np.isnan(Primitive(np.sqrt, 1.0, 1.0)(np.array([-0.5])))[0]


def test_symbolic_forms_of_the_potential():
    x, y = PLANE.symbols
    f = witten.Objective.from_formula("x^4/4 + y^2")
    found = noise.reversible(noise.formula("2,0;0,4").bind(f), 0.1)
    assert sp.expand(found.potential.formula - x**4 / 8 - y**2 / 4) == 0 and not found.turned
    assert noise.reversible(noise.formula("2,0;0,4").bind(PLANE), 0.1) is None  # f is no sum
    assert noise.reversible(noise.formula("1 + y^2,0;0,4").bind(f), 0.1) is None
    assert noise.reversible(noise.constant([[1, 0.2], [0.2, 1]]).bind(f), 0.1) is None
