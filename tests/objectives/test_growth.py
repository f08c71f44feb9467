"""f far out: growth along valleys, the bottom of the continuous spectrum, barriers without bound, overflow."""

import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import witten
from witten.errors import RequestError
from witten.objectives import resolve
from witten.objectives.growth.bloch_bands import lowest_of_band
from witten.objectives.growth.conditions import conditions, essential_spectrum
from witten.objectives.symbolic.rewriting.stable_forms import stable


def gap(text, s, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return witten.gap(text, [s], **options).records[0]


def rotated(a, b):
    return f"({a})".replace("u", "(0.6*x-0.8*y)") + f"+({b})".replace("v", "(0.8*x+0.6*y)")


# ------------------------------------------------------------------------------------------------ no gap


@pytest.mark.parametrize(
    ("text", "s"),
    [
        ("log(1+(x-2*y)**2)+(2*x+y)**2", 0.1),
        ("(y-x**2)**2+0.1*log(1+x**2)", 0.02),
        (rotated("log(1+u**2)", "(v**2-1)**2"), 0.05),
        (rotated("sqrt(sqrt(1+u**2))", "v**2+cos(v)"), 0.1),
    ],
)
def test_a_valley_on_which_f_rises_too_slowly_leaves_no_gap(text, s):
    with pytest.raises(RequestError, match="no spectral gap at any learning rate: .*falls to zero"):
        essential_spectrum(resolve(text), s)


@pytest.mark.parametrize("text", ["x**2*sin(2*x)**2+x**2/2", rotated("u**2*sin(u)**2+u**2/9", "v**2")])
def test_barriers_without_bound_leave_no_gap(text):
    f = resolve(text)
    with pytest.raises(RequestError, match="barriers grow without bound, so that H_f is infinite"):
        essential_spectrum(f, 0.1, centre=np.zeros(f.dimension), scale=1.0)
    found = conditions(f, convex=False, centre=np.zeros(f.dimension), scale=1.0)
    assert found.endless_barrier == np.inf and found.confining and not found.villani and found.notes


def test_a_channel_that_narrows_exponentially_confines():
    """Across it the measure is e^{-x^2/2} wide, whatever s: what is left of f = y^2 e^{x^2} + y^2 is (s/4) x^2."""
    f = resolve("y^2*(exp(x^2)+1)")
    assert essential_spectrum(f, 0.1, centre=np.zeros(2), scale=1.0).rate == np.inf


# ------------------------------------------------------------------------------------------------ bottoms


def hill(slope, curvature, period, s):
    """The lowest E/2 with a periodic solution of -s psi'' + (f'^2/s - f'') psi = E psi: trace of the monodromy 2."""

    def trace(rate):
        def right(x, y):
            v = (slope(x) ** 2 / s - curvature(x) - 2 * rate) / s
            return [y[1], v * y[0], y[3], v * y[2]]

        end = solve_ivp(right, (0, period), [1, 0, 0, 1], rtol=1e-11, atol=1e-13, method="DOP853").y[:, -1]
        return end[0] + end[3] - 2

    first = next(rate for rate in np.linspace(0, 0.5 / s, 60)[1:] if trace(rate) < 0)
    return brentq(trace, first - 0.5 / s / 59, first, xtol=1e-13)


@pytest.mark.parametrize(("s", "quoted"), [(0.1, 1.494839584), (0.2, 0.866078865), (0.5, 0.483309866)])
def test_the_bottom_of_a_band(s, quoted):
    truth = hill(lambda x: 1 + np.cos(x) / 2, lambda x: -np.sin(x) / 2, 2 * np.pi, s)
    assert truth == pytest.approx(quoted, rel=2e-9)
    rate, error = lowest_of_band(lambda t: t + np.sin(t) / 2, 2 * np.pi, s)
    assert abs(rate - truth) <= error + 1e-9 * truth


def test_the_bottom_of_a_band_far_below_rounding():
    """Hopping back over H = .34242668 alone: k e^{-2H/s} as s -> 0, k = sqrt(|f'' f''|)/(2 pi) = 4 sqrt(3)/(2 pi)."""
    s = 0.005
    rate, error = lowest_of_band(lambda t: t + np.cos(4 * t) / 2, np.pi / 2, s)
    h = np.sqrt(3) / 2 - np.pi / 6
    assert np.log(rate) == pytest.approx(np.log(4 * np.sqrt(3) / (2 * np.pi)) - 2 * h / s, abs=0.01)
    assert error < 1e-6 * rate


@pytest.mark.parametrize(
    ("text", "s", "bottom"),
    [
        ("abs(x)", 0.1, 5.0),
        ("abs(x-3)/2+abs(x+3)/2", 0.1, 5.0),
        (rotated("sqrt(1+u**2)", "(v**2-1)**2/4"), 0.2, 2.5),
        ("max(abs(x),abs(y))", 0.1, 2.5),
        ("rosenbrock", 0.1, 5e-4),
        ("log(cosh(x))", 0.9, 1 / 1.8),
    ],
)
def test_the_slowest_way_out_sets_the_bottom(text, s, bottom):
    found = essential_spectrum(resolve(text), s)
    assert abs(found.rate - bottom) <= found.error <= 0.01 * bottom


@pytest.mark.parametrize(("text", "s", "truth"), [("abs(x)", 0.1, 5.0), ("abs(x)+sin(x)/2", 0.2, 0.866078865)])
def test_the_gap_may_be_the_bottom_of_the_continuous_spectrum(text, s, truth, tmp_path):
    found = gap(text, s, output=tmp_path / "a.nc")
    assert found.continuous and found.resolved
    assert abs(found.rate - truth) <= found.rate_error <= 2e-4 * truth
    assert witten.RateCurve.load(tmp_path / "a.nc").records[0].continuous


def test_wells_without_end_and_a_gap_all_the_same():
    found = gap("sqrt(1+x**2)+0.5*cos(4*x)", 0.1)
    assert abs(found.rate - 7.00697e-7) <= found.rate_error + 1e-12 and not found.continuous


# ------------------------------------------------------------------------------------------------ overflow


@pytest.mark.parametrize(("text", "s", "truth"), [("log(cosh(x))", 0.9, 0.55), ("2*log(cosh(x))", 1.0, 1.5)])
def test_poeschl_and_teller(text, s, truth):
    """f = a log cosh x: a - s/2, while that is below a^2/(2s)."""
    found = gap(text, s)
    assert abs(found.rate - truth) <= found.rate_error and not found.continuous


@pytest.mark.parametrize(
    ("text", "far"),
    [
        ("log(cosh(x))", lambda x: abs(x) - np.log(2)),
        ("log(1+exp(3*x))", lambda x: max(3 * x, 0)),
        ("log(exp(x)+exp(-2*x)+5)", lambda x: max(x, -2 * x)),
        ("x*exp(2*x)/(1+exp(2*x))", lambda x: max(x, 0)),
        ("x*sinh(x)/cosh(x)+1/cosh(x)", abs),
        ("log(cosh(x-1)*cosh(x+1))", lambda x: 2 * abs(x) - 2 * np.log(2)),
    ],
)
def test_exponentials_do_not_overflow(text, far):
    f = resolve(text)
    assert stable(f.formula) != f.formula
    for x in (-1e5, -2000.0, 2000.0, 1e5):
        at = np.array([x])
        out = np.empty(1)
        f.kernels().gradient(at, out)
        slope = (far(x + 1) - far(x - 1)) / 2
        assert f(at) == pytest.approx(far(x), abs=1e-9) == f.kernels().value(at) == float(f.mpmath([x]))
        assert f.gradient(at)[0] == pytest.approx(slope, abs=1e-9) == out[0]
        assert abs(f.laplacian(at)) < 1e-9


@pytest.mark.parametrize("text", ["log(cosh(x))", "log(exp(x)+exp(-2*x)+5)", "x*exp(2*x)/(1+exp(2*x))"])
def test_the_stable_form_is_the_same_function(text):
    f = resolve(text)
    x = np.linspace(-3, 3, 41)
    plain = np.array([float(f.formula.doit().subs(f.symbols[0], float(a))) for a in x])
    np.testing.assert_allclose(f(x[None]), plain, rtol=1e-13, atol=1e-15)


# ------------------------------------------------------------------------------------------------ endless lists


def test_a_law_of_endlessly_many_wells_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        landscape = witten.describe_landscape("(sin(x)*x)**2/4+x**2/100")
    assert landscape.barrier is None and any("H_f is infinite" in note for note in landscape.notes)
    law = witten.eyring_kramers(landscape, [0.1])
    assert not law.resolved.any() and law.records[0].log_rates == ()


# ------------------------------------------------------------------------------------------------ constants


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("x^4/4 - x^2/sqrt(8)", "x^4/4 - 0.35355339059327376*x^2"),
        ("x^4*max(sqrt(2), 1) - x^2*exp(-1)", "1.4142135623730951*x^4 - 0.36787944117144233*x^2"),
        ("(x*tanh(1))^2 + (x + y)^2*log(3)", "(0.7615941559557649*x)^2 + 1.0986122886681098*(x + y)^2"),
    ],
)
def test_constants_are_numbers_on_every_route(text, plain):
    found, expected = witten.gap(text, 0.1).records[0], witten.gap(plain, 0.1).records[0]
    assert found.log_rate == pytest.approx(expected.log_rate, abs=1e-9) and found.resolved
    ours, theirs = witten.describe_landscape(text), witten.describe_landscape(plain)
    assert ours.search.complete and len(ours.minima) == len(theirs.minima)
    assert [m.curvatures for m in ours.minima] == [pytest.approx(m.curvatures, rel=1e-9) for m in theirs.minima]
    laws = [witten.eyring_kramers(each, [0.01]).records[0].log_rates for each in (ours, theirs)]
    assert laws[0] == pytest.approx(laws[1], abs=1e-9)
