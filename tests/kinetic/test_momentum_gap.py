"""Rates with momentum against closed forms, reference values and another discretisation."""

import math

import numpy as np
import pytest
from scipy.linalg import eigvals

import witten
from witten import RateCurve, RequestError
from witten.kinetic.elements import Elements
from witten.kinetic.kramers_fokker_planck import hermite_orders, kramers_fokker_planck
from witten.kinetic.leading_modes import leading
from witten.kinetic.line_cells import first_cells
from witten.kinetic.saddle_flux import small_rates

DOUBLE_WELL = "(x^2-1)^2/4"


def known(record, expected, digits):
    """Whether the truth lies in the bar, and the value is as close as that."""
    inside = abs(record.log_rate - math.log(expected)) <= record.log_error
    return inside and record.rate == pytest.approx(expected, rel=digits)


@pytest.mark.parametrize(("friction", "curvature"), [(3.0, 1.0), (10.0, 200.0)])
def test_the_spectrum_of_a_quadratic(friction, curvature):
    record = witten.langevin_gap(f"{curvature}*x^2/2", friction, 0.1)
    root = np.emath.sqrt(friction**2 - 4 * curvature)
    mu = (friction - root) / 2, (friction + root) / 2
    sums = [complex(k * mu[0] + m * mu[1]) for k in range(9) for m in range(9) if k + m]
    assert known(record, min(z.real for z in sums), 1e-10)
    for value in record.eigenvalues:
        assert min(abs(value - z) for z in sums) < 1e-4 * abs(value)


def test_a_jordan_block_is_in_the_bar():
    record = witten.langevin_gap("x^2/2", 2.0, 0.1)
    assert known(record, 1.0, 1e-4)
    assert 1e-9 < record.log_error < 1e-3


@pytest.mark.parametrize(
    ("momentum", "s", "equation", "per_step"),
    [(0.5, 0.05, "bbk", 2.4967e-4), (0.8, 0.02, "shi", 1.134e-4), (0.0, 0.1, "bbk", 2.6704e-4)],
)
def test_the_double_well(momentum, s, equation, per_step):
    (record,) = witten.momentum_gap("double-well", s, momentum, equation=equation).records
    assert record.rate_per_step == pytest.approx(per_step, rel=5e-4 if equation == "shi" else 3e-5)
    assert record.rate_per_ks == pytest.approx(record.rate_per_step / s, rel=1e-14)
    assert record.log_error < 1e-4


def test_another_discretisation_has_no_other_eigenvalues():
    friction, t, n, orders = 0.7, 0.1, 32, 14
    x = np.linspace(-2.3, 2.3, n)
    apart = np.arange(n)[:, None] - np.arange(n)
    sinc = (-1.0) ** apart / np.where(apart == 0, np.inf, apart) / (x[1] - x[0])
    up = np.sqrt(t) * sinc + np.diag(x**3 / (2 * np.sqrt(t)))
    root = np.diag(np.sqrt(np.arange(1.0, orders)), -1)
    drag = np.kron(np.diag(friction * np.arange(orders)), np.eye(n))
    found = eigvals(drag - np.kron(root, up) + np.kron(root.T, up.T))
    first = min((z for z in found if abs(z) > 1e-8), key=lambda z: z.real)
    record = witten.langevin_gap("x^4/4", friction, t)
    assert record.rate == pytest.approx(first.real, rel=1e-6)
    assert abs(record.eigenvalues[0].imag) == pytest.approx(abs(first.imag), rel=1e-6)


def test_in_a_half_space_only_even_modes_are_left():
    record = witten.langevin_gap("x^2/2", 1.0, 0.1, box=[(0.0, 3.0)])
    assert known(record, 1.0, 1e-8)


def test_origin_and_unit_of_length_do_not_matter():
    here, there = (
        witten.langevin_gap(text, friction, 0.1)
        for text, friction in (("x^4/4 + x^2/2", 1.5), ("((x-3e4)/1e3)^4/4 + ((x-3e4)/1e3)^2/2", 1.5e-3))
    )
    assert there.log_rate + math.log(1e3) == pytest.approx(here.log_rate, abs=1e-7)


def problem(text, t, friction, low, high):
    f = witten.Objective.from_formula(text)
    elements = Elements.on_line(f, t, first_cells(f, t, low, high))
    return kramers_fokker_planck(elements, friction, hermite_orders(1, 20))


def test_fluxes_and_eigenvalues_agree_where_both_have_digits():
    operator = problem(DOUBLE_WELL, 0.0125, 4.0, -2.0, 2.0)
    found, small = leading(operator, 1.4), small_rates(operator, np.array([-1.0, 1.0]), np.array([0.0]))
    assert abs(small.log_rates[0] - math.log(found.gap)) < small.errors[0] + found.rounding / found.gap < 1e-7


def test_three_wells_by_fluxes():
    text = "x^2*(x^2-1)^2*4 + x/20"
    critical = np.array([float(z.real) for z in np.roots([24, 0, -32, 0, 8, 1 / 20]) if abs(z.imag) < 1e-9])
    wells, saddles = np.sort(critical)[::2], np.sort(critical)[1::2]
    operator = problem(text, 0.026, 5.0, -1.5, 1.5)
    small = small_rates(operator, wells, saddles)
    found = leading(operator, 5.0)
    off = np.abs(np.expm1(small.log_rates - np.log(found.values[:2].real)))
    assert wells.size == 3 and off[0] < small.errors[0] < 1e-8
    assert off[1] < 1e-5  # rounding of an eigenvalue 1e-10 is more than that of a flux


def test_rates_far_below_doubles_of_the_operator():
    record = witten.langevin_gap("double-well", 4.0, 0.004, rtol=1e-3)
    law = math.log(2 * (math.sqrt(5) - 2) / (2 * math.pi) * math.sqrt(2)) - 0.25 / 0.004
    assert record.solver == "flux through the saddles"
    assert -0.01 < record.log_rate - law < 0 and record.log_error < 1e-6


def test_a_curve_is_saved_and_resumed(tmp_path):
    path = tmp_path / "a.nc"
    curve = witten.momentum_gap("x^2/2", (0.1, 0.2), 0.5, output=path)
    assert RateCurve.load(path) == curve
    assert witten.momentum_gap("x^2/2", (0.1, 0.2), 0.5, output=path, resume=True) == curve
    with pytest.raises(RequestError, match="momentum"):
        witten.momentum_gap("x^2/2", (0.1, 0.2), 0.4, output=path, resume=True)


@pytest.mark.parametrize(
    ("text", "options", "why"),
    [
        ("x^2 + y^2 + z^2", {}, "up to two variables"),
        ("log(1+x^2)", {}, "no spectral gap"),
        ("sqrt(1+x^2)", {}, "give a box"),
        ("x^2", {"momentum": 1.0}, "from 0 to below 1"),
        ("x^2", {"learning_rates": -0.1}, "positive"),
        ("x^2", {"equation": "other"}, "not known"),
        ("x^2", {"rtol": 2.0}, "rtol"),
    ],
)
def test_refused(text, options, why):
    with pytest.raises(RequestError, match=why):
        witten.momentum_gap(text, **({"learning_rates": 0.1, "momentum": 0.5} | options))


def test_too_little_friction_is_refused_with_a_remedy():
    with pytest.raises(witten.ConvergenceError, match="larger friction"):
        witten.langevin_gap("x^2/2", 1e-4, 0.1)
