"""grad f on a block of paths, compiled for the loops of `steps`: the innermost loop runs over paths.

A separable f of many dimensions, f = sum_i f_i(x_i), is compiled as one function for each different f_i and a loop over
the components that share it; otherwise a thousand dimensions would be ten thousand lines.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import sympy as sp
from numba import types

from witten.errors import RequestError
from witten.objectives import Objective
from witten.objectives.programs import compile_program, numba_vocabulary

__all__ = ["BLOCK_GRADIENT", "block_gradient"]

# gradient(x, out): x and out (d, w), one column per path.
BLOCK_GRADIENT = types.void(types.float64[:, ::1], types.float64[:, ::1])
# From this dimension on it is worth asking whether f is separable.
MANY = 5
# More dimensions than this are not compiled unless f is separable.
MOST_STRAIGHT = 200

inlined = numba.njit(inline="always", error_model="numpy")
compiled = numba.njit(BLOCK_GRADIENT, error_model="numpy", nogil=True)


@lru_cache(maxsize=64)
def block_gradient(objective: Objective) -> Callable[..., None]:
    """gradient(x, out) that fills out (d, w) from x (d, w).

    Raises
    ------
    RequestError
        for an objective without a formula, or one too long to compile.
    """
    if objective.dimension < MANY:
        return _straight(objective)
    groups = _groups(objective)
    if groups is not None:
        return _looped(groups)
    if objective.dimension > MOST_STRAIGHT:
        raise RequestError(
            f"{objective.name} has {objective.dimension} dimensions and is not separable: too long a formula to "
            "compile; give it as a Python callable with its gradient"
        )
    return _straight(objective)


def _straight(objective: Objective) -> Callable[..., None]:
    """All components one after another."""
    point_gradient = inlined(objective._program("gradient", numba_vocabulary()))

    def gradient(x, out):  # type: ignore[no-untyped-def]
        for j in range(x.shape[1]):
            point_gradient(x[:, j], out[:, j])

    return compiled(gradient)  # type: ignore[no-any-return]


def _groups(objective: Objective) -> dict[sp.Expr, list[int]] | None:
    """f_i' as a function of one symbol t and the components it belongs to; None if f is not separable."""
    t = sp.Symbol("t", real=True)
    groups: dict[sp.Expr, list[int]] = {}
    for i, (component, symbol) in enumerate(
        zip(objective._derivatives.gradient, objective.symbols, strict=True)
    ):
        if component.free_symbols - {symbol}:
            return None
        groups.setdefault(component.xreplace({symbol: t}), []).append(i)
    return groups


def _looped(groups: dict[sp.Expr, list[int]]) -> Callable[..., None]:
    """One loop for each group of components."""
    t = sp.Symbol("t", real=True)

    @inlined
    def gradient(x, out):  # type: ignore[no-untyped-def]
        pass

    for expression, members in groups.items():
        slope = inlined(compile_program((t,), {"return": expression}, numba_vocabulary()))
        gradient = inlined(_after(gradient, slope, np.array(members)))
    return compiled(_plain(gradient))  # type: ignore[no-any-return]


def _after(before: Any, slope: Any, members: Any) -> Callable[..., None]:
    """One more group behind those that are there."""

    def gradient(x, out):  # type: ignore[no-untyped-def]
        before(x, out)
        for i in members:
            for j in range(x.shape[1]):
                out[i, j] = slope((x[i, j],))

    return gradient


def _plain(inner: Any) -> Callable[..., None]:
    def gradient(x, out):  # type: ignore[no-untyped-def]
        inner(x, out)

    return gradient
