"""Splitting above three dimensions: paths between wells, the coordinate and the cores on them, and rates."""

import dataclasses
import math

import numba
import numpy as np
import pytest
import sympy
from scipy.integrate import quad

import witten
from witten.dynamics.equilibrium import core_sets, minimum_energy_paths
from witten.dynamics.equilibrium.equilibrium import DEPTH_OF_WELLS, equilibrium
from witten.dynamics.equilibrium.minimum_energy_paths import MinimumEnergyPath, PathNetwork, path_network
from witten.dynamics.equilibrium.string_method import relaxed
from witten.dynamics.equilibrium.wells import Wells
from witten.dynamics.rate_estimate import chosen
from witten.dynamics.splitting import location_kernels, path_committors, transitions
from witten.dynamics.splitting.adaptive_multilevel_splitting import rate_by_splitting
from witten.dynamics.splitting.reaction_coordinate import Coordinate
from witten.errors import ConvergenceError, RequestError
from witten.objectives import Objective, resolve

# Minima at x1 = -1 and 1, the saddle at 0 with x2 = x4 = 0: height 1/4.
BENT = "(x1^2-1)^2/4 + (x2-x1^2/2)^2 + x3^2/2 + (x4-x1/2)^2 + x5^2"
# Of the operator in x1, x2, x4 at s = 0.08, by finite differences (`witten gap`, to 0.2 %).
LOG_RATE_OF_BENT = math.log(6.63056e-4)
SQUARE = "(x1^2-1)^2/4 + (x2^2-1)^2/4 + x3^2/2 + x4^2/2"
IN_A_ROW = "x1^2*(x1^2-1)^2 + x2^2/2 + x3^2/2 + (x4-x1^2)^2"

# Compiled once.
TILTED = resolve("double-well:tilt=0.1,dim=7")


def inside(estimate, truth, widened=1.6):
    """Whether log of the rate is inside of the 95 % interval; widened, a right estimate fails one time in 600."""
    half = estimate.log_error
    return abs(estimate.log_rate - truth) < widened * half


def turned(name, extra, seed):
    """f of the first axes and |y|^2/2 of some more, after a rotation of all: the rates are those of f."""
    f = resolve(name)
    d = f.dimension + extra
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    x = sympy.symbols(f"x1:{d + 1}", real=True)
    y = [sum(sympy.Rational(f"{c:.9f}") * symbol for c, symbol in zip(row, x, strict=True)) for row in rotation]
    formula = f.formula.subs(dict(zip(f.symbols, y, strict=False)), simultaneous=True)
    return Objective.from_sympy(formula + sum(each**2 for each in y[f.dimension :]) / 2, x, name=f"{name}, turned")


# ------------------------------------------------------------------------------------------------ paths


@pytest.mark.parametrize(("length", "at"), [(1e4, 0.0), (1e-7, 0.0), (1.0, 1e3), (1e-3, 1.0)])
def test_wells_and_paths_know_no_origin_and_no_unit(length, at):
    def found(length, at):
        u = [f"((x{i}-{at!r})/{length!r})" for i in range(1, 5)]
        f = f"({u[0]}^2-1)^2/4 + 0.1*{u[0]} + {u[1]}^2/2 + {u[2]}^2 + 3*{u[3]}^2/2 + 0.3*{u[0]}*{u[1]}"
        return equilibrium(Objective.from_formula(f), 0.05), path_network(Objective.from_formula(f)).paths[0]

    (here, path), (there, moved) = found(1.0, 0.0), found(length, at)
    assert there.wells.depths == pytest.approx(here.wells.depths, rel=1e-6) and here.wells.depths.size == 2
    assert there.stiffness * length**2 == pytest.approx(here.stiffness, rel=1e-3)
    assert there.softness * length**2 == pytest.approx(here.softness, rel=1e-3)
    assert moved.lengths[-1] / length == pytest.approx(path.lengths[-1], rel=1e-6)
    across = moved.log_transverse_determinant[:: 1 if moved.ends == path.ends else -1] + 3 * math.log(length)
    assert across == pytest.approx(path.log_transverse_determinant, abs=1e-4)


def test_minimum_energy_paths_go_over_saddles_along_the_gradient():
    f = resolve(BENT)
    (path,) = path_network(f).paths
    assert path.saddle_height == pytest.approx(0.25, abs=1e-4)
    assert path_network(f).wells.depths == pytest.approx([math.inf, 0.25], abs=1e-4)
    x = path.points[path.heights > 0.01].T
    top = x[:, np.argmax(f(x))]
    assert np.abs(top[[1, 2, 3, 4]]).max() < 0.05
    g, along = f.gradient(x), np.gradient(path.points, axis=0)[path.heights > 0.01].T
    along /= np.linalg.norm(along, axis=0)
    across = np.linalg.norm(g - along * np.sum(along * g, axis=0), axis=0)
    assert across.max() < 0.06 * np.linalg.norm(g, axis=0).max()


def test_squares_have_no_diagonals_and_a_path_does_not_pass_a_third_well():
    square, row = path_network(resolve(SQUARE)), path_network(resolve(IN_A_ROW))
    places = square.wells.minima
    assert sorted(path.ends for path in square.paths) == sorted(
        (i, j) for i in range(4) for j in range(i + 1, 4) if np.linalg.norm(places[:, i] - places[:, j]) < 2.5
    )
    middle = int(np.argmin(np.abs(row.wells.minima[0])))
    assert len(row.paths) == 2 and all(middle in path.ends for path in row.paths)
    assert row.wells.depths[1:] == pytest.approx(4 / 27, abs=1e-4)


def test_wells_that_descents_have_missed_are_met_on_the_way(monkeypatch):
    outer = np.array([[-1.0, 0, 0, 1], [1, 0, 0, 1]]).T
    monkeypatch.setattr(minimum_energy_paths, "scattered_minima", lambda f, seed: outer)
    assert path_network.__wrapped__(resolve(IN_A_ROW)).wells.minima.shape == (4, 3)


def test_depths_are_those_of_the_plane():
    plane = resolve("himmelblau")
    known = [pair.barrier for pair in witten.describe_landscape(plane).pairs if pair.barrier is not None]
    found = path_network(Objective.from_formula(f"{plane.text.replace('x', 'x1').replace('y', 'x2')} + x3^2/2 + x4^2"))
    assert np.sort(found.wells.depths)[:-1] == pytest.approx(np.sort(known), rel=1e-3)


def test_strings_at_rest_stay_there():
    (path,) = path_network(resolve(BENT)).paths
    again = relaxed(resolve(BENT), path.points[None])[0]
    assert np.abs(again - path.points).max() < 0.1 * path.lengths[1]


# ------------------------------------------------------------------------------------------------ coordinate and cores


def test_levels_are_those_of_the_nearest_point_on_a_path():
    t = np.linspace(0, 1, 30)
    curve = np.array([t, np.sin(3 * t), t**2, 0.2 * np.cos(5 * t), 0 * t])
    other = curve[:, ::-1] + np.array([[0], [3.0], [0], [0], [0]])
    values = np.concatenate([-8 * (1 - t), -5 * t])
    joined = np.array([*[1] * 29, 0, *[1] * 29, 0])
    coordinate = Coordinate(-8.0, values, paths=np.concatenate([curve, other], axis=1), joined=joined)
    nodes, table, marks, first, scale = coordinate.as_arguments()[4:]
    fine = np.linspace(0, 29, 29_001)
    dense = np.concatenate([[np.interp(fine, np.arange(30), axis) for axis in path] for path in (curve, other)], axis=1)
    height = np.concatenate([np.interp(fine, np.arange(30), each) for each in (values[:30], values[30:])])
    for x in (curve[:, 3:28:4] + 0.02 * np.random.default_rng(0).normal(size=(5, 7))).T:
        found = location_kernels.level_along(np.ascontiguousarray(x), nodes, table, marks, first, scale)
        nearest = np.argmin(np.linalg.norm(dense - x[:, None], axis=0))
        assert found == pytest.approx((height[nearest] + 8) * scale, abs=2)
    ends = (curve[:, 0] - 9, other[:, 0])
    beyond = [location_kernels.level_along(end, nodes, table, marks, first, scale) for end in ends]
    assert beyond[0] == 0 and beyond[1] == location_kernels.LEVELS - 1


def straight_path(ends, length=2.0, log_determinant=0.0):
    t = np.linspace(0.0, length, 41)
    points = np.zeros((41, 4))
    points[:, 0] = t
    heights = 0.2 * np.sin(np.pi * t / length) ** 2 + 0.01 * t
    return MinimumEnergyPath(ends, points, heights, log_determinant + 0.3 * t)


def test_the_committor_on_paths_is_a_quotient_of_integrals():
    """Two paths in a row with a shallow well, which is no core, between them."""
    s, both = 0.06, (straight_path((0, 1)), straight_path((2, 1), 1.5, 0.7))
    depths = np.array([math.inf, DEPTH_OF_WELLS * s / 2, 1.0])
    network = PathNetwork(Wells(np.zeros((4, 3)), np.zeros(3), depths, np.zeros(4), np.ones(4)), both)
    resistances = [path_committors._resistance(path, s) for path in both]
    at_wells = path_committors._at_wells(network, resistances, np.array([0, 2]))
    log_q = path_committors._along_all(network, resistances, at_wells[1])

    def cost(path, low, high):
        length = path.lengths[-1]

        def weight(t):
            height = 0.2 * math.sin(math.pi * t / length) ** 2 + 0.01 * t
            return math.exp(2 * height / s + path.log_transverse_determinant[0] + 0.3 * t)

        return quad(weight, low, high, epsabs=0)[0]

    first, second = (cost(path, 0, path.lengths[-1]) for path in both)
    for k in (1, 15, 30):
        t = both[0].lengths[k]
        assert log_q[k] == pytest.approx(math.log(cost(both[0], 0, t) / (first + second)), abs=2e-3)
        t = both[1].lengths[k]
        assert log_q[41 + k] == pytest.approx(math.log1p(-cost(both[1], 0, t) / (first + second)), abs=2e-3)
    flux = path_committors._fluxes(network, resistances, np.array([0, 2]), at_wells)
    assert flux[0, 1] == pytest.approx(-math.log(first + second), abs=2e-3)


def masses(plan, count):
    transitions.compile_kernels(plan.objective)
    return np.exp([plan.run(len(plan.transitions) - 1, k, False).log_mass for k in range(count)])


@pytest.mark.parametrize("narrow", [1.15, 0.6])
def test_masses_of_wells_are_integrals_however_starts_are_tried(narrow, monkeypatch):
    """With normal numbers narrower than the law some starts have weights above one."""
    monkeypatch.setattr(core_sets, "WIDER", narrow)
    s, d = 0.04, TILTED.dimension
    plan = transitions.make_plan(equilibrium(TILTED, s), 5, None)
    found = masses(plan, 16)

    def weight(x):
        return math.exp(-2 * ((x * x - 1) ** 2 / 4 + 0.1 * x - plan.cores.floors[0]) / s)

    exact = quad(weight, -3, 0.1)[0] * (math.pi * s) ** ((d - 1) / 2)
    error = found.std() / math.sqrt(found.size)
    assert error < 0.03 * exact
    assert abs(found.mean() - exact) < 4 * error + 0.004 * exact


def test_paths_leave_cores_where_f_has_risen_little():
    f, s = resolve(BENT), 0.05
    network = path_network(f)
    found = equilibrium(f, s).cores
    (path,) = network.paths
    member = found.members(path.points.T)
    assert member[0] == path.ends[0] and member[-1] == path.ends[1] and (member == -1).any()
    assert np.max(path.heights[member >= 0]) <= 0.3 * 0.25 + 1e-9
    x = np.random.default_rng(0).normal(size=(5, 4000)) * math.sqrt(0.5 * s)
    root = np.linalg.inv(np.linalg.cholesky(f.hessian(found.centres[0]))).T
    assert np.mean(found.members(found.centres[0][:, None] + root @ x) == 0) > 0.5


def test_the_mean_depends_neither_on_the_coordinate_nor_on_the_starts(monkeypatch):
    """Against a coordinate that is a slanted line far from the path, and starts with weights."""
    f, s = resolve("double-well:dim=4"), 0.12
    transitions.compile_kernels(f)
    plan = transitions.make_plan(equilibrium(f, s), 3, None)
    (transition, *_) = (each for each in plan.transitions if each.target >= 0)
    here, there = plan.cores.centres[[transition.source, transition.target]]
    ends = np.ascontiguousarray(np.array([here + [0, 0.4, 0, 0.1], there + [0, 0.3, 0.5, 0]]).T)
    odd = Coordinate(-5.0, np.array([-5.0, 0.0]), paths=ends, joined=np.array([1, 0]))
    monkeypatch.setattr(core_sets, "WIDER", 0.6)
    means, errors = [], []
    for each, coordinate in ((plan, transition.coordinate), (transitions.make_plan(equilibrium(f, s), 4, None), odd)):
        one = dataclasses.replace(transition, coordinate=coordinate, population=30)
        small = dataclasses.replace(each, transitions=(one,))
        flux = np.exp([small.run(0, k, False).log_flux for k in range(250)])
        means.append(flux.mean())
        errors.append(flux.std() / math.sqrt(flux.size))
    assert max(errors) < 0.06 * means[0]
    assert abs(means[0] - means[1]) < 3.5 * math.hypot(*errors)


# ------------------------------------------------------------------------------------------------ rates


@pytest.mark.parametrize(
    ("objective", "s", "plane"),
    [
        ("double-well:dim=20", 0.03, "double-well"),
        (SQUARE, 0.06, "double-well"),
        (BENT, 0.08, None),
        (turned("double-well:tilt=0.1", 2, 3), 0.03, "double-well:tilt=0.1"),
    ],
)
def test_rates_are_those_of_the_operator(objective, s, plane, monkeypatch):
    """The other axes have rates of their own, and faster ones."""
    monkeypatch.setattr(transitions, "SPREAD", 0.1)
    found = rate_by_splitting(objective, s, width=9.0, seed=1)
    truth = LOG_RATE_OF_BENT if plane is None else witten.gap(plane, s).log_rates[0]
    assert inside(found, truth)
    assert found.upper - found.lower < 2.0 and found.diverged == 0


def test_a_shallow_well_on_the_way_is_no_core():
    hump, rest = "({0}^2-1)^2/4 - 0.08*exp(-({0}/0.25)^2)", " + x2^2/2 + x3^2 + x4^2/2"
    f, s = resolve(hump.format("x1") + rest), 0.04
    assert path_network(f).wells.floors.size == 3
    found = rate_by_splitting(f, s, width=9.0)
    assert inside(found, witten.gap(hump.format("x"), s).log_rates[0]) and found.notes[0].startswith("2 wells, 1 ")


def test_the_same_numbers_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(transitions, "FEWEST", 20)
    monkeypatch.setattr(transitions, "SPREAD", 0.5)
    threads = numba.get_num_threads()
    try:
        found = []
        for n in {1, threads}:
            numba.set_num_threads(n)
            found.append(rate_by_splitting("double-well:dim=4", 0.08, width=9.0, seed=4))
    finally:
        numba.set_num_threads(threads)
    assert len({(e.log_rate, e.lower, e.upper, e.n_steps) for e in found}) == 1


@pytest.mark.parametrize(("s", "name"), [(0.3, "autocorrelation"), (0.07, "hitting"), (0.03, "splitting")])
def test_the_barrier_chooses_the_estimator_above_three_dimensions_too(s, name):
    ground = equilibrium(resolve("double-well:dim=4"), s)
    assert ground.barrier == pytest.approx(0.25, abs=1e-4)
    assert chosen(ground, 0.2 / ground.stiffness, 2048) == name


def test_without_minimum_energy_paths_no_barrier_is_known():
    f = Objective.from_callable(lambda x: np.sum((x**2 - 1) ** 2, axis=0) / 4, 4, lambda x: x**3 - x)
    ground = equilibrium(f, 0.03)
    assert math.isnan(ground.barrier) and len(ground.deep) == ground.wells.floors.size > 1
    assert chosen(ground, 0.01, 2048) == "autocorrelation"


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("rastrigin:dim=5", "too many"),
        ("double-well:dim=60", "50 dimensions"),
        ("quadratic:dim=4", "two wells"),
        (Objective.from_callable(lambda x: np.sum((x**2 - 1) ** 2, axis=0), 4), "formula"),
    ],
)
def test_what_cannot_be_split_is_refused(objective, words):
    with pytest.raises(RequestError, match=words):
        rate_by_splitting(objective, 0.02)


def test_a_flat_minimum_is_refused():
    with pytest.raises(ConvergenceError, match="no smooth minimum"):
        rate_by_splitting("(x1^2-1)^2/4 + x2^4 + x3^2/2 + x4^2/2", 0.02)
