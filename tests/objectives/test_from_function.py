"""Bare Python functions and formulas with parameters: what is taken for what, and the same numbers as the formula."""

import math

import numpy as np
import pytest
import sympy as sp

import witten
from witten.errors import RequestError
from witten.objectives import resolve
from witten.objectives.fingerprint import fingerprint
from witten.objectives.from_function import from_function

X = np.linspace(-2.0, 2.0, 7)


def of_two(x, y, a=1.0, *, b=1.0):
    return a * (x**2 - 1) ** 2 / 4 + b * y**2 / 2


@pytest.mark.parametrize(
    ("function", "dimension", "words"),
    [
        (lambda x: (x**2 - 1) ** 2 / 4, 1, "1 coordinate;"),  # of numbers
        (lambda x: math.cosh(x), 1, "point by point"),  # of one number
        (lambda x: x[0] ** 4, 1, "1 coordinate;"),
        (lambda x: x[0] ** 2 + x[1] ** 4, 2, "2 coordinates;"),
        (lambda x: x @ np.diag([1.0, 2.0, 3.0]) @ x, 3, "point by point"),
        (of_two, 2, "the coordinates x, y;"),
        (np.cosh, 1, "1 coordinate;"),
    ],
)
def test_the_dimension_is_seen_and_said(function, dimension, words):
    f = resolve(function)
    assert f.dimension == dimension
    assert words in f.taken


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: (x**2).sum(axis=0), "takes points of 1 and of 2 coordinates; say of how many: dimension=2"),
        (lambda x: np.sum(x**2), "takes points of 1 and of 2 coordinates"),
        (lambda x: 1 / 0, "takes points of no dimension up to 12"),
        (lambda x: x + np.mean(x), "takes points of no dimension"),
        (float, "is a class"),
    ],
)
def test_what_is_not_clear_is_asked_for(function, why):
    with pytest.raises(RequestError, match=why):
        resolve(function)


def test_a_dimension_that_only_matters_far_out_is_not_overlooked():
    with pytest.raises(RequestError, match="of 1 and of 2 coordinates"):
        resolve(lambda x: x[0] ** 2 + sum(np.maximum(abs(each) - 5, 0) for each in x[1:]))


def test_derivatives_that_are_given_are_used_and_checked():
    slope = lambda x, y, a=1.0: [a * (x**3 - x), y]  # noqa: E731
    f = from_function(of_two, gradient=slope, parameters={"a": 2}, name="f")
    assert f.taken == "f is taken as a function of the coordinates x, y; Hessian by finite differences"
    np.testing.assert_array_equal(f.gradient([0.5, 2.0]), [-0.75, 2.0])
    with pytest.raises(RequestError, match="the gradient does not belong to the value"):
        from_function(of_two, gradient=slope, parameters={"b": 3})
    with pytest.raises(RequestError, match="takes 2 coordinates, x, y, and not 3"):
        from_function(of_two, 3)
    with pytest.raises(RequestError, match="of_two has no parameter 'c'; it has y, a, b"):
        from_function(of_two, parameters={"c": 3})
    with pytest.raises(RequestError, match="go with a Python function"):
        witten.gap("x^2", 0.1, dimension=2)


def test_parameters_are_part_of_the_fingerprint():
    """And the name is not."""
    known = [fingerprint(from_function(of_two, parameters={"a": a}, name=str(a))) for a in (1.0, 1.0, 1.5)]
    assert known[0] == known[1] != known[2]


def test_the_rate_of_a_function_is_that_of_its_formula():
    """A tilted, shifted well: values alone decide, so that differences of f do not show in the bar."""
    text = "((x-3)^2-1)^2/4 + (x-3)/10"
    law = witten.gap(text, 0.1, rtol=1e-6)
    taken = witten.gap(lambda x: ((x - 3) ** 2 - 1) ** 2 / 4 + (x - 3) / 10, 0.1, rtol=1e-6)
    assert abs(taken.rates[0] - law.rates[0]) <= taken.rate_errors[0] + law.rate_errors[0]
    assert taken.records[0].examined.startswith("<lambda> is taken as a function of 1 coordinate")


def test_in_one_dimension_numbers_are_points():
    f = witten.Objective.from_formula("(x^2-1)^2/4")
    assert f(0.0) == 0.25
    np.testing.assert_array_equal(f(X), f(X[None]))
    assert f.gradient(X).shape == (1, X.size)
    assert f.hessian(0.0).shape == (1, 1)
    assert f(np.array([0.0])) == 0.25  # a point (d,), as ever
    with pytest.raises(ValueError, match="takes points of shape"):
        witten.Objective.from_formula("x*y")(X)


def test_parameters_of_a_formula_are_exact_numbers():
    f = witten.Objective.from_formula("theta*x^2 + k0*y", parameters={"theta": 0.1, "k0": sp.pi / 3})
    assert f.formula == sp.Rational(1, 10) * f.symbols[0] ** 2 + sp.pi / 3 * f.symbols[1]
    assert resolve(f.name).formula == f.formula
    assert resolve("a-x:a=1/3").formula.free_symbols == set(resolve("x").symbols)
    assert resolve("e*x^2:e=2").formula == 2 * resolve("x").symbols[0] ** 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a*x^2", "parameters that are given a value: --param a=0.3"),
        ("a*x^2:b=1", "unknown variable 'a'"),
        ("x^2:b=1", "has no parameter 'b'"),
        ("x*y:x=2", "'x' cannot be the name of a parameter: it is a coordinate"),
        ("sin*x:sin=2", "it is a function or constant"),
        ("a*x^2:a=x", "a must be a number"),
        ("a*x^2:a", "write name=value, as in a=0.3"),
        ("a*x^2:a=1,a=2", "a is given twice"),
        ("a*x^2:a=10^400", "must be a number|too large"),
        ("log(a)*x:a=-1", "complex"),
        ("dubble-well:barrier=1", "did you mean double-well"),
    ],
)
def test_what_is_no_parameter(text, why):
    with pytest.raises(RequestError, match=why):
        resolve(text)


def test_what_is_no_number_is_refused():
    with pytest.raises(RequestError, match="the parameter 'a' must be a number"):
        from_function(lambda x, a=2: a * x[0] ** 2, parameters={"a": "b"})
    with pytest.raises(RequestError, match="takes points of no dimension"):
        from_function(lambda x: "a")
