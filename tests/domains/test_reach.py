"""Wherever the wells are: the search for critical points, and rates that do not depend on origin, unit and axes."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from references import rates_1d

import witten
from witten.errors import GridError, RequestError
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.objectives.symbolic.interval_arithmetic import enclosure
from witten.objectives.topography.allowed_region import allowed_region
from witten.objectives.topography.critical_set import reach, rise
from witten.objectives.topography.slow_places import enclosed

BANANA = "(y-x**2)**2+0.1*(x**2-1)**2+0.05*x"


def far_well(x):
    return x**2 * ((x - 8) ** 2 + 0.1) / 64


def tilted(x):
    return 5 * ((x / 10) ** 2 - 1) ** 2 + 0.3 * x / 10


def narrow(x):
    return x**2 / 2 - 2 * np.exp(-(((x - 1.23456) / 0.0002) ** 2))


def within(record, truth):
    assert record.resolved
    assert record.lower - 1e-10 <= np.log(truth) <= record.upper + 1e-10


# ------------------------------------------------------------------------------------------------ critical points


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("x**2*((x-8)**2+0.1)/64", 3),
        ("((x-1000000)**2-1)**2/4", 3),
        ("((x*1e6)**2-1)**2/4", 3),
        ("x**2/2-2*exp(-((x-1.23456)/0.0002)**2)", 3),
        ("abs(x**2-1)/2", 3),
        ("((0.6*x+0.8*y-3)**2-1)**2/4+(0.8*x-0.6*y)**2", 3),
        ("((0.36*x+0.48*y+0.8*z-100)**2-1)**2/4+(0.8*x-0.6*y)**2+(0.48*x+0.64*y-0.6*z)**2", 3),
        ("min((x+1)**2+y**2,(x-1)**2+2*y**2+0.2)", 3),
        ("himmelblau", 9),
        ("double-well:dim=3", 3),
    ],
)
def test_critical_points_are_proved_complete_in_all_of_space(text, points):
    f = resolve(text)
    known = reach(f)
    assert known.complete and known.points.shape == (f.dimension, points)
    assert known.values[0] == known.values.min() == pytest.approx(f(known.lowest), abs=1e-12)


def test_curved_valleys_are_proved_as_far_as_that_goes():
    known = reach(resolve(BANANA))
    assert known.points.shape[1] == 3 and known.proved > 1e3
    assert known.complete or "proved complete within" in known.examined


@given(st.floats(-6, 6), st.floats(-1e6, 1e6))
@examples(10)
def test_lows_of_a_callable_are_found_on_every_scale(log_length, shift):
    length = 10.0**log_length
    f = Objective.from_callable(lambda x: ((x[0] / length - shift) ** 2 - 1) ** 2 / 4, 1, name="wells")
    known = reach(f)
    assert known.proved == 0 and "sampled" in known.examined
    np.testing.assert_allclose(np.sort(known.points[0] / length) - shift, [-1, 1], atol=1e-3)


def test_the_floor_of_a_steep_valley_is_no_well():
    f = Objective.from_callable(
        lambda x: ((0.6 * x[0] + 0.8 * x[1] - 3) ** 2 - 1) ** 2 / 4 + (0.8 * x[0] - 0.6 * x[1]) ** 2, 2, name="valley"
    )
    assert reach(f).points.shape[1] == 2


def test_how_far_f_rises_is_measured_along_the_axes():
    sides = rise(resolve("x**2/2+y**4"), np.zeros(2), 1.0)
    np.testing.assert_allclose(sides, [[2**0.5] * 2, [1.0] * 2], rtol=0.06)


# ------------------------------------------------------------------------------------------------ slow places


def test_enclosures_are_made_once_for_all_learning_rates():
    f = resolve("double-well")
    enclosed(f, 0.1, 1.0)
    made = enclosure.cache_info().misses
    enclosed(f, 0.2, 1.0)
    assert enclosure.cache_info().misses == made > 0


def test_where_a_slow_mode_may_live_is_enclosed_in_all_of_space():
    """V_s = x^2/s - 1 <= 2 where |x| <= sqrt(3 s)."""
    whole, *_ = enclosed(resolve("(x-1000)**2/2"), 0.1, 1.0)
    low, high = whole.lower, whole.upper
    assert low[0] < 1000 - 0.3**0.5 and high[0] > 1000 + 0.3**0.5
    assert high[0] - low[0] < 2


def test_a_steep_curved_valley_is_no_flat_one():
    """Up the valley y = x^2 V_s is negative, since it is narrow; the energy of the narrow direction is zero."""
    f = resolve(BANANA)
    found = allowed_region(f, 0.1, np.array([-2.0, -1.0]), np.array([2.0, 4.0]), 0.03)
    assert found.end and found.level < 1.0


# ------------------------------------------------------------------------------------------------ rates


@pytest.mark.parametrize(
    ("text", "s", "f", "scale"),
    [
        ("x**2*((x-8)**2+0.1)/64", 0.1, far_well, 1.0),
        ("5*((x/10)**2-1)**2+0.3*x/10", 0.1, tilted, 1.0),
        ("5*(((x-10)/10)**2-1)**2+0.3*(x-10)/10", 0.1, tilted, 1.0),
        ("5*(((x+10)/10)**2-1)**2+0.3*(x+10)/10", 0.1, tilted, 1.0),
        ("(x/3)**2*((x/3-4)**2+0.1)/16", 0.02, lambda x: x**2 * ((x - 4) ** 2 + 0.1) / 16, 3.0),
        ("x**2/2-2*exp(-((x-1.23456)/0.0002)**2)", 0.2, narrow, 1.0),
    ],
)
def test_wells_are_seen_wherever_they_are(text, s, f, scale):
    fine = tuple(1.23456 + 0.0002 * np.linspace(-6, 6, 49)) if f is narrow else ()
    (record,) = witten.gap(text, s).records
    within(record, rates_1d(f, s, 1, points=fine)[0] / scale**2)


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e4])
def test_plateaus_know_no_unit_of_length(unit):
    """The modes live on the wide floor beside a narrow well, as high as it is deep."""
    x = f"(x/{unit!r})"
    (record,) = witten.gap(f"3*(1-exp(-2*{x}^2))+0.02*{x}^4-0.05", 0.05).records
    (still,) = rates_1d(lambda x: 3 * (1 - np.exp(-2 * x**2)) + 0.02 * x**4, 0.05, 1, interval=(-3.5, 3.5))
    within(record, still / unit**2)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_a_wide_bowl_is_seen_that_is_slower_than_a_barrier(unit):
    """Outside of two wells f is a parabola with absorbing ends, of rate f'' (1 + O(size of the wells over its own))."""
    x, wide = f"(x/{unit!r})", 1e3
    (record,) = witten.gap(f"({x}/{wide!r})^2/2 - 1.5*exp(-({x}-1.2)^2) - 1.45*exp(-({x}+1.2)^2)", 0.12).records
    assert record.resolved and np.exp(record.log_rate) * (wide * unit) ** 2 == pytest.approx(1.01, abs=5e-3)


def holes(wide):
    """Two wells in a bowl of the rate 1/wide^2."""
    return f"0.5*(x/{wide!r})^2 - 1.5*exp(-(x-1.2)^2) - 1.45*exp(-(x+1.2)^2)"


def test_a_bowl_beyond_any_grid_that_is_slower_than_a_barrier_is_refused():
    """The barrier's 3.6e-14 is not the gap; that of a bowl a hundred times narrower is."""
    (record,) = witten.gap(holes(1e6), 0.05).records
    assert record.rate == pytest.approx(3.5553016e-14, rel=1e-6)
    with pytest.raises(GridError, match="too small for a grid"):
        witten.gap(holes(1e8), 0.05)


def test_a_wide_bowl_is_followed():
    def f(x):
        return (x / 5e2) ** 2 / 2 - 1.5 * np.exp(-((x - 1.2) ** 2)) - 1.45 * np.exp(-((x + 1.2) ** 2))

    (record,) = witten.gap(holes(5e2), 0.07).records
    within(record, rates_1d(f, 0.07, 1, interval=(-40, 40))[0])


@pytest.mark.parametrize("method", ["finite-differences", pytest.param("finite-elements", marks=pytest.mark.fem)])
def test_both_discretisations_see_the_second_well(method):
    if method == "finite-elements":
        pytest.importorskip("dolfinx_solver")
    (record,) = witten.gap("x**2*((x-8)**2+0.1)/64", 0.1, method=method).records
    assert abs(record.log_rate - np.log(2.03813459e-35)) <= record.log_error + 1e-8


def test_a_callable_says_how_far_it_was_examined():
    f = Objective.from_callable(lambda x: far_well(x[0]), 1, name="far well")
    (record,) = witten.gap(f, 0.1).records
    assert abs(record.log_rate - np.log(2.03813459e-35)) <= record.log_error + 1e-8
    assert "sampled at distances" in record.examined


WELLS = "((U)**2-1)**2/4+0.1*(U)"


@lru_cache
def of_wells_as_they_are():
    (record,) = witten.gap(WELLS.replace("U", "x"), 0.1).records
    return record


@given(st.integers(-(10**6), 10**6), st.integers(-6, 6))
@examples(12)
def test_a_shift_and_a_dilation_of_a_line_change_nothing_but_the_unit(shift, power):
    length = 10.0**power
    text = WELLS.replace("U", f"x/{length!r}-({shift})" if power >= 0 else f"x*{10.0**-power!r}-({shift})")
    plain, moved = of_wells_as_they_are(), witten.gap(text, 0.1).records[0]
    off = abs(moved.log_rate + 2 * np.log(length) - plain.log_rate)
    assert off <= moved.log_error + plain.log_error


@pytest.mark.parametrize(("cosine", "sine"), [(0.6, 0.8), (0.28, -0.96), (-0.8, 0.6)])
@pytest.mark.parametrize("shift", [0, 3000])
def test_nor_does_a_turn_of_the_plane(cosine, sine, shift):
    u, v = f"({cosine}*(x-{shift})+{sine}*y)", f"({cosine}*y-{sine}*(x-{shift}))"
    (record,) = witten.gap(f"({u}**2-1)**2/4+0.1*{u}+{v}**2", 0.1).records
    within(record, rates_1d(lambda x: (x**2 - 1) ** 2 / 4 + 0.1 * x, 0.1, 1)[0])


@pytest.mark.parametrize(("text", "s", "exact"), [("log(cosh(x))", 0.5, 0.75), ("2*log(cosh(x))", 1.0, 1.5)])
@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_what_a_cut_changes_is_in_the_bar(text, s, exact, rtol):
    (record,) = witten.gap(text, s, rtol=rtol).records
    within(record, exact)


@pytest.mark.fem
def test_a_curved_valley_by_differences_and_by_elements():
    pytest.importorskip("dolfinx_solver")
    differences, *elements = (
        witten.gap(BANANA, 0.1, **how).records[0]
        for how in ({}, {"method": "finite-elements"}, {"method": "finite-elements", "degree": 2})
    )
    for record in elements:
        assert abs(record.log_rate - differences.log_rate) <= record.log_error + differences.log_error


def test_rounding_far_from_the_origin_is_in_the_bar():
    """x is known to eps |x|, f to |f'| eps |x|, and weights e^{-2f/s} to twice that over s."""
    (record,) = witten.gap("((x-1000000)**2-1)**2/4", 0.1, rtol=1e-9).records
    assert record.log_error > 2 * 0.1 * 1e6 * 2.0**-53 / 0.1
    within(record, 2.7761406366e-3)


# ------------------------------------------------------------------------------------------------ a center of one's own


def dimple(p):
    return 5e-5 * p[0] ** 2 - 3 * np.exp(-(((p[0] - 300.3) / 1e-3) ** 2))


def test_a_well_that_no_lattice_meets_is_found_from_a_center():
    hidden = Objective.from_callable(dimple, 1)
    assert abs(reach(hidden).points - 300.3).min() > 1
    given = Objective.from_callable(dimple, 1, center=300.3004, scale=1e-3)
    for found in (hidden.searched_from([300.3004], 1e-3), given):
        assert abs(reach(found).points - 300.3).min() < 1e-6
        assert "around" in reach(found).examined


WIDTH, PLACE = 1e-3, 10000.3


def cup(p):
    """Two wells at PLACE -+ 0.83 WIDTH; beyond 27 WIDTH, that is in all that a lattice around the origin sees, f
    overflows."""
    u = (p[0] - PLACE) / WIDTH
    with np.errstate(over="ignore"):
        return np.exp(u**2) - 2 * u**2


def cup_gradient(p):
    u = (p - PLACE) / WIDTH
    with np.errstate(all="ignore"):
        return (2 * u * np.exp(u**2) - 4 * u) / WIDTH


def test_wells_far_off_have_the_rate_of_the_formula_if_a_center_is_given():
    hidden = Objective.from_callable(cup, 1)
    assert reach(hidden).values == [np.inf]
    with pytest.raises(RequestError, match="overflows"):
        witten.gap(hidden, 0.1)
    found = Objective.from_callable(cup, 1, center=PLACE + 3 * WIDTH, scale=WIDTH)
    # The origin, at which f overflows, is no low where there are others.
    np.testing.assert_allclose(np.sort(reach(found).points[0] - PLACE), [-0.83255e-3, 0.83255e-3], rtol=1e-4)
    (record,) = witten.gap(found, 0.1).records
    assert "3.7e-12 to 1.8e+10 around the given center (10000.303)" in record.examined
    (formula,) = witten.gap("exp(((x-10000.3)/0.001)^2)-2*((x-10000.3)/0.001)^2", 0.1).records
    assert abs(record.log_rate - formula.log_rate) <= record.log_error + formula.log_error < 1e-4
    (unit,) = witten.gap("exp(x^2)-2*x^2", 0.1).records
    assert record.log_rate == pytest.approx(unit.log_rate - 2 * np.log(WIDTH), abs=1e-6)


def test_given_derivatives_are_checked_around_the_center():
    around = {"center": [PLACE], "scale": WIDTH}
    right = Objective.from_callable(cup, 1, cup_gradient, **around)
    assert right.gradient([PLACE + WIDTH])[0] == pytest.approx((2 * np.e - 4) / WIDTH)
    with pytest.raises(RequestError, match="gradient does not belong"):
        Objective.from_callable(cup, 1, lambda p: 2 * cup_gradient(p), **around)
    unseen = Objective.from_callable(cup, 1, lambda p: 2 * cup_gradient(p))  # infinite wherever it is compared
    with pytest.raises(RequestError, match="gradient does not belong"):
        unseen.searched_from([PLACE], WIDTH)


def test_a_function_need_only_work_around_its_center():
    def loud(p):
        if np.any(abs(p - 50) > 40):
            raise ValueError("out of bounds")
        return np.sum((p - 50) ** 2, axis=0)

    with pytest.raises(RequestError, match="out of bounds"):
        Objective.from_callable(loud, 1)
    assert Objective.from_callable(loud, 1, center=50.0)([51.0]) == 1


def test_a_scale_is_the_step_of_derivatives():
    narrow = Objective.from_callable(dimple, 1).searched_from([300.3], 1e-3)
    formula = Objective.from_formula("5e-5*x^2-3*exp(-((x-300.3)/1e-3)^2)")
    x = 300.3 + 1e-3 * np.array([[-1.0, -0.3, 0.2, 0.9]])
    np.testing.assert_allclose(narrow.gradient(x), formula.gradient(x), rtol=1e-6)
    np.testing.assert_allclose(narrow.hessian(x), formula.hessian(x), rtol=1e-3)


@pytest.mark.parametrize(
    ("center", "scale", "why"),
    [
        ([1.0, 2.0], 1.0, "1 finite"),
        ([np.nan], 1.0, "1 finite"),
        ("here", 1.0, "1 finite"),
        ([[0.0]], 1.0, "1 finite"),
        ([0.0], 0.0, "scale"),
        ([0.0], -1.0, "scale"),
        ([0.0], np.inf, "scale"),
        ([0.0], "wide", "scale"),
    ],
)
def test_what_is_no_center_is_refused(center, scale, why):
    with pytest.raises(RequestError, match=why):
        Objective.from_callable(dimple, 1).searched_from(center, scale)
    with pytest.raises(RequestError, match=why):
        Objective.from_callable(dimple, 1, center=center, scale=scale)


def test_a_scale_alone_and_a_center_where_nothing_is_are_refused():
    with pytest.raises(RequestError, match="give the center, too"):
        Objective.from_callable(dimple, 1, scale=0.1)
    with pytest.raises(RequestError, match=r"not finite at the center of the search, \(3\)"):
        Objective.from_callable(cup, 1, center=3.0)


def test_a_formula_needs_no_center():
    with pytest.raises(RequestError, match="all of space"):
        Objective.from_formula("x^2").searched_from([0.0])


def test_another_center_is_another_request():
    f = Objective.from_callable(dimple, 1)
    assert fingerprint(f) != fingerprint(f.searched_from([300.3])) != fingerprint(f.searched_from([300.3], 1e-3))
    assert fingerprint(f) == fingerprint(Objective.from_callable(dimple, 1))


@pytest.mark.parametrize(("center", "same"), [(None, True), ([PLACE], False)])
def test_around_a_center_it_is_seen_that_f_has_changed(center, same):
    """Elsewhere f overflows, be it this or that."""

    def well(depth):
        f = Objective.from_callable(lambda p: depth * cup(p), 1)
        return f if center is None else f.searched_from(center, WIDTH)

    assert (fingerprint(well(1.0)) == fingerprint(well(2.0))) == same


def test_where_f_overflows_there_is_no_critical_point():
    found = reach(resolve("exp(-2.16*5*x)-1.02*exp(-1.08*5*x)+(5*x)^2/17.8"))
    assert found.complete and np.isfinite(found.values).all() and abs(found.points).max() < 1


def test_domains_of_a_rate_are_compared_on_equal_cells():
    """A ramp that ends slowly: a wider domain was measured on longer cells, and what these change hid the cut."""
    found = witten.spectrum("exp(1.17*(x/210)) - 0.919*(x/210) + (x/210)^2/50", 0.712, 2)
    assert abs(found.rates[1] - 1.63686780e-05) < found.errors[1] < 1e-4 * found.rates[1]


def morse(x):
    return np.exp(-1.74 * (x + 2.32)) - 2.58 * np.exp(-0.87 * (x + 2.32)) + (x + 2.32) ** 2 / 28


def test_a_mode_on_a_slope_is_seen_where_both_terms_of_f_overflow_far_out():
    """Where |f'| is smallest, 39 s above the well; to the left inf - inf is enclosed by nothing."""
    (record,) = witten.gap("exp(-1.74*(x+2.32))-2.58*exp(-0.87*(x+2.32))+(x+2.32)^2/28", 0.0505).records
    within(record, rates_1d(morse, 0.0505, 1, interval=(-4.5, 9.0))[0])


def test_a_mode_on_a_slope_too_far_from_the_well_for_a_grid_is_no_reason_for_the_rate_of_the_well():
    """f' = -3 but for 2.95 at 0, where a mode lives that is left at the rate .083; the well relaxes at 2.9."""
    with pytest.raises(GridError, match="too small for a grid"):
        witten.gap("3*sqrt(1+(x-100000)^2)+11.8*tanh(x/4)", 0.1)


def test_a_slow_place_far_from_the_well_is_seen_in_a_turned_plane():
    f = resolve("3*sqrt(1+((3*x+4*y)/5-100000)^2)+11.8*tanh((3*x+4*y)/20)+(4*x-3*y)^2/5")
    well = np.array([60000.0, 80000.0])
    found = allowed_region(f, 0.1, well - 3, well + 3, 3.5)
    assert found.end and found.level == pytest.approx(3e5, rel=1e-4)


def test_a_slow_place_at_the_other_end_of_a_valley_of_a_hundred_thousand_widths_is_seen():
    """A valley whose width changes is no sum. The mode of the place is left at the rate .0830, the well at 2.93."""
    f = resolve(
        "3*sqrt(1+((4*x+3*y)/5-1e5)^2)+11.8*tanh((4*x+3*y)/20)+2*((4*y-3*x)/5)^2*(1+0.5/(1+((4*x+3*y)/5)^2))"
    )
    well = np.array([80000.0, 60000.0])
    found = allowed_region(f, 0.1, well - 3, well + 3, 3.5)
    assert found.enclosed and found.level == pytest.approx(3e5, rel=1e-4)


def test_what_is_not_proved_to_have_no_slow_places_says_where_they_were_sought():
    (record,) = witten.gap("min((x+1)^2+y^2,(x-1)^2+2*y^2+0.2)", 1.0, rtol=1e-2).records
    assert "places other than wells" in record.notes[0]
    assert not witten.gap("(x^2-1)^2/4+y^2/2", 0.5, rtol=1e-2).records[0].notes
