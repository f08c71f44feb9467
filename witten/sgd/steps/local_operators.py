"""One step of SGD as an operator where the noise is another at each place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from witten.memory import require_memory
from witten.noise import Diffusion
from witten.operators.generators.markov_generator import markov_generator
from witten.operators.kernels import kernel
from witten.sgd.steps.transfer_operator import REACH, TransferOperator, dot, within_reach

__all__ = ["CorrelatedTransferOperator", "LocalTransferOperator"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LocalTransferOperator(TransferOperator):
    """(P u)(x) = E u(y(x) + s Sigma(x)^{1/2} xi), y(x) = x + s (c - grad f(x)), xi ~ N(0, I), Sigma diagonal.

    As `TransferOperator`; the windows of each row are as wide as the noise where it begins. Cells are so wide that the
    narrowest noise is resolved, all other coordinates given.

    Parameters
    ----------
    deviations : the smallest conditional deviations of the noise along each axis, shape (d,)
    values : the potential of the noise, or f where there is none, at the nodes
    unit : the learning rate at which e^{-2 values/unit} is near the stationary distribution
    diffusion : Sigma and the drift
    """

    unit: float
    diffusion: Diffusion

    @cached_property
    def covariances(self) -> Array:
        """Of one step: s^2 Sigma at the nodes, (d, d, n)."""
        return self.step_size**2 * self.diffusion.sigma(self.grid.points)

    @property
    def spreads(self) -> Array:
        return np.sqrt(np.diagonal(self.covariances).T)

    @property
    def guess(self) -> Array:
        return -2.0 * (self.values - np.nanmin(self.values)) / self.unit

    def neighbour_rates(self) -> coo_array:
        d = self.diffusion
        stream = d.stream if d.current else None
        generator = markov_generator(self.grid, d.sigma, d.pull, d.divergence, self.step_size, stream)
        return coo_array(self.step_size * generator.rates)


@dataclass(frozen=True, eq=False)
class CorrelatedTransferOperator(LocalTransferOperator):
    """The same in the plane, with any Sigma: of each line of the grid along the second axis a row has a segment, the
    nodes that lie within REACH deviations of its Gaussian."""

    @cached_property
    def segments(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Where those of each node begin (n + 1,); line, first node and place of the first weight of each segment, with
        one more at the end, (3, .); weights (.). ConvergenceError where they take more memory than there is."""
        counts = np.zeros((2, self.n_dofs), dtype=np.int64)
        _count(self.images[0], *self._geometry, counts)
        starts = np.concatenate([np.zeros((2, 1), dtype=np.int64), counts.cumsum(axis=1)], axis=1)
        needed = 8.0 * starts[1, -1] + 24.0 * starts[0, -1]
        require_memory(needed, f"a step from {self.n_dofs} nodes", "ask for a larger learning rate or a smaller box")
        table, weights = np.zeros((3, int(starts[0, -1]) + 1), dtype=np.int64), np.zeros(int(starts[1, -1]))
        _fill(self.images[0], *self._geometry, starts, table, weights)
        table[2, -1] = weights.size
        return starts[0], table, weights

    @property
    def _geometry(self) -> tuple[Array, Array, Array, Array, NDArray[np.int64]]:
        first = np.array([axis[0] for axis in self.grid.axes])
        return self.images, self.covariances, first, self.grid.spacing, np.array(self.grid.shape)

    def _applied(self, u: Array) -> Array:
        starts, table, weights = self.segments
        return np.asarray(_apply(starts[:-1], starts, table, weights, u))

    def adjoint(self, masses: Array, negligible: float = 0.0) -> Array:
        starts, table, weights = self.segments
        masses, out = np.where(abs(masses) > negligible, masses, 0.0), np.zeros(self.grid.shape)
        _adjoint(starts, table, weights, masses, out)
        return np.asarray(out[self.grid.mask])

    def dense(self) -> Array:
        starts, table, weights = self.segments
        out = np.zeros((self.n_dofs, self.n_dofs))
        _dense(starts, table, weights, self.numbers, out)
        return out

    def _outside(self) -> Array:
        outside = np.zeros(self.n_dofs)
        _leaving(self.images[0], *self._geometry, outside)
        return outside


@numba.njit(cache=True, error_model="numpy")
def _line(image, covariance, x, h):  # type: ignore[no-untyped-def]
    """Of the Gaussian on the line where the first coordinate is x: its mass in a cell of width h, mean, deviation and
    how many of these are within reach."""
    a, b, c = covariance
    t = (x - image[0]) / math.sqrt(a)
    mass = h / math.sqrt(2.0 * np.pi * a) * math.exp(-0.5 * t * t)
    return mass, image[1] + b / a * (x - image[0]), math.sqrt(c - b * b / a), math.sqrt(max(REACH**2 - t * t, 0.0))


@numba.njit(cache=True, error_model="numpy")
def _row(i, images, covariances):  # type: ignore[no-untyped-def]
    image = (images[0, i], images[1, i])
    return image, (covariances[0, 0, i], covariances[0, 1, i], covariances[1, 1, i])


@kernel
def _count(rows, images, covariances, first, spacing, shape, counts):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.size):
        image, covariance = _row(i, images, covariances)
        begin, lines = within_reach(image[0], REACH * math.sqrt(covariance[0]), first[0], spacing[0], shape[0])
        for k in range(begin, begin + lines):
            _, mean, deviation, reach = _line(image, covariance, first[0] + spacing[0] * k, spacing[0])
            _, length = within_reach(mean, reach * deviation, first[1], spacing[1], shape[1])
            if length > 0:
                counts[0, i] += 1
                counts[1, i] += length


@kernel
def _fill(rows, images, covariances, first, spacing, shape, starts, table, weights):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.size):
        image, covariance = _row(i, images, covariances)
        at, place = starts[0, i], starts[1, i]
        begin, lines = within_reach(image[0], REACH * math.sqrt(covariance[0]), first[0], spacing[0], shape[0])
        for k in range(begin, begin + lines):
            mass, mean, deviation, reach = _line(image, covariance, first[0] + spacing[0] * k, spacing[0])
            low, length = within_reach(mean, reach * deviation, first[1], spacing[1], shape[1])
            if length == 0:
                continue
            table[0, at], table[1, at], table[2, at] = k, low, place
            scale = mass * spacing[1] / (math.sqrt(2.0 * np.pi) * deviation)
            for j in range(length):
                t = (first[1] + spacing[1] * (low + j) - mean) / deviation
                weights[place + j] = scale * math.exp(-0.5 * t * t)
            at += 1
            place += length


@numba.njit(cache=True)
def _tail(t):  # type: ignore[no-untyped-def]
    """P(xi > t)."""
    return 0.5 * math.erfc(t / math.sqrt(2.0))


@numba.njit(cache=True, error_model="numpy")
def _beyond(y, deviation, first, h, cells):  # type: ignore[no-untyped-def]
    """The part of a Gaussian beyond the ends of an axis."""
    low, high = first - h / 2, first + h * (cells - 0.5)
    return _tail((y - low) / deviation) + _tail((high - y) / deviation)


@kernel
def _leaving(rows, images, covariances, first, spacing, shape, outside):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.size):
        image, covariance = _row(i, images, covariances)
        outside[i] = _beyond(image[0], math.sqrt(covariance[0]), first[0], spacing[0], shape[0])
        begin, lines = within_reach(image[0], REACH * math.sqrt(covariance[0]), first[0], spacing[0], shape[0])
        for k in range(begin, begin + lines):
            mass, mean, deviation, _ = _line(image, covariance, first[0] + spacing[0] * k, spacing[0])
            outside[i] += mass * _beyond(mean, deviation, first[1], spacing[1], shape[1])


@kernel
def _apply(rows, starts, table, weights, u):  # type: ignore[no-untyped-def]
    out = np.empty(rows.size)
    for i in numba.prange(rows.size):
        total = 0.0
        for k in range(starts[i], starts[i + 1]):
            part = weights[table[2, k] : table[2, k + 1]]
            total += dot(part, u[table[0, k], table[1, k] : table[1, k] + part.size])
        out[i] = total
    return out


@numba.njit(cache=True)
def _adjoint(starts, table, weights, masses, out):  # type: ignore[no-untyped-def]
    for i in range(masses.size):
        if masses[i] == 0.0:
            continue
        for k in range(starts[i], starts[i + 1]):
            part = weights[table[2, k] : table[2, k + 1]]
            row = out[table[0, k], table[1, k] : table[1, k] + part.size]
            for j in range(part.size):
                row[j] += masses[i] * part[j]


@numba.njit(cache=True)
def _dense(starts, table, weights, numbers, out):  # type: ignore[no-untyped-def]
    for i in range(starts.size - 1):
        for k in range(starts[i], starts[i + 1]):
            for j in range(table[2, k + 1] - table[2, k]):
                column = numbers[table[0, k], table[1, k] + j]
                if column >= 0:
                    out[i, column] = weights[table[2, k] + j]
