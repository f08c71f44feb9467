"""A loss of n parameters as a user has it: functions of one point (n,), checked where they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError
from witten.models.derivatives import derivative_along, unit
from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.torch_functions import TorchLoss

__all__ = ["ModelLoss"]

Array = NDArray[np.float64]
Function = Callable[[Array], ArrayLike]

# What rounding may do to a sum that threads add up in another order.
SAME = 1e-10
# By how much more than its error a derivative may differ from the one that is given, and relative to its size.
DOUBT, DIGITS = 100.0, 1e-5


@dataclass(frozen=True)
class ModelLoss:
    """f and its gradient at points (n,), and what else is known: none but `value` and `gradient` is needed.

    Attributes
    ----------
    value, gradient, hessian : x -> a number, (n,), (n, n)
    product : (x, v) -> Hess f(x) v, (n,)
    sample_losses, sample_gradients : x -> (N,), (N, n), of N samples each by itself
    name : for messages
    """

    value: Function
    gradient: Function | None = None
    hessian: Function | None = None
    product: Callable[[Array, Array], ArrayLike] | None = None
    sample_losses: Function | None = None
    sample_gradients: Function | None = None
    name: str = "the loss"

    def __post_init__(self) -> None:
        f: object = self.value
        if isinstance(f, TorchLoss):
            self._take(f, ("gradient", "product", "sample_gradients"))
        if not isinstance(f, Objective):
            return
        # What an objective has by finite differences has no error bar: it is left out.
        known = f.given if isinstance(f, CallableObjective) else (f, f, f)
        for what, exact in zip(("gradient", "hessian"), known[1:], strict=True):
            if exact is not None:
                self._take(f, (what,))
        if isinstance(f, CallableObjective):
            self._take(f.given[0], ("product",))

    def _take(self, source: Any, names: tuple[str, ...]) -> None:
        """What is not given, of what the source has."""
        for name in names:
            if getattr(self, name) is None and hasattr(source, name):
                object.__setattr__(self, name, getattr(source, name))

    def called(self, what: str, x: Array, *shape: int | None, also: tuple[Array, ...] = ()) -> Array:
        """One of these functions at x, of this shape (None: any length), finite and in float64; `also` is what it takes
        besides.

        Raises
        ------
        RequestError
            for anything else.
        """
        title = f"{self.name}, {what.replace('_', ' ')}, at this point of {x.size} numbers"
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(getattr(self, what)(x.copy(), *also))
        except Exception as error:  # whatever the user's code raises
            reason = (f"{type(error).__name__}: {error}".splitlines() or [""])[0][:200]
            raise RequestError(f"{title}, fails: {reason}") from None
        _require_numbers(title, found)
        if found.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
            meant = ", ".join("N" if n is None else str(n) for n in shape)
            raise RequestError(f"{title}, must have the shape ({meant}), and has {found.shape}")
        if not np.isfinite(found).all():
            raise RequestError(f"{title}, is not finite ({np.count_nonzero(~np.isfinite(found))} of {found.size})")
        return found.astype(float)

    def times(self, x: Array, v: Array) -> Array:
        """Hess f(x) v, (n,)."""
        return self.called("product", x, x.size, also=(v,))

    def slope(self, x: Array) -> Array:
        """grad f(x), (n,)."""
        return self.called("gradient", x, x.size)

    def check(self, x: Array) -> None:
        """RequestError where the gradient is missing, changes from call to call, or is not that of the loss."""
        value = self.called("value", x)
        if self.gradient is None:
            raise RequestError(
                f"{self.name} comes without its gradient, from which all is computed: define a function of the same "
                "name and _gradient beside it, or give an objective (Objective.from_jax)"
            )
        for what, first, shape in (("value", value, ()), ("gradient", self.slope(x), (x.size,))):
            again = self.called(what, x, *shape)
            if np.linalg.norm(again - first) > SAME * np.linalg.norm(first):
                raise RequestError(f"{self.name}, {what}, is another the second time; fix its seeds and batches")
        self._check_gradient(x)

    def _check_gradient(self, x: Array) -> None:
        """Along its own direction and a random one."""
        given = self.slope(x)
        for direction in (unit(np.random.default_rng(0).normal(size=x.size)), unit(given)):
            found = derivative_along(lambda y: self.called("value", y), x, direction)
            expected = float(given @ direction)
            if abs(found.value - expected) > DOUBT * found.error + DIGITS * np.linalg.norm(given):
                raise RequestError(
                    f"the gradient of {self.name} does not belong to its values: along one direction it is "
                    f"{expected:.6g}, but differences of the loss give {float(found.value):.6g}"
                )


def _require_numbers(title: str, found: NDArray[Any]) -> None:
    if found.dtype.kind == "f" and found.dtype.itemsize < np.dtype(float).itemsize:
        remedy = "compute in float64 (JAX: jax_enable_x64; PyTorch: .double())"
        raise RequestError(f"{title}, is {found.dtype}, whose rounding hides curvatures; {remedy}")
    if found.dtype.kind not in "fiu":
        raise RequestError(f"{title}, is of type {found.dtype}, and no real numbers")
