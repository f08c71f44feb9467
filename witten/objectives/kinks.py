"""|a|, max(a, b) and min(a, b) as SymPy functions whose derivatives hold almost everywhere.

SymPy's own Abs, Max and Min assume complex arguments, differentiate to Heaviside and DiracDelta, and can spend
minutes on comparing their arguments. These four know one thing: a' sign(a), with sign' = 0. Exactly on a kink sign(0)
= 0, which makes the gradient the mean of its two one-sided values; `Objective.hessian` refuses there if the kink is a
real one."""

import sympy as sp

__all__ = ["Larger", "Modulus", "Sign", "Smaller", "without_sympy_kinks"]


class _RealFunction(sp.Function):
    """A function of real arguments with a real value."""

    is_extended_real = True
    text_name = ""

    def _sympystr(self, printer: sp.StrPrinter) -> str:
        return f"{self.text_name}({', '.join(printer.doprint(argument) for argument in self.args)})"


class Sign(_RealFunction):
    """sign(a) = -1, 0, 1; sign(-a) = -sign(a); sign' = 0 and sign^2 = 1 almost everywhere."""

    text_name = "sign"

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        if a.is_Number or a.is_NumberSymbol:
            return sp.sign(a)
        return -cls(-a) if a.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.S.Zero

    def _eval_power(self, exponent: sp.Expr) -> sp.Expr | None:
        if not exponent.is_Integer or exponent.is_negative:
            return None
        return sp.S.One if exponent.is_even else self


class Modulus(_RealFunction):
    """|a|, with |a|' = sign(a) a'; |-a| = |a| and |a|^2 = a^2."""

    text_name = "abs"
    is_extended_nonnegative = True

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        if a.is_Number or a.is_NumberSymbol or isinstance(a, cls):
            return abs(a) if a.is_Number else a
        return cls(-a) if a.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Sign(self.args[0])

    def _eval_power(self, exponent: sp.Expr) -> sp.Expr | None:
        return self.args[0] ** exponent if exponent.is_Integer and exponent.is_even else None


class Larger(_RealFunction):
    """max(a, b) = (a + b + |a - b|)/2, evaluated without the subtraction."""

    text_name = "max"

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if a == b:
            return a
        return sp.Max(a, b) if a.is_Rational and b.is_Rational else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        a, b = self.args
        return (1 + Sign(a - b if argindex == 1 else b - a)) / 2


class Smaller(_RealFunction):
    """min(a, b) = (a + b - |a - b|)/2, evaluated without the subtraction."""

    text_name = "min"

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if a == b:
            return a
        return sp.Min(a, b) if a.is_Rational and b.is_Rational else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        a, b = self.args
        return (1 + Sign(b - a if argindex == 1 else a - b)) / 2


def _fold(function: type[_RealFunction], arguments: tuple[sp.Expr, ...]) -> sp.Expr:
    result = arguments[0]
    for argument in arguments[1:]:
        result = function(result, argument)
    return result


def without_sympy_kinks(expression: sp.Expr) -> sp.Expr:
    """The same expression with SymPy's Abs, sign, Max and Min replaced by the functions of this module."""
    return (
        expression.replace(sp.Abs, Modulus)
        .replace(sp.sign, Sign)
        .replace(sp.Max, lambda *arguments: _fold(Larger, arguments))
        .replace(sp.Min, lambda *arguments: _fold(Smaller, arguments))
    )
