"""The references against printed values, exact identities, themselves with other settings, and a second method."""

from math import cos, exp, pi, sin, sqrt

import numpy as np
import pytest
from references import (
    CASES,
    convex_quartic,
    double_well,
    factor_rates,
    gap_1d,
    rastrigin,
    rates_1d,
    reference_rates,
    rugged,
    separable_rates,
    shi_su_jordan,
    shi_su_jordan_second,
    shooting_rate,
    styblinski_tang,
)

# ten digits, each
PRINTED = [
    (double_well(), 0.4, 1.3477798375e-1),
    (double_well(), 0.2, 3.3545287308e-2),
    (double_well(), 0.1, 2.7761406366e-3),
    (double_well(), 0.05, 1.9589273000e-5),
    (double_well(), 0.01, 8.616200742e-23),
    (shi_su_jordan, 0.1, 3.6128558845e-2),
    (shi_su_jordan, 0.05, 4.0316284531e-3),
    (shi_su_jordan, 0.01, 1.0956734777e-10),
]


@pytest.mark.parametrize(("f", "s", "rate"), PRINTED)
def test_printed_values(f, s, rate):
    assert rates_1d(f, s, 1)[0] == pytest.approx(rate, rel=1e-10)


@pytest.mark.parametrize("theta", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("s", [0.02, 1.0])
def test_a_quadratic_has_the_spectrum_of_the_oscillator(theta, s):
    rates = rates_1d(lambda x: theta * x**2 / 2, s, 8, interval=(-9 * sqrt(s / theta), 9 * sqrt(s / theta)))
    np.testing.assert_allclose(rates, theta * np.arange(1, 9), rtol=1e-12)


def test_automatic_interval_costs_nothing():
    np.testing.assert_allclose(rates_1d(lambda x: x**2 / 2, 0.1, 4), [1, 2, 3, 4], rtol=1e-13)
    np.testing.assert_allclose(rates_1d(lambda x: x**2 / 2, 0.1, 8), np.arange(1, 9), rtol=1e-11)


SAMPLES = [
    (double_well(), 0.02),
    (double_well(0.25, 0.2), 0.05),
    (double_well(0.5, -0.3), 0.5),
    (shi_su_jordan, 0.02),
    (convex_quartic, 0.2),
    (rugged(0.02), 0.3),
    (styblinski_tang(), 0.5),
]


@pytest.mark.parametrize(("f", "s"), SAMPLES)
@pytest.mark.parametrize("settings", [{"order": 20}, {"order": 30}, {"margin": 30.0}])
def test_settings_do_not_matter(f, s, settings):
    np.testing.assert_allclose(rates_1d(f, s, 4, **settings), rates_1d(f, s, 4), rtol=3e-12)


@pytest.mark.parametrize(("f", "s"), SAMPLES)
def test_shift_reflection_and_scale(f, s):
    """f + c and f(-x) have the spectrum of f; a f at a s has a times it."""
    rates = rates_1d(f, s, 3)
    np.testing.assert_allclose(rates_1d(lambda x: f(-x) + 3.0, s, 3), rates, rtol=3e-12)
    np.testing.assert_allclose(rates_1d(lambda x: 7 * f(x), 7 * s, 3), 7 * rates, rtol=3e-12)


def test_higher_modes_beside_a_tiny_rate_keep_their_digits():
    first, second = rates_1d(double_well(), 0.015, 2)
    assert first < 1e-14
    shot = shooting_rate(lambda x: x**3 - x, 0.015, (-1.65, 1.65), 0.0, (0.9, 1.1), index=2)
    assert shot == pytest.approx(second, rel=1e-11)


@pytest.mark.parametrize("s", [0.002, 0.00073])
def test_tiny_rates_approach_the_second_order_law(s):
    """2 k (1 - 3s/4 + O(s^2)), k = sqrt(2)/(2 pi) exp(-1/(2s)); the smaller s gives 1e-298."""
    law = sqrt(2) / pi * exp(-1 / (2 * s)) * (1 - 0.75 * s)
    assert rates_1d(double_well(), s, 1)[0] == pytest.approx(law, rel=5 * s**2)


def test_a_mode_on_a_slope_six_hundred_s_above_the_well_is_seen():
    """It lives where f' and f'' are small, near 0; the well at 6.3 relaxes a thousand times as fast."""

    def f(u):
        return 250 * u * (-0.543 + u * (0.144 + u * (0.341 + u * (-0.456 + u * (-0.924 + 0.13 * u)))))

    s = 700.0
    assert gap_1d(f, s)[0] == pytest.approx(rates_1d(f, s, 1, interval=(-5.0, 5.0))[0], rel=1e-10)


def shi_su_jordan_gradient(x):
    return 2 * (x + 0.7) * (x - 0.7) ** 2 + 2 * ((x + 0.7) ** 2 + 0.1) * (x - 0.7)


SHOTS = [
    # f, f', s, interval, match, index
    (double_well(), lambda x: x**3 - x, 0.4, (-2.8, 2.8), 0.0, 1),
    (double_well(), lambda x: x**3 - x, 0.05, (-1.85, 1.85), 0.0, 1),
    (double_well(), lambda x: x**3 - x, 0.01, (-1.55, 1.55), 0.0, 1),
    (double_well(0.25, 0.2), lambda x: x**3 - x + 0.2, 0.05, (-1.85, 1.75), 0.2, 1),
    (double_well(0.25, 0.2), lambda x: x**3 - x + 0.2, 0.05, (-1.95, 1.9), 0.2, 3),
    (shi_su_jordan, shi_su_jordan_gradient, 0.1, (-1.4, 1.45), -0.08, 1),
    (shi_su_jordan, shi_su_jordan_gradient, 0.01, (-1.0, 1.1), -0.08, 1),
    (convex_quartic, lambda x: x + x**3, 0.2, (-2.1, 2.1), 0.1, 1),
    (rugged(0.02), lambda x: x**3 - x - 0.1 * pi * sin(10 * pi * x), 0.1, (-2.05, 2.05), 0.0, 1),
    (
        rastrigin(),
        lambda x: 0.05 * (2 * x + 20 * pi * sin(2 * pi * x)),
        0.5,
        (-12.0, 12.0),
        0.5,
        1,
    ),
]


@pytest.mark.parametrize(("f", "gradient", "s", "interval", "match", "index"), SHOTS)
def test_shooting_agrees(f, gradient, s, interval, match, index):
    rate = rates_1d(f, s, index)[-1]
    shot = shooting_rate(gradient, s, interval, match, ((1 - 1e-6) * rate, (1 + 1e-6) * rate), index)
    assert shot == pytest.approx(rate, rel=1e-10)


def test_sums():
    sums = separable_rates([np.array([0.1, 1.0, 2.0]), np.array([0.3, 0.5, 4.0])], 3)
    np.testing.assert_allclose(sums, [0.1, 0.3, 0.4])
    with pytest.raises(ValueError, match="need 4"):
        separable_rates([np.array([1.0, 2.0, 3.0])], 4)
    np.testing.assert_allclose(reference_rates("quadratic:theta=2,dim=3", 0.1, 5), [2, 2, 2, 4, 4])


def test_both_factors_of_the_two_dimensional_example_have_one_spectrum():
    x = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(shi_su_jordan(-x), shi_su_jordan_second(x))
    first, second = factor_rates("shi-su-jordan", 0.1, 3)
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_values_by_hand():
    assert double_well(0.5, 0.1)(2.0) == pytest.approx(0.5 * 9 + 0.2)
    assert rastrigin(0.05)(0.25) == pytest.approx(0.05 * (10 + 0.0625))
    assert styblinski_tang(0.05)(1.0) == pytest.approx(0.05 * (1 - 16 + 5) / 2)
    assert rugged(0.05)(0.1) == pytest.approx((0.01 - 1) ** 2 / 4 + 0.025 * cos(pi))


def test_there_are_enough_cases_in_range():
    assert len(CASES) >= 80
    assert len({str(case) for case in CASES}) == len(CASES)
    assert {case.dimension for case in CASES} == {1, 2, 3}
    outside = [str(case) for case in CASES if not 1e-12 < case.rates()[0] < 10]
    assert outside == []
