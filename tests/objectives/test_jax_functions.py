"""Objectives written in JAX: the same numbers as formulas, and one clear line for what is none."""

import pickle

import numpy as np
import pytest

import witten
from witten.errors import RequestError
from witten.objectives.jax_functions import functions_of_points

jax = pytest.importorskip("jax", reason="needs the extra jax")
jnp = jax.numpy


def wells(x):
    return (x[0] ** 2 - 1) ** 2 / 4 + (x[1] - x[0]) ** 2 / 2


TEXT = "(x^2-1)^2/4 + (y-x)^2/2"


def test_values_and_derivatives_are_those_of_the_formula():
    f, g = witten.Objective.from_jax(wells, 2), witten.Objective.from_formula(TEXT)
    x = np.random.default_rng(0).normal(size=(2, 77))
    for what in ("__call__", "gradient", "hessian", "laplacian"):
        np.testing.assert_allclose(getattr(f, what)(x), getattr(g, what)(x), rtol=1e-13, atol=1e-13)
    assert f.hessian(x[:, 0]).shape == (2, 2) and f(x[:, :0]).shape == (0,)


def test_chunks_are_joined(monkeypatch):
    monkeypatch.setattr("witten.objectives.jax_functions.MOST_NUMBERS", 64)
    _, _, hessian = functions_of_points(wells, 2)
    x = np.random.default_rng(0).normal(size=(2, 37))
    np.testing.assert_allclose(hessian(x), witten.Objective.from_formula(TEXT).hessian(x), rtol=1e-13, atol=1e-13)


def test_every_route_takes_one():
    f = witten.Objective.from_jax(lambda x: (x[0] ** 2 - 1) ** 2 / 4 + x[0] / 10, 1)
    text = "(x^2-1)^2/4 + x/10"
    assert witten.gap(f, 0.1).rates == pytest.approx(witten.gap(text, 0.1).rates, rel=1e-6)
    assert witten.eyring_kramers(f, 0.1, order=0).rates == pytest.approx(
        witten.eyring_kramers(text, 0.1, order=0).rates, rel=1e-8
    )


def test_it_is_pickled_without_what_was_compiled():
    f = witten.Objective.from_jax(wells, 2)
    f(np.zeros(2))
    assert pickle.loads(pickle.dumps(f.given[0]))(np.zeros((2, 1))) == f(np.zeros((2, 1)))


def unsteady():
    calls = iter(range(100))
    return lambda x: x[0] ** 2 + next(calls)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x**2, "one float64 number at a point of float64, it gives shape"),
        (lambda x: (x[0] ** 2).astype(jnp.float32), "type float32"),
        (lambda x: float(x[0]), "cannot be traced by JAX"),
        (lambda x: (x[0], 1), "it gives tuple"),
        (unsteady(), "another value the second time"),
        (lambda x: jax.lax.stop_gradient(x[0] ** 2), "the gradient does not belong to the value"),
    ],
)
def test_what_is_no_objective_is_refused_in_a_line(function, message):
    with pytest.raises(RequestError, match=message) as error:
        witten.Objective.from_jax(function, 2)
    assert "\n" not in str(error.value)


def test_without_jax_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    with pytest.raises(RequestError, match=r"install witten\[jax\]"):
        witten.Objective.from_jax(wells, 2)
