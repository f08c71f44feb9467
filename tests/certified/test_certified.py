"""Certificates: against closed forms and the project's reference values, and with each ingredient falsified."""

import json
from fractions import Fraction
from math import pi

import numpy as np
import pytest
from launcher import in_process
from references import Case, rates_1d

import witten
from witten.certified import balls, line_problem, weights
from witten.certified.certified_gap import certified_gap
from witten.certified.half_lines import HalfLineRange
from witten.certified.lehmann import Forms, lower_bound, positive_definite
from witten.certified.sturm_count import SturmCount
from witten.certified.tail_slopes import KnownTails
from witten.certified.taylor_models import TaylorModel, symmetric
from witten.errors import ConvergenceError, RequestError
from witten.objectives import resolve

flint = pytest.importorskip("flint", reason="needs python-flint")
arb = flint.arb
TRIPLE = "x^2*(x^2-1)^2 + 0.1*x^2"  # two outer wells, whose rates nearly coincide


def bounds(proof):
    return Fraction(proof.lower), Fraction(proof.upper)


# ------------------------------------------------------------------------------------------------ what is known

# ten digits, those of test_references.py
PRINTED = [
    ("double-well", 0.4, 1.3477798375e-1),
    ("double-well", 0.2, 3.3545287308e-2),
    ("double-well", 0.1, 2.7761406366e-3),
    ("double-well", 0.05, 1.9589273000e-5),
    ("double-well", 0.01, 8.616200742e-23),
    ("shi-su-jordan-1d", 0.1, 3.6128558845e-2),
    ("shi-su-jordan-1d", 0.05, 4.0316284531e-3),
    ("shi-su-jordan-1d", 0.01, 1.0956734777e-10),
]


@pytest.mark.parametrize(("spec", "s", "rate"), PRINTED)
def test_printed_values_are_certified(spec, s, rate):
    proof = certified_gap(spec, s)
    assert proof.relative_width < 1e-12
    assert float(proof.lower) == pytest.approx(rate, rel=1e-10)


REFERENCES = [
    ("double-well:tilt=0.2", 0.05),
    ("double-well:barrier=1", 0.1),
    ("styblinski-tang:dim=1", 0.2),
    ("convex-quartic", 0.05),
    ("quadratic:theta=5", 0.05),
]


@pytest.mark.parametrize(("spec", "s"), REFERENCES)
def test_reference_values_are_certified(spec, s):
    proof = certified_gap(spec, s)
    assert proof.relative_width < 1e-11
    assert float(proof.lower) == pytest.approx(Case(spec, s).rates()[0], rel=1e-10)


# f, s, box, rate: oscillators; free diffusion and constant drift between walls; Morse's potential
CLOSED = [
    ("x^2/2", 0.1, None, 1),
    ("3*(x-1000)^2/2 + 7", 0.25, None, 3),
    ("0*x", 0.1, (0.0, 1.0), pi**2 / 20),
    ("x", 0.1, (0.0, 1.0), pi**2 / 20 + 5),
    ("exp(x)-2*x", 0.1, (-4.0, 3.0), 1.95),
    ("exp(x)-2*x", 0.1, None, Fraction(39, 20)),
]


@pytest.mark.parametrize(("f", "s", "box", "rate"), CLOSED)
def test_closed_forms_lie_between_the_bounds(f, s, box, rate):
    lower, upper = bounds(certified_gap(f, s, box=box and [box]))
    slack = 0 if isinstance(rate, int | Fraction) else 1e-13
    assert lower * (1 - slack) <= rate <= upper * (1 + slack)
    assert upper / lower - 1 < 1e-11


def test_scale_origin_and_unit_have_no_part():
    plain, moved = (certified_gap(*case) for case in (("double-well", 0.1), ("50*((x/1000-9)^2-1)^2/4 - 3", 5.0)))
    low, high = (end * 50 / 10**6 for end in bounds(plain))
    assert bounds(moved)[0] <= high and low <= bounds(moved)[1]
    assert moved.relative_width < 1e-12


def test_a_barrier_of_250_learning_rates():
    proof = certified_gap("double-well", 0.001)
    # sqrt(2)/pi e^{-1/(2s)} (1 - 3s/4 + O(s^2))
    assert proof.log10_lower == pytest.approx(np.log10(2**0.5 / pi * (1 - 0.00075)) - 500 / np.log(10), abs=1e-5)
    assert proof.log10_lower < proof.log10_upper < proof.log10_lower + 1e-12


def test_rates_that_nearly_coincide_are_bounded_together():
    proof = certified_gap(TRIPLE, 0.02)
    assert proof.functions == 2 and proof.relative_width < 1e-12
    first, second, third = rates_1d(lambda x: x**2 * (x**2 - 1) ** 2 + 0.1 * x**2, 0.02, 3)
    assert float(proof.lower) == pytest.approx(first, rel=1e-10)
    assert second < 1.01 * first and float(proof.rho) <= third


def test_noise_is_a_learning_rate():
    assert bounds(certified_gap("double-well", 0.04, noise=0.5)) == bounds(certified_gap("double-well", 0.01))


# ------------------------------------------------------------------------------------------------ what is falsified


@pytest.fixture(scope="module")
def oscillator():
    """x^2/2 at s = .1: rates 0, 1, 2, ..."""
    return line_problem.line_problem(resolve("x^2/2"), Fraction(1, 10), None)


def counted(problem, nodes, rate):
    with balls.precision(200, 17):
        ends = [balls.exact(x) for x in nodes]
        s = balls.exact(problem.s)
        widths = [b - a for a, b in zip(ends[:-1], ends[1:], strict=True)]
        tails = [weights.Tail.beyond(problem.series(ends[k], 1)[0], balls.exact(abs(nodes[k])), s) for k in (0, -1)]
        return SturmCount(s, widths, weights.ranges(problem.series, ends), tuple(tails)).at_most(balls.exact(rate))


def test_a_rho_that_is_too_large_is_not_proved(oscillator):
    nodes = np.linspace(-2.0, 2.0, 801)
    assert [counted(oscillator, nodes, rate) for rate in (0.95, 1.9, 2.8)] == [1, 2, 3]
    assert [counted(oscillator, nodes, rate) for rate in (1.001, 2.001, 3.001)] == [2, 3, 4]


def test_a_rho_that_is_too_large_shows_in_the_bound():
    """Of v = x + x^2/4 - 1/40 and x^2/2 at s = .1 in closed form: rates 1 and 2, weights c1^2 = .1 and c2^2 = 1/800."""
    one, two = 0.1, 2 * 0.05**2 / 16
    forms = Forms(*(flint.arb_mat([[one * 1.0**k + two * 2.0**k]]) for k in (1, 0, -1)))
    truth = lower_bound(forms, arb(2))
    assert 0.999 < truth <= 1 + 1e-15
    assert lower_bound(forms, arb(2.5)) > 1  # what the true bound never is
    assert lower_bound(forms, arb(0.9)) is None


def test_bounds_need_a_definite_matrix():
    assert positive_definite(flint.arb_mat([[2, 1], [1, 2]]))
    assert not positive_definite(flint.arb_mat([[1, 2], [2, 1]]))
    assert not positive_definite(flint.arb_mat([[arb(1, 2)]]))  # not known to be


def test_a_tail_cut_short_is_noticed(oscillator):
    """Beyond x = 1/2 the double well still falls. And without the tails the oscillator is another one."""
    with balls.precision(100, 17):
        double_well = KnownTails(resolve("double-well"))
        assert double_well.slope_beyond(0.5, 1) is None and double_well.slope_beyond(-1.5, -1) > 1.8
        assert KnownTails(resolve("rastrigin:dim=1")).slope_beyond(10.0, 1) is None
    whole = line_problem.LineProblem(*(getattr(oscillator, n) for n in ("objective", "series", "s", "wells")),
                                     (-1.0, 1.0), (arb(1), arb(1)))  # fmt: skip
    cut = line_problem.LineProblem(*(getattr(oscillator, n) for n in ("objective", "series", "s", "wells")),
                                   (-1.0, 1.0), None)  # fmt: skip
    lower, upper = bounds(whole.certificate(0.5))
    assert lower <= 1 <= upper
    assert bounds(cut.certificate(0.5))[0] > 1


def test_remainders_are_needed(monkeypatch):
    """Coarse cells: with what Taylor's polynomials leave out the bounds hold the rate, without it they do not."""
    problem = line_problem.line_problem(resolve("double-well"), Fraction(1, 100), None)
    fine, coarse = bounds(problem.certificate(0.25)), bounds(problem.certificate(1.5))
    assert coarse[0] <= fine[0] and fine[1] <= coarse[1]
    monkeypatch.setattr(weights, "symmetric", lambda bound: arb(0))
    wrong = bounds(problem.certificate(1.5))
    assert wrong[1] < fine[0] or fine[1] < wrong[0]


def test_rounding_is_outwards():
    third = arb(flint.fmpq(1, 3))
    with balls.precision(200, 10):
        low, high = (balls.decimal(arb(flint.fmpq(-1, 3)), up=up) for up in (False, True))
        assert Fraction(low) < Fraction(-1, 3) < Fraction(high)
        low, high = (balls.decimal(third / arb(10) ** 3000, up=up, digits=4) for up in (False, True))
    assert (low, high) == ("3.333E-3001", "3.334E-3001")


def test_a_float_is_the_number_that_is_printed():
    with balls.precision(200, 10):
        assert balls.exact(0.1).contains(arb(flint.fmpq(1, 10))) and balls.exact(0.1).rad() < 1e-50


# ------------------------------------------------------------------------------------------------ parts

SLOPES = [
    # f, b, the least slope on [b, inf)
    ("x^2/2 + cos(3*x)", 4.0, 1.0),
    ("x^2/2 + log(1+x^2)", 2.0, 2.0),
    ("exp(x) - 2*x", 1.0, np.e - 2),
    ("x^4 + exp(-x)", 2.0, 32 - np.exp(-2)),
    ("x^2 + sqrt(x^2+1)", 1.0, 2.0),
]
UNSEEN = ["x^2 + (x-5)^1.5", "x^2 + (x-5)^2.3", "x^2 + exp(x)/log(x-1)", "x^2 + tan(x)", "x^2 - x*sin(x)^2"]


@pytest.mark.parametrize(("text", "b", "least"), SLOPES)
def test_slopes_on_half_lines_are_bounds(text, b, least):
    f, mirrored = resolve(text), resolve(text.replace("x", "(-x)").replace("e(-x)p", "exp"))
    with balls.precision(100, 17):
        found, other = KnownTails(f).slope_beyond(b, 1), KnownTails(mirrored).slope_beyond(-b, -1)
    assert float(found) == float(other)
    assert float(found) <= f.gradient(np.linspace(b, 20 * b, 5000)[None]).min() * (1 + 1e-14)
    assert float(found) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("text", UNSEEN)
def test_no_slope_is_seen_where_f_has_none(text):
    with balls.precision(100, 17), pytest.raises(RequestError, match="rise steadily"):
        KnownTails(resolve(text))


def test_a_pole_on_the_half_line_is_seen():
    with balls.precision(100, 17):
        tails = KnownTails(resolve("x^2 - 1/(x-5)"))
        assert tails.slope_beyond(4.0, 1) is None and tails.slope_beyond(6.0, 1) >= 12


def test_what_may_not_exist_stays_unknown():
    with balls.precision(100, 17):
        beyond = HalfLineRange.beyond(arb(2), 1)
        five = HalfLineRange(arb(5), arb(5))
        for unknown in ((beyond - five).sqrt(), (beyond - five).log(), 1 / (beyond - five)):
            for made in (unknown, unknown.power(2), unknown.exp(), unknown * (five - five), -unknown, unknown + five):
                assert made.lower.is_nan() and made.upper.is_nan()
        assert (beyond * (five - five)).lower == 0 and (1 / beyond).lower == 0 and (-beyond).exp().lower == 0


def test_taylor_models_enclose():
    """(e^t + e)(cos t), |e| <= 1e-3, on |t| <= 1/2."""
    with balls.precision(100, 17):
        t, r = flint.arb_series([0, 1], 16), arb(0.5)
        exp = TaylorModel(flint.arb_poly(t.exp().coeffs()), symmetric(arb(1e-3)), r)
        cos = TaylorModel(flint.arb_poly(t.cos().coeffs()), arb(0), r)
        integral = (exp * cos).integral()
        primitive = (exp * cos).integral_from_left(arb(0))
        sin_half, cos_half = r.sin_cos()
        truth = (r.exp() * (cos_half + sin_half) - (-r).exp() * (cos_half - sin_half)) / 2
        assert integral.contains(truth) and integral.contains(truth + 0.9e-3) and integral.rad() < 1.2e-3
        assert (primitive.polynomial(r) + primitive.error).contains(truth)


FUNCTIONS = (
    "exp(x)+log(2+x)+sqrt(2+x)+sin(x)+cos(x)+tan(x)+sinh(x)+cosh(x)+tanh(x)+(2+x)^pi+x^3-x^-2+log(exp(x)+exp(2*x))"
    "+log(cosh(x))+1/(1+exp(-x))"
)


def test_balls_read_the_formula_that_everything_else_reads():
    f = resolve(FUNCTIONS)
    with balls.precision(120, 17):
        series = balls.ball_series(f)(arb(0.3), 4)
        over = balls.ball_series(f)(arb(0.25).union(0.35), 2)
        assert over[0].contains(series[0]) and over[1].contains(series[1])
        found = [float(series[k].mid()) for k in range(4)]
    np.testing.assert_allclose(found, f.along([0.3], [1.0], 3), rtol=1e-13)


# ------------------------------------------------------------------------------------------------ refusals

REFUSED = [
    ("x^2/2 + y^2", None, RequestError, "one variable"),
    ("x^2/2 + abs(x)", None, RequestError, "kink"),
    ("log(1+x^2)", None, RequestError, "give a --box"),
    ("x^2/2+exp(-x^2)*x^3", None, RequestError, "rise steadily"),
    ("-x^2", None, RequestError, "rise steadily"),
    ("x^3", None, RequestError, "rise steadily"),
    ("sin(x)", None, RequestError, "rise steadily"),
    ("1/x", (-1.0, 1.1), ConvergenceError, "cells"),
    ("sqrt(x)", (0.0, 1.0), ConvergenceError, "analytic"),
    ("log(x)", (-1.0, 1.0), ConvergenceError, "finite"),
]


@pytest.mark.parametrize(("f", "box", "error", "why"), REFUSED)
def test_what_is_not_proved_is_refused_with_the_reason(f, box, error, why):
    with pytest.raises(error, match=why):
        certified_gap(f, 0.1, box=box and [box])


def test_a_callable_has_no_certificate():
    f = witten.Objective.from_callable(lambda x: x[0] ** 2 / 2, 1)
    with pytest.raises(RequestError, match="no formula"):
        certified_gap(f, 0.1)


def test_without_arb_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(balls, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"witten\[certify\]"):
        certified_gap("x^2/2", 0.1)


# ------------------------------------------------------------------------------------------------ the command


def test_the_command_adds_the_bounds():
    done = in_process("gap", "double-well", "--lr", "0.05,0.04", "--certify", "--json")
    assert done.returncode == 0, done.stderr
    for record in json.loads(done.stdout)["records"]:
        assert record["certified"] is True and record["cells"] > 100 and record["bits"] > 100
        assert "Lehmann" in record["theorem"] and float(record["rho"]) > record["rate"]
        assert abs(float(record["lower"]) - record["rate"]) <= record["rate_error"]
        assert Fraction(record["lower"]) < Fraction(record["upper"])
        assert record["log10_lower"] < record["log10_upper"]


def test_the_command_shows_the_bounds():
    done = in_process("gap", "x^2/2", "--lr", "0.1", "--certify", "--box", "-2:2")
    assert done.returncode == 0, done.stderr
    assert "certified bounds" in done.stdout and "Sturm" in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("sqrt(x+1)", "--box", "-1:1"), 1, "analytic"),
        (("x^2/2 + abs(x)",), 2, "kink"),
        (("x^2/2", "--box", "-1:1", "--boundary", "absorbing"), 2, "--certify"),
        (("cos(x)", "--periodic", "x=0:2*pi"), 2, "--certify"),
    ],
)
def test_the_command_ends_where_nothing_is_proved(words, status, why):
    done = in_process("gap", *words, "--lr", "0.1", "--certify")
    assert done.returncode == status and why in done.stderr and done.stdout == ""
