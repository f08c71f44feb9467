"""An objective f: R^d -> R, stated once as a formula; everything else about it is derived, never retyped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from witten.display import shortened
from witten.errors import RequestError
from witten.objectives import callables
from witten.objectives.symbolic.codegen import FUNCTIONS
from witten.objectives.symbolic.formula import exact, parse
from witten.objectives.symbolic.functions import from_sympy_functions
from witten.objectives.symbolic.grammar import quoted
from witten.objectives.symbolic.numpy_code import Arrays
from witten.objectives.symbolic.programs import Programs
from witten.objectives.symbolic.rewriting.affine_forms import affine_coordinates

__all__ = ["CallableObjective", "Objective"]

Array = NDArray[np.float64]
MAX_DIMENSION = 1_000
# A formula of more letters is not typeset.
LONG = 600
# Places at which f must be known before it is called constant.
FEW = 20
NO_PARAMETERS: Mapping[str, Any] = {}
# Dimensions up to which derivatives that were given are checked again where f is searched from.
MOST_DOUBTED = 20


@dataclass(frozen=True, repr=False)
class Objective(Programs):
    """f: R^d -> R with gradient, Hessian and Laplacian, from one SymPy formula in real symbols.

    Points are (d, n) or (d,), or (d, ...) in general: f(x) is then (n,) or a float, f.gradient(x) (d, n),
    f.hessian(x) (d, d, n), f.laplacian(x) (n,). Where d = 1 a number is a point and n numbers are n points. Values
    that overflow are inf, values that are not real are nan. Two objectives are equal if their name, formula and symbols
    are. Make one with `from_formula`, `from_sympy`,
    `from_callable`, or take one from the gallery. An objective on a circle or a torus is made by `periodic`: `periods`
    holds the interval (low, high) of each coordinate, None of one that is not periodic. `mobility` holds a_i, the
    variance of the noise along each axis, where f is the potential of noise that is not the same everywhere: the
    measure is e^{-2f/s}, the Dirichlet form (s/2) sum_i int a_i (d_i u)^2 e^{-2f/s}; empty where all are 1.

    >>> f = witten.Objective.from_formula("x^4/4 - x^2/2")
    >>> f(np.array([1.0])), f.gradient(np.array([2.0])).tolist()
    (-0.25, [6.0])
    """

    name: str
    formula: sp.Expr | None
    symbols: tuple[sp.Symbol, ...]
    periods: tuple[tuple[float, float] | None, ...] = ()
    mobility: "tuple[Objective, ...]" = ()

    @classmethod
    def from_formula(
        cls, text: str, *, name: str | None = None, parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> "Objective":
        """f from text such as "(x^2-1)^2/4 + y^2/2"; RequestError for anything but a formula (see `formula.parse`).

        >>> witten.Objective.from_formula("a*x^2/2", parameters={"a": 3})
        <Objective a*x^2/2:a=3: 3*x^2/2, d = 1>
        """
        values = {key: exact(value) for key, value in parameters.items()}
        formula, symbols = parse(text, values)
        name = name or ":".join((text.strip(), ",".join(f"{key}={value}" for key, value in values.items()))).rstrip(":")
        objective = Objective(name or text.strip(), formula, symbols)
        if not objective._is_somewhere_finite():
            raise RequestError(f"the formula {quoted(text)} is complex, undefined or infinite everywhere")
        return objective

    @classmethod
    def from_sympy(cls, formula: sp.Expr, symbols: Sequence[sp.Symbol], *, name: str | None = None) -> "Objective":
        """f from a SymPy expression; the symbols give the order of the axes. RequestError for what the back ends do
        not know."""
        real = tuple(sp.Symbol(symbol.name, real=True) for symbol in symbols)
        expression = sp.sympify(formula).xreplace(dict(zip(symbols, real, strict=True)))
        expression = from_sympy_functions(expression.replace(lambda e: e.is_Float, lambda e: sp.Rational(str(e))))
        _refuse_foreign(expression, real)
        return Objective(name or str(expression), expression, real)

    @staticmethod
    def from_callable(
        value: callables.Function,
        dimension: int,
        gradient: callables.Function | None = None,
        hessian: callables.Function | None = None,
        name: str | None = None,
        center: ArrayLike | None = None,
        scale: float | None = None,
    ) -> "CallableObjective":
        """f from a Python function (d, n) -> (n,); one of a single point (d,) is accepted too, and called in a loop.

        A gradient (d, n) -> (d, n) and a Hessian (d, n) -> (d, d, n) are checked against finite differences at fixed
        random points of [-1.5, 1.5]^d, or around `center` in units of `scale`: RequestError on a mismatch. What is not
        given is differentiated numerically (scipy.differentiate: a gradient to about ten digits, a Hessian to seven or
        more). Such an objective has no Numba kernels, UFL or mpmath. Wells are sought around the origin at all
        scales, and around `center` in units of `scale` (see `searched_from`)."""
        _check_dimension(dimension)
        place = callables.Place.of(dimension, center, scale)
        functions = callables.complete(value, gradient, hessian, dimension, place)
        symbols = tuple(sp.Symbol(f"x{i + 1}", real=True) for i in range(dimension))
        title = name or str(getattr(value, "__name__", "callable"))
        given = (value, gradient, hessian)
        made = CallableObjective(
            title, None, symbols, given=given, functions=functions, center=place.center, scale=place.scale
        )
        return made._checked_center()

    @staticmethod
    def from_jax(
        function: Callable[[Any], Any],
        dimension: int,
        name: str | None = None,
        center: ArrayLike | None = None,
        scale: float | None = None,
    ) -> "CallableObjective":
        """f from a function of one point (d,) written in JAX: gradient and Hessian by automatic differentiation, in
        float64, compiled by XLA. The rest as `from_callable`, which checks them against finite differences. Needs the
        extra `jax`.

        Raises
        ------
        RequestError
            if JAX is not there, the function cannot be traced, gives no number in float64, or is not the same twice.
        """
        from witten.objectives.jax_functions import functions_of_points

        _check_dimension(dimension)
        value, gradient, hessian = functions_of_points(function, dimension)
        title = name or str(getattr(function, "__name__", "loss"))
        return Objective.from_callable(value, dimension, gradient, hessian, title, center, scale)

    @staticmethod
    def from_torch(
        module: Any, criterion: Callable[[Any, Any], Any], inputs: Any, targets: Any, name: str | None = None
    ) -> "CallableObjective":
        """criterion(module(inputs), targets) as a function of the parameters of a PyTorch module, in float64 and on the
        CPU; wells are sought around those that it has, too. The rest as `from_callable`; a module of more than a
        thousand parameters is given to `probe` as a `TorchLoss`. Needs the extra `torch`.

        Raises
        ------
        RequestError
            if PyTorch is not there, or as `TorchLoss` and `from_callable`.
        """
        from witten.objectives.torch_functions import TorchLoss

        f = TorchLoss(module, criterion, inputs, targets)
        return Objective.from_callable(f, f.parameters, f.gradient, f.hessian, name or f.__name__, f.start)

    def searched_from(self, center: ArrayLike, scale: float = 1.0) -> "CallableObjective":
        """The same f, its wells sought around `center` (d,), too, and derivatives that are not given taken in steps
        that go by `scale`, a length over which f changes.

        Raises
        ------
        RequestError
            for a formula, which is searched in all of space anyway, and for what is no point and no length.
        """
        raise RequestError(f"{self.name} is a formula, searched in all of space: leave out the center")

    def __repr__(self) -> str:
        kind = "a Python function" if self.formula is None else shortened(self.text)
        what = f": {kind}" if kind != shortened(self.name) else ""
        return f"<Objective {shortened(self.name)}{what}, d = {self.dimension}>"

    def _repr_latex_(self) -> str | None:
        """The formula for a notebook; None without one, and where it would fill pages."""
        if self.formula is None or len(self.text) > LONG:
            return None
        return rf"$\displaystyle f({', '.join(map(sp.latex, self.symbols))}) = {sp.latex(self.formula.doit())}$"

    @property
    def periodic_axes(self) -> NDArray[np.bool_]:
        """Which coordinates are periodic, shape (d,)."""
        return np.array([period is not None for period in self.periods or (None,) * self.dimension])

    def wrapped(self, x: Array) -> Array:
        """Points (d, n) with periodic coordinates moved into [low, high)."""
        if not self.periods:
            return x
        x = x.copy()
        for axis, period in enumerate(self.periods):
            if period is not None:
                low, high = period
                out = (x[axis] < low) | (x[axis] >= high)
                x[axis, out] = low + np.mod(x[axis, out] - low, high - low)
                x[axis, x[axis] >= high] = low
        return x

    @property
    def text(self) -> str:
        """The formula as text that `from_formula` reads again."""
        return str(self.formula).replace("**", "^")

    @cached_property
    def is_constant(self) -> bool:
        """Whether f has the same value everywhere: no variable in it, or the same number to 12 digits at 200 points."""
        if self.formula is not None and not self.formula.free_symbols:
            return True
        values = self(_scattered(self.dimension))
        values = values[~np.isnan(values)]
        if values.size < FEW or not np.all(np.isfinite(values)):
            return False
        return bool(np.ptp(values) <= 1e-12 * (1.0 + np.abs(values[0])))

    def is_number(self, x: ArrayLike) -> bool:
        """Whether f is a real number at one point (d,), be it too large for a double on the way; of a callable, whether
        it is finite."""
        if self.formula is None:
            return bool(np.isfinite(self(x)))
        try:
            with mp.workdps(30):
                return bool(mp.isfinite(self.mpmath(np.asarray(x, dtype=float).tolist())))
        except (OverflowError, ValueError, ZeroDivisionError, mp.libmp.NoConvergence):
            return False

    def _is_somewhere_finite(self) -> bool:
        """Whether f is finite at some place around the origin, or around that of the forms it is written in."""
        around = _scattered(self.dimension)
        if np.isfinite(self(around)).any():
            return True
        back, origin = (np.array(each.tolist(), dtype=float) for each in affine_coordinates(self.formula, self.symbols))
        return bool(np.isfinite(self(back @ around + origin)).any())

    def __call__(self, x: ArrayLike) -> Any:
        """f(x): (d, n) -> (n,), (d,) -> float."""
        return self._evaluate("value", x)

    def gradient(self, x: ArrayLike) -> Array:
        """grad f(x): (d, n) -> (d, n). On a kink of abs, min or max the mean of the one-sided values."""
        return self._evaluate("gradient", x)

    def hessian(self, x: ArrayLike) -> Array:
        """Hess f(x): (d, n) -> (d, d, n). ValueError exactly on a kink of abs, min or max, where there is none."""
        self._refuse_kinks(x)
        return self.piecewise_hessian(x)

    def piecewise_hessian(self, x: ArrayLike) -> Array:
        """Hess f(x) of the smooth piece that x lies in: (d, n) -> (d, d, n). On a kink some number, and no error."""
        hessian: Array = self._evaluate("hessian", x)
        return hessian

    def laplacian(self, x: ArrayLike) -> Any:
        """Lap f(x) = trace Hess f(x): (d, n) -> (n,), (d,) -> float. ValueError exactly on a kink."""
        self._refuse_kinks(x)
        return self._evaluate("laplacian", x)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was compiled is compiled again where it is unpickled."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def _arrays(self) -> Arrays:
        return Arrays(self.derivatives)

    def _points(self, x: ArrayLike) -> Array:
        points = np.asarray(x, dtype=float)
        if self.dimension == 1 and (points.ndim == 0 or (points.ndim == 1 and points.size != 1)):
            return points[None]
        if points.ndim == 0 or points.shape[0] != self.dimension:
            raise ValueError(
                f"{self.name!r} takes points of shape ({self.dimension}, n) or ({self.dimension},), got {points.shape}"
            )
        return points

    def _evaluate(self, what: str, x: ArrayLike) -> Any:
        points = self._points(x)
        with np.errstate(all="ignore"):
            values = self._values(what, self.wrapped(points.reshape(self.dimension, -1)))
        values = values.reshape(values.shape[:-1] + points.shape[1:])
        return float(values) if values.ndim == 0 else values

    def _values(self, what: str, points: Array) -> Array:
        """What is asked for at points (d, n): (n,), (d, n) or (d, d, n)."""
        return self._arrays.values(what, points)

    def _refuse_kinks(self, x: ArrayLike) -> None:
        """ValueError if a point lies exactly on a kink across which the gradient or the Hessian jumps."""
        on = self._arrays.on_a_kink(self._points(x).reshape(self.dimension, -1))
        if on is not None:
            where = ", ".join(f"{coordinate:.12g}" for coordinate in on)
            raise ValueError(f"{self.name!r} has a kink and no Hessian at x = ({where}); move the point off it")


@dataclass(frozen=True, repr=False)
class CallableObjective(Objective):
    """An objective given by Python functions; made by `Objective.from_callable`. Equal if the user's functions are."""

    given: tuple[callables.Function | None, ...] = ()
    functions: dict[str, callables.Evaluated] = field(default_factory=dict, compare=False, repr=False)
    center: tuple[float, ...] | None = None
    scale: float = 1.0
    taken: str = field(default="", compare=False)  # as what a bare function was taken, in words

    def searched_from(self, center: ArrayLike, scale: float = 1.0) -> "CallableObjective":
        place = callables.Place.of(self.dimension, center, scale)
        slope, curvature = (None if given is None else self.functions[what]
                            for what, given in zip(("gradient", "hessian"), self.given[1:], strict=True))  # fmt: skip
        functions = callables.complete_unchecked(self.functions["value"], slope, curvature, place.scale)
        if self.dimension <= MOST_DOUBTED:
            callables.check_derivatives(functions, slope is not None, curvature is not None, self.dimension, place)
        return replace(self, center=place.center, scale=place.scale, functions=functions)._checked_center()

    def _checked_center(self) -> "CallableObjective":
        """This, if there is something to see at the center."""
        if self.center is not None and not np.isfinite(self(self.center)):
            where = ", ".join(f"{x:.12g}" for x in self.center)
            raise RequestError(
                f"{self.name} is not finite at the center of the search, ({where}): give one at which it is"
            )
        return self

    @property
    def text(self) -> str:
        """There is no formula: the name."""
        return self.name

    def _values(self, what: str, points: Array) -> Array:
        if what == "laplacian":
            return np.asarray(np.trace(self.functions["hessian"](points)))
        return self.functions[what](points)

    def _refuse_kinks(self, x: ArrayLike) -> None:
        """Nothing is known about kinks of a function without a formula."""


def _scattered(dimension: int) -> Array:
    """200 fixed points at distances of about 0.1 to 10^6 from the origin."""
    points = np.random.default_rng(0).normal(size=(dimension, 200))
    return points * np.geomspace(0.1, 1e6, 200)


def _check_dimension(dimension: int) -> None:
    if (
        isinstance(dimension, bool)
        or not isinstance(dimension, int | np.integer)
        or not 1 <= dimension <= MAX_DIMENSION
    ):
        raise RequestError(f"the dimension must be a whole number from 1 to {MAX_DIMENSION}, got {dimension!r}")


def _refuse_foreign(expression: sp.Expr, symbols: Sequence[sp.Symbol]) -> None:
    """RequestError for symbols without an axis, functions without a back end, and constants that are not real."""
    unknown = expression.free_symbols - set(symbols)
    if unknown:
        raise RequestError(
            f"the expression holds {min(map(str, unknown))!r}, which is not one of its symbols {symbols}"
        )
    known = (sp.Add, sp.Mul, sp.Pow, sp.Rational, sp.Symbol, type(sp.pi), *FUNCTIONS)
    for node in sp.preorder_traversal(expression):
        if not isinstance(node, known):
            raise RequestError(f"the expression holds {str(node)[:60]!r}, which has no numerical back end here")
