"""Eigenvalues from below, by Sturm's oscillation theorem for weights that are constant on cells.

With a_i = (s/2) min w <= (s/2) w and m_i = max w >= w on each cell the quotient int a u'^2/int m u^2 is below that of
f, and so is every eigenvalue. For this problem u = r cos(phi), a u' = -c r sin(phi), c_i = sqrt(a_i m_i Lambda), and
phi grows by h sqrt(Lambda m_i/a_i) over a cell; where c changes tan(phi) c stays. Below Lambda there are k eigenvalues,
the zero counted, or fewer, if phi has not passed k pi at the end: all numbers are balls, and upper ends are taken.

A tail with f' >= p has the supersolution v = e^{2 psi t/s}, psi = (p - sqrt(p^2 - 2 s Lambda))/2, so that its energy
less Lambda times its mass is at least -w(b) psi u(b)^2, by Jacobi's identity: an angle atan(w psi/c) at either end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from witten.certified.weights import Tail
from witten.errors import ConvergenceError

if TYPE_CHECKING:
    from flint import arb

__all__ = ["SturmCount"]

# How near to the largest number that is proved, as a factor; and how far one is sought.
ENOUGH = 1.01
MOST_STEPS = 40


@dataclass(frozen=True)
class SturmCount:
    """Cells of widths h_i with ranges of f, and a tail at either end, or None for a reflecting wall."""

    s: arb
    widths: Sequence[arb]
    ranges: Sequence[tuple[arb, arb]]
    tails: tuple[Tail | None, Tail | None]

    def at_most(self, rate: arb) -> int | None:
        """A number k such that lambda_k >= rate, lambda_0 = 0; None where a tail is too flat to say."""
        from flint import arb

        ends = [self._tail_angle(tail, rate, end) for tail, end in zip(self.tails, (0, -1), strict=True)]
        if ends[0] is None or ends[1] is None:
            return None
        turns = (self._angle(rate, ends[0]) + ends[1]).upper() / arb.pi()
        return int(turns.upper().ceil().unique_fmpz())

    def _tail_angle(self, tail: Tail | None, rate: arb, end: int) -> arb | None:
        """atan(w psi/c) at an end."""
        from flint import arb

        if tail is None:
            return arb(0)
        inside = tail.slope**2 - 2 * self.s * rate
        if not inside > 0:
            return None
        # p - sqrt(p^2 - 2 s Lambda) without cancellation
        psi = self.s * rate / (tail.slope + inside.sqrt())
        low, high = self.ranges[end]
        ratio = (((low + high) - 2 * tail.height) / self.s).exp()
        angle: arb = (ratio * psi / (self.s * rate / 2).sqrt()).atan()
        return angle

    @cached_property
    def _lengths(self) -> list[arb]:
        """h sqrt(max w/min w) of each cell."""
        return [h * ((high - low) / self.s).exp() for h, (low, high) in zip(self.widths, self.ranges, strict=True)]

    @cached_property
    def _ratios(self) -> list[arb]:
        """c_{i-1}/c_i, and 1 before the first cell."""
        from flint import arb

        levels = [low + high for low, high in self.ranges]
        return [arb(1), *(((b - a) / self.s).exp() for a, b in zip(levels[:-1], levels[1:], strict=True))]

    def _angle(self, rate: arb, angle: arb) -> arb:
        """phi after the last cell."""
        wave = (2 * rate / self.s).sqrt()
        for length, ratio in zip(self._lengths, self._ratios, strict=True):
            angle = _refracted(angle, ratio) + (wave * length).upper()
        return angle

    def bound_below(self, k: int) -> arb:
        """A number below lambda_k, as large a one as the count proves; ConvergenceError where it proves none."""
        proved = [rate for rate, count in self._known.items() if count <= k]
        missed = [rate for rate, count in self._known.items() if count > k]
        start = (self.s / 2 * (k / sum(self.widths, 0 * self.s)) ** 2).mid()
        low = max(proved) if proved else self._first(k, min(missed, default=start), True)
        high = min(missed) if missed else self._first(k, 4 * low, False)
        while not high < low * ENOUGH:
            middle = (low * high).sqrt().mid()
            low, high = (middle, high) if self._proves(middle, k) else (low, middle)
        return low

    def _proves(self, rate: arb, k: int) -> bool:
        count = self.at_most(rate)
        self._known[rate] = math.inf if count is None else count
        return self._known[rate] <= k

    @cached_property
    def _known(self) -> dict[arb, float]:
        """What was counted below which rates."""
        return {}

    def _first(self, k: int, rate: arb, wanted: bool) -> arb:
        """The first of growing or falling rates, in growing steps, at which lambda_k is proved larger, or is not."""
        from flint import arb

        factor = arb(1) / 4 if wanted else arb(4)
        for _ in range(MOST_STEPS):
            if self._proves(rate, k) is wanted:
                return rate
            rate = (rate * factor).mid()
            factor = factor * factor if wanted else factor
        raise ConvergenceError(f"rate {k} is not bounded by weights that are constant on cells")


def _refracted(angle: arb, ratio: arb) -> arb:
    """The angle with the same quarter and a tangent `ratio` times as large."""
    sin, cos = angle.sin_cos()
    return (angle + ((ratio - 1) * sin * cos / (cos * cos + ratio * sin * sin)).atan()).upper()
