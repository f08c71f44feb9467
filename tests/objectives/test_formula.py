"""The parser reads formulas as a person would, and refuses everything else in one line, quickly, evaluating nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import pytest
import sympy as sp
from hostile import FUNCTIONS, NUMBERS, OPERATORS, TOKENS
from hypothesis import assume, given
from hypothesis import strategies as st
from launcher import PATIENCE
from properties import examples

from witten.errors import RequestError
from witten.objectives import Objective, resolve
from witten.objectives.symbolic.formula import parse

x, y, z = sp.symbols("x y z", real=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(x^2-1)^2/4", (x**2 - 1) ** 2 / 4),
        ("-x**2", -(x**2)),
        ("+x - -2", x + 2),
        ("2^3^2*x", 512 * x),
        ("x - 1 - 2 + 3*x/4/2", sp.Rational(11, 8) * x - 3),
        ("0.1*x + 1e-3 + .5 + 2. + 1_000", x / 10 + sp.Rational(1002501, 1000)),
        ("x^0.5 + sqrt(x^2)", sp.sqrt(x) + sp.Abs(x)),
        ("E^x + pi", sp.exp(x) + sp.pi),
        ("exp(-x)*log(x+3)*sqrt(2)", sp.exp(-x) * sp.log(x + 3) * sp.sqrt(2)),
        ("sin(x)+cos(x)+tan(x)", sp.sin(x) + sp.cos(x) + sp.tan(x)),
        ("sinh(x)+cosh(x)+tanh(x)", sp.sinh(x) + sp.cosh(x) + sp.tanh(x)),
        ("max(1, 3, 2) + min(pi, E, 4)*x", 3 + sp.E * x),
        ("abs(-3) + abs(x)^2", 3 + x**2),
        (" x * ( y + z ) ", x * (y + z)),
    ],
)
def test_reads(text: str, expected: sp.Expr) -> None:
    expression, symbols = parse(text)
    assert expression.doit() == expected
    assert symbols == (x, y, z)[: len(symbols)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("3", ["x"]),
        ("x", ["x"]),
        ("x*y", ["x", "y"]),
        ("z + y + x", ["x", "y", "z"]),
        ("x - x + y", ["x", "y"]),
        ("0*x + y", ["x", "y"]),
        ("x1^2", ["x1"]),
        ("x2 + x1 + x3*x4", ["x1", "x2", "x3", "x4"]),
        ("+".join(f"x{i}^2" for i in range(1, 101)), [f"x{i}" for i in range(1, 101)]),
    ],
)
def test_dimension_and_order_of_the_axes(text: str, names: list[str]) -> None:
    assert [symbol.name for symbol in parse(text)[1]] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y", r"uses y but not x; add 0\*x"),
        ("x*z", "uses z but not y"),
        ("x1 + x3", "uses x3 but not x2"),
        ("x9999", "uses x9999 but not x1"),
        ("x99999999999", "unknown variable 'x99999999999'"),
        ("x + x1", "mixes x with x1"),
        ("x0", "unknown variable 'x0'"),
        ("w + x", "unknown variable 'w'.*there are x, y, z or x1, x2"),
        ("x + e", r"unknown variable 'e'.*did you mean E\?"),
        ("sine(x)", r"unknown function 'sine'.*did you mean sin\?"),
        ("ln(x)", r"did you mean log\?"),
        ("x(y)", "x is not a function; write a product"),
        ("pi(2)", "pi is not a function"),
        ("sin", r"write sin\(...\)"),
        ("sin + 1", r"write sin\(...\)"),
        ("2x", "'2x'.*products with"),
        ("sin(x, y)", r"'sin\(x, y\)'.*one argument, got 2"),
        ("exp()", r"'exp\(\)'"),
        ("max(x)", "two arguments or more"),
        ("log(x=2)", r"'log\(x=2\)' is not allowed"),
        ("max(*x)", r"'max\(\*x\)'"),
        ("max(x, **y)", "not allowed"),
        ("x.real", "'x.real' is not allowed"),
        ("x[0]", r"'x\[0\]' is not allowed"),
        ("x < 1", "'x < 1' is not allowed"),
        ("x == 1", "'x == 1' is not allowed"),
        ("x and y", "'x and y' is not allowed"),
        ("not x", "'not x' is not allowed"),
        ("x if x else y", "'x if x else y' is not allowed"),
        ("lambda: x", "'lambda: x' is not allowed"),
        ("(lambda x: x)(y)", "not allowed"),
        ("[x for x in y]", "not allowed"),
        ("(x, y)", r"'\(x, y\)' is not allowed"),
        ("{x}", "not allowed"),
        ("x % 2", "'x % 2' is not allowed"),
        ("x // 2", "'x // 2' is not allowed"),
        ("x @ y", "not allowed"),
        ("x | y", "not allowed"),
        ("~x", "'~x' is not allowed"),
        ("'x'", "not allowed"),
        ("f'{x}'", "not allowed"),
        ("b'x'", "not allowed"),
        ("...", "not allowed"),
        ("True", "not allowed"),
        ("None + x", "'None' is not allowed"),
        ("1j*x", "'1j' is not allowed"),
        ("0x10", "number '0x10'"),
        ("(x := 2)", "not allowed"),
        ("await x", "not a formula|not allowed"),
        ("yield", "not a formula|not allowed"),
        ("x = 1", "not a formula"),
        ("x; y", "not a formula"),
        ("import os", "not a formula"),
        ("(x", "not a formula"),
        ("x +", "not a formula"),
        ("", "empty"),
        ("   ", "empty"),
        ("x\ny", "plain ASCII"),
        ("x # y", "'#'"),
        ("x\\", "plain ASCII"),
        ("x\0", "plain ASCII"),
        ("x\u00b2", "plain ASCII"),
        ("\uff58", "plain ASCII"),
        ("sqrt(-1)", "complex"),
        ("log(-2)*x", r"'log\(-2\)'.*complex"),
        ("(-8)^(1/3)", r"'\(-8\)\^\(1/3\)'.*complex"),
        ("sqrt(-x^2-1)", "is complex, undefined or infinite everywhere"),
        ("log(-exp(x))", "is complex, undefined or infinite everywhere"),
        ("(-pi)^0.5 + x", "complex"),
        ("log(0)", "infinite"),
        ("1/0", "division by zero"),
        ("x/(1-1)", r"division by zero.*'\(?1-1\)?' is zero"),
        ("0^(-1)", "division by zero"),
        ("x/(x-x)", "division by zero"),
        ("tan(pi/2)", "undefined or infinite"),
        ("1e400", "'1e400'.*double can hold"),
        ("0e999999999", "double can hold"),
        ("1e-400", "double can hold"),
        ("1." + "1" * 2000, "too many digits"),
        ("1e300*1e300", "too large"),
        ("exp(1000)", "too large"),
        ("exp(-1000)", "too small"),
    ],
)
def test_refuses_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        Objective.from_formula(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("thing", [None, 3, b"x", ["x"]])
def test_refuses_what_is_not_text(thing: Any) -> None:
    with pytest.raises(RequestError, match="must be text"):
        parse(thing)


# -- against a second reading of the same tree -------------------------------------------------------------------------

Tree = tuple[str, Callable[[list[Any]], Any]]
UNARY: dict[str, Callable[[Any], Any]] = {
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tanh": mpmath.tanh,
    "abs": abs,
    "-": lambda a: -a,
    "exp(sin": lambda a: mpmath.exp(mpmath.sin(a)),
    "sqrt(1+abs": lambda a: mpmath.sqrt(1 + abs(a)),
    "log(2+cos": lambda a: mpmath.log(2 + mpmath.cos(a)),
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "max": max,
    "min": min,
}


def leaves() -> st.SearchStrategy[Tree]:
    names = st.sampled_from([("x", lambda v: v[0]), ("y", lambda v: v[1])])
    numbers = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(
        lambda n: (f"{n[0]}.{n[1]:02d}", lambda v: mpmath.mpf(100 * n[0] + n[1]) / 100)
    )
    return names | numbers


def unary(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    def build(name: str, child: Tree) -> Tree:
        text, value = child
        return f"{name}({text})" + ")" * name.count("("), lambda v: UNARY[name](value(v))

    return st.builds(build, st.sampled_from(sorted(UNARY)), children)


def binary(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    def build(name: str, left: Tree, right: Tree) -> Tree:
        text = f"{name}({left[0]},{right[0]})" if name.isalpha() else f"({left[0]}){name}({right[0]})"
        return text, lambda v: BINARY[name](left[1](v), right[1](v))

    return st.builds(build, st.sampled_from(sorted(BINARY)), children, children)


def powers(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    def build(child: Tree, n: int, caret: bool) -> Tree:
        return f"({child[0]}){'^' if caret else '**'}{n}", lambda v: child[1](v) ** n

    return st.builds(build, children, st.integers(0, 3), st.booleans())


TREES = st.recursive(leaves(), lambda c: unary(c) | binary(c) | binary(c) | powers(c), max_leaves=12)


@examples(150)
@given(TREES, st.fractions(-3, 3, max_denominator=1000), st.fractions(-3, 3, max_denominator=1000))
def test_random_formulas_mean_what_they_say(tree: Tree, a: Any, b: Any) -> None:
    text, value = tree
    f = Objective.from_formula(f"{text} + 0*x + 0*y")
    with mpmath.workdps(60):
        point = [mpmath.mpf(q.numerator) / q.denominator for q in (a, b)]
        expected = value(point)
        assume(abs(expected) < 1e30)
        assert abs(f.mpmath(point) - expected) < mpmath.mpf("1e-25") * (1 + abs(expected))
        again = Objective.from_formula(f"{f.text} + 0*x + 0*y")
        assert abs(again.mpmath(point) - expected) < mpmath.mpf("1e-25") * (1 + abs(expected))


# -- what was never a formula ------------------------------------------------------------------------------------------

def refused_or_read(text: str) -> None:
    try:
        f = resolve(text)
    except RequestError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    else:
        assert f.dimension >= 1


def test_what_cannot_be_a_parameter_is_quoted() -> None:
    refused_or_read("a:b\nc=d")
    refused_or_read("x^2:a\nb=1,a\nb=2")


@examples(200)
@given(st.text(max_size=60))
def test_random_text_is_refused_or_read(text: str) -> None:
    refused_or_read(text)


@examples(300)
@given(st.lists(st.sampled_from([*TOKENS, "\n"]), max_size=25))
def test_random_tokens_are_refused_or_read(tokens: list[str]) -> None:
    refused_or_read("".join(tokens))
    refused_or_read(" ".join(tokens))


@examples(200)
@given(
    st.recursive(
        st.sampled_from(NUMBERS),
        lambda c: (
            st.builds("({}){}({})".format, c, st.sampled_from(OPERATORS), c)
            | st.builds("{}({})".format, st.sampled_from(FUNCTIONS), c)
        ),
        max_leaves=15,
    )
)
def test_random_powers_are_refused_or_read(text: str) -> None:
    """Correct syntax, reckless numbers: nothing is computed that does not fit a double."""
    refused_or_read(text)


def nested(function: str, times: int) -> str:
    return f"{function}(" * times + "x" + ")" * times


MALICIOUS = [
    "9**9**9**9",
    "9^9^9*x",
    "0.5**123456789.5",
    "2^(x+1e9)*2^(-x)",
    "2^(1e9*x)",
    "(2^(1000*x))^1000",
    "(0*x+9)^(0*x+9^9)",
    "exp(x+1e9*log(2))",
    "E^(x+1e9*log(2))",
    "exp(-1e9*log(2))",
    "exp(x-x+1e9*log(2))",
    "exp(1000000*log(x))",
    "((x^100)^100)^100",
    "((2*x)^1000)^1000",
    "(sqrt(2)*1.41)^1000",
    "x^1e300",
    "x^99999999999",
    "exp(exp(exp(100)))",
    "sin(exp(exp(20)))",
    "max(exp(exp(exp(100))), 1)",
    "9" * 9999,
    "1" + "0" * 4000,
    "(" * 5000 + "x" + ")" * 4999,
    "(" * 1_000_000,
    "x+" * 500_000,
    "-" * 9999 + "x",
    "+x" * 5000,
    "x**" * 3333 + "x",
    "x" + "(x)" * 3000,
    "x" + ".a" * 4900,
    "not " * 2400 + "x",
    "lambda:" * 1400 + "x",
    "x if x else " * 800 + "x",
    "[" * 190 + "]" * 190,
    "f'{" * 100,
    nested("sin", 150),
    nested("exp", 49),
    nested("log", 45),
    nested("abs(sqrt", 1) + ")",
    "(1+" * 49 + "x" + ")^2" * 49,
    "*".join(f"({10**9 + 7 + 2 * i})^(1/3)" for i in range(400)),
    "+".join(f"sqrt({10**9 + 7 + 2 * i})" for i in range(500)),
    "+".join(f"1/{10**9 + 7 + 2 * i}" for i in range(600)),
    "max(" + ",".join(f"x*{i}" for i in range(1000)) + ")",
    f"sin({'9' * 300}*pi)",
    "__import__('os').system('echo never')",
    "().__class__.__bases__[0].__subclasses__()",
    "open('/etc/passwd').read()",
    "exec('x')",
]


def read_all() -> None:
    for text in MALICIOUS:
        refused_or_read(text)


def test_malicious_formulas_take_little_memory_and_time() -> None:
    """All of them together in 2 GB of address space and 60 s of processor, start-up of Python included."""
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_CPU, (60, 60)); r.setrlimit(r.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "import sys; sys.path.append('..'); import test_formula; test_formula.read_all(); print('all refused or read')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "all refused or read\n", "nothing was executed, nothing printed"
