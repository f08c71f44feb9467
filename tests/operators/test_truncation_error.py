"""The term in h^2 of a rate, from its mode, and the limits that are found without it."""

from dataclasses import replace

import numpy as np
import pytest

import witten
from witten.domains.grid import Grid
from witten.linalg.richardson import extrapolated_logs
from witten.objectives import resolve
from witten.objectives.periodicity import periodic
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.operators.differences.truncation_error import second_order_errors
from witten.spectra.solvers.eigensolve import eigensolve

CIRCLE = periodic("cos(x)/3 + sin(2*x)/5", {"x": (0, 2 * np.pi)})
TORUS = periodic("cos(x)/3 + sin(y)/4 + cos(x - y)/5", {"x": (0, 2 * np.pi), "y": (0, 2 * np.pi)})
ORDERS = [  # objective, s, intervals, coarsest cells, levels: smooth, all modes resolved, walls far away
    (resolve("double-well"), 0.2, [(-2.3, 2.3)], 40, 4),
    (resolve("x^4/4 + x^3/5 - x/3"), 0.5, [(-3.2, 2.8)], 40, 4),
    (CIRCLE, 0.5, [(0, 2 * np.pi)], 24, 4),
    (resolve("(x^2-1)^2/4 + (y - x^2)^2"), 0.4, [(-2.4, 2.4), (-2.0, 5.0)], 48, 3),
    (TORUS, 0.5, [(0, 2 * np.pi)] * 2, 16, 3),
]


def on_grids(objective, s, intervals, cells, levels):
    """Three rates on each grid, and their terms in h^2."""
    grid = replace(Grid.uniform(intervals, cells), periodic=tuple(objective.periodic_axes))
    rates, terms = [], []
    for _ in range(levels):
        discretisation = FiniteDifferences(objective, grid)
        operator = discretisation.assemble(s)
        found = eigensolve(operator, 4)
        psi = (found.modes * operator.ground_state).T[:, 1:]
        rates.append(found.rates[1:])
        terms.append(second_order_errors(discretisation, s, psi))
        grid = grid.refined()
    return np.array(rates), np.array(terms)


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case[0].name)
def test_rates_without_the_term_in_h2_are_of_fourth_order(case):
    rates, terms = on_grids(*case)
    raw, corrected = np.diff(rates, axis=0), np.diff(rates - terms, axis=0)
    order = np.log2(abs(corrected[-2] / corrected[-1]))
    assert (abs(order - 4) < 0.5).all(), order
    # The term is all there is of the order h^2, and it matters.
    limits = (rates - terms)[-1] + corrected[-1] / 15
    assert (abs(corrected[-1]) < 0.1 * abs(raw[-1])).any()
    assert (abs((rates[-1] - limits) / terms[-1] - 1) < 0.1).any()


def test_limits_of_corrected_rates_lie_inside_their_bars():
    """1 + a h^2 + b h^4 + c h^6, of which a is known, with random coefficients, on two grids to four."""
    rng = np.random.default_rng(4)
    for _ in range(1000):
        h = 0.5 ** np.arange(rng.integers(2, 5))[:, None] * rng.uniform(0.05, 0.3)
        a, b, c = rng.normal(size=(3, 3)) * np.array([[1.0], [1.0], [3.0]])
        rates = 1 + a * h**2 + b * h**4 + c * h**6
        log_limits, errors = extrapolated_logs(list(np.log(rates)), corrections=list(a * h**2 / rates))
        assert (abs(np.expm1(log_limits)) <= errors).all(), (h[0], a, b, c)


def test_domains_of_a_rate_are_compared_on_equal_cells():
    """A ramp that ends slowly: a wider domain was measured on longer cells, and what these change hid the cut."""
    found = witten.spectrum("exp(1.17*(x/210)) - 0.919*(x/210) + (x/210)^2/50", 0.712, 2)
    assert abs(found.rates[1] - 1.63686780e-05) < found.errors[1] < 1e-4 * found.rates[1]


def series(rng, n, powers):
    """1 + a h^p + b h^q + ..., coefficients of both signs and several sizes, on n grids whose cells are halved."""
    h = rng.uniform(0.05, 0.4) * 2.0 ** -np.arange(n)
    sizes = rng.standard_normal(len(powers)) * 10 ** rng.uniform(-2, 0, len(powers))
    return h, 1 + sum(a * h**p for a, p in zip(sizes, powers, strict=True))


def error_over_bar(levels, **known):
    log_rates, errors = extrapolated_logs([np.log([level]) for level in levels], **known)
    return abs(np.expm1(log_rates[0])) / errors[0]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_bars_hold_on_series_whose_term_in_h2_is_known_and_are_short(n):
    """In at least 99 % of 2000; from three grids on, half of them within 50 times the error."""
    rng, used = np.random.default_rng(n), []
    for _ in range(2000):
        h, rates = series(rng, n, (4, 6, 8))
        second = rng.standard_normal() * h**2
        found = error_over_bar(rates + second, corrections=list((second / (rates + second))[:, None]))
        used.append(found)
    assert np.mean(np.array(used) <= 1) >= 0.99
    assert np.median(used) > (1 / 50 if n > 2 else 1e-3)


@pytest.mark.parametrize("power", [3.0, 3.5, 4.0])
def test_averages_over_kinks_that_converge_faster_than_h2_have_short_bars(power):
    rng, used = np.random.default_rng(0), []
    for _ in range(500):
        _, rates = series(rng, 4, (power, power + 1))
        used.append(error_over_bar(rates, erratic=1.0))
    assert np.mean(np.array(used) <= 1) >= 0.99 and np.median(used) > 1 / 25
