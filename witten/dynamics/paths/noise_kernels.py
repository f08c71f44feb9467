"""Normals with a covariance on a block of paths, compiled for the loops of `schemes`.

    z <- L(x) z,   L L^T = Sigma(x), L lower triangular (Cholesky)

has the law of Sigma^{1/2} z for normal z. Where Sigma is not positive definite it is nan, and the path is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import sympy as sp

from witten.dynamics.paths.gradient_kernels import BLOCK_GRADIENT, compiled, inlined, vocabulary
from witten.errors import RequestError
from witten.noise import Diffusion
from witten.objectives.symbolic.codegen import compile_program

__all__ = ["block_root", "unit_root"]

# More dimensions than this are not compiled: d^3/6 lines.
MOST = 12


@numba.njit(BLOCK_GRADIENT, error_model="numpy", cache=True)
def unit_root(x, z):  # type: ignore[no-untyped-def]
    """Sigma = I: nothing is done."""


@lru_cache(maxsize=64)
def block_root(diffusion: Diffusion) -> Callable[..., None]:
    """root(x, z) that takes z (d, w) to L(x) z in place, one column for each path x (d, w); RequestError for more than
    twelve dimensions."""
    d = diffusion.dimension
    if d > MOST:
        raise RequestError(f"paths under a covariance are simulated in {MOST} dimensions at most, not in {d}")
    lower = [diffusion.formulas[i][j] for i in range(d) for j in range(i + 1)]
    entries = inlined(compile_program(diffusion.objective.symbols, _results(lower), vocabulary()))
    namespace: dict[str, Any] = {"entries": entries, "sqrt": np.sqrt}
    exec("\n".join(_lines(d)), namespace)  # our own text: nothing of the formulas is in it
    return compiled(namespace["root"])  # type: ignore[no-any-return]


def _results(entries: list[sp.Expr]) -> dict[str, sp.Expr]:
    names = [sp.Symbol(f"r{k}", real=True) for k in range(len(entries))]
    return {f"{r} =": entry for r, entry in zip(names, entries, strict=True)} | {"return": sp.Tuple(*names)}


def _lines(d: int) -> list[str]:
    """Cholesky's factorisation written out, and its product with z from the last row up."""
    lines = ["def root(x, z):", "    for j in range(x.shape[1]):"]
    lines.append(f"        r = entries(({''.join(f'x[{i}, j], ' for i in range(d))}))")
    for i in range(d):
        for k in range(i + 1):
            rest = f"r[{i * (i + 1) // 2 + k}]" + "".join(f" - l{i}_{m} * l{k}_{m}" for m in range(k))
            lines.append(f"        l{i}_{k} = " + (f"sqrt({rest})" if i == k else f"({rest}) / l{k}_{k}"))
    for i in reversed(range(d)):
        lines.append(f"        z[{i}, j] = " + " + ".join(f"l{i}_{k} * z[{k}, j]" for k in range(i + 1)))
    return lines
