"""One formula in every arithmetic but that of arrays: Numba kernels, UFL, numbers of many digits, Taylor series."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError
from witten.objectives.symbolic import codegen
from witten.objectives.symbolic.derivatives import Derivatives
from witten.objectives.symbolic.taylor import Taylor, constant, taylor_vocabulary

__all__ = ["Kernels", "Programs"]

Array = NDArray[np.float64]


class Kernels(NamedTuple):
    """Numba functions of one point x (d,): value(x) -> float; gradient(x, out) fills out (d,); hessian(x, out) fills
    out (d, d).

    On a kink of abs, min or max they use sign(0) = 0 and do not complain."""

    value: Callable[..., Any]
    gradient: Callable[..., Any]
    hessian: Callable[..., Any]


class Programs:
    """What is derived of a formula, and compiled when it is first needed."""

    name: str
    formula: sp.Expr | None
    symbols: tuple[sp.Symbol, ...]

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.symbols)

    @cached_property
    def derivatives(self) -> Derivatives:
        """Gradient, Hessian and Laplacian as formulas. RequestError for a callable, which has none."""
        if self.formula is None:
            raise RequestError(
                f"objective {self.name!r} is a Python callable: it has no formula to derive or compile; "
                "state it with Objective.from_formula for Numba kernels, UFL and mpmath"
            )
        return Derivatives(self.formula, self.symbols)

    def _program(self, what: str, vocabulary: dict[str, Any]) -> Callable[..., Any]:
        return codegen.compile_program(self.symbols, self.derivatives.results(what), vocabulary)

    @cached_property
    def _on_lines(self) -> Callable[[str], Callable[..., Any]]:
        """Programs in Taylor arithmetic, each compiled once."""
        return cache(lambda what: self._program(what, taylor_vocabulary()))

    @property
    def singularities(self) -> list[sp.Expr]:
        """The functions of a formula that vanish where f may not be analytic; none are known of a callable."""
        return [] if self.formula is None else self.derivatives.singularities

    def kernels(self) -> Kernels:
        """Numba kernels value(x), gradient(x, out), hessian(x, out), each compiled when first called."""
        return self._kernels

    def ufl(self, x: Any) -> Any:
        """f as a UFL expression of the coordinate x, e.g. ufl.SpatialCoordinate(mesh)."""
        import ufl

        return ufl.as_ufl(self._program("value", codegen.ufl_vocabulary())(x))

    def ufl_gradient(self, x: Any) -> Any:
        """grad f as a UFL vector of the coordinate x."""
        import ufl

        out: dict[int, Any] = {}
        self._program("gradient", codegen.ufl_vocabulary())(x, out)
        return ufl.as_vector([out[i] for i in range(self.dimension)])

    def mpmath(self, x: Sequence[Any]) -> Any:
        """f at one point (d numbers or decimal strings) in mpmath's working precision; nan where it is not real."""
        return self._in_mpmath("value", x)

    def mpmath_gradient(self, x: Sequence[Any]) -> list[Any]:
        """grad f at one point in mpmath's working precision, d numbers."""
        out: dict[int, Any] = {}
        self._in_mpmath("gradient", x, out)
        return [out[i] for i in range(self.dimension)]

    def mpmath_hessian(self, x: Sequence[Any]) -> list[list[Any]]:
        """Hess f at one point in mpmath's working precision, d rows of d numbers."""
        out: dict[tuple[int, int], Any] = {}
        self._in_mpmath("hessian", x, out)
        return [[out[i, j] for j in range(self.dimension)] for i in range(self.dimension)]

    def _in_mpmath(self, what: str, x: Sequence[Any], *out: Any) -> Any:
        return self._with_digits(what)(codegen.mpmath_point(x), *out)

    @cached_property
    def _with_digits(self) -> Callable[[str], Callable[..., Any]]:
        """Programs for mpmath at whatever is its working precision, each compiled once."""
        return cache(lambda what: self._program(what, codegen.mpmath_vocabulary()))

    def hessian_along(self, x: ArrayLike, directions: ArrayLike) -> Array:
        """Hess f(x + t v) = out[0] + out[1] t + out[2] t^2 + O(t^3) from a point x (d,) along each of n directions v
        (d, n): shape (3, d, d, n), by Taylor arithmetic from the formula, to rounding.

        Raises
        ------
        RequestError
            for an objective without a formula.
        """
        v = np.asarray(directions, dtype=float)
        out = np.zeros((3, self.dimension, self.dimension, v.shape[1]))
        entries: dict[tuple[int, int], Any] = {}
        self._run_along("hessian", x, v, 2, entries)
        for (i, j), entry in entries.items():
            for k, part in enumerate(constant(entry).parts):
                out[k, i, j] = part
        return out

    def along(self, x: ArrayLike, direction: ArrayLike, order: int) -> Array:
        """f(x + t v) = out[0] + out[1] t + ... + out[n] t^n + O(t^{n+1}) from a point x (d,) along v (d,), n the order:
        by Taylor arithmetic from the formula, to rounding. Along m directions (d, m) the shape is (n + 1, m).

        Raises
        ------
        RequestError
            for an objective without a formula.
        """
        v = np.asarray(direction, dtype=float)
        found = constant(self._run_along("value", x, v, order)).parts
        return np.array([np.broadcast_to(part, v.shape[1:]) for part in (*found, *[0.0] * (order + 1 - len(found)))])

    def _run_along(self, program: str, x: ArrayLike, v: Array, order: int, *out: Any) -> Any:
        """A program of the formula on the lines x + t v."""
        rest = (0.0,) * (order - 1)
        lines = [Taylor((start, slope, *rest)) for start, slope in zip(np.asarray(x, dtype=float), v, strict=True)]
        with np.errstate(all="ignore"):
            return self._on_lines(program)(lines, *out)

    @cached_property
    def _kernels(self) -> Kernels:
        import numba

        vocabulary = codegen.numba_vocabulary()
        compiled = (self._program(what, vocabulary) for what in ("value", "gradient", "hessian"))
        return Kernels(*(numba.njit(program, error_model="numpy", nogil=True) for program in compiled))
