"""Products of the Hessian at one point with vectors, of what the loss has: a Hessian, products, or gradients alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.models.derivatives import derivative_along, unit
from witten.models.hessian_spectrum import COMPLETE, Product
from witten.models.model_loss import DIGITS, DOUBT, ModelLoss

__all__ = ["hessian_product"]

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# A product that is so much worse than usual, and than sqrt(eps), is made with another step.
WORSE = 100.0


def hessian_product(f: ModelLoss, x: Array, seed: int = 0) -> tuple[Product, str]:
    """v -> Hess f(x) v with a bound of its error, and of what it is made: "hessian", "products" or "differences".

    Raises
    ------
    RequestError
        where a Hessian, or products, are not those of the gradient.
    """
    if f.hessian is not None and x.size <= COMPLETE:
        return _of_hessian(f, x), "hessian"
    if f.product is not None:
        return _of_products(f, x, seed), "products"
    return _of_differences(f, x, seed), "differences"


def _of_differences(f: ModelLoss, x: Array, seed: int) -> Product:
    """With the step that is best for a random direction, where it serves; else, as at kinks, with the best of all."""
    usual = derivative_along(f.slope, x, _random(x.size, seed))

    def product(v: Array) -> tuple[Array, float]:
        found = derivative_along(f.slope, x, v, usual.step)
        if found.error > WORSE * max(usual.error, np.sqrt(EPS) * float(np.linalg.norm(found.value))):
            found = min(found, derivative_along(f.slope, x, v), key=lambda each: each.error)
        return found.value, found.error

    return product


def _of_hessian(f: ModelLoss, x: Array) -> Product:
    """Products with the Hessian that is given, if it is symmetric and that of the gradient."""
    matrix = f.called("hessian", x, x.size, x.size)
    size = float(np.linalg.norm(matrix))
    if np.linalg.norm(matrix - matrix.T) > DIGITS * size:
        raise RequestError(f"the Hessian of {f.name} is not symmetric")
    _require_derivative(f, x, matrix @ _random(x.size, 0), size)
    error = float(np.linalg.norm(matrix - matrix.T)) / 2 + 4 * EPS * np.sqrt(x.size) * size
    symmetric = (matrix + matrix.T) / 2
    return lambda v: (symmetric @ v, error)


def _of_products(f: ModelLoss, x: Array, seed: int) -> Product:
    """Products that are given: sqrt(n) |H v| of a random v is about the norm of H, of which rounding is a part."""
    first = f.times(x, _random(x.size, 0))
    size = float(np.sqrt(x.size) * np.linalg.norm(first))
    _require_derivative(f, x, first, size)
    u, v = _random(x.size, seed + 1), _random(x.size, seed + 2)
    uneven = abs(float(u @ f.times(x, v) - v @ f.times(x, u)))
    if uneven > DIGITS * size:
        raise RequestError(f"the Hessian of {f.name}, of which products are given, is not symmetric")
    error = 16 * EPS * float(np.sqrt(x.size)) * size + uneven

    def product(w: Array) -> tuple[Array, float]:
        return f.times(x, w), error

    return product


def _require_derivative(f: ModelLoss, x: Array, given: Array, size: float) -> None:
    found = derivative_along(f.slope, x, _random(x.size, 0))
    off = float(np.linalg.norm(given - found.value))
    if off > DOUBT * found.error + DIGITS * size:
        raise RequestError(
            f"the Hessian of {f.name} does not belong to its gradient: along one direction the product is off by "
            f"{off:.3g} of {float(np.linalg.norm(found.value)):.3g}"
        )


def _random(n: int, seed: int) -> Array:
    return unit(np.random.default_rng(seed).normal(size=n))
