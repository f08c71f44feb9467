"""Committors between any two sets, to a wanted accuracy, on grids that are refined until it is reached.

q(x) is the probability that a path from x comes to B before A. cap(A, B) is the number of transitions per unit of time,
k_AB the rate at which paths that were last in A come to B, and J their current (see `committors/between_sets`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sets import Ball, Predicate, predicate
from witten.errors import ConvergenceError
from witten.io import netcdf
from witten.linalg.richardson import extrapolated_logs
from witten.objectives.growth.conditions import essential_spectrum
from witten.objectives.objective import Objective
from witten.objectives.periodicity import Periods
from witten.objectives.periodicity import periodic as on_circles
from witten.objectives.resolve import resolve
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.request import effective_learning_rate
from witten.spectra.checks import given_box, require_request
from witten.spectra.committors.between_sets import Committor, committor_on
from witten.spectra.truncation import rounding_error, truncation, widened

if TYPE_CHECKING:
    import xarray

__all__ = ["COMMITTOR", "Committor", "committor", "committor_dataset", "committor_on"]

Array = NDArray[np.float64]
Region = Box | Ball | Predicate | Sequence[float]
# The kind of a file.
COMMITTOR = "committor"
AXES = ("x", "y", "z")
# Nodes up to which a grid is refined, in 1, 2 and 3 dimensions: systems are factored.
LARGEST = {1: 200_000, 2: 400_000, 3: 30_000}


def committor(
    objective: Objective | str,
    learning_rate: float,
    a: Region,
    b: Region,
    *,
    rtol: float = 1e-3,
    noise: float = 1.0,
    box: Sequence[tuple[float, float]] | None = None,
    periodic: Periods | None = None,
) -> Committor:
    """q(x) = P_x(B before A) for dX = -grad f dt + sigma sqrt(s) dW, with capacity, rates and reactive current [E2006].

    >>> found = witten.committor("double-well", 0.1, (-1.0,), (1.0,))
    >>> print(f"{found.rate:.5f}")  # as often each way: half the gap
    0.00138

    Parameters
    ----------
    objective : an Objective, or its text; dimension 1 to 3
    learning_rate : s > 0
    a, b : two sets that do not touch: a Box, a Ball(center, radius), a function (d, n) -> bool (n,), or a point, which
        stands for the well around the minimum below it: the largest ball with f <= f(minimum) + s
    rtol : wanted relative error of the capacity and of the rates
    noise, box, periodic : as in `gap`

    Raises
    ------
    RequestError
        if the request is wrong, a set meets no node, or the sets meet.
    ConvergenceError
        if a well outside A and B is so deep that rounding is all there is.
    """
    began = stopwatch.seconds()
    f = resolve(objective, on_torus=True)
    f = on_circles(f, periodic) if periodic else f
    s = effective_learning_rate(learning_rate, noise)
    require_request(f, s, 2, rtol, box)
    if box is None:
        essential_spectrum(f, s)  # refuses where there is no Gibbs measure
    within = None if box is None else given_box(f, box)
    kept = truncation(f, s, 1, min(rtol, 1e-4), within)
    grid = kept.grid
    sets = (predicate(a, f, s), predicate(b, f, s))
    levels: list[Array] = []
    found: list[Committor] = []
    # Sets end between nodes: on a line only the series in h^2 has an end there; else errors are erratic.
    erratic = 1.0 if f.dimension == 1 else 2.0
    while True:
        found.append(committor_on(FiniteDifferences(f, grid), s, *sets))
        levels.append(np.array([found[-1].log_capacity, found[-1].log_rate, found[-1].log_rate_back]))
        if len(found) >= 3:
            limits = [extrapolated_logs([level[k : k + 1] for level in levels], erratic=erratic) for k in range(3)]
            logs, errors = (np.array([each[i][0] for each in limits]) for i in (0, 1))
            if (len(found) >= 4 or f.dimension > 1) and (errors <= 0.5 * rtol).all():
                break
            if grid.n_nodes * 2**f.dimension > LARGEST[f.dimension]:
                break
        elif grid.n_nodes * 2**f.dimension > 8 * LARGEST[f.dimension]:
            raise ConvergenceError(f"{f.name} at learning rate {s:g} needs too fine a grid for a committor; give a box")
        grid = grid.refined()
    finest = found[-1 if f.dimension < 3 else -2]  # in space wider domains soon are too large
    errors = errors + found[-1].relative_errors + kept.cut.max() + rounding_error(f, s, grid)
    return replace(
        found[-1],
        learning_rate=float(learning_rate),
        noise=float(noise),
        errors=_nodal_errors(found[-2], found[-1]) + _cut_errors(f, sets, finest, grid, within),
        log_capacity=float(logs[0]),
        log_rate=float(logs[1]),
        log_rate_back=float(logs[2]),
        relative_errors=errors,
        seconds=stopwatch.seconds() - began,
    )


def _nodal_errors(coarse: Committor, fine: Committor) -> Array:
    """By how much q changed from the grid before, at the nodes of the finer one, and its rounding.

    A change that happens to vanish says nothing: nodes share the largest of all where q or 1 - q is not more than
    twice what it is there."""
    q = fine.grid.expand(fine.q)
    shape = [part for n in coarse.grid.shape for part in (n, 2)]
    children = q.reshape(shape)
    pairs = tuple(range(1, 2 * coarse.grid.dimension, 2))
    change = abs(children.mean(axis=pairs) - coarse.grid.expand(coarse.q))
    for axis in range(coarse.grid.dimension):
        change = change.repeat(2, axis=axis)
    change, small = change[fine.grid.mask], np.minimum(fine.q, fine.complement)
    order = np.argsort(small)
    shared = np.maximum.accumulate(change[order])
    return np.asarray(shared[np.searchsorted(small[order], 2 * small, side="right") - 1]) + fine.errors


def _cut_errors(
    f: Objective, sets: tuple[Predicate, Predicate], found: Committor, fine: Grid, box: Box | None
) -> Array:
    """Twice what q changes by where space is wider, at the nodes of a refined grid: most beside its boundary."""
    s, grid = found.operator.learning_rate, found.grid
    wide = widened(f, s, grid, box)
    if wide is None:
        return np.zeros(fine.n_nodes)
    offset = np.rint((np.array(grid.box.lower) - wide.box.lower) / grid.spacing).astype(int)
    q = wide.expand(committor_on(FiniteDifferences(f, wide), s, *sets).q)
    inner = tuple(slice(first, first + n) for first, n in zip(offset, grid.shape, strict=True))
    change = abs(q[inner] - grid.expand(found.q))
    for axis, (few, many) in enumerate(zip(grid.shape, fine.shape, strict=True)):
        change = change.repeat(many // few, axis=axis)
    return np.asarray(2 * change[fine.mask])


def committor_dataset(
    found: Committor, objective: Callable[[Array], Any], options: Mapping[str, Any] | None = None
) -> xarray.Dataset:
    """f, q, 1 - q, the error of q, the sets and J/cap on the full grid, nan outside its mask, with cap and rates."""
    import xarray

    expand, axes = found.grid.expand, AXES[: found.grid.dimension]
    fields = {
        "objective": np.asarray(objective(found.grid.points)),
        "committor": found.q,
        "complement": found.complement,
        "error": found.errors,
        "set": found.label.astype(float),
    }
    variables = {name: (axes, expand(values)) for name, values in fields.items()}
    logs = {name: getattr(found, name) for name in ("log_capacity", "log_rate", "log_rate_back", "learning_rate")}
    about = {**logs, "objective": found.objective, "noise": found.noise, "options": netcdf.dump_options(options or {})}
    return xarray.Dataset(
        variables | {"current": (("component", *axes), expand(found.current))},
        coords=dict(zip(axes, found.grid.axes, strict=True)),
        attrs=netcdf.provenance(COMMITTOR, "Committor and reactive current, in units of the capacity", about),
    )
