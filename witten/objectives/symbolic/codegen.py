"""One formula, one program, four vocabularies: the same lines of code read by NumPy, Numba, UFL and mpmath.

A program is straight-line Python, its common subexpressions computed once, in which every function is a bare name:

    def program(point, out):
        v0 = point[0]
        t0 = power(v0, 2)
        out[0] = v0*(t0 - 1.0)

What `power` or `exp` mean is looked up in a vocabulary, so the four back ends cannot disagree about the formula. The
text holds nothing but names made here (v0, t0, ...), numbers, and the functions of FUNCTIONS; a user's words never
reach it."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from scipy.special import expit
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pycode import PythonCodePrinter

from witten.objectives.symbolic import functions
from witten.objectives.symbolic.grammar import as_double

__all__ = [
    "FUNCTIONS",
    "compile_program",
    "logcosh",
    "mpmath_point",
    "mpmath_vocabulary",
    "numba_vocabulary",
    "numpy_vocabulary",
    "ufl_vocabulary",
]

LOG_2 = math.log(2.0)
FUNCTIONS: dict[type[sp.Basic], str] = {
    functions.Exp: "exp",
    functions.Log: "log",
    functions.Sqrt: "sqrt",
    functions.Power: "root",
    functions.Sin: "sin",
    functions.Cos: "cos",
    functions.Tan: "tan",
    functions.Sinh: "sinh",
    functions.Cosh: "cosh",
    functions.Tanh: "tanh",
    functions.LogCosh: "logcosh",
    functions.LogAddExp: "logaddexp",
    functions.Logistic: "logistic",
    functions.Sign: "sign",
    functions.Modulus: "modulus",
    functions.Larger: "larger",
    functions.Smaller: "smaller",
}


class _Printer(PythonCodePrinter):
    """SymPy to Python text; rationals as doubles, integer powers as power(a, n)."""

    def _print_Rational(self, expr: sp.Rational) -> str:
        value = as_double(expr)
        return repr(value) if math.isfinite(value) else ("inf" if value > 0 else "-inf")

    _print_Integer = _print_Half = _print_Float = _print_Zero = _print_One = _print_NegativeOne = _print_Rational

    def _print_Pi(self, expr: sp.Expr) -> str:
        return "pi"

    def _print_Function(self, expr: sp.Function) -> str:
        return f"{FUNCTIONS[expr.func]}({', '.join(self._print(argument) for argument in expr.args)})"

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        base, exponent = expr.base, int(expr.exp)
        if exponent == -1:
            return f"(1/{self.parenthesize(base, PRECEDENCE['Pow'])})"
        power = f"power({self._print(base)}, {abs(exponent)})"
        return power if exponent > 0 else f"(1/{power})"


for _function in FUNCTIONS:
    setattr(_Printer, f"_print_{_function.__name__}", _Printer._print_Function)


class _ExactPrinter(_Printer):
    """The same text with rationals kept as ratio(p, q), for arithmetic of any precision."""

    def _print_Rational(self, expr: sp.Rational) -> str:
        return f"ratio({expr.p}, {expr.q})"

    _print_Integer = _print_Half = _print_Zero = _print_One = _print_NegativeOne = _print_Rational


def _lines(symbols: Sequence[sp.Symbol], results: Mapping[str, sp.Expr], printer: PythonCodePrinter) -> list[str]:
    plain = [sp.Symbol(f"v{i}", real=True) for i in range(len(symbols))]
    rename = dict(zip(symbols, plain, strict=True))
    shared, reduced = sp.cse([expression.xreplace(rename) for expression in results.values()], sp.numbered_symbols("t"))
    lines = [f"{plain[i]} = point[{i}]" for i in range(len(plain))]
    lines += [f"{name} = {printer.doprint(expression)}" for name, expression in shared]
    return lines + [
        f"{target} {printer.doprint(expression)}" for target, expression in zip(results, reduced, strict=True)
    ]


def compile_program(
    symbols: Sequence[sp.Symbol], results: Mapping[str, sp.Expr], vocabulary: Mapping[str, Any]
) -> Callable[..., Any]:
    """program(point, out) that runs `target expression` for every item of results, e.g. {"out[0] =": x**2} or
    {"return": x**2}."""
    printer = _ExactPrinter() if "ratio" in vocabulary else _Printer()
    header = "def program(point, out):" if "return" not in results else "def program(point):"
    source = "\n    ".join([header, *_lines(symbols, results, printer)])
    namespace = dict(vocabulary)
    exec(source, namespace)  # our own text, see the module's docstring
    return namespace["program"]


def _numpy_power(base: Any, exponent: int) -> Any:
    """base^n by repeated squaring: several times faster than NumPy's pow, which takes logarithms."""
    if exponent == 1:
        return base
    root = _numpy_power(base, exponent // 2)
    return root * root * base if exponent % 2 else root * root


def logcosh(a: Any) -> Any:
    """log cosh a of an array, to all digits near zero and far out."""
    size = np.abs(a)
    near = np.log1p(2 * np.sinh(np.minimum(size, 2.0) / 2) ** 2)
    return np.where(size < 2, near, size + np.log1p(np.exp(-2 * size)) - LOG_2)


def numpy_vocabulary() -> dict[str, Any]:
    """Arrays."""
    names = {
        name: getattr(np, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sign")
    }
    own = {"modulus": np.abs, "larger": np.maximum, "smaller": np.minimum, "power": _numpy_power, "root": np.power}
    own |= {"logcosh": logcosh, "logaddexp": np.logaddexp, "logistic": expit}
    return names | own | {"pi": math.pi, "inf": math.inf}


def numba_vocabulary() -> dict[str, Any]:
    """Scalars inside compiled kernels; imports Numba."""
    import numba

    @numba.njit(inline="always", error_model="numpy")
    def power(base, exponent):  # type: ignore[no-untyped-def]
        return base**exponent

    @numba.njit
    def sign(a):  # type: ignore[no-untyped-def]
        return a if a != a or a == 0.0 else math.copysign(1.0, a)

    @numba.njit
    def larger(a, b):  # type: ignore[no-untyped-def]
        return a if a > b or a != a else b

    @numba.njit
    def smaller(a, b):  # type: ignore[no-untyped-def]
        return a if a < b or a != a else b

    @numba.njit
    def logcosh(a):  # type: ignore[no-untyped-def]
        size = math.fabs(a)
        return math.log1p(2 * math.sinh(size / 2) ** 2) if size < 2 else size + math.log1p(math.exp(-2 * size)) - LOG_2

    @numba.njit
    def logaddexp(a, b):  # type: ignore[no-untyped-def]
        return larger(a, b) + math.log1p(math.exp(-math.fabs(a - b)))

    @numba.njit
    def logistic(a):  # type: ignore[no-untyped-def]
        return 1 / (1 + math.exp(-a)) if a > 0 or a != a else math.exp(a) / (1 + math.exp(a))

    names = {name: getattr(math, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")}
    own = {"logcosh": logcosh, "logaddexp": logaddexp, "logistic": logistic}
    own |= {"modulus": math.fabs, "sign": sign, "larger": larger, "smaller": smaller, "power": power, "root": power}
    return names | own | {"pi": math.pi, "inf": math.inf}


def ufl_vocabulary() -> dict[str, Any]:
    """UFL expressions; imports UFL."""
    import ufl

    names = {name: getattr(ufl, name) for name in ("exp", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sign")}
    own = {
        "log": ufl.ln,
        "modulus": abs,
        "larger": ufl.max_value,
        "smaller": ufl.min_value,
        "power": operator.pow,
        "root": operator.pow,
        "logcosh": lambda a: abs(a) + ufl.ln(1 + ufl.exp(-2 * abs(a))) - LOG_2,
        "logaddexp": lambda a, b: ufl.max_value(a, b) + ufl.ln(1 + ufl.exp(-abs(a - b))),
        "logistic": lambda a: (1 + ufl.tanh(a / 2)) / 2,
    }
    return names | own | {"pi": math.pi, "inf": math.inf}


def _mpmath_real(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a first argument >= 0, nan where it would be complex."""
    return lambda a, *rest: function(a, *rest) if a >= 0 else mpmath.nan


def mpmath_vocabulary() -> dict[str, Any]:
    """Numbers of mpmath at its working precision, rationals exact."""
    names = {name: getattr(mpmath, name) for name in ("exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sign")}
    own = {"log": _mpmath_real(mpmath.log), "sqrt": _mpmath_real(mpmath.sqrt), "root": _mpmath_real(operator.pow)}
    own |= {"modulus": abs, "larger": max, "smaller": min, "power": operator.pow}
    own |= {
        "logcosh": lambda a: abs(a) + mpmath.log1p(mpmath.exp(-2 * abs(a))) - mpmath.log(2),
        "logaddexp": lambda a, b: max(a, b) + mpmath.log1p(mpmath.exp(-abs(a - b))),
        "logistic": lambda a: 1 / (1 + mpmath.exp(-a)),
    }
    return names | own | {"ratio": lambda p, q: mpmath.mpf(p) / q, "pi": mpmath.pi}


def mpmath_point(x: Sequence[Any]) -> list[Any]:
    """The coordinates as mpmath numbers; strings keep all their digits."""
    return [mpmath.mpf(value.item() if isinstance(value, np.generic) else value) for value in x]
