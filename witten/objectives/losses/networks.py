"""Networks of two layers, and linear regression, on given data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError
from witten.objectives.losses.matrix_loss import Model, Numbers, joined, matrix, split

__all__ = ["ACTIVATIONS", "LeastSquares", "TwoLayer"]

Array = NDArray[np.float64]


def _relu(z: Numbers) -> tuple[Numbers, Numbers]:
    on = z.real > 0
    return np.where(on, z, 0.0), on.astype(float)


def _tanh(z: Numbers) -> tuple[Numbers, Numbers]:
    a = np.tanh(z)
    return a, 1.0 - a * a


# name -> z -> (value, derivative), for complex z too
ACTIVATIONS = {"relu": _relu, "tanh": _tanh}


@dataclass(frozen=True, eq=False)
class TwoLayer(Model):
    """scale sum_i ||V act(W x_i + b) - y_i||^2; the weights are W (h, p), then V (q, h), row by row; b is fixed.

    Attributes
    ----------
    inputs : x_i as columns, shape (p, N)
    targets : y_i as columns, shape (q, N)
    bias : b, shape (h,); its length is the number of hidden neurons
    activation : 'relu' or 'tanh'; relu' is 0 at 0
    scale : 1 for the sum of squares, 1/(2 N) for half their mean
    """

    inputs: Array
    targets: Array
    bias: Array
    activation: str = "relu"
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", matrix("the inputs", self.inputs))
        object.__setattr__(self, "targets", matrix("the targets", self.targets))
        object.__setattr__(self, "bias", np.asarray(self.bias, dtype=float).reshape(-1))
        if self.inputs.shape[1] != self.targets.shape[1]:
            raise RequestError(f"{self.inputs.shape[1]} inputs but {self.targets.shape[1]} targets")
        if self.activation not in ACTIVATIONS:
            raise RequestError(f"activation {self.activation!r} is not known; use {' or '.join(ACTIVATIONS)}")

    @property
    def hidden(self) -> int:
        """h."""
        return self.bias.size

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of W and V."""
        return [(self.hidden, self.inputs.shape[0]), (self.targets.shape[0], self.hidden)]

    @property
    def dimension(self) -> int:
        return self.hidden * (self.inputs.shape[0] + self.targets.shape[0])

    @property
    def name(self) -> str:
        return f"two layers, {self.hidden} {self.activation} neurons, {self.inputs.shape[1]} samples"

    def outputs(self, w: ArrayLike) -> Array:
        """f(x_i) as columns, for weights (d,); shape (q, N)."""
        return self._forward(np.asarray(w, dtype=float).reshape(-1, 1))[3][0]

    def value(self, w: Array) -> Array:
        return np.asarray(self.scale * ((self._forward(w)[3] - self.targets) ** 2).sum(axis=(1, 2)))

    def gradient(self, w: Array) -> Array:
        """dV = 2 scale E H^T, dW = 2 scale (V^T E * act'(Z)) x^T, Z = W x + b, H = act(Z), E = V H - y."""
        v, h, slope, outputs = self._forward(w)
        error = 2.0 * self.scale * (outputs - self.targets)
        return joined([(v.swapaxes(1, 2) @ error * slope) @ self.inputs.T, error @ h.swapaxes(1, 2)])

    def _forward(self, w: Array) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """V, H, act'(Z) and V H."""
        first, second = split(w, self.shapes)
        h, slope = ACTIVATIONS[self.activation](first @ self.inputs + self.bias[:, None])
        return second, h, slope, second @ h


@dataclass(frozen=True, eq=False)
class LeastSquares(Model):
    """||X^T w - y||^2/(2 N) on the training data, and the same on test data.

    Attributes
    ----------
    inputs, targets : training data, (d, N) and (N,)
    test_inputs, test_targets : test data, (d, M) and (M,)
    """

    inputs: Array
    targets: Array
    test_inputs: Array
    test_targets: Array

    def __post_init__(self) -> None:
        for what in ("inputs", "test_inputs"):
            object.__setattr__(self, what, matrix(what, getattr(self, what)))
        for what in ("targets", "test_targets"):
            object.__setattr__(self, what, np.asarray(getattr(self, what), dtype=float).reshape(-1))
        for name in ("", "test_"):
            x, y = getattr(self, f"{name}inputs"), getattr(self, f"{name}targets")
            if x.shape != (self.inputs.shape[0], y.size):
                raise RequestError(f"{name}inputs of shape {x.shape} do not fit {y.size} {name}targets")

    @property
    def dimension(self) -> int:
        return self.inputs.shape[0]

    @property
    def name(self) -> str:
        return f"least squares on {self.targets.size} samples in {self.dimension} dimensions"

    def value(self, w: Array) -> Array:
        return _half_mean_square(self.inputs.T @ w - self.targets[:, None])

    def test_loss(self, w: Array) -> Array:
        """The loss on the test data, (d, n) -> (n,)."""
        return _half_mean_square(self.test_inputs.T @ w - self.test_targets[:, None])

    def gradient(self, w: Array) -> Array:
        return np.asarray(self.inputs @ (self.inputs.T @ w - self.targets[:, None]) / self.targets.size)

    def sample_hessians(self) -> Array:
        """x_i x_i^T, the Hessian of each sample's own loss, shape (N, d, d)."""
        return np.asarray(np.einsum("in,jn->nij", self.inputs, self.inputs))


def _half_mean_square(residual: Array) -> Array:
    return np.asarray(0.5 * (residual**2).mean(axis=0))
