"""Minima and index-1 saddles of a loss of many parameters, by Newton steps in Krylov subspaces.

At a saddle the step along the softest direction leads uphill and all others downhill, as in the dimer method
[Henkelman1999]. A subspace of all n directions is Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from witten.errors import RequestError
from witten.models.derivatives import derivative_along, difference, unit
from witten.models.hessian_products import hessian_product
from witten.models.hessian_spectrum import HessianSpectrum, hessian_spectrum
from witten.models.model_loss import ModelLoss

__all__ = ["Stationary", "minimum_below", "saddle_near"]

Array = NDArray[np.float64]
# Dimensions of a subspace, steps of a climb, halvings of one, and Newton steps at the end.
SUBSPACE, MOST, HALVINGS, LAST = 60, 150, 30, 12
# The model of a step is good, or bad, if the gradient that it predicts is off by less, or more, than this part of the
# change.
GOOD, BAD = 0.2, 0.6
# A climb ends at this part of the gradient it began with; what a vector has beside others, relative to it.
ENOUGH, DEPENDENT = 1e-6, 1e-10
DESCENT = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 0.0, "gtol": 0.0, "maxcor": 20}


@dataclass(frozen=True, eq=False)
class Stationary:
    """Where a search ended.

    Attributes
    ----------
    x : the point, (n,)
    loss, gradient_norm : f(x), |grad f(x)|
    spectrum : of Hess f(x)
    """

    x: Array
    loss: float
    gradient_norm: float
    spectrum: HessianSpectrum

    @property
    def index(self) -> int:
        """How many eigenvalues are negative; at least, where not all were looked at."""
        return self.spectrum.negative

    @property
    def is_complete(self) -> bool:
        """Whether all n eigenvalues were looked at."""
        return self.spectrum.steps == self.x.size

    @property
    def is_degenerate(self) -> bool:
        """Whether an eigenvalue may be zero for all that is known."""
        return bool((np.abs(self.spectrum.nodes) <= self.spectrum.uncertainty).any())


def minimum_below(f: ModelLoss, x: Array, look: Callable[[Array], None] | None = None) -> Stationary:
    """Where descent from x ends, as far as rounding lets it come; `look` sees the points on the way.

    Raises
    ------
    RequestError
        where the loss is not finite on the way.
    """
    # In units of the first gradient, so that no absolute number of the library decides.
    size = max(float(np.linalg.norm(f.slope(x))), np.finfo(float).tiny)

    def value(y: Array) -> tuple[float, Array]:
        return float(f.called("value", y)) / size, f.slope(y) / size

    found = minimize(value, x, jac=True, method="L-BFGS-B", options=DESCENT, callback=look)
    return _examined(f, _polished(f, np.asarray(found.x)))


def saddle_near(f: ModelLoss, x: Array, mode: Array, radius: float) -> Stationary:
    """Where a climb along the softest direction ends, from x and a direction near the unstable one, (n,).

    Parameters
    ----------
    radius : of the first steps
    """
    g = f.slope(x)
    first = float(np.linalg.norm(g))
    for _ in range(MOST):
        if float(np.linalg.norm(g)) <= ENOUGH * first:
            break
        model = _Model.at(f, x, g, (mode, g))
        mode = model.softest
        taken = _climbed(f, x, g, model, radius)
        if taken is None:
            break
        x, g, radius = taken
    return _examined(f, _polished(f, x))


def _climbed(f: ModelLoss, x: Array, g: Array, model: _Model, radius: float) -> tuple[Array, Array, float] | None:
    """The next point, its gradient, and the radius of the step after it; None where no step does what it should."""
    for _ in range(HALVINGS):
        step, expected = model.uphill(radius)
        found = _slope(f, x + step)
        change, size = float(np.linalg.norm(expected - g)), float(np.linalg.norm(step))
        off = np.inf if found is None else float(np.linalg.norm(found - expected))
        if found is not None and off <= BAD * change:
            return x + step, found, max(radius, 2 * size) if off <= GOOD * change else radius
        radius = size / 2
    return None


def _polished(f: ModelLoss, x: Array) -> Array:
    """Newton's method while it halves the gradient."""
    g = f.slope(x)
    for _ in range(LAST):
        y = x + _Model.at(f, x, g, (g,)).newton()
        found = _slope(f, y)
        if found is None or not np.linalg.norm(found) <= 0.5 * np.linalg.norm(g):
            break
        x, g = y, found
    return x


def _slope(f: ModelLoss, x: Array) -> Array | None:
    """The gradient; None where it is not finite."""
    try:
        return f.slope(x)
    except RequestError:
        return None


def _examined(f: ModelLoss, x: Array) -> Stationary:
    spectrum = hessian_spectrum(hessian_product(f, x)[0], x.size)
    return Stationary(x, float(f.called("value", x)), float(np.linalg.norm(f.slope(x))), spectrum)


@dataclass(frozen=True, eq=False)
class _Model:
    """f near a point, in a subspace: eigenvalues of the projected Hessian, its directions (k, n), H times these, and
    the gradient, whole and along them."""

    values: Array
    directions: Array
    images: Array
    gradient: Array
    slopes: Array

    @classmethod
    def at(cls, f: ModelLoss, x: Array, g: Array, starts: tuple[Array, ...]) -> _Model:
        """On the Krylov subspace of some vectors."""
        basis, images = _subspace(f, x, starts)
        projected = basis @ images.T
        values, weights = np.linalg.eigh((projected + projected.T) / 2)
        directions = weights.T @ basis
        return cls(values, directions, weights.T @ images, g, directions @ g)

    @property
    def softest(self) -> Array:
        """The direction of the smallest eigenvalue."""
        return np.asarray(self.directions[0])

    def newton(self) -> Array:
        """-H^{-1} g."""
        known = self.values != 0
        return np.asarray(-(self.slopes[known] / self.values[known]) @ self.directions[known])

    def uphill(self, radius: float) -> tuple[Array, Array]:
        """The step to where the gradient vanishes, uphill along the softest direction, no longer than `radius`; and
        the gradient there."""
        least = np.abs(self.slopes) / radius
        step = -self.slopes / np.maximum(np.abs(self.values), np.maximum(least, np.finfo(float).tiny))
        step[0] *= -1
        size = float(np.linalg.norm(step))
        step *= min(1.0, radius / size) if size > 0 else 1.0
        return step @ self.directions, self.gradient + step @ self.images


def _subspace(f: ModelLoss, x: Array, starts: tuple[Array, ...]) -> tuple[Array, Array]:
    """An orthonormal basis (k, n) of the Krylov subspace of these vectors, and H times its vectors."""
    step = derivative_along(f.slope, x, unit(starts[-1])).step if f.product is None else 0.0

    def product(v: Array) -> Array:
        return f.times(x, v) if f.product is not None else difference(f.slope, x, v, step)

    most = min(SUBSPACE, x.size)
    basis, images, waiting = np.zeros((most, x.size)), np.zeros((most, x.size)), [unit(start) for start in starts]
    random = np.random.default_rng(0)
    for k in range(most):
        v = _beside(waiting.pop(0) if waiting else random.normal(size=x.size), basis[:k])
        if v is None:
            v = _beside(random.normal(size=x.size), basis[:k])
            if v is None:
                return basis[:k], images[:k]
        basis[k], images[k] = v, product(v)
        waiting.append(images[k])
    return basis, images


def _beside(v: Array, basis: Array) -> Array | None:
    """What is left of a vector beside the others, of length one; None where that is rounding."""
    size = float(np.linalg.norm(v))
    for _ in range(2):
        v = v - basis.T @ (basis @ v)
    return unit(v) if np.linalg.norm(v) > DEPENDENT * size else None
