"""One step of SGD whose noise is another at each place: x+ = x + s (c - grad f(x)) + s Sigma(x)^{1/2} xi."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import RequestError
from witten.memory import require_memory
from witten.noise import Diffusion, Reversible, reversible
from witten.objectives import Objective
from witten.operators.generators.markov_generator import markov_generator
from witten.operators.kernels import kernel
from witten.sgd.transfer_operator import REACH, TransferOperator
from witten.spectra.generators.irreversible import matched_region
from witten.spectra.generators.noisy import require_positive

__all__ = ["CorrelatedTransferOperator", "LocalNoise", "LocalTransferOperator"]

Array = NDArray[np.float64]
# Places along each axis at which Sigma is looked at before there is a grid.
LOOKED_AT = {1: 401, 2: 61}
# Of noise without a potential: f at the rim of the first domain, above the saddles in units of s sigma^2. It is
# enlarged until next to nothing leaves.
FIRST = 6.0
# A grid is made anew where noise at its nodes is narrower than this part of what it was made for.
NARROWER, ANEW = 0.95, 8


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

    def log_gibbs(self, objective: Objective) -> Array:
        if reversible(self.diffusion, self.step_size) is None:
            raise RequestError("this noise has no potential, and its SDE no Gibbs measure")
        return self.guess

    def neighbour_rates(self) -> coo_array:
        d = self.diffusion
        stream = d.stream if d.current else None
        generator = markov_generator(self.grid, d.sigma, d.pull, d.divergence, self.step_size, stream)
        return coo_array(self.step_size * generator.rates)

    def around(self, image: Array) -> Array:
        raise RequestError("where a step leads depends on the noise where it begins: an image alone has no row")


@dataclass(frozen=True, eq=False)
class CorrelatedTransferOperator(LocalTransferOperator):
    """The same in the plane, with any Sigma: of each line of the grid along the second axis a row has a segment, the
    nodes that lie within REACH deviations of its Gaussian."""

    @cached_property
    def segments(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Where those of each node begin (n + 1,); line, first node and place of the first weight of each segment, with
        one more at the end, (3, .); weights (.).

        Raises
        ------
        ConvergenceError
            where they take more memory than there is.
        """
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
        numbers = np.full(self.grid.shape, -1, dtype=np.int64)
        numbers[self.grid.mask] = np.arange(self.n_dofs)
        out = np.zeros((self.n_dofs, self.n_dofs))
        _dense(starts, table, weights, numbers, out)
        return out

    @cached_property
    def killed(self) -> Array:
        outside = np.zeros(self.n_dofs)
        _leaving(self.images[0], *self._geometry, outside)
        if not self.grid.mask.all():
            outside += self._applied(np.where(self.grid.mask, 0.0, 1.0))
        return np.minimum(outside, 1.0)


@dataclass(frozen=True, eq=False)
class LocalNoise:
    """The noise of a step at a learning rate s, and where its law may be.

    Attributes
    ----------
    diffusion : Sigma, f and the drift
    step_size : s
    """

    diffusion: Diffusion
    step_size: float

    @property
    def objective(self) -> Objective:
        return self.diffusion.objective

    @property
    def dimension(self) -> int:
        return self.diffusion.dimension

    @cached_property
    def potential(self) -> Reversible | None:
        """That of the SDE, in the coordinates of f; None where there is none."""
        found = reversible(self.diffusion, self.step_size)
        return None if found is None or found.turned else found

    @property
    def height(self) -> Objective:
        """Whose sublevel sets are domains: the potential, or f."""
        return self.objective if self.potential is None else self.potential.potential

    def require_positive(self, box: Sequence[tuple[float, float]] | None) -> None:
        """RequestError, with the place, where Sigma is not positive definite in the box or around the wells of f."""
        require_positive(self.diffusion, box)

    def region(self, wells: int, margin: float) -> tuple[Sublevel, float]:
        """Where the law of the SDE is, and the learning rate at which unit noise has it."""
        if self.potential is not None:
            return sublevel(self.height, self.step_size, wells=wells, margin=margin), self.step_size
        region, strength = matched_region(self.diffusion, self.step_size, min(margin, FIRST))
        return region, self.step_size * strength

    def unit(self, box: Box) -> float:
        """The learning rate at which unit noise has its law on `height`, in a box."""
        if self.potential is not None:
            return self.step_size
        return float(self.deviations(box).max() ** 2 / self.step_size)

    def deviations(self, box: Box) -> Array:
        """The largest of the noise of a step along each axis in a box, shape (d,)."""
        x = Grid(box, (LOOKED_AT[self.dimension],) * self.dimension).points
        with np.errstate(all="ignore"):
            variances = np.diagonal(self.diffusion.sigma(x))
        return self.step_size * np.sqrt(np.where(np.isfinite(variances), variances, 0.0).max(axis=0, initial=0.0))

    def narrowest(self, grid: Grid) -> Array:
        """The smallest deviation of a step along each axis, the other coordinates given, at the nodes; shape (d,)."""
        self.diffusion.require_positive(grid.points)
        inverse = np.linalg.inv(np.moveaxis(self.diffusion.sigma(grid.points), 2, 0))
        return self.step_size / np.sqrt(np.diagonal(inverse, axis1=1, axis2=2).max(axis=0))

    def grid(self, box: Box, level: float, per_deviation: float, most: float) -> tuple[Grid, Array]:
        """Cells of 1/per_deviation of the narrowest noise at their nodes, which is returned with them.

        Raises
        ------
        RequestError
            where they are more than `most`.
        """
        grid = self._below(level, Grid(box, (LOOKED_AT[self.dimension],) * self.dimension))
        wanted = self.narrowest(grid)
        for _ in range(ANEW):
            cells = np.maximum(np.ceil(box.widths * per_deviation / wanted), 8)
            if np.prod(cells) > most:
                break
            grid = self._below(level, Grid(box, tuple(int(n) for n in cells)))
            found = self.narrowest(grid)
            if (found >= NARROWER * wanted).all():
                return grid, found
            wanted = np.minimum(found, wanted)
        raise RequestError(
            f"the noise of a step on {self.objective.name} is as narrow as {wanted.min():.3g} in {box}, and needs "
            f"{np.prod(cells):.3g} cells; ask for a larger learning rate or a smaller box, or add a floor to the "
            "covariance"
        )

    def _below(self, level: float, grid: Grid) -> Grid:
        if not level < np.inf:
            return grid
        with np.errstate(all="ignore"):
            mask = (self.height(grid.points) <= level).reshape(grid.shape)
        if not mask.any():
            raise RequestError(
                f"learning rate {self.step_size:g} is too large for {self.objective.name}: the noise of one step is "
                "wider than all there is; take a smaller one"
            )
        return replace(grid, mask=mask)

    def operator(
        self, box: Box, level: float, unit: float, per_deviation: float, most: float
    ) -> LocalTransferOperator:
        """A step on a grid of at most so many cells."""
        grid, deviations = self.grid(box, level, per_deviation, most)
        f, x = self.objective, grid.points
        with np.errstate(all="ignore"):
            images = x + self.step_size * (self.diffusion.pull(x) + self.diffusion.stream(x))
            values = np.asarray(self.height(x), dtype=float)
        images = np.where(np.isfinite(images), images, 1e300)
        kind = LocalTransferOperator if self.diffusion.matrix.is_diagonal() is True else CorrelatedTransferOperator
        return kind(
            grid, np.eye(f.dimension), images, deviations, self.step_size, f.name, values, unit, self.diffusion
        )


@numba.njit(cache=True, error_model="numpy")
def _along(y, deviation, reach, first, h, cells):  # type: ignore[no-untyped-def]
    """First node within `reach` deviations of y, and how many there are."""
    below, above = (y - reach * deviation - first) / h, (y + reach * deviation - first) / h
    if not (above >= 0.0 and below <= cells - 1.0):
        return 0, 0
    low, high = int(np.ceil(max(below, 0.0))), int(np.floor(min(above, cells - 1.0)))
    return low, max(high - low + 1, 0)


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
        begin, lines = _along(image[0], math.sqrt(covariance[0]), REACH, first[0], spacing[0], shape[0])
        for k in range(begin, begin + lines):
            _, mean, deviation, reach = _line(image, covariance, first[0] + spacing[0] * k, spacing[0])
            _, length = _along(mean, deviation, reach, first[1], spacing[1], shape[1])
            if length > 0:
                counts[0, i] += 1
                counts[1, i] += length


@kernel
def _fill(rows, images, covariances, first, spacing, shape, starts, table, weights):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.size):
        image, covariance = _row(i, images, covariances)
        at, place = starts[0, i], starts[1, i]
        begin, lines = _along(image[0], math.sqrt(covariance[0]), REACH, first[0], spacing[0], shape[0])
        for k in range(begin, begin + lines):
            mass, mean, deviation, reach = _line(image, covariance, first[0] + spacing[0] * k, spacing[0])
            low, length = _along(mean, deviation, reach, first[1], spacing[1], shape[1])
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
        begin, lines = _along(image[0], math.sqrt(covariance[0]), REACH, first[0], spacing[0], shape[0])
        for k in range(begin, begin + lines):
            mass, mean, deviation, _ = _line(image, covariance, first[0] + spacing[0] * k, spacing[0])
            outside[i] += mass * _beyond(mean, deviation, first[1], spacing[1], shape[1])


@numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@kernel
def _apply(rows, starts, table, weights, u):  # type: ignore[no-untyped-def]
    out = np.empty(rows.size)
    for i in numba.prange(rows.size):
        total = 0.0
        for k in range(starts[i], starts[i + 1]):
            part = weights[table[2, k] : table[2, k + 1]]
            total += _dot(part, u[table[0, k], table[1, k] : table[1, k] + part.size])
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
