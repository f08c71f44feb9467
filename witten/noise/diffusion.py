"""A covariance bound to an objective: Sigma(x) as formulas, its divergence, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives import Objective
from witten.objectives.symbolic.interval_arithmetic import enclosure

__all__ = ["Covariance", "Diffusion", "require_positive_definite"]

Array = NDArray[np.float64]
# An eigenvalue below this part of the largest is no noise in its direction.
DEGENERATE = 1e-12


class Covariance(Protocol):
    """Sigma(x) beside an objective, as paths of least action ask for it: formulas (`Diffusion`), or measured."""

    @property
    def objective(self) -> Objective: ...

    def sigma(self, x: Array) -> Array:
        """Sigma at points (d, n), shape (d, d, n)."""

    def slopes(self, x: Array) -> Array:
        """d_k Sigma_ij at points (d, n), shape (d, d, d, n), the derivative last of the three."""

    def bends(self, x: Array) -> Array:
        """d_k d_l Sigma_ij at points (d, n), shape (d, d, d, d, n)."""

    def changes(self, start: Array, end: Array) -> Array:
        """By how much an entry of Sigma changes at most between points (d, n) and others, (n,)."""


def require_positive_definite(sigma: Array, x: Array) -> None:
    """RequestError, with the place, where Sigma (d, d, n) at points (d, n) is not finite or not positive definite."""
    bad = ~np.isfinite(sigma).all(axis=(0, 1))
    if bad.any():
        raise RequestError(f"the covariance is not finite at {_place(x, bad)}; give another, or a box without it")
    values = np.linalg.eigvalsh(np.moveaxis(sigma, 2, 0))
    bad = values[:, 0] <= DEGENERATE * abs(values[:, -1])
    if bad.any():
        raise RequestError(
            f"the covariance is not positive definite at {_place(x, bad)}: its smallest eigenvalue there is "
            f"{values[bad.argmax(), 0]:.3g}; add a floor, or give a box without it"
        )


@dataclass(frozen=True)
class Diffusion:
    """dX = (c - grad f) dt + sqrt(s) Sigma^{1/2}(X) dW, Sigma a symmetric matrix of formulas in the coordinates of f.

    Its generator is L u = (s/2) tr(Sigma Hess u) + (c - grad f) . grad u. Made by `of`.

    Attributes
    ----------
    objective : f
    matrix : Sigma
    current : c, one formula for each coordinate; empty where there is none
    """

    objective: Objective
    matrix: sp.ImmutableDenseMatrix
    current: tuple[sp.Expr, ...] = ()

    @classmethod
    def of(cls, objective: Objective, rows: Sequence[Sequence[sp.Expr]]) -> Diffusion:
        """From rows of formulas.

        Raises
        ------
        RequestError
            if the matrix is not (d, d) or not symmetric.
        """
        matrix = sp.ImmutableDenseMatrix(rows)
        d = objective.dimension
        if matrix.shape != (d, d):
            shape = " by ".join(map(str, matrix.shape))
            raise RequestError(f"the covariance is {shape}, {objective.name} has dimension {d}")
        for i in range(d):
            for j in range(i):
                if sp.expand(matrix[i, j] - matrix[j, i]) != 0:
                    raise RequestError(
                        f"the covariance is not symmetric: row {i + 1}, column {j + 1} is {matrix[i, j]}, "
                        f"row {j + 1}, column {i + 1} is {matrix[j, i]}"
                    )
        return cls(objective, matrix)

    @property
    def dimension(self) -> int:
        return self.objective.dimension

    def sigma(self, x: Array) -> Array:
        """Sigma at points (d, n), shape (d, d, n)."""
        return np.array([self._evaluated(row, x) for row in self.entries])

    def slopes(self, x: Array) -> Array:
        """d_k Sigma_ij at points (d, n), shape (d, d, d, n), the derivative last of the three."""
        return np.array([[entry.gradient(x) for entry in row] for row in self.entries])

    def bends(self, x: Array) -> Array:
        """d_k d_l Sigma_ij at points (d, n), shape (d, d, d, d, n)."""
        return np.array([[entry.piecewise_hessian(x) for entry in row] for row in self.entries])

    def divergence(self, x: Array) -> Array:
        """(div Sigma)_a = sum_b d_b Sigma_ab at points (d, n), shape (d, n)."""
        return self._evaluated(self._divergence, x)

    def pull(self, x: Array) -> Array:
        """-grad f at points (d, n), shape (d, n)."""
        return -self.objective.gradient(x)

    def stream(self, x: Array) -> Array:
        """c at points (d, n), shape (d, n)."""
        return self._evaluated(self._current, x) if self.current else np.zeros(x.shape)

    @property
    def is_smooth(self) -> bool:
        """Whether no formula is seen to have kinks."""
        functions = [self.objective, *self._current, *(entry for row in self.entries for entry in row)]
        return not any(each.singularities for each in functions)

    def root(self, x: Array) -> Array:
        """The symmetric Sigma^{1/2} at points (d, n), shape (d, d, n); nan where Sigma is not finite."""
        sigma = np.moveaxis(self.sigma(x), 2, 0)
        known = np.isfinite(sigma).all(axis=(1, 2))
        values, vectors = np.linalg.eigh(np.where(known[:, None, None], sigma, 0.0))
        roots = np.where(known[:, None], np.sqrt(np.maximum(values, 0.0)), np.nan)
        return np.einsum("nik,nk,njk->ijn", vectors, roots, vectors)

    def require_positive(self, x: Array) -> None:
        """RequestError, with the place, where Sigma at points (d, n) is not finite or not positive definite."""
        require_positive_definite(self.sigma(x), x)

    def changes(self, start: Array, end: Array) -> Array:
        """By how much an entry of Sigma changes at most in the boxes between points (d, n) and others, by enclosures,
        (n,)."""
        low, high = np.minimum(start, end), np.maximum(start, end)
        ends = np.array([enclosure(entry, "value")(low, high) for row in self.entries for entry in row])
        return np.asarray((ends[:, 1] - ends[:, 0]).max(axis=0))

    @property
    def formulas(self) -> list[list[sp.Expr]]:
        """The entries of Sigma as objectives know formulas, with their functions, rows of them."""
        return [[entry.formula for entry in row] for row in self.entries]

    @property
    def is_constant(self) -> bool:
        """Whether Sigma is the same everywhere."""
        return not self.matrix.free_symbols

    @cached_property
    def entries(self) -> list[list[Objective]]:
        """The entries of Sigma as functions of a place, rows of them."""
        return [[self._function(entry) for entry in row] for row in self.matrix.tolist()]

    @cached_property
    def _current(self) -> list[Objective]:
        return [self._function(each) for each in self.current]

    @cached_property
    def _divergence(self) -> list[Objective]:
        symbols = self.objective.symbols
        return [self._function(sum(entry.diff(x) for entry, x in zip(row, symbols, strict=True)))
                for row in self.matrix.tolist()]  # fmt: skip

    def _function(self, entry: sp.Expr) -> Objective:
        return Objective.from_sympy(entry, self.objective.symbols, name="covariance")

    def _evaluated(self, functions: Sequence[Objective], x: Array) -> Array:
        return np.array([f(x) for f in functions], dtype=float)


def _place(x: Array, bad: NDArray[np.bool_]) -> str:
    return "(" + ", ".join(f"{c:.6g}" for c in x[:, bad.argmax()]) + ")"
