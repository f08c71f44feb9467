"""Fates, periods and thresholds of gradient descent do not depend on the origin, on the unit of length or on that of f,
and what a run does not show is not said. References are closed forms: of parabolas, and of the cubic map
z' = z + a z (1 - z^2), whose minimum flips at a = 1 and whose 2-cycle doubles at sqrt 5 - 1."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples

from witten.descent.attractors.attractor import DIVERGES, FIXED, PERIODIC, SLOW, fate
from witten.descent.attractors.cycle_detection import settle
from witten.descent.attractors.divergence import growth
from witten.descent.bifurcation import bifurcation_diagram
from witten.descent.gradient_map import DescentMap
from witten.objectives.objective import Objective
from witten.objectives.topography.length_scales import nonlinear_length

WELLS = "(x^2-1)^2/4"


def formula(text: str) -> Objective:
    return Objective.from_formula(text)


def wells(shift: float = 0.0, length: float = 1.0, height: float = 1.0) -> Objective:
    """height ((u^2 - 1)^2/4), u = (x - shift)/length, as a function with its derivatives: its gradient is the cubic
    map's, with a = s height/length^2."""

    def u(x):
        return (x[0] - shift) / length

    return Objective.from_callable(
        lambda x: height * (u(x) ** 2 - 1) ** 2 / 4,
        1,
        lambda x: height / length * (u(x) ** 3 - u(x))[None],
        lambda x: height / length**2 * (3 * u(x) ** 2 - 1)[None, None],
    )


# ---------------------------------------------------------------------------------------------------------- fates


@pytest.mark.parametrize(
    ("text", "s", "x", "kind", "end"),
    [
        ("x^2/2", 2.0001, 1.0, DIVERGES, None),
        ("(x-3)^2", 1.00001, 1.0, DIVERGES, None),
        (WELLS, 0.1, 1e-13, FIXED, 1.0),
        (WELLS, 1e-12, 0.5, SLOW, None),
        (WELLS, 1e-9, 0.5, SLOW, None),
        (WELLS, 1e-18, 0.5, SLOW, None),
        ("x^2/2", 0.5, 1e9, FIXED, 0.0),
        ("x^2/2", 1.99999, 1.0, SLOW, None),  # an e-th of the way is left
        ("x^2/2", 1.9999, 1.0, FIXED, 0.0),
        ("-x^2/2", 1e-4, 1e-30, DIVERGES, None),
        ("log(cosh(x))", 2.0001, 1e-6, SLOW, None),  # the 2-cycle is small, and far from reached
        ("-exp(-x^2/2)", 0.1, 40.0, SLOW, None),  # a plateau: grad f underflows
        ("x^2/2-2*exp(-((x-1.23456)/0.0002)^2)", 1e-9, 1.2346, FIXED, 1.23455998765),
        (WELLS, 1e-3, 1e-100, SLOW, None),  # still leaving the maximum
    ],
)
def test_what_is_said_of_a_run_is_what_it_does(text, s, x, kind, end):
    found = fate(formula(text), s, [x])
    assert found.kind == kind and found.why
    if end is not None:
        assert found.x[0, 0] == pytest.approx(end, abs=1e-9) and found.stable is True


@pytest.mark.parametrize(
    ("text", "s", "x", "period", "stable"),
    [
        (WELLS, 0.1, [0.0], 1, False),  # a maximum
        (WELLS, 1.1, [1.0], 1, False),  # a minimum too sharp for s
        ("(x^2-1)^2/4+y^2/2", 0.1, [0.0, 1.0], 1, False),  # down the ridge to the saddle, exactly
        ("(x^2-1)^2/4+y^2/2", 0.1, [1e-13, 1.0], 1, True),  # beside it, to a minimum
        ("abs(x)", 0.1, [0.0], 1, False),
        ("x^4", 0.1, [0.0], 1, None),
        (WELLS, 1.0, [1.0], 1, None),  # at the flip
        ("(1-x*y)^2/2", 0.9, [0.5, 0.7], 1, True),  # one of a curve of minima
        ("x^2/2", 2.0, [1.0], 2, True),  # every start is a 2-cycle
    ],
)
def test_unstable_orbits_are_called_unstable(text, s, x, period, stable):
    found = fate(formula(text), s, x)
    assert (found.settled, found.period, found.stable) == (True, period, stable) and found.why


def test_overflow_on_the_way_is_not_divergence():
    """tanh x = grad log cosh x is 1 at 800, where cosh is no double: no fate is made up of that."""
    found = fate(formula("log(cosh(x))+0*x"), 2000.0, [1.0], steps=1000)
    assert found.kind in (PERIODIC, SLOW)


def test_leaving_the_domain_is_said():
    found = fate(formula("x-log(x)"), 5.0, [3.0])
    assert found.kind == DIVERGES and "defined" in found.why


@given(
    st.floats(-6, 6), st.floats(-1e6, 1e6), st.floats(-9, 9), st.sampled_from([0.1, 0.8, 1.1, 1.24, 1.4, 2.2]),
    st.floats(0.15, 0.6),
)  # fmt: skip
@examples(10)
def test_fates_know_no_origin_and_no_units(log_length, shift, log_height, a, u):
    """x -> shift + length u, f -> height f and s -> s length^2/height is the same run; the shift in widths."""
    length, height = 10.0**log_length, 10.0**log_height
    expected = fate(wells(), a, [u], steps=2000)
    f = wells(shift * length, length, height)
    found = fate(f, a * length**2 / height, [shift * length + u * length], steps=2000)
    assert (found.kind, found.period, found.stable) == (expected.kind, expected.period, expected.stable)
    if found.settled and found.period == 1:
        assert (found.x[0, 0] / length - shift) == pytest.approx(expected.x[0, 0], abs=1e-9 + 1e-15 * abs(shift))


@given(st.integers(0, 628).map(lambda n: n / 100), st.integers(-10**4, 10**4), st.sampled_from([0.1, 1.1, 2.2]))
@examples(4)
def test_fates_know_no_axes(angle, shift, a):
    c, s = math.cos(angle), math.sin(angle)
    text = f"((({c!r})*(x-({shift!r}))+({s!r})*y)^2-1)^2/4+((({c!r})*y-({s!r})*(x-({shift!r})))^2)/4"
    start = np.array([shift + 0.3 * c - 0.2 * s, 0.3 * s + 0.2 * c])
    found, expected = fate(formula(text), a, start, steps=4000), fate(formula("(x^2-1)^2/4+y^2/4"), a, [0.3, 0.2])
    assert (found.kind, found.period) == (expected.kind, expected.period)


@given(st.floats(-8, 8), st.floats(-0.9, -1e-5) | st.floats(1e-5, 0.9), st.floats(-1e3, 1e3))
@example(0.0, 0.265625, 0.0)  # after 1500 steps x^2 is a double, after 64 more it is not
@examples(12)
def test_a_parabola_is_never_misjudged(log_curvature, margin, start):
    """|1 - s h| = |1 + margin| or so: beyond 1 it grows, for ever; below it shrinks, and has arrived or is slow."""
    h = 10.0**log_curvature
    f = Objective.from_callable(
        lambda x: h * (x[0] - 2) ** 2 / 2, 1, lambda x: h * (x - 2), lambda x: np.full((1, 1, x.shape[1]), h)
    )
    found = fate(f, (2 + margin) / h, [2 + (start if abs(start) > 1e-6 else 1.0)], steps=1500)
    assert found.kind in ((DIVERGES,) if margin > 0 else (FIXED, SLOW))


def test_a_run_that_slows_down_has_not_settled():
    """x^4 from far away: at k = 10^5 steps are 1e-15 of the way, and x is still there."""
    found = fate(formula("x^4/4"), 1e-9, [2e4], steps=50_000)
    assert found.kind == SLOW and found.exponent == pytest.approx(0.5, rel=0.05)


def test_growth_that_ends_is_not_growth_for_ever():
    assert growth(DescentMap(formula("x^2/2"), 2.5), np.array([1e-3])) == pytest.approx(-1.5)
    assert growth(DescentMap(formula("log(cosh(x))"), 2.5), np.array([1e-20])) is None
    assert growth(DescentMap(formula("-exp(-x^2)"), 1.1), np.array([1e-20])) is None


@pytest.mark.parametrize(("shift", "length"), [(0.0, 1e-6), (3.0, 1.0), (1e6, 1.0), (-1e12, 1e6)])
def test_the_length_of_f_is_that_of_its_curvature(shift, length):
    """3 u^2 - 1 is a tenth off 2 at u - 1 = 0.033, found to a factor of two."""
    assert 0.02 < nonlinear_length(wells(shift, length), np.array([shift + length])) / length < 0.15
    assert nonlinear_length(formula("(x-3)^2"), np.array([3.0])) == math.inf


def test_runs_that_stand_still_on_a_plateau_have_not_settled():
    for f in (formula("-exp(-x^2/2)"), Objective.from_callable(lambda x: -np.exp(-(x[0] ** 2) / 2), 1,
                                                               lambda x: x * np.exp(-(x**2) / 2))):  # fmt: skip
        assert settle(DescentMap(f, 0.1), [[40.0, 0.5]], 2000).period.tolist() == [0, 1]


# --------------------------------------------------------------------------------------------------- bifurcations


def test_periods_beside_bifurcations():
    root = math.sqrt(5) - 1
    rates = [0.9, 1 - 1e-7, 1.0, 1 + 1e-7, 1.001, 1.236, root - 1e-6, root + 1e-6, 1.237, 1.4]
    found = bifurcation_diagram(formula("(1-x^2)^2/4"), rates, [[0.3]])
    assert found.periods[:, 0].tolist() == [1, 1, 1, 2, 2, 2, 2, 4, 4, 0]
    assert found.exponents[0, 0] == pytest.approx(math.log(0.8))
    assert found.exponents[2, 0] == pytest.approx(0.0, abs=1e-12)
    # The multiplier of the 2-cycle: 1 at the flip, -1 at its doubling.
    a = np.array(rates[3:7])
    assert np.exp(2 * found.exponents[3:7, 0]) == pytest.approx(abs(9 - 2 * (1 + a) ** 2), abs=1e-9)
    assert "chaotic" in found.why[-1, 0] and all(found.why.ravel())


@pytest.mark.parametrize(("shift", "length", "height"), [(1e6, 1.0, 1.0), (0.0, 1e-5, 1e3), (-1e9, 1e5, 1e-8)])
def test_periods_know_no_origin_and_no_units(shift, length, height):
    rates = np.array([0.5, 1.1, 1.236, 1.25, 1.4, 2.2]) * length**2 / height
    found = bifurcation_diagram(wells(shift, length, height), rates, [[shift + 0.3 * length]], burn=2000, keep=64)
    assert found.periods[:, 0].tolist() == [1, 2, 2, 4, 0, -1]


def test_a_parabola_beside_its_threshold():
    found = bifurcation_diagram(formula("(x-3)^2/2"), [0.5, 1.999, 2.0001, 2.1], [[1.0]])
    assert found.periods[:, 0].tolist() == [1, 1, -1, -1]
