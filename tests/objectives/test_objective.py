"""One formula, four back ends: values and derivatives agree with each other and with differences of the value alone."""

import pickle

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from witten.errors import RequestError
from witten.objectives import CallableObjective, Objective, gallery

FORMULAS = (
    "exp(-x^2)*sin(y)/(1+x^2) + x*tan(y/5)^3",
    "log(1+x^2+y^2)*sqrt(2+x*y) + cosh(x)*tanh(y) - sinh(x/3)",
    "abs(x-y)^3 + max(x, y^2, -1/3) - min(cos(x), x*y) + pi*E",
    "(1+x1^2)^(1/3) + (2+x2^2)^(-3/2) + x3^7*x4 - 1/(3+x1*x1)",
)
OBJECTIVES = [*map(gallery.make, gallery.names()), *map(Objective.from_formula, FORMULAS)]


def named(objective: Objective) -> str:
    return objective.name


def points(objective: Objective, n: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.4, 1.4, (objective.dimension, n))


def doubles(values: object) -> np.ndarray:
    return np.array(values, dtype=object).astype(float)


@pytest.mark.parametrize("f", OBJECTIVES, ids=named)
def test_numpy_against_forty_digits(f: Objective) -> None:
    x = points(f)
    value, gradient, hessian = f(x), f.gradient(x), f.hessian(x)
    with mpmath.workdps(40):
        for k in range(x.shape[1]):
            assert value[k] == pytest.approx(float(f.mpmath(x[:, k])), rel=1e-12, abs=1e-12)
            np.testing.assert_allclose(gradient[:, k], doubles(f.mpmath_gradient(x[:, k])), rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(hessian[..., k], doubles(f.mpmath_hessian(x[:, k])), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(f.laplacian(x), np.trace(hessian), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("f", OBJECTIVES, ids=named)
def test_derivatives_against_central_differences_of_forty_digits(f: Objective) -> None:
    """(f(x + h) - f(x - h))/2h with h = 1e-12: an error of 1e-24, far below what a wrong term would make."""
    x = points(f, n=1, seed=3)[:, 0]
    with mpmath.workdps(40):
        h, centre = mpmath.mpf("1e-12"), [mpmath.mpf(value) for value in x]
        for i in range(f.dimension):
            ends = [[c + sign * h * (i == j) for j, c in enumerate(centre)] for sign in (1, -1)]
            slope = (f.mpmath(ends[0]) - f.mpmath(ends[1])) / (2 * h)
            assert abs(slope - f.mpmath_gradient(centre)[i]) < 1e-15 * (1 + abs(slope))
            up, down = (f.mpmath_gradient(end) for end in ends)
            for j in range(f.dimension):
                curvature = (up[j] - down[j]) / (2 * h)
                assert abs(curvature - f.mpmath_hessian(centre)[i][j]) < 1e-15 * (1 + abs(curvature))


@pytest.mark.parametrize("f", OBJECTIVES, ids=named)
def test_numba_kernels_agree_with_numpy(f: Objective) -> None:
    kernels, gradient, hessian = f.kernels(), np.empty(f.dimension), np.empty((f.dimension, f.dimension))
    for x in points(f, n=3).T.copy():
        kernels.gradient(x, gradient)
        kernels.hessian(x, hessian)
        assert kernels.value(x) == pytest.approx(f(x), rel=1e-13, abs=1e-13)
        np.testing.assert_allclose(gradient, f.gradient(x), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(hessian, f.hessian(x), rtol=1e-12, atol=1e-12)


@pytest.mark.fem
@pytest.mark.parametrize("f", [f for f in OBJECTIVES if f.dimension <= 3], ids=named)
def test_ufl_agrees_with_numpy(f: Objective) -> None:
    pytest.importorskip("dolfinx_solver")
    ufl, basix = pytest.importorskip("ufl"), pytest.importorskip("basix.ufl")
    cell = {1: "interval", 2: "triangle", 3: "tetrahedron"}[f.dimension]
    x = ufl.SpatialCoordinate(ufl.Mesh(basix.element("Lagrange", cell, 1, shape=(f.dimension,))))
    value, gradient = f.ufl(x), f.ufl_gradient(x)
    for point in points(f, n=3).T:
        assert value(tuple(point)) == pytest.approx(f(point), rel=1e-12, abs=1e-13)
        found = [gradient[i](tuple(point)) for i in range(f.dimension)]
        np.testing.assert_allclose(found, f.gradient(point), rtol=1e-12, atol=1e-12)


@pytest.mark.fem
def test_ufl_of_a_constant_is_an_expression() -> None:
    pytest.importorskip("dolfinx_solver")
    ufl = pytest.importorskip("ufl")
    assert isinstance(Objective.from_formula("3").ufl([0.0]), ufl.core.expr.Expr)


def test_shapes() -> None:
    f = gallery.triple_well()
    x = np.zeros((2, 3, 4))
    assert f(x).shape == (3, 4) and f.gradient(x).shape == (2, 3, 4) and f.hessian(x).shape == (2, 2, 3, 4)
    assert f(x[:, :, 0]).dtype == f.gradient(x).dtype == np.float64
    assert isinstance(f([1, 2]), float) and isinstance(f.laplacian([1, 2]), float)
    assert f.gradient([1, 2]).shape == (2,) and f.hessian([1, 2]).shape == (2, 2)
    assert f(np.empty((2, 0))).shape == (0,) and f.hessian(np.empty((2, 0))).shape == (2, 2, 0)
    for wrong in (np.zeros((3, 2)), 1.0, np.zeros(3)):
        with pytest.raises(ValueError, match=r"takes points of shape \(2, n\) or \(2,\)"):
            f(wrong)


def test_many_points_are_the_same_as_one_at_a_time() -> None:
    f = gallery.mueller_brown()
    x = points(f, n=20_000)
    np.testing.assert_allclose(f(x)[::1999], [f(p) for p in x[:, ::1999].T], rtol=1e-13)


@pytest.mark.parametrize("text", ["3", "0*x + 0*y + 2", "pi"])
def test_constants_are_spread_over_the_points(text: str) -> None:
    f = Objective.from_formula(text)
    x = points(f, n=7)
    assert f.is_constant and f(x).shape == (7,) and np.ptp(f(x)) == 0
    assert not f.gradient(x).any() and not f.hessian(x).any() and not f.laplacian(x).any()
    assert f.kernels().value(x[:, 0].copy()) == f(x[:, 0]) == pytest.approx(float(f.mpmath(x[:, 0])))


def test_an_axis_that_does_not_occur() -> None:
    f = Objective.from_formula("0*x + y^2")
    np.testing.assert_array_equal(f.gradient(np.ones((2, 3))), [[0, 0, 0], [2, 2, 2]])
    assert not f.is_constant and f.dimension == 2


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("sin(x)^2 + cos(x)^2", True),
        ("tanh(x) - sinh(x)/cosh(x) + 1", True),
        ("1e-20*x^2", False),
        ("max(x, 1000)", False),
        ("x - x + 2", True),
    ],
)
def test_is_constant(text: str, constant: bool) -> None:
    assert Objective.from_formula(text).is_constant is constant


@pytest.mark.filterwarnings("error")
def test_overflow_and_values_that_are_not_real_are_silent() -> None:
    f = Objective.from_formula("exp(x^2) + 1/y")
    assert f([100.0, 1.0]) == np.inf and f([0.0, 0.0]) == np.inf
    assert f.kernels().value(np.array([100.0, 1.0])) == np.inf and f.kernels().value(np.zeros(2)) == np.inf
    g = Objective.from_formula("sqrt(x) + log(x) + x^(1/3) + abs(sqrt(x)) + max(log(x), 0)")
    assert np.isnan(g([-1.0])) and np.isnan(g.kernels().value(np.array([-1.0]))) and mpmath.isnan(g.mpmath([-1]))
    assert np.isnan(g.gradient([-1.0])).all()


def test_mpmath_takes_its_working_precision_and_exact_rationals() -> None:
    f = Objective.from_formula("0.1*x + 2*pi*E^2/3 + x^(1/3)")
    with mpmath.workdps(60):
        x = mpmath.mpf("1.1")
        exact = x / 10 + 2 * mpmath.pi * mpmath.e**2 / 3 + mpmath.cbrt(x)
        assert abs(f.mpmath(["1.1"]) - exact) < mpmath.mpf("1e-57")


def test_integer_powers_are_accurate() -> None:
    f = Objective.from_formula("+".join(f"x^{n}" for n in (3, 7, 13, 30)) + "+ x^(-5)")
    x = points(f, n=20) + 2
    with mpmath.workdps(30):
        np.testing.assert_allclose(f(x), [float(f.mpmath(p)) for p in x.T], rtol=2e-14)


# -- kinks -------------------------------------------------------------------------------------------------------------


def test_derivatives_of_kinks_hold_almost_everywhere() -> None:
    f = Objective.from_formula("abs(x) + max(x, 2*y) + min(y, 3)")
    np.testing.assert_array_equal(f.gradient([1.0, 1.0]), [1, 3])
    np.testing.assert_array_equal(f.gradient([-1.0, -4.0]), [0, 1])
    np.testing.assert_array_equal(f.hessian([[1.0], [1.0]]), np.zeros((2, 2, 1)))
    assert f.gradient([0.0, 1.0])[0] == 0, "the mean of the one-sided slopes -1 and 1"
    derived = [*f.derivatives.gradient, *f.derivatives.hessian.values()]
    assert not any(e.has(sp.Heaviside, sp.DiracDelta, sp.Derivative) for e in derived)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("abs(x - 1/4)", [0.25]),
        ("x*abs(x)", [0.0]),
        ("abs(x)^(3/2)", [0.0]),
        ("max(x, y) + x^2", [2.0, 2.0]),
        ("sqrt(x^2)", [0.0]),
        ("min(x, 0, -x)", [0.0]),
    ],
)
def test_a_hessian_on_a_kink_is_refused(text: str, x: list[float]) -> None:
    f = Objective.from_formula(text)
    batch = np.column_stack([np.array(x) + 0.5 * np.arange(1, f.dimension + 1), x])
    for ask in (f.hessian, f.laplacian):
        with pytest.raises(ValueError, match=rf"kink and no Hessian at x = \({x[0]:g}"):
            ask(batch)
        ask(batch[:, :1])


@pytest.mark.parametrize(
    ("text", "second"), [("abs(x)^3", 0), ("max(x, 0)^3", 0), ("abs(x)^2", 2), ("abs(x)*abs(x)", 2)]
)
def test_a_kink_that_is_smooth_to_second_order_has_a_hessian(text: str, second: float) -> None:
    assert Objective.from_formula(text).hessian([0.0]) == second


# -- made from SymPy, compared, pickled --------------------------------------------------------------------------------


def test_from_sympy_with_its_own_symbols_and_kinks() -> None:
    a, b = sp.symbols("theta import")
    f = Objective.from_sympy(sp.Abs(a) * 0.1 + sp.Max(b, a, 1) ** 2, (a, b), name="mine")
    assert f([-2.0, 3.0]) == pytest.approx(9.2) and f.name == "mine"
    np.testing.assert_allclose(f.gradient([-2.0, 3.0]), [-0.1, 6.0])
    for foreign in (sp.gamma(a), sp.I * a, sp.Piecewise((a, a > 0), (0, True))):
        with pytest.raises(RequestError, match="no numerical back end"):
            Objective.from_sympy(foreign, (a,))
    with pytest.raises(RequestError, match="not one of its symbols"):
        Objective.from_sympy(a + b, (a,))


@pytest.mark.parametrize("f", OBJECTIVES, ids=named)
def test_pickle_equality_hash_and_text(f: Objective) -> None:
    f.hessian(points(f))
    f.kernels()
    again = pickle.loads(pickle.dumps(f))
    assert again == f and hash(again) == hash(f)
    np.testing.assert_array_equal(again(points(f)), f(points(f)))
    read = Objective.from_formula(f.text)
    np.testing.assert_allclose(read(points(f)), f(points(f)), rtol=1e-13, atol=1e-13)


def test_name_formula_and_symbols_make_the_identity() -> None:
    f = Objective.from_formula("x^2 + y")
    assert f == Objective.from_formula("x^2 + y") and f != Objective.from_formula("x^2 + y", name="other")
    assert f != Objective.from_formula("x^2 + 2*y", name=f.name)
    with pytest.raises(AttributeError):
        f.name = "changed"  # type: ignore[misc]


@examples(25)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.1, 10))
def test_identities(x: float, y: float, scale: float) -> None:
    """Symmetric Hessians, the wells' mirror symmetry, and derivatives linear in the scale."""
    f, g = gallery.mueller_brown(), gallery.mueller_brown(0.005 * scale)
    hessian = f.hessian([x, y])
    assert hessian[0, 1] == hessian[1, 0]
    np.testing.assert_allclose(g.hessian([x, y]), scale * hessian, rtol=1e-9, atol=1e-300)
    well = gallery.double_well(dim=2)
    assert well([x, y]) == well([-x, y]) == well([x, -y])
    np.testing.assert_array_equal(well.gradient([x, y]), -well.gradient([-x, -y]))


# -- Python functions --------------------------------------------------------------------------------------------------

QUARTIC = Objective.from_formula("x^4 + y^4 + x*y")


def value(x: np.ndarray) -> np.ndarray:
    return x[0] ** 4 + x[1] ** 4 + x[0] * x[1]


def gradient(x: np.ndarray) -> np.ndarray:
    return np.array([4 * x[0] ** 3 + x[1], 4 * x[1] ** 3 + x[0]])


def hessian(x: np.ndarray) -> np.ndarray:
    one = np.ones_like(x[0])
    return np.array([[12 * x[0] ** 2, one], [one, 12 * x[1] ** 2]])


def one_point(x: np.ndarray) -> float:
    return float(x[0] ** 4 + x[1] ** 4 + x[0] * x[1])


@pytest.mark.parametrize("given_", [(value,), (value, gradient), (value, gradient, hessian), (value, None, hessian)])
def test_callable_with_some_of_its_derivatives(given_: tuple) -> None:
    f = Objective.from_callable(given_[0], 2, *given_[1:])
    x = points(f, n=6, seed=9)
    assert isinstance(f, CallableObjective) and f.name == "value" and f.dimension == 2 and not f.is_constant
    np.testing.assert_allclose(f(x), QUARTIC(x))
    np.testing.assert_allclose(f.gradient(x), QUARTIC.gradient(x), atol=1e-10)
    np.testing.assert_allclose(f.hessian(x), QUARTIC.hessian(x), atol=1e-7)
    np.testing.assert_allclose(f.laplacian(x), QUARTIC.laplacian(x), atol=1e-7)
    assert f(x[:, 0]) == pytest.approx(QUARTIC(x[:, 0])) and f.hessian(x[:, 0]).shape == (2, 2)
    assert pickle.loads(pickle.dumps(f)) == f == Objective.from_callable(given_[0], 2, *given_[1:])


@pytest.mark.parametrize("function", [one_point, lambda x: x @ np.eye(2) @ x, lambda x: np.sum(x**2)])
def test_callable_of_one_point_is_called_in_a_loop(function) -> None:  # type: ignore[no-untyped-def]
    f = Objective.from_callable(function, 2, name="loop")
    x = points(f, n=4)
    np.testing.assert_allclose(f(x), [function(p) for p in x.T])
    assert f.gradient(x).shape == (2, 4) and f(np.empty((2, 0))).shape == (0,)


def test_wrong_derivatives_are_named() -> None:
    with pytest.raises(RequestError, match=r"gradient does not belong to the value: component \[1\] at x = .* is"):
        Objective.from_callable(value, 2, lambda x: np.array([4 * x[0] ** 3 + x[1], 3 * x[1] ** 3 + x[0]]))
    with pytest.raises(RequestError, match=r"Hessian does not belong to the value: component \[0, 1\]"):
        Objective.from_callable(
            value, 2, gradient, lambda x: np.array([[12 * x[0] ** 2, x[0]], [x[0], 12 * x[1] ** 2]])
        )


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x, r"must map points of shape \(2, n\) to \(n,\), or one point \(2,\) to a number"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (lambda x: x[0] + 1j, "complex"),
        (lambda x: x[0] - x[0].mean(), "changes with the other points"),
    ],
)
def test_a_callable_of_the_wrong_kind_is_refused(function, why: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match=why):
        Objective.from_callable(function, 2)


@pytest.mark.parametrize("dimension", [0, -1, 2.5, "2", True])
def test_a_callable_needs_a_dimension(dimension: object) -> None:
    with pytest.raises(RequestError, match="dimension must be a whole number"):
        Objective.from_callable(value, dimension)  # type: ignore[arg-type]


def test_a_callable_has_nothing_to_compile() -> None:
    f = Objective.from_callable(value, 2)
    for ask in (f.kernels, lambda: f.ufl([0, 0]), lambda: f.mpmath([0, 0])):
        with pytest.raises(RequestError, match="'value' is a Python callable: it has no formula"):
            ask()


# ------------------------------------------------------------------------------------------------------ long products
def test_a_hessian_of_sixty_factors_is_derived_in_no_time():
    """f = prod (x - a_i): f' = f sum 1/(x - a_i), f'' = f ((sum 1/(x - a_i))^2 - sum 1/(x - a_i)^2)."""
    f = Objective.from_formula("*".join(f"(x-{i}/10)" for i in range(60)))
    inverse = 1 / (2.345 - np.arange(60) / 10)
    assert f.gradient(2.345) == pytest.approx(f(2.345) * inverse.sum(), rel=1e-10)
    assert f.hessian(2.345) == pytest.approx(f(2.345) * (inverse.sum() ** 2 - (inverse**2).sum()), rel=1e-10)


def test_long_products_are_derived_wherever_they_stand():
    """Against differences of the value in 40 digits."""
    text = "exp(-({0})/50) + abs({0}) + y*({0})^3 + max({0},x)"
    f = Objective.from_formula(text.format("*".join(f"(x-{i}/4+y)" for i in range(9))))
    with mpmath.workdps(40):
        for (i, j), n in {(0, 0): (2, 0), (0, 1): (1, 1), (1, 1): (0, 2)}.items():
            expected = mpmath.diff(lambda *point: f.mpmath(point), (1.3, 0.75), n)
            assert f.hessian(np.array([1.3, 0.75]))[i, j] == pytest.approx(float(expected), rel=1e-10)
