"""What the slowest mode of a spectrum does: whether it is different from well to well or within them, and which way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.explanation.basins import Basins
from witten.explanation.explanation import Mode, Relaxation
from witten.explanation.relief import Relief
from witten.objectives import Objective
from witten.spectra.spectrum import Spectrum

__all__ = ["seen_mode"]

Array = NDArray[np.float64]
# Modes larger than this, or masses smaller than one over it, are more than doubles can be multiplied with.
HUGE = 1e140


def seen_mode(found: Spectrum, objective: Objective, relief: Relief | None, wells: Basins | None) -> Mode:
    """Mode 1, of unit variance and mean zero; of a multiplet that it is in, means over all of its modes."""
    group = next((run for run in found.multiplets if 1 in run), (1,))
    after = group[-1] + 1
    known = after < found.rates.size and bool(found.resolved[after])
    log_next, error = (found.log_rates[after], found.relative_errors[after]) if known else (np.nan, np.nan)
    modes = found.modes[list(group)]
    moved, within = np.empty(0), np.nan
    if not (abs(modes) < HUGE).all():
        return Mode(within, moved, len(group), float(log_next), float(error))
    if wells is not None and wells.wells.size > 1 and wells.log_masses.min() > -np.log(HUGE):
        masses = np.exp(wells.log_masses)
        means = np.array([wells.means(u) for u in modes])
        within = 1 - float(np.mean([_between(masses, mean) for mean in means]))
        moved = _moved(masses, means[0])
    along = _relaxation(found, objective, modes[0], relief)
    return Mode(within, moved, len(group), float(log_next), float(error), along)


def _between(masses: Array, means: Array) -> float:
    """sum_i mu_i <u>_i^2, of 1 in all: no mass underflows here, since mu_i <u>_i^2 <= 1."""
    return float(np.sum((np.sqrt(masses) * means) ** 2))


def _moved(masses: Array, means: Array) -> Array:
    """mu_i <u>_i, scaled so that what is gained is 1 in all."""
    flows = masses * means
    gained = float(flows[flows > 0].sum())
    return np.asarray(flows / gained) if gained > 0 else np.zeros_like(flows)


def _relaxation(found: Spectrum, objective: Objective, u: Array, relief: Relief | None) -> Relaxation | None:
    """The direction in which the mean of x moves while the mode decays: that of its covariance with x; none on circles,
    where there is no mean."""
    if objective.periodic_axes.any():
        return None
    x = found.grid.points
    logs = -2 * np.asarray(objective(x)) / (found.learning_rate * found.noise**2)
    weights = np.exp(logs - logs.max())
    direction, linear = _linear_part(x, u, weights)
    coarse, _ = _linear_part(x[:, ::2], u[::2], weights[::2])
    error = float(min(abs(coarse - direction).max(), abs(coarse + direction).max()))
    density = weights * u**2
    centre, other = (y @ p / float(p.sum()) for y, p in ((x, density), (x[:, ::2], density[::2])))
    height = float(objective(centre)) - float(np.min(objective(x)))
    return Relaxation(
        direction, error, linear, _curvature(objective, relief, direction), centre, float(abs(other - centre).max()),
        height,
    )  # fmt: skip


def _curvature(objective: Objective, relief: Relief | None, direction: Array) -> float:
    """Of f at the lowest minimum along a direction; nan on a kink."""
    if relief is None or not np.isfinite(relief.curvatures[0]).all():
        return float("nan")
    return float(direction @ objective.piecewise_hessian(relief.minima[:, 0]) @ direction)


def _linear_part(x: Array, u: Array, weights: Array) -> tuple[Array, float]:
    """Cov(x, u) as a unit vector, its largest entry positive; and the part of the variance of u linear in x."""
    p = weights / weights.sum()
    y = x - (x @ p)[:, None]
    c, v = (y * p) @ y.T, (y * p) @ u
    share = float(v @ np.linalg.solve(c, v)) / float(p @ (u - p @ u) ** 2)
    size = float(np.linalg.norm(v)) or 1.0
    return v / size * np.sign(v[abs(v).argmax()] or 1.0), min(max(share, 0.0), 1.0)
