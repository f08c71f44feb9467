"""What paths of equilibrium do not see: high wells and plateaus watched by their exits, continuous spectra, narrow
wells, near-ties; and simulation wherever the origin is, whatever the unit of length and the axes."""

import math

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from witten.cli.sampled_rates import json_row
from witten.dynamics.equilibrium.equilibrium import equilibrium
from witten.dynamics.equilibrium.wells import find_wells
from witten.dynamics.estimators import unvisited_rates, unvisited_regions
from witten.dynamics.estimators.autocorrelation import decay_rate
from witten.dynamics.estimators.escape_rate import Escape
from witten.dynamics.estimators.unvisited_regions import below, narrow_wells, slow_regions
from witten.dynamics.paths.ensemble import Motion, affordable
from witten.dynamics.request import Request
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError
from witten.objectives import Objective, resolve
from witten.parallel import Communicator
from witten.rates import SampledRate

HIGH_WELL = "x^6/6-0.55*x^4+0.55*x^2+0.03*x"
PLATEAU = "3*(1-exp(-2*x^2))+0.02*x^4"


def schroedinger(text, s, half_width):
    """The smallest rates of -s u'' + V_s u on a line, halved: second differences on 8001 nodes."""
    f, x = resolve(text), np.linspace(-half_width, half_width, 8001)
    h = x[1] - x[0]
    v = f.gradient(x[None])[0] ** 2 / s - f.laplacian(x[None])
    return 0.5 * eigh_tridiagonal(2 * s / h**2 + v, np.full(8000, -s / h**2), select="i", select_range=(0, 4))[0]


def interval(text, s, **options):
    (record,) = simulate_rate(text, s, **options).records
    return math.exp(record.lower), math.exp(record.upper), record


@pytest.mark.parametrize(("s", "quoted"), [(0.02, 6.86832e-3), (0.021, None), (0.03, None)])
def test_a_shallow_well_that_equilibrium_does_not_visit(s, quoted):
    truth = schroedinger(HIGH_WELL, s, 2.2)[1]
    assert quoted is None or truth == pytest.approx(quoted, rel=1e-3)
    low, high, record = interval(HIGH_WELL, s, paths=512, width=0.5, seed=1)  # of seeds 0 to 39, 38 on average hold
    assert low <= truth <= high < 1.6 * truth and record.solver == "hitting"
    assert "watched by paths that start there" in record.notes[-1]


def test_a_plateau_is_left_at_the_rate_of_its_mode():
    """60 s above the only minimum, where the measure is e^-120; equilibrium shows 12."""
    truth = schroedinger(PLATEAU, 0.05, 5.0)[1]
    assert truth == pytest.approx(2.60099, rel=1e-4)
    low, high, record = interval(PLATEAU, 0.05, paths=1024, width=0.4)
    assert low <= truth <= high < 1.5 * truth and record.solver == "hitting" and not record.blind
    found = slow_regions(equilibrium(resolve(PLATEAU), 0.05), 2.6)
    ends = sorted((region.centres.min(), region.centres.max()) for region in found.regions)
    assert found.end and np.array(ends) == pytest.approx(np.array([(-1.87, -1.485), (1.485, 1.87)]), abs=3e-3)


def test_a_hazard_is_the_rate_of_a_mode_for_any_time_between_looks():
    f, s = resolve(PLATEAU), 0.05
    ground = equilibrium(f, s)
    (first, _) = slow_regions(ground, 2.8).regions
    truth = math.log(schroedinger(PLATEAU, s, 5.0)[1])
    for every in (2, 8):
        motion = Motion(f, s, 0.0167, 1.0, "heun", 3, 1000 * every)
        escape = Escape(motion, first.sample(2048, 0), below(ground.gibbs, f, first), every, Communicator())
        assert escape.converge() and escape.log_rate == (pytest.approx(math.nan, nan_ok=True), math.inf)
        for _ in range(4):
            escape.more()
        value, error = escape.log_rate
        assert abs(value - truth) < 3.5 * error + 0.02 and error < 0.12 and abs(escape.later[0] - value) < 0.2


def test_what_hardly_anything_leaves_is_refused(monkeypatch):
    monkeypatch.setattr("witten.dynamics.estimators.escape_rate.MOST_STEPS", 10_000)
    f = resolve("(x^2-1)^2/4")
    region = unvisited_regions.Region(np.array([[1.0]]), np.array([0.1]), 0.0, 0.0, 0.5)
    target = below(equilibrium(resolve("(x+1)^2"), 0.05).gibbs, resolve("(x+1)^2"), region)
    escape = Escape(Motion(f, 0.05, 0.05), region.sample(128, 0), target, 8, Communicator())
    with pytest.raises(ConvergenceError, match="do not leave"):
        escape.converge()


@pytest.mark.parametrize("text", ["abs(x)", "sqrt(0.01+x^2)"])
def test_a_rate_in_the_continuous_spectrum_is_no_rate(text):
    with pytest.raises(ConvergenceError, match=r"continuous from 2\.5 on"):
        simulate_rate(text, 0.2, paths=512)


def test_a_rate_below_the_continuous_spectrum_is_one():
    """log cosh at s = 1/2: the first rate is exactly 3/4, the spectrum continuous from 1 on."""
    low, high, _ = interval("log(cosh(x))", 0.5)
    assert low <= 0.75 <= high < 1


def test_no_end_of_slow_places_leaves_no_rate(monkeypatch):
    monkeypatch.setattr(unvisited_regions, "SHELLS", 0)
    low, _, record = interval("x^2/2", 0.3, paths=256, width=0.6)
    assert record.blind and not record.resolved and low == 0
    assert "far out" in record.notes[-1]


def test_a_place_that_is_too_narrow_to_be_watched_leaves_no_rate(monkeypatch):
    monkeypatch.setattr(unvisited_rates, "MOST_STEPS", 1000)
    low, _, record = interval(HIGH_WELL, 0.02, paths=256, width=0.6)
    assert record.blind and not record.resolved and low == 0 and "too narrow" in record.notes[-1]
    printed = json_row(record)
    assert printed["rate"] is None and printed["log10_rate"] is None and printed["ci_low"] == 0


def test_a_stop_before_a_place_was_watched_leaves_no_rate():
    ground, f = equilibrium(resolve(HIGH_WELL), 0.02), resolve(HIGH_WELL)
    request = Request(f, 0.02, 1.0, 256, None, "heun", 0, 0.6, Communicator())
    known = SampledRate(
        0.02, 0.0, -0.1, 0.1, True, "autocorrelation", 256, 0.0, confidence=0.95, n_steps=0, dt=0.02
    )
    found = unvisited_rates.watched(known, ground, request, lambda: "enough", seen=ground.wells.minima[:, :0])
    assert found.blind and found.stopped and not found.resolved and found.lower == -math.inf


@pytest.mark.parametrize("depth", [2.0, 0.3])
def test_wells_narrower_than_any_affordable_step_are_refused(depth):
    with pytest.raises(ConvergenceError, match="narrow"):
        simulate_rate(f"x**2/2-{depth}*exp(-((x-1.23456)/0.0002)**2)", 0.2)


@pytest.mark.parametrize("s", [0.2, 1.0])
def test_wells_narrower_than_numerical_derivatives_are_refused(s):
    """Its Hessian by differences is 1 everywhere; f itself tells of the curvature 10^8."""
    f = Objective.from_callable(lambda x: x[0] ** 2 / 2 - 2 * np.exp(-(((x[0] - 1.23456) / 0.0002) ** 2)), 1)
    with pytest.raises(ConvergenceError, match="narrow"):
        simulate_rate(f, s)


def test_transitions_that_no_affordable_run_would_show_are_refused():
    f = Objective.from_callable(lambda x: (x[0] ** 2 - 1) ** 2 / 4, 1)
    with pytest.raises(ConvergenceError, match="transitions; take a larger learning rate"):
        simulate_rate(f, 0.03, estimator="hitting")
    with pytest.raises(ConvergenceError, match="transitions; take a larger learning rate"):
        simulate_rate("double-well", 0.02, estimator="hitting")


def test_a_python_function_is_given_fewer_steps():
    given = Objective.from_callable(lambda x: x[0] ** 2, 1, lambda x: 2 * x)
    without = Objective.from_callable(lambda x: x[0] ** 2, 1)
    steps = [affordable(Motion(f, 0.1, 0.1), 4000) for f in (resolve("x^2"), given, without)]
    assert steps == [4000, 100, 4]


def test_wells_between_the_nodes_of_the_grid_are_seen():
    ground = equilibrium(resolve("x**2/2-exp(-((x-1.23456)/0.00002)**2)"), 0.2)
    (region,) = narrow_wells(ground)
    assert region.centre == pytest.approx([1.23456], abs=1e-5) and region.share < 1e-3
    assert not list(narrow_wells(equilibrium(resolve("(x^2-1)^2/4+0.001*cos(300*x)"), 0.2)))  # ripples are no wells


def test_later_lags_tell_of_slower_modes():
    """u = a_1 + a_2 of two Ornstein-Uhlenbeck processes with the rates 1 and 0.2."""
    rng, h, n = np.random.default_rng(0), 0.125, 4000
    u = np.zeros((60, n))
    for rate, share in ((1.0, 0.8), (0.2, 0.2)):
        rho, x = math.exp(-rate * h), rng.normal(size=n)
        for k in range(60):
            u[k] += math.sqrt(share) * x
            x = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=n)
    found = decay_rate(u, h, 2, 10, 16)

    def mixture(a, b):
        c = [0.8 * math.exp(-h * lag) + 0.2 * math.exp(-0.2 * h * lag) for lag in (a, b)]
        return math.log(math.log(c[0] / c[1]) / (h * (b - a)))

    assert found.log_rate == pytest.approx(mixture(2, 10), abs=4 * found.log_error)
    later, error = found.later
    assert later == pytest.approx(mixture(10, 16), abs=4 * error) and later < found.log_rate and 0 < error < 0.2
    assert decay_rate(u, h, 2, 10).later[1] == math.inf


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("((x-1e6)^2-1)^2/4+0.1*(x-1e6)", 1.0),
        ("((x/1e6)^2-1)^2/4+0.1*x/1e6", 1e6),
        ("((x*1e6)^2-1)^2/4+0.1*x*1e6", 1e-6),
        ("(((x+3e2)*1e4)^2-1)^2/4+0.1*(x+3e2)*1e4", 1e-4),
    ],
)
def test_paths_know_no_origin_and_no_unit_of_length(text, unit):
    """f((x - b)/L) at s has the rate of f at s, over L^2; with the same random numbers nearly the same estimate."""
    (still,) = simulate_rate("(x^2-1)^2/4+0.1*x", 0.2, paths=256, width=0.6).records
    (moved,) = simulate_rate(text, 0.2, paths=256, width=0.6).records
    assert moved.log_rate + 2 * math.log(unit) == pytest.approx(still.log_rate, abs=0.15)
    wells = find_wells(resolve(text))
    assert wells.depths[1] == pytest.approx(find_wells(resolve("(x^2-1)^2/4+0.1*x")).depths[1], abs=1e-3)


def test_paths_know_no_axes():
    turned = "((0.6*x+0.8*y-9)^2-1)^2/4+(0.8*x-0.6*y+7)^2"
    truth = 3.3545287308e-2  # of the double well at 0.2
    low, high, _ = interval(turned, 0.2)
    assert low <= truth <= high
