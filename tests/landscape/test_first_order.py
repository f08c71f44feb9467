"""The law to first order: coefficients by closed forms and by the Dirichlet principle, remainders of order s^2, bars
that hold the computed rate, in one dimension to a hundred."""

from itertools import product

import numpy as np
import pytest

import witten
from witten.landscape.critical.critical_point import CriticalPoint
from witten.landscape.laws.first_order import PointExpansion, first_order
from witten.landscape.laws.local_expansion import expand
from witten.landscape.laws.relaxation import slowest_relaxation
from witten.objectives import Objective, resolve

COUPLED = "(x^2-1)^2/4 + (y^2-1)^2/4 + 0.75*(x-y)^2"
VALLEY = "(x^2-1)^2/4 + 0.7*(y - 0.8*x^2 + 0.3*x)^2"
TILTED = "triple-well:tilt_x=0.03,tilt_y=0.02"


def expansion(f, x, energy=0.25):
    f, x = resolve(f), np.atleast_1d(np.array(x, dtype=float))
    curvatures = np.linalg.eigvalsh(f.hessian(x))
    return expand(f, CriticalPoint(x, f(x), curvatures), energy)


# ------------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("text", [
    "exp(x)*log(2+y) + sqrt(3+x*y) + sin(x)*cos(y) + tan(x/3)", "sinh(x*y)/cosh(y) + tanh(x+y) + (2+x)^(1/3)",
    "max(x,y)^3 + abs(x-2*y)*y^2 + min(x,2*y)^2 + 1/(1+x^2+y)",
    "log(exp(x)+exp(2*y)) + 1/(1+exp(-x*y)) + log(cosh(x-y))",
    "mueller-brown", "x^5*y^3 - 3*x*y^4 + y",
])  # fmt: skip
def test_taylor_arithmetic_knows_the_derivatives_of_the_hessian(text):
    f, x, v = resolve(text), np.array([0.31, 0.17]), np.array([[0.6, 0.3], [0.5, -1.0]])
    found, h = f.hessian_along(x, v), 0.002
    assert found[0] == pytest.approx(np.repeat(f.hessian(x)[..., None], 2, axis=2), rel=1e-12)
    a, b, c, d, e = (f.hessian(x[:, None] + m * h * v) for m in (-2, -1, 0, 1, 2))
    size = abs(found[2]).max()
    assert found[1] == pytest.approx((a - 8 * b + 8 * d - e) / (12 * h), abs=1e-7 * size)
    assert 2 * found[2] == pytest.approx((-a + 16 * b - 30 * c + 16 * d - e) / (12 * h**2), abs=1e-5 * size)


def test_a_power_of_zero_has_derivatives():
    assert resolve("x^4 + x^3").hessian_along(np.zeros(1), np.ones((1, 1)))[:, 0, 0, 0].tolist() == [0, 6, 12]


# ------------------------------------------------------------------------------------------------ coefficients


@pytest.mark.parametrize(("text", "x", "c"), [
    ("(x^2-1)^2/4", 1.0, 0.75), ("(x^2-1)^2/4", 0.0, -0.75), (VALLEY, [1.0, 0.5], 0.75),
    (VALLEY, [0.0, 0.0], -2.0870418162082744), (COUPLED, [0.0, 0.0], -0.84375), (COUPLED, [1.0, 1.0], 0.645),
])  # fmt: skip
def test_coefficients_that_are_known(text, x, c):
    assert expansion(text, x).coefficient == pytest.approx(c, rel=1e-12)


def test_mueller_brown_has_the_coefficients_of_the_derivation():
    landscape = witten.describe_landscape("mueller-brown")
    found = first_order(landscape)
    m, z = found.minima[1].local.coefficient, found.saddles[1].local.coefficient
    assert (z, m) == (pytest.approx(-1.6524635854, abs=1e-9), pytest.approx(1.8194448480, abs=1e-9))
    assert (z - m) / 2 == pytest.approx(-1.7359542167, abs=1e-9)


@pytest.mark.parametrize("x", [-0.61925824, -0.08074176, 0.7])
def test_one_dimension_is_the_formula(x):
    second, third, fourth = 12 * x**2 - 1.76, 24 * x, 24.0
    cubic, quartic = 5 / 24 * third**2 / abs(second) ** 3, fourth / 8 / second**2
    found = expansion("shi-su-jordan-1d", x)
    assert found.coefficient == pytest.approx(cubic - quartic if second > 0 else -cubic - quartic, rel=1e-9)
    assert float(found.anharmonicity[0, 0]) == pytest.approx(cubic + quartic, rel=1e-9)


def dirichlet(at):
    """The least linear term in T of the Dirichlet form over trial committors Phi((y_0 + (y.Q y/2 + w) sqrt T)/1), by
    quadrature: a quadratic function of (Q, w), so that its values at a few of them are all of it."""
    d = at.curvatures.size
    x, weights = np.polynomial.hermite_e.hermegauss(8)
    y = np.array(list(product(x, repeat=d))).T
    mean = np.array(list(product(weights / weights.sum(), repeat=d))).prod(axis=1)
    a, f3 = abs(at.curvatures), np.einsum("ijk,in,jn,kn->n", at.third, y, y, y) / 6
    pairs = [(i, j) for i in range(d) for j in range(i, d)]

    def form(unknowns):
        q = np.zeros((d, d))
        for (i, j), value in zip(pairs, unknowns, strict=False):
            q[i, j] = q[j, i] = value
        bent, slope = (y * (q @ y)).sum(axis=0) / 2 + unknowns[-1], q @ y
        first = -2 * y[0] * bent - f3  # of the exponent
        factor = 2 * slope[0]  # of |grad w|^2
        return mean @ (first**2 / 2 - bent**2 + factor * first + a @ slope**2 / a[0]) - np.trace(at.fourth) / 8

    n = len(pairs) + 1
    unit, zero = np.eye(n), form(np.zeros(n))
    ahead, behind = (np.array([form(sign * e) for e in unit]) for sign in (1, -1))
    gradient = (ahead - behind) / 2
    second = np.array([[form(e + g) - form(e) - form(g) + zero for g in unit] for e in unit])
    return zero - gradient @ np.linalg.lstsq(second, gradient, rcond=1e-11)[0] / 2


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_saddle_has_the_capacity_of_the_dirichlet_principle(d):
    rng = np.random.default_rng(d)
    names = ["x", "y", "z"][:d]
    squares = ["-0.8*x^2"] + [f"{0.3 + rng.random():.3f}*{v}^2" for v in names[1:]]
    cubes = [f"{rng.normal():.3f}*{a}*{b}*{c}" for a in names for b in names for c in names if a <= b <= c]
    fourth = [f"{rng.normal():.3f}*{a}^2*{b}^2" for a in names for b in names if a <= b]
    at = expansion("+".join([*squares, *cubes, *fourth]).replace("+-", "-"), np.zeros(d))
    assert at.coefficient == pytest.approx(dirichlet(at), rel=1e-8)


def test_origin_axes_and_units_have_no_part():
    a, b, u, v = 0.6, 0.8, "(100*x - 700)", "(100*y + 30)"
    turns = {"x": f"({a}*{u} + {b}*{v})", "y": f"({a}*{v} - {b}*{u})"}
    plain = first_order(witten.describe_landscape(VALLEY))
    moved = "".join(turns.get(letter, letter) for letter in VALLEY)
    turned = first_order(witten.describe_landscape(moved))
    for one, other in zip((*plain.minima, *plain.saddles), (*turned.minima, *turned.saddles), strict=True):
        assert other.local.coefficient == pytest.approx(one.local.coefficient, rel=1e-7)
        assert other.size == pytest.approx(one.size, rel=1e-7)
        assert other.log_error(0.01) == pytest.approx(one.log_error(0.01), rel=1e-4)


@pytest.mark.parametrize(("given", "error"), [(0, 0.02), (1, 1e-7), (2, 1e-7)])
def test_derivatives_of_a_function_are_known_as_well_as_they_say(given, error):
    f = resolve("himmelblau")
    g = Objective.from_callable(f, 2, *(f.gradient, f.hessian)[:given])
    for x in ([3.0, 2.0], [0.0866775, 2.8842547]):
        point = CriticalPoint(np.array(x), f(x), np.linalg.eigvalsh(f.hessian(np.array(x))))
        exact, found = expand(f, point, 0.2), expand(g, point, 0.2)
        assert abs(found.coefficient - exact.coefficient) <= found.error + 1e-13 and found.error < error


def test_noise_in_the_values_is_seen():
    f = resolve("himmelblau")
    g = Objective.from_callable(lambda x: f(x) + 1e-9 * np.sin(1e7 * x.sum(axis=0)), 2)
    point = CriticalPoint(np.array([3.0, 2.0]), 0.0, np.linalg.eigvalsh(f.hessian(np.array([3.0, 2.0]))))
    exact, found = expand(f, point, 0.2), expand(g, point, 0.2)
    assert found.error > 0.01 and abs(found.coefficient - exact.coefficient) <= found.error


# -------------------------------------------------------------------------------------------- against computed rates


@pytest.mark.parametrize("name", ["double-well:tilt=0.1", "shi-su-jordan-1d", "styblinski-tang:dim=1", "x^8/8 - x^2/2"])
def test_what_is_left_is_of_order_s_squared_and_held_by_the_bar(name):
    landscape = witten.describe_landscape(name)
    s = 2 * landscape.barrier / np.array([3.0, 6.0, 30.0, 60.0])
    law, computed = witten.eyring_kramers(landscape, s), witten.gap(name, s, rtol=1e-8)
    off, leading = (computed.log_rates - logs for logs in (law.log_rates, [r.log_leading[0] for r in law.records]))
    bars = np.array([r.log_error for r in law.records]) + [r.log_error for r in computed.records]
    assert (abs(off) <= bars)[law.resolved].all() and law.resolved[1:].all()
    assert 3.7 < off[2] / off[3] < 4.4 and 1.9 < leading[2] / leading[3] < 2.2
    assert abs(off[3]) > bars[3] / 4


@pytest.mark.parametrize("text", [COUPLED, TILTED])
def test_the_bar_holds_the_rate_in_the_plane(text):
    landscape = witten.describe_landscape(text)
    s = landscape.barrier / 6
    (law,), (computed,) = (f(each, s).records for f, each in ((witten.eyring_kramers, landscape), (witten.gap, text)))
    off = computed.log_rate - law.log_rate
    assert abs(off) < law.log_error + computed.log_error < 0.05
    assert abs(computed.log_rate - law.log_leading[0]) > 3 * abs(off)


# At 0 and +-1, minima and a maximum, third and fourth derivatives vanish; two more minima are lower or higher.
FLAT = "5*x^18 + x^16 + 3*x^14 - 2829*x^12/16 + 18403*x^10/40 - 14497*x^8/32 + 1331*x^6/8 - x^2/2"


@pytest.mark.parametrize("text", [FLAT, "x^6/6 - x^2/2"])
def test_the_bar_holds_where_third_and_fourth_derivatives_vanish(text):
    """There c is zero and so are its terms: what the bar is made of are sixth derivatives, seen by integrals, and by
    samples in five dimensions."""
    others = [f"x{i}^2/2 + 2*x{i}^6" for i in range(2, 6)]
    one, five = map(witten.describe_landscape, (text, "+".join([text.replace("x", "x1"), *others])))
    s = 2 * one.barrier / np.array([6.0, 12.0, 40.0])
    computed = witten.gap(text, s, rtol=1e-8)
    for landscape, most in ((one, 0.005), (five, 0.05)):
        law = witten.eyring_kramers(landscape, s)
        bars = np.array([record.log_error for record in law.records])
        assert (abs(law.log_rates - computed.log_rates) < bars).all() and bars[2] < most
    assert min(abs(z.local.coefficient) for z in first_order(one).saddles) < 1e-12


def test_a_kink_in_reach_widens_the_bar_and_one_out_of_reach_does_not():
    smooth, near, far = (f"(x^2-1)^2/4 + x/10 + {term}" for term in ("0*x", "max(0, x-1)^3", "max(0, x-9)^3"))
    found = [witten.eyring_kramers(text, 0.02).records[0].log_error for text in (smooth, near, far)]
    assert found[2] == pytest.approx(found[0], rel=1e-6) and found[1] > 2 * found[0]
    (computed,) = witten.gap(near, 0.02).records
    (law,) = witten.eyring_kramers(near, 0.02).records
    assert abs(computed.log_rate - law.log_rate) <= law.log_error


def chain(d, g):
    """sum (x_i^2 - 1)^2/4 + g sum (x_{i+1} - x_i)^2/2."""
    names = [f"x{i + 1}" for i in range(d)]
    bonds = [f"{g}*({y}-{x})^2/2" for x, y in zip(names[:-1], names[1:], strict=True)]
    return "+".join([f"({x}^2-1)^2/4" for x in names] + bonds)


def test_independent_directions_change_nothing():
    """In five dimensions quadrature has ended; double wells that do not know of each other have one rate."""
    one = witten.eyring_kramers("double-well:tilt=0.1", 0.02).records[0]
    five = witten.eyring_kramers("double-well:tilt=0.1,dim=5", 0.02).records[0]
    assert five.log_rate == pytest.approx(one.log_rate, abs=1e-10)
    assert five.coefficients[0] == pytest.approx(one.coefficients[0], rel=1e-6)
    assert one.log_error / 2 < five.log_error < 10 * one.log_error


def test_a_rotated_sum_in_twelve_dimensions():
    """The rate of a sum is that of its double well; the other eleven terms, not quadratic, change neither c nor bar."""
    one = witten.describe_landscape("double-well:tilt=0.1")
    u = [("(0.6*x{0}+0.8*x{1})", "(0.6*x{1}-0.8*x{0})")[i % 2].format(i - i % 2 + 1, i - i % 2 + 2) for i in range(12)]
    others = [f"{1 + 0.01 * i:.2f}*{y}^2/2 + {y}^4/40" for i, y in enumerate(u) if i]
    f = resolve("+".join([f"({u[0]}^2-1)^2/4 + {u[0]}/10", *others]))
    c = []
    for point in (one.saddles[0], one.minima[1]):
        x = np.concatenate([[0.6, 0.8], np.zeros(10)]) * point.x[0]
        found = PointExpansion(f, CriticalPoint(x, f(x), np.linalg.eigvalsh(f.hessian(x))), one.barrier)
        c.append(found.local.coefficient)
        (alone,) = [p for p in (*first_order(one).saddles, *first_order(one).minima) if p.point.value == point.value]
        assert alone.log_error(0.005) / 3 < found.log_error(0.005) < 3 * alone.log_error(0.005)
    law = witten.eyring_kramers(one, 0.01).records[0]
    assert (c[0] - c[1]) / 2 == pytest.approx(law.coefficients[0], rel=1e-5)


def test_a_chain_of_eight_wells():
    found = witten.eyring_kramers(chain(8, 10), 0.05).records[0]
    assert found.coefficients[0] * 0.05 == pytest.approx(found.log_rate - found.log_leading[0], rel=1e-4)
    assert found.coefficients[0] == pytest.approx(-0.7867400758, rel=1e-6) and found.log_error < 0.01


def test_the_law_is_saved_with_what_it_knows(tmp_path):
    law = witten.eyring_kramers("shi-su-jordan", [0.05, 0.0001, 3.0])
    law.save(tmp_path / "law.nc")
    again = witten.RateCurve.load(tmp_path / "law.nc")
    for one, other in zip(law.records, again.records, strict=True):
        assert other == one
    assert law.resolved.tolist() == [True, True, False] and "factor of two" in law.records[2].notes[0]


# ------------------------------------------------------------------------------------------------- slow wells

SOFT = "0.033*(0.56*({0})^2+0.536*sin(3.23*({0})-1.24)-0.181*cos(1.53*({0})))"
STEEP = "0.164*(({0}+1.02)^2+0.372)*(({0}-0.745)^2+0.0211)+0.0825*({0})"


@pytest.mark.parametrize(("u", "v"), [("x", "y/3.6"), ("(3*x+4*y)/5", "(3*y-4*x)/18")])
def test_a_well_that_relaxes_more_slowly_than_it_is_left_hides_the_law(u, v):
    """Across the valley f is seven times softer at s/2 than at its bottom, and the law's rate is the third."""
    f, s = f"{STEEP.format(u)} + {SOFT.format(v)}", 0.0307
    landscape = witten.describe_landscape(f)
    record = witten.eyring_kramers(landscape, s).records[0]
    computed = witten.spectrum(f, s, 4).log_rates
    assert not record.resolved and record.upper == np.inf
    assert record.log_rate == pytest.approx(computed[3], abs=0.02) and computed[1] < computed[3] - 0.5
    across = witten.gap(SOFT.format("x/3.6"), s).rates[0]
    for minimum, well in zip(landscape.minima, first_order(landscape).minima, strict=True):
        assert minimum.curvatures[0] * slowest_relaxation(well, s / 2) == pytest.approx(across, rel=2e-3)
    assert witten.eyring_kramers(landscape, s / 8).records[0].resolved


def test_a_rate_without_digits_says_so_and_comes_back_from_its_file(tmp_path):
    """At 1e-15 logarithms have a spacing of 0.06 and more: no bar is shorter, and no coefficient is known."""
    f = "x^2*(x^2-4)^2/40 - 1.2*exp(-4*x^2) - exp(-4*(x+2)^2) - 0.06*exp(-8*(x-2)^2)"
    (record,) = witten.eyring_kramers(f, 1e-15).records
    assert all(e >= np.spacing(abs(x)) for e, x in zip(record.log_errors, record.log_rates, strict=True))
    assert np.isnan(record.coefficients).all()
    witten.RateCurve((record,), "eyring-kramers", f, {}).save(tmp_path / "law.nc")
    (again,) = witten.RateCurve.load(tmp_path / "law.nc").records
    assert again.log_errors == record.log_errors and np.isnan(again.coefficients).tolist() == [True, True]
