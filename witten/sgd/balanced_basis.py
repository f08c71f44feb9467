"""A transfer operator in a basis where it is nearly symmetric, and how well its eigenvalues are conditioned there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.sgd.steps.transfer_operator import TransferOperator

__all__ = ["Balanced", "conditions"]

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
# Steps that the Gibbs measure takes towards the stationary distribution, and where logarithms of weights end.
STEPS, DEEPEST = 8, -600.0
# Balanced weights that make the norm so many times larger balance nothing.
WORSE = 10.0
# Eigenvalues closer than this, relative to the first, are conditioned together.
CLOSE = 1e-8


@dataclass(frozen=True, eq=False)
class Balanced:
    """S = W P W^{-1} with W = diag(w), w^2 near the stationary distribution: symmetric where the chain is reversible.

    P itself is so far from normal that Arnoldi on it loses eigenvalues whose modes live where hardly any measure is.
    A product with S is a sum of the same terms as one with P, each with its own relative accuracy.

    Attributes
    ----------
    operator : P
    weights : w > 0, shape (n,)
    """

    operator: TransferOperator
    weights: Array

    @classmethod
    def of(cls, operator: TransferOperator) -> Balanced:
        """Weights from the Gibbs measure a few steps later; none where the map stretches space so that they are worse.

        A step of a measure is a sum of positive numbers: its tail has digits of its own, however little is there.
        """
        masses = np.exp(np.clip(np.nan_to_num(operator.guess, nan=DEEPEST), DEEPEST, 0.0))
        for _ in range(STEPS):
            masses = np.maximum(operator.adjoint(masses), np.exp(DEEPEST) * masses.max())
        plain = cls(operator, np.ones(operator.n_dofs))
        if not masses.max() > 0:  # nothing stays
            return plain
        found = cls(operator, np.sqrt(masses / masses.max()))
        return found if found.norm <= WORSE * plain.norm else plain

    def apply(self, x: Array) -> Array:
        """S x, (n,) -> (n,)."""
        return self.weights * self.operator.apply(x / self.weights)

    def adjoint(self, y: Array) -> Array:
        """S^T y, (n,) -> (n,)."""
        return self.operator.adjoint(y * self.weights) / self.weights

    def dense(self) -> Array:
        """S as a matrix (n, n)."""
        return self.weights[:, None] * self.operator.dense() / self.weights

    @cached_property
    def norm(self) -> float:
        """A bound on ||S||_2: the geometric mean of the largest row sum and the largest column sum."""
        ones = np.ones(self.weights.size)
        return float(np.sqrt(self.apply(ones).max() * self.adjoint(ones).max()))


def conditions(values: Complex, right: Complex, left_values: Complex, left: Complex) -> Array:
    """|delta rho_i| <= conditions_i ||E|| to first order in a change E of the matrix; from left vectors, (n, any).

    1/|y^H x| for unit vectors of a simple eigenvalue, and for a multiple one the norm of the projector on its vectors:
    the inverse of the smallest cosine between the spans of the right and the left ones.
    """
    out = np.empty(values.size)
    width = CLOSE * np.abs(values).max()
    for i, value in enumerate(values):
        ours, theirs = (np.abs(v - value) <= width for v in (values, left_values))
        if not theirs.any():
            theirs = np.abs(left_values - value) == np.abs(left_values - value).min()
        spans = (np.linalg.qr(vectors[:, chosen])[0] for vectors, chosen in ((right, ours), (left, theirs)))
        x, y = spans
        cosine = np.linalg.svd(y.conj().T @ x, compute_uv=False).min()
        out[i] = 1.0 / max(float(cosine), 1e-300)
    return out
