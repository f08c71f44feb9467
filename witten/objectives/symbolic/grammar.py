"""What may be written in a formula: names, limits, and the arithmetic of pieces that know their value in doubles."""

import ast
import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import sympy as sp

from witten.errors import RequestError
from witten.objectives.symbolic import functions
from witten.objectives.symbolic.functions import RealFunction

__all__ = [
    "CHOICES",
    "CONSTANTS",
    "FUNCTIONS",
    "NAMES",
    "VARIABLE",
    "Part",
    "as_double",
    "axes",
    "bits",
    "folded",
    "inverse",
    "nearest",
    "negative",
    "oversized",
    "quoted",
    "spine",
    "variables",
]

MAX_LENGTH = 10_000  # characters
MAX_NODES = 3_000  # numbers, variables and operations
MAX_DEPTH = 50  # of nested operations; sums and products of many terms count once
MAX_FACTORS = 60  # of one product; SymPy compares each with each, and a second derivative has n^2 terms
MAX_BITS = 1_100  # of a numerator or denominator; a double holds 1024
MAX_EXPONENT = 1_000

CONSTANTS = {"pi": (sp.pi, math.pi), "E": (functions.Exp(sp.S.One), math.e)}
FUNCTIONS: dict[str, tuple[type[RealFunction], Callable[[float], float]]] = {
    "exp": (functions.Exp, math.exp),
    "log": (functions.Log, math.log),
    "sqrt": (functions.Sqrt, math.sqrt),
    "sin": (functions.Sin, math.sin),
    "cos": (functions.Cos, math.cos),
    "tan": (functions.Tan, math.tan),
    "sinh": (functions.Sinh, math.sinh),
    "cosh": (functions.Cosh, math.cosh),
    "tanh": (functions.Tanh, math.tanh),
    "abs": (functions.Modulus, abs),
}
CHOICES = {"min": (functions.Smaller, operator.lt), "max": (functions.Larger, operator.gt)}
NAMES = (*FUNCTIONS, *CHOICES, *CONSTANTS)
HINTS = {"ln": "log", "e": "E", "Pi": "pi", "PI": "pi", "fabs": "abs", "Abs": "abs", "Max": "max", "Min": "min"}
VARIABLE = re.compile(r"[xyz]|x[1-9][0-9]{0,3}")


class Part(NamedTuple):
    """A piece of the formula, and its value in doubles if it is constant."""

    expression: sp.Expr
    number: float | None


def variables(dimension: int) -> tuple[sp.Symbol, ...]:
    """The real symbols of R^d: x; x, y; x, y, z; from d = 4 on x1, ..., xd."""
    names = "xyz"[:dimension] if dimension <= 3 else [f"x{i + 1}" for i in range(dimension)]
    return tuple(sp.Symbol(name, real=True) for name in names)


def folded(operation: Callable[[float, float], float], parts: Iterable[Part]) -> float | None:
    total: float | None = None
    for part in parts:
        if part.number is None:
            return None
        total = part.number if total is None else operation(total, part.number)
    return total


def negative(part: Part) -> Part:
    return Part(-part.expression, None if part.number is None else -part.number)


def inverse(part: Part) -> Part:
    return Part(1 / part.expression, None if part.number is None else 1 / part.number)


def bits(number: sp.Rational) -> int:
    """The bits of the numerator or the denominator, whichever has more."""
    return max(int(number.p).bit_length(), int(number.q).bit_length())


def as_double(number: sp.Rational) -> float:
    """p/q rounded once; infinite where it overflows."""
    try:
        return int(number.p) / int(number.q)
    except OverflowError:
        return math.inf if number.p > 0 else -math.inf


def oversized(expression: sp.Expr) -> bool:
    """Whether it holds a number of more than MAX_BITS bits, or an integer power beyond MAX_EXPONENT."""
    if any(bits(number) > MAX_BITS for number in expression.atoms(sp.Rational)):
        return True
    return any(abs(power.exp) > MAX_EXPONENT for power in expression.atoms(sp.Pow))


def quoted(text: str) -> str:
    """The text, shortened and on one line, in quotes."""
    shown = ascii(text)
    return shown if len(shown) <= 64 else f"{shown[:45]}...{shown[-11:]}"


def spine(node: ast.expr, kinds: tuple[type[ast.operator], ...]) -> list[tuple[ast.operator | None, ast.expr]]:
    """a - b + c, which Python nests as ((a - b) + c), as the flat list (None, a), (-, b), (+, c)."""
    chain: list[tuple[ast.operator | None, ast.expr]] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, kinds):
        chain.append((node.op, node.right))
        node = node.left
    return [(None, node), *reversed(chain)]


def axes(used: set[str]) -> tuple[sp.Symbol, ...]:
    """The symbols of all axes up to the last one used; RequestError if x1 is mixed with x, or an axis before the last
    is missing."""
    letters = {name for name in used if len(name) == 1}
    if letters and letters != used:
        raise RequestError(
            f"the formula mixes {min(letters)} with {min(used - letters)}; use either x, y, z or x1, x2, ..."
        )
    last = max(("xyz".index(name) if name in letters else int(name[1:]) - 1 for name in used), default=0)
    names = list("xyz" if letters or not used else (f"x{i + 1}" for i in range(last + 1)))[: last + 1]
    missing = [name for name in names if used and name not in used]
    if missing:
        raise RequestError(
            f"the formula uses {names[-1]} but not {missing[0]}; add 0*{missing[0]} if it does not depend on it"
        )
    return tuple(sp.Symbol(name, real=True) for name in names)


def nearest(word: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' if one of the known words is close, else ''."""
    names = {name.replace("-", "_"): name for name in known}
    close = (
        [HINTS[word]]
        if HINTS.get(word) in names
        else difflib.get_close_matches(word.lower().replace("-", "_"), names, 1)
    )
    return f" (did you mean {names[close[0]]}?)" if close else ""
