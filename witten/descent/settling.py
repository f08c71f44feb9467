"""Which runs settle, to what period, and which diverge: many starts at once, with or without a formula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.descent import kernels
from witten.descent.kernels import DIVERGED, UNDECIDED
from witten.descent.map import DescentMap

__all__ = ["DIVERGED", "UNDECIDED", "Settled", "settle"]

Array = NDArray[np.float64]
# |x_i| beyond this is on its way to infinity.
REACH = 1e8
# Longest period that is told apart from chaos.
LONGEST = 1024


@dataclass(frozen=True, eq=False)
class Settled:
    """What became of n starts.

    Attributes
    ----------
    x : where each run was left, shape (d, n)
    period : p of the cycle it returned to, DIVERGED = -1, or UNDECIDED = 0 after all steps, shape (n,)
    steps : how many it took, shape (n,)
    """

    x: Array
    period: NDArray[np.int64]
    steps: NDArray[np.int64]


def settle(
    descent: DescentMap, x: ArrayLike, steps: int, *, tolerance: float = 1e-12, reach: float = REACH,
    longest: int = LONGEST,
) -> Settled:  # fmt: skip
    """Run starts (d, n) until |x_{k+p} - x_k| <= tolerance (1 + |x_k|) twice in a row, or |x| > reach, or all steps.

    Fixed points are seen by their small steps, cycles by Brent's search (see `kernels.settle`), so that a step costs
    two comparisons more."""
    rows = np.array(np.asarray(x, dtype=float).reshape(descent.dimension, -1).T, order="C")
    if descent.compiled:
        rates = np.full(len(rows), float(descent.learning_rate))
        gradient = kernels.pointers(descent.objective)[0]
        period, used = kernels.settle(gradient, rows, rates, steps, tolerance, reach, longest)
        return Settled(rows.T, period, used)
    with np.errstate(all="ignore"):
        return _settle_arrays(descent, rows.T.copy(), steps, tolerance, reach, longest)


def _settle_arrays(
    descent: DescentMap, x: Array, steps: int, tolerance: float, reach: float, longest: int
) -> Settled:
    """The search of `kernels.settle` for all starts in step with each other."""
    n = x.shape[1]
    period, used = np.zeros(n, dtype=np.int64), np.full(n, steps, dtype=np.int64)
    active, mark, candidate = np.arange(n), x.copy(), np.zeros(n, dtype=np.int64)
    since, power, still = np.zeros(n, dtype=np.int64), np.ones(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for k in range(1, steps + 1):
        if not active.size:
            break
        before = x[:, active]
        here = descent(before)
        x[:, active] = here
        size, gap = abs(here).max(axis=0), abs(here - mark[:, active]).max(axis=0)
        since[active] += 1
        lost = ~(size < reach)
        still[active] = np.where(abs(here - before).max(axis=0) <= tolerance * (1.0 + size), still[active] + 1, 0)
        at_rest = still[active] == 2
        wanted = candidate[active]
        close = gap <= np.where(wanted > 0, 2.0, 1.0) * tolerance * (1.0 + size)
        twice = (wanted > 0) & (since[active] == 2 * wanted)
        done = twice & close
        first = (wanted == 0) & close & ~lost
        candidate[active[first]] = since[active[first]]
        full = (wanted == 0) & ~close & (since[active] == power[active])
        again = active[full | (twice & ~close)]
        mark[:, again], since[again], candidate[again] = x[:, again], 0, 0
        power[active[full]] = np.minimum(2 * power[active[full]], longest)
        period[active[done]], period[active[at_rest]], period[active[lost]] = wanted[done], 1, DIVERGED
        done |= at_rest | lost
        used[active[done]] = k
        active = active[~done]
    _reduce(descent, x, period, np.sqrt(tolerance))
    return Settled(x, period, used)


def _reduce(descent: DescentMap, x: Array, period: NDArray[np.int64], tolerance: float) -> None:
    """Replace periods by the smallest divisor after which the run is back."""
    for p in np.unique(period[period > 1]).tolist():
        which = np.flatnonzero(period == p)
        y = x[:, which]
        for q in range(1, p):
            y = descent(y)
            if p % q == 0:
                back = abs(y - x[:, which]).max(axis=0) <= tolerance * (1 + abs(y).max(axis=0))
                period[which[back & (period[which] == p)]] = q
