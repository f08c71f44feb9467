"""Boxes, grids, the sublevel sets that are found from f alone, and the conditions on f."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import examples

import witten
from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.scan import Scan
from witten.domains.sublevel import sublevel
from witten.errors import AccuracyWarning, ConvergenceError, GridError, RequestError
from witten.objectives import Objective, resolve
from witten.objectives.growth.conditions import continuous_spectrum

# ------------------------------------------------------------------------------------------------ boxes


def test_a_box_from_intervals():
    box = Box.of([(-1, 2), (0, 0.5)])
    assert box.dimension == 2
    assert box.intervals == ((-1.0, 2.0), (0.0, 0.5))
    np.testing.assert_array_equal(box.widths, [3.0, 0.5])
    assert str(box) == "-1:2,0:0.5"


def test_an_expanded_box_moves_each_side_by_a_fraction_of_the_width():
    box = Box.of([(0, 1), (0, 2)]).expanded(0.5, np.array([1.0, -0.25]))
    assert box.intervals == ((-0.5, 2.0), (-1.0, 1.5))


@pytest.mark.parametrize(
    "intervals",
    [[], [(1, 1)], [(2, 1)], [(0, 1), (3, 2)], [(0, np.inf)], [(np.nan, 1)], [(-np.inf, np.inf)]],
)
def test_bad_boxes_are_refused(intervals):
    with pytest.raises(RequestError):
        Box.of(intervals)


def test_ends_of_different_lengths_are_refused():
    with pytest.raises(RequestError, match="one interval per axis"):
        Box((0.0, 0.0), (1.0,))


# ------------------------------------------------------------------------------------------------ grids


@st.composite
def grids(draw, max_dimension=3, max_cells=6):
    """A masked grid on a random box, at least one cell active."""
    d = draw(st.integers(1, max_dimension))
    shape = tuple(draw(st.integers(1, max_cells)) for _ in range(d))
    lower = [draw(st.floats(-5, 5)) for _ in range(d)]
    widths = [draw(st.floats(0.1, 10)) for _ in range(d)]
    mask = draw(hnp.arrays(bool, shape))
    mask.flat[draw(st.integers(0, mask.size - 1))] = True
    return Grid(Box.of([(a, a + w) for a, w in zip(lower, widths, strict=True)]), shape, mask)


def cells(grid):
    """The domain of a grid, as the index of each active cell."""
    return set(zip(*(i.tolist() for i in np.nonzero(grid.mask)), strict=True))


@given(grids())
@examples(60)
def test_nodes_are_the_centres_of_active_cells(grid):
    assert grid.points.shape == (grid.dimension, grid.n_nodes)
    lower = np.array(grid.box.lower)[:, None]
    index = np.array(np.nonzero(grid.mask))
    np.testing.assert_allclose(grid.points, lower + (index + 0.5) * grid.spacing[:, None], rtol=0, atol=1e-13)
    np.testing.assert_allclose(grid.spacing * grid.shape, grid.box.widths)


@given(grids())
@examples(60)
def test_refined_keeps_the_domain(grid):
    """Each active cell becomes 2^d active cells in its place, and nothing else is active."""
    fine = grid.refined()
    assert fine.box == grid.box
    assert fine.shape == tuple(2 * n for n in grid.shape)
    np.testing.assert_array_equal(fine.spacing, grid.spacing / 2)
    children = {
        tuple(2 * i + e for i, e in zip(cell, step, strict=True))
        for cell in cells(grid)
        for step in product((0, 1), repeat=grid.dimension)
    }
    assert cells(fine) == children


@given(grids(), st.integers(1, 3), st.sampled_from([np.nan, 0.0, -7.0]))
@examples(60)
def test_expand_puts_values_in_place_and_fills_the_rest(grid, k, fill):
    values = np.arange(1.0, k * grid.n_nodes + 1).reshape(k, grid.n_nodes)
    array = grid.expand(values, fill)
    assert array.shape == (k, *grid.shape)
    np.testing.assert_array_equal(array[:, grid.mask], values)
    np.testing.assert_array_equal(array[:, ~grid.mask], np.full_like(array[:, ~grid.mask], fill))
    np.testing.assert_array_equal(grid.expand(values[0], fill), array[0])


@given(grids(), st.integers(1, 3))
@examples(60)
def test_prolongate_stays_between_values_and_keeps_constants(grid, k):
    values = np.random.default_rng(0).standard_normal((grid.n_nodes, k))
    fine = grid.refined()
    carried = grid.prolongate(values)
    assert carried.shape == (fine.n_nodes, k)
    assert carried.min() >= values.min() and carried.max() <= values.max()
    np.testing.assert_allclose(grid.prolongate(np.ones((grid.n_nodes, 1))), 1.0, rtol=1e-15)


def test_prolongate_carries_what_is_linear_but_for_the_rim():
    grid = Grid.uniform([(0, 1), (0, 2)], (5, 4))
    fine = grid.refined()
    carried = grid.prolongate((grid.points.T @ [3.0, -2.0])[:, None])[:, 0]
    inside = fine.expand(carried - [3.0, -2.0] @ fine.points)[1:-1, 1:-1]
    np.testing.assert_allclose(inside, 0.0, atol=1e-14)


def test_a_grid_does_not_share_its_mask_with_the_caller():
    mask = np.ones(4, dtype=bool)
    grid = Grid(Box.of([(0, 1)]), (4,), mask)
    mask[0] = False
    assert grid.n_nodes == 4 and grid.mask.all()
    with pytest.raises(ValueError, match="read-only"):
        grid.mask[0] = False


@pytest.mark.parametrize(("shape", "mask"), [((3, 3), None), ((0,), None), ((4,), np.ones(3, dtype=bool))])
def test_bad_grids_are_refused(shape, mask):
    with pytest.raises(RequestError):
        Grid(Box.of([(0, 1)]), shape, mask)


# ------------------------------------------------------------------------------------------------ sublevel sets


def holds(grid, point):
    """Whether a point lies in an active cell."""
    index = np.floor((np.asarray(point) - grid.box.lower) / grid.spacing).astype(int)
    return bool((index >= 0).all() and (index < grid.shape).all() and grid.mask[tuple(index)])


def rim(box, n=301):
    """Points on all faces of a box, (d, .)."""
    axes = [np.linspace(a, b, n if box.dimension < 3 else 61) for a, b in box.intervals]
    faces = []
    for axis, ends in enumerate(box.intervals):
        for end in ends:
            here = [np.array([end]) if i == axis else x for i, x in enumerate(axes)]
            faces.append(np.stack([x.ravel() for x in np.meshgrid(*here, indexing="ij")]))
    return np.concatenate(faces, axis=1)


r = (0.3 + np.sqrt(4.09)) / 2  # r^2 - 0.3 r - 1 = 0: the wells of the untilted triple well
THREEFOLD = [(r * np.cos(a), r * np.sin(a)) for a in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
BAD, GOOD = -0.619258240, 0.7
DEEP, SHALLOW = -2.903534, 2.746803
# objective, s, its minima as the literature gives them
MINIMA = {
    "quadratic": (0.1, [(0,)]),
    "quadratic:theta=1000,dim=2": (0.01, [(0, 0)]),
    "quadratic:dim=3": (0.3, [(0, 0, 0)]),
    "double-well": (0.05, [(-1,), (1,)]),
    "double-well:barrier=2": (0.2, [(-1,), (1,)]),
    "double-well:dim=2": (0.05, [(-1, 0), (1, 0)]),
    "double-well:dim=3": (0.1, [(-1, 0, 0), (1, 0, 0)]),
    "triple-well": (0.05, THREEFOLD),
    "shi-su-jordan-1d": (0.05, [(BAD,), (GOOD,)]),
    "shi-su-jordan": (0.03, list(product((BAD, GOOD), (-GOOD, -BAD)))),
    "mueller-brown": (0.02, [(-0.558224, 1.441726), (0.623499, 0.028038), (-0.050011, 0.466694)]),
    "convex-quartic": (0.2, [(0,)]),
    "himmelblau": (0.1, [(3, 2), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127)]),
    "six-hump-camel": (
        0.1,
        [
            *[(0.089842, -0.712656), (-0.089842, 0.712656), (-1.703607, 0.796084), (1.703607, -0.796084)],
            *[(-1.607105, -0.568651), (1.607105, 0.568651)],
        ],
    ),
    "styblinski-tang": (0.2, list(product((DEEP, SHALLOW), repeat=2))),
    "rosenbrock": (0.05, [(1, 1)]),
    # the global minimum and those next to it, which tie
    "rastrigin": (0.2, [(0, 0), (0.99496, 0), (-0.99496, 0), (0, 0.99496), (0, -0.99496)]),
    "rastrigin:dim=1": (0.1, [(0,), (0.99496,), (-0.99496,)]),
    "rugged": (0.05, [(-0.906591,), (0.906591,)]),
}


@pytest.mark.parametrize("spec", MINIMA)
def test_all_minima_of_the_gallery_lie_inside(spec):
    s, minima = MINIMA[spec]
    region = sublevel(resolve(spec), s, wells=max(len(minima) - 1, 1))
    grid = region.grid()
    assert [point for point in minima if not holds(grid, point)] == []


@pytest.mark.parametrize("spec", MINIMA)
def test_the_whole_gallery_is_in_the_table_and_its_minima_are_critical(spec):
    assert {name.partition(":")[0] for name in MINIMA} == set(witten.gallery.names())
    f = resolve(spec)
    points = np.array(MINIMA[spec][1], dtype=float).T
    steps = np.linalg.solve(np.moveaxis(f.hessian(points), -1, 0), f.gradient(points).T[..., None])
    assert abs(steps).max() < 2e-3


@pytest.mark.parametrize("spec", MINIMA)
def test_the_box_holds_the_set_and_the_mask_ends_above_the_level(spec):
    s, minima = MINIMA[spec]
    f = resolve(spec)
    region = sublevel(f, s, wells=max(len(minima) - 1, 1))
    assert f(rim(region.box)).min() > region.level
    grid = region.grid()
    values = f(Grid(grid.box, grid.shape).points).reshape(grid.shape)
    edge = np.zeros(grid.shape, dtype=bool)
    for axis, step in product(range(grid.dimension), (-1, 1)):
        inner = [slice(None)] * grid.dimension
        inner[axis] = slice(1, None) if step == 1 else slice(None, -1)
        edge[tuple(inner)] |= np.roll(grid.mask, step, axis)[tuple(inner)] & ~grid.mask[tuple(inner)]
    assert (values[edge] > region.level).all()


SADDLES = {  # the heights that matter to the gap, from the formulas
    "double-well": 0.25,
    "double-well:barrier=0.5,tilt=0": 0.5,
    "shi-su-jordan-1d": float(((-0.080741760 + 0.7) ** 2 + 0.1) * (-0.080741760 - 0.7) ** 2),
    "mueller-brown": -40.664844 * 0.005,
    "triple-well": float(resolve("triple-well")([-(-0.3 + np.sqrt(4.09)) / 2, 0.0])),
}


@pytest.mark.parametrize("spec", SADDLES)
@pytest.mark.parametrize("margin", [6.0, 12.0])
def test_the_level_is_the_saddle_and_a_margin(spec, margin):
    s = 0.03
    region = sublevel(resolve(spec), s, margin=margin)
    assert region.height == pytest.approx(SADDLES[spec], abs=0.02 * s)
    assert region.level == pytest.approx(region.height + margin * s, rel=1e-12)


def test_the_set_of_mueller_brown_reaches_far_to_the_left():
    """Its customary box ends at x = -1.6; the set at s = 0.2 does not."""
    f = resolve("mueller-brown")
    region = sublevel(f, 0.2, margin=12.5)
    x, y = np.meshgrid(np.linspace(-5, 3, 1601), np.linspace(-3, 5, 1601), indexing="ij")
    inside = f(np.stack([x.ravel(), y.ravel()])) <= -0.2033242 + 12.5 * 0.2
    points = np.stack([x.ravel(), y.ravel()])[:, inside]
    assert points[0].min() == pytest.approx(-3.45, abs=0.01)
    lower, upper = np.array(region.box.lower), np.array(region.box.upper)
    assert (lower < points.min(axis=1)).all() and (upper > points.max(axis=1)).all()
    assert region.grid().points[0].min() < -3.4


def composed(text, replacement):
    return resolve(text.replace("x", f"({replacement})"))


@pytest.mark.parametrize("text", ["x^2/2", "(x^2-1)^2/4", "(x^2-1)^2/4+x/10", "((x+0.7)^2+0.1)*(x-0.7)^2"])
@pytest.mark.parametrize("shift", [-3.0, 0.3, 17.0, 100.0, -12345.0])
def test_shift(text, shift):
    s = 0.05
    here, there = sublevel(resolve(text), s), sublevel(composed(text, f"x-({shift:g})"), s)
    assert there.level == pytest.approx(here.level, abs=0.01 * s)
    np.testing.assert_allclose(np.array(there.box.lower) - shift, here.box.lower, atol=0.03 * here.box.widths[0])
    np.testing.assert_allclose(np.array(there.box.upper) - shift, here.box.upper, atol=0.03 * here.box.widths[0])
    assert there.wells == here.wells


@pytest.mark.parametrize("text", ["x^2/2", "(x^2-1)^2/4", "(x^2-1)^2/4+x/10"])
@pytest.mark.parametrize("scale", [1e-4, 0.03, 7.0, 1e4])
def test_scale_of_space(text, scale):
    s = 0.05
    here, there = sublevel(resolve(text), s), sublevel(composed(text, f"x/{scale:.10f}"), s)
    assert there.level == pytest.approx(here.level, abs=0.01 * s)
    np.testing.assert_allclose(np.array(there.box.intervals) / scale, here.box.intervals, atol=0.06)
    np.testing.assert_allclose(there.spacing / scale, here.spacing, rtol=0.1)


@pytest.mark.parametrize("spec", ["double-well", "mueller-brown", "shi-su-jordan"])
def test_scale_of_the_objective(spec):
    """8 f at 8 s has the sets of f at s."""
    f = resolve(spec)
    scaled = Objective.from_sympy(8 * f.formula, f.symbols)
    here, there = sublevel(f, 0.05), sublevel(scaled, 0.4)
    assert there.box == here.box
    assert there.level == pytest.approx(8 * here.level, rel=1e-12)
    np.testing.assert_allclose(there.spacing, here.spacing, rtol=1e-9)
    np.testing.assert_array_equal(there.grid().mask, here.grid().mask)


@pytest.mark.parametrize(
    ("text", "s", "inside"),
    [
        ("(x-100)^2", 0.1, [100.0]),
        ("(x-100)^2", 1e-4, [100.0]),
        ("(x+12345)^2/2", 0.1, [-12345.0]),
        ("1000000*x^2", 1e-4, [0.0]),
        ("x^2/10000000000", 0.1, [0.0]),
        ("((x-37)^2/0.0001-1)^2/4", 0.1, [36.99, 37.01]),
        ("((x-20)^2-1)^2/4 ", 0.05, [19.0, 21.0]),
        ("(x^2-400)^2/10000", 0.5, [-20.0, 20.0]),
        ("x^2/2-2*exp(-((x-1)/0.02)^2)", 0.1, [0.0, 1.0]),
        ("x^2/2-exp(-((x+1)/0.05)^2)", 0.05, [0.0, -1.0]),
        ("x^2/20-4*exp(-(x-8)^2)", 0.1, [0.0, 8.0]),
    ],
)
def test_far_away_and_narrow_wells_are_found(text, s, inside):
    grid = sublevel(resolve(text), s).grid()
    assert all(holds(grid, (x,)) for x in inside)
    assert grid.n_nodes < 5000


def test_a_far_away_well_in_two_dimensions():
    f = resolve("((x-40)^2-1)^2/4 + (y+70)^2/2")
    region = sublevel(f, 0.05)
    grid = region.grid()
    assert holds(grid, (39, -70)) and holds(grid, (41, -70)) and holds(grid, (40, -70))
    assert (region.box.widths < 6).all()


def test_higher_saddles_come_in_with_more_wells():
    f = resolve("himmelblau")
    heights = [sublevel(f, 0.02, wells=k).height for k in (1, 2, 3)]
    assert all(a <= b + 1e-4 for a, b in pairwise(heights))  # cells of different scans


def test_wells_are_counted_where_their_barrier_exceeds_the_learning_rate():
    f = resolve("six-hump-camel")
    assert sublevel(f, 0.05, wells=5).wells == 6
    assert sublevel(resolve("double-well"), 0.05).wells == 2
    assert sublevel(resolve("double-well"), 0.3).wells == 1
    assert sublevel(resolve("rosenbrock"), 0.05).wells == 1


def test_a_narrow_curved_valley_is_one_well():
    f = resolve("rosenbrock")
    for s in (0.02, 0.002):
        region = sublevel(f, s)
        assert region.wells == 1
        assert holds(region.grid(), (1, 1)) and holds(region.grid(), (0, 0))


def test_a_wider_grid_contains_the_grid_on_the_same_lattice():
    region = sublevel(resolve("mueller-brown"), 0.1, margin=5.0)
    grid = region.grid()
    wide = region.wider(grid, region.level + 0.4)
    np.testing.assert_allclose(wide.spacing, grid.spacing)
    assert wide.n_nodes > grid.n_nodes
    outside = [point for point in grid.points.T if not holds(wide, point)]
    assert outside == []


def test_a_plateau_far_above_the_well_is_slow():
    """x^6/15 - ... has one deep well at 2.2 and a nearly flat shelf on [-1, 0.3], 5 above it, with f' ~ 0 there."""
    f = resolve("0.0683*x**6 - 0.2909*x**4 - 0.474*x**3 - 0.2373*x**2")
    region = sublevel(f, 0.1)
    assert not holds(region.grid(), (0,))
    shelf = float(f(np.array([-0.5])))
    assert shelf - 0.1 < region.allowed_region(0.1).level < 1.0
    assert holds(region.wider(region.grid(), region.allowed_region(0.1).level).refined(), (-0.5,))


def test_the_slow_part_of_a_parabola_is_a_ball():
    """V_s = x^2/s - 1 <= 2 rate is |x|^2 <= s (1 + 2 rate) for f = x^2/2."""
    level = sublevel(resolve("quadratic"), 0.1).allowed_region(2.0).level
    assert level == pytest.approx(0.5 * 0.1 * 5.0, rel=0.1)


def test_a_users_box_is_kept():
    box = Box.of([(-1.5, 1.6)])
    region = sublevel(resolve("double-well"), 0.2, box=box)
    assert region.box == box
    assert region.grid().box == box


def test_a_scan_finds_the_wells_of_a_box_alone():
    scan = Scan.of(resolve("double-well"), Box.of([(0.1, 2.0)]), 500, 0.01)
    np.testing.assert_allclose(scan.wells(1), [[1.0]], atol=0.01)


# ------------------------------------------------------------------------------------------------ conditions


@pytest.mark.parametrize("s", [0.01, 0.1, 1.0, 3.9, 4.0, 5.0, 100.0])
def test_the_logarithm_is_refused_at_every_learning_rate(s):
    reason = "no spectral gap" if s < 4 else "no finite integral"
    with pytest.raises(RequestError, match=reason):
        continuous_spectrum(resolve("log(1+x**2)"), s)
    with pytest.raises(RequestError, match=reason):
        witten.gap("log(1+x**2)", [s])


@pytest.mark.parametrize("s", [0.01, 0.2, 5.0])
@pytest.mark.parametrize("text", ["sqrt(1+x**2)", "sqrt(1+x**2+y**2)"])
def test_linear_growth_has_its_threshold(text, s):
    """V_s -> 1/s, so rates below 1/(2s) stand."""
    assert continuous_spectrum(resolve(text), s) == pytest.approx(1 / (2 * s), rel=1e-3)


def test_a_learning_rate_may_be_too_large_to_see_the_growth_of_f():
    with pytest.raises(RequestError, match=r"learning rate 1e\+300 is too large"):
        continuous_spectrum(resolve("double-well"), 1e300)
    with pytest.raises(RequestError, match=r"grows only like 2 log"):
        continuous_spectrum(resolve("log(1+x^2)"), 1e300)


@pytest.mark.parametrize(("spec", "s"), [("double-well", 1e-10), ("double-well", 1e-300), ("double-well:dim=2", 1e-30)])
def test_a_learning_rate_may_be_too_small_for_a_grid(spec, s):
    with pytest.raises(GridError, match=f"learning rate {s:g} is too small for a grid: {spec} would need"):
        sublevel(resolve(spec), s).grid()


def test_the_sublevel_set_of_a_tiny_learning_rate_reaches_over_the_saddle():
    """8000 cells put the highest of them 18 s below it."""
    found = sublevel(resolve("double-well"), 1e-9)
    assert found.height == pytest.approx(0.25, abs=0.3e-9) and found.grid().n_nodes > 1.2 / found.spacing[0]
    nodes = found.grid().points[0]
    assert nodes.min() < -1 and nodes.max() > 1


def test_the_slowest_direction_sets_the_threshold():
    assert continuous_spectrum(resolve("sqrt(1+x**2)+x/2"), 0.1) == pytest.approx(0.25 / 0.2, rel=1e-6)


def test_the_slower_part_of_a_sum_sets_the_threshold():
    """The spectra of the parts add: {0} and [1/(2s), inf), {0} and [1/(8s), inf); V_s there does not tell."""
    assert continuous_spectrum(resolve("abs(x)+abs(y)/2"), 0.3) == pytest.approx(0.25 / 0.6, rel=1e-6)
    assert continuous_spectrum(resolve("abs(x)+abs(y)/2+x^2+y^2"), 0.3) == np.inf


def test_rates_below_the_threshold_stand_and_those_above_are_refused():
    s = 0.1
    with pytest.warns(AccuracyWarning, match="the spectrum is continuous from rate 5 on"):
        curve = witten.gap("sqrt(1+x**2)", [s])
    assert 0.8 < curve.rates[0] < 1.0  # f'' = 1 at the minimum, less further out
    with pytest.raises((RequestError, ConvergenceError), match=r"continuous spectrum from rate 0\.1 on"):
        witten.spectrum("sqrt(1+x**2)", 5.0, 10)


@pytest.mark.parametrize("spec", ["quadratic", "double-well", "mueller-brown", "cosh(x)", "exp(x^2)", "x^2+sin(x)"])
@pytest.mark.parametrize("s", [0.01, 3.0])
def test_confining_objectives_have_no_threshold(spec, s):
    assert continuous_spectrum(resolve(spec), s) == np.inf


@pytest.mark.parametrize(
    "text", ["x**2*y**2", "-x**4", "x**3", "exp(-x)", "exp(x)", "1/(1+x**2)", "sin(x)", "x**2-y**2", "(x-2*y)**2", "x"]
)
@pytest.mark.parametrize("s", [0.05, 2.0])
def test_what_does_not_confine_is_refused(text, s):
    with pytest.raises(RequestError, match="give a confining objective, (or )?a box"):
        witten.gap(text, [s])


def test_a_valley_that_narrows_is_no_reason_to_refuse():
    """V_s falls to -inf along the axes for s > 2; but the gap is there: e^{b x^2} + e^{b y^2}, b < 2/s, is a Lyapunov
    function."""
    assert witten.gap("x**2+y**2+x**2*y**2", [5.0]).rates[0] > 0


@pytest.mark.parametrize(
    ("text", "box", "where"),
    [
        ("log(x)", None, "-"),
        ("sqrt(x)", None, "-"),
        ("x^2+log(x-1)", [(0.5, 3)], "0.5"),
        ("x^2+sqrt(x+y)", [(-1, 1), (-1, 1)], "-"),
        ("x^2+log(x^2+y^2-1)", [(-2, 2), (-2, 2)], "-0"),
    ],
)
def test_where_f_is_not_finite_is_said(text, box, where):
    with pytest.raises(RequestError, match=rf"at \({where}.*give a box on which it is finite"):
        witten.gap(text, [0.1], box=box)
