"""What the law leaves out beside an instanton: noise that changes over the width of the tube of paths around it, or
between two places at which it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError
from witten.noise import Covariance

__all__ = ["Tube", "require_resolved"]

Array = NDArray[np.float64]
# Sigma may change by this part of its smallest eigenvalue over a segment that was halved so often.
CHANGE, HALVINGS = 0.25, 3
# Gauss-Hermite's rule, those of its nodes beyond the mean, in standard deviations.
NODES, WEIGHTS = (part[5:] for part in np.polynomial.hermite_e.hermegauss(9))
WEIGHTS = WEIGHTS / np.sqrt(2 * np.pi)


def require_resolved(diffusion: Covariance, points: Array) -> None:
    """ConvergenceError where Sigma changes much between neighbouring places (d, n) of a path."""
    start, end = points[:, :-1], points[:, 1:]
    for halved in range(HALVINGS + 1):
        least = np.linalg.eigvalsh(np.moveaxis(diffusion.sigma((start + end) / 2), 2, 0))[:, 0]
        wide = ~(diffusion.changes(start, end) <= CHANGE * least)
        if not wide.any():
            return
        start, end, middle = start[:, wide], end[:, wide], ((start + end) / 2)[:, wide]
        if halved < HALVINGS:
            start, end = np.concatenate([start, middle], axis=1), np.concatenate([middle, end], axis=1)
    place = ", ".join(f"{c:.4g}" for c in middle[:, 0])
    raise ConvergenceError(
        f"the covariance changes too fast near ({place}), on the most likely path, for the law; use witten gap"
    )


@dataclass(frozen=True, eq=False)
class Tube:
    """Paths around an instanton are normal across it, of covariance s P^{-1}, if H is quadratic over that width.

    Attributes
    ----------
    diffusion : Sigma
    points, momenta : x and p at places along the instanton, (d, n)
    hessians : P = Hess V there, (d, d, n)
    velocities : dx/dt, (d, n)
    times : weights dt of an integral over time, (n,)
    """

    diffusion: Covariance
    points: Array
    momenta: Array
    hessians: Array
    velocities: Array
    times: Array

    def log_error(self, s: float) -> float:
        """How far log k may be off since Sigma across the path is not its expansion to second order: with R what is
        missing of p . Sigma p/2, E int |R_even| dt/s + (E int |R_odd| dt/s)^2, E over the width of the tube."""
        return float(sum(self._across(s, k) for k in range(len(self.points) - 1)))

    def _across(self, s: float, k: int) -> float:
        even = odd = 0.0
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            step = np.sqrt(s) * node * self._widths[k]
            with np.errstate(all="ignore"):
                ahead, behind = self._missing(step), self._missing(-step)
            even += weight * abs(ahead + behind) @ self.times / s
            odd += weight * abs(ahead - behind) @ self.times / s
        found = float(even + odd**2)
        return found if np.isfinite(found) else np.inf

    def _missing(self, step: Array) -> Array:
        """p . (Sigma(x + step) - its expansion) p/2, (n,)."""
        d, x, p = self.diffusion, self.points, self.momenta
        first = np.einsum("ijkn,kn->ijn", d.slopes(x), step)
        second = np.einsum("ijkln,kn,ln->ijn", d.bends(x), step, step)
        off = d.sigma(x + step) - d.sigma(x) - first - second / 2
        return 0.5 * np.asarray(np.einsum("ijn,in,jn->n", off, p, p))

    @property
    def _widths(self) -> Array:
        """Half axes of the tube across the path at s = 1, (d - 1, d, n)."""
        across = np.linalg.svd(self.velocities.T[:, None, :])[2][:, 1:]
        inner = np.einsum("nki,ijn,nlj->nkl", across, self.hessians, across)
        values, vectors = np.linalg.eigh(inner)
        axes = np.einsum("nkm,nki->min", vectors, across)
        return np.asarray(axes / np.sqrt(abs(values.T[:, None, :])))
