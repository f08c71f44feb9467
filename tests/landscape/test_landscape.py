"""Critical points, connections, barriers, conditions: against published coordinates, identities and other libraries."""

import gudhi
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

import witten
from witten.errors import ConvergenceError, RequestError
from witten.landscape.barriers import barrier_pairs
from witten.landscape.critical import critical_points as search
from witten.landscape.critical.critical_point import polished
from witten.landscape.critical.critical_points import critical_points
from witten.landscape.critical.gradient_flow import descend
from witten.landscape.critical.newton_on_grid import grid_search
from witten.landscape.critical.saddle_connections import descent_paths
from witten.objectives import Objective, gallery, resolve
from witten.objectives.growth.conditions import conditions
from witten.objectives.symbolic.interval_arithmetic import enclosure, kinks_met
from witten.objectives.symbolic.polynomials import critical_bound, growth, unbounded_below
from witten.objectives.topography.convexity import strong_convexity
from witten.objectives.topography.subdivision import subdivide


def counts(landscape):
    return len(landscape.minima), len(landscape.saddles), len(landscape.others)


def places(points):
    return np.array([point.x for point in points])


def callable_twin(name):
    """The same objective without its formula."""
    f = resolve(name)
    return Objective.from_callable(f, f.dimension, f.gradient, name=f"{name} as a callable")


# --------------------------------------------------------------------------------------------- interval arithmetic

ZOO = [
    *gallery.ENTRIES,
    "sin(3*x)*exp(-y) + abs(x-y) + tan(x/10)",
    "sqrt(1+x^2) + cosh(y) - tanh(x*y) + max(x,y)*min(x,1)",
    "log(1+x^2) + (1+x^2)^0.3/(2+y^2) - sinh(x)/pi",
]


@pytest.mark.parametrize("name", ZOO)
def test_enclosures_hold_what_is_sampled_in_their_boxes(name):
    f = resolve(name)
    rng = np.random.default_rng(1)
    centre, radius = 2 * rng.normal(size=(f.dimension, 400)), 10.0 ** rng.uniform(-6, 0.3, size=(f.dimension, 400))
    functions = {"value": f, "gradient": f.gradient, "hessian": f.hessian}
    for what, function in functions.items():
        low, high = enclosure(f, what)(centre - radius, centre + radius)
        for _ in range(5):
            values = function(centre + radius * rng.uniform(-1, 1, size=centre.shape))
            slack = 1e-12 * (1 + abs(values))
            assert ((low <= values + slack) & (values <= high + slack)).all(), what


@pytest.mark.parametrize("name", ["himmelblau", "mueller-brown", "rugged"])
def test_enclosures_shrink_to_the_value(name):
    f = resolve(name)
    x = np.random.default_rng(0).normal(size=(f.dimension, 50))
    low, high = enclosure(f, "gradient")(x, x)
    assert (low <= high).all() and np.max((high - low) / (1 + abs(f.gradient(x)))) < 1e-11


def test_kinks_are_met_where_they_are():
    met = kinks_met(resolve("abs(x) + y^2"))
    assert met(np.array([[-0.1, 0.1], [0.0, 0.0]]), np.array([[0.1, 0.2], [1.0, 1.0]])).tolist() == [True, False]


def test_a_callable_cannot_be_enclosed():
    with pytest.raises(RequestError, match="without a formula"):
        enclosure(callable_twin("himmelblau"), "value")


# --------------------------------------------------------------------------------------------- critical points


def test_himmelblau_has_four_minima_four_saddles_and_a_maximum():
    found = witten.describe_landscape("himmelblau")
    assert counts(found) == (4, 4, 1) and found.others[0].index == 2
    known = np.array([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848126]])
    for x in known:
        assert np.linalg.norm(places(found.minima) - x, axis=1).min() < 2e-6
    assert max(m.value for m in found.minima) < 1e-25
    assert found.search.complete and found.search.everywhere and found.euler_sum == 1


def test_six_hump_camel_has_six_minima_of_known_heights():
    found = witten.describe_landscape("six-hump-camel")
    assert counts(found) == (6, 7, 2)
    heights = [-1.0316284535] * 2 + [-0.2154638244] * 2 + [2.1042503103] * 2
    assert [m.value for m in found.minima] == pytest.approx(heights, abs=2e-10)
    assert abs(places(found.minima)[0]) == pytest.approx([0.08984201, 0.71265640], abs=1e-8)


def test_mueller_brown_has_its_published_stationary_points():
    found = witten.describe_landscape("mueller-brown")
    assert counts(found) == (3, 2, 0)
    assert places(found.minima) == pytest.approx(np.array([[-0.558, 1.442], [0.623, 0.028], [-0.050, 0.467]]), abs=6e-4)
    assert places(found.saddles) == pytest.approx(np.array([[0.212, 0.293], [-0.822, 0.624]]), abs=6e-4)
    energies = [200 * point.value for point in (*found.minima, *found.saddles)]
    assert energies == pytest.approx([-146.700, -108.167, -80.768, -72.249, -40.665], abs=6e-4)
    assert [z.connects for z in found.saddles] == [(1, 2), (0, 2)]
    assert [(p.minimum, p.saddle, p.into) for p in found.pairs] == [(0, None, None), (1, 1, 0), (2, 0, 1)]


def test_the_one_dimensional_factor_of_the_paper():
    found = witten.describe_landscape("shi-su-jordan-1d")
    assert places(found.minima)[:, 0] == pytest.approx([0.7, -0.619258240], abs=1e-9)
    assert found.saddles[0].x[0] == pytest.approx(-0.080741760, abs=1e-9)
    assert found.barrier == pytest.approx(0.1093188456, abs=1e-10) and not found.tied


def test_shi_su_jordan_has_a_tie_and_says_so():
    found = witten.describe_landscape("shi-su-jordan")
    assert counts(found) == (4, 4, 1) and found.tied
    assert found.barrier == pytest.approx(0.1093188456, abs=1e-10)
    assert len(found.near_ties(0.01)) == 3


@pytest.mark.parametrize("name", [name for name in gallery.ENTRIES if name != "rastrigin"])
def test_the_gallery_is_proved_complete_and_its_indices_sum_to_one(name):
    found = witten.describe_landscape(name)
    assert found.search.complete and found.euler_sum == 1 and found.connected
    assert found.search.everywhere or growth(found.objective) is None
    gradients = [np.linalg.norm(found.objective.gradient(p.x)) for p in (*found.minima, *found.saddles, *found.others)]
    assert max(gradients) < 1e-11


def test_rastrigin_in_a_box_is_a_product():
    found = witten.describe_landscape("rastrigin", box=[(-5.12, 5.12)] * 2)
    line = critical_points(gallery.rastrigin(dim=1), box=[(-5.12, 5.12)])
    lows = np.array([p.x[0] for p in line.points if p.index == 0])
    assert counts(found) == (121, 220, 100) and lows.size == 11 and found.search.complete
    expected = np.array([(a, b) for a in lows for b in lows])
    assert np.linalg.norm(places(found.minima)[:, None] - expected, axis=2).min(axis=0).max() < 1e-12


def test_rastrigin_in_three_dimensions():
    found = witten.describe_landscape(gallery.rastrigin(dim=3), box=[(-1.4, 1.4)] * 3)
    assert counts(found) == (27, 54, 44) and found.search.complete and found.connected
    assert found.barrier == pytest.approx(witten.barrier("rastrigin:dim=1"), rel=1e-12)


def test_a_valley_that_narrows_is_searched_near_its_floor():
    found = witten.describe_landscape("rosenbrock")
    assert counts(found) == (1, 0, 0) and found.search.complete and not found.search.everywhere
    assert places(found.minima)[0] == pytest.approx([1, 1], abs=1e-12)


@given(
    st.lists(st.integers(-4, 4), min_size=5, max_size=5),
    st.lists(st.integers(-4, 4), min_size=5, max_size=5),
)
@examples(6)
def test_polynomials_have_indices_that_sum_to_one(first, second):
    x, y = sp.symbols("x y", real=True)
    terms = [x, y, x * y, x**2, y**2]
    f = x**4 + y**4 + sum(c * t for c, t in zip(first, terms, strict=True)) / sp.Integer(2)
    f += sum(c * t for c, t in zip(second, [x**3, x**2 * y, x * y**2, y**3, x**2 * y**2], strict=True)) / sp.Integer(5)
    found = critical_points(Objective.from_sympy(f, (x, y)))
    if found.complete and not any(point.degenerate for point in found.points):
        assert sum((-1) ** point.index for point in found.points) == 1


@pytest.mark.parametrize("name", ["himmelblau", "six-hump-camel", "triple-well", "mueller-brown"])
def test_numpy_finds_no_critical_point_that_subdivision_does_not(name):
    f = resolve(name)
    known = places(critical_points(f).points)
    starts = np.random.default_rng(5).uniform(-3, 3, size=(2, 400))
    ends, converged = polished(f, starts, steps=60, reach=0.2)
    ends = ends[:, converged & (np.linalg.norm(f.gradient(ends), axis=0) < 1e-9)]
    assert ends.shape[1] > 100
    assert all(np.linalg.norm(known - x, axis=1).min() < 1e-6 for x in ends.T)


def test_a_small_budget_is_said_not_to_have_been_enough():
    found = subdivide(resolve("himmelblau"), -6 * np.ones((2, 1)), 6.1 * np.ones((2, 1)), 20)
    assert not found.finished and found.open.size


def test_a_box_holds_only_what_is_in_it():
    found = witten.describe_landscape("himmelblau", box=[(0, 5), (-5, 5)])
    assert counts(found) == (2, 2, 0)  # the saddle at x = 0.087 leads to a minimum outside
    assert found.saddles[1].connects == (None, 0) and any("does not end" in note for note in found.notes)
    for wrong in ([(0, 5)], [(1, 0), (0, 1)], [(0, np.inf), (0, 1)]):
        with pytest.raises(RequestError, match="box"):
            witten.describe_landscape("himmelblau", box=wrong)


def test_a_constant_is_refused():
    with pytest.raises(RequestError, match="constant"):
        witten.describe_landscape("1 + 0*x")


@pytest.mark.parametrize(
    ("formula", "minima", "others"),
    [("x^4", 1, 0), ("x^4 + y^2", 1, 0), ("x^3 - 3*x*y^2 + (x^2+y^2)^2", 3, 1), ("abs(x) + y^2", 1, 0), ("x^3", 0, 1)],
)
def test_what_is_not_morse_is_reported(formula, minima, others):
    found = witten.describe_landscape(formula)
    assert found.degenerate and found.euler_sum is None
    assert (len(found.minima), len(found.others)) == (minima, others)
    assert any("not Morse" in note for note in found.notes)


def test_a_circle_of_minima_is_reported(monkeypatch):
    monkeypatch.setattr("witten.landscape.critical.critical_points.LOOK", 40_000)
    monkeypatch.setattr("witten.landscape.critical.critical_points.GLANCE", 4_000)
    found = witten.describe_landscape("(x^2+y^2-1)^2")
    assert found.degenerate and not found.search.complete
    assert np.linalg.norm(places(found.minima), axis=1) == pytest.approx(1, abs=1e-6)
    assert any("curve or a surface" in note for note in found.notes)


def test_a_point_that_is_only_flat_is_no_curve(monkeypatch):
    monkeypatch.setattr("witten.landscape.critical.critical_points.LOOK", 40_000)
    monkeypatch.setattr("witten.landscape.critical.critical_points.GLANCE", 4_000)
    found = witten.describe_landscape("(x/sqrt(3)+y/sqrt(2))^2+(x-y)^4/log(3)")
    assert places(found.minima) == pytest.approx(np.zeros((1, 2)), abs=1e-15)
    assert not found.search.complete and found.degenerate
    assert any("is not proved" in note for note in found.notes)
    assert not any("fill" in note for note in found.notes)


def test_a_callable_says_how_narrow_a_well_may_be_missed():
    f = Objective.from_callable(lambda p: p[0] ** 2 / 2 - 2 * np.exp(-(((p[0] - 1.23456) / 2e-4) ** 2)), 1)
    found = witten.describe_landscape(f)
    assert len(found.minima) == 1 and not found.search.complete
    (low, high) = found.search.box[:, 0]
    assert found.search.spacing == pytest.approx([(high - low) / (found.search.nodes - 1)])
    assert any(f"{found.search.spacing[0]:.3g} apart" in note and "narrower" in note for note in found.notes)
    exact = witten.describe_landscape("double-well")
    assert exact.search.nodes == 0 and exact.search.spacing is None


@pytest.mark.parametrize("name", ["himmelblau", "shi-su-jordan-1d"])
def test_a_callable_has_the_same_landscape_as_its_formula(name):
    exact, found = witten.describe_landscape(name), witten.describe_landscape(callable_twin(name))
    assert counts(found) == counts(exact) and found.search.method == "grid" and not found.search.complete
    assert places(found.minima) == pytest.approx(places(exact.minima), abs=1e-6)
    assert found.barrier == pytest.approx(exact.barrier, rel=1e-9)
    assert not any("missed" in note and "sum" in note for note in found.notes)


def test_a_missed_point_is_noticed(monkeypatch):
    def blind(objective, corners):
        x, nodes, notes = grid_search(objective, corners)
        return x[:, x[0] < 2.5], nodes, notes

    monkeypatch.setattr("witten.landscape.critical.critical_points.grid_search", blind)
    found = witten.describe_landscape(callable_twin("himmelblau"), box=[(-6, 6), (-6, 6)])
    assert any("merge" in note or "not end" in note or "grid" in note for note in found.notes)
    assert not found.search.complete


# --------------------------------------------------------------------------------------------- many dimensions


def multi_well(dimension, wells):
    x = sp.symbols(f"x1:{dimension + 1}", real=True)
    f = sum((1 + sp.Rational(i, 10)) * (x[i] ** 2 - 1) ** 2 / 4 + x[i] / 20 for i in range(wells))
    f += sum((1 + sp.Rational(i, 7)) * x[i] ** 2 / 2 for i in range(wells, dimension))
    return Objective.from_sympy(f, x, name="multi-well")


def test_eight_wells_in_twenty_dimensions():
    found = witten.describe_landscape(multi_well(20, 3))
    assert counts(found)[:2] == (8, 12) and found.connected  # 3 2^2 saddles
    assert not found.search.complete and any("nothing proves" in note for note in found.notes)
    each = [witten.barrier(f"{1 + i / 10}*(x^2-1)^2/4 + x/20") for i in range(3)]
    assert found.barrier == pytest.approx(max(each), rel=1e-9)


def test_the_same_seed_gives_the_same_landscape():
    first, second = (witten.describe_landscape(multi_well(5, 2), seed=3) for _ in range(2))
    assert (places(first.saddles) == places(second.saddles)).all()


def network(hidden, decay=0.01):
    """The loss of a network of tanh units on twelve points of sin 2x, with weight decay, and its gradient."""
    x = np.linspace(-2, 2, 12)
    y = np.sin(2 * x)

    def forward(p):
        shape = (-1,) + (1,) * (p.ndim - 1)
        units = np.tanh(p[:hidden, None] * x.reshape(1, *shape) + p[hidden : 2 * hidden, None])
        return units, (p[2 * hidden : 3 * hidden, None] * units).sum(0) + p[3 * hidden] - y.reshape(shape)

    def value(p):
        return (forward(p)[1] ** 2).mean(0) / 2 + decay * (p**2).sum(0) / 2

    def gradient(p):
        units, r = forward(p)
        inner = (1 - units**2) * p[2 * hidden : 3 * hidden, None] * r / x.size
        weights = (inner * x.reshape(1, -1, *(1,) * (p.ndim - 1))).sum(1)
        parts = [weights, inner.sum(1), (units * r).sum(1) / x.size, r.mean(0)[None]]
        return np.concatenate(parts) + decay * p

    return Objective.from_callable(value, 3 * hidden + 1, gradient, name=f"network of {hidden}")


def test_a_network_has_a_pair_of_minima_for_its_sign():
    found = witten.describe_landscape(network(1))
    assert counts(found)[:2] == (2, 1) and found.connected
    assert places(found.minima)[0][:3] == pytest.approx(-places(found.minima)[1][:3], abs=1e-7)
    assert found.saddles[0].x[:3] == pytest.approx([0, 0, 0], abs=1e-7)  # where the unit is off


def test_a_network_of_seven_parameters_has_its_symmetric_minima():
    f = network(2)
    minima = [point for point in critical_points(f).points if point.index == 0]
    lowest = min(point.value for point in minima)
    assert sum(point.value < lowest + 1e-8 for point in minima) == 8  # 2! orders and 2^2 signs
    assert all(np.linalg.norm(f.gradient(point.x)) < 1e-10 for point in minima)


# --------------------------------------------------------------------------------------------- connections, barriers


def test_descent_reaches_the_well_of_a_stiff_valley():
    f = resolve("(x^2-1)^2 + 1e4*(y-x^2)^2")
    found = witten.describe_landscape(f)
    assert found.saddles[0].connects == (0, 1) and places(found.minima)[:, 0] == pytest.approx([-1, 1])
    for side in descent_paths(f, found.saddles)[0]:
        assert np.max(abs(side[1] - side[0] ** 2)) < 1e-3
        assert (np.diff(f(side)) <= 1e-12).all()


def test_descent_follows_the_flow():
    f, start = resolve("himmelblau"), np.array([[-0.1], [0.4]])
    path = [start[:, 0]]
    ends, arrived = descend(f, start, watch=lambda i, x: path.append(x[:, 0].copy()))
    assert arrived.all() and np.linalg.norm(ends[:, 0] - [3, 2]) < 1e-8
    from scipy.integrate import solve_ivp

    exact = solve_ivp(lambda t, x: -f.gradient(x), (0, 200), start[:, 0], rtol=1e-10, atol=1e-12, dense_output=True)
    curve = exact.sol(np.linspace(0, 200, 200_001))
    assert all(np.linalg.norm(curve - x[:, None], axis=0).min() < 5e-3 for x in np.array(path))


def test_a_descent_that_meets_a_saddle_goes_on():
    ends, arrived = descend(resolve("(x^2-1)^2/4 + y^2/2"), np.array([[0.0], [1.0]]))
    assert arrived.all() and abs(ends[0, 0]) == pytest.approx(1) and ends[1, 0] == pytest.approx(0, abs=1e-9)


def random_surface(seed):
    """A bowl with ripples."""
    rng = np.random.default_rng(seed)
    x, y = sp.symbols("x y", real=True)
    f = (x**2 + y**2) / 4
    for _ in range(4):
        a, b, phase = (sp.Rational(int(k), 10) for k in rng.integers(-25, 25, 3))
        f += sp.Rational(2, 5) * sp.cos(a * x + b * y + phase)
    return Objective.from_sympy(f, (x, y), name=f"ripples {seed}")


@pytest.mark.parametrize("seed", range(2))
def test_barriers_are_those_of_another_persistence_library(seed):
    f = random_surface(seed)
    found = witten.describe_landscape(f)
    n, half = 401, 5.0
    axis = np.linspace(-half, half, n)
    mesh = np.stack([a.ravel() for a in np.meshgrid(axis, axis, indexing="ij")])
    cubes = gudhi.CubicalComplex(vertices=f(mesh).reshape(n, n))
    cubes.compute_persistence(homology_coeff_field=2)
    intervals = np.array(cubes.persistence_intervals_in_dimension(0))
    finite = intervals[np.isfinite(intervals[:, 1])]
    expected = np.sort(finite[:, 1] - finite[:, 0])
    barriers = np.sort([p.barrier for p in found.pairs if p.barrier is not None])
    expected, barriers = expected[expected > 0.01], barriers[barriers > 0.01]
    assert len(found.minima) > 1 and barriers.size == expected.size
    assert barriers == pytest.approx(expected, abs=4e-3)  # the grid's own error is of order h^2


def test_pairs_by_hand():
    # minima 0 .. 3 in a row, saddles between neighbours and one more over the top
    pairs = barrier_pairs(
        np.array([0.0, 0.2, 0.1, 0.4]), np.array([1.0, 0.5, 2.0, 3.0]), np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
    )
    assert [(p.minimum, p.saddle, p.into) for p in pairs] == [(0, None, None), (3, 2, 0), (2, 0, 0), (1, 1, 2)]
    assert [p.barrier for p in pairs[1:]] == pytest.approx([1.6, 0.9, 0.3]) and not any(p.tied for p in pairs)


def test_ties_are_flagged():
    row = np.array([[0, 1], [1, 2]])
    assert [p.tied for p in barrier_pairs(np.array([0.0, 0.1, 0.1]), np.array([1.0, 1.0]), row)] == [False, True, True]
    assert [p.tied for p in barrier_pairs(np.array([0.0, 0.0]), np.array([1.0]), row[:1])] == [False, True]
    parallel = np.array([[0, 1], [0, 1]])
    assert [p.tied for p in barrier_pairs(np.array([0.0, 0.1]), np.array([1.0, 1.0]), parallel)] == [False, True]
    assert [p.tied for p in barrier_pairs(np.array([0.0, 0.1]), np.array([1.0, 1.1]), parallel)] == [False, False]


def test_a_graph_in_pieces_has_no_barrier():
    pairs = barrier_pairs(np.array([0.0, 0.1, 0.2]), np.array([1.0]), np.array([[0, 1]]))
    assert sum(pair.saddle is None for pair in pairs) == 2


# --------------------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("formula", "confining", "villani", "proved"),
    [
        ("(x^2-1)^2/4", True, True, True),
        ("x^4 + y^2 - 3*x*y", True, True, True),
        ("x^4 + y^4 - x^2*y^2", True, True, True),
        ("x^2 - y^2", False, False, True),
        ("x^3 + y^2", False, False, True),
        ("x^2*y^2", False, False, True),
        ("100*(y-x^2)^2 + (1-x)^2", True, False, False),  # in the valley |grad f|^2/Lap f stays below 1/200
        ("log(1+x^2)", False, False, False),
        ("sqrt(1+x^2)", True, False, False),
        ("x^2 + cos(10*x)", True, True, False),
        ("exp(x) + exp(-x) + y^2", True, True, False),
    ],
)
def test_conditions(formula, confining, villani, proved):
    found = conditions(resolve(formula))
    assert (found.confining, found.villani) == (confining, villani)
    assert ("confining" in found.proved, "villani" in found.proved) == (proved, proved)


@pytest.mark.parametrize(
    ("formula", "mu", "proved"),
    [
        ("3*x^2/2", 3.0, True),
        ("x^2/2 + x^4/4 + y^2", 1.0, True),
        ("x^2 + x*y + y^2", 1.0, True),
        ("x^4 - 2*x^3 + 3*x^2", 3.0, True),
        ("x^4", None, True),
        ("x^2/2 + cos(x)/3", 2 / 3, False),
        ("himmelblau", None, True),
    ],
)
def test_strong_convexity(formula, mu, proved):
    found, certain = strong_convexity(resolve(formula))
    assert certain == proved and found == (mu if mu is None else pytest.approx(mu, rel=1e-6))


@pytest.mark.parametrize(
    "name", ["himmelblau", "six-hump-camel", "styblinski-tang", "triple-well", "double-well:dim=2"]
)
def test_no_critical_point_lies_beyond_the_bound(name):
    f = resolve(name)
    bound = critical_bound(f)
    rng = np.random.default_rng(0)
    x = bound[:, None] * rng.uniform(-3, 3, size=(f.dimension, 4000))
    x = x[:, (abs(x) > bound[:, None]).any(axis=0)]
    assert (np.sum(x * f.gradient(x) / np.array(growth(f).powers)[:, None], axis=0) > 0).all()
    assert (abs(places(critical_points(f).points)) <= bound).all()


def test_growth_is_not_claimed_where_it_is_not_there():
    assert (
        growth(resolve("x^4 + y^4 - 2*x^2*y^2")) is None and unbounded_below(resolve("x^4+y^4-2*x^2*y^2")) is not None
    )
    assert growth(resolve("rosenbrock")) is None and unbounded_below(resolve("rosenbrock")) is None
    assert growth(resolve("mueller-brown")) is None and growth(callable_twin("himmelblau")) is None


@pytest.mark.parametrize(
    ("objective", "said"),
    [(resolve("himmelblau"), "more than 4 critical points"), (callable_twin("himmelblau"), "has 9 critical points")],
    ids=["proved", "searched"],
)
def test_too_many_critical_points_ask_for_a_box(monkeypatch, objective, said):
    monkeypatch.setattr(search, "MOST_POINTS", 4)
    monkeypatch.setattr(search, "MOST_OF_MORE", 8)
    with pytest.raises(ConvergenceError, match=f"{said}.*give a box"):
        witten.describe_landscape(objective)
