"""The gallery's formulas at points where their values are known, its parameters, and the text forms of an objective."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

from witten.errors import RequestError
from witten.objectives import Objective, gallery, resolve

EXPECTED = {  # name: (defaults, dimension), as fixed for the command line
    "quadratic": ({"theta": 1, "dim": 1}, 1),
    "double-well": ({"barrier": 0.25, "tilt": 0, "dim": 1}, 1),
    "triple-well": ({"tilt_x": 0, "tilt_y": 0}, 2),
    "shi-su-jordan": ({}, 2),
    "shi-su-jordan-1d": ({}, 1),
    "mueller-brown": ({"scale": 0.005}, 2),
    "convex-quartic": ({}, 1),
    "himmelblau": ({"scale": 0.01}, 2),
    "six-hump-camel": ({"scale": 1}, 2),
    "rastrigin": ({"scale": 0.05, "dim": 2}, 2),
    "styblinski-tang": ({"scale": 0.05, "dim": 2}, 2),
    "rosenbrock": ({"scale": 0.01}, 2),
    "rugged": ({"eps": 0.05}, 1),
}


def test_names_defaults_and_dimensions() -> None:
    assert gallery.names() == tuple(EXPECTED)
    for name, entry in gallery.ENTRIES.items():
        assert (entry.name, entry.parameters, entry.dimension) == (name, *EXPECTED[name])
        assert entry.formula and entry.about and "\n" not in entry.formula + entry.about
        assert resolve(name) == gallery.make(name) == entry.function()
        assert resolve(name).name == name and not resolve(name).is_constant


MINIMA = [  # objective, a critical point, the value there, eigenvalues' signs
    ("quadratic:theta=3,dim=4", [0, 0, 0, 0], 0, "++++"),
    ("double-well", [1], 0, "+"),
    ("double-well", [-1], 0, "+"),
    ("double-well:barrier=0.7,dim=3", [0, 0, 0], 0.7, "-++"),
    ("triple-well", [0, 0], 0, "--"),
    ("triple-well", [(0.3 + np.sqrt(4.09)) / 2, 0], -0.37623141378, "++"),
    ("shi-su-jordan", [0.7, -0.7], 0, "++"),
    ("shi-su-jordan", [-0.619258240, 0.619258240], 2 * 0.185390577, "++"),
    ("shi-su-jordan-1d", [0.7], 0, "+"),
    ("shi-su-jordan-1d", [-0.619258240], 0.185390577, "+"),
    ("shi-su-jordan-1d", [-0.080741760], 0.294709422, "-"),
    ("mueller-brown:scale=1", [-0.558223635, 1.441725842], -146.6995172, "++"),
    ("mueller-brown:scale=1", [0.623499405, 0.028037759], -108.1667241, "++"),
    ("mueller-brown:scale=1", [-0.822001559, 0.624312802], -40.6648435, "-+"),
    ("mueller-brown:scale=1", [-0.050010823, 0.466694105], -80.7678182, "++"),
    ("convex-quartic", [0], 0, "+"),
    ("himmelblau", [3, 2], 0, "++"),
    ("himmelblau:scale=1", [-0.270844591, -0.923038522], 181.616521, "--"),
    ("six-hump-camel", [0.089842013, -0.712656403], -1.031628453, "++"),
    ("six-hump-camel", [-0.089842013, 0.712656403], -1.031628453, "++"),
    ("rastrigin:scale=1,dim=3", [0, 0, 0], 0, "+++"),
    ("styblinski-tang:scale=1,dim=1", [-2.903534028], -39.166165704, "+"),
    ("rosenbrock", [1, 1], 0, "++"),
    ("rugged:eps=0", [1], 0, "+"),
]


@pytest.mark.parametrize(("text", "x", "value", "signs"), MINIMA)
def test_known_critical_points(text: str, x: list[float], value: float, signs: str) -> None:
    f = resolve(text)
    assert f(x) == pytest.approx(value, rel=1e-7, abs=1e-8)
    curvatures = np.linalg.eigvalsh(f.hessian(np.array(x, float)))
    assert np.abs(f.gradient(x)).max() < 2e-8 * max(1.0, np.abs(curvatures).max())
    assert "".join("+" if c > 0 else "-" for c in curvatures) == signs


def test_barrier_of_the_example_of_shi_su_and_jordan() -> None:
    f = gallery.shi_su_jordan_1d()
    assert f([-0.080741760]) - f([-0.619258240]) == pytest.approx(0.1093188456, abs=1e-10)
    assert f.gradient([0.3])[0] == f.derivatives.gradient[0].subs(f.symbols[0], 0.3)


def test_the_two_dimensional_example_is_the_sum_of_two_one_dimensional_ones() -> None:
    f, g = gallery.shi_su_jordan(), gallery.shi_su_jordan_1d()
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    np.testing.assert_allclose(f([x, y]), g([x]) + g([-y]), rtol=1e-14)


def test_rotation_by_a_third_of_a_turn_leaves_the_triple_well_alone() -> None:
    f, x = gallery.triple_well(), np.random.default_rng(0).normal(size=(2, 50))
    c, s = np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)
    np.testing.assert_allclose(f(np.array([[c, -s], [s, c]]) @ x), f(x), rtol=1e-12, atol=1e-12)


def test_rugged_is_the_double_well_with_a_ripple() -> None:
    f, g, x = gallery.rugged(0.3), gallery.double_well(), np.linspace(-2, 2, 41)[None]
    np.testing.assert_allclose(f(x) - g(x), 0.15 * np.cos(2 * np.pi * x[0] / 0.2), atol=1e-13)


def test_parameters_stay_exact() -> None:
    x = sp.Symbol("x", real=True)
    expected = (x**2 - 1) ** 2 / 10
    for value in (0.1, Fraction(1, 10), sp.Rational(1, 10), np.float64(0.1)):
        assert gallery.double_well(barrier=value).formula == expected  # type: ignore[arg-type]
    assert resolve("double-well:barrier=0.1").formula == resolve("double-well:barrier=1/10").formula == expected
    assert resolve("quadratic:theta=1/3").formula == x**2 / 6


def test_one_name_for_one_objective() -> None:
    assert gallery.double_well(0.5, dim=2).name == "double-well:barrier=0.5,dim=2"
    assert resolve("double-well: dim = 2, barrier=.5 ") == gallery.make("double-well", barrier=0.5, dim=2)
    assert resolve("double-well:barrier=0.25") == resolve("double-well:") == resolve("double-well")
    for text in ("quadratic:theta=1/3", "rugged:eps=0.123456789012345", "double-well:barrier=1e-05"):
        assert resolve(resolve(text).name) == resolve(text)


def test_a_docstring_and_a_signature_for_help() -> None:
    import inspect

    assert gallery.double_well.__doc__.startswith("barrier (x_1^2 - 1)^2 + tilt x_1")  # type: ignore[union-attr]
    assert list(inspect.signature(gallery.double_well).parameters) == ["barrier", "tilt", "dim"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dubble-well", r"unknown objective 'dubble-well' \(did you mean double-well\?\)"),
        ("double_well", r"did you mean double-well\?"),
        ("Double-Well", r"did you mean double-well\?"),
        ("doublewell", r"did you mean double-well\?"),
        ("rastrign:dim=3", r"did you mean rastrigin\?"),
        ("muller-brown", r"did you mean mueller-brown\?"),
        ("foo", "unknown objective 'foo'.*variables are x, y, z"),
        ("foo:a=1", "unknown objective 'foo'"),
        (
            "double-well:barier=1",
            r"no parameter 'barier' \(did you mean barrier\?\); its parameters: barrier, tilt, dim",
        ),
        ("convex-quartic:dim=2", "no parameter 'dim'.*its parameters: none"),
        ("double-well:barrier", "cannot read the parameter 'barrier'; write name=value"),
        ("double-well:=3", "cannot read the parameter"),
        ("double-well:barrier=high", "barrier must be a number, got 'high'"),
        ("double-well:barrier=x", "barrier must be a number"),
        ("double-well:barrier=", "barrier must be a number"),
        ("double-well:barrier=nan", "barrier must be a number"),
        ("double-well:tilt=1,tilt=2", "tilt is given twice"),
        ("double-well:barrier=0", "barrier must be positive, got 0"),
        ("quadratic:theta=-1", "theta must be positive, got -1"),
        ("himmelblau:scale=0", "scale must be positive"),
        ("rugged:eps=-0.1", "eps must not be negative, got -0.1"),
        ("quadratic:dim=0", "dim must be a whole number from 1 to 100"),
        ("quadratic:dim=1.5", "dim must be a whole number"),
        ("quadratic:dim=1000000", "dim must be a whole number"),
        ("x-w", "unknown variable 'w'"),
        ("lambda: 3", "'lambda: 3' is not allowed"),
        ("x:y", "cannot read the parameter 'y'"),
    ],
)
def test_resolve_refuses_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        resolve(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [True, float("nan"), float("inf"), "0.5", None, 1j, [1]])
def test_parameters_are_finite_numbers(value: Any) -> None:
    with pytest.raises(RequestError, match="barrier must be a finite number"):
        gallery.double_well(barrier=value)
    with pytest.raises(RequestError, match="dim must be"):
        gallery.double_well(dim=value)


def test_resolve_tells_names_from_formulas() -> None:
    assert resolve("x-y").dimension == 2 and resolve("-x^2")([3.0]) == -9
    assert resolve("x").formula == resolve(" x ").formula
    f = Objective.from_formula("x^4")
    assert resolve(f) is f
    assert resolve("x^4") == f and resolve("x^4").name == "x^4"
    with pytest.raises(RequestError, match="got int"):
        resolve(3)  # type: ignore[arg-type]


def test_an_objective_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my landscapes.py"
    file.write_text(
        "from witten.objectives import Objective\n"
        "tilted = Objective.from_formula('(x^2-1)^2 + x/10', name='tilted')\n"
        "number = 3\n"
        "def value(x): return x[0]**2\n"
        "bowl = Objective.from_callable(value, 1)\n"
    )
    assert resolve(f"{file}:tilted") == Objective.from_formula("(x^2-1)^2 + x/10", name="tilted")
    assert resolve(f"{file}:bowl")([2.0]) == 4
    for text, message in [
        (f"{file}:tilt", "defines no 'tilt'; the objectives in it: tilted, value, bowl"),
        (f"{file}:", "defines no ''"),
        (f"{file}:number", "of type int, no objective"),
        (f"{file}x.py:f", "there is no file"),
        ("landscapes.py", "write landscapes.py:name"),
    ]:
        with pytest.raises(RequestError, match=message):
            resolve(text)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1/0", "failed: ZeroDivisionError: division by zero"),
        ("def f(:", "failed: SyntaxError"),
        ("raise SystemExit(3)", "failed: SystemExit: 3"),
        ("import a_module_that_is_not_there", "failed: ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails_says_why(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(source)
    with pytest.raises(RequestError, match=message) as caught:
        resolve(f"{tmp_path}/bad.py:f")
    assert "\n" not in str(caught.value)
