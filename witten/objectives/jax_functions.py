"""A loss written in JAX as functions of many points: value, gradient and Hessian by automatic differentiation.

Points are padded to powers of two, so that XLA compiles a few shapes and not one for each grid, and taken in chunks, so
that a Hessian of many points does not fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError

__all__ = ["MappedByJax", "functions_of_points"]

Array = NDArray[np.float64]
# Numbers that one call may return: 32 MB.
MOST_NUMBERS = 2**22
# Fewer points are padded to so many.
FEWEST = 8


@dataclass(frozen=True)
class MappedByJax:
    """The k-th derivative of a function of one point, at points (d, n): (n,), (d, n) or (d, d, n), in float64."""

    function: Callable[[Any], Any]
    order: int

    @property
    def __wrapped__(self) -> Callable[[Any], Any]:
        """The user's function, for whom its source is of interest."""
        return self.function

    def __getstate__(self) -> dict[str, Any]:
        """What was compiled is compiled again where it is unpickled."""
        return {"function": self.function, "order": self.order}

    @cached_property
    def _product(self) -> Callable[[Any, Any], Any]:
        import jax

        slope = jax.grad(self.function)
        return jax.jit(lambda x, v: jax.jvp(slope, (x,), (v,))[1])  # type: ignore[no-any-return]

    def product(self, x: Array, v: Array) -> Array:
        """The Hessian of the function at x (d,) times v (d,), forward through the gradient."""
        import jax

        with jax.enable_x64(True):
            return np.asarray(self._product(x, v))

    @cached_property
    def _compiled(self) -> Callable[[Any], Any]:
        import jax

        derived = (self.function, jax.grad(self.function), jax.hessian(self.function))[self.order]
        return jax.jit(jax.vmap(derived, in_axes=1, out_axes=-1))  # type: ignore[no-any-return]

    def __call__(self, x: Array) -> Array:
        import jax

        d, n = x.shape
        most = max(MOST_NUMBERS // d**self.order, 1)
        with jax.enable_x64(True):
            parts = [self._padded(x[:, at : at + most]) for at in range(0, max(n, 1), most)]
        return np.concatenate(parts, axis=-1)

    def _padded(self, x: Array) -> Array:
        n = x.shape[1]
        room = max(FEWEST, 1 << (n - 1).bit_length()) if n else FEWEST
        filled = np.pad(x, ((0, 0), (0, room - n)), mode="edge") if n else np.zeros((len(x), room))
        return np.asarray(self._compiled(filled))[..., :n]


def functions_of_points(function: Callable[[Any], Any], dimension: int) -> tuple[MappedByJax, ...]:
    """Value, gradient and Hessian of a function of one point (d,); RequestError if JAX is not there, the function gives
    no number in float64, or another one the second time."""
    try:
        import jax
    except ImportError:
        raise RequestError("Objective.from_jax needs the package jax, which is missing; install witten[jax]") from None
    title = getattr(function, "__name__", type(function).__name__)
    with jax.enable_x64(True):
        try:
            found = jax.eval_shape(function, jax.ShapeDtypeStruct((dimension,), np.float64))
        except Exception as error:  # whatever the user's code raises where it is traced
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise RequestError(f"{title} cannot be traced by JAX at a point of {dimension} numbers: {reason}") from None
    if getattr(found, "shape", None) != () or found.dtype != np.float64:
        what = f"shape {found.shape} and type {found.dtype}" if hasattr(found, "shape") else type(found).__name__
        raise RequestError(f"{title} must give one float64 number at a point of float64, it gives {what}")
    made = tuple(MappedByJax(function, order) for order in range(3))
    _require_same(title, MappedByJax(function, 0), made[0], dimension)
    return made


def _require_same(title: str, once: MappedByJax, again: MappedByJax, dimension: int) -> None:
    """RequestError where two traces of the function differ, as with a dropout or a batch drawn anew."""
    x = np.random.default_rng(0).normal(size=(dimension, FEWEST))
    if not np.array_equal(once(x), again(x), equal_nan=True):
        raise RequestError(f"{title} gives another value the second time; fix its random keys and batches")
