"""The Eyring-Kramers law: against exact formulas, high precision, the spectral route and known limits."""

import math

import numpy as np
import pytest
import sympy as sp

import witten
from witten.errors import RequestError
from witten.landscape.laws.eyring_kramers import (
    labelled_log_rates,
    log_mean_transition_time,
    mean_transition_time,
    prefactor,
)
from witten.landscape.laws.reduced_generator import law_log_rates
from witten.landscape.poincare_bounds import rate_bounds
from witten.objectives import Objective, gallery, resolve

# The rates of MATH's reference objectives, nine digits each.
DOUBLE_WELL = {0.4: 1.3477798375e-1, 0.2: 3.3545287308e-2, 0.1: 2.7761406366e-3, 0.05: 1.9589273e-5,
               0.01: 8.616200742e-23}  # fmt: skip
PAPER = {0.1: 3.6128558845e-2, 0.05: 4.0316284531e-3, 0.01: 1.0956734777e-10}


# --------------------------------------------------------------------------------------------- the law


def test_double_well_in_closed_form_at_every_size():
    s = np.array([0.4, 0.1, 0.01, 1e-4, 1e-6])
    law = witten.eyring_kramers("double-well", s, order=0)
    exact = math.log(math.sqrt(2) / math.pi) - 0.5 / s
    assert law.log_rates == pytest.approx(exact, rel=1e-14)
    assert law.method == "eyring-kramers" and law.resolved[1:].all() and law.records[3].rate is None
    assert law.records[3].log10_rate == pytest.approx(-2171.8190443911, abs=1e-9)


def test_the_prefactor_of_the_paper():
    landscape = witten.describe_landscape("shi-su-jordan-1d")
    assert prefactor(landscape) == pytest.approx(0.3479346925, abs=1e-10)
    assert prefactor(witten.describe_landscape("shi-su-jordan")) == pytest.approx(0.3479346925, abs=1e-10)
    fit = witten.eyring_kramers(landscape, np.geomspace(0.002, 0.02, 8)).fit_barrier()
    assert fit.barrier == pytest.approx(landscape.barrier, rel=1e-9)
    assert fit.prefactor == pytest.approx(0.3479346925, rel=1e-6)


@pytest.mark.parametrize(("name", "truth"), [("double-well", DOUBLE_WELL), ("shi-su-jordan-1d", PAPER)])
def test_the_law_is_off_by_order_s_and_the_next_order_by_its_square(name, truth):
    s = np.array([0.05, 0.01])
    exact = np.log([truth[value] for value in s])
    first, second = (np.expm1(exact - witten.eyring_kramers(name, s, order=k).log_rates) for k in (0, 1))
    assert 3 < first[0] / first[1] < 7 and abs(first[1]) < 0.02
    assert 15 < second[0] / second[1] < 35 and abs(second[1]) < 1e-3


def test_a_tie_gives_a_double_rate():
    law = witten.eyring_kramers("shi-su-jordan", [0.05, 1e-4])
    single = witten.eyring_kramers("shi-su-jordan-1d", [0.05, 1e-4])
    for record, one in zip(law.records, single.log_rates, strict=True):
        assert record.log_rates == pytest.approx([one, one, one + math.log(2)], abs=1e-9)


def test_products_add_their_rates():
    f = resolve("(x^2-1)^2/4 + x/10 + (y^2-1)^2/3 - y/20")
    a, b = resolve("(x^2-1)^2/4 + x/10"), resolve("(x^2-1)^2/3 - x/20")
    for s in (0.05, 0.002):
        one, two = (witten.eyring_kramers(g, s, order=0).log_rates[0] for g in (a, b))
        rates = law_log_rates(witten.describe_landscape(f), s)
        assert rates == pytest.approx(sorted([one, two, np.logaddexp(one, two)]), abs=1e-9)


def test_three_symmetric_wells_give_three_times_the_escape_rate():
    landscape = witten.describe_landscape("triple-well")
    for s in (0.05, 1e-4):
        rates, labelled = law_log_rates(landscape, s), labelled_log_rates(landscape, s)
        assert landscape.tied and rates[0] == pytest.approx(rates[1], abs=1e-8)
        assert rates == pytest.approx(labelled + math.log(3), abs=1e-8)


def test_nearly_tied_wells_need_the_generator():
    f = gallery.triple_well(tilt_x=0.004)
    landscape = witten.describe_landscape(f)
    s = landscape.barrier / 8
    assert landscape.near_ties(s)
    rate = witten.gap(f, s, rtol=1e-4).log_rates[0]
    assert abs(math.expm1(law_log_rates(landscape, s)[0] - rate)) < 0.025
    assert math.expm1(labelled_log_rates(landscape, s)[0] - rate) < -0.4


def test_saddles_between_the_same_wells_add():
    ring = resolve("4*(x^2+y^2-1)^2 + x^2/2 - x^4/8")  # two wells at y = +-1, a saddle to the left and to the right
    landscape = witten.describe_landscape(ring)
    assert len(landscape.minima) == 2 and len(landscape.saddles) == 2
    assert law_log_rates(landscape, 0.01)[0] == pytest.approx(
        labelled_log_rates(landscape, 0.01)[0] + math.log(4), abs=1e-9
    )


def test_mean_transition_times():
    symmetric = witten.describe_landscape("double-well")
    s = 0.02
    rate = math.exp(law_log_rates(symmetric, s, order=1)[0])
    assert mean_transition_time(symmetric, s, 0, 1) == pytest.approx(2 / rate, rel=1e-10)
    tilted = witten.describe_landscape("double-well:tilt=0.2")
    rate = math.exp(law_log_rates(tilted, s, order=1)[0])
    assert mean_transition_time(tilted, s, 1, 0) == pytest.approx(1 / rate, rel=1e-6)
    assert mean_transition_time(tilted, s, 0, 1) > 1e10 * mean_transition_time(tilted, s, 1, 0)
    with pytest.raises(RequestError, match="numbered"):
        mean_transition_time(tilted, s, 0, 2)


@pytest.mark.parametrize(("start", "target"), [(0, 1), (1, 0), (2, 0), (0, 2), (1, 2)])
def test_mean_times_have_bars_that_hold(start, target):
    """On a line T_ab = (1/T) int_a^b e^{f(x)/T} int_{-inf}^x e^{-f(u)/T} du dx, a to the left of b."""
    f = resolve("x^2*(x^2-4)^2/40 + x/20")
    landscape = witten.describe_landscape(f)
    x = np.linspace(-4, 4, 40001)
    for t in (0.05, 0.02):
        a, b = (float(landscape.minima[k].x[0]) for k in (start, target))
        v = f((x if a < b else -x)[None]) / t
        a, b = (a, b) if a < b else (-a, -b)
        mass = np.cumsum(np.exp(-(v - v.min()))) * (x[1] - x[0])
        part = (x >= a) & (x <= b)
        exact = math.log(np.sum(np.exp(v[part] - v.min()) * mass[part]) * (x[1] - x[0]) / t)
        value, error = log_mean_transition_time(landscape, 2 * t, start, target)
        assert abs(value - exact) < error < (0.6 if t == 0.05 else 0.1)


def test_noise_is_a_larger_learning_rate():
    loud = witten.eyring_kramers("double-well", 0.05, noise=2.0)
    assert loud.log_rates == pytest.approx(witten.eyring_kramers("double-well", 0.2).log_rates)
    assert loud.noise == 2.0


def test_scale_and_shift_of_the_objective():
    base = law_log_rates(witten.describe_landscape("double-well:tilt=0.1"), 0.05)
    shifted = law_log_rates(witten.describe_landscape("7 + (x^2-1)^2/4 + x/10"), 0.05)
    scaled = law_log_rates(witten.describe_landscape("3*((x^2-1)^2/4 + x/10)"), 0.15)
    assert shifted == pytest.approx(base, abs=1e-11) and scaled == pytest.approx(base + math.log(3), abs=1e-11)


def test_one_minimum_has_no_small_rate():
    law = witten.eyring_kramers("convex-quartic", [0.1, 0.2])
    assert not law.resolved.any() and law.records[0].log_rates == ()
    assert prefactor(witten.describe_landscape("convex-quartic")) is None


@pytest.mark.parametrize(
    ("formula", "why"),
    [
        ("x^4", "degenerate minimum"),
        ("x^3 - 3*x*y^2 + (x^2+y^2)^2", "degenerate critical point"),
        ("(x^2-1)^2*exp(-x^2)", "not confining"),
        ("x^2 - y^2", "not confining"),
    ],
)
def test_the_law_is_refused_where_it_does_not_hold(formula, why):
    with pytest.raises(RequestError, match=why):
        witten.eyring_kramers(formula, 0.1)


@pytest.mark.parametrize("s", [0.0, -0.1, math.nan, math.inf])
def test_learning_rates_are_positive(s):
    with pytest.raises(RequestError, match="learning rate must be positive"):
        witten.eyring_kramers("double-well", s)


def test_a_high_degenerate_point_does_not_matter():
    x, y = sp.symbols("x y", real=True)
    f = Objective.from_sympy((x**2 - 1) ** 2 / 4 + y**2 / 2 - sp.Rational(1, 10) * y**3 + y**4 / 160, (x, y))
    landscape = witten.describe_landscape(f)
    assert landscape.barrier is not None
    witten.eyring_kramers(landscape, 0.05)


@pytest.mark.parametrize("name", ["shi-su-jordan-1d", "rastrigin:dim=1", "styblinski-tang"])
def test_computed_rates_approach_the_law_like_one_plus_order_s(name):
    landscape = witten.describe_landscape(name)
    s = landscape.barrier / np.array([6.0, 12.0])
    ratio = np.exp(witten.gap(name, s, rtol=1e-4).log_rates - witten.eyring_kramers(landscape, s, order=0).log_rates)
    assert 1.7 < (ratio[0] - 1) / (ratio[1] - 1) < 2.6 and abs(ratio[1] - 1) < 0.12


def test_a_law_is_saved_and_loaded(tmp_path):
    law = witten.eyring_kramers("shi-su-jordan", [0.05, 0.02])
    law.save(tmp_path / "law.nc")
    again = witten.RateCurve.load(tmp_path / "law.nc")
    assert again.method == "eyring-kramers" and again.records == law.records


# --------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("name", ["quadratic", "convex-quartic", "double-well", "double-well:tilt=0.1,dim=2",
                                  "shi-su-jordan", "rastrigin:dim=1"])  # fmt: skip
def test_bounds_hold(name):
    for s in (0.3, 0.1):
        rate = witten.gap(name, s, rtol=1e-4)
        bounds = rate_bounds(name, s)
        assert bounds
        for bound in bounds:
            assert bound.lower <= rate.upper[0] and rate.lower[0] <= bound.upper, bound


def test_muckenhoupt_brackets_within_the_factor_of_the_theorem():
    for s, rate in DOUBLE_WELL.items():
        (bound,) = rate_bounds("double-well", s)
        assert bound.theorem == "Muckenhoupt" and bound.lower <= math.log(rate) <= bound.upper
        assert bound.upper - bound.lower < math.log(8.3)


def test_bakry_emery_is_attained_by_a_gaussian():
    bounds = {bound.theorem: bound for bound in rate_bounds("quadratic:theta=3,dim=2", 0.2)}
    assert bounds["Bakry-Emery"].lower == pytest.approx(math.log(3), rel=1e-14)


def test_holley_stroock_by_hand():
    bounds = {bound.theorem: bound for bound in rate_bounds("x^2/2 + cos(x)/3", 0.3)}
    assert bounds["Holley-Stroock"].lower == pytest.approx(-2 * (2 / 3) / 0.3, rel=1e-12)


def test_nothing_is_claimed_where_nothing_is_proved():
    assert rate_bounds("himmelblau", 0.1) == () and rate_bounds("log(1+x^2)", 0.1) == ()
    with pytest.raises(RequestError, match="positive"):
        rate_bounds("double-well", 0.0)


def test_a_barrier_far_below_s_is_not_resolved():
    law = witten.eyring_kramers("x^4/4 + y^2/2 + x*y/10", [0.2, 1e-5])
    assert law.resolved.tolist() == [False, True] and np.isfinite(law.log_rates).all()
    assert law.records[0].log_error == np.inf and "not resolved" in law.records[0].notes[0]
