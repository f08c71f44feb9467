"""The law on a line to any order: coefficients in closed form, sums against integrals and computed rates."""

from math import factorial, prod

import mpmath
import numpy as np
import pytest

import witten
from witten.errors import RequestError
from witten.landscape.critical.critical_point import CriticalPoint
from witten.landscape.laws.first_order import PointExpansion
from witten.landscape.laws.laplace_series import LaplaceSeries, series_law
from witten.landscape.laws.reduced_generator import law_log_rates
from witten.objectives import Objective, resolve

TILTED = "double-well:tilt=0.1"
SHALLOW = "0.3*x^2 + cos(3*x+0.4)"  # six minima, the outer ones with hardly a barrier
KINK = "(x^2-1)^2/4 + max(0, x-1.2)^3"


def series_at(text, x):
    f = resolve(text)
    point = CriticalPoint(np.array([x]), f(np.array([x])), f.hessian(np.array([x]))[0])
    return LaplaceSeries(PointExpansion(f, point, 1.0), (None, None))


def odd(n):
    """(n - 1)!! for an even n: the mean of y^n."""
    return prod(range(1, n, 2))


@pytest.mark.parametrize(("text", "x", "term"), [
    ("(x-3)^2 + 2*(x-3)^3", 3.0, lambda k: 4**k / 8**k * odd(6 * k) / factorial(2 * k)),
    ("-x^2/2 + 0.3*x^4", 0.0, lambda k: 0.3**k * odd(4 * k) / factorial(k)),
    ("2*x^2 + x^6", 0.0, lambda k: 0 if k % 2 else (-1) ** (k // 2) * 8.0**-k * odd(3 * k) / factorial(k // 2)),
])  # fmt: skip
def test_coefficients_in_closed_form(text, x, term):
    """Moments of one power: f = f(x*) + h u^2/2 + g u^n, u = y/sqrt h."""
    with mpmath.workdps(40):
        a = [mpmath.mpf(term(k)) for k in range(13)]
        d = [mpmath.mpf(0)] * 13
        for k in range(1, 13):
            d[k] = a[k] - sum(j * d[j] * a[k - j] for j in range(1, k)) / k
        assert series_at(text, x).coefficients[:12] == pytest.approx([float(c) for c in d[1:]], rel=1e-12, abs=1e-12)


def test_derivatives_of_any_order():
    f, x, v = resolve("exp(x)*log(2+x) + sqrt(3+x)*sin(x) + tanh(x)/(1+x^2) + log(cosh(x)) + (2+x)^(1/3)"), 0.25, 0.5
    found = f.along([x], [v], 30)
    with mpmath.workdps(60):
        exact = [float(c) for c in mpmath.taylor(lambda t: f.mpmath([x + v * t]), 0, 30)]
    assert found == pytest.approx(exact, rel=1e-12)
    assert resolve("3").along([x], [v], 4).tolist() == [3, 0, 0, 0, 0]


@pytest.mark.parametrize("text", [TILTED, "exp(x^2)/9 - x^2 + x/20", SHALLOW])
def test_what_an_order_leaves_is_of_the_next(text):
    """(computed/law - 1)/s^{n+1} tends to a constant."""
    landscape = witten.describe_landscape(text)
    s = 2 * landscape.barrier / np.array([40.0, 60.0])
    computed = witten.gap(text, s, rtol=2e-11)
    for order in range(2, 6):
        law = witten.eyring_kramers(landscape, s, order=order)
        first, second = np.expm1(computed.log_rates - law.log_rates) / s ** (order + 1)
        assert 1 <= first / second < 1.12


@pytest.mark.parametrize("text", [TILTED, "double-well", "x^8/8 - x^2/2", KINK, "1e6*((1e3*x-5)^2-1)^2"])
def test_bars_hold_and_more_terms_never_widen_them(text):
    """From barriers of 2 T to 40 T, by the computed rate."""
    landscape = witten.describe_landscape(text)
    s = 2 * landscape.barrier / np.array([2.0, 4.0, 8.0, 16.0, 40.0])
    computed = witten.gap(text, s, rtol=1e-10)
    before = np.full(s.size, np.inf)
    for order in (2, 3, 5, 8, 12, 40):
        law = witten.eyring_kramers(landscape, s, order=order)
        bars = np.array([record.log_error for record in law.records])
        off = abs(law.log_rates - computed.log_rates)
        assert (off <= bars + [record.log_error for record in computed.records]).all()
        assert (bars <= before * (1 + 1e-12) + 1e-13).all()
        before = bars
    assert before[2] < 5e-3 and before[3] < 3e-5
    assert before[4] < 1e-11 or "max" in text  # a kink is in no series, at any order


def test_the_integrals_leave_a_rate_times_the_time_of_a_passage():
    landscape = witten.describe_landscape("double-well")
    law = series_law(landscape)
    for t, least in ((0.0625, 0.8), (0.025, 0.9)):
        logs = [p.log_integral(t)[0] for p in (*law.minima, *law.saddles)]
        chain = law_log_rates(landscape, 2 * t)[0] - logs[0] - logs[2]
        off = witten.gap("double-well", 2 * t, rtol=1e-9).log_rates[0] - chain
        assert least < off / (np.exp(chain) * law.passage_times(t)[0]) < 1


def test_twelve_digits_of_a_reference():
    """8.616200742e-23 by quadrature, at s = .01."""
    (record,) = witten.eyring_kramers("double-well", 0.01, order=40).records
    assert record.rate == pytest.approx(8.6162007418561e-23, rel=1e-12) and record.log_error < 1e-12
    assert record.coefficients[0] == pytest.approx(-0.75, rel=1e-8)


def test_a_box_ends_at_its_user():
    """Outside f falls for ever."""
    text, box = "10*x^2*(x-1)^2 - x^6/50 + x/10", [(-1.2, 2.0)]
    (law,) = witten.eyring_kramers(text, 0.1, box=box, order=5).records
    (computed,) = witten.gap(text, 0.1, box=box).records
    assert abs(law.log_rate - computed.log_rate) < law.log_error < 1e-3


@pytest.mark.parametrize(("f", "order", "why"), [
    ("double-well", 41, "0 to 40"), ("double-well", -1, "0 to 40"), ("double-well", 1.5, "0 to 40"),
    ("(x^2-1)^2+y^2", 2, "2 dimensions"),
    (Objective.from_callable(lambda x: ((x**2 - 1) ** 2).sum(axis=0), 1), 2, "only formulas have"),
])  # fmt: skip
def test_orders_that_are_not_there_are_refused(f, order, why):
    with pytest.raises(RequestError, match=why):
        witten.eyring_kramers(f, 0.1, order=order)
