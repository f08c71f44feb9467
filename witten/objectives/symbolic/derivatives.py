"""Gradient, Hessian and Laplacian of a formula, and where they do not exist; SymPy does it once."""

from collections.abc import Sequence
from functools import cached_property

import sympy as sp

from witten.objectives.symbolic.functions import Log, Power, Sign, Sqrt
from witten.objectives.symbolic.rewriting.long_products import derivative
from witten.objectives.symbolic.rewriting.stable_forms import stable

__all__ = ["Derivatives"]


class Derivatives:
    """The derivatives of a formula with respect to its symbols, each derived when first asked for.

    They are those of its stable form."""

    def __init__(self, formula: sp.Expr, symbols: Sequence[sp.Symbol]) -> None:
        self.formula = stable(formula)
        self.symbols = tuple(symbols)

    @cached_property
    def gradient(self) -> list[sp.Expr]:
        """df/dx_i. Of a sum, the terms that hold x_i alone are examined: there may be a thousand of each."""
        holding: dict[sp.Basic, list[sp.Expr]] = {symbol: [] for symbol in self.symbols}
        for term in sp.Add.make_args(self.formula):
            for symbol in term.free_symbols:
                holding[symbol].append(term)
        return [sp.Add(*(derivative(term, symbol) for term in holding[symbol])) for symbol in self.symbols]

    @cached_property
    def hessian(self) -> dict[tuple[int, int], sp.Expr]:
        """d2f/dx_i dx_j for i <= j."""
        d = len(self.symbols)
        return {(i, j): derivative(self.gradient[i], self.symbols[j]) for i in range(d) for j in range(i, d)}

    @cached_property
    def laplacian(self) -> sp.Expr:
        """sum_i d2f/dx_i^2."""
        return sp.Add(*(self.hessian[i, i] for i in range(len(self.symbols))))

    @cached_property
    def kinks(self) -> list[sp.Expr]:
        """The functions g under a sign(g) in grad f: f can have a kink where one of them is zero, and nowhere else."""
        signs: set[sp.Expr] = set().union(*(component.atoms(Sign) for component in self.gradient))
        return sorted((sign.args[0] for sign in signs), key=sp.default_sort_key)

    @cached_property
    def singularities(self) -> list[sp.Expr]:
        """The functions that vanish where f may not be analytic: those of the kinks, and what stands under a root, a
        power that is no integer or a logarithm."""
        roots = {node.args[0] for node in self.formula.atoms(Sqrt, Power, Log)}
        return sorted(roots.union(self.kinks), key=sp.default_sort_key)

    def jumps(self, g: sp.Expr) -> list[sp.Expr]:
        """The jumps of the gradient's and the Hessian's components across g = 0."""
        components = [*self.gradient, *self.hessian.values()]
        sign = Sign(g)
        pieces = [
            c.xreplace({sign: sp.S.One}) - c.xreplace({sign: sp.S.NegativeOne}) for c in components if c.has(sign)
        ]
        return [piece for piece in pieces if piece != 0]

    def results(self, what: str) -> dict[str, sp.Expr]:
        """The lines `target expression` of a program for "value", "gradient", "hessian" or "laplacian" (see
        `codegen`)."""
        if what == "gradient":
            return {f"out[{i}] =": component for i, component in enumerate(self.gradient)}
        if what == "hessian":
            return {_symmetric(i, j): component for (i, j), component in self.hessian.items()}
        return {"return": self.formula if what == "value" else self.laplacian}


def _symmetric(i: int, j: int) -> str:
    return f"out[{i}, {i}] =" if i == j else f"out[{i}, {j}] = out[{j}, {i}] ="
