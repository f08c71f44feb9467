"""One step of noisy gradient descent as an operator on functions, and its adjoint on densities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.special import ndtr

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.objectives.objective import Objective
from witten.operators.differences.finite_differences import Pattern
from witten.operators.kernels import kernel
from witten.request import positive
from witten.sgd.gradient_noise import GaussianNoise

__all__ = ["REACH", "TransferOperator", "dot", "lowered", "on_grid", "somewhere", "transfer_operator", "within_reach"]

Array = NDArray[np.float64]
# The Gaussian is cut off at so many standard deviations: beyond lies 2e-19 of it.
REACH = 9.0
# Where an image that overflows is: it has left, wherever to.
OUTSIDE = 1e300
# Exponents of the SDE's chain beyond which a step is one way.
STEEPEST = 30.0


@dataclass(frozen=True, eq=False)
class TransferOperator:
    """(P u)(x) = E u(x - h grad f(x) + e), e ~ N(0, diag v), by the trapezoid rule on a grid (Nystroem).

    Row i holds the density of where node i goes, times the volume of a cell. The density is a product over the axes, so
    that a row is kept as one short window of weights for each axis, and P is never formed unless asked for. With nodes
    closer than half a standard deviation the rule is exact to rounding (e^{-2 pi^2 v/spacing^2} on a Gaussian). What
    leaves the active cells of the grid is lost: rows sum to 1 - killed.

    Parameters
    ----------
    grid : Grid, in the coordinates z = Q^T x
    axes : Q, orthonormal, shape (d, d): the noise is independent along its columns
    images : Q^T (x - h grad f(x)) at the nodes, shape (d, n)
    deviations : of e along each axis, shape (d,)
    step_size : h
    objective : its name
    values : f at the nodes, shape (n,)
    """

    grid: Grid
    axes: Array
    images: Array
    deviations: Array
    step_size: float
    objective: str
    values: Array

    @property
    def n_dofs(self) -> int:
        return self.grid.n_nodes

    @property
    def points(self) -> Array:
        """The nodes x, shape (d, n)."""
        return self.axes @ self.grid.points

    @property
    def volume(self) -> float:
        """Of a cell: a density is masses / volume."""
        return float(np.prod(self.grid.spacing))

    @property
    def spreads(self) -> Array:
        """The deviations of e along each axis at each node, shape (d, n)."""
        return np.repeat(self.deviations[:, None], self.images.shape[1], axis=1)

    @property
    def guess(self) -> Array:
        """log of what is near the stationary distribution but for a factor, shape (n,): -2 f/s, s = v/h, v the largest
        variance."""
        unit = float(self.deviations.max() ** 2 / self.step_size)
        with np.errstate(all="ignore"):
            return np.asarray(-2.0 * (self.values - np.nanmin(self.values)) / unit)

    def neighbour_rates(self) -> coo_array:
        """h times the rates of the SDE that the chain is close to: a chain on the same nodes, to the neighbours along
        each axis, v/2 dz^2 exp((f_i - f_j) h/v)."""
        pattern, n, f, v = Pattern.of(self.grid), self.n_dofs, self.values, self.deviations**2
        rows = np.repeat(np.arange(n), np.diff(pattern.indptr))
        beside = pattern.axis < v.size
        i, j, axis = rows[beside], pattern.indices[beside], pattern.axis[beside]
        drop = np.clip((f[i] - f[j]) * self.step_size / v[axis], -STEEPEST, STEEPEST)
        rates = (v / (2 * self.grid.spacing**2))[axis] * np.exp(drop)
        return coo_array((rates, (i, j)), shape=(n, n))

    @cached_property
    def windows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """First node (d, n), count (d, n) and weights (d, n, widest) of each row along each axis."""
        first = np.array([axis[0] for axis in self.grid.axes])
        shape = np.array(self.grid.shape)
        widest = int(np.ceil(2 * REACH * (self.spreads / self.grid.spacing[:, None]).max())) + 2
        n = self.images.shape[1]
        start, count = np.zeros((2, len(shape), n), dtype=np.int64)
        weights = np.zeros((len(shape), n, widest))
        _fill_windows(self.images[0], self.images, first, self.grid.spacing, shape, self.spreads, start, count,
                      weights)  # fmt: skip
        return start, count, weights

    def apply(self, u: Array) -> Array:
        """P u, (n,) -> (n,): what u is expected to be one step later."""
        return self._applied(self.grid.expand(np.asarray(u, dtype=float), fill=0.0))

    def _applied(self, u: Array) -> Array:
        """P u for u on all cells, active or not, of shape grid.shape."""
        start, count, weights = self.windows
        if self.grid.dimension == 1:
            return np.asarray(_apply_line(start[0], count[0], weights[0], u))
        return np.asarray(_apply_plane(start[0], start[1], count, weights, u))

    def adjoint(self, masses: Array, negligible: float = 0.0) -> Array:
        """masses P, (n,) -> (n,): where mass at the nodes is one step later.

        In the plane what moves from one node to another is left out where it is below `negligible`.
        """
        start, count, weights = self.windows
        masses = np.ascontiguousarray(masses, dtype=float)
        if self.grid.dimension == 1:
            out = _adjoint_line(start[0], count[0], weights[0], masses, self.grid.shape[0])
        elif negligible > 0:
            out = _adjoint_of_heavy(start, count, weights, masses, negligible, *self.grid.shape)
        else:
            out = _adjoint_plane(start, count, weights, masses, *self.grid.shape)
        return np.asarray(out[self.grid.mask])

    def dense(self) -> Array:
        """P as a matrix (n, n)."""
        start, count, weights = self.windows
        numbers = self.numbers.reshape(self.grid.shape[0], -1)
        return np.asarray(_dense(start, count, weights, numbers, self.n_dofs))

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of the nodes, -1 in cells that are not active, of shape grid.shape."""
        out = np.full(self.grid.shape, -1, dtype=np.int64)
        out[self.grid.mask] = np.arange(self.n_dofs)
        return out

    @cached_property
    def killed(self) -> Array:
        """The probability to leave the active cells in one step from each node, shape (n,): a sum of positive parts."""
        outside = self._outside()
        if not self.grid.mask.all():
            outside += self._applied(np.where(self.grid.mask, 0.0, 1.0))
        return np.asarray(np.minimum(outside, 1.0))

    def _outside(self) -> Array:
        """The probability to leave the box."""
        lower, upper = (np.array(side)[:, None] for side in (self.grid.box.lower, self.grid.box.upper))
        out = ndtr((lower - self.images) / self.spreads)
        out += ndtr((self.images - upper) / self.spreads)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(np.log1p(-np.minimum(out, 1.0)).sum(axis=0)))


def transfer_operator(
    objective: Objective,
    step_size: float,
    box: Box,
    *,
    noise: GaussianNoise,
    per_deviation: float = 2.0,
    level: float = np.inf,
) -> TransferOperator:
    """x+ = x - h grad f(x) + e, e ~ N(0, C), on a box.

    Parameters
    ----------
    objective : f, of dimension 1 or 2
    step_size : h > 0
    box : in the coordinates along the axes of the noise
    noise : of e itself, not of the gradient: for SGD with learning rate s it is N(0, s^2 C)
    per_deviation : nodes per standard deviation of the noise along each axis
    level : nodes where f is above it are left out

    Raises
    ------
    RequestError
        if dimensions differ or are above 2, if h is not positive, or so large that no node is below the level.
    """
    if objective.dimension > 2 or {noise.dimension, box.dimension} != {objective.dimension}:
        raise RequestError(
            f"the transfer operator is there in 1 and 2 dimensions; {objective.name} has {objective.dimension}, the "
            f"box {box.dimension}, the noise {noise.dimension}"
        )
    positive("step size", step_size)
    deviations, axes = noise.axes()
    shape = np.maximum(np.ceil(box.widths * per_deviation / deviations), 8)
    grid = Grid(box, tuple(int(n) for n in shape))
    grid = lowered(grid, lambda z: objective(axes @ z), level, objective.name, step_size)
    return on_grid(objective, step_size, grid, axes, deviations)


def lowered(grid: Grid, height: Callable[[Array], Array], level: float, name: str, step_size: float) -> Grid:
    """The nodes at which a height is at most `level`; RequestError where there is none."""
    if not level < np.inf:
        return grid
    with np.errstate(all="ignore"):
        mask = (height(grid.points) <= level).reshape(grid.shape)
    if not mask.any():
        raise RequestError(
            f"learning rate {step_size:g} is too large for {name}: the noise of one step is wider than all there is; "
            "take a smaller one"
        )
    return replace(grid, mask=mask)


def on_grid(
    objective: Objective, step_size: float, grid: Grid, axes: Array, deviations: Array
) -> TransferOperator:
    """The operator on a grid that is given."""
    x = axes @ grid.points
    with np.errstate(all="ignore"):
        images = axes.T @ (x - step_size * objective.gradient(x))
        values = np.asarray(objective(x), dtype=float)
    return TransferOperator(grid, axes, somewhere(images), deviations, float(step_size), objective.name, values)


def somewhere(images: Array) -> Array:
    """Images, those that overflow far outside of any box."""
    return np.where(np.isfinite(images), images, OUTSIDE)


@numba.njit(cache=True, error_model="numpy")
def within_reach(y, reach, first, h, cells):  # type: ignore[no-untyped-def]
    """The first of the nodes first + h j at most `reach` from y, and how many there are."""
    below, above = (y - reach - first) / h, (y + reach - first) / h
    if not (above >= 0.0 and below <= cells - 1.0):
        return 0, 0
    low, high = int(np.ceil(max(below, 0.0))), int(np.floor(min(above, cells - 1.0)))
    return low, max(high - low + 1, 0)


@kernel
def _fill_windows(rows, images, first, spacing, shape, deviations, start, count, weights):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.size):
        for a in range(shape.size):
            y, h, sigma = images[a, i], spacing[a], deviations[a, i]
            low, length = within_reach(y, REACH * sigma, first[a], h, shape[a])
            start[a, i], count[a, i] = low, length
            scale = h / (np.sqrt(2.0 * np.pi) * sigma)
            for j in range(low, low + length):
                t = (first[a] + h * j - y) / sigma
                weights[a, i, j - low] = scale * np.exp(-0.5 * t * t)


@kernel
def _apply_line(start, count, weights, u):  # type: ignore[no-untyped-def]
    out = np.empty(start.size)
    for i in numba.prange(start.size):
        total = 0.0
        for j in range(count[i]):
            total += weights[i, j] * u[start[i] + j]
        out[i] = total
    return out


@numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def dot(a, b):  # type: ignore[no-untyped-def]
    """sum a b, in as many partial sums as a register holds: in the order of the terms it takes three times as long."""
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@kernel
def _apply_plane(start, other, count, weights, u):  # type: ignore[no-untyped-def]
    out = np.empty(start.size)
    for i in numba.prange(start.size):
        total, last = 0.0, count[1, i]
        bell = weights[1, i, :last]
        for j in range(count[0, i]):
            total += weights[0, i, j] * dot(bell, u[start[i] + j, other[i] : other[i] + last])
        out[i] = total
    return out


@numba.njit(cache=True)
def _adjoint_line(start, count, weights, masses, cells):  # type: ignore[no-untyped-def]
    out = np.zeros(cells)
    for i in range(start.size):
        for j in range(count[i]):
            out[start[i] + j] += masses[i] * weights[i, j]
    return out


@numba.njit(cache=True)
def _adjoint_plane(start, count, weights, masses, rows, columns):  # type: ignore[no-untyped-def]
    out = np.zeros((rows, columns))
    for i in range(masses.size):
        last = count[1, i]
        bell = weights[1, i, :last]
        for j in range(count[0, i]):
            w = masses[i] * weights[0, i, j]
            # Slices, so that the loop below is vectorised.
            row = out[start[0, i] + j, start[1, i] : start[1, i] + last]
            for k in range(last):
                row[k] += w * bell[k]
    return out


@numba.njit(cache=True)
def _adjoint_of_heavy(start, count, weights, masses, least, rows, columns):  # type: ignore[no-untyped-def]
    out = np.zeros((rows, columns))
    for i in range(masses.size):
        last = count[1, i]
        if abs(masses[i]) <= least or last == 0:
            continue
        # A bell: what is heavy enough lies around its top, in an interval that grows and shrinks from row to row.
        bell = weights[1, i, :last]
        top = np.argmax(bell)
        low, high = top, top + 1
        for j in range(count[0, i]):
            w = abs(masses[i]) * weights[0, i, j]
            if w * bell[top] < least:
                continue
            while low > 0 and w * bell[low - 1] >= least:
                low -= 1
            while w * bell[low] < least:
                low += 1
            while high < last and w * bell[high] >= least:
                high += 1
            while w * bell[high - 1] < least:
                high -= 1
            w = masses[i] * weights[0, i, j]
            # Slices, so that the loop below is vectorised.
            row, part = out[start[0, i] + j, start[1, i] + low : start[1, i] + high], bell[low:high]
            for k in range(part.size):
                row[k] += w * part[k]
    return out


@numba.njit(cache=True)
def _dense(start, count, weights, numbers, n):  # type: ignore[no-untyped-def]
    out = np.zeros((n, n))
    line = start.shape[0] == 1
    for i in range(n):
        for j in range(count[0, i]):
            columns = numbers[start[0, i] + j]
            for k in range(1 if line else count[1, i]):
                column = columns[0] if line else columns[start[1, i] + k]
                if column >= 0:
                    out[i, column] = weights[0, i, j] * (1.0 if line else weights[1, i, k])
    return out
