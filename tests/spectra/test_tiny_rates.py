"""Rates below rounding, down to 1e-300 and beyond: against high precision, quadrature and the Eyring-Kramers law."""

import warnings
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples
from references import double_well, rates_1d, shi_su_jordan
from scipy.optimize import brentq
from scipy.sparse import csr_array

import witten
from witten.domains.grid import Grid
from witten.domains.sublevel import sublevel
from witten.linalg.graded_eigenvalues import slow_modes
from witten.linalg.merge_tree import merge_tree_of_graph
from witten.linalg.nested_dissection import nested_dissection
from witten.linalg.richardson import extrapolated, extrapolated_logs
from witten.objectives import resolve
from witten.operators.differences.finite_differences import FiniteDifferences, Pattern
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra import Chain, Committors, Dense, Lanczos, Multigrid, TwoScales
from witten.spectra.committors.graph import SHALLOWEST, _direct, _iterative
from witten.spectra.committors.grounded_laplacian import Grounded, GroundedNodes
from witten.spectra.solvers.combined import merged, planned
from witten.spectra.solvers.eigensolve import eigensolve

# Three wells on a line; the barriers out of the outer ones are 1.19 and 0.29.
THREE = "x^2*(x^2-4)^2/40 - 1.2*exp(-4*x^2) - exp(-4*(x+2)^2) - 0.06*exp(-8*(x-2)^2)"


def on_grid(spec, intervals, cells, s):
    return FiniteDifferences(resolve(spec), Grid.uniform(intervals, cells)).assemble(s)


def high_precision(operator):
    """The matrix in mpmath's working precision, from f at the nodes and the couplings: A psi_0 = 0 exactly."""
    a, s = operator.matrix, mp.mpf(operator.learning_rate)
    f = [mp.mpf(float(value)) for value in operator.values]
    dense = mp.zeros(a.shape[0])
    for i in range(a.shape[0]):
        for e in range(a.indptr[i], a.indptr[i + 1]):
            j = int(a.indices[e])
            if j != i:
                dense[i, j] = mp.mpf(float(a.data[e]))
                dense[i, i] -= dense[i, j] * mp.exp((f[i] - f[j]) / s)
    return dense


def exact_logs(operator, digits):
    """Logarithms of all positive eigenvalues, ascending, with so many digits."""
    with mp.workdps(digits):
        return [mp.log(x) for x in sorted(mp.eigsy(high_precision(operator), eigvals_only=True))[1:]]


def off(log_rates, exact):
    """Relative errors of rates given by their logarithms."""
    return np.array([float(mp.expm1(mp.mpf(float(a)) - b)) for a, b in zip(log_rates, exact, strict=False)])


# ------------------------------------------------------------------------------------------------ chains

CHAINS = {  # objective, interval, cells, s, digits
    "1e-3": ("double-well", (-1.7, 1.7), 24, 0.1, 30),
    "1e-10": ("shi-su-jordan-1d", (-0.95, 1.05), 40, 0.01, 40),
    "1e-108": ("double-well:tilt=0.01", (-1.5, 1.5), 36, 0.002, 170),
    "1e-430": ("double-well", (-1.5, 1.5), 40, 0.0005, 500),
    "three": (THREE, (-2.6, 2.6), 40, 0.02, 150),
}


@pytest.mark.parametrize("name", CHAINS)
def test_every_rate_of_a_chain_has_every_digit(name):
    spec, interval, cells, s, digits = CHAINS[name]
    operator = on_grid(spec, [interval], cells, s)
    exact = exact_logs(operator, digits)
    pairs = Chain().solve(operator, len(exact))
    difference = abs(off(pairs.log_rates, exact))
    assert (difference <= pairs.relative).all(), difference
    assert difference.max() < 1e-12
    np.testing.assert_allclose(pairs.psi.T @ pairs.psi, np.eye(len(exact)), atol=1e-8)
    assert (pairs.residuals <= 1e-10 * operator.matrix.diagonal().max()).all()


def test_double_rates_of_a_chain_get_different_vectors():
    """Two wells alike: rates within 1e-50 of each other."""
    operator = on_grid("double-well", [(-1.6, 1.6)], 300, 0.004)
    pairs = Chain().solve(operator, 6)
    assert pairs.rates[3] - pairs.rates[2] < 1e-12
    np.testing.assert_allclose(pairs.psi.T @ pairs.psi, np.eye(6), atol=1e-11)
    assert (pairs.residuals <= 1e-13 * operator.matrix.diagonal().max()).all()


def test_a_chain_in_pieces_has_as_good_as_no_rate():
    mask = np.ones(60, dtype=bool)
    mask[28:32] = False
    grid = Grid(Grid.uniform([(-1.8, 1.8)], 60).box, (60,), mask)
    operator = FiniteDifferences(resolve("double-well"), grid).assemble(0.1)
    assert Chain().solve(operator, 2).log_rates[0] < -1e8


def test_a_chain_is_one_dimensional():
    with pytest.raises(witten.RequestError, match="a chain has dimension 1"):
        Chain().solve(on_grid("quadratic:dim=2", [(-2, 2)] * 2, 8, 0.5), 1)


# ------------------------------------------------------------------------------------------------ committors

PLANES = {  # objective, intervals, cells, s, digits: not separable, or on few nodes
    "1e-6": ("double-well:tilt=0.05,dim=2", [(-1.5, 1.5), (-0.6, 0.6)], (12, 3), 0.04, 40),
    "1e-14": ("double-well:tilt=0.02,dim=2", [(-1.5, 1.5), (-0.6, 0.6)], (12, 3), 0.018, 50),
    "three": ("triple-well:tilt_x=0.05,tilt_y=0.02", [(-1.3, 1.3)] * 2, (7, 7), 0.005, 320),
    "1e-230": ("((x+y)^2-2)^2/16 + (x-y)^2/3", [(-1.4, 1.4)] * 2, (7, 7), 0.0009, 700),
}


@cache
def plane(name):
    spec, intervals, cells, s, digits = PLANES[name]
    operator = on_grid(spec, intervals, cells, s)
    return operator, exact_logs(operator, digits)


@pytest.mark.parametrize("deepest", [150.0, 20.0])
@pytest.mark.parametrize("name", PLANES)
def test_small_rates_of_a_plane_have_every_digit(name, deepest):
    operator, exact = plane(name)
    pairs = Committors(deepest=deepest).solve(operator, 2)
    difference = abs(off(pairs.log_rates, exact))
    assert difference.size >= (2 if name == "three" else 1)
    assert (difference <= pairs.relative).all() and difference.max() < 1e-10


def random_graph(seed, decades):
    """A 5 x 5 grid with heights and couplings drawn at random; the weights span so many decades."""
    rng = np.random.default_rng(seed)
    grid = Grid.uniform([(0, 1), (0, 1)], 5)
    pattern = Pattern.of(grid)
    rows = np.repeat(np.arange(25), np.diff(pattern.indptr))
    values = rng.random(25)
    s = 2.0 / (decades * np.log(10.0))
    coupling = rng.uniform(-2, 2, (25, 25))
    coupling = 10.0 ** (coupling + coupling.T)
    data = np.where(rows == pattern.indices, 0.0, -coupling[rows, pattern.indices])
    terms = -data * np.exp((values[rows] - values[pattern.indices]) / s)
    np.add.at(data, np.flatnonzero(rows == pattern.indices), np.bincount(rows, terms))
    return WittenLaplacian(s, csr_array((data, pattern.indices, pattern.indptr)), values, grid, "random")


@given(st.integers(0, 10**6), st.floats(5, 300))
@example(61, 206.0)  # two nodes of one core that exchange slowly, without a barrier between them
@examples(12)
def test_small_rates_of_random_graphs_over_300_decades(seed, decades):
    operator = random_graph(seed, decades)
    exact = exact_logs(operator, int(60 + 2 * decades))
    pairs = Committors().solve(operator, 24)
    difference = abs(off(pairs.log_rates, exact))
    assert (difference <= pairs.relative).all()
    # Whatever is below the relaxation inside the wells was found.
    depths = merge_tree_of_graph(
        operator.matrix.indptr, operator.matrix.indices, operator.values, SHALLOWEST * operator.learning_rate
    )
    if pairs.rates.size < depths.minima.size - 1:
        assert exact[pairs.rates.size] > -2 * SHALLOWEST - 12


@cache
def columns(s, nx, ny):
    """THREE along x, two unequal directions across: the sums of two chains are the exact discrete rates."""
    intervals = [(-2.7, 2.7), (-0.9, 0.9)]
    operator = on_grid(THREE + " + y^2/2 + y^3/9", intervals, (nx, ny), s)
    return operator, Chain().solve(on_grid(THREE, intervals[:1], nx, s), 3)


@pytest.mark.parametrize(
    ("s", "decades"),
    [
        (0.026, (-39.76818, -10.15474)),
        (0.02, (-51.69324, -13.07976)),
        (0.004, (-258.3905, -63.78601)),
        (0.0034, (-303.9854, -74.97135)),
    ],
)
def test_three_graded_wells_on_a_full_size_grid(s, decades):
    """Both small rates, tens to hundreds of decades apart; the same on the separable grid and on the chain."""
    operator, chain = columns(s, 160, 40)
    pairs = Committors().solve(operator, 2)
    assert pairs.rates.size == 2
    np.testing.assert_allclose(pairs.log_rates / np.log(10), decades, rtol=2e-5)
    assert (abs(np.expm1(pairs.log_rates - chain.log_rates[:2])) < 1e-10).all()
    assert (abs(np.expm1(pairs.log_rates - chain.log_rates[:2])) <= pairs.relative + chain.relative[:2]).all()
    np.testing.assert_allclose(pairs.psi.T @ pairs.psi, np.eye(2), atol=1e-8)
    assert abs(operator.ground_state @ pairs.psi).max() < 1e-8


def test_committors_that_fit_no_finer_grid_give_way(monkeypatch):
    f, s = "double-well:tilt=0.05,dim=2", 0.02
    whole = witten.gap(f, [s], rtol=1e-5).records[0]
    # Two wells on the first grid, and not on one of four times as many nodes.
    monkeypatch.setattr("witten.spectra.committors.graph.MOST_ENTRIES", whole.n_dofs)
    part = witten.gap(f, [s], rtol=1e-5).records[0]
    assert whole.solver == "fd committors" != part.solver
    assert abs(part.log_rate - whole.log_rate) <= part.log_error + whole.log_error < 1e-4


def test_nested_dissection_changes_nothing_but_the_order(monkeypatch):
    operator, _ = columns(0.02, 160, 40)
    before = Committors().solve(operator, 2).log_rates
    order = nested_dissection(operator.grid.mask)
    assert sorted(order) == list(range(operator.n_dofs))
    monkeypatch.setattr("witten.spectra.committors.grounded_laplacian.DISSECT_FROM", 0)
    np.testing.assert_allclose(Committors().solve(operator, 2).log_rates, before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("s", [0.02, 0.004])
def test_conjugate_gradients_find_the_same_rates(s):
    operator, chain = columns(s, 160, 40)
    found = merge_tree_of_graph(operator.matrix.indptr, operator.matrix.indices, operator.values, SHALLOWEST * s)
    reduced = _iterative(Grounded(operator, GroundedNodes.of(operator, found, 14.0)))
    log_rates, _ = slow_modes(reduced.wells, 2, reduced.longest)
    difference = abs(np.expm1(log_rates - chain.log_rates[:2]))
    assert (difference <= reduced.errors(log_rates)).all() and difference.max() < 1e-8


def test_committors_in_three_dimensions():
    """By multigrid: the grid is too large to factor. The gap is that of the chain."""
    intervals = [(-1.5, 1.5), (-0.7, 0.7), (-0.7, 0.7)]
    operator = on_grid("double-well:dim=3", intervals, (60, 26, 26), 0.01)
    chain = Chain().solve(on_grid("double-well", intervals[:1], 60, 0.01), 1)
    pairs = Committors().solve(operator, 1)
    assert abs(np.expm1(pairs.log_rates - chain.log_rates)) <= pairs.relative < 1e-8


# ------------------------------------------------------------------------------------------------ guards


@pytest.mark.parametrize("kept", [2, 3])
def test_a_well_that_is_missed_does_not_spoil_a_rate_silently(kept):
    """What is not grounded makes the way back to the cores long; the rate is right within its bar, or not given."""
    operator, chain = columns(0.03, 160, 40)
    found = merge_tree_of_graph(operator.matrix.indptr, operator.matrix.indices, operator.values, SHALLOWEST * 0.03)
    assert found.minima.size == 3
    pairs = Committors()._pairs(operator, found.only(slice(kept)), 2)
    assert pairs.rates.size == kept - 1
    assert (abs(np.expm1(pairs.log_rates - chain.log_rates[: kept - 1])) <= pairs.relative).all()
    # without the deepest but one there is nothing to be said about the smallest rate
    wrong = found.only(np.array([0, 2]))
    assert Committors()._pairs(operator, wrong, 2).rates.size == 0


def test_the_way_back_bounds_every_rate_but_the_small_ones():
    """1/max tau lies below the first rate that is not small, and above those that are."""
    for name in ("1e-6", "three"):
        operator, exact = plane(name)
        found = merge_tree_of_graph(
            operator.matrix.indptr, operator.matrix.indices, operator.values, SHALLOWEST * operator.learning_rate
        )
        reduced = _direct(Grounded(operator, GroundedNodes.of(operator, found, 150.0)))
        m = found.minima.size
        assert float(exact[m - 2]) < -np.log(reduced.longest) < float(exact[m - 1])


def test_without_wells_there_is_nothing_small():
    assert Committors().solve(on_grid("quadratic:dim=2", [(-2, 2)] * 2, 20, 0.1), 3).rates.size == 0
    solver, pairs = planned(on_grid("quadratic:dim=2", [(-2, 2)] * 2, 20, 0.1), 5, 2, Lanczos())
    assert solver == Lanczos() and pairs.rates.size == 5


# ------------------------------------------------------------------------------------------------ the choice


@pytest.mark.parametrize("s", [0.3, 0.2, 0.1, 0.06, 0.04, 0.03, 0.02, 0.016])
@pytest.mark.parametrize("fast", [Lanczos(), Dense()], ids=["lanczos", "dense"])
def test_where_two_ways_apply_they_agree_within_their_errors(s, fast):
    operator = on_grid("double-well:tilt=0.02,dim=2", [(-1.8, 1.8), (-1.2, 1.2)], (36, 18), s)
    slow, quick = Committors().solve(operator, 4), fast.solve(operator, 7)
    chain = Chain().solve(on_grid("double-well:tilt=0.02", [(-1.8, 1.8)], 36, s), 1)
    both = merged(slow, quick)
    for pairs in (slow, quick, both):
        if pairs.rates.size:
            error = abs(np.expm1(pairs.log_rates[0] - chain.log_rates[0]))
            assert error <= pairs.relative_errors(1)[0] + chain.relative[0]
    assert slow.rates.size == (1 if s <= 0.06 else 0)
    assert both.relative_errors(1)[0] <= quick.relative_errors(1)[0]
    assert (np.diff(both.rates[:4]) >= 0).all()


def test_small_and_large_rates_in_one_spectrum():
    operator, chain = columns(0.02, 160, 40)
    found = eigensolve(operator, 6)
    assert found.solver == "committors+lanczos"
    assert (abs(np.expm1(found.log_rates[1:3] - chain.log_rates[:2])) < 1e-10).all()
    exact = np.sort(np.add.outer(across_rates(), along_rates()).ravel())[1:6]
    assert (abs(found.rates[1:] - exact) <= found.errors[1:] + 1e-10 * exact).all()
    gram = (found.modes * operator.ground_state**2) @ found.modes.T
    np.testing.assert_allclose(gram, np.eye(6), atol=1e-6)


def along_rates():
    return np.append(0.0, Chain().solve(on_grid(THREE, [(-2.7, 2.7)], 160, 0.02), 8).rates)


def across_rates():
    return np.append(0.0, Chain().solve(on_grid("x^2/2 + x^3/9", [(-0.9, 0.9)], 40, 0.02), 8).rates)


def test_multigrid_joins_committors():
    operator, chain = columns(0.02, 160, 40)
    pairs = TwoScales(Multigrid()).solve(operator, 7)
    assert (abs(np.expm1(pairs.log_rates[:2] - chain.log_rates[:2])) < 1e-10).all()
    np.testing.assert_allclose(pairs.rates[2:4], eigensolve(operator, 5).rates[3:5], rtol=1e-5)


SEAM = np.geomspace(0.3, 0.003, 9)


@pytest.mark.parametrize("spec", ["double-well:tilt=0.1,dim=2"])
def test_no_seam_from_large_to_small_learning_rates(spec):
    """The gap in two dimensions is that in one, to the bars of both, by whatever method."""
    used = set()
    for s in SEAM:
        one, two = (witten.gap(name, s).records[0] for name in (spec.replace("dim=2", "dim=1"), spec))
        apart = abs(two.log_rate - one.log_rate)
        assert two.resolved and two.log_error < 1e-4 and one.log_error < 1e-4
        assert apart <= two.log_error + one.log_error, f"{s}: {apart}"
        used.add(two.solver)
    assert {"fd lanczos", "fd committors"} <= used


# ------------------------------------------------------------------------------------------------ the continuum


def log_rate_by_quadrature(f, slope_zeros, s, digits=30):
    """log of (s/2) (1/int_L e^{-2f/s} + 1/int_R e^{-2f/s}) / int e^{2f/s} between the minima, exact up to e^{-2H/s}."""
    with mp.workdps(digits):
        s = mp.mpf(s)
        a, z, b = (mp.mpf(x) for x in slope_zeros)

        def peak(center, low, high, sign):
            """int_low^high of e^{sign 2 (f(center) - f)/s}, with panels about as wide as the peak."""
            width = mp.sqrt(s)
            nodes = sorted(
                {low, high, *(center + i * width for i in range(-14, 15) if low < center + i * width < high)}
            )
            return mp.quad(lambda x: mp.exp(sign * 2 * (f(center) - f(x)) / s), nodes)

        left, right = peak(a, a - 1, z, 1), peak(b, z, b + 1, 1)
        top = peak(z, a, b, -1)
        exits = [mp.log(1 / area) + 2 * (f(m) - f(z)) / s for area, m in ((left, a), (right, b))]
        return mp.log(s / 2 / top) + mp.log(mp.exp(exits[0] - exits[1]) + 1) + exits[1]


@pytest.mark.parametrize("tilt", [0.0, 0.05])
@pytest.mark.parametrize("s", [0.01, 0.002, 5e-4, 1e-4])
def test_there_is_no_smallest_rate_in_one_dimension(s, tilt):
    f = lambda x: (x * x - 1) ** 2 / 4 + tilt * x  # noqa: E731
    zeros = [brentq(lambda x: x**3 - x + tilt, *ends, xtol=1e-15) for ends in ((-1.5, -0.8), (-0.5, 0.5), (0.8, 1.5))]
    exact = log_rate_by_quadrature(f, zeros, s)
    found = witten.gap(f"double-well:tilt={tilt}", s).records[0]
    assert abs(found.log_rate - float(exact)) <= found.log_error <= 1e-4
    assert found.resolved and found.log10_rate < -18
    assert (found.rate is None) == (found.log10_rate < -307)


def test_the_law_of_eyring_and_kramers_with_its_first_correction():
    """lambda = (sqrt 2/pi) e^{-1/(2s)} (1 - 3 s/4 + O(s^2))."""
    for s in (1e-3, 1e-4):
        found = witten.gap("double-well", s, rtol=1e-7).records[0]
        law = np.log(np.sqrt(2) / np.pi) - 1 / (2 * s)
        assert found.log_rate - law == pytest.approx(-0.75 * s, abs=2 * s**2 + 2e-7)


PRINTED = [
    ("double-well", 0.01, 8.6162007419e-23),
    ("double-well:dim=2", 0.01, 8.6162007419e-23),
    ("shi-su-jordan-1d", 0.01, 1.0956734777e-10),
]


@pytest.mark.parametrize(("spec", "s", "rate"), PRINTED)
def test_printed_values_to_six_digits(spec, s, rate):
    found = witten.gap(spec, s, rtol=1e-6).records[0]
    assert abs(found.rate - rate) <= found.rate_error <= 1e-6 * rate
    assert found.rate == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(
    ("spec", "s", "by_hand"),
    [
        ("double-well:dim=2", 0.002, double_well()),
        ("double-well:tilt=0.1,dim=2", 0.001, double_well(0.25, 0.1)),
        ("shi-su-jordan", 0.005, shi_su_jordan),
        ("shi-su-jordan-1d", 0.001, shi_su_jordan),
    ],
)
def test_tiny_rates_against_quadrature(spec, s, by_hand):
    found = witten.gap(spec, s, rtol=1e-5).records[0]
    exact = rates_1d(by_hand, s, 1)[0]
    assert abs(found.rate / exact - 1) <= found.log_error <= 1.1e-5


def test_a_rate_of_1e_minus_300_in_two_dimensions():
    one, two = (witten.gap(spec, 0.00073).records[0] for spec in ("double-well", "double-well:dim=2"))
    assert -301 < two.log10_rate < -296 and two.rate is not None
    assert abs(two.log_rate - one.log_rate) <= two.log_error + one.log_error <= 2e-4


def kramers(s):
    """Both rates of the tilted triple well by the matrix Q of the Eyring-Kramers law, to leading order."""
    f = resolve("triple-well:tilt_x=0.05,tilt_y=0.02")
    angles = np.pi / 3 * np.arange(6)
    points = [newton(f, r * np.array([np.cos(a), np.sin(a)])) for a, r in zip(angles, [1.2, 0.9] * 3, strict=True)]
    minima, saddles = points[0::2], points[1::2]
    q = np.zeros((3, 3))
    for i, z in enumerate(saddles):
        curvatures = np.linalg.eigvalsh(f.hessian(z))
        assert curvatures[0] < 0 < curvatures[1]
        for a, b in ((i, (i + 1) % 3), ((i + 1) % 3, i)):
            det = np.linalg.det(f.hessian(minima[a])) / abs(np.prod(curvatures))
            q[a, b] += -curvatures[0] / (2 * np.pi) * np.sqrt(det) * np.exp(-2 * (f(z) - f(minima[a])) / s)
    q -= np.diag(q.sum(axis=1))
    total, minors = -np.trace(q), sum(q[i, i] * q[j, j] - q[i, j] * q[j, i] for i, j in ((0, 1), (0, 2), (1, 2)))
    large = (total + np.sqrt(total**2 - 4 * minors)) / 2
    return np.array([minors / large, large])


def newton(f, x):
    for _ in range(50):
        x = x - np.linalg.solve(f.hessian(x), f.gradient(x))
    return x


def test_both_small_rates_of_the_tilted_triple_well_follow_the_law():
    """The ratio to the law is 1 + O(s): its distance from one halves with s."""
    ratios = []
    for s in (0.01, 0.005):
        found = witten.spectrum("triple-well:tilt_x=0.05,tilt_y=0.02", s, 3)
        assert found.solver == "fd committors" and found.resolved.all()
        ratios.append(found.rates[1:] / kramers(s))
    assert (abs(ratios[0] - 1) < 0.1).all()
    np.testing.assert_allclose((ratios[0] - 1) / (ratios[1] - 1), 2.0, rtol=0.1)


# ------------------------------------------------------------------------------------------------ logarithms throughout


@given(st.floats(-5000, 300), st.floats(0.01, 0.3), st.floats(-1, 1))
@examples(50)
def test_extrapolation_of_logarithms_is_that_of_values(size, h, b):
    levels = [np.array([1.0 + b * (h / 2**i) ** 2, 3.0 + (h / 2**i) ** 2 - (h / 2**i) ** 4]) for i in range(4)]
    values, errors = extrapolated(levels)
    logs, relative = extrapolated_logs([size + np.log(level) for level in levels])
    np.testing.assert_allclose(logs - size, np.log(values), atol=1e-11)
    np.testing.assert_allclose(relative, errors / values, rtol=1e-3, atol=2e-11)


def test_modes_are_finite_where_the_ground_state_underflows():
    found = witten.spectrum("double-well", 1e-4, 3)
    assert np.isfinite(found.modes).all()
    x = found.grid.points[0]
    np.testing.assert_allclose(abs(found.modes[1][abs(x) > 0.5]), 1.0, atol=1e-9)
    assert found.modes[1][x.argmin()] * found.modes[1][x.argmax()] < 0
    assert (
        found.rates[1] == 0.0
        and found.resolved[1]
        and found.log_rates[1] / np.log(10) == pytest.approx(-2171.819, abs=1e-3)
    )
    assert found.multiplets == ()


def test_a_sweep_of_one_grid_knows_tiny_rates_too():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        region = sublevel(resolve("double-well:dim=2"), 0.005)
        curve = witten.sweep(FiniteDifferences(resolve("double-well:dim=2"), region.grid().refined()), [0.005, 0.0048])
    assert curve.resolved.all() and (np.exp(curve.log_rates) < 1e-40).all()
    assert (curve.upper - curve.lower < 1e-10).all()
