"""Random objectives: the truth lies inside the bar wherever they stand and whatever they are; and the references are
right.

benchmarks/random_objectives.py runs all 460.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import random_coupled
import sympy as sp
from random_cases import COUNTS, TURNS, case, cases
from random_coupled import coupled_case
from random_shapes import KINDS, number
from references import CASES, climb, double_well, far_interval, gap_1d, parse, rates_1d, shooting_rate

import witten
from witten.errors import AccuracyWarning
from witten.objectives import resolve

# ------------------------------------------------------------------------------------------------ forty of them

# Two of each kind on a line, and sums that are quick.
SOME = [case(kind, 0, index) for kind in KINDS for index in range(2)]
SOME += [case(kind, 0, 2) for kind in ("wells", "kinked", "trigonometric")]
SOME += [case("plane", 0, index) for index in (0, 1, 3, 4, 6, 12, 13, 17, 18)]
SOME += [case("plane-kinked", 0, index) for index in (9,)]
SOME += [case("space", 0, index) for index in (29,)]


@pytest.mark.parametrize("one", SOME, ids=str)
def test_the_truth_lies_inside_the_bar(one):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        (found,) = witten.gap(one.formula, one.learning_rate).records
    assert found.resolved
    truth = one.truth
    error = abs(found.rate - truth.rate)
    assert error <= found.rate_error + truth.error, f"{one.formula}: {found.rate}, truth {truth.rate}"


@pytest.mark.parametrize("kind", random_coupled.COUNTS)
def test_coupled_objectives_are_read(kind):
    for index in range(3):
        one = coupled_case(kind, 0, index)
        f = resolve(one.formula)
        assert f.dimension == one.dimension and np.isfinite(f(np.zeros((f.dimension, 1)))).all()


# ------------------------------------------------------------------------------------------------ the generator


def test_there_are_as_many_as_were_asked_for_and_no_two_alike():
    assert sum(COUNTS.values()) >= 400 and sum(random_coupled.COUNTS.values()) >= 60
    assert len({one.formula for one in cases(0)}) == sum(COUNTS.values())


def test_a_case_depends_on_its_own_number_alone():
    again = {one.name: one.formula for one in cases(3, {"wells": 4, "plane": 3})}
    assert [again[f"{kind}-3-2"] for kind in ("wells", "plane")] == [case(k, 3, 2).formula for k in ("wells", "plane")]
    assert again["wells-3-2"] != case("wells", 4, 2).formula


@pytest.mark.parametrize("kind", COUNTS)
def test_the_formula_says_what_the_reference_computes(kind):
    """The text by SymPy at random places, against the terms in their own variables."""
    rng = np.random.default_rng(1)
    words = {"abs": sp.Abs, "min": sp.Min, "max": sp.Max}
    for index in range(2):
        one = case(kind, 2, index)
        f = sp.lambdify(sp.symbols("x y z")[: one.dimension], sp.sympify(one.formula, words, rational=True), "mpmath")
        x, u = places(one, rng)
        exact = sum(term.height * term.shape.f(v) for term, v in zip(one.terms, u, strict=True))
        scale = np.abs(exact).max()
        # x is rounded to 1e-16 of the distance from the origin, up to 1e-10 of a width
        np.testing.assert_allclose([float(f(*p)) / scale for p in x.T], exact / scale, atol=1e-6)


def places(one, rng):
    """Points x of the whole space, and u, the same in the variables of the terms: by solving the affine texts."""
    names = sp.symbols("x y z")[: one.dimension]
    rows = [sp.Poly(sp.sympify(text, rational=True), *names) for text in one.axes]
    matrix = np.array([[float(row.coeff_monomial(name)) for name in names] for row in rows])
    offset = np.array([float(row.coeff_monomial(1)) for row in rows])
    turn = matrix * np.array([[term.length] for term in one.terms])
    np.testing.assert_allclose(turn @ turn.T, np.eye(len(rows)), atol=1e-12)
    u = rng.uniform(-2, 2, (one.dimension, 20))
    return np.linalg.solve(matrix, u - offset[:, None]), u


@pytest.mark.parametrize("n", TURNS)
def test_turns_are_rotations(n):
    for matrix, denominator in TURNS[n]:
        r = np.reshape(matrix, (n, n))
        assert (r @ r.T == denominator**2 * np.eye(n, dtype=int)).all()
        assert round(np.linalg.det(r)) in (denominator**n, -(denominator**n))


@pytest.mark.parametrize("value", [0.1, -3.0, 1e-7, 2.5e6, 123456.0, 0.00034])
def test_numbers_read_back(value):
    assert float(number(value)) == value


# ------------------------------------------------------------------------------------------------ the references


@pytest.mark.parametrize(
    ("f", "s", "points", "rate"),
    [
        (lambda x: x**2 * ((x - 8) ** 2 + 0.1) / 64, 0.1, (), 2.03813459e-35),
        (lambda x: np.logaddexp(x, -x), 0.5, (), 0.75),
        (lambda x: abs(x**2 - 1) / 2, 0.2, (-1, 1), 8.376248837e-3),
        (lambda x: np.minimum((x + 1) ** 2, (x - 1) ** 2 + 0.1), 0.3, (0.025,), 3.542781121e-3),
        (lambda x: np.minimum(x**2 / 2, (x - 6) ** 2 / 2 - 1), 0.5, (17 / 6,), 1.25441706e-7),
        (lambda x: x**6 / 6 - 0.55 * x**4 + 0.55 * x**2 + 0.03 * x, 0.02, (), 6.86832e-3),
    ],
)
def test_values_computed_elsewhere(f, s, points, rate):
    found, error = gap_1d(f, s, points)
    assert error < 1e-9 * found and found == pytest.approx(rate, rel=1e-6)


def test_of_wells_without_end_those_around_the_deepest_are_enough():
    """All of them are places where a mode may be as slow, which are too many to count in; beyond these it is not."""

    def f(x):
        return np.sqrt(1 + x**2) + 0.5 * np.cos(4 * x)

    nearer, further = (rates_1d(f, 0.1, 1, interval=far_interval(f, 0.1, margin))[0] for margin in (30.0, 60.0))
    assert nearer == pytest.approx(further, rel=1e-9) and further == pytest.approx(7.00697e-7, rel=1e-6)


@pytest.mark.parametrize("one", [one for one in CASES if one.spec.startswith("double-well:")][::4], ids=str)
def test_running_sums_give_what_the_matrix_gives(one):
    """`rates_1d` with k > 1 has the matrix and all its singular values, `gap_1d` neither."""
    f = double_well(**{key: value for key, value in parse(one.spec)[1].items() if key != "dim"})
    found, _ = gap_1d(f, one.learning_rate)
    assert found == pytest.approx(rates_1d(f, one.learning_rate, 2)[0], rel=1e-11)


SMOOTH = ("quartic", "polynomial", "wells", "gaussians", "trigonometric", "far-well", "plateau", "perturbed", "steep")


@pytest.mark.parametrize("kind", [*SMOOTH, "kinked"])
def test_shooting_with_derivatives_from_the_text_agrees(kind):
    (one,) = (case(kind, 11, index) for index in range(1))
    term, u = one.terms[0], sp.Symbol("u", real=True)
    slope = sp.lambdify(u, sp.diff(sp.sympify(term.shape.text, {"u": u, "abs": sp.Abs, "min": sp.Min}), u), "math")
    s = one.learning_rate / term.height
    rate, _ = gap_1d(term.shape.f, s, term.shape.points)
    interval = far_interval(term.shape.f, s, 20.0, points=term.shape.points, rate=rate)
    x = np.linspace(*interval, 20_001)
    y = term.shape.f(x)
    lowest, climbed = climb(y)
    other = int(np.argmax(climbed - y)) if (climbed > y).any() else lowest
    low, high = sorted((lowest, other))
    match = low + int(np.argmax(y[low : high + 1]))  # a saddle; of one well, the minimum
    shot = shooting_rate(slope, s, interval, x[match], ((1 - 1e-5) * rate, (1 + 1e-5) * rate))
    assert shot == pytest.approx(rate, rel=1e-9)
