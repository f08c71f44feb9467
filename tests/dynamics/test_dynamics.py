"""Paths of the SDE: the schemes, what depends on what, and the rates they show."""

import json
import math

import numba
import numpy as np
import pytest
from launcher import cli, needs_mpi, ranks

import witten
from witten.dynamics.equilibrium.equilibrium import equilibrium
from witten.dynamics.equilibrium.wells import find_wells
from witten.dynamics.estimators import batches
from witten.dynamics.estimators.autocorrelation import decay_rate
from witten.dynamics.estimators.hitting_times import residence_rates, slow_rates
from witten.dynamics.estimators.slow_observable import slow_mode
from witten.dynamics.paths import ensemble, gradient_kernels, philox, schemes
from witten.dynamics.paths.ensemble import CoreMap, Motion, Paths, ResidenceTimes
from witten.dynamics.paths.gradient_kernels import block_gradient, exponential
from witten.dynamics.rate_estimate import APART, QUANTILE, chosen
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError, RequestError, Stopped
from witten.objectives import Objective, gallery, resolve
from witten.rates import RateCurve

DOUBLE_WELL = gallery.double_well()


@pytest.fixture
def threads():
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


# ------------------------------------------------------------------------------------------------ schemes


def by_hand(objective, x, s, h, sigma, seed, path, count, scheme):
    """One path, one step after another, in the letters of the schemes."""
    x, a = np.array(x, dtype=float), sigma * math.sqrt(s * h)
    d = x.size
    slope = objective.kernels().gradient

    def gradient(point):
        out = np.empty(d)
        slope(point, out)
        return out

    def noise(k):
        return a * np.array([philox.normal(seed, 0, path, k * d + c) for c in range(d)])

    for k in range(count):
        if scheme == "euler-maruyama":
            x = (x - h * gradient(x)) + noise(k)
        elif scheme == "leimkuhler-matthews":
            x = (x - h * gradient(x)) + (0.5 * noise(k) + 0.5 * noise(k + 1))
        else:
            y = (x - h * gradient(x)) + noise(k)
            x = (x - h * (0.5 * (gradient(x) + gradient(y)))) + noise(k)
    return x


def test_euler_maruyama_with_the_step_s_is_sgd_to_the_bit():
    s, seed, f = 0.1, 11, gallery.shi_su_jordan()
    moved = Paths(Motion(f, s, s, seed=seed), np.full((2, 70), 0.3))
    moved.advance(40)
    slope = f.kernels().gradient
    for path in (0, 1, 63, 64, 69):
        x, g = np.full(2, 0.3), np.empty(2)
        for k in range(40):
            slope(x, g)
            xi = np.array([philox.normal(seed, 0, path, 2 * k + c) for c in range(2)])
            x = x - s * g + s * xi
        assert np.array_equal(moved.x[:, path], x)


@pytest.mark.parametrize("scheme", schemes.SCHEMES)
def test_schemes_are_what_they_say(scheme):
    start = np.array([[0.3], [-0.2]])
    moved = Paths(Motion(gallery.triple_well(), 0.2, 0.03, 1.5, scheme, seed=5), np.repeat(start, 3, axis=1))
    moved.advance(7)
    moved.advance(6)
    for path in range(3):
        expected = by_hand(gallery.triple_well(), start[:, 0], 0.2, 0.03, 1.5, 5, path, 13, scheme)
        assert np.array_equal(moved.x[:, path], expected)


@pytest.mark.parametrize("scheme", schemes.SCHEMES)
def test_a_python_function_moves_as_a_formula_does(scheme):
    f = gallery.triple_well()
    given = Objective.from_callable(f, 2, f.gradient)
    start, cores = np.zeros((2, 5)), CoreMap.within(np.array([[0.3, 0.0], [-0.3, 0.1]]), np.array([9 * np.eye(2)] * 2))
    runs = [Paths(Motion(g, 0.3, 0.02, scheme=scheme, seed=1), start, cores=cores) for g in (f, given)]
    for run in runs:
        run.watch(20, 2)
    assert np.allclose(runs[0].x, runs[1].x, rtol=1e-12, atol=1e-14)
    assert np.array_equal(runs[0].residence_times().resided, runs[1].residence_times().resided)
    records = [run.record(3, 4) for run in runs]
    assert records[0].shape == (3, 2, 5) and np.allclose(*records, rtol=1e-11)


def test_stationary_averages_by_their_orders():
    """<x^2> with f = x^2/2 + x^4/4, s = 1: off by O(h) for Euler-Maruyama, by O(h^2) for the others."""
    f, x = gallery.convex_quartic(), np.linspace(-4, 4, 4001)
    exact = np.average(x**2, weights=np.exp(-2 * f(x[None, :])))

    def bias(scheme, h):
        run = Paths(Motion(f, 1.0, h, scheme=scheme, seed=3), np.zeros((1, 8192)))
        run.advance(round(4 / h))
        return np.mean(run.record(round(60 / h) // 4, 4) ** 2) - exact

    euler, matthews, heun = ([bias(scheme, h) for h in (0.2, 0.1)] for scheme in schemes.SCHEMES)
    assert 1.9 < euler[0] / euler[1] < 3.0 and euler[1] > 0.01
    assert 3.3 < heun[0] / heun[1] < 6.0 and heun[1] < -0.003
    assert max(map(abs, matthews)) < 0.002


def test_stationary_variance_of_sgd_on_a_quadratic():
    """s/(2 theta (1 - s theta/2)), exactly."""
    s, theta = 0.5, 1.5
    run = Paths(Motion(gallery.quadratic(theta), s, s, seed=2), np.zeros((1, 16384)))
    run.advance(60)
    variance = np.var(run.record(30, 10))
    assert variance == pytest.approx(s / (2 * theta * (1 - s * theta / 2)), rel=0.01)


# ------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("name", ["mueller-brown", "rastrigin:dim=40", "double-well:dim=7", "six-hump-camel"])
def test_gradients_of_blocks(name):
    f = resolve(name)
    x = np.random.default_rng(0).uniform(-1, 1, (f.dimension, 64))
    out = np.empty_like(x)
    block_gradient(f)(x, out)
    assert np.allclose(out, f.gradient(x), rtol=1e-13, atol=1e-13)


def test_a_long_formula_that_is_not_separable_is_refused(monkeypatch):
    monkeypatch.setattr(gradient_kernels, "MOST_STRAIGHT", 5)
    with pytest.raises(RequestError, match="not separable"):
        block_gradient(Objective.from_formula(" + ".join(f"x{i}^2*x{i + 1}^2" for i in range(1, 6))))


def test_the_exponential():
    @numba.njit(error_model="numpy")
    def each(x, out):
        for i in range(x.size):
            out[i] = exponential(x[i])

    x = np.concatenate([np.random.default_rng(0).uniform(-700, 709, 20000), [0.0, 1.0, -1.0]])
    out = np.empty_like(x)
    each(x, out)
    assert np.max(np.abs(out / np.exp(x) - 1)) < 4e-16
    odd = np.array([np.inf, -np.inf, np.nan, 800.0, -800.0])
    out = np.empty_like(odd)
    each(odd, out)
    assert out[0] == out[3] == np.inf and np.isnan(out[2]) and 0 <= out[1] == out[4] < 1e-307


# ------------------------------------------------------------------------------------------------ what depends on what


def test_the_bits_of_a_path_do_not_depend_on_threads_batches_or_company(threads):
    motion, start = Motion(gallery.mueller_brown(), 0.2, 0.01, scheme="heun", seed=9), np.zeros((2, 300))
    threads(2)
    whole = Paths(motion, start)
    whole.advance(50)
    threads(1)
    pieces = Paths(motion, start[:, :130])
    pieces.advance(1)
    pieces.record(7, 5)
    pieces.advance(14)
    assert np.array_equal(whole.x[:, :130], pieces.x)


def test_another_seed_or_stream_gives_other_paths():
    addresses = ((0, 0), (1, 0), (0, 1))
    first = [Paths(Motion(DOUBLE_WELL, 0.2, 0.1, seed=a, stream=b), np.zeros((1, 64))) for a, b in addresses]
    for run in first:
        run.advance(5)
    assert not np.isin(first[0].x, first[1].x).any() and not np.isin(first[0].x, first[2].x).any()


def test_a_rate_has_the_same_bits_on_any_number_of_threads(threads):
    found = []
    for count in (1, 2):
        threads(count)
        found.append([simulate_rate(DOUBLE_WELL, s, estimator=e, paths=512, width=0.6, seed=4)
                      for s, e in ((0.5, "autocorrelation"), (0.11, "hitting"))])  # fmt: skip
    for one, other in zip(*found, strict=True):
        assert (one.log_rates[0], one.lower[0], one.upper[0]) == (other.log_rates[0], other.lower[0], other.upper[0])


@needs_mpi
def test_a_rate_has_the_same_bits_on_any_number_of_ranks(tmp_path, monkeypatch):
    # In batches, and of so few paths that two ranks have none.
    monkeypatch.setattr(batches, "MOST_PATHS", 64)
    script = tmp_path / "rate.py"
    script.write_text(
        "from witten import parallel\n"
        "from witten.dynamics.estimators import batches\n"
        "from witten.dynamics.simulation import simulate_rate\n"
        "batches.MOST_PATHS = 64\n"
        "for s, e in ((0.5, 'autocorrelation'), (0.11, 'hitting')):\n"
        "    c = simulate_rate('double-well', s, estimator=e, paths=128, width=0.6, seed=4)\n"
        "    if parallel.world().rank == 0:\n"
        "        print(c.log_rates[0].hex(), c.upper[0].hex(), c.records[0].n_steps)\n"
    )
    run = ranks(3, script)
    assert run.returncode == 0, run
    here = []
    for s, e in ((0.5, "autocorrelation"), (0.11, "hitting")):
        found = simulate_rate(DOUBLE_WELL, s, estimator=e, paths=128, width=0.6, seed=4)
        here.append(f"{found.log_rates[0].hex()} {found.upper[0].hex()} {found.records[0].n_steps}")
    assert run.stdout.splitlines() == here


# ------------------------------------------------------------------------------------------------ divergence


def test_paths_that_diverge_are_counted():
    run = Paths(Motion(gallery.convex_quartic(), 0.1, 0.5, seed=1), np.linspace(0, 4, 100)[None, :])
    run.advance(200)
    lost = run.diverged
    assert 0 < lost < 100
    assert np.count_nonzero(np.isfinite(run.x)) == 100 - lost


def test_divergence_of_all_is_an_error_and_of_some_is_reported():
    with pytest.raises(ConvergenceError, match="left for infinity"):
        simulate_rate("convex-quartic", 0.5, dt=30.0)
    found = simulate_rate("convex-quartic", 2.0, dt=0.15, width=1.0).records[0]
    assert found.diverged > 0 and any("left for infinity" in note for note in found.notes)


# ------------------------------------------------------------------------------------------------ residence times


def plain_lives(labels, m):
    """Residence times from the labels of one path at all observations, in plain Python."""
    resided, moved, transit = np.zeros(m, int), np.zeros((m, m), int), np.zeros((m, m), int)
    home, last = None, 0
    for t, label in enumerate(labels):
        if home is not None:
            resided[home] += 1
            if label and label - 1 != home:
                moved[home, label - 1] += 1
                transit[home, label - 1] += t - last - 1
        if label:
            home, last = label - 1, t
    return resided, moved, transit


def test_lives_are_those_of_a_plain_loop():
    ground = equilibrium(gallery.triple_well(), 0.13)
    cores, motion = ground.cores, Motion(gallery.triple_well(), 0.13, 0.05, seed=3)
    start = np.zeros((2, 70))
    watched = Paths(motion, start, cores=CoreMap.within(cores.centres, cores.metrics))
    recorded = Paths(motion, start)
    watched.watch(900, 3)
    watched.watch(300, 3)
    points = recorded.record(1200, 3)
    labels = 1 + np.array([cores.members(each) for each in points])
    expected = [sum(each) for each in zip(*(plain_lives(labels[:, p], 3) for p in range(70)), strict=True)]
    found = watched.residence_times()
    assert found.moved.sum() > 100
    for one, other in zip((found.resided, found.moved, found.transit), expected, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", ["mueller-brown", "abs(x^2-1) + abs(y)", "(x^2-1)^4 + y^4", "rugged"])
def test_cores_hang_together_and_are_low(name):
    """Also where curvatures say nothing of a well: at kinks, quartics, dimples."""
    f = resolve(name)
    s = 0.1 * find_wells(f).exits[0]
    ground = equilibrium(f, s)
    cores, kept = ground.cores, ground.deep
    assert kept.size > 1 and cores.members(ground.wells.minima[:, kept]).tolist() == list(range(kept.size))
    y = np.random.default_rng(0).normal(size=(f.dimension, 500))
    edge = [c[:, None] + r @ (y / np.linalg.norm(y, axis=0)) for c, r in zip(cores.centres, cores.roots, strict=True)]
    for x, floor, depth in zip(edge, cores.floors, ground.wells.exits[kept], strict=True):
        assert 0.05 * min(s, depth) < np.max(f(x)) - floor < min(2.1 * f.dimension * s, 0.7 * depth)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_cores_know_no_unit_of_length(scale):
    plain = equilibrium(resolve("(x^2-1)^4 + y^4"), 0.1)
    other = equilibrium(resolve(f"((x/{scale!r})^2-1)^4 + (y/{scale!r})^4"), 0.1)
    assert other.cores.roots / scale == pytest.approx(plain.cores.roots, rel=1e-3)


def random_walk(f, s, n, reach):
    """A reversible chain on n points of a line with the law e^{-2f/s}: P and its law."""
    x = np.linspace(-reach, reach, n)
    weight = np.exp(-2 * f(x[None, :]) / s)
    p = np.zeros((n, n))
    for i in range(n):
        for j in (i - 1, i + 1):
            if 0 <= j < n:
                p[i, j] = 0.3 * min(1.0, weight[j] / weight[i])
        p[i, i] = 1 - p[i].sum()
    return x, p, weight / weight.sum()


@pytest.mark.parametrize(("tilt", "s", "allowed"), [(0.0, 0.06, 1e-3), (0.1, 0.08, 3e-3)])
def test_rates_from_lives_are_those_of_the_chain(tilt, s, allowed):
    """Expected residence times on a chain that can be solved, against its eigenvalue."""
    f = gallery.double_well(tilt=tilt)
    x, p, law = random_walk(f, s, 61, 1.7)
    home = np.where(np.abs(x + 1) < 0.15, 1, np.where(np.abs(x - 1) < 0.15, 2, 0))
    free = home == 0
    q = np.zeros((2, 61))  # q_i: core i is the next one seen, from here on, and as p is reversible also the last one
    for i in range(2):
        q[i, home == i + 1] = 1
        q[i, free] = np.linalg.solve((np.eye(61) - p)[np.ix_(free, free)], p[np.ix_(free, home == i + 1)].sum(axis=1))
    observations = 1e15
    overlap = observations * q @ (law[:, None] * q.T)
    transit = np.where(np.eye(2, dtype=bool), 0, overlap)
    found = slow_rates(overlap.sum(axis=1), observations * _moves(p, law, q, home), transit, 1.0)[0]
    exact = -np.log(np.sort(np.linalg.eigvals(p).real)[-2])
    assert found == pytest.approx(exact, rel=allowed)


def _moves(p, law, q, home):
    """Expected arrivals per observation in core j of paths whose last core was i."""
    moved = np.zeros((2, 2))
    for i in range(2):
        j = 1 - i
        moved[i, j] = np.sum((law * q[i])[:, None] * p * (home == j + 1)[None, :])
    return moved


def test_two_equal_wells_are_left_at_half_the_rate():
    resided, moved = np.array([10_000, 10_000]), np.array([[0, 20], [20, 0]])
    nothing = np.zeros((2, 2), dtype=int)
    assert slow_rates(resided, moved, nothing, 0.5)[0] == pytest.approx(2 * 20 / 10_000 / 0.5, rel=3e-3)
    found = residence_rates(ResidenceTimes(resided, moved, nothing), 0.5, seed=0)
    assert found.log_error == pytest.approx(1 / np.sqrt(40), rel=0.15)


def test_a_well_that_was_never_left_leaves_the_other_rate():
    resided, moved = np.array([100_000, 10_000]), np.array([[0, 0], [100, 0]])
    found = residence_rates(ResidenceTimes(resided, moved, np.zeros((2, 2), dtype=int)), 1.0, seed=0)
    assert found.rates[0] == pytest.approx(0.01, rel=0.01)
    assert found.log_error == pytest.approx(0.1, rel=0.2)


# ------------------------------------------------------------------------------------------------ observables


def test_the_decay_of_an_autoregressive_process():
    rate, interval, values = 0.8, 0.15, np.empty((60, 4000))
    a = math.exp(-rate * interval)
    random = np.random.default_rng(1)
    values[0] = random.normal(size=4000)
    for k in range(1, 60):
        values[k] = a * values[k - 1] + math.sqrt(1 - a * a) * random.normal(size=4000)
    found = decay_rate(values, interval, 2, 10)
    assert 0.005 < found.log_error < 0.05
    assert abs(found.log_rate - math.log(rate)) < 3 * found.log_error
    assert found.overlap == pytest.approx(1, abs=0.03)


def test_the_slow_observable_is_the_mode_of_the_operator():
    s, f = 0.25, gallery.double_well(tilt=0.05)
    ground = equilibrium(f, s)
    run = Paths(Motion(f, s, 0.02, scheme="heun", seed=1), ground.sample(512, 0))
    mode = slow_mode(run.record(40, 100), 3)
    exact = witten.spectrum(f, s, 2)
    x = exact.grid.points
    u, v = mode(x), exact.modes[1]
    weight = np.exp(-2 * f(x) / s)
    u, v = ((each - np.average(each, weights=weight)) * np.sqrt(weight) for each in (u, v))
    assert (u @ v) ** 2 / (u @ u) / (v @ v) > 0.99


def test_stationary_points_are_drawn_from_the_law():
    s, f = 0.3, gallery.double_well(tilt=0.05)
    ground = equilibrium(f, s)
    x = ground.sample(20000, 0)[0]
    grid = np.linspace(-3, 3, 20001)
    weight = np.exp(-2 * f(grid[None, :]) / s)
    for power in (1, 2, 4):
        assert np.mean(x**power) == pytest.approx(np.average(grid**power, weights=weight), rel=0.01)


def test_kinks_and_long_valleys_have_time_steps_too():
    """A jump J of the gradient counts as a curvature J^2/s; the valley of Rosenbrock is one well."""
    kinked = equilibrium(Objective.from_formula("2*abs(x) + x^2/4"), 0.5)
    assert 4**2 / 0.5 * 0.9 < kinked.stiffness < 4**2 / 0.5 * 1.1
    assert equilibrium(gallery.quadratic(3.0), 0.5).stiffness == pytest.approx(3)
    assert equilibrium(gallery.rosenbrock(), 0.1).deep.tolist() == [0]


def test_the_grid_needs_a_confining_objective():
    with pytest.raises(RequestError, match="no finite integral"):
        equilibrium(Objective.from_formula("log(1 + x^2)"), 5.0)


# ------------------------------------------------------------------------------------------------ rates


@pytest.mark.parametrize(
    ("name", "s", "estimator"),
    [
        ("double-well", 0.2, "autocorrelation"),
        ("double-well", 0.08, "hitting"),
        ("double-well:tilt=0.1", 0.15, "autocorrelation"),
        ("shi-su-jordan", 0.2, "autocorrelation"),
        ("mueller-brown", 0.5, "autocorrelation"),
        ("triple-well", 0.09, "hitting"),
        ("convex-quartic", 1.0, "autocorrelation"),
        ("convex-quartic", 0.01, "autocorrelation"),
    ],
)
def test_rates_are_those_of_the_operator(name, s, estimator):
    """For one seed the truth may lie outside of a 95 % interval: it lies in one of twice the size."""
    found = simulate_rate(name, s, estimator=estimator, seed=1)
    truth = math.log(witten.gap(name, s, rtol=1e-3).rates[0])
    half = found.upper[0] - found.log_rates[0]
    assert abs(found.log_rates[0] - truth) < 2 * half
    assert half < 0.125 and found.records[0].solver == estimator
    assert found.records[0].confidence == 0.95


def covered(estimates, truth):
    """How many intervals of two errors hold the truth, and deviations in units of the error."""
    z = np.array([(found - truth) / error for found, error in estimates])
    return np.count_nonzero(np.abs(z) < QUANTILE), z


def test_errors_of_decays_cover_as_often_as_they_say():
    """300 repetitions on autoregressive paths; benchmarks/intervals.py has the whole of `simulate_rate`."""
    random, a, estimates = np.random.default_rng(0), math.exp(-1 / 8), []
    for _ in range(300):
        values = np.empty((60, 256))
        values[0] = random.normal(size=256)
        for k in range(1, 60):
            values[k] = a * values[k - 1] + math.sqrt(1 - a * a) * random.normal(size=256)
        found = decay_rate(values, 1 / 8, 2, 10)
        estimates.append((found.log_rate, found.log_error))
    inside, z = covered(estimates, 0.0)
    assert 0.92 <= inside / 300 <= 0.98 and abs(z.mean()) < 0.2


def test_errors_of_lives_cover_as_often_as_they_say():
    """300 repetitions of counts with known means, two unequal wells."""
    random, resided, nothing = np.random.default_rng(1), np.array([400_000, 100_000]), np.zeros((2, 2), dtype=int)
    k = np.array([[0, 50 / 400_000], [150 / 100_000, 0]])
    truth = math.log(slow_rates(resided, k * resided[:, None], nothing, 1.0)[0])
    estimates = []
    for seed in range(300):
        found = residence_rates(ResidenceTimes(resided, random.poisson(k * resided[:, None]), nothing), 1.0, seed)
        estimates.append((math.log(found.rates[0]), found.log_error))
    inside, z = covered(estimates, truth)
    assert 0.92 <= inside / 300 <= 0.98 and abs(z.mean()) < 0.2


def test_sgd_is_not_extrapolated_and_has_the_rate_of_the_chain():
    """Steps 1 - s theta of a quadratic: the rate per unit of time is -log(1 - s theta)/s."""
    found = simulate_rate("quadratic:theta=2", 0.3, scheme="sgd", paths=4096, seed=3)
    half = found.upper[0] - found.log_rates[0]
    assert abs(found.log_rates[0] - math.log(-math.log(1 - 0.6) / 0.3)) < 1.5 * half
    assert found.records[0].dt == 0.3 and half < 0.125


def test_noise_is_a_larger_learning_rate():
    one, other = simulate_rate("double-well", 0.1, noise=2.0, seed=1), simulate_rate("double-well", 0.4, seed=2)
    assert abs(one.log_rates[0] - other.log_rates[0]) < 1.5 * (one.upper[0] - one.log_rates[0])
    assert one.noise == 2.0


def test_auto_goes_by_barriers_beside_the_learning_rate():
    for s, estimator in ((0.5, "autocorrelation"), (0.06, "hitting"), (0.02, "splitting")):
        ground = equilibrium(DOUBLE_WELL, s)
        assert (2 * ground.barrier / s < APART) == (estimator == "autocorrelation")
        assert chosen(ground, 0.05, 2048) == estimator
    assert chosen(equilibrium(gallery.convex_quartic(), 1e-3), 0.05, 2048) == "autocorrelation"


def test_a_curve_keeps_what_simulation_knows(tmp_path):
    curve = simulate_rate("quadratic", [0.3, 0.1], paths=256, width=1.0)
    curve.save(tmp_path / "a.nc")
    again = RateCurve.load(tmp_path / "a.nc")
    assert curve.method == again.method == "monte-carlo"
    assert again.records == curve.records


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    """What is there is not simulated again, but for what a stop has ended; the file is that of one run."""
    path, asked, rough = tmp_path / "a.nc", [0.3, 0.2, 0.1], {"paths": 256, "width": 0.9}
    calls = iter([None, None])
    with pytest.raises(Stopped):
        simulate_rate("quadratic", asked, output=path, stop=lambda: next(calls, "enough"), **rough)
    kept = RateCurve.load(path)
    assert 1 <= len(kept.records) < 3
    seen = []
    found = simulate_rate("quadratic", asked, output=path, resume=True, progress=seen.append, **rough)
    again, whole = RateCurve.load(path), simulate_rate("quadratic", asked, **rough)
    assert np.array_equal(found.log_rates, whole.log_rates) and np.array_equal(again.log_rates, whole.log_rates)
    assert len(seen) == 3 and seen[0].seconds == kept.records[0].seconds != whole.records[0].seconds
    assert [r.notes for r in again.records] == [r.notes for r in whole.records]
    with pytest.raises(RequestError, match="seed"):
        simulate_rate("quadratic", asked, output=path, resume=True, seed=1, **rough)


def test_what_a_stop_has_ended_is_done_again(tmp_path):
    path, request = tmp_path / "a.nc", {"paths": 256, "width": 0.08}
    calls = iter([None, None, "enough"])
    with pytest.raises(Stopped):
        simulate_rate("quadratic", 0.3, output=path, stop=lambda: next(calls, "enough"), **request)
    (ended,) = RateCurve.load(path).records
    assert ended.stopped
    (again,) = simulate_rate("quadratic", 0.3, output=path, resume=True, **request).records
    assert not again.stopped and again.upper - again.lower < ended.upper - ended.lower


def test_a_stop_keeps_what_is_done():
    calls = iter([None, None])
    with pytest.raises(Stopped, match="enough") as stopped:
        simulate_rate("quadratic", [0.3, 0.2, 0.1], paths=256, width=0.9, stop=lambda: next(calls, "enough"))
    assert 1 <= len(stopped.value.curve.records) < 3


def test_a_walltime_ends_a_long_run_with_the_interval_it_has():
    with pytest.raises(Stopped, match="walltime") as stopped:
        simulate_rate(DOUBLE_WELL, 0.05, estimator="hitting", walltime=0.5)
    for record in stopped.value.curve.records:
        assert record.resolved and "narrow" in " ".join(record.notes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"learning_rates": -0.1}, "learning rate must be positive"),
        ({"estimator": "guess"}, "unknown estimator"),
        ({"scheme": "verlet"}, "unknown scheme"),
        ({"scheme": "sgd", "dt": 0.1}, "time step of SGD"),
        ({"paths": 3}, "at least 128 paths"),
        ({"dt": 0.0}, "dt must be positive"),
        ({"noise": math.nan}, "noise must be positive"),
        ({"learning_rates": []}, "no learning rates"),
        ({"estimator": "hitting", "learning_rates": 2.0}, "nothing is hit"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_requests_that_are_wrong(arguments, words):
    with pytest.raises(RequestError, match=words):
        simulate_rate("double-well", **{"learning_rates": 0.1, **arguments})


# ------------------------------------------------------------------------------------------------ the command


def test_simulate_on_the_command_line(tmp_path):
    arguments = ("simulate", "quadratic", "--lr", "0.3,0.1", "--paths", "256", "--seed", "3")
    done = cli(*arguments, "--json", "-o", str(tmp_path / "a.nc"), "--plot", str(tmp_path / "a.png"))
    assert (done.returncode, done.stderr) == (0, ""), done
    found = json.loads(done.stdout)
    assert [record["learning_rate"] for record in found["records"]] == [0.3, 0.1]
    for record in found["records"]:
        assert {"learning_rate", "rate", "ci_low", "ci_high", "confidence", "estimator", "n_paths", "n_steps", "dt",
                "seconds"} <= set(record)  # fmt: skip
        assert record["ci_low"] < record["rate"] < record["ci_high"] and record["confidence"] == 0.95
    curve = simulate_rate("quadratic", [0.3, 0.1], paths=256, seed=3)
    assert [record["rate"] for record in found["records"]] == curve.rates.tolist()
    assert np.array_equal(RateCurve.load(tmp_path / "a.nc").rates, curve.rates) and (tmp_path / "a.png").exists()


def test_simulate_stops_at_a_walltime_with_what_is_known():
    """Minutes of work, two seconds of time."""
    long = ("simulate", "double-well", "--lr", "0.045,0.1", "--estimator", "hitting")
    done = cli(*long, "--walltime", "00:00:02", "--json")
    assert done.returncode == 4 and "walltime" in done.stderr and done.stderr.count("\n") == 1, done
    assert len(json.loads(done.stdout)["records"]) < 2


def test_paths_are_slices_of_whole_blocks():
    for count, parts in ((1, 2), (64, 2), (65, 2), (1000, 3), (4096, 7)):
        slices = list(ensemble._slices(count, parts))
        assert slices[0][0] == 0 and slices[-1][1] == count
        assert all(b == c and b % schemes.WIDTH == 0 for (_, b), (c, _) in zip(slices, slices[1:], strict=False))
