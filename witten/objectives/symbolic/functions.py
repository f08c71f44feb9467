"""The functions of a formula as SymPy knows them here: real, with their derivatives, and otherwise left alone.

SymPy's own functions assume complex arguments and rewrite themselves: Max compares its arguments for minutes, |x|
differentiates to Heaviside and DiracDelta, e^(10^9 log 2) is written out digit by digit. These know their derivative
and a few values, and nothing else, so what SymPy does with a formula is bounded by its size. `doit()` gives SymPy's
own form back.

|a|, max and min have derivatives almost everywhere: |a|' = sign(a) a', sign' = 0. Exactly on a kink sign(0) = 0, which
makes the gradient the mean of its one-sided values; `Objective.hessian` refuses there.
"""

from typing import Any, ClassVar

import sympy as sp
from sympy.printing.precedence import PRECEDENCE

__all__ = [
    "Cos",
    "Cosh",
    "Exp",
    "Larger",
    "Log",
    "LogAddExp",
    "LogCosh",
    "Logistic",
    "Modulus",
    "Power",
    "RealFunction",
    "Sign",
    "Sin",
    "Sinh",
    "Smaller",
    "Sqrt",
    "Tan",
    "Tanh",
    "from_sympy_functions",
    "power",
]


class RealFunction(sp.Function):
    """A function of real arguments with a real value, printed under its own `title`."""

    is_extended_real = True
    title: ClassVar[str]
    standard: ClassVar[Any]
    special: ClassVar[dict[Any, Any]] = {}

    @classmethod
    def eval(cls, *arguments: sp.Expr) -> sp.Expr | None:
        return cls.special.get(arguments[0])

    def doit(self, **hints: Any) -> sp.Expr:
        """The same in SymPy's own functions."""
        return type(self).standard(*(argument.doit(**hints) for argument in self.args))

    def _eval_evalf(self, precision: int) -> sp.Expr:
        """The number that it is of numbers, as SymPy asks for it."""
        return self.doit()._eval_evalf(precision)

    def _sympystr(self, printer: sp.StrPrinter) -> str:
        return f"{self.title}({', '.join(printer.doprint(argument) for argument in self.args)})"


class Exp(RealFunction):
    """e^a."""

    title, standard, special = "exp", sp.exp, {sp.S.Zero: sp.S.One}
    is_extended_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self


class Log(RealFunction):
    """log a, nan for a < 0."""

    title, standard, special = "log", sp.log, {sp.S.One: sp.S.Zero}

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / self.args[0]


class Sqrt(RealFunction):
    """sqrt a, nan for a < 0; sqrt(a^2) = |a|."""

    title, standard = "sqrt", sp.sqrt

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        if a.is_Pow and a.exp.is_Integer and a.exp.is_even:
            return Modulus(a.base) ** (a.exp / 2)
        root = sp.sqrt(a) if a.is_Rational and a >= 0 else None
        return root if root is not None and root.is_Rational else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / (2 * self)


class Power(RealFunction):
    """a^b with a b that is not an integer, nan for a < 0; see `power`."""

    title, standard = "power", sp.Pow
    precedence = PRECEDENCE["Pow"]

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        return a**b if b.is_Integer else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        a, b = self.args
        return b * power(a, b - 1) if argindex == 1 else self * Log(a)

    def _sympystr(self, printer: sp.StrPrinter) -> str:
        a, b = (printer.parenthesize(argument, self.precedence, strict=False) for argument in self.args)
        return f"{a}**{b}"


def power(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """a^b: SymPy's own for an integer b, a power of the square root for half of one, else a `Power`."""
    if b.is_Integer:
        return a**b
    if (2 * b).is_Integer:
        return Sqrt(a) ** (2 * b)
    return Power(a, b)


class Sin(RealFunction):
    """sin a."""

    title, standard, special = "sin", sp.sin, {sp.S.Zero: sp.S.Zero, sp.pi: sp.S.Zero}

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Cos(self.args[0])


class Cos(RealFunction):
    """cos a."""

    title, standard, special = "cos", sp.cos, {sp.S.Zero: sp.S.One, sp.pi: sp.S.NegativeOne}

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return -Sin(self.args[0])


class Tan(RealFunction):
    """tan a."""

    title, standard, special = "tan", sp.tan, {sp.S.Zero: sp.S.Zero, sp.pi: sp.S.Zero, sp.pi / 2: sp.zoo}

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 + self**2


class Sinh(RealFunction):
    """sinh a."""

    title, standard, special = "sinh", sp.sinh, {sp.S.Zero: sp.S.Zero}

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Cosh(self.args[0])


class Cosh(RealFunction):
    """cosh a."""

    title, standard, special = "cosh", sp.cosh, {sp.S.Zero: sp.S.One}

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Sinh(self.args[0])


class Tanh(RealFunction):
    """tanh a."""

    title, standard, special = "tanh", sp.tanh, {sp.S.Zero: sp.S.Zero}

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 - self**2


class LogCosh(RealFunction):
    """log cosh a = |a| + log(1 + e^{-2|a|}) - log 2, however large a is; see `stable`."""

    title = "logcosh"

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        if a == 0:
            return sp.S.Zero
        return cls(-a) if a.could_extract_minus_sign() else None

    def doit(self, **hints: Any) -> sp.Expr:
        return sp.log(sp.cosh(self.args[0].doit(**hints)))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Tanh(self.args[0])


class LogAddExp(RealFunction):
    """log(e^a + e^b) = max(a, b) + log(1 + e^{-|a - b|}), however large a and b are; see `stable`."""

    title = "logaddexp"

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        return None

    def doit(self, **hints: Any) -> sp.Expr:
        a, b = (argument.doit(**hints) for argument in self.args)
        return sp.log(sp.exp(a) + sp.exp(b))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        a, b = self.args
        return Logistic(a - b if argindex == 1 else b - a)


class Logistic(RealFunction):
    """1/(1 + e^{-a}), however large a is; see `stable`."""

    title = "logistic"
    is_extended_positive = True

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        return None

    def doit(self, **hints: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-self.args[0].doit(**hints)))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * Logistic(-self.args[0])


class Sign(RealFunction):
    """sign(a) = -1, 0, 1; sign(-a) = -sign(a); sign' = 0 and sign^2 = 1 almost everywhere."""

    title, standard = "sign", sp.sign

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        if a.is_Rational:
            return sp.sign(a)
        return -cls(-a) if a.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.S.Zero

    def _eval_power(self, exponent: sp.Expr) -> sp.Expr | None:
        if not exponent.is_Integer or exponent.is_negative:
            return None
        return sp.S.One if exponent.is_even else self


class Modulus(RealFunction):
    """|a|, with |a|' = sign(a) a'; |-a| = |a| and |a|^2 = a^2."""

    title, standard = "abs", sp.Abs
    is_extended_nonnegative = True

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        if a.is_Rational:
            return abs(a)
        if isinstance(a, cls):
            return a
        return cls(-a) if a.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Sign(self.args[0])

    def _eval_power(self, exponent: sp.Expr) -> sp.Expr | None:
        return self.args[0] ** exponent if exponent.is_Integer and exponent.is_even else None


class Larger(RealFunction):
    """max(a, b) = (a + b + |a - b|)/2, evaluated without the subtraction."""

    title, standard = "max", sp.Max

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if a == b:
            return a
        return max(a, b) if a.is_Rational and b.is_Rational else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        a, b = self.args
        return (1 + Sign(a - b if argindex == 1 else b - a)) / 2


class Smaller(RealFunction):
    """min(a, b) = (a + b - |a - b|)/2, evaluated without the subtraction."""

    title, standard = "min", sp.Min

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if a == b:
            return a
        return min(a, b) if a.is_Rational and b.is_Rational else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        a, b = self.args
        return (1 + Sign(b - a if argindex == 1 else a - b)) / 2


def from_sympy_functions(expression: sp.Expr) -> sp.Expr:
    """The same expression with SymPy's functions replaced by those of this module, where there is one."""
    if not expression.args:
        return Exp(sp.S.One) if expression is sp.E else expression
    arguments = [from_sympy_functions(argument) for argument in expression.args]
    if expression.is_Pow and not expression.exp.is_Integer:
        return power(*arguments)
    if isinstance(expression, sp.Max | sp.Min):
        return _folded(Larger if isinstance(expression, sp.Max) else Smaller, arguments)
    ours = OURS.get(expression.func)
    return (ours or expression.func)(*arguments)


def _folded(function: type[RealFunction], arguments: list[sp.Expr]) -> sp.Expr:
    result = arguments[0]
    for argument in arguments[1:]:
        result = function(result, argument)
    return result


OURS: dict[Any, type[RealFunction]] = {
    f.standard: f for f in (Exp, Log, Sin, Cos, Tan, Sinh, Cosh, Tanh, Sign, Modulus)
}
