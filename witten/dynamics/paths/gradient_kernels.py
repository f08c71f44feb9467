"""grad f on a block of paths, compiled for the loops of `steps`: the innermost loop runs over paths.

A separable f of many dimensions, f = sum_i f_i(x_i), is compiled as one function for each different f_i and a loop over
the components that share it; otherwise a thousand dimensions would be ten thousand lines. The exponential is written
out here, without branches: a library's would keep the loop over paths from becoming vector instructions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import sympy as sp
from numba import types

from witten.errors import RequestError
from witten.objectives import Objective
from witten.objectives.symbolic.codegen import compile_program, numba_vocabulary

__all__ = ["BLOCK_GRADIENT", "block_gradient"]

# gradient(x, out): x and out (d, w), one column per path.
BLOCK_GRADIENT = types.void(types.float64[:, ::1], types.float64[:, ::1])
# From this dimension on it is worth asking whether f is separable.
MANY = 5
# More dimensions than this are not compiled unless f is separable.
MOST_STRAIGHT = 200

inlined = numba.njit(inline="always", error_model="numpy")
compiled = numba.njit(BLOCK_GRADIENT, error_model="numpy", nogil=True)

# ln 2 in two parts, the first exact in 32 bits, so that x - k ln 2 loses nothing; and the series of e^r.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 = (1.0 / math.factorial(k) for k in range(2, 14))


@inlined
def exponential(x):  # type: ignore[no-untyped-def]
    # e^x = 2^k e^r with |r| <= ln(2)/2, k a whole number; below e^-708 it is e^-708, above e^709 inf.
    a = min(max(x, -708.0), 709.0)
    k = np.floor(a * 1.4426950408889634 + 0.5)
    r = (a - k * LN2_HIGH) - k * LN2_LOW
    p = E8 + r * (E9 + r * (E10 + r * (E11 + r * (E12 + r * E13))))
    p = 1.0 + r * (1.0 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * (E7 + r * p)))))))
    power = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    return p * power if x <= 709.0 else x * math.inf


def vocabulary() -> dict[str, Any]:
    """What formulas are compiled with here."""
    return numba_vocabulary() | {"exp": exponential}


@lru_cache(maxsize=64)
def block_gradient(objective: Objective) -> Callable[..., None]:
    """gradient(x, out) that fills out (d, w) from x (d, w); RequestError for an objective without a formula, or one too
    long to compile."""
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
    """All components one after another, as a tuple: written through views of columns, the loop would stay scalar."""
    results = [sp.Symbol(f"r{i}", real=True) for i in range(objective.dimension)]
    lines = {f"{r} =": each for r, each in zip(results, objective.derivatives.gradient, strict=True)}
    point_gradient = compile_program(objective.symbols, lines | {"return": sp.Tuple(*results)}, vocabulary())
    return compiled(_columns(objective.dimension, inlined(point_gradient)))  # type: ignore[no-any-return]


def _columns(dimension: int, point_gradient: Any) -> Callable[..., None]:
    """gradient(x, out) from a function of d coordinates to d components, from a text that holds numbers alone."""
    point = "".join(f"x[{i}, j], " for i in range(dimension))
    lines = [f"        out[{i}, j] = r[{i}]" for i in range(dimension)]
    head = ["def gradient(x, out):", "    for j in range(x.shape[1]):", f"        r = point_gradient(({point}))"]
    namespace: dict[str, Any] = {"point_gradient": point_gradient}
    exec("\n".join([*head, *lines]), namespace)  # our own text: nothing of the formula is in it
    return namespace["gradient"]  # type: ignore[no-any-return]


def _groups(objective: Objective) -> dict[sp.Expr, list[int]] | None:
    """f_i' as a function of one symbol t and the components it belongs to; None if f is not separable."""
    t = sp.Symbol("t", real=True)
    groups: dict[sp.Expr, list[int]] = {}
    for i, (component, symbol) in enumerate(zip(objective.derivatives.gradient, objective.symbols, strict=True)):
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
        slope = inlined(compile_program((t,), {"return": expression}, vocabulary()))
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
