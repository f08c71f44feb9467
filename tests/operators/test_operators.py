"""The exact identities of the discrete Witten-Laplacian, in one, two and three dimensions, and its order."""

from itertools import pairwise
from math import exp, log2, prod

import numba
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import examples
from scipy.linalg import eigh

from witten.domains.grid import Grid
from witten.domains.sublevel import sublevel
from witten.errors import RequestError
from witten.objectives import Objective, resolve
from witten.operators.differences.finite_differences import UNRESOLVED, FiniteDifferences

EPS = np.finfo(float).eps

# ------------------------------------------------------------------------------------------------ random operators

SPECS = {
    1: ["double-well", "double-well:tilt=0.2", "rugged", "convex-quartic", "quadratic:theta=3", "sin(3*x)"],
    2: ["double-well:tilt=0.1,dim=2", "triple-well", "mueller-brown", "six-hump-camel", "x*y+cos(2*x)"],
    3: ["double-well:dim=3", "rastrigin:dim=3", "x*y*z+x^2-sin(y)"],
}
learning_rates = st.floats(0.02, 5.0)
CELLS = {1: 30, 2: 9, 3: 5}


@st.composite
def problems(draw):
    """Finite differences on a random grid - any dimension, objective, box, number of cells and mask - and s.

    s is such that psi_0 is a double everywhere.
    """
    d = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, CELLS[d])) for _ in range(d))
    intervals = []
    for _ in range(d):
        low, width = draw(st.floats(-2, 0.5)), draw(st.floats(0.2, 3))
        intervals.append((low, low + width))
    mask = np.ones(shape, dtype=bool)
    if draw(st.booleans()):
        mask = draw(hnp.arrays(bool, shape, elements=st.integers(0, 3).map(bool)))
        mask.flat[draw(st.integers(0, mask.size - 1))] = True
    grid = Grid(Grid.uniform(intervals, shape).box, shape, mask)
    discretisation = FiniteDifferences(resolve(draw(st.sampled_from(SPECS[d]))), grid)
    return discretisation, max(draw(learning_rates), float(np.ptp(discretisation.values)) / 300)


identity = examples(80)


def loop_assembly(discretisation, s):
    """K and M of the weighted graph in the variable u, entry by entry, and A = M^{-1/2} K M^{-1/2}."""
    grid = discretisation.grid
    h = grid.box.widths / np.array(grid.shape)
    cells = [tuple(int(i) for i in cell) for cell in np.argwhere(grid.mask)]
    number = {cell: i for i, cell in enumerate(cells)}

    def value(*cell):
        x = [a + (i + 0.5) * w for a, i, w in zip(grid.box.lower, cell, h, strict=True)]
        return float(discretisation.objective(x))

    f = [value(*cell) for cell in cells]
    lowest = min(f)
    f = [each - lowest for each in f]
    volume = prod(h)
    stiffness, root = np.zeros((len(f), len(f))), np.array([volume * exp(-2 * each / s) for each in f]) ** 0.5
    for cell, i in number.items():
        for axis in range(grid.dimension):
            j = number.get(tuple(c + (b == axis) for b, c in enumerate(cell)))
            if j is not None:
                area_over_distance = volume / h[axis] ** 2
                middle = value(*(c + 0.5 * (b == axis) for b, c in enumerate(cell))) - lowest
                middle = max(middle, (f[i] + f[j] - UNRESOLVED * s) / 2)
                conductance = s / 2 * area_over_distance * exp(-2 * middle / s)
                stiffness[[i, j], [i, j]] += conductance
                stiffness[[i, j], [j, i]] -= conductance
    return stiffness / np.outer(root, root)


def rounding(operator):
    """What rounding may do to one row of A psi_0: the exponents carry a relative eps each."""
    exponents = 8 + abs(operator.log_ground_state).max() + abs(operator.values).max() / operator.learning_rate
    return 8 * EPS * exponents


def full_spectrum(operator):
    return eigh(operator.matrix.toarray(), eigvals_only=True)


# ------------------------------------------------------------------------------------------------ identities


@given(problems())
@identity
def test_the_ground_state_is_in_the_kernel(problem):
    """K u_0 = 0, as applied, as a form, and as assembled."""
    discretisation, s = problem
    operator = discretisation.assemble(s)
    psi0 = operator.ground_state[:, None]
    diagonal = operator.matrix.diagonal()
    bound = rounding(operator)
    assert psi0.min() > 0 and np.linalg.norm(psi0) == pytest.approx(1, rel=1e-12)
    assert (abs(operator.apply(psi0)[:, 0]) <= bound * diagonal * psi0[:, 0]).all()
    assert (abs(operator.matrix @ psi0[:, 0]) <= bound * diagonal * psi0[:, 0]).all()
    assert operator.dirichlet_form(psi0)[0, 0] <= bound**2 * (diagonal @ psi0[:, 0] ** 2)


@given(problems())
@identity
def test_the_ground_state_is_exp_of_minus_f_over_s(problem):
    discretisation, s = problem
    operator = discretisation.assemble(s)
    f = discretisation.objective(discretisation.grid.points)
    log_psi0 = operator.log_ground_state
    np.testing.assert_allclose(log_psi0 - log_psi0[0], (f[0] - f) / s, rtol=1e-11, atol=1e-11 * (1 + abs(f).max() / s))


@given(problems())
@identity
def test_symmetric_with_negative_couplings(problem):
    discretisation, s = problem
    operator = discretisation.assemble(s)
    a = operator.matrix
    assert a.shape == (discretisation.grid.n_nodes,) * 2
    assert all((np.diff(a.indices[i:j]) > 0).all() for i, j in pairwise(a.indptr))
    assert abs(a - a.T).max() == 0
    off = a.toarray()
    np.fill_diagonal(off, 0)
    assert (off <= 0).all()


@given(problems())
@identity
def test_not_negative(problem):
    discretisation, s = problem
    operator = discretisation.assemble(s)
    assert full_spectrum(operator)[0] >= -rounding(operator) * operator.matrix.diagonal().max() * 4
    psi = np.random.default_rng(0).standard_normal((operator.n_dofs, 3))
    assert (np.linalg.eigvalsh(operator.dirichlet_form(psi)) >= -1e-14 * abs(operator.dirichlet_form(psi)).max()).all()


@given(problems())
@identity
def test_against_a_loop_over_cells(problem):
    discretisation, s = problem
    operator = discretisation.assemble(s)
    dense = loop_assembly(discretisation, s)
    np.testing.assert_allclose(operator.matrix.toarray(), dense, rtol=rounding(operator) + 1e-12, atol=0)


@given(problems(), st.integers(1, 3))
@identity
def test_edge_forms_agree_with_the_matrix(problem, k):
    discretisation, s = problem
    operator = discretisation.assemble(s)
    psi = np.random.default_rng(k).standard_normal((operator.n_dofs, k))
    scale = operator.matrix.diagonal().max() * operator.n_dofs + 1e-300
    np.testing.assert_allclose(operator.apply(psi), operator.matrix @ psi, rtol=0, atol=1e-12 * scale)
    form = operator.dirichlet_form(psi)
    np.testing.assert_allclose(form, psi.T @ (operator.matrix @ psi), rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(form, form.T, rtol=0, atol=1e-14 * scale)


@given(problems())
@identity
def test_project_removes_the_ground_state(problem):
    discretisation, s = problem
    operator = discretisation.assemble(s)
    psi = np.random.default_rng(2).standard_normal((operator.n_dofs, 2))
    projected = operator.project(psi)
    assert abs(operator.ground_state @ projected).max() <= 1e-14 * np.sqrt(operator.n_dofs)
    np.testing.assert_allclose(operator.project(projected), projected, atol=1e-13)
    np.testing.assert_allclose(operator.project(psi[:, 0]), projected[:, 0], atol=1e-13)


@given(problems(), st.sampled_from([-1000.0, -0.25, 3.0, 1e4]))
@identity
def test_a_constant_changes_nothing(problem, c):
    """The spectrum of f + c is that of f; here the matrix is, to the rounding of f + c."""
    discretisation, s = problem
    f = discretisation.objective
    shifted = Objective.from_sympy(f.formula + c, f.symbols)
    here, there = discretisation.assemble(s), FiniteDifferences(shifted, discretisation.grid).assemble(s)
    tolerance = 16 * EPS * (8 + (abs(c) + abs(here.values).max()) / s)
    np.testing.assert_allclose(there.matrix.toarray(), here.matrix.toarray(), rtol=tolerance)
    np.testing.assert_allclose(there.log_ground_state, here.log_ground_state, rtol=0, atol=tolerance)


@given(problems(), st.sampled_from([0.1, 0.5, 3, 1000]))
@identity
def test_scale(problem, a):
    """Delta_{af}^{as} = a^2 Delta_f^s: the rates delta/(2s) grow by a."""
    discretisation, s = problem
    f = discretisation.objective
    scaled = Objective.from_sympy(sp.Rational(str(a)) * f.formula, f.symbols)
    here, there = discretisation.assemble(s), FiniteDifferences(scaled, discretisation.grid).assemble(a * s)
    tolerance = rounding(here) + 1e-13
    np.testing.assert_allclose(there.matrix.toarray(), a * here.matrix.toarray(), rtol=tolerance)


@given(problems())
@identity
def test_a_lent_operator_changes_nothing(problem):
    discretisation, s = problem
    fresh = discretisation.assemble(s)
    lent = discretisation.assemble(2 * s)
    lent.matrix.data[:] = np.nan
    reused = discretisation.assemble(s, out=lent)
    np.testing.assert_array_equal(reused.matrix.toarray(), fresh.matrix.toarray())
    assert np.shares_memory(reused.matrix.data, lent.matrix.data)
    assert reused.matrix.indices.base is fresh.matrix.indices.base or np.shares_memory(
        reused.matrix.indices, fresh.matrix.indices
    )


# ------------------------------------------------------------------------------------------------ exact spectra


def flat(dimension):
    symbols = sp.symbols(f"x1:{dimension + 1}", real=True)
    return Objective.from_sympy(sp.Integer(0), symbols, name="flat")


@given(
    st.lists(st.tuples(st.integers(1, 8), st.floats(0.1, 10)), min_size=1, max_size=3),
    learning_rates,
)
@identity
def test_flat_objectives(axes, s):
    """delta_k = (4 s^2/h^2) sin^2(k pi/(2n)) on each axis, summed over the axes."""
    grid = Grid.uniform([(1.0, 1.0 + width) for _, width in axes], [n for n, _ in axes])
    operator = FiniteDifferences(flat(len(axes)), grid).assemble(s)
    delta = np.zeros(1)
    for n, width in axes:
        k = np.arange(n)
        delta = np.add.outer(delta, 4 * s**2 / (width / n) ** 2 * np.sin(k * np.pi / (2 * n)) ** 2).ravel()
    rates = np.sort(delta) / (2 * s)
    np.testing.assert_allclose(full_spectrum(operator), rates, rtol=0, atol=1e-13 * max(rates[-1], 1e-300) + 1e-300)


FACTORS = ["double-well", "double-well:tilt=0.2", "shi-su-jordan-1d", "rugged", "convex-quartic"]


@given(
    st.lists(st.tuples(st.sampled_from(FACTORS), st.integers(2, 7)), min_size=2, max_size=3),
    learning_rates,
)
@identity
def test_eigenvalues_of_separable_objectives_add(factors, s):
    """Exactly, on a full tensor grid."""
    intervals = [(-1.4, 1.5), (-1.2, 1.3), (-1.0, 1.6)][: len(factors)]
    symbols = sp.symbols(f"x1:{len(factors) + 1}", real=True)
    sums, total = np.zeros(1), sp.Integer(0)
    for (spec, n), interval, symbol in zip(factors, intervals, symbols, strict=True):
        f = resolve(spec)
        total += f.formula.subs(f.symbols[0], symbol)
        one = FiniteDifferences(f, Grid.uniform([interval], n)).assemble(s)
        sums = np.add.outer(sums, full_spectrum(one)).ravel()
    grid = Grid.uniform(intervals, [n for _, n in factors])
    operator = FiniteDifferences(Objective.from_sympy(total, symbols), grid).assemble(s)
    found = full_spectrum(operator)
    np.testing.assert_allclose(found, np.sort(sums), rtol=0, atol=1e-13 * found[-1] * rounding(operator) / EPS / 60)


@pytest.mark.parametrize("spec", ["double-well", "convex-quartic"])
def test_a_reflected_objective_has_the_same_spectrum(spec):
    f = resolve(spec)
    mirrored = Objective.from_sympy(f.formula.subs(f.symbols[0], -f.symbols[0]), f.symbols)
    here = FiniteDifferences(f, Grid.uniform([(-1.5, 1.8)], 60)).assemble(0.1)
    there = FiniteDifferences(mirrored, Grid.uniform([(-1.8, 1.5)], 60)).assemble(0.1)
    np.testing.assert_allclose(full_spectrum(there), full_spectrum(here), atol=1e-12 * full_spectrum(here)[-1])


# ------------------------------------------------------------------------------------------------ order


def convergence(errors):
    """Observed orders from errors (levels, k) on grids halved each time."""
    return np.log2(errors[:-1] / errors[1:])


# theta, s, dimension, coarsest cells, exact rates
OSCILLATORS = [
    (1.0, 0.1, 1, 24, [1, 2, 3, 4]),
    (5.0, 0.5, 1, 24, [1, 2, 3, 4]),
    (0.1, 2.0, 1, 24, [1, 2, 3, 4]),
    (1.0, 0.1, 2, 12, [1, 1, 2, 2, 2]),
]


@pytest.mark.parametrize(("theta", "s", "dimension", "cells", "multiples"), OSCILLATORS)
def test_the_spectrum_of_a_quadratic_is_found_to_fourth_order(theta, s, dimension, cells, multiples):
    """theta {0, 1, 2, ...}, whatever s: the term in h^2 vanishes, errors fall by sixteen when cells are halved."""
    f = resolve(f"quadratic:theta={theta:g},dim={dimension}")
    reach = 8 * np.sqrt(s / (2 * theta))
    grid = Grid.uniform([(-reach, reach)] * dimension, cells)
    errors = []
    for _ in range(5 if dimension == 1 else 3):
        rates = full_spectrum(FiniteDifferences(f, grid).assemble(s))[1 : len(multiples) + 1]
        errors.append(abs(rates - theta * np.array(multiples)))
        grid = grid.refined()
    table = convergence(np.array(errors))
    assert (errors[-1] < 1e-3 * theta * np.array(multiples)).all()
    assert (abs(table[-1] - 4) < 0.1).all(), f"observed orders\n{table.round(3)}"


@pytest.mark.parametrize(
    ("spec", "s", "rate"),
    [
        ("double-well", 0.4, 1.3477798375e-1),
        ("double-well", 0.1, 2.7761406366e-3),
        ("double-well", 0.05, 1.9589273000e-5),
        ("shi-su-jordan-1d", 0.05, 4.0316284531e-3),
    ],
)
def test_printed_rates_are_found_to_second_order(spec, s, rate):
    """A quadratic cannot tell a wrong noise strength; these can."""
    grid = sublevel(resolve(spec), s, margin=14.0).grid()
    errors = []
    for _ in range(3):
        errors.append(abs(full_spectrum(FiniteDifferences(resolve(spec), grid).assemble(s))[1] - rate))
        grid = grid.refined()
    assert errors[-1] < 5e-4 * rate
    assert log2(errors[-2] / errors[-1]) == pytest.approx(2, abs=0.1)


# ------------------------------------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    "spec", ["double-well", "double-well:tilt=0.2", "shi-su-jordan-1d", "double-well:dim=2", "mueller-brown"]
)
@pytest.mark.parametrize("s", [1e-2, 1e-3, 1e-4])
def test_nothing_overflows_on_a_sublevel_grid(spec, s):
    f = resolve(spec)
    region = sublevel(f, s)
    # the first grid of a tiny learning rate may be large: a coarse one overflows first
    cells = np.minimum(np.ceil(region.box.widths / region.spacing), 400).astype(int)
    grid = Grid(region.box, tuple(int(n) for n in cells))
    values = f(grid.points)
    grid = Grid(region.box, grid.shape, (values <= region.level).reshape(grid.shape))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        operator = FiniteDifferences(f, grid).assemble(s)
        assert np.isfinite(operator.matrix.data).all()
        assert np.isfinite(operator.log_ground_state).all()
        psi = np.random.default_rng(0).standard_normal((operator.n_dofs, 2))
        assert np.isfinite(operator.apply(psi)).all() and np.isfinite(operator.dirichlet_form(psi)).all()


@pytest.mark.parametrize("spec", ["double-well", "double-well:dim=2", "mueller-brown"])
def test_entries_stay_of_the_order_of_the_couplings(spec):
    """On the first grid of its sublevel set, whatever the learning rate."""
    for s in (0.3, 0.03, 0.01):
        grid = sublevel(resolve(spec), s).grid()
        matrix = FiniteDifferences(resolve(spec), grid).assemble(s).matrix
        assert matrix.diagonal().max() < 5e3 * (0.5 * s / grid.spacing**2).max()


@pytest.mark.parametrize("s", [1e-3, 1e-4])
def test_kernel_and_small_weights(s):
    """psi_0 underflows between the wells; its logarithm does not, and A psi_0 = 0 still."""
    f = resolve("double-well")
    operator = FiniteDifferences(f, Grid.uniform([(-1.2, 1.2)], 3000)).assemble(s)
    assert operator.ground_state.min() >= 0
    assert np.isfinite(operator.log_ground_state).all() and np.isfinite(operator.matrix.data).all()
    a = operator.matrix
    row = np.repeat(np.arange(a.shape[0]), np.diff(a.indptr))
    log_psi0 = operator.log_ground_state
    relative = np.bincount(row, a.data * np.exp(log_psi0[a.indices] - log_psi0[row]))
    assert (abs(relative) <= 1e-10 * a.diagonal()).all()


@pytest.fixture
def threads():
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@pytest.mark.parametrize(
    ("spec", "cells"), [("double-well", 100_000), ("mueller-brown", 300), ("double-well:dim=3", 40)]
)
def test_the_number_of_threads_changes_no_bit(spec, cells, threads):
    f = resolve(spec)
    grid = Grid.uniform([(-1.5, 1.5)] * f.dimension, cells)
    assert grid.n_nodes > 32768  # enough for kernels to use more than one thread
    mask = f(grid.points) <= np.quantile(f(grid.points), 0.9)
    grid = Grid(grid.box, grid.shape, mask.reshape(grid.shape))
    psi = np.random.default_rng(0).standard_normal((grid.n_nodes, 3))
    results = []
    for n in (1, 2, numba.config.NUMBA_NUM_THREADS):
        threads(n)
        operator = FiniteDifferences(f, grid).assemble(0.1)
        a = operator.matrix
        results.append(
            (a.data, a.indices, a.indptr, operator.log_ground_state, operator.apply(psi), operator.dirichlet_form(psi))
        )
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("s", [0.0, -0.1, np.nan, np.inf])
def test_bad_learning_rates_are_refused(s):
    discretisation = FiniteDifferences(resolve("double-well"), Grid.uniform([(-1, 1)], 8))
    with pytest.raises(RequestError, match="learning rate must be positive"):
        discretisation.assemble(s)


def test_dimensions_must_match():
    with pytest.raises(RequestError, match="dimension 2, the grid 1"):
        FiniteDifferences(resolve("mueller-brown"), Grid.uniform([(-1, 1)], 8))


@pytest.mark.parametrize(("text", "where"), [("log(x)", "-0.875"), ("1/x", "0"), ("exp(exp(exp(4*x+5)))", "0")])
def test_where_f_is_not_finite_is_said(text, where):
    grid = Grid.uniform([(-1, 1)], 8 if text == "log(x)" else 9)
    with pytest.raises(RequestError, match=rf"at \(-?{where.lstrip('-')}"):
        FiniteDifferences(resolve(text), grid).assemble(0.1)


def test_outside_the_mask_f_may_be_anything():
    grid = Grid(Grid.uniform([(-1, 1)], 8).box, (8,), np.arange(8) >= 4)
    operator = FiniteDifferences(resolve("log(x)^2"), grid).assemble(0.1)
    assert np.isfinite(operator.matrix.data).all()
