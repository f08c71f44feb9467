"""Text to SymPy through a whitelist of names and operations; nothing is ever evaluated as code.

The text is read by Python's own parser (which executes nothing), and the tree is rebuilt node by node from the few
kinds allowed here. Every constant part carries its value in doubles beside the exact expression, so that what is too
large, undefined or complex is refused before SymPy would try to compute it: 9^9^9^9 costs nothing."""

import ast
import keyword
import math
import numbers
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NoReturn

import sympy as sp

from witten.errors import RequestError
from witten.objectives.symbolic.functions import Exp, power
from witten.objectives.symbolic.grammar import (
    CHOICES,
    CONSTANTS,
    FUNCTIONS,
    MAX_DEPTH,
    MAX_EXPONENT,
    MAX_FACTORS,
    MAX_LENGTH,
    MAX_NODES,
    NAMES,
    VARIABLE,
    Part,
    as_double,
    axes,
    bits,
    folded,
    inverse,
    nearest,
    negative,
    oversized,
    quoted,
    spine,
)

__all__ = ["exact", "parse"]

INFINITE = (sp.nan, sp.zoo, sp.oo, -sp.oo)
NONE: Mapping[str, sp.Expr] = {}


def parse(text: str, parameters: Mapping[str, sp.Expr] = NONE) -> tuple[sp.Expr, tuple[sp.Symbol, ...]]:
    """The expression and the symbols, in the order of the axes, of a formula such as "(x^2-1)^2/4 + y^2/2".

    Numbers (decimals are exact: 0.1 is 1/10), + - * / ** ^, parentheses, pi, E, exp log sqrt sin cos tan sinh cosh
    tanh abs min max, and the variables x, y, z or x1, x2, ... The dimension is that of the last variable that occurs;
    those before it must occur too (y alone is refused; write 0*x + y^2 if f really does not depend on x), and a
    formula without variables has dimension 1. Parameters are names of one's own, "a*x^2" with a = 0.3: exact constants
    take their place, and each must occur. RequestError, one line that quotes the offending part, for anything
    else: other syntax and names, complex or infinite constants, and formulas too long, too deep, or with numbers too
    large to be meant."""
    reader = _Reader(_checked(text), {name: _parameter(name, value) for name, value in parameters.items()})
    expression = reader.read()
    for name in parameters:
        if name not in reader.met:
            raise RequestError(f"the formula {quoted(text)} has no parameter {quoted(name)}{nearest(name, reader.met)}")
    _refuse_unreal(expression, reader.source)
    return expression, axes(reader.used)


def exact(value: Any) -> sp.Expr:
    """The number that was written: 0.1 is 1/10, not the double next to it; constants of SymPy are what they are.
    RequestError for what is no finite number."""
    if isinstance(value, sp.Expr) and not value.is_Float:
        return value
    try:
        fraction = Fraction(value) if isinstance(value, numbers.Rational) else Fraction(repr(float(value)))
    except (TypeError, ValueError):
        raise RequestError(f"a parameter must be a finite number, got {quoted(str(value))}") from None
    return sp.Rational(fraction.numerator, fraction.denominator)


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise RequestError(f"a formula must be text, got {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise RequestError(f"the formula {quoted(text)} has {len(text)} characters; at most {MAX_LENGTH} are read")
    if not text.strip():
        raise RequestError("the formula is empty; write one such as (x^2-1)^2/4")
    strange = re.search(r"[^ -~]|[#\\]", text.strip())
    if strange:
        raise RequestError(
            f"cannot read {strange[0]!a} in the formula {quoted(text)}; use plain ASCII such as (x^2-1)^2/4"
        )
    return text.strip()


def _parameter(name: str, value: sp.Expr) -> Part:
    """What stands for a parameter; refused where the name means something else or the value is no real constant."""
    taken = "a coordinate" if VARIABLE.fullmatch(name) else "a function or constant" if name in NAMES else ""
    if taken or not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        why = f"it is {taken}" if taken else "one is a word of letters, digits and _, and none of Python's own"
        raise RequestError(f"{quoted(name)} cannot be the name of a parameter: {why}; use another, such as a or theta")
    if value.free_symbols or not value.is_finite:
        raise RequestError(f"the parameter {name} must be a finite number, got {quoted(str(value))}")
    number = as_double(value) if value.is_Rational else float(value)
    if not math.isfinite(number):
        raise RequestError(f"the parameter {name} is too large for a double: {quoted(str(value))}")
    return Part(value, number)


class _Reader:
    """One formula being read: its text, its parameters, and the names met so far."""

    def __init__(self, text: str, parameters: Mapping[str, Part]) -> None:
        self.parameters = parameters
        self.met: set[str] = set()
        self.caret = "^" in text and "**" not in text
        self.source = text.replace("^", "**")
        self.used: set[str] = set()

    def read(self) -> sp.Expr:
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(self.source, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            self._unreadable(error)
        if sum(isinstance(node, ast.expr) for node in ast.walk(tree)) > MAX_NODES:
            raise RequestError(f"the formula {self._quote()} has too many parts; shorten it")
        return self._part(tree.body, 0).expression

    def _quote(self, node: ast.expr | None = None) -> str:
        text = self.source if node is None else self.source[node.col_offset : node.end_col_offset]
        return quoted(text.replace("**", "^") if self.caret else text)

    def _unreadable(self, error: BaseException) -> NoReturn:
        where = getattr(error, "offset", None)
        near = self.source[max(0, where - 1) :] if where else ""
        found = re.search(r"[0-9.]+[A-Za-z]\w*", self.source)
        if found and re.search("invalid decimal|invalid hex|invalid syntax", str(error)):
            raise RequestError(f"cannot read {quoted(found[0])} in the formula {self._quote()}; write products with *")
        at = f" at {quoted(near[:20])}" if near.strip() else ""
        why = "too deeply nested" if isinstance(error, MemoryError | RecursionError) else "not a formula"
        raise RequestError(f"cannot read the formula {self._quote()}{at}: {why}")

    def _part(self, node: ast.expr, depth: int) -> Part:
        if depth > MAX_DEPTH:
            raise RequestError(f"the formula {self._quote()} is too deeply nested (more than {MAX_DEPTH} levels)")
        part = self._combine(node, depth + 1)
        if isinstance(node, ast.Constant | ast.Name):
            return part
        if oversized(part.expression):
            raise RequestError(f"{self._quote(node)} in the formula holds numbers or powers that are too large")
        return Part(part.expression, self._value(node, part))

    def _value(self, node: ast.expr, part: Part) -> float | None:
        """The value in doubles, from the exact one where that is a number."""
        if part.expression.is_Rational:
            return as_double(part.expression)
        number = part.number
        if number is not None and not math.isfinite(number):
            raise RequestError(f"{self._quote(node)} in the formula is too large for a double")
        return number

    def _combine(self, node: ast.expr, depth: int) -> Part:
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return self._number(node)
            case ast.Name(id=name):
                return self._name(name)
            case ast.UnaryOp(op=ast.UAdd()):
                return self._part(node.operand, depth)
            case ast.UnaryOp(op=ast.USub()):
                return negative(self._part(node.operand, depth))
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self._sum(node, depth)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self._product(node, depth)
            case ast.BinOp(op=ast.Pow()):
                return self._power(node, depth)
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                return self._call(node, name, depth)
        raise RequestError(
            f"{self._quote(node)} is not allowed in a formula; it may use + - * / ^, numbers, variables and functions"
        )

    def _number(self, node: ast.Constant) -> Part:
        text = self.source[node.col_offset : node.end_col_offset].replace("_", "").lower()
        exponent = text.partition("e")[2].lstrip("+-0") if not text.startswith("0x") else ""
        if not re.fullmatch(r"[0-9.]+(e[+-]?[0-9]+)?", text) or len(exponent) > 3 or abs(int(exponent or 0)) > 308:
            raise RequestError(f"the number {self._quote(node)} in the formula is not one a double can hold")
        value = Fraction(text)
        exact = sp.Rational(value.numerator, value.denominator)
        if oversized(exact):
            raise RequestError(f"the number {self._quote(node)} in the formula has too many digits")
        return Part(exact, as_double(exact))

    def _name(self, name: str) -> Part:
        self.met.add(name)
        if name in self.parameters:
            return self.parameters[name]
        if name in CONSTANTS:
            return Part(*CONSTANTS[name])
        if VARIABLE.fullmatch(name):
            self.used.add(name)
            return Part(sp.Symbol(name, real=True), None)
        if name in FUNCTIONS or name in CHOICES:
            raise RequestError(f"{name} in the formula is a function: write {name}(...)")
        raise RequestError(
            f"unknown variable {quoted(name)} in the formula{nearest(name, NAMES)}; there are x, y, z or x1, x2, ..., "
            f"and parameters that are given a value: --param {quoted(name)[1:-1]}=0.3"
        )

    def _sum(self, node: ast.BinOp, depth: int) -> Part:
        terms = []
        for operation, child in spine(node, (ast.Add, ast.Sub)):
            part = self._part(child, depth)
            terms.append(negative(part) if isinstance(operation, ast.Sub) else part)
        return Part(sp.Add(*(term.expression for term in terms)), folded(operator.add, terms))

    def _product(self, node: ast.BinOp, depth: int) -> Part:
        factors = []
        for operation, child in spine(node, (ast.Mult, ast.Div)):
            part = self._part(child, depth)
            if isinstance(operation, ast.Div) and (part.expression == 0 or part.number == 0):
                raise RequestError(
                    f"division by zero in the formula: {self._quote(child)} is zero in {self._quote(node)}"
                )
            factors.append(inverse(part) if isinstance(operation, ast.Div) else part)
        if sum(len(sp.Mul.make_args(factor.expression)) for factor in factors) > MAX_FACTORS:
            raise RequestError(f"{self._quote(node)} in the formula has more than {MAX_FACTORS} factors")
        return Part(sp.Mul(*(factor.expression for factor in factors)), folded(operator.mul, factors))

    def _power(self, node: ast.BinOp, depth: int) -> Part:
        base, exponent = self._part(node.left, depth), self._part(node.right, depth)
        self._refuse_huge_power(node, base.expression, exponent.expression)
        number = None
        if base.number is not None and exponent.number is not None:
            number = self._real(node, operator.pow, base.number, exponent.number)
        if base.expression == Exp(sp.S.One):
            return Part(Exp(exponent.expression), number)
        return Part(power(base.expression, exponent.expression), number)

    def _refuse_huge_power(self, node: ast.expr, base: sp.Expr, exponent: sp.Expr) -> None:
        """Before SymPy multiplies it out, which it does for integer powers alone."""
        if exponent.is_Rational and abs(exponent) * (bits(base) if base.is_Rational else 1) > MAX_EXPONENT:
            raise RequestError(f"the power {self._quote(node)} in the formula is too large")

    def _call(self, node: ast.Call, name: str, depth: int) -> Part:
        if name not in FUNCTIONS and name not in CHOICES:
            self._not_a_function(node, name)
        if not node.args or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise RequestError(
                f"{self._quote(node)} in the formula: {name} takes numbers, variables and formulas in parentheses"
            )
        parts = [self._part(argument, depth) for argument in node.args]
        if name in CHOICES:
            return self._choice(node, name, parts)
        if len(parts) > 1:
            raise RequestError(f"{self._quote(node)} in the formula: {name} takes one argument, got {len(parts)}")
        exact, rough = FUNCTIONS[name]
        number = None if parts[0].number is None else self._real(node, rough, parts[0].number)
        return Part(exact(parts[0].expression), number)

    def _choice(self, node: ast.Call, name: str, parts: list[Part]) -> Part:
        """min and max of two or more, halved until there are two: the nesting stays shallow."""
        if len(parts) < 2:
            raise RequestError(f"{self._quote(node)} in the formula: {name} takes two arguments or more")
        if len(parts) > 2:
            middle = len(parts) // 2
            parts = [
                half[0] if len(half) == 1 else self._choice(node, name, half)
                for half in (parts[:middle], parts[middle:])
            ]
        a, b = parts
        function, beats = CHOICES[name]
        if a.number is not None and b.number is not None:
            return a if beats(a.number, b.number) else b
        return Part(function(a.expression, b.expression), None)

    def _not_a_function(self, node: ast.Call, name: str) -> NoReturn:
        if VARIABLE.fullmatch(name) or name in CONSTANTS:
            raise RequestError(
                f"{self._quote(node)} in the formula: {name} is not a function; write a product as {name}*(...)"
            )
        known = ", ".join((*FUNCTIONS, *CHOICES))
        raise RequestError(
            f"unknown function {quoted(name)} in the formula{nearest(name, (*FUNCTIONS, *CHOICES))}; there are {known}"
        )

    def _real(self, node: ast.expr, function: Callable[..., float], *numbers: float) -> float:
        """The value of a constant part; refused where it is complex, infinite, undefined, or too small to be
        distinguished from zero."""
        try:
            value = function(*numbers)
        except ZeroDivisionError:
            raise RequestError(f"division by zero in the formula: {self._quote(node)}") from None
        except ValueError:
            raise RequestError(f"{self._quote(node)} in the formula is complex or infinite, not real") from None
        except OverflowError:
            raise RequestError(f"{self._quote(node)} in the formula is too large for a double") from None
        if isinstance(value, complex):
            raise RequestError(f"{self._quote(node)} in the formula is complex; an objective must be real")
        if value == 0 and function in (math.exp, operator.pow) and numbers[0] != 0:
            raise RequestError(f"{self._quote(node)} in the formula is too small for a double")
        return value


def _refuse_unreal(expression: sp.Expr, source: str) -> None:
    if expression.has(sp.I):
        raise RequestError(f"the formula {quoted(source)} is complex; an objective must be real")
    if expression.has(*INFINITE):
        raise RequestError(f"the formula {quoted(source)} is undefined or infinite everywhere")
