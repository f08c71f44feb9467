"""How a run that has not converged behaves: slowing down like a power of the number of steps, or bounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.descent.gradient_map import DescentMap

__all__ = ["power_law", "steadiness"]

Array = NDArray[np.float64]
# Periods that are tried, and steps in a row whose largest gap is compared with that of others.
PERIODS, WINDOW = (1, 2, 3, 4, 6, 8), 50
# Steps that are examined after each quarter of a run, at most.
MOST = 5000


def power_law(descent: DescentMap, start: Array, steps: int) -> tuple[int, float] | None:
    """p and a with |x_{k+p} - x_k| ~ k^{-1-a}; None if it does not fall, or falls geometrically.

    Measured after a quarter, half and the whole of the run: a power gives the same ratio twice, a geometric
    sequence its square. The gap at each is the largest of WINDOW steps, so that chance returns do not count."""
    x, gaps, previous, width = start, [], 0, 0.0
    for mark in (steps // 4, steps // 2, steps):
        x = descent.iterate(x, mark - previous)
        previous = mark
        path = descent.path(x[:, 0], WINDOW + max(PERIODS))
        width = max(width, float(abs(path - start).max()))
        gaps.append([float(abs(path[:, p : p + WINDOW] - path[:, :WINDOW]).max()) for p in PERIODS])
    with np.errstate(all="ignore"):
        quarter, half, whole = np.log(np.array(gaps))
        first, second = quarter - half, half - whole
        falling = (first > 0.3) & (second > 0.3) & np.isfinite(whole) & (whole < np.log(0.05 * width))
    if not falling.any():
        return None
    best = int(np.argmin(np.where(falling, whole, np.inf)))
    # The shortest period whose gap closes as well: alternating signs make twice the period look closer.
    shorter = [i for i in range(best) if falling[i] and PERIODS[best] % PERIODS[i] == 0]
    best = shorter[0] if shorter else best
    if second[best] > 1.6 * first[best]:
        return None
    # Alternating convergence |x - x_inf| ~ k^-a closes its gap after one step like k^-a itself.
    rate = float(second[best] / np.log(2.0))
    return PERIODS[best], rate if shorter else rate - 1.0


def _quarters(descent: DescentMap, start: Array, steps: int) -> list[Array]:
    """Points after the first, second and third quarter of a run, up to MOST of each in a row."""
    x, parts, quarter = start, [], steps // 4
    for _ in range(3):
        x = descent.iterate(x, quarter)
        parts.append(descent.path(x[:, 0], min(quarter, MOST)))
    return parts


def steadiness(descent: DescentMap, start: Array, steps: int) -> tuple[float, int]:
    """The factor by which the width of a run, or where it is, changes between quarters, and how often it crosses its
    mean in each: many times where it is bounded."""
    quarters = _quarters(descent, start, steps)
    widest = int(np.argmax(quarters[-1].std(axis=1)))
    widths, means = (np.array([getattr(part[widest], what)() for part in quarters]) for what in ("std", "mean"))
    if not widths.min() > 0:
        return np.inf, 0
    factor = float(widths.max() / widths.min() + np.ptp(means) / widths.max())
    crossings = [np.count_nonzero(np.diff(np.sign(part[widest] - part[widest].mean()))) for part in quarters]
    return factor, int(min(crossings))
