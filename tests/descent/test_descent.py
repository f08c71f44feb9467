"""Gradient descent as a dynamical system, against closed forms: the cubic map of the balanced line above all.

At a = 2 it is a threefold cover in disguise: z = sqrt 2 sin t goes to sqrt 2 sin 3t."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from witten.descent.attractors.attractor import (
    CHAOTIC,
    DIVERGES,
    FIXED,
    PERIODIC,
    QUASI_PERIODIC,
    SLOW,
    Share,
    fate,
    fate_shares,
)
from witten.descent.attractors.cycle_detection import settle
from witten.descent.basins import basins, border, box_counting
from witten.descent.bifurcation import bifurcation_diagram, doublings, flip
from witten.descent.gradient_map import DescentMap, turning_points
from witten.descent.lyapunov import lyapunov, random_product
from witten.descent.orbits import hull, orbits, polish, split_exponents
from witten.errors import ConvergenceError, RequestError
from witten.objectives.losses.factorisation import balanced_line, deep_scalar, scalar_factorisation
from witten.objectives.objective import Objective

LINE, PLANE, RIDGE = balanced_line(), scalar_factorisation(1.0), scalar_factorisation(0.5, ridge=0.2)
TORUS = Objective.from_formula("(x^4+y^4)/4-1.27*x^2*y-0.31*x*y+0.02*(x^2-y^2)+x^2*y^2/4+y/3")
QUARTIC = Objective.from_formula("x^4/4")


def as_callable(f: Objective) -> Objective:
    """The same function without its formula: the loops over arrays instead of the compiled ones."""
    return Objective.from_callable(f, f.dimension, f.gradient, f.hessian, name="callable")


# ------------------------------------------------------------------------------------------------------- the map


@pytest.mark.parametrize("s", [0.0, -0.1, math.nan, math.inf])
def test_a_learning_rate_is_positive(s):
    with pytest.raises(ValueError, match="learning rate must be positive"):
        DescentMap(LINE, s)


def test_loops_give_what_single_steps_give():
    x = np.random.default_rng(0).uniform(-1, 1, (2, 7))
    step = DescentMap(PLANE, 0.3)
    expected = x
    for _ in range(25):
        expected = expected - 0.3 * PLANE.gradient(expected)
    assert step.iterate(x, 25) == pytest.approx(expected, rel=1e-13)
    assert step.path(x[:, 0], 25, every=5)[:, -1] == pytest.approx(expected[:, 0], rel=1e-13)
    assert DescentMap(as_callable(PLANE), 0.3).iterate(x, 25) == pytest.approx(expected, rel=1e-13)


def test_the_inlined_loop_gives_what_the_other_does():
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (1, 70_001))
    few, many = DescentMap(LINE, 0.9).iterate(x[:, :100], 150), DescentMap(LINE, 0.9).iterate(x, 150)
    assert few == pytest.approx(many[:, :100], rel=1e-12)
    assert abs(abs(many) - 1).max() < 1e-12


def test_the_jacobian_is_that_of_the_map():
    x, h = np.random.default_rng(0).normal(size=(2, 5)), 1e-6
    step = DescentMap(PLANE, 0.4)
    columns = [(step(x + h * e[:, None]) - step(x - h * e[:, None])) / (2 * h) for e in np.eye(2)]
    assert step.jacobian(x) == pytest.approx(np.stack(columns, axis=1), abs=1e-8)


def test_between_turning_points_the_map_is_monotone():
    step = DescentMap(LINE, 2.0)
    assert turning_points(step, -2, 2) == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)], abs=1e-12)
    with pytest.raises(RequestError, match="one dimension"):
        turning_points(DescentMap(PLANE, 0.1), -1.0, 1.0)


# ------------------------------------------------------------------------------------------------------ settling


@pytest.mark.parametrize(
    ("f", "s", "radius"), [(LINE, 0.95, 1.5), (LINE, 1.27, 1.3), (RIDGE, 1.0, 3.0), (PLANE, 1.1, 1.5)]
)
def test_compiled_search_and_arrays_agree_to_the_bit(f, s, radius):
    x = np.random.default_rng(0).uniform(-radius, radius, (f.dimension, 60))
    one, other = (settle(DescentMap(each, s), x, 3000) for each in (f, as_callable(f)))
    assert (one.period == other.period).all() and (one.steps == other.steps).all()
    settled = one.period > 0
    assert (one.x[:, settled] == other.x[:, settled]).all()


def test_results_do_not_depend_on_threads():
    x = np.random.default_rng(0).uniform(-3, 3, (2, 500))
    found = []
    threads = numba.get_num_threads()
    for count in {1, threads}:
        numba.set_num_threads(count)
        found.append(settle(DescentMap(RIDGE, 1.0), x, 2000))
    numba.set_num_threads(threads)
    assert (found[0].x[:, found[0].period > 0] == found[-1].x[:, found[0].period > 0]).all()
    assert (found[0].period == found[-1].period).all()


@pytest.mark.parametrize(("a", "period"), [(0.5, 1), (0.99, 1), (1.1, 2), (1.25, 4), (1.29, 8), (1.7, 6), (2.1, -1)])
def test_periods_of_the_cubic_map(a, period):
    assert settle(DescentMap(LINE, a), [[0.3]], 20_000).period[0] == period


# -------------------------------------------------------------------------------------------------------- orbits


def test_every_cycle_of_the_threefold_cover_is_found():
    """There are (3^p - ...)/p of them, each stretched by 3 at every step, but for the ends +-sqrt 2: by 9."""
    for p, count in ((1, 3), (2, 3), (3, 8), (4, 18)):
        found = orbits(DescentMap(LINE, 2.0), p, [(-1.6, 1.6)])
        assert len(found) == count
        assert all(orbit.residual < 1e-13 and not orbit.stable for orbit in found)
        stretch = sorted(abs(orbit.multipliers[0]) ** (1 / p) for orbit in found)
        ends = 1 if p == 2 else 0
        assert stretch[: count - ends] == pytest.approx([3.0] * (count - ends), rel=1e-8)
        assert stretch[count - ends :] == pytest.approx([9.0] * ends, rel=1e-8)


def test_repelling_cycles_in_the_plane():
    """Between flip and escape the fixed point 1 of the line goes on as a saddle of the plane."""
    found = orbits(DescentMap(RIDGE, 1.0), 1, [(-3, 3), (-3, 3)], starts=60)
    root = math.sqrt(0.3)
    expected = [(-root, -root), (0.0, 0.0), (root, root)]
    points = np.array([orbit.points[:, 0] for orbit in found])
    for point in expected:
        assert np.linalg.norm(points - point, axis=1).min() < 1e-9
    at_zero = found[int(np.argmin(np.linalg.norm(points, axis=1)))]
    assert sorted(at_zero.multipliers.real) == pytest.approx([0.3, 1.3]) and not at_zero.stable


def test_the_two_cycle_of_the_line_in_closed_form():
    a = 1.15
    points = 0.5 * (math.sqrt(1 + 3 / a) + np.array([-1, 1]) * math.sqrt(1 - 1 / a))
    orbit = polish(DescentMap(PLANE, a), np.array([points, points]) + 1e-4)
    assert orbit is not None and orbit.period == 2
    assert np.sort(orbit.points[0]) == pytest.approx(points, abs=1e-12)
    tangential, transverse = split_exponents(DescentMap(PLANE, a), orbit.points, hull(orbit.points))
    assert np.exp(2 * transverse) == pytest.approx([3 - 2 * a], rel=1e-9)
    inner = polish(DescentMap(LINE, a), points[None])
    assert inner is not None and tangential == pytest.approx(inner.exponents, rel=1e-9)


def test_long_orbits_are_polished_from_one_of_their_points(monkeypatch):
    from witten.descent import orbits as module

    for f, a, p in ((PLANE, 1.15, 2), (PLANE, 1.25, 4), (LINE, 2.0, 3)):
        step = DescentMap(f, a)
        start = np.full(f.dimension, 0.31)
        points = step.path(start if p == 3 else step.iterate(start, 3000), p - 1)
        monkeypatch.setattr(module, "MOST_TOGETHER", 600)
        together = polish(step, points)
        monkeypatch.setattr(module, "MOST_TOGETHER", 0)
        alone = polish(step, points)
        assert together is not None and alone is not None and alone.period == together.period
        assert alone.residual < 1e-12
        if p != 3:  # which repelling cycle is found may differ
            assert alone.points == pytest.approx(together.points, abs=1e-12)


def test_polishing_gives_up_where_there_is_nothing():
    assert polish(DescentMap(Objective.from_formula("x"), 0.1), [[0.0, 0.3]]) is None


# --------------------------------------------------------------------------------------------------------- fates


@pytest.mark.parametrize(
    ("f", "s", "x", "kind", "period"),
    [
        (LINE, 0.9, [0.3], FIXED, 1),
        (LINE, 1.2, [0.3], PERIODIC, 2),
        (LINE, 1.4, [0.3], CHAOTIC, None),
        (LINE, 1.99, [0.3], CHAOTIC, None),
        (LINE, 2.1, [0.3], DIVERGES, None),
        (LINE, 1.0, [0.3], SLOW, 1),
        (PLANE, 0.9, [0.5, 0.7], FIXED, 1),
        (PLANE, 1.4, [0.5, 0.7], CHAOTIC, None),
        (TORUS, 0.3, [0.3, 0.2], QUASI_PERIODIC, None),
        (QUARTIC, 0.1, [0.9], SLOW, 1),
        (Objective.from_formula("2/3*abs(x)^1.5"), 0.4, [0.3], PERIODIC, 2),
    ],
)
def test_fates(f, s, x, kind, period):
    found = fate(f, s, x, steps=40_000)
    assert (found.kind, found.period) == (kind, period)


@pytest.mark.parametrize(("power", "exponent"), [(4, 1 / 2), (6, 1 / 4), (8, 1 / 6)])
def test_slow_runs_tell_their_exponent(power, exponent):
    found = fate(Objective.from_formula(f"x^{power}/{power}"), 0.1, [0.9], steps=40_000)
    assert found.kind == SLOW and found.exponent == pytest.approx(exponent, rel=0.02)


def test_at_a_flip_convergence_is_algebraic():
    assert fate(LINE, 1.0, [0.3], steps=40_000).exponent == pytest.approx(0.5, rel=0.02)


@given(st.floats(0.1, 10.0), st.floats(0.05, 0.95) | st.floats(1.05, 3.0))
@examples(25)
def test_a_quadratic_settles_below_two_over_its_curvature(theta, ratio):
    f = as_callable_quadratic(theta)
    found = fate(f, 2 * ratio / theta, [1.0], steps=4000)
    assert found.kind == (FIXED if ratio < 1 else DIVERGES)
    if found.settled:
        assert found.sharpness == pytest.approx(theta)
        assert found.multipliers.real == pytest.approx([1 - 2 * ratio], abs=1e-9)


def as_callable_quadratic(theta):
    return Objective.from_callable(
        lambda x: theta * x[0] ** 2 / 2, 1, lambda x: theta * x, lambda x: np.full((1, 1, x.shape[1]), theta)
    )


def test_shares_of_fates_have_intervals_that_hold():
    starts = np.random.default_rng(0).uniform(-4, 4, (2, 600))
    shares = {share.kind: share for share in fate_shares(RIDGE, 1.0, starts, steps=5000)}
    assert set(shares) == {FIXED, DIVERGES} and sum(share.count for share in shares.values()) == 600
    low, high = shares[FIXED].interval
    assert low < 0.2120 < high  # from a picture of 4096^2 cells
    assert Share(FIXED, 0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-3)


# ------------------------------------------------------------------------------------------------------ exponents


def test_full_chaos_has_exponent_log_three():
    found = lyapunov(DescentMap(LINE, 2.0), [0.3], 100_000)
    assert abs(found.exponents[0] - math.log(3)) < 5 * found.errors[0] + 1e-6
    assert found.errors[0] < 1e-2


def test_exponents_along_and_across_the_balanced_line():
    """Along: that of the cubic map. Across: the mean of log |1 - s (mu - p)| over the run."""
    a, steps = 1.4, 20_000
    found = lyapunov(DescentMap(PLANE, a), [0.6, 0.6], steps, burn=0, along=[[1 / math.sqrt(2)], [1 / math.sqrt(2)]])
    run = DescentMap(LINE, a).path([0.6], steps - 1)[0]
    along, across = (np.log(abs(1 + sign * a * (1 - run**2) - (2 * a * run**2 if sign > 0 else 0))).mean()
                     for sign in (1, -1))  # fmt: skip
    assert found.tangential == pytest.approx([along], abs=5 * found.errors[0])
    assert found.transverse == pytest.approx([across], abs=5 * found.errors[1])


def test_exponents_without_a_formula():
    ours, theirs = (lyapunov(DescentMap(f, 1.1), [0.5, 0.9], 1000, burn=100) for f in (PLANE, as_callable(PLANE)))
    assert theirs.exponents == pytest.approx(ours.exponents, abs=1e-9)


def test_random_products():
    assert random_product([[[0.5]], [[-3.0]]])[0] == pytest.approx(math.log(1.5) / 2)
    commuting = np.array([np.diag([0.5, 0.9]), np.diag([3.0, 0.9])])
    value, error = random_product(commuting, 100_000)
    assert value == pytest.approx(math.log(1.5) / 2, abs=5 * error) and 0 < error < 0.01
    assert random_product(np.zeros((1, 2, 2)), 1000) == (-math.inf, 0.0)
    with pytest.raises(RequestError, match="shape"):
        random_product([[1.0]])


@pytest.mark.parametrize("form", ["compiled", "callable"])
def test_at_a_superstable_point_the_exponent_is_minus_infinity(form):
    """F' = 1 - 2 s = 0 at x = 1."""
    f = LINE if form == "compiled" else as_callable(LINE)
    assert bifurcation_diagram(f, [0.5], [[0.9]], burn=100, keep=8).exponents == [[-np.inf]]
    found = lyapunov(DescentMap(f, 0.5), [0.9], 200, burn=100)
    assert (found.exponents.tolist(), found.errors.tolist()) == ([-math.inf], [0.0])
    assert fate(f, 0.5, [0.9]).lyapunov == [-np.inf]


@pytest.mark.parametrize("x", [-1.0, 0.0])
def test_a_start_outside_the_domain_is_refused(x):
    f = Objective.from_formula("log(x)^2+sqrt(x-x^2/8)")
    for start in (lambda: fate(f, 0.1, [x]), lambda: bifurcation_diagram(f, [0.1], [[x]])):
        with pytest.raises(RequestError, match="not a number at the start"):
            start()


# --------------------------------------------------------------------------------------------------------- basins


def test_basins_of_two_mirrored_minima_are_as_large():
    found = basins(RIDGE, 1.0, ((-4, 4), (-4, 4)), (128, 128))  # whose cells are mirrored to the last bit
    labels, points = found.labels()
    root = math.sqrt(0.3)
    order = np.argsort(points[0])
    assert points[:, order[[0, -1]]] == pytest.approx(np.array([[-root, root]] * 2), abs=1e-6)
    counts = np.bincount(labels[labels >= 0])
    assert counts[order[0]] == counts[order[-1]] > 1000
    assert sum(share.share for share in found.shares()) == pytest.approx(1.0)


def test_cycles_are_one_attractor_each():
    found = basins(PLANE, 1.1, ((0.3, 1.3), (0.3, 1.3)), (24, 24))
    labels, points = found.labels()
    assert (found.period == 2).all() and points.shape == (2, 1) and (labels == 0).all()


def test_minima_that_fill_a_curve_have_no_basins():
    with pytest.raises(RequestError, match="fill curves"):
        basins(PLANE, 0.5, ((0.5, 2), (0.5, 2)), (32, 32)).labels()


def test_a_plane_through_more_dimensions():
    f = deep_scalar(1.0, depth=3)
    found = basins(f, 0.2, ((0.5, 1.5), (0.5, 1.5)), (8, 8), plane=([0, 0, 0], [1, 0, 0.5], [0, 1, 0.5]))
    assert f(found.ends.reshape(3, -1)).max() < 1e-12
    with pytest.raises(RequestError, match="plane"):
        basins(f, 0.2, ((0, 1), (0, 1)), (8, 8))


def test_box_counting_knows_simple_dimensions():
    i, j = np.indices((512, 512))
    circle = ((i - 250.3) ** 2 + (j - 260.7) ** 2 < 180.0**2).astype(int)
    assert box_counting(circle).dimension == pytest.approx(1.0, abs=0.04)
    sierpinski = ((i & j) == 0).astype(int)
    assert box_counting(sierpinski, smallest=1).dimension == pytest.approx(math.log2(3), abs=0.06)
    assert border(np.zeros((4, 4), int)).sum() == 0
    with pytest.raises(RequestError, match="border"):
        box_counting(np.zeros((64, 64), int))


# --------------------------------------------------------------------------------------------------- bifurcations


def test_doublings_shrink_by_feigenbaums_number():
    found = doublings(LINE, [0.9], 0.9, 1.4, 6)
    assert [each.period for each in found] == [1, 2, 4, 8, 16, 32]
    where = np.array([each.learning_rate for each in found])
    assert where[:2] == pytest.approx([1.0, math.sqrt(5) - 1], abs=1e-11)
    gaps = np.diff(where)
    assert gaps[-2] / gaps[-1] == pytest.approx(4.6692, abs=0.01)
    assert all(each.orbit.multipliers.real.min() == pytest.approx(-1, abs=1e-6) for each in found)


def test_a_flip_that_is_not_there_is_an_error():
    with pytest.raises(ConvergenceError, match="does not double"):
        flip(LINE, [[1.0]], 0.5, 0.8)
    with pytest.raises(RequestError, match="does not converge"):
        doublings(LINE, [0.3], 1.4, 1.5, 1, steps=2000)


def test_orbit_diagram_of_the_cubic_map():
    rates = [1.1, 0.7, 1.25, 1.8, 2.2, 0.95]
    found = bifurcation_diagram(LINE, rates, [[0.3, -0.3]])
    assert found.periods[:, 0].tolist() == [2, 1, 4, 0, -1, 1]
    assert found.exponents[[1, 5], 0] == pytest.approx(np.log([0.4, 0.9]), abs=1e-3)
    assert found.exponents[3, 0] > 0.5 and np.isnan(found.exponents[4]).all()
    assert np.unique(np.sign(found.points[[0, 1, 2, 5], 0])) == [1.0]
    # in steps that are not compiled, for one start
    plain = bifurcation_diagram(as_callable(LINE), [0.7, 1.1], [[0.3]], burn=300, keep=16)
    assert plain.periods[:, 0].tolist() == [1, 2]
