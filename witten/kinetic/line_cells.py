"""Cells of a line that see how f changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.kinetic.elements import values_at
from witten.objectives import Objective
from witten.objectives.symbolic.interval_arithmetic import kinks_met

__all__ = ["first_cells", "halved"]

Array = NDArray[np.float64]
# Cells for a first mesh: so many units of T that f changes by in one, widths of a Gaussian well, and cells at least.
CHANGE, WIDTHS, FEWEST = 10.0, 0.8, 12
SAMPLES = 4000
# Halvings until a kink is known to rounding, and cells that may hold one beyond which they are not looked for.
HALVINGS, MOST_KINKS = 55, 500


def first_cells(objective: Objective, temperature: float, low: float, high: float, samples: int = SAMPLES) -> Array:
    """Edges of cells that see how f/T changes and bends; kinks of a formula are edges."""
    x = np.linspace(low, high, max(samples, SAMPLES) + 1)
    with np.errstate(all="ignore"):
        slope = abs(np.gradient(values_at(objective, x[None]), x))
        bend = abs(objective.piecewise_hessian(x[None])[0, 0])
    bend = np.where(np.isfinite(bend), bend, 0.0)
    density = slope / (CHANGE * temperature) + np.sqrt(bend / temperature) / WIDTHS + FEWEST / (high - low)
    count = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    edges = np.interp(np.linspace(0, count[-1], int(np.ceil(count[-1])) + 1), count, x)
    edges[[0, -1]] = low, high
    return _with(edges, _kinks(objective, edges))


def _with(edges: Array, kinks: Array) -> Array:
    """The edges and the kinks, without edges that are nearly kinks."""
    room = 0.1 * np.diff(edges).min()
    far = np.all(abs(edges[:, None] - kinks) > room, axis=1)
    far[[0, -1]] = True
    inner = kinks[(kinks > edges[0] + room) & (kinks < edges[-1] - room)]
    return np.sort(np.concatenate([edges[far], inner]))


def _kinks(objective: Objective, edges: Array) -> Array:
    """Where a formula has kinks, by halving cells; none for a callable."""
    if objective.formula is None:
        return np.empty(0)
    met = kinks_met(objective)
    low, high = edges[None, :-1], edges[None, 1:]
    for _ in range(HALVINGS):
        keep = met(low, high)
        low, high = low[:, keep], high[:, keep]
        if low.shape[1] == 0 or low.shape[1] > MOST_KINKS:
            return np.empty(0)
        middle = (low + high) / 2
        low, high = np.hstack([low, middle]), np.hstack([middle, high])
    places = np.sort(((low + high) / 2)[0])
    apart = np.append(True, np.diff(places) > 1e-9 * (edges[-1] - edges[0]))
    return np.asarray(places[apart])


def halved(edges: Array) -> Array:
    """Each cell in two."""
    return np.sort(np.concatenate([edges, (edges[:-1] + edges[1:]) / 2]))
