"""One step where the noise is narrower than the cells of a grid, and resampling from grid to grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid

__all__ = ["SemiLagrangian", "distribute", "resampled"]

Array = NDArray[np.float64]
# Nodes of the local polynomials that distribute mass between nodes.
STENCIL = 8
# Mass at a node of the plane that is neglected, relative to the total: below the rounding of the Fourier transform.
NEGLIGIBLE_MASS = 1e-18


@dataclass(frozen=True, eq=False)
class SemiLagrangian:
    """One step where the noise is narrower than the cells: mass is advected, distributed to nearby nodes by Lagrange
    polynomials of degree STENCIL - 1, which keep its first moments, and convolved with the Gaussian in Fourier space.

    Right for laws that are much wider than the noise of a step, as they are when the learning rate is small.
    """

    grid: Grid
    images: Array
    deviations: Array

    @cached_property
    def targets(self) -> Targets:
        """Where the nodes go, found once for all steps."""
        return _targets(self.grid, self.images)

    def adjoint(self, masses: Array) -> Array:
        """Masses at the nodes one step later, (n,) -> (n,)."""
        out = _distributed(self.grid.shape, *self.targets, masses)
        for axis, (n, h, sigma) in enumerate(zip(self.grid.shape, self.grid.spacing, self.deviations, strict=True)):
            frequency = 2 * np.pi * np.fft.rfftfreq(n, h)
            damping = np.exp(-0.5 * (sigma * frequency) ** 2)
            shape = [-1 if a == axis else 1 for a in range(self.grid.dimension)]
            out = np.fft.irfft(np.fft.rfft(out, axis=axis) * damping.reshape(shape), n, axis=axis)
        return np.asarray(out.ravel())


def distribute(grid: Grid, at: Array, masses: Array) -> Array:
    """Masses at points `at` (d, m) as masses on the full grid, of shape grid.shape; what is outside is lost."""
    return _distributed(grid.shape, *_targets(grid, at), masses)


Targets = tuple[NDArray[np.bool_], NDArray[np.int64], Array]


def _targets(grid: Grid, at: Array) -> Targets:
    """Which points are inside, shape (m,); of these the first node (d, .) and the weights (d, ., STENCIL) by axis."""
    lower, upper = (np.array(side)[:, None] for side in (grid.box.lower, grid.box.upper))
    inside = np.all((at >= lower) & (at <= upper), axis=0)
    first, weights = [], []
    for axis, n, h, z in zip(grid.axes, grid.shape, grid.spacing, at[:, inside], strict=True):
        place = (z - axis[0]) / h
        start = np.clip(np.floor(place).astype(np.int64) - STENCIL // 2 + 1, 0, n - STENCIL)
        first.append(start)
        weights.append(_lagrange(place - start))
    return inside, np.array(first), np.array(weights)


def _distributed(shape: tuple[int, ...], inside: NDArray[np.bool_], first: NDArray[np.int64], weights: Array,
               masses: Array) -> Array:  # fmt: skip
    if len(shape) == 1:
        return np.asarray(_distribute_line(shape[0], first[0], weights[0], masses[inside]))
    return np.asarray(_distribute_plane(shape[0], shape[1], first, weights, masses[inside]))


@numba.njit(cache=True)
def _distribute_line(n, first, weights, masses):  # type: ignore[no-untyped-def]
    out = np.zeros(n)
    for i in range(masses.size):
        for j in range(weights.shape[1]):
            out[first[i] + j] += masses[i] * weights[i, j]
    return out


@numba.njit(cache=True)
def _distribute_plane(rows, columns, first, weights, masses):  # type: ignore[no-untyped-def]
    out = np.zeros((rows, columns))
    least = NEGLIGIBLE_MASS * np.abs(masses).sum()
    for i in range(masses.size):
        if abs(masses[i]) <= least:
            continue
        bell, begin = weights[1, i], first[1, i]
        for j in range(weights.shape[2]):
            w = masses[i] * weights[0, i, j]
            row = out[first[0, i] + j, begin : begin + STENCIL]
            for k in range(STENCIL):
                row[k] += w * bell[k]
    return out


def _lagrange(t: Array) -> Array:
    """Values at t of the polynomials that are 1 at one of 0, ..., STENCIL - 1 and 0 at the others, (m, STENCIL)."""
    nodes = np.arange(STENCIL)
    out = np.ones((t.size, STENCIL))
    for j in nodes:
        for i in nodes[nodes != j]:
            out[:, j] *= (t - i) / (j - i)
    return out


def resampled(masses: Array, old: Grid, new: Grid) -> Array:
    """The same trigonometric polynomial on another grid of the same box."""
    density = masses.reshape(old.shape) / np.prod(old.spacing)
    for axis, (n, m) in enumerate(zip(old.shape, new.shape, strict=True)):
        c = np.fft.rfft(density, axis=axis)
        kept = min(c.shape[axis], m // 2 + 1)
        c = c.take(range(kept), axis)
        shift = 0.5 * (new.spacing[axis] - old.spacing[axis]) / old.box.widths[axis]
        phase = np.exp(2j * np.pi * np.arange(kept) * shift)
        c = c * phase.reshape([-1 if a == axis else 1 for a in range(old.dimension)])
        density = np.fft.irfft(c, m, axis=axis) * (m / n)
    return np.asarray(density.ravel() * np.prod(new.spacing))
