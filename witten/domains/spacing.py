"""Cell sizes fit for a first grid, from f on a scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from witten.domains.grid import Grid

__all__ = ["first_spacing"]

Array = NDArray[np.float64]
TINY = float(np.finfo(float).tiny)
# With steps of twice the size smooth differences of order 2 and 4 grow by 4 and 16, those over a kink by 2.
GROWTH = {2: 3.4, 4: 9.0}
# The part of the fourth differences that counts where there are kinks.
AROUND = 0.95


def first_spacing(scan: Grid, values: Array, *, weighty: float, level: float, s: float) -> Array:
    """A first cell size along each axis, shape (d,), from f on a full grid.

    It sees sqrt(s / |D^2 f|), over which the measure varies, and sqrt(|D^2 f| / |D^4 f|), over which f changes shape,
    where f <= weighty; and it puts at least nine cells on a mean chord of the sublevel set. At a kink between slopes
    that differ by j there is no such length: s / j is seen, over which the measure notices it, where the scan does see
    so far; else it may be a narrow bend, of the curvature that the scan finds.
    """
    finest = 1.0 if scan.dimension < 3 else 1.4
    inside = values <= level
    spacing = np.empty(scan.dimension)
    for axis, h in enumerate(scan.spacing):
        lines = np.moveaxis(inside, axis, 0)
        starts = np.count_nonzero(lines[1:] & ~lines[:-1]) + np.count_nonzero(lines[0])
        chord = h * np.count_nonzero(lines) / max(starts, 1)
        # Differences over a few cells: over one, the fourth would be rounding alone.
        step = max(1, int(chord / (300 * h)))
        f = np.moveaxis(values, axis, 0)
        if scan.periodic[axis]:
            f = np.concatenate([f[-4 * step :], f, f[: 4 * step]])
        second, fourth, jump = _variation(f, step, weighty)
        unit = step * h
        with np.errstate(over="ignore"):
            shape = unit * np.sqrt(max(second, jump * unit / chord)) / np.sqrt(fourth)
            measure = 1.2 * finest * unit * np.sqrt(s / second)
            kink = unit * max(s / jump, np.sqrt(s / jump))
        spacing[axis] = min(measure, shape, kink, finest * chord / 12)
    return spacing


def _variation(f: Array, step: int, weighty: float) -> tuple[float, float, float]:
    """The largest second and fourth differences along the first axis where f <= weighty and smooth, and the largest
    second difference where it is not."""
    n = len(f) - 8 * step
    where = f[4 * step : 4 * step + n] <= weighty
    second, smooth = _differences(f, step, 2)
    fourth, resolved = _differences(f, step, 4)
    curved, jump = (float(second[where & part].max(initial=TINY)) for part in (smooth, ~smooth))
    shapes = fourth[where & resolved]
    # Around the tip of a cone curvatures have no bound, and no area either.
    part = AROUND if jump > 1e-3 * curved else 1.0
    return curved, max(float(np.quantile(shapes, part)), TINY) if shapes.size else TINY, jump


def _differences(f: Array, step: int, order: int) -> tuple[Array, NDArray[np.bool_]]:
    """|differences| of order 2 or 4 along the first axis, four steps from its ends, and where they grow with the step
    as those of a smooth function do."""
    n = len(f) - 8 * step
    sizes = []
    for width in (step, 2 * step):
        a, b, c, d, e = (f[4 * step + i * width : 4 * step + i * width + n] for i in range(-2, 3))
        with np.errstate(invalid="ignore"):
            difference = abs(b - 2 * c + d) if order == 2 else abs(a - 4 * b + 6 * c - 4 * d + e)
        sizes.append(np.where(np.isfinite(difference), difference, 0.0))
    # A kink shows within two wide steps, the tip of a cone on the lines that pass it by; differences that pass through
    # zero are seen by their neighbours.
    near, wide = (maximum_filter(size, 8 * step + 1) for size in sizes)
    return sizes[0], wide >= GROWTH[order] * near
