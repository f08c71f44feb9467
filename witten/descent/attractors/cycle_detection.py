"""Which runs converge, to what period, and which diverge: many starts at once, with or without a formula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.descent import kernels
from witten.descent.gradient_map import DescentMap
from witten.descent.kernels import DIVERGED, LOST, OVERFLOW, TINY, UNDECIDED

__all__ = ["DIVERGED", "ROUNDING", "UNDECIDED", "Settled", "settle"]

Array = NDArray[np.float64]
# Longest period that is distinguished from chaos.
LONGEST = 1024
# Steps of so much of |x_i| are the rounding of x.
ROUNDING = 16 * 2.0**-52


@dataclass(frozen=True, eq=False)
class Settled:
    """What became of n starts.

    Attributes
    ----------
    x : the state in which each run was left, shape (m, n)
    period : p of the cycle it returned to, DIVERGED = -1, or UNDECIDED = 0 after all steps, shape (n,)
    steps : how many it took, shape (n,); fewer than all of an undecided run: it stands still at no fixed point
    """

    x: Array
    period: NDArray[np.int64]
    steps: NDArray[np.int64]


def settle(
    descent: DescentMap, x: ArrayLike, steps: int, *, tolerance: float = 1e-12, rounding: float = ROUNDING,
    longest: int = LONGEST,
) -> Settled:  # fmt: skip
    """Run starts, states (m, n), until |x_{k+p} - x_k| <= tolerance w + rounding |x_k| twice in a row, or x^2
    overflows, or all steps; w is how wide the run has been lately.

    Fixed points are seen by their small steps, cycles by Brent's search (see `kernels.settle`), so that a step costs
    two comparisons more. Whether a fixed point or cycle is stable is not asked."""
    rows = np.array(np.asarray(x, dtype=float).reshape(descent.dimension, -1).T, order="C")
    if descent.compiled:
        s, momentum = descent.kernel_arguments
        gradient = kernels.pointers(descent.objective)[0]
        period, used = kernels.settle(
            gradient, rows, np.full(len(rows), s), momentum, steps, tolerance, rounding, longest
        )
        return Settled(rows.T, period, used)
    with np.errstate(all="ignore"):
        return _Search(descent, rows.T.copy(), steps, tolerance, rounding, longest).run()


class _Search:
    """The search of `kernels.settle` for all starts in step with each other."""

    def __init__(
        self, descent: DescentMap, x: Array, steps: int, tolerance: float, rounding: float, longest: int
    ) -> None:
        n = x.shape[1]
        self.descent, self.x, self.steps, self.longest = descent, x, steps, longest
        self.tolerance, self.rounding = tolerance, rounding
        self.period, self.used = np.zeros(n, dtype=np.int64), np.full(n, steps, dtype=np.int64)
        self.mark, self.widest, self.drift = x.copy(), np.zeros(n), np.zeros(n)
        self.since, self.power, self.still, self.candidate = (np.full(n, k, dtype=np.int64) for k in (0, 1, 0, 0))

    def run(self) -> Settled:
        active = np.arange(self.x.shape[1])
        for k in range(1, self.steps + 1):
            if not active.size:
                break
            done = self._step(active)
            self.used[active[done]] = k
            active = active[~done]
        self._reduce()
        return Settled(self.x, self.period, self.used)

    def _step(self, active: NDArray[np.int64]) -> NDArray[np.bool_]:
        """One step of the active runs, and which of them are done."""
        before, wanted, widest = self.x[:, active], self.candidate[active], self.widest[active]
        here = self.descent(before)
        self.x[:, active] = here
        moves, gaps = abs(here - before), abs(here - self.mark[:, active])
        move, gap, size = moves.max(axis=0), gaps.max(axis=0), abs(here).max(axis=0)
        slack = self.rounding * abs(here)
        resting = np.all(moves <= self.tolerance * widest + slack, axis=0)
        near = np.all(gaps <= np.where(wanted > 0, 2.0, 1.0) * self.tolerance * widest + slack, axis=0)
        lost = ~(size < OVERFLOW)
        self.since[active] += 1
        widest = self.widest[active] = np.fmax(widest, gap)
        self.still[active] = np.where(resting, self.still[active] + 1, 0)
        asked = ~lost & ((self.still[active] == 2) | (move == 0.0))
        at_rest = self._at_rest(here, np.sqrt(self.tolerance) * widest, asked)
        stuck = asked & ~at_rest & (move == 0.0)
        self.still[active[asked & ~at_rest]] = 0
        back = self._returns(active, near & ~(lost | at_rest | stuck), gap, size)
        self.period[active[at_rest]], self.period[active[lost]] = 1, DIVERGED
        return lost | at_rest | stuck | back

    def _returns(
        self, active: NDArray[np.int64], near: NDArray[np.bool_], gap: Array, size: Array
    ) -> NDArray[np.bool_]:
        """Which runs have come back to the point kept for the second time; points are kept anew where it is due."""
        wanted, since, widest = self.candidate[active], self.since[active], self.widest[active]
        twice = (wanted > 0) & (since == 2 * wanted)
        steady = (gap <= 1.5 * self.drift[active]) | (
            gap <= 1e-3 * self.tolerance * widest + self.rounding * size
        )
        done = twice & near & steady
        trembles = done & (widest <= 64.0 * self.rounding * size)
        still = self._at_rest(self.x[:, active], widest, trembles)
        done &= ~trembles | still
        self.period[active[done]] = np.where(trembles, 1, wanted)[done]
        first = (wanted == 0) & near
        self.candidate[active[first]], self.drift[active[first]] = since[first], gap[first]
        full = (wanted == 0) & ~near & (since == self.power[active])
        again = active[full | (twice & ~done)]
        self.mark[:, again], self.widest[again] = self.x[:, again], 0.0
        self.since[again], self.candidate[again] = 0, 0
        self.power[active[full]] = np.minimum(2 * self.power[active[full]], self.longest)
        return done

    def _at_rest(self, x: Array, slack: Array, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See `kernels._at_rest`; asked of some of the points only."""
        out = np.zeros(x.shape[1], dtype=bool)
        if asked.any():
            y = self.descent.position(x[:, asked])
            g = self.descent.objective.gradient(y)
            move = LOST * abs(y) + slack[asked]
            z = y + np.where(move > 0.0, move, TINY) * np.where(g < 0.0, -1.0, 1.0)
            change = abs(self.descent.objective.gradient(z) - g).max(axis=0)
            out[asked] = (change > 0.0) & (abs(g).max(axis=0) <= change)
        return out

    def _reduce(self) -> None:
        """Replace periods by the smallest divisor after which the run is back."""
        for p in np.unique(self.period[self.period > 1]).tolist():
            which = np.flatnonzero(self.period == p)
            y = self.x[:, which]
            for q in range(1, p):
                y = self.descent(y)
                if p % q == 0:
                    back = abs(y - self.x[:, which]).max(axis=0) <= np.sqrt(self.tolerance) * self.widest[which]
                    self.period[which[back & (self.period[which] == p)]] = q
