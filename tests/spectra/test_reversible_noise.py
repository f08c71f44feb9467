"""Rates under noise with a potential, against values computed otherwise, and closed forms."""

import numpy as np
import pytest

import witten
from witten import noise

DOUBLE_WELL = "(x^2-1)^2/4"
TANH = noise.formula("1 + tanh(2*x)/2")


def log_rate(f, s, given, **options):
    (record,) = witten.gap(f, s, noise=given, **options).records
    assert record.resolved and record.reversible and record.imaginary == 0
    return record.log_rate, record.log_error


@pytest.mark.parametrize(
    ("given", "s", "expected"),
    [
        (TANH, 0.2, 4.1628143343e-2),
        (TANH, 0.05, 1.6344804544e-4),
        (TANH, 0.01, 2.7293294589e-17),
        (noise.loss(1, 0.2), 0.2, 8.9865006484e-5),
        (noise.formula("0.2 + (x^2-1)^2/4"), 0.01, 1.0984815317e-71),
    ],
)
def test_one_variable(given, s, expected):
    found, error = log_rate(DOUBLE_WELL, s, given, rtol=1e-8)
    assert abs(found - np.log(expected)) < 1e-10 + error < 1e-8


def test_units_and_origin_do_not_matter():
    wide, error = log_rate("((x/1000)^2-1)^2/4", 0.05, noise.formula("1 + tanh(2*x/1000)/2"))
    assert abs(wide - np.log(1.6344804544e-10)) < error < 1e-6
    far, error = log_rate("((x-300)^2-1)^2/4", 0.05, noise.formula("1 + tanh(2*(x-300))/2"))
    assert abs(far - np.log(1.6344804544e-4)) < error < 1e-6


def test_far_below_the_doubles():
    """As s -> 0: (1/2pi) sqrt(f''(m)|f''(z)|) sqrt(a(m)/a(z)) e^{-int 2f'/a /s}, the larger of both wells' rates."""
    x = np.linspace(0, 1, 200_001)
    work = 2 * abs(np.trapezoid((x**3 - x) / (1 + np.tanh(2 * x) / 2), x))
    s = 5e-4
    law = np.log(np.sqrt(2) / (2 * np.pi)) + 0.5 * np.log(1 + np.tanh(2) / 2) - work / s
    found, error = log_rate(DOUBLE_WELL, s, TANH)
    assert found < -700 and error < 1e-6 and abs(found - law) < 2 * s


def test_constant_multiples_of_unit_noise_are_the_learning_rate():
    expected = witten.gap(DOUBLE_WELL, 0.2).log_rates[0]
    for given in (noise.isotropic(2.0), noise.constant([[4]]), noise.formula("4"), 2.0):
        assert witten.gap(DOUBLE_WELL, 0.05, noise=given).log_rates[0] == pytest.approx(expected, abs=1e-14)


def test_a_sum_has_the_rates_of_its_parts():
    along = {
        "x": witten.spectrum(DOUBLE_WELL, 0.2, 3, noise=TANH, rtol=1e-6).rates[1:],
        "y": np.array([1.0, 2.0]),
    }
    found = witten.spectrum(f"{DOUBLE_WELL} + y^2/2", 0.2, 4, noise=noise.formula("1 + tanh(2*x)/2, 0; 0, 3"))
    expected = np.sort([along["x"][0], *along["y"], along["x"][1], along["x"][0] + 1.0])[:3]
    assert (abs(found.rates[1:] - expected) <= found.errors[1:] + 1e-6).all() and found.errors[-1] < 1e-3
    assert found.covariance and found.potential.shape == (found.grid.n_nodes,)


def test_noise_turned_with_the_objective_is_recognised():
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    u, v = "(4*x/5 + 3*y/5)", "(4*y/5 - 3*x/5)"
    f, given = f"({u}^2-1)^2/4 + 0.1*{u} + {v}^2", noise.constant(turn @ np.diag([1, 0.3]) @ turn.T)
    found, error = log_rate(f, 0.2, given, rtol=1e-5)
    assert abs(found - np.log(4.501775347e-2)) < error < 1e-5


def test_spectrum_in_a_box_has_walls_that_reflect():
    """Flat drift and a = x^2 on [1, e]: rates (s/2)(1/4 + (k pi)^2)."""
    found = witten.spectrum("0*x + 1e-9*x^2", 0.5, 3, noise=noise.formula("x^2"), box=[(1, np.e)], rtol=1e-6)
    expected = 0.25 * (0.25 + (np.array([1, 2]) * np.pi) ** 2)
    np.testing.assert_allclose(found.rates[1:], expected, rtol=1e-5)


def test_the_tail_of_a_power():
    """Noise that grows with a quadratic loss: the spectrum is continuous from (2 + c s/2)^2/(2 s c) on, here doubled
    variables. Where the density has no integral, or nothing pulls back, that is said."""
    with pytest.warns(witten.errors.AccuracyWarning, match=r"continuous from rate 5\.512"):
        found = witten.gap("x^2/2", 0.2, noise=noise.loss(1, 0.2))
    assert found.rates[0] == pytest.approx(1.0, rel=1e-5)  # x is an eigenfunction whatever the noise
    with pytest.raises(witten.RequestError, match="no finite integral"):
        witten.gap("log(1+x^2)/100", 0.2, noise=noise.formula("1.5 + tanh(x)"))


def test_resumed_only_under_the_same_noise(tmp_path):
    path = tmp_path / "a.nc"
    curve = witten.gap(DOUBLE_WELL, 0.2, noise=TANH, output=path)
    again = witten.RateCurve.load(path)
    assert again.records == curve.records and again.options["covariance"] == TANH.text
    with pytest.raises(witten.RequestError, match="covariance"):
        witten.gap(DOUBLE_WELL, 0.2, noise=noise.loss(1, 0.2), output=path, resume=True)
