"""Losses of matrices: a gradient written out by hand, everything else about the second order derived from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from witten.errors import RequestError
from witten.objectives.objective import CallableObjective

__all__ = ["Model", "Numbers", "joined", "matrix", "split"]

Array = NDArray[np.float64]
# Real, or complex on the way to a derivative.
Numbers = NDArray[Any]
# Step of the complex derivative: its error is the square of this, and nothing is subtracted.
STEP = 1e-30
# Up to this dimension the Hessian is formed, beyond it only its products.
DENSE = 400


class Model(ABC):
    """A loss f of d weights, points (d, n) as everywhere.

    `gradient` must be made of operations that hold for complex weights (no conjugates, no absolute values): products
    with the Hessian are then Im grad f(w + i e v)/e with e = 1e-30, exact to rounding."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """d."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A name for tables."""

    @abstractmethod
    def value(self, w: Array) -> Array:
        """f(w), (d, n) -> (n,)."""

    @abstractmethod
    def gradient(self, w: Array) -> Array:
        """grad f(w), (d, n) -> (d, n)."""

    def product(self, w: Array, v: Array) -> Array:
        """Hess f(w) v, both (d, n)."""
        return np.asarray(self.gradient(w + 1j * STEP * v).imag / STEP)

    def hessian(self, w: Array) -> Array:
        """Hess f(w), (d, n) -> (d, d, n)."""
        d, n = w.shape
        directions = np.tile(np.eye(d), n)
        columns = self.product(np.repeat(w, d, axis=1), directions)
        return columns.reshape(d, n, d).transpose(0, 2, 1)

    def sharpness(self, w: ArrayLike) -> float:
        """The largest eigenvalue of Hess f(w), w (d,): dense for d <= 400, by Lanczos beyond."""
        column = np.asarray(w, dtype=float).reshape(self.dimension, 1)
        if self.dimension <= DENSE:
            return float(np.linalg.eigvalsh(self.hessian(column)[:, :, 0])[-1])
        operator = LinearOperator(
            (self.dimension, self.dimension), matvec=lambda v: self.product(column, v.reshape(-1, 1))[:, 0]
        )
        start = np.random.default_rng(0).normal(size=self.dimension)
        return float(eigsh(operator, 1, which="LA", v0=start, return_eigenvectors=False, tol=1e-10)[0])

    def objective(self) -> CallableObjective:
        """The loss as an Objective of Python functions; its derivatives are taken as they are."""
        symbols = tuple(sp.Symbol(f"w{i + 1}", real=True) for i in range(self.dimension))
        functions: dict[str, Any] = {"value": self.value, "gradient": self.gradient, "hessian": self.hessian}
        return CallableObjective(
            self.name, None, symbols, given=(self.value, self.gradient, self.hessian), functions=functions
        )


def split(w: Numbers, shapes: Sequence[tuple[int, int]]) -> list[Numbers]:
    """Weights (d, n) as matrices (n, rows, columns), one after the other."""
    pieces, start = [], 0
    for rows, columns in shapes:
        end = start + rows * columns
        pieces.append(w[start:end].T.reshape(-1, rows, columns))
        start = end
    return pieces


def joined(matrices: Sequence[ArrayLike]) -> Numbers:
    """Matrices (n, rows, columns) as weights (d, n); single ones (rows, columns) as (d,)."""
    arrays = [np.asarray(m) for m in matrices]
    if arrays[0].ndim == 2:
        return np.concatenate([m.ravel() for m in arrays])
    return np.concatenate([m.reshape(len(m), -1) for m in arrays], axis=1).T


def matrix(what: str, values: ArrayLike) -> Array:
    """A finite real matrix; RequestError for anything else."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise RequestError(f"{what} must be a finite matrix, got shape {array.shape}")
    return array
