"""The transfer operator of SGD: exact spectra, small gaps, other noise, the SDE as its limit, and `witten chain`."""

import json
import math
import re
from dataclasses import replace
from itertools import product

import mpmath
import numpy as np
import pytest
import scipy.linalg
import xarray
from hypothesis import given
from hypothesis import strategies as st
from launcher import cli, in_process
from properties import examples
from scipy.sparse.linalg import ArpackNoConvergence

import witten
from witten import noise as noises
from witten import plots
from witten.domains.box import Box
from witten.errors import AccuracyWarning, RequestError, Stopped
from witten.gap_plane import gap_plane
from witten.linalg.gth_elimination import StateReduction
from witten.objectives import Objective, resolve
from witten.rates import CurveSet, RateRecord
from witten.sgd import arnoldi as spectra
from witten.sgd import sde_comparison
from witten.sgd.arnoldi import operator_spectrum
from witten.sgd.chain import chain
from witten.sgd.committors import small_gap, spread_states
from witten.sgd.gradient_noise import GaussianNoise, bounded_noise, minibatch_noise
from witten.sgd.modified_equation import modified_rate
from witten.sgd.sde_comparison import chain_beside_sde, gap_by_terms
from witten.sgd.steps.collocation import chebyshev_points, interpolation_matrix
from witten.sgd.steps.transfer_operator import transfer_operator
from witten.sgd.transfer_spectrum import transfer_spectrum


def plane(per_deviation=1.5, level=np.inf):
    f = resolve("double-well:dim=2")
    noise = GaussianNoise.of([[0.04, 0.0], [0.0, 0.0225]])
    box = Box.of([(-2, 2), (-1.5, 1.5)])
    return transfer_operator(f, 0.2, box, noise=noise, per_deviation=per_deviation, level=level)


# ------------------------------------------------------------------------------------------------ the operator


@pytest.mark.parametrize("level", [np.inf, 0.6])
def test_windows_hold_the_kernel(level):
    operator = plane(level=level)
    x, y = operator.points, operator.points - 0.2 * resolve("double-well:dim=2").gradient(operator.points)
    distance = (x[:, None, :] - y[:, :, None]) / np.array([0.2, 0.15])[:, None, None]
    kernel = np.exp(-0.5 * (distance**2).sum(axis=0)) / (2 * np.pi * 0.03) * operator.volume
    u = np.random.default_rng(0).random(operator.n_dofs)
    assert operator.apply(u) == pytest.approx(kernel @ u, abs=1e-14)
    assert operator.adjoint(u) == pytest.approx(u @ kernel, abs=1e-14)
    assert operator.dense() == pytest.approx(kernel, abs=1e-14)


def test_what_is_killed_is_what_rows_lack():
    operator = plane(per_deviation=2.0, level=0.4)
    inside = operator.apply(np.ones(operator.n_dofs))
    far = operator.killed < 0.999
    # Near the sides of the box the trapezoid rule ends half a cell early: what is left out there is not compared.
    middle = (np.abs(operator.images[0]) < 0.8) & (np.abs(operator.images[1]) < 0.6)
    assert np.count_nonzero(far & middle & (operator.killed > 1e-3)) > 20
    assert (1 - inside)[far & middle] == pytest.approx(operator.killed[far & middle], abs=1e-8)
    assert operator.killed.min() >= 0


def test_a_row_is_one_exact_step():
    operator = plane(per_deviation=2.0)
    start = np.hypot(*operator.images).argmin()
    masses, image = operator.adjoint(np.eye(operator.n_dofs)[start]), operator.images[:, start]
    assert masses.sum() == pytest.approx(1, abs=1e-13)
    assert operator.points @ masses == pytest.approx(image, abs=1e-13)
    assert ((operator.points - image[:, None]) ** 2) @ masses == pytest.approx([0.04, 0.0225], rel=1e-10)


@pytest.mark.parametrize(("theta", "s"), [(2.0, 0.1), (1.0, 0.5), (2.0, 0.9)])
def test_a_quadratic_has_the_powers_of_its_factor(theta, s):
    found = transfer_spectrum(f"quadratic:theta={theta}", s)
    assert found.eigenvalues == pytest.approx((1 - s * theta) ** np.arange(6), abs=2e-13)
    assert found.leak < 1e-13 and found.rate == pytest.approx(-np.log(abs(1 - s * theta)) / s, rel=1e-11)
    x = found.operator.points[0]
    assert found.stationary @ x**2 == pytest.approx(s / (2 * theta * (1 - s * theta / 2)), rel=1e-10)


@pytest.mark.parametrize("s", [1.5, 1.9, 1.99])
def test_the_stationary_law_widens_as_the_step_nears_the_end_of_stability(s):
    """AR(1), x+ = (1 - s) x + s xi: variance s^2/(1 - (1 - s)^2) = s/(2 (1 - s/2))."""
    found = transfer_spectrum("x^2/2", s)
    assert found.stationary @ found.operator.points[0] ** 2 == pytest.approx(s / (2 - s), rel=1e-10)
    assert found.survival == 1 and abs(found.rate + np.log(s - 1) / s) <= found.rate_error < 1e-11


@pytest.mark.parametrize("s", [2.1, 2.5, 3.0, 10.0])
def test_a_chain_that_runs_away_loses_what_does_not_survive(s):
    """Beyond s = 2, a = 1 - s < -1: u(x) = e^{-c x^2} and its polynomials have the eigenvalues a^{-k}/|a|, and the
    quasi-stationary law is flat: int dx N(y - a x) = 1/|a|."""
    found = transfer_spectrum("x^2/2", s)
    a, x = s - 1, found.operator.points[0]
    assert found.leak + found.survival == 1
    assert found.leak == pytest.approx(1 - 1 / a, abs=2 * found.errors[0])
    assert abs(found.rate - np.log(a) / s) <= found.rate_error < 1e-4 * found.rate
    middle = found.density[np.abs(x) < 0.5 * x.max()]
    assert middle == pytest.approx(middle.mean(), rel=1e-6) and middle.mean() == pytest.approx(0.5 / x.max(), rel=0.2)


@pytest.mark.parametrize(("shift", "stretch"), [(1e3, 1.0), (-3e5, 1.0), (0.0, 1e4), (0.0, 1e-4), (-20.0, 1e-2)])
def test_the_chain_knows_no_origin_and_no_unit_of_length(shift, stretch):
    """f(x) = L^2 g((x - b)/L) at s is g at s, for noise L: the same chain in other coordinates."""
    moved = f"{stretch**2!r}*((((x-({shift!r}))/{stretch!r})^2-1)^2/4+0.1*(x-({shift!r}))/{stretch!r})"
    found = transfer_spectrum(moved, 0.3, noise=stretch)
    still = transfer_spectrum("(x^2-1)^2/4+0.1*x", 0.3)
    assert np.abs(found.eigenvalues) == pytest.approx(np.abs(still.eigenvalues), abs=1e-9)
    assert abs(found.gap - still.gap) <= found.gap_error + still.gap_error + 1e-9 * still.gap


@pytest.mark.parametrize("covariance", [((1.0, 0.0), (0.0, 1.0)), ((1.0, 0.5), (0.5, 2.0))])
def test_a_quadratic_in_the_plane_has_products(covariance):
    f = Objective.from_formula("x^2/2 + y^2/2 + x*y/4")  # curvatures 3/4 and 5/4
    found = transfer_spectrum(f, 0.3, noise=GaussianNoise(covariance))
    a, b = 1 - 0.3 * 0.75, 1 - 0.3 * 1.25
    products = sorted((a**i * b**j for i, j in product(range(6), repeat=2)), reverse=True)[:6]
    assert found.eigenvalues == pytest.approx(products, abs=1e-10)


def gibbs_distance(found, name, sigma=1.0):
    """The total variation between the stationary distribution and exp(-2 f/(s sigma^2)) on a line."""
    f = resolve(name)(found.operator.points)
    weights = np.exp(-2 * (f - f.min()) / (found.step_size * sigma**2))
    return 0.5 * np.abs(found.stationary / found.stationary.sum() - weights / weights.sum()).sum()


@examples(10)
@given(st.floats(0.05, 0.3), st.floats(0.5, 2.0))
def test_noise_and_learning_rate_trade_places_in_the_stationary_law(s, sigma):
    found = transfer_spectrum("quadratic", s, noise=sigma)
    x = found.operator.points[0]
    assert found.stationary @ x**2 == pytest.approx(sigma**2 * s / (2 - s), rel=1e-9)
    assert gibbs_distance(found, "quadratic", sigma) < 0.2 * s  # the variance is s/2 (1 + s/2 + ...)


def test_the_stationary_law_is_near_gibbs_at_small_steps():
    name = "double-well:tilt=0.05"
    distances = [gibbs_distance(transfer_spectrum(name, s), name) for s in (0.1, 0.05)]
    assert distances[1] < 0.6 * distances[0] < 0.06
    with pytest.raises(witten.RequestError, match="sum"):
        _ = transfer_spectrum("shi-su-jordan", 0.1).density


@pytest.mark.parametrize("s", [0.2, 0.4, 0.8])
def test_error_bars_hold_the_truth(s):
    found = transfer_spectrum("double-well", s)
    box = found.operator.grid.box.expanded(0.1, 0.1)
    noise = GaussianNoise.isotropic(1, s)
    finer = operator_spectrum(transfer_operator(resolve("double-well"), s, box, noise=noise, per_deviation=40.0))
    assert abs(found.gap - finer.gap) <= found.gap_error + finer.gap_error and found.gap_error < 1e-7 * found.gap


@pytest.mark.parametrize(
    ("text", "s", "reach"),
    [("3*(1-exp(-2*x^2))+0.02*x^4", 0.05, 5.0), ("3*(1-exp(-2*x^2))+0.02*x^4", 0.1, 5.5), ("cos(3*x)+x^2/2", 0.1, 5.0)],
)
def test_modes_where_hardly_any_measure_is_are_found(text, s, reach):
    """On a plateau far above the minimum, and in wells above all saddles; against quadrature on all that matters.

    Multiplied by e^{(f(y) - f(x))/s} the kernel is nearly symmetric and LAPACK knows its eigenvalues; as it is,
    rounding moves them by 1e-10 (their condition is 1e73).
    """
    f, found = resolve(text), transfer_spectrum(text, s)
    x, w = (reach * each for each in np.polynomial.legendre.leggauss(900))
    distance = (x[None, :] - (x - s * f.gradient(x[None])[0])[:, None]) / s
    exponent = (f(x[None])[None, :] - f(x[None])[:, None]) / s - 0.5 * distance**2
    kernel = np.exp(exponent) / (np.sqrt(2 * np.pi) * s) * np.sqrt(np.multiply.outer(w, w))
    moduli = np.sort(np.abs(scipy.linalg.eigvals(kernel)))[::-1][:6]
    assert (np.abs(np.abs(found.eigenvalues) - moduli) <= found.errors).all() and found.errors.max() < 1e-11


def test_the_plane_knows_its_symmetry():
    found = transfer_spectrum("triple-well", 0.3)
    assert abs(found.eigenvalues[1] - found.eigenvalues[2]) < 1e-8 and found.gap_error < 1e-6 * found.gap
    assert found.operator.points @ found.stationary == pytest.approx([0.0, 0.0], abs=1e-6)  # threefold, no tilt


# ------------------------------------------------------------------------------------------------ small gaps


def random_chain(rng, n, weak):
    """Two groups of states that hardly speak to each other."""
    chain = rng.random((n, n))
    half = n // 2
    chain[:half, half:] *= weak
    chain[half:, :half] *= weak
    return chain / (2 * n)


@pytest.mark.parametrize("weak", [1e-3, 1e-14, 1e-40])
def test_elimination_keeps_every_digit_of_a_small_eigenvalue(weak):
    chain = random_chain(np.random.default_rng(1), 10, weak)
    found = StateReduction.of(chain, 3)
    with mpmath.workdps(80):
        exact = mpmath.matrix((-chain).tolist())
        for i in range(10):
            exact[i, i] = mpmath.fsum(mpmath.mpf(float(chain[i, j])) for j in range(10) if j != i)
        values = sorted(mpmath.eig(exact, right=False), key=abs)
        assert float(abs(values[0])) < 1e-60
        truth = float(values[1].real)
    assert found.small_eigenvalues(1)[0] == pytest.approx(truth, rel=1e-13)
    assert found.stationary @ (chain - np.diag(chain.sum(axis=1))) == pytest.approx(np.zeros(10), abs=1e-16)


def test_committors_find_what_elimination_finds(monkeypatch):
    f = "double-well:tilt=0.05"
    eliminated = transfer_spectrum(f, 0.015)
    monkeypatch.setattr(spectra, "ELIMINATED", {1: 0, 2: 0})
    found = transfer_spectrum(f, 0.015)
    assert (eliminated.solver, found.solver) == ("reduction", "committors") and found.gap < 1e-14
    assert abs(found.gap / eliminated.gap - 1) < found.gap_error / found.gap < 1e-9
    assert found.stationary @ found.operator.points[0] == pytest.approx(
        eliminated.stationary @ eliminated.operator.points[0], rel=1e-9
    )
    # Two eigenvalues alone show no gap behind the slow ones.
    assert transfer_spectrum(f, 0.015, 2).gap == pytest.approx(found.gap, rel=1e-9)


def test_a_core_in_each_well():
    # Three wells on a line; functions constant on them span the same space in any basis.
    well = np.repeat([0, 1, 2], [5, 3, 4])
    basis = np.random.default_rng(2).normal(size=(3, 3))
    weights = np.arange(12.0) + 1
    assert sorted(spread_states(np.eye(3)[well] @ basis, weights)) == [4, 7, 11]


def test_a_well_without_a_core_is_noticed():
    f = resolve("x^4/4 - x^2/2")
    operator = transfer_operator(f, 0.01, Box.of([(-1.5, 1.5)]), noise=GaussianNoise.isotropic(1, 0.01))
    left = [int(np.argmin(abs(operator.points[0] - x))) for x in (-1.0, -0.98)]
    with pytest.raises(witten.ConvergenceError, match="more wells are slow"):
        small_gap(operator, np.array(left))


def test_a_chain_that_cannot_come_back_is_refused():
    with pytest.raises(witten.ConvergenceError, match="node 2"):
        StateReduction.of(np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]), 0)


def test_small_gaps_follow_the_sde_where_eigenvalues_are_lost():
    curve = chain("double-well", [0.02, 0.015, 0.01])
    sde = witten.gap("double-well", [0.02, 0.015, 0.01], rtol=1e-7)
    gaps = 1 - np.exp(-curve.rates * curve.learning_rates)
    assert curve.rates[0] * 0.02 < 2e-13 and curve.resolved.all() and (gaps[1:] < 1e-15).all()
    excess = (curve.rates / sde.rates - 1) / curve.learning_rates
    assert excess == pytest.approx([0.25, 0.25, 0.25], rel=0.3)  # linear in s, all the way down


# ------------------------------------------------------------------------------------------------ chain and SDE


@pytest.mark.parametrize(("s", "ratio"), [(0.1, 1.0512), (0.075, 1.0321)])
def test_sgd_is_a_little_faster_than_the_sde(s, ratio):
    sde = witten.gap("shi-su-jordan-1d", s, rtol=1e-6).rates[0]
    assert transfer_spectrum("shi-su-jordan-1d", s).rate / sde == pytest.approx(ratio, abs=2e-4)
    both = transfer_spectrum("shi-su-jordan", s)
    assert both.rate / sde == pytest.approx(ratio, abs=2e-4)
    assert abs(both.eigenvalues[1] - both.eigenvalues[2]) < 1e-12  # a double eigenvalue


def test_the_chain_tends_to_the_sde_linearly_and_to_the_modified_one_quadratically():
    steps, temperature = np.array([0.1, 0.05, 0.025]), 0.05
    sde = witten.gap("double-well", 2 * temperature, rtol=1e-8).rates[0]
    rates = np.array([transfer_spectrum("double-well", h, temperature=temperature).rate for h in steps])
    modified = np.array([modified_rate("double-well", h, temperature) for h in steps])
    first, second = rates / sde - 1, rates / modified - 1
    assert np.log2(first[:-1] / first[1:]) == pytest.approx([1, 1], abs=0.3)
    assert np.log2(second[:-1] / second[1:]) == pytest.approx([2, 2], abs=0.06)
    assert modified_rate("double-well", 1e-9, temperature) == pytest.approx(sde, rel=1e-7)


def test_a_quartic_runs_away_in_the_end():
    slow, fast = (transfer_spectrum("double-well", s) for s in (0.3, 0.8))
    assert 1e-12 < slow.leak < 1e-5 < fast.leak and fast.survival == pytest.approx(1 - fast.leak, abs=1e-8)
    assert fast.rate == pytest.approx(-np.log(abs(fast.eigenvalues[1]) / fast.survival) / 0.8, rel=1e-9)


def test_a_cycle_shows_near_a_root_of_unity():
    # Beyond 2/s at the minimum of x^2/2 + x^4/4, descent alternates between two sides.
    found = transfer_spectrum("x^2 - x^4/4 + x^6/24", 1.15, noise=0.03, box=[(-1.6, 1.6)])
    assert found.eigenvalues[1].real < -0.97 and abs(found.phases[1]) == pytest.approx(0.5)


def test_a_map_without_a_stationary_law_says_so():
    # Gaussian noise leaves a part near the repelling point: 1/1.4 of it in each step.
    found = transfer_spectrum("quadratic:theta=2", 1.2)
    assert found.eigenvalues == pytest.approx([(-1.4) ** -k / 1.4 for k in range(6)], abs=1e-9)
    with pytest.raises(witten.ConvergenceError, match="no box"):
        transfer_spectrum("quadratic:theta=2", 1.2, noise=bounded_noise(1))


# ------------------------------------------------------------------------------------------------ other noise


@pytest.mark.parametrize("batch", [1, 2])
def test_minibatches_on_least_squares_have_the_moments_of_their_factor(batch):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=4) + 1, rng.normal(size=4)
    f = Objective.from_callable(lambda x: ((a[:, None] * x - b[:, None]) ** 2).mean(axis=0) / 2, 1)
    noise = minibatch_noise(lambda x: a[:, None, None] * (a[:, None, None] * x - b[:, None, None]), 4, batch)
    found = transfer_spectrum(f, 0.25, k=4, noise=noise, box=[(-5, 5)])
    factors = [1 - 0.25 * np.mean(a[list(chosen)] ** 2) for chosen in product(range(4), repeat=batch)]
    assert found.eigenvalues == pytest.approx([np.mean(np.power(factors, k)) for k in range(4)], abs=1e-9)


def test_bounded_noise_acts_like_gaussian_noise_of_its_variance():
    bounded = transfer_spectrum("double-well", 0.1, noise=bounded_noise(1))
    gaussian = transfer_spectrum("double-well", 0.1)
    assert bounded.rate == pytest.approx(gaussian.rate, rel=0.25) and bounded.rate_error < 1e-6 * bounded.rate
    assert bounded.rate < 0.9 * gaussian.rate  # its tails are missing


def test_interpolation_is_exact_for_polynomials():
    nodes, y = chebyshev_points(-1.0, 3.0, 9), np.array([-1.0, -0.3, 1.7, 3.0])
    assert interpolation_matrix(nodes, y) @ nodes**8 == pytest.approx(y**8, rel=1e-11)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"step_size": -1.0}, "positive"),
        ({"step_size": 0.1, "temperature": 0.0}, "temperature"),
        ({"step_size": 0.1, "noise": 0.0}, "noise must be positive"),
        ({"step_size": 0.1, "noise": GaussianNoise.isotropic(2)}, "dimension 1"),
        ({"step_size": 1e-5}, "nodes"),
    ],
)
def test_wrong_requests_say_what_to_do(arguments, words):
    with pytest.raises(witten.RequestError, match=words):
        transfer_spectrum("double-well", **arguments)
    with pytest.raises(witten.RequestError, match="symmetric"):
        GaussianNoise.of([[1, 2], [0, 1]])
    with pytest.raises(witten.RequestError, match="dimension 3"):
        transfer_spectrum("x^2*y^2 + y^2*z^2 + x^2 + y^2 + z^2", 0.1)


def test_arnoldi_that_does_not_converge_says_so(monkeypatch):
    def fails(*_, **__):
        raise ArpackNoConvergence("no convergence", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(spectra, "eigs", fails)
    with pytest.raises(witten.ConvergenceError, match="larger learning rate"):
        transfer_spectrum("double-well", 0.02)


# ------------------------------------------------------------------------------------------------ the plane


def test_noise_prefers_the_flatter_minimum_long_before_descent_must():
    # Minima at 1 (f'' = 4) and 2 (f'' = 10), both with f = 0: descent settles at 2 while h < 0.2.
    plane = gap_plane("(x^2+1)*(x-1)^2*(x-2)^2", [0.02, 0.12, 0.3], [0.04, 0.1])
    assert plane.minima == pytest.approx([1, 2]) and plane.thresholds == pytest.approx([0.5, 0.2])
    sde = np.sqrt(10 / 4) / (1 + np.sqrt(10 / 4))  # Gibbs: by the widths alone, as T -> 0
    assert plane.shares[0, 0, 0] == pytest.approx(sde, abs=0.02)
    assert plane.shares[0, 1, 0] > 0.9 and plane.descent[1, 1] > 0.3 and plane.descent[2, 1] == 0
    assert plane.shares.sum(axis=2) == pytest.approx(np.ones((2, 3))) and (np.diff(plane.rates, axis=1) > 0).all()
    figure = plots.plot_plane(plane)
    assert len(figure.axes) == 4
    with pytest.raises(witten.RequestError, match="one variable"):
        gap_plane("triple-well", [0.1], [0.1])
    with pytest.raises(witten.RequestError, match="positive"):
        gap_plane("double-well", [0.1], [0.0])


# ------------------------------------------------------------------------------------------------ the command line


def test_witten_chain_as_json(tmp_path):
    done = cli("chain", "shi-su-jordan-1d", "--lr", "0.1,0.075", "--json", "--plot", str(tmp_path / "a.png"))
    assert (done.returncode, done.stderr) == (0, "")
    first, second = json.loads(done.stdout)["records"]
    assert {"learning_rate", "chain_rate", "sde_rate", "ratio", "eigenvalues", "survival"} <= set(first)
    assert (first["ratio"], second["ratio"]) == pytest.approx((1.0512, 1.0321), abs=2e-4)
    assert first["eigenvalues"][0] == pytest.approx([first["survival"], 0.0]) and first["survival"] <= 1
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_witten_chain_for_a_person():
    done = in_process("chain", "double-well", "--lr", "0.4", "--noise", "0.9")
    assert (done.returncode, done.stderr) == (0, "") and "lost per step" in done.stdout and "noise 0.9" in done.stdout


def test_witten_chain_where_the_sde_has_no_rate():
    done = in_process("chain", "2*log(1+x^2)", "--lr", "0.2", "--json")
    found = json.loads(done.stdout)
    (record,) = found["records"]
    assert done.returncode == 0 and "no spectral gap" in found["why"] and record["sde_rate"] is None
    assert record["chain_rate"] is None and record["ratio"] is None and record["ratio_error"] is None


def test_the_picture_needs_something_to_draw():
    empty = witten.RateCurve([], "chain", "f")
    with pytest.raises(witten.RequestError, match="nothing to plot"):
        plots.plot_chain(empty, empty)


def test_rates_that_are_not_resolved_leave_an_empty_picture(tmp_path):
    unknown = witten.RateCurve([RateRecord(0.2, -9.0, -math.inf, -2.0, False, "test", 1, 0.0)], "chain", "f")
    assert not plots.plot_chain(unknown, None, tmp_path / "a.png").axes[0].lines[0].get_xdata().size
    assert (tmp_path / "a.png").exists()


def test_the_sde_of_a_sum_has_the_gap_of_its_slowest_term():
    """3 y^2/2 relaxes at rate 3, the tilted double well in x and the same in z far more slowly."""
    well = "(t^2-1)^2/4+t/20"
    f = resolve("+".join(["3*y^2/2", *(f"({well})".replace("t", x) for x in ("x", "z"))]))
    found = gap_by_terms(f, [0.3, 0.1], noise=0.9)
    line = witten.gap(well.replace("t", "x"), [0.3, 0.1], noise=0.9, rtol=1e-6)
    assert found.log_rates == pytest.approx(line.log_rates, rel=1e-12)
    assert (found.objective, found.noise, found.learning_rates.tolist()) == (f.name, 0.9, [0.3, 0.1])
    plane = witten.gap("3*y^2/2+" + well.replace("t", "x"), [0.3], noise=0.9)
    assert abs(plane.log_rates[0] - found.log_rates[0]) < 1e-4


def test_a_chain_and_its_sde_lie_in_one_file(tmp_path):
    path = tmp_path / "chain.nc"
    before = chain_beside_sde("double-well", [0.3, 0.2], box=[(-2, 2)], output=path).curves
    after = CurveSet.load(path).curves
    for name in ("", "sde"):
        one, other = before[name], after[name]
        assert (one.records, one.options, one.method) == (other.records, other.options, other.method)
    assert after[""].options["box"] == [[-2.0, 2.0]]
    with xarray.open_dataset(path) as plain:
        assert plain["sde_rate"].values == pytest.approx(before["sde"].rates, rel=1e-14)
        assert plain["sde_rate_error"].attrs["long_name"].startswith("sde: ")
    assert before["sde"].rates == pytest.approx(witten.gap("double-well", [0.3, 0.2], rtol=1e-6).rates, rel=1e-14)
    assert witten.RateCurve.load(path).records == before[""].records
    (first, _) = chain("double-well", [0.3, 0.2], box=[(-2, 2)]).records
    assert replace(first, seconds=0.0) == replace(before[""].records[0], seconds=0.0)


def test_a_chain_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    path, whole, asked, seen = tmp_path / "a.nc", tmp_path / "b.nc", [0.3, 0.2, 0.25], []
    chain_beside_sde("double-well", asked, output=whole)
    with pytest.raises(Stopped) as stopped:
        chain_beside_sde(
            "double-well", asked, output=path, progress=seen.append, stop=lambda: "no" if len(seen) == 4 else None
        )
    assert [len(curve.records) for curve in stopped.value.curve.curves.values()] == [3, 1]
    computed = []
    true = sde_comparison.gap_by_terms
    monkeypatch.setattr(sde_comparison, "chain_rate", None)
    monkeypatch.setattr(sde_comparison, "gap_by_terms", lambda f, s, **o: computed.extend(s) or true(f, s, **o))
    chain_beside_sde("double-well", asked, output=path, resume=True)
    assert computed == [0.2, 0.25]
    with xarray.open_dataset(path) as one, xarray.open_dataset(whole) as other:
        timed = ["seconds", "sde_seconds"]
        assert one.drop_vars(timed).identical(other.drop_vars(timed).assign_attrs(one.attrs))


# abs(x) at one learning rate: it has no scale, so that another one is the same computation again.
@pytest.mark.parametrize(("objective", "rates"), [("shi-su-jordan-1d", "0.2,0.1"), ("abs(x)", "0.2")])
def test_a_saved_chain_is_drawn_as_it_was(tmp_path, objective, rates):
    """With the SDE and the ratio to it, also where the rate of the SDE is the bottom of a continuous spectrum."""
    first, again, file = tmp_path / "a.svg", tmp_path / "b.svg", tmp_path / "a.nc"
    done = in_process("chain", objective, "--lr", rates, "-o", str(file), "--plot", str(first))
    assert done.returncode == 0 and ("continuous" in done.stderr) == (objective == "abs(x)")
    done = in_process("plot", str(file), "--plot", str(again))
    assert (done.returncode, done.stderr) == (0, "")
    drawn = [re.findall(r' d="([^"]*)', path.read_text()) for path in (first, again)]
    assert drawn[0] == drawn[1] and len(drawn[0]) > 20


@pytest.mark.parametrize(("s", "words"), [(1e20, "too large"), (1e300, "too large"), (1e-300, "too small")])
def test_a_learning_rate_out_of_all_proportion_is_refused(s, words):
    with pytest.raises(witten.RequestError, match=re.escape(f"learning rate {s:g} is {words} for")):
        chain("double-well", [s])
    noise = 1e200 if s > 1 else 1e-200
    with pytest.raises(witten.RequestError, match=re.escape(f"noise {noise:g} is {words}")):
        chain("double-well", [0.1], noise=noise)


def test_steps_that_leave_no_place_for_two_nodes_are_refused():
    with pytest.raises(witten.ConvergenceError, match="for two nodes; take a smaller step"):
        transfer_spectrum("double-well", 9.0)


def test_beside_a_continuous_spectrum_the_gap_is_its_bottom_or_an_eigenvalue_that_no_box_changes():
    """Far out a step on m|x| has the moduli up to e^{-m^2/2}: Toeplitz, least over exponential tilts."""
    with pytest.warns(AccuracyWarning, match="there is no eigenvalue below: that is the gap"):
        found = witten.transfer_spectrum("abs(x)", 0.3)
    assert found.continuous
    assert found.rate == pytest.approx(0.5 / 0.3, rel=1e-12)
    boxed = witten.transfer_spectrum("abs(x)", 0.3, box=[(-20, 20)])
    assert 0 < boxed.rate - found.rate < 2e-3  # the same edge, seen from a box
    assert 0 < found.rate_error < 5e-3
    with pytest.warns(AccuracyWarning, match="the rates below it stand"):
        smooth = witten.transfer_spectrum("sqrt(1+x^2)", 0.3)
    assert not smooth.continuous
    boxed = witten.transfer_spectrum("sqrt(1+x^2)", 0.3, box=[(-40, 40)])
    assert smooth.rate == pytest.approx(boxed.rate, abs=smooth.rate_error + boxed.rate_error)
    assert (abs(smooth.eigenvalues - boxed.eigenvalues) <= smooth.errors + boxed.errors).all()


@pytest.mark.parametrize(("text", "noise"), [("abs(x)", noises.formula("1+tanh(x)/2")), ("sqrt(1+x^2+y^2)", 1.0)])
def test_a_continuous_spectrum_of_which_the_chain_has_no_closed_form_is_refused(text, noise):
    with pytest.raises(RequestError, match="not discrete; of this chain it is not known where"):
        witten.transfer_spectrum(text, 0.3, noise=noise)
