"""Products of factors that are to equal a number or a matrix: the loss keeps its value when the factors are rescaled
against each other, so its minima fill surfaces along which the sharpness varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError
from witten.objectives.losses.matrix_loss import Model, Numbers, joined, matrix, split
from witten.objectives.objective import Objective
from witten.objectives.symbolic.grammar import variables

__all__ = ["DeepLinear", "MatrixFactorisation", "balanced_line", "deep_scalar", "scalar_factorisation"]

Array = NDArray[np.float64]


def scalar_factorisation(mu: float = 1.0, *, dim: int = 1, ridge: float = 0.0) -> Objective:
    """(mu - x . y)^2/2 + ridge (|x|^2 + |y|^2)/2, x and y in R^dim; the first dim coordinates are x."""
    xs = variables(2 * dim)
    product = sp.Add(*(xs[i] * xs[dim + i] for i in range(dim)))
    loss = (_exact(mu) - product) ** 2 / 2 + _exact(ridge) * sum(x**2 for x in xs) / 2
    return Objective.from_sympy(loss, xs, name=f"scalar factorisation, mu = {mu:g}, dim = {dim}, ridge = {ridge:g}")


def deep_scalar(mu: float = 1.0, *, depth: int = 4) -> Objective:
    """(mu - x_1 x_2 ... x_depth)^2/2."""
    xs = variables(depth)
    return Objective.from_sympy((_exact(mu) - sp.Mul(*xs)) ** 2 / 2, xs, name=f"deep scalar, mu = {mu:g}, {depth}")


def balanced_line() -> Objective:
    """(1 - z^2)^2/4: what scalar_factorisation is on x = y = sqrt(mu) z, its step there z' = z + a z (1 - z^2),
    a = s mu."""
    (z,) = variables(1)
    return Objective.from_sympy((1 - z**2) ** 2 / 4, (z,), name="balanced line")


def _exact(value: float) -> sp.Rational:
    return sp.Rational(repr(float(value)))


@dataclass(frozen=True, eq=False)
class MatrixFactorisation(Model):
    """||A - X Y^T||_F^2/2 + ridge (||X||^2 + ||Y||^2)/2, X (p, r), Y (q, r); the weights are X, then Y, row by row.

    Attributes
    ----------
    target : A, shape (p, q)
    rank : r
    """

    target: Array
    rank: int
    ridge: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", matrix("the target", self.target))
        if self.rank < 1:
            raise RequestError(f"the rank must be at least 1, got {self.rank}")

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of X and Y."""
        p, q = self.target.shape
        return [(p, self.rank), (q, self.rank)]

    @property
    def dimension(self) -> int:
        return self.rank * sum(self.target.shape)

    @property
    def name(self) -> str:
        p, q = self.target.shape
        return f"factorisation of a {p} x {q} matrix, rank {self.rank}"

    def value(self, w: Array) -> Array:
        x, y = split(w, self.shapes)
        residual = self.target - x @ y.swapaxes(1, 2)
        return np.asarray(0.5 * (residual**2).sum(axis=(1, 2)) + 0.5 * self.ridge * (w**2).sum(axis=0))

    def gradient(self, w: Array) -> Array:
        """(-R Y + ridge X, -R^T X + ridge Y), R = A - X Y^T."""
        x, y = split(w, self.shapes)
        residual = self.target - x @ y.swapaxes(1, 2)
        return joined([-residual @ y + self.ridge * x, -residual.swapaxes(1, 2) @ x + self.ridge * y])

    def factors(self, w: ArrayLike) -> tuple[Array, Array]:
        """X and Y of weights (d,)."""
        x, y = split(np.asarray(w, dtype=float).reshape(-1, 1), self.shapes)
        return x[0], y[0]

    def sharpness_at_fit(self, w: ArrayLike) -> float:
        """sigma_1(X)^2 + sigma_1(Y)^2: the largest eigenvalue of Hess f where X Y^T = A, without a ridge."""
        x, y = self.factors(w)
        return float(np.linalg.norm(x, 2) ** 2 + np.linalg.norm(y, 2) ** 2)

    def imbalance(self, w: ArrayLike) -> Array:
        """X^T X - Y^T Y, which gradient flow conserves and large steps shrink; shape (r, r)."""
        x, y = self.factors(w)
        return np.asarray(x.T @ x - y.T @ y)


@dataclass(frozen=True, eq=False)
class DeepLinear(Model):
    """||W_L ... W_1 - R||_F^2/2; the weights are W_1, ..., W_L, row by row.

    Attributes
    ----------
    target : R, shape (n_L, n_0)
    widths : n_1, ..., n_{L-1} of the layers between
    """

    target: Array
    widths: Sequence[int] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", matrix("the target", self.target))
        if any(width < 1 for width in self.widths):
            raise RequestError(f"layers must have at least one neuron, got {tuple(self.widths)}")

    @property
    def depth(self) -> int:
        """L."""
        return len(self.widths) + 1

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of W_1, ..., W_L."""
        sizes = [self.target.shape[1], *self.widths, self.target.shape[0]]
        return [(sizes[i + 1], sizes[i]) for i in range(self.depth)]

    @property
    def dimension(self) -> int:
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def name(self) -> str:
        return f"deep linear network of depth {self.depth} on a {self.target.shape[0]} x {self.target.shape[1]} matrix"

    def value(self, w: Array) -> Array:
        residual = _product(split(w, self.shapes)) - self.target
        return np.asarray(0.5 * (residual**2).sum(axis=(1, 2)))

    def gradient(self, w: Array) -> Array:
        """df/dW_i = S_i^T E P_i^T, E = W_L ... W_1 - R."""
        before, after, product = _partial_products(split(w, self.shapes))
        error = product - self.target
        return joined([s.swapaxes(1, 2) @ error @ p.swapaxes(1, 2) for p, s in zip(before, after, strict=True)])

    def layers(self, w: ArrayLike) -> list[Array]:
        """W_1, ..., W_L of weights (d,)."""
        return [np.asarray(m[0]) for m in split(np.asarray(w, dtype=float).reshape(-1, 1), self.shapes)]

    def sharpness_at_fit(self, w: ArrayLike) -> float:
        """Largest eigenvalue of sum_i (S_i S_i^T) (x) (P_i^T P_i), S_i = W_L ... W_{i+1}, P_i = W_{i-1} ... W_1: that
        of Hess f where the product is R, from a matrix of the size of R's entries alone."""
        before, after, _ = _partial_products([layer[None] for layer in self.layers(w)])
        total = sum(np.kron(s[0] @ s[0].T, p[0].T @ p[0]) for p, s in zip(before, after, strict=True))
        return float(np.linalg.eigvalsh(total)[-1])

    def top_sharpness(self, w: ArrayLike) -> float:
        """sum_i p_{i-1}^2 q_{i+1}^2, p_i = |W_i ... W_1 v|, q_i = |u^T W_L ... W_i|, u, v the top singular vectors of
        the product, p_0 = q_{L+1} = 1: a lower bound of the sharpness where the product is R [Nar2018]."""
        before, after, product = _partial_products([layer[None] for layer in self.layers(w)])
        u, _, vt = np.linalg.svd(product[0])
        terms = [
            np.sum((p[0] @ vt[0]) ** 2) * np.sum((u[:, 0] @ s[0]) ** 2) for p, s in zip(before, after, strict=True)
        ]
        return float(sum(terms))

    def balanced(self) -> Array:
        """Weights with product R whose layers have the same singular values sigma^(1/L), shape (d,).

        RequestError if a layer is narrower than the rank of R."""
        u, sigma, vt = np.linalg.svd(self.target, full_matrices=False)
        rank = int(np.count_nonzero(sigma > 1e-12 * max(sigma[0], 1e-300)))
        if min(self.widths, default=rank) < rank:
            raise RequestError(f"a layer of {min(self.widths)} neurons cannot hold rank {rank}")
        root = np.diag(sigma[:rank] ** (1 / self.depth))
        frames = [vt[:rank].T, *(np.eye(width, rank) for width in self.widths), u[:, :rank]]
        return joined([frames[i + 1] @ root @ frames[i].T for i in range(self.depth)])

    def balanced_spectrum(self) -> Array:
        """sum_{l=0}^{L-1} (sigma_i^{(L-1-l)/L} sigma_j^{l/L})^2 for all pairs (i, j) of singular values of R, zero ones
        included, descending: the eigenvalues of Hess f at `balanced`. All others are zero."""
        p, q = self.target.shape
        sigma = np.zeros(max(p, q))
        values = np.linalg.svd(self.target, compute_uv=False)
        sigma[: values.size] = values
        later = np.arange(self.depth)  # 0^0 = 1: exponents that are zero must be so to the bit
        left = sigma[:p, None, None] ** (2 * (self.depth - 1 - later) / self.depth)
        right = sigma[None, :q, None] ** (2 * later / self.depth)
        return -np.sort(-(left * right).sum(axis=2).ravel())


def _product(layers: Sequence[Numbers]) -> Numbers:
    return reduce(lambda product, layer: layer @ product, layers)


def _partial_products(
    layers: Sequence[Numbers],
) -> tuple[list[Numbers], list[Numbers], Numbers]:
    """P_i = W_{i-1} ... W_1 and S_i = W_L ... W_{i+1} for every i, and the whole product, each (n, rows, columns)."""
    n = len(layers[0])
    before: list[Numbers] = [np.broadcast_to(np.eye(layers[0].shape[2]), (n, layers[0].shape[2], layers[0].shape[2]))]
    for layer in layers:
        before.append(layer @ before[-1])
    after: list[Numbers] = [np.broadcast_to(np.eye(layers[-1].shape[1]), (n, layers[-1].shape[1], layers[-1].shape[1]))]
    for layer in reversed(layers[1:]):
        after.append(after[-1] @ layer)
    return before[:-1], after[::-1], before[-1]
