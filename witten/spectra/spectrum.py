"""The low end of a spectrum: eigenvalues, modes, error bars, and what is resolved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.domains.grid import Grid

__all__ = ["Spectrum"]

# A rate whose error bar is wider than this part of it is not resolved.
RESOLVED = 0.1


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The k lowest eigenvalues at one learning rate s, ascending, the zero of the ground state first.

    Attributes
    ----------
    learning_rate : s
    noise : sigma, the scale of the gradient noise: rates are those of the learning rate s sigma^2
    rates : lambda_j, eigenvalues of the generator -L, shape (k,); rates[0] = 0, rates[1] is the spectral gap
    errors : error bars: |true - rate| <= error, shape (k,)
    modes : u_j at the nodes of `grid`, unit norm in L2(mu_s), shape (k, n); u_0 = 1. A multiple eigenvalue fixes only
        the span of its modes.
    grid : the grid the modes live on
    objective : the objective's name
    solver : what solved it
    n_dofs : nodes of the finest grid
    seconds : wall time
    """

    learning_rate: float
    rates: NDArray[np.float64]
    errors: NDArray[np.float64]
    modes: NDArray[np.float64]
    grid: Grid
    objective: str
    solver: str
    n_dofs: int
    seconds: float
    noise: float = 1.0

    @property
    def eigenvalues(self) -> NDArray[np.float64]:
        """delta_j = 2 s sigma^2 lambda_j, the eigenvalues of the Witten-Laplacian."""
        return 2.0 * self.learning_rate * self.noise**2 * self.rates

    @property
    def resolved(self) -> NDArray[np.bool_]:
        """Whether the error bar is at most a tenth of the rate; the zero is known exactly."""
        resolved: NDArray[np.bool_] = self.errors <= RESOLVED * self.rates
        return resolved

    @property
    def multiplets(self) -> tuple[tuple[int, ...], ...]:
        """Runs of two or more rates whose error bars overlap: their modes are fixed only up to mixing."""
        touch = self.rates[1:] - self.errors[1:] <= self.rates[:-1] + self.errors[:-1]
        runs = np.split(np.arange(self.rates.size), np.flatnonzero(~touch) + 1)
        return tuple(tuple(run.tolist()) for run in runs if run.size > 1)

    @property
    def gap(self) -> float:
        """lambda_1."""
        return float(self.rates[1])
