"""The derivatives of a formula at arrays of points, through NumPy."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.objectives.symbolic.codegen import compile_program, numpy_vocabulary
from witten.objectives.symbolic.derivatives import Derivatives

__all__ = ["Arrays"]

Array = NDArray[np.float64]

BLOCK = 8192  # points at a time: temporaries stay in the cache, which is two to six times faster on millions of points


class Arrays:
    """Value, gradient, Hessian and Laplacian at points (d, n), each compiled when first asked for."""

    def __init__(self, derivatives: Derivatives) -> None:
        self.derivatives = derivatives
        self._programs: dict[str, Callable[..., Any]] = {}

    def values(self, what: str, points: Array) -> Array:
        """The value or laplacian (n,), the gradient (d, n) or the hessian (d, d, n) at points (d, n)."""
        program, order = self._program(what), {"gradient": 1, "hessian": 2}.get(what, 0)
        out = np.empty((*points.shape[:1] * order, points.shape[1]))
        with np.errstate(all="ignore"):
            for start in range(0, points.shape[1], BLOCK):
                block = slice(start, start + BLOCK)
                if order:
                    program(points[:, block], out[..., block])
                else:
                    out[block] = program(points[:, block])
        return out

    def on_a_kink(self, points: Array) -> Array | None:
        """The first point (d,) exactly on a kink across which the gradient or the Hessian jumps (or is infinite)."""
        for g, n_jumps, jumps in self._kinks:
            with np.errstate(all="ignore"):
                on = points[:, np.broadcast_to(g(points) == 0, points.shape[1:])]
                out = np.empty((n_jumps, on.shape[1]))
                jumps(on, out)
            bad = ~np.all(out == 0, axis=0) | ~np.all(np.isfinite(self.values("hessian", on)), axis=(0, 1))
            if np.any(bad):
                return on[:, np.argmax(bad)]
        return None

    def _program(self, what: str) -> Callable[..., Any]:
        if what not in self._programs:
            self._programs[what] = self._compile(self.derivatives.results(what))
        return self._programs[what]

    def _compile(self, results: dict[str, Any]) -> Callable[..., Any]:
        return compile_program(self.derivatives.symbols, results, numpy_vocabulary())

    @cached_property
    def _kinks(self) -> list[tuple[Callable[..., Any], int, Callable[..., Any]]]:
        """For every kink g: g itself, and the jumps of the derivatives across g = 0 after their number."""
        found = []
        for g in self.derivatives.kinks:
            jumps = {f"out[{k}] =": jump for k, jump in enumerate(self.derivatives.jumps(g))}
            found.append((self._compile({"return": g}), len(jumps), self._compile(jumps)))
        return found
