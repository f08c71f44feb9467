"""The weighted Dirichlet form on simplices: exact identities, the form written in UFL, convergence; on any ranks."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from properties import examples
from references import convex_quartic, double_well, rates_1d, separable_rates
from scipy.linalg import eigh

from witten.domains.box import Box
from witten.errors import ConvergenceError, RequestError
from witten.objectives import resolve
from witten.objectives.objective import Objective
from witten.parallel import world

pytest.importorskip("witten.operators.elements.finite_elements", reason="needs DOLFINx", exc_type=ImportError)
import dolfinx.fem.petsc
import ufl
from box_meshes import box_mesh
from petsc4py import PETSc

from witten.domains.meshes.mesh import read_mesh
from witten.operators import distributed_laplacian
from witten.operators.elements.finite_elements import FiniteElements
from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur, count_below

pytestmark = pytest.mark.fem

MESHES = Path(__file__).parents[2] / "meshes"
EPS = float(np.finfo(float).eps)
CURVED = {"disk": 2, "annulus": 2, "ball": 3}
# Few cells, so that matrices can be looked at whole.
SMALL = {
    "line": ([(-2.0, 2.0)], (24,)),
    "rectangle": ([(-1.8, 2.0), (-1.0, 1.5)], (7, 5)),
    "brick": ([(-1.5, 1.5), (-1.0, 1.0), (-1.0, 1.2)], (4, 3, 3)),
}


def mesh_of(name):
    if name in SMALL:
        intervals, cells = SMALL[name]
        return box_mesh(world().mpi, Box.of(intervals), cells)
    return read_mesh(MESHES / f"{name}.msh", CURVED.get(name, 2))


def operator_on(name, degree, s=0.3, objective=None):
    mesh = mesh_of(name)
    f = resolve(objective or f"double-well:tilt=0.1,dim={mesh.geometry.dim}")
    return FiniteElements(f, mesh, degree).assemble(s)


def largest_ratio(operator):
    """The largest K_ii / M_ii: a bound on rates but for a factor of a few."""
    return (np.diag(whole(operator.stiffness)) / np.diag(whole(operator.mass))).max()


def whole(matrix):
    """A PETSc matrix as an array, on every rank."""
    rows, (pointers, columns, values) = matrix.getLocalSize()[0], matrix.getValuesCSR()
    part = np.zeros((rows, matrix.getSize()[1]))
    np.add.at(part, (np.repeat(np.arange(rows), np.diff(pointers)), columns), values)
    return np.vstack(world().allgather(part))


def joined(block):
    """The rows of all ranks."""
    return np.concatenate(world().allgather(block))


def own_rows(operator, values):
    """This rank's part of rows that all ranks hold."""
    first, last = operator.stiffness.getOwnershipRange()
    return values[first:last]


def random_block(operator, k, seed=0):
    """The same numbers on any number of ranks, as far as the order of the rows goes."""
    return own_rows(operator, np.random.default_rng(seed).standard_normal((operator.n_dofs, k)))


def rates_of(operator, k):
    """The k lowest of all eigenvalues, the zero included, by LAPACK."""
    return eigh(whole(operator.stiffness), whole(operator.mass), eigvals_only=True, subset_by_index=[0, k - 1])


def same_on_all(values):
    assert all(np.array_equal(values, each) for each in world().allgather(values))


ALL = [("line", 1), ("line", 2), ("line", 3), ("rectangle", 1), ("rectangle", 2), ("rectangle", 3)]
ALL += [("brick", 1), ("brick", 2), ("disk", 3), ("annulus", 2), ("ball", 2), ("l-shape", 1)]


@pytest.fixture(scope="module", params=ALL, ids=lambda which: f"{which[0]}-P{which[1]}")
def operator(request):
    name, degree = request.param
    return operator_on(name, degree, s=0.2 if name in CURVED else 0.3)


# ------------------------------------------------------------------------------------------------ one operator
@pytest.mark.ranks
def test_the_kernel_is_exact(operator):
    """K psi_0 = 0 up to the rounding of the products that are summed, by the matrix and by differences."""
    psi0 = operator.ground_state
    vector = operator.vector(psi0)
    sizes = operator.stiffness.duplicate(copy=True)
    sizes.setValuesCSR(*(lambda p, c, v: (p, c, abs(v)))(*sizes.getValuesCSR()))
    sizes.assemble()
    bound = 100 * EPS * (sizes * vector).array
    assert (abs((operator.stiffness * vector).array) <= bound).all()
    assert (abs(operator.apply(psi0[:, None])[:, 0]) <= bound).all()
    assert operator.gram(psi0[:, None])[0, 0] == pytest.approx(1, abs=1e-12)
    assert operator.dirichlet_form(psi0[:, None])[0, 0] <= 1e-25 * operator.gram_diagonal(psi0[:, None])[0]


@pytest.mark.ranks
def test_forms_in_differences_are_those_of_the_matrices(operator):
    psi = random_block(operator, 3)
    stiff = np.column_stack([(operator.stiffness * operator.vector(column)).array for column in psi.T])
    massive = np.column_stack([(operator.mass * operator.vector(column)).array for column in psi.T])
    largest = max(world().allgather(float(abs(stiff).max(initial=0.0))))
    np.testing.assert_allclose(operator.apply(psi), stiff, rtol=0, atol=1e-11 * largest)
    np.testing.assert_allclose(operator.times_mass(psi), massive, rtol=0, atol=1e-12)
    every, stiff, massive = joined(psi), joined(stiff), joined(massive)
    form = operator.dirichlet_form(psi)
    np.testing.assert_allclose(form, every.T @ stiff, rtol=0, atol=1e-11 * form.max())
    np.testing.assert_allclose(operator.gram(psi), every.T @ massive, rtol=0, atol=1e-11 * operator.gram(psi).max())
    same_on_all(form)
    same_on_all(operator.gram(psi))
    diagonal = joined(operator.stiffness.getDiagonal().array)
    np.testing.assert_allclose(operator.gram_diagonal(psi), diagonal @ every**2, rtol=1e-12)


@pytest.mark.ranks
def test_projection_and_functions(operator):
    psi = random_block(operator, 2)
    dual = operator.gram(operator.ground_state[:, None], operator.project(psi))
    assert abs(dual).max() <= 1e-13 * np.sqrt(operator.gram(psi).max())
    np.testing.assert_allclose(operator.functions(operator.ground_state[:, None]), 1, rtol=1e-14)


@pytest.mark.ranks
def test_residuals_in_the_dual_norm(operator):
    """r^T M^{-1} r for r = M x is x^T M x."""
    psi = random_block(operator, 2)
    norms = operator.dual_norms(operator.times_mass(psi))
    np.testing.assert_allclose(norms, np.sqrt(np.diag(operator.gram(psi))), rtol=2e-3)


@pytest.mark.ranks
def test_residuals_that_are_not_known_are_an_error(monkeypatch):
    monkeypatch.setattr(distributed_laplacian, "MASS_STEPS", 1)
    monkeypatch.setattr(distributed_laplacian, "FACTOR_ONCE_UP_TO", {2: 1})
    operator = operator_on("rectangle", 2)
    with pytest.raises(ConvergenceError, match="mass matrix did not converge in 1 steps"):
        operator.dual_norms(random_block(operator, 1))


@pytest.mark.ranks
@pytest.mark.parametrize(("name", "degree"), [("line", 3), ("rectangle", 2), ("rectangle", 3), ("brick", 2)])
def test_matrices_are_symmetric_semidefinite_and_of_order_one(name, degree):
    operator = operator_on(name, degree)
    stiffness, mass = whole(operator.stiffness), whole(operator.mass)
    assert abs(stiffness - stiffness.T).max() <= 20 * EPS * abs(stiffness).max()
    assert abs(mass - mass.T).max() <= 20 * EPS * abs(mass).max()
    values = np.linalg.eigvalsh(stiffness)
    assert abs(values[0]) <= 1e-13 * values[-1] and values[1] > 1e-8 * values[-1]  # one zero, for one domain
    mass_diagonal = np.sqrt(np.diag(mass))
    conditions = np.linalg.eigvalsh(mass / mass_diagonal / mass_diagonal[:, None])
    assert conditions[0] > 1e-3 and conditions[-1] < 20
    ground_state = np.concatenate(operator.comm.allgather(operator.ground_state))
    assert operator.scale == pytest.approx(ground_state**2 @ np.diag(stiffness), rel=1e-13)
    assert operator.scale <= 2 * largest_ratio(operator)


@pytest.mark.parametrize(
    ("name", "degree"), [("line", 3), pytest.param("rectangle", 2, marks=pytest.mark.ranks), ("brick", 1), ("disk", 1)]
)
def test_krylov_schur_and_inertia_agree_with_lapack(name, degree):
    operator = operator_on(name, degree)
    truth = rates_of(operator, 6)
    pairs = KrylovSchur().solve(operator, 8)
    rounding = 100 * EPS * largest_ratio(operator)
    np.testing.assert_allclose(pairs.rates[:5], truth[1:], rtol=1e-9, atol=rounding)
    assert (abs(pairs.rates[:5] - truth[1:]) <= pairs.errors(5) + rounding).all()
    np.testing.assert_allclose(operator.gram(pairs.psi), np.eye(8), atol=1e-11)
    middle = 0.5 * (truth[:-1] + truth[1:])
    assert [count_below(operator, rate) for rate in middle] == [0, 1, 2, 3, 4]
    same_on_all(pairs.rates)


@pytest.mark.ranks
def test_steep_objectives_neither_over_nor_underflow():
    """(max f - min f)/s = 500: weights from e^-500 to e^500, entries of K h and M/h of order one, rates right."""
    mesh = box_mesh(world().mpi, Box.of([(-2.0, 2.0)]), (800,))
    operator = FiniteElements(resolve("quadratic:theta=40"), mesh, 3).assemble(0.16)
    for matrix, size in ((operator.stiffness, 0.16 * 800 / 4), (operator.mass, 4 / 800)):
        assert joined(matrix.getDiagonal().array).min() / size > 1e-2
        assert joined(abs(matrix.getValuesCSR()[2])).max() / size < 1e2
    np.testing.assert_allclose(KrylovSchur().solve(operator, 4).rates[:3], [40, 80, 120], rtol=1e-9)


# ------------------------------------------------------------------------------------------------ written in UFL
UFL = [
    ("rectangle", 2, "x^4/4 - x^2/2 + x*y + cos(3*y)"),
    ("disk", 3, "double-well:tilt=0.1,dim=2"),
    ("ball", 1, "double-well:dim=3"),
]


@pytest.mark.ranks
@pytest.mark.parametrize(("name", "degree", "spec"), UFL, ids=[name for name, _, _ in UFL])
def test_the_form_written_in_ufl_gives_the_same_matrices(name, degree, spec):
    """K and M from the objective's own UFL expression, with more quadrature, scaled by e^{f_i/s} afterwards.

    With as much quadrature they agree to rounding; with more, as far as the default integrates the weight.
    """
    mesh, f = mesh_of(name), resolve(spec)
    s = 1.0
    made = FiniteElements(f, mesh, degree)
    operator = made.assemble(s)
    space = dolfinx.fem.functionspace(mesh, ("Lagrange", degree))
    d, owned = f.dimension, space.dofmap.index_map.size_local
    nodes = space.tabulate_dof_coordinates()[:owned, :d].T
    middle = made.reference
    scale = operator.vector(np.exp((f(nodes) - middle) / s))
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    for quadrature, tolerance in ((made.quadrature, 1e-11), (made.quadrature + 4, 1e-2)):
        dx = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": quadrature})
        weight = ufl.exp(2 * (middle - f.ufl(ufl.SpatialCoordinate(mesh))) / s)
        forms = s / 2 * weight * ufl.inner(ufl.grad(u), ufl.grad(v)) * dx, weight * u * v * dx
        for form, matrix in zip(forms, (operator.stiffness, operator.mass), strict=True):
            written = dolfinx.fem.petsc.assemble_matrix(dolfinx.fem.form(form))
            written.assemble()
            written.diagonalScale(scale, scale)
            written.axpy(-1.0, matrix)
            assert written.norm() <= tolerance * matrix.norm()


@pytest.mark.parametrize(("name", "degree"), [("line", 3), ("rectangle", 1), ("rectangle", 3), ("brick", 2)])
def test_the_default_quadrature_is_enough(name, degree):
    """Four degrees more move the rates by little against what elements of this degree leave."""
    mesh = mesh_of(name)
    f = resolve(f"double-well:tilt=0.1,dim={mesh.geometry.dim}")
    made = FiniteElements(f, mesh, degree)
    finer = FiniteElements(f, mesh, degree, quadrature_degree=made.quadrature + 4)
    rates, better = (KrylovSchur().solve(each.assemble(0.5), 3).rates for each in (made, finer))
    tilted = rates_1d(double_well(0.25, 0.1), 0.5, 3, interval=SMALL[name][0][0])
    others = [rates_1d(lambda x: x * x / 2, 0.5, 3, interval=each) for each in SMALL[name][0][1:]]
    discretisation = abs(rates - separable_rates([tilted, *others], 3))
    assert (abs(rates - better) <= 0.1 * discretisation + 1e-12).all()


# ------------------------------------------------------------------------------------------------ exact identities
def test_flat_f_has_the_discrete_eigenvalues_of_linear_elements():
    """f = 0, P1, n cells of length h: rates (s/2) (6/h^2) (1 - cos t)/(2 + cos t), t = k pi/n."""
    n, h, s = 24, 4.0 / 24, 0.3
    operator = FiniteElements(Objective.from_formula("0*x"), mesh_of("line"), 1).assemble(s)
    t = np.pi * np.arange(n + 1) / n
    exact = s / 2 * 6 / h**2 * (1 - np.cos(t)) / (2 + np.cos(t))
    np.testing.assert_allclose(rates_of(operator, n + 1), exact, rtol=1e-12, atol=1e-12 * exact[-1])
    np.testing.assert_allclose(KrylovSchur().solve(operator, 6).rates, exact[1:7], rtol=1e-12)


def test_flat_f_has_the_discrete_eigenvalues_of_quadratic_elements():
    """P2: x = 2 rate h^2/s solves cos t (x^2 + 16 x + 240) = 3 x^2 - 104 x + 240, and x = 60 once (a bubble's)."""
    n, h, s = 24, 4.0 / 24, 0.3
    operator = FiniteElements(Objective.from_formula("0*x"), mesh_of("line"), 2).assemble(s)
    cos = np.cos(np.pi * np.arange(1, n) / n)
    roots = np.array([np.roots([3 - c, -104 - 16 * c, 240 * (1 - c)]) for c in cos]).real
    ends = [0.0, 12.0, 60.0]  # t = 0: 0 and 60; t = pi: 12 and (as it takes no part at reflecting ends) 10 or 12
    x = 2 * h**2 / s * rates_of(operator, 2 * n + 1)
    inner = np.sort(roots.ravel())
    for root in inner:
        assert abs(x - root).min() <= 1e-11 * root + 1e-11
    assert abs(x[:n] - np.concatenate([[0.0], np.sort(roots.min(axis=1))])).max() <= 1e-10
    assert all(abs(x - end).min() < 1e-9 for end in ends)
    lowest = s / (2 * h**2) * np.sort(roots.min(axis=1))[:6]
    np.testing.assert_allclose(KrylovSchur().solve(operator, 6).rates, lowest, rtol=1e-12)


@pytest.mark.parametrize(("name", "degree"), [("line", 2), ("rectangle", 3), ("brick", 1)])
def test_a_constant_added_to_f_changes_nothing(name, degree):
    text = {"line": "x^4/4 - x^2/2", "rectangle": "x^4/4 - x^2/2 + x*y + y^2", "brick": "x^4/4 + x*y + y^2 + z^2"}[name]
    plain, raised = (operator_on(name, degree, objective=each) for each in (text, f"{text} + 5"))
    for a, b in ((plain.stiffness, raised.stiffness), (plain.mass, raised.mass)):
        difference = a.copy()
        difference.axpy(-1.0, b)
        assert difference.norm() <= 1e-12 * a.norm()


@settings(
    examples(20),
    derandomize=True,  # all ranks draw the same
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.floats(0.05, 20.0), st.floats(-10.0, 10.0, allow_subnormal=False), st.sampled_from([1, 2, 3]))
def test_scaling(a, c, degree):
    """Rates of a f + c at a s are a times those of f at s."""
    mesh = mesh_of("line")
    plain = FiniteElements(Objective.from_formula("(x^2-1)^2/4 + x/10"), mesh, degree).assemble(0.3)
    text = f"{a!r}*((x^2-1)^2/4 + x/10) + ({c!r})"
    scaled = FiniteElements(Objective.from_formula(text), mesh, degree).assemble(a * 0.3)
    truth = rates_of(plain, 5)
    np.testing.assert_allclose(rates_of(scaled, 5) / a, truth, rtol=1e-9, atol=1e-12 * largest_ratio(plain))


@pytest.mark.parametrize("theta", [0.5, 3.0])
@pytest.mark.parametrize("s", [0.05, 1.0])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_polynomial_modes_are_exact(degree, s, theta):
    """f = theta x^2/2 has Hermite's polynomials for modes, and degree p holds the first p: rates theta {1, ..., p}."""
    reach = 6.5 * np.sqrt(s / theta)
    mesh = box_mesh(world().mpi, Box.of([(-reach, reach)]), (40,))
    operator = FiniteElements(resolve(f"quadratic:theta={theta}"), mesh, degree).assemble(s)
    rates = KrylovSchur().solve(operator, 5).rates
    np.testing.assert_allclose(rates[:degree], theta * np.arange(1, degree + 1), rtol=1e-9)
    assert rates[degree] > theta * (degree + 1) * (1 + 1e-8)


def test_an_oscillator_in_the_plane_has_multiple_eigenvalues():
    mesh = box_mesh(world().mpi, Box.of([(-3.0, 3.0)] * 2), (16, 16))
    rates = KrylovSchur().solve(FiniteElements(resolve("quadratic:dim=2"), mesh, 3).assemble(0.2), 7).rates
    np.testing.assert_allclose(rates[:5], [1, 1, 2, 2, 2], rtol=1e-8)


# ------------------------------------------------------------------------------------------------ convergence
S = 1.5
INTERVAL = (-1.0, 1.0)
# f(x) + g(y) + h(z), different in each direction, so that no eigenvalue is multiple
TEXTS = ["(x^2-1)^2/4 + x/10", "y^2/2 + y^4/4", "z^2"]
FACTORS = [double_well(0.25, 0.1), convex_quartic, lambda z: z**2]
# dimension, degree, two numbers of cells along an axis
TABLE = [(1, 1, 32, 64), (1, 2, 16, 32), (1, 3, 8, 16), (2, 1, 16, 32), (2, 3, 6, 12)]
TABLE += [(3, 1, 6, 12), (3, 2, 4, 8), pytest.param(2, 2, 8, 16, marks=pytest.mark.ranks)]


@pytest.fixture(scope="module")
def limits():
    """The two lowest rates on the box with reflecting walls, by dimension."""
    parts = [rates_1d(factor, S, 2, interval=INTERVAL) for factor in FACTORS]
    return {d: separable_rates(parts[:d], 2) for d in (1, 2, 3)}


@pytest.mark.parametrize(("dimension", "degree", "coarse", "fine"), TABLE)
def test_rates_converge_from_above_with_twice_the_degree(limits, dimension, degree, coarse, fine):
    """rate - truth ~ h^{2p}: sums of one-dimensional eigenvalues are approached from above."""
    f = Objective.from_formula(" + ".join(TEXTS[:dimension]))
    errors = []
    for cells in (coarse, fine):
        mesh = box_mesh(world().mpi, Box.of([INTERVAL] * dimension), (cells,) * dimension)
        rates = KrylovSchur().solve(FiniteElements(f, mesh, degree).assemble(S), 4).rates
        errors.append(rates[:2] / limits[dimension] - 1)
    assert (np.array(errors) > 0).all()
    orders = np.log2(errors[0] / errors[1])
    np.testing.assert_allclose(orders, 2 * degree, rtol=0.13)


# ------------------------------------------------------------------------------------------------ one after the other
def factorisations():
    return {name: PETSc.Log.Event(name).getPerfInfo()["count"] for name in ("MatCholFctrSym", "MatCholFctrNum")}


def test_matrices_lent_to_the_next_learning_rate_give_the_same_and_are_analysed_once():
    PETSc.Log.begin()
    made = FiniteElements(resolve("double-well:tilt=0.1,dim=2"), mesh_of("rectangle"), 2)
    before = factorisations()
    lent, operators = None, []
    for s in (0.5, 0.4, 0.3):
        lent = made.assemble(s, out=lent)
        operators.append((whole(lent.stiffness), whole(lent.mass), KrylovSchur().solve(lent, 4).rates))
    reused = factorisations()
    assert reused["MatCholFctrSym"] - before["MatCholFctrSym"] == 1
    assert reused["MatCholFctrNum"] - before["MatCholFctrNum"] == 3
    for s, (stiffness, mass, rates) in zip((0.5, 0.4, 0.3), operators, strict=True):
        fresh = made.assemble(s)
        np.testing.assert_array_equal(whole(fresh.stiffness), stiffness)
        np.testing.assert_array_equal(whole(fresh.mass), mass)
        np.testing.assert_allclose(KrylovSchur().solve(fresh, 4).rates[:3], rates[:3], rtol=1e-10)
    assert factorisations()["MatCholFctrSym"] - reused["MatCholFctrSym"] == 3


@pytest.mark.parametrize("lend", [pytest.param(True, marks=pytest.mark.ranks), False])
def test_modes_are_followed_from_one_learning_rate_to_the_next(lend):
    """Inverse iteration from the functions u at s finds the pairs at 0.8 s, with fewer solves than Krylov-Schur."""
    PETSc.Log.begin()
    made = FiniteElements(resolve("double-well:tilt=0.1,dim=2"), mesh_of("rectangle"), 3)
    first = made.assemble(0.5)
    u = first.functions(KrylovSchur().solve(first, 4).psi)
    operator = made.assemble(0.4, out=first if lend else None)
    before = PETSc.Log.Event("MatSolve").getPerfInfo()["count"]
    followed = KrylovSchur().follow(operator, u[:, :1] * operator.ground_state[:, None])
    solves = PETSc.Log.Event("MatSolve").getPerfInfo()["count"] - before
    assert solves <= 6
    np.testing.assert_allclose(followed.rates, KrylovSchur().solve(operator, 4).rates[:1], rtol=1e-9)
    assert count_below(operator, 1.5 * followed.rates[0]) == 1


def test_operators_of_one_discretisation_do_not_disturb_each_other():
    """The learning rate and the weights are shared: an older operator still applies its own."""
    made = FiniteElements(resolve("double-well"), mesh_of("line"), 2)
    old = made.assemble(0.3)
    psi = random_block(old, 2)
    applied, form = old.apply(psi), old.dirichlet_form(psi)
    made.assemble(0.1)
    np.testing.assert_array_equal(old.apply(psi), applied)
    np.testing.assert_array_equal(old.dirichlet_form(psi), form)


# ------------------------------------------------------------------------------------------------ bad input
def test_requests_that_make_no_sense_are_refused():
    mesh = mesh_of("rectangle")
    with pytest.raises(RequestError, match="double-well has dimension 1, the mesh 2"):
        FiniteElements(resolve("double-well"), mesh, 2)
    for degree in (0, 4):
        with pytest.raises(RequestError, match=f"degree 1, 2 or 3, got {degree}"):
            FiniteElements(resolve("mueller-brown"), mesh, degree)
    for s in (0.0, -0.1, np.nan, np.inf):
        with pytest.raises(RequestError, match="learning rate must be positive"):
            FiniteElements(resolve("mueller-brown"), mesh, 2).assemble(s)


@pytest.mark.ranks
def test_where_f_is_not_finite_is_said_on_all_ranks():
    mesh = box_mesh(world().mpi, Box.of([(-1.0, 1.0)] * 2), (4, 4))
    with pytest.raises(RequestError, match=r"not finite at \((-1|0|-0.5), ") as error:
        FiniteElements(Objective.from_formula("log(x + 1/10) + y^2"), mesh, 1).assemble(0.3)
    assert len(set(world().allgather(str(error.value)))) == 1
