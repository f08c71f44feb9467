"""Two quadratic losses of one distance, and descent on one of them mode by mode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError

__all__ = ["Losses"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Losses:
    """train = d^T A d and test = d^T B d of the distance d = w - w* from the truth.

    >>> losses = witten.annealing.Losses(np.diag([2/3, 1/3]), np.eye(2)/2)
    >>> float(losses.test_loss(np.array([1.0, 1.0])))
    1.0

    Parameters
    ----------
    train, test : A and B, symmetric, positive semidefinite, shape (d, d)

    Raises
    ------
    RequestError
        for anything else.
    """

    train: Array
    test: Array

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            value = np.asarray(getattr(self, name), dtype=float)
            if not _is_semidefinite(value):
                raise RequestError(f"the {name} loss must be a symmetric matrix with no negative eigenvalue")
            object.__setattr__(self, name, value)
        if self.train.shape != self.test.shape:
            raise RequestError(f"train and test loss must be of one size, got {self.train.shape} and {self.test.shape}")

    @classmethod
    def of_inputs(cls, x: ArrayLike, test: ArrayLike) -> Losses:
        """A = (1/n) X X^T: the mean of (w . x - w* . x)^2 over inputs x, shape (d, n)."""
        columns = np.asarray(x, dtype=float)
        return cls(columns @ columns.T / columns.shape[1], np.asarray(test, dtype=float))

    @cached_property
    def _modes(self) -> tuple[Array, Array]:
        values, vectors = np.linalg.eigh(self.train)
        values[values < 1e-13 * values[-1]] = 0.0
        return values[::-1], vectors[:, ::-1]

    @property
    def weights(self) -> Array:
        """lambda_1 >= ... >= lambda_n of the sample, shape (d,)."""
        return self._modes[0]

    @property
    def modes(self) -> Array:
        """v_1, ..., v_n as columns, shape (d, d)."""
        return self._modes[1]

    @cached_property
    def in_modes(self) -> Losses:
        """The same losses of V^T d: A becomes diagonal, and no rounding error of one mode reaches another."""
        return Losses(np.diag(self.weights), self.modes.T @ self.test @ self.modes)

    @property
    def population_weights(self) -> Array:
        """mu_i = v_i^T B v_i, shape (d,)."""
        return np.einsum("ji,jk,ki->i", self.modes, self.test, self.modes)

    @property
    def edge(self) -> float:
        """1/lambda_1 = 2/L, L the largest curvature: the factor of mode 1 is then -1."""
        return 1.0 / float(self.weights[0])

    def train_loss(self, delta: Array) -> Array:
        """d^T A d at (d, ...)."""
        return np.einsum("i...,ij,j...->...", delta, self.train, delta)

    def test_loss(self, delta: Array) -> Array:
        """d^T B d at (d, ...)."""
        return np.einsum("i...,ij,j...->...", delta, self.test, delta)

    def stepped(self, delta: Array, learning_rate: float, steps: ArrayLike) -> Array:
        """(1 - 2 s A)^k d for numbers k of steps, shape (d,) + that of k."""
        k = np.asarray(steps)
        return self._moved(delta, np.power.outer(1.0 - 2.0 * learning_rate * self.weights, k))

    def flowed(self, delta: Array, time: ArrayLike) -> Array:
        """e^{-2 A t} d for times t, shape (d,) + that of t."""
        return self._moved(delta, np.exp(-2.0 * np.multiply.outer(self.weights, np.asarray(time, dtype=float))))

    def _moved(self, delta: Array, factors: Array) -> Array:
        return np.tensordot(self.modes, ((self.modes.T @ delta) * factors.T).T, 1)


def _is_semidefinite(value: Array) -> bool:
    if value.ndim != 2 or value.shape[0] != value.shape[1] or not np.isfinite(value).all():
        return False
    scale = abs(value).max()
    return bool(scale > 0 and np.allclose(value, value.T) and np.linalg.eigvalsh(value)[0] > -1e-12 * scale)
