"""Noise that has a potential: the stationary density is e^{-2F/s} with F known, and detailed balance holds.

That is so where Sigma^{-1} (grad f + (s/2) div Sigma) is a gradient, grad F. Recognised here, with F by a formula or by
quadrature along one variable:

    Sigma = sigma^2 I              F = f/sigma^2
    one variable, Sigma = a(x)     F = int f'/a dx + (s/2) log a
    Sigma = a I, a = k + c f       F = (1/c + s/2) log a
    f and diagonal Sigma_ii(x_i) sums and functions along the axes: the sum of the parts
    constant Sigma and f a sum along its eigenvectors: the same in turned coordinates
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.noise.diffusion import Diffusion
from witten.noise.models import formula_of
from witten.objectives import Objective
from witten.objectives.topography.critical_set import reach

if TYPE_CHECKING:
    from witten.noise.primitive import Primitive

__all__ = ["Reversible", "reversible"]

Array = NDArray[np.float64]
# How far second derivatives of f that vanish for a sum may be off, relative to the others, after a numerical turn.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Reversible:
    """Noise with a potential, at one learning rate.

    Attributes
    ----------
    potential : F, with the mobility Sigma_ii; the stationary density is e^{-2F/s}
    axes : the columns are the coordinates of F in those of f, (d, d): the identity unless Sigma is constant and full
    """

    potential: Objective
    axes: Array

    @property
    def turned(self) -> bool:
        """Whether the coordinates of F are others than those of f."""
        return not np.array_equal(self.axes, np.eye(len(self.axes)))


def reversible(diffusion: Diffusion, learning_rate: float) -> Reversible | None:
    """The potential of noise at a learning rate s; None where there is none that is recognised.

    >>> noise = witten.noise.loss(1, 0.2).bind(witten.gallery.double_well())
    >>> print(witten.noise.reversible(noise, 0.2).potential.formula)
    11*log((x**2 - 1)**2/4 + 1/5)/10
    """
    f, s = diffusion.objective, sp.Rational(repr(float(learning_rate)))
    if f.formula is None or diffusion.current:
        return None
    found = _loss_like(diffusion, s) or _diagonal(diffusion, s)
    if found is not None:
        return Reversible(found, np.eye(f.dimension))
    return _constant(diffusion, s)


def _loss_like(diffusion: Diffusion, s: sp.Rational) -> Objective | None:
    """F = (1/c + s/2) log a where Sigma = a I and grad a = c grad f."""
    f, matrix = diffusion.objective, diffusion.matrix
    a = matrix[0, 0]
    if matrix != a * sp.eye(f.dimension) or not a.free_symbols:
        return None
    ratio = _ratio(a, formula_of(f), f.symbols)
    if ratio is None:
        return None
    return _with_mobility(f, (1 / ratio + s / 2) * sp.log(a), [a] * f.dimension)


def _ratio(a: sp.Expr, f: sp.Expr, symbols: Sequence[sp.Symbol]) -> sp.Rational | None:
    """c > 0 with a - c f constant; None where there is none."""
    for x in symbols:
        slope = f.diff(x)
        if slope == 0:
            continue
        c = sp.simplify(a.diff(x) / slope)
        constant = c.is_number and c.is_positive and c.is_rational
        return c if constant and sp.expand(a - c * f).is_number else None
    return None


def _diagonal(diffusion: Diffusion, s: sp.Rational) -> Objective | None:
    """The sum of what each axis has, where f is a sum along the axes and Sigma_ii depends on x_i alone."""
    f, matrix = diffusion.objective, diffusion.matrix
    if not matrix.is_diagonal() or any(matrix[i, i].free_symbols - {x} for i, x in enumerate(f.symbols)):
        return None
    variances = [matrix[i, i] for i in range(f.dimension)]
    parts = _parts(f)
    if len(set(variances)) == 1 and variances[0].is_number:
        return _with_mobility(f, f.formula / variances[0], variances)
    if parts is None:
        return None
    if all(a.is_number for a in variances):
        return _with_mobility(f, sum(part / a for part, a in zip(parts, variances, strict=True)), variances)
    return _by_quadrature(f, parts, variances, s)


def _parts(f: Objective) -> list[sp.Expr] | None:
    """f_i(x_i), of which f is the sum but for a constant; None where it is none."""
    slopes = [sp.expand(formula_of(f).diff(x)) for x in f.symbols]
    if any(slope.free_symbols - {x} for slope, x in zip(slopes, f.symbols, strict=True)):
        return None
    others = [{y: sp.Integer(0) for y in f.symbols if y != x} for x in f.symbols]
    return [formula_of(f).subs(at) for at in others]


def _constant(diffusion: Diffusion, s: sp.Rational) -> Reversible | None:
    """In the eigenvectors of a constant Sigma, where f is a sum along them."""
    f, matrix = diffusion.objective, diffusion.matrix
    if matrix.free_symbols or f.dimension == 1:
        return None
    values, vectors = np.linalg.eigh(np.array(matrix.tolist(), dtype=float))
    turned = {x: sum(sp.Rational(float(v)) * y for v, y in zip(row, f.symbols, strict=True))
              for x, row in zip(f.symbols, vectors, strict=True)}  # fmt: skip
    formula = formula_of(f).xreplace(turned)
    if not _is_sum(replace(f, formula=formula)):
        return None
    others = [{y: sp.Integer(0) for y in f.symbols if y != x} for x in f.symbols]
    variances = [sp.Rational(float(value)) for value in values]
    total = sum(formula.subs(at) / a for at, a in zip(others, variances, strict=True))
    return Reversible(_with_mobility(f, total, variances), vectors)


def _is_sum(g: Objective) -> bool:
    """Whether mixed second derivatives vanish to rounding at places of all scales."""
    x = np.random.default_rng(0).normal(size=(g.dimension, 60)) * np.geomspace(1e-2, 1e2, 60)
    hessian = abs(g.piecewise_hessian(x))
    mixed = hessian.copy()
    mixed[np.diag_indices(g.dimension)] = 0.0
    return bool((mixed.max(axis=(0, 1)) <= ROUNDING * hessian.max(axis=(0, 1))).all())


def _with_mobility(f: Objective, formula: sp.Expr, variances: list[sp.Expr]) -> Objective:
    found = Objective.from_sympy(formula, f.symbols, name=f.name)
    return replace(found, mobility=_mobility(f, variances))


def _mobility(f: Objective, variances: list[sp.Expr]) -> tuple[Objective, ...]:
    return tuple(Objective.from_sympy(a, f.symbols, name="covariance") for a in variances)


def _by_quadrature(f: Objective, parts: list[sp.Expr], variances: list[sp.Expr], s: sp.Rational) -> Objective:
    """F by quadrature along each axis, its derivatives by formulas."""
    known = reach(f)
    if not known.points.size:
        raise RequestError(f"{f.name} has no minimum: give an objective that has")
    axes = [_Axis.of(*each, s, known.lowest[i], known.scale)
            for i, each in enumerate(zip(f.symbols, parts, variances, strict=True))]  # fmt: skip
    d = f.dimension

    def value(x: Array) -> Array:
        return np.asarray(sum(axis.value(x[i]) for i, axis in enumerate(axes)))

    def gradient(x: Array) -> Array:
        return np.array([axis.slope(x[i : i + 1]) for i, axis in enumerate(axes)])

    def hessian(x: Array) -> Array:
        out = np.zeros((d, d, x.shape[1]))
        for i, axis in enumerate(axes):
            out[i, i] = axis.slope.gradient(x[i : i + 1])[0]
        return out

    unit = known.scale if np.isfinite(known.scale) and known.scale > 0 else 1.0
    potential = Objective.from_callable(value, d, gradient, hessian, f.name, center=known.lowest, scale=unit)
    return replace(potential, symbols=f.symbols, mobility=_mobility(f, variances))


@dataclass(frozen=True, eq=False)
class _Axis:
    """One variable: F = int f'/a + (s/2) log a, and F' as a function."""

    integral: Primitive
    variance: Objective
    slope: Objective
    s: float

    @classmethod
    def of(cls, x: sp.Symbol, part: sp.Expr, a: sp.Expr, s: sp.Rational, centre: float, unit: float) -> _Axis:
        drift = Objective.from_sympy(part.diff(x) / a, (x,), name="potential")
        slope = Objective.from_sympy(part.diff(x) / a + s / 2 * a.diff(x) / a, (x,), name="potential")
        variance = Objective.from_sympy(a, (x,), name="covariance")
        from witten.noise.primitive import Primitive

        return cls(Primitive(lambda t: drift(t[None]), centre, unit), variance, slope, float(s))

    def value(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.integral(x) + self.s / 2 * np.log(self.variance(x[None])))
