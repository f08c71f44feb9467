"""The noise of a stochastic gradient: x+ = x - s (grad f(x) - xi), and what is known about xi."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError
from witten.request import positive

__all__ = ["AtomicNoise", "GaussianNoise", "bounded_noise", "minibatch_noise"]

Array = NDArray[np.float64]
# Batches that are counted one by one.
MOST_BATCHES = 20_000


@dataclass(frozen=True)
class GaussianNoise:
    """xi ~ N(0, C).

    >>> noise = witten.sgd.GaussianNoise.of([[4.0]])  # of deviation 2
    >>> print(f"{witten.transfer_spectrum('x^2/2', 0.2, 2, noise=noise).rate:.4f}")  # -log(1 - h)/h, as of any noise
    1.1157

    Parameters
    ----------
    covariance : C as d rows of d numbers, symmetric and positive definite

    Raises
    ------
    RequestError
        if C is not.
    """

    covariance: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        c = np.array(self.covariance, dtype=float)
        square = c.ndim == 2 and c.shape[0] == c.shape[1] and bool(np.isfinite(c).all())
        if not (square and np.allclose(c, c.T) and np.linalg.eigvalsh(c)[0] > 0):
            raise RequestError(
                f"a covariance must be a symmetric positive definite matrix, got {c.tolist()}; e.g. ((1, 0), (0, 1))"
            )

    @classmethod
    def of(cls, covariance: ArrayLike) -> GaussianNoise:
        """From any array-like: a number (dimension 1), or a matrix."""
        return cls(tuple(map(tuple, np.atleast_2d(np.asarray(covariance, dtype=float)).tolist())))

    @classmethod
    def isotropic(cls, dimension: int, deviation: float = 1.0) -> GaussianNoise:
        """C = sigma^2 I.

        Raises
        ------
        RequestError
            unless sigma is positive, and its square a double.
        """
        sigma = positive("noise", deviation)
        variance = sigma * sigma  # inf beyond the doubles, where ** raises
        if not (np.isfinite(variance) and variance > 0):
            size = "large" if deviation > 1 else "small"
            raise RequestError(f"noise {deviation:g} is too {size}: its square is none of a double")
        return cls.of(variance * np.eye(dimension))

    @property
    def dimension(self) -> int:
        return len(self.covariance)

    def axes(self) -> tuple[Array, Array]:
        """Standard deviations (d,), and the orthonormal axes Q (d, d) along which C = Q diag(sigma^2) Q^T.

        Q = I where C is diagonal.
        """
        c = np.array(self.covariance)
        if np.array_equal(c, np.diag(np.diagonal(c))):
            return np.sqrt(np.diagonal(c)), np.eye(self.dimension)
        variances, axes = np.linalg.eigh(c)
        return np.sqrt(variances), axes


@dataclass(frozen=True, eq=False)
class AtomicNoise:
    """xi takes finitely many values at each point: (weights (a,), values(x) (a, d, n) at points (d, n)).

    >>> coin = witten.sgd.AtomicNoise(np.array([0.5, 0.5]), lambda x: np.array([[[-1.0]], [[1.0]]]), "a coin")
    >>> print(f"{witten.transfer_spectrum('x^2/2', 0.2, 2, noise=coin).rate:.4f}")  # -log(1 - h)/h
    1.1157

    Parameters
    ----------
    weights : probabilities, shape (a,), of sum 1
    values : the values of xi at points (d, n), shape (a, d, n), or (a, d, 1) where they are the same everywhere
    name : in words
    """

    weights: Array
    values: Callable[[Array], Array]
    name: str


def bounded_noise(dimension: int, *, deviation: float = 1.0, order: int = 8) -> AtomicNoise:
    """xi uniform on [-sqrt(3) sigma, sqrt(3) sigma]^d: mean 0, covariance sigma^2 I, bounded.

    Its distribution is replaced by a Gauss-Legendre rule of `order` points along each axis, exact for polynomials of
    degree 2 order - 1 in each variable.

    >>> noise = witten.sgd.bounded_noise(1, deviation=2.0)
    >>> float(round(noise.weights @ noise.values(np.zeros((1, 1)))[:, 0, 0] ** 2, 9))
    4.0
    """
    positive("noise", deviation)
    nodes, weights = np.polynomial.legendre.leggauss(order)
    at = np.stack([z.ravel() for z in np.meshgrid(*[nodes] * dimension, indexing="ij")], axis=1)
    joint = np.prod([w.ravel() for w in np.meshgrid(*[weights / 2] * dimension, indexing="ij")], axis=0)
    values = math.sqrt(3) * deviation * at[:, :, None]
    return AtomicNoise(joint, lambda x: values, f"uniform, deviation {deviation:g}")


def minibatch_noise(gradients: Callable[[Array], Array], data: int, batch: int = 1) -> AtomicNoise:
    """xi = mean_i g_i(x) - mean_{i in B} g_i(x), B a batch drawn from the data with replacement.

    >>> noise = witten.sgd.minibatch_noise(lambda x: np.stack([x - 1, x + 1]), data=2)
    >>> noise.values(np.zeros((1, 1))).ravel().tolist()
    [1.0, -1.0]

    Parameters
    ----------
    gradients : the gradient of the loss of each datum at points (d, n), shape (data, d, n); their mean is grad f
    data : how many data there are
    batch : how many of them a batch holds

    Raises
    ------
    RequestError
        if there are too many batches to be counted.
    """
    if data < 1 or batch < 1 or math.comb(data + batch - 1, batch) > MOST_BATCHES:
        raise RequestError(
            f"batches of {batch} from {data} data are too many to count (or none); take fewer, or GaussianNoise with "
            "their covariance"
        )
    drawn = combinations_with_replacement(range(data), batch)
    counts = np.array([np.bincount(chosen, minlength=data) for chosen in drawn])
    log_ways = [math.lgamma(batch + 1) - sum(math.lgamma(c + 1) for c in row) for row in counts.tolist()]
    weights = np.exp(np.array(log_ways) - batch * math.log(data))

    def values(x: Array) -> Array:
        g = np.asarray(gradients(x), dtype=float)
        return np.asarray(g.mean(axis=0) - np.tensordot(counts / batch, g, axes=1))

    return AtomicNoise(weights / weights.sum(), values, f"minibatches of {batch} from {data}")
