"""One objective at one learning rate, cut into cells: trial functions, a bound of the next rate, Lehmann's bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.certified.balls import Series, ball_series, decimal, exact, precision
from witten.certified.certificate import Certificate
from witten.certified.lehmann import lower_bound, trial_forms, upper_bound
from witten.certified.sturm_count import SturmCount
from witten.certified.tail_slopes import KnownTails
from witten.certified.taylor_models import ORDER
from witten.certified.trial_cells import Places, Wells, cell_nodes, outward_ends, wells, wells_on
from witten.certified.trial_functions import well_indicators
from witten.certified.weights import Tail, cells, ranges
from witten.errors import ConvergenceError
from witten.objectives.objective import Objective

if TYPE_CHECKING:
    from flint import arb, arb_poly

__all__ = ["LineProblem", "line_problem"]

Array = NDArray[np.float64]
Tails = tuple[Tail | None, Tail | None]
# Cells of the Sturm count in each cell.
PARTS = 2
GUARD_BITS = 96
MOST_FUNCTIONS = 6
# A factor between neighbouring rates that is not exceeded for the sake of sharpness.
WIDE_GAP = 2.0


@dataclass(frozen=True)
class LineProblem:
    """f on [a, b] at s; between reflecting walls, or with tails, of which f has the slopes."""

    objective: Objective
    series: Series
    s: Fraction
    wells: Wells
    ends: tuple[float, float]
    slopes: tuple[arb, arb] | None

    def certificate(self, change: float) -> Certificate:
        """Bounds by cells over which 2 f/s changes by about `change`; ConvergenceError where nothing is proved."""
        s = float(self.s)
        nodes = cell_nodes(self.objective, s, self.ends, self.wells, change)
        heights = self.objective(nodes[None])
        bits = GUARD_BITS + int(2 * np.ptp(heights) / s / math.log(2))
        with precision(bits, ORDER + 1):
            return self._certificate(nodes, heights, bits)

    def _certificate(self, nodes: Array, heights: Array, bits: int) -> Certificate:
        s = exact(self.s)
        balls = _balls(nodes)
        tails = self._tails(s)
        count = self._count(s, balls, tails)
        n, rho = self._above(count)
        functions = self._functions(nodes, heights, balls, n)
        forms = trial_forms(cells(self.series, s, balls), tails, functions, s, int(heights.argmin()))
        lower, upper = lower_bound(forms, rho), upper_bound(forms)
        if lower is None or upper is None or not upper.is_finite():
            raise ConvergenceError(
                f"trial functions and the bound {decimal(rho, up=False, digits=4)} of rate {n + 1} prove nothing"
            )
        return _written(lower, upper, rho, n, nodes.size - 1, bits)

    def _tails(self, s: arb) -> Tails:
        if self.slopes is None:
            return None, None
        left, right = (
            Tail.beyond(self.series(exact(end), 1)[0], slope, s)  # type: ignore[index]
            for end, slope in zip(self.ends, self.slopes, strict=True)
        )
        return left, right

    def _count(self, s: arb, balls: Sequence[arb], tails: Tails) -> SturmCount:
        fine = [a + (b - a) * j / PARTS for a, b in zip(balls[:-1], balls[1:], strict=True) for j in range(PARTS)]
        fine.append(balls[-1])
        widths = [b - a for a, b in zip(fine[:-1], fine[1:], strict=True)]
        return SturmCount(s, widths, ranges(self.series, fine), tails)

    def _above(self, count: SturmCount) -> tuple[int, arb]:
        """How many rates to bound together, those below a wide gap, and a bound of the next."""
        most = min(max(1, self.wells.cuts.size), MOST_FUNCTIONS)
        if most == 1:
            return 1, count.bound_below(2)
        floors = [count.bound_below(1)]
        gaps: list[float] = []
        while len(gaps) < most and not (gaps and gaps[-1] > math.log(WIDE_GAP)):
            floors.append(count.bound_below(len(floors) + 1))
            gaps.append(float((floors[-1] / floors[-2]).log()))
        n = int(np.argmax(gaps)) + 1
        return n, floors[n]

    def _functions(self, nodes: Array, heights: Array, balls: Sequence[arb], n: int) -> list[list[arb_poly]]:
        """Indicators of n of n + 1 wells, the deepest left out."""
        s = float(self.s)
        cuts = np.searchsorted(nodes, self.wells.keeping(n)) if self.wells.cuts.size else [_median(nodes, heights, s)]
        values, slopes = well_indicators(self.objective, s, nodes, np.asarray(cuts))
        if not (np.isfinite(values).all() and np.isfinite(slopes).all()):
            raise ConvergenceError("weights exceed the range of extended floating point; raise the learning rate")
        deepest = int(np.searchsorted(cuts, heights.argmin(), side="right"))
        kept = [j for j in range(n + 1) if j != deepest]
        return [_cubics(balls, values[j], slopes[j]) for j in kept]


def line_problem(objective: Objective, s: Fraction, box: tuple[float, float] | None) -> LineProblem:
    """The problem on a box, or on all of R, cut where the tails are known; RequestError where f has kinks, or tails of
    which nothing is known. ConvergenceError where f does not rise steadily."""
    series = ball_series(objective)
    if box is not None:
        return LineProblem(objective, series, s, wells_on(objective, box), (float(box[0]), float(box[1])), None)
    with precision(GUARD_BITS, ORDER):
        known, found = KnownTails(objective), wells(objective)
        places = outward_ends(objective, float(s), found)
        (left, p), (right, q) = (
            _first_steep(known, exact(s), ends, side) for ends, side in zip(places, (-1, 1), strict=True)
        )
    return LineProblem(objective, series, s, found, (left, right), (p, q))


def _first_steep(known: KnownTails, s: arb, places: Places, side: int) -> tuple[float, arb]:
    """The first place beyond which p^2/(2 s) is high, where no slow mode lives; or else the first steady one."""
    steady = None
    for end in places.ends:
        slope = known.slope_beyond(end, side)
        if slope is not None:
            if slope * slope > 2 * s * places.rate:
                return end, slope
            steady = steady or (end, slope)
    if steady is not None:
        return steady
    raise ConvergenceError(
        f"f is not seen to rise steadily {'beyond' if side > 0 else 'before'} {places.ends[0]:.6g}; give a box"
    )


def _balls(nodes: Array) -> list[arb]:
    """Nodes: inside they are doubles, the ends decimal numbers."""
    from flint import arb

    return [exact(nodes[0]), *(arb(float(x)) for x in nodes[1:-1]), exact(nodes[-1])]


def _median(nodes: Array, heights: Array, s: float) -> int:
    """A node that about halves the mass."""
    weight = np.exp(-2 / s * (heights - heights.min()))
    mass = np.cumsum((weight[1:] + weight[:-1]) * np.diff(nodes))
    return int(np.clip(np.searchsorted(mass, mass[-1] / 2), 1, nodes.size - 2))


def _cubics(nodes: Sequence[arb], values: Array, slopes: Array) -> list[arb_poly]:
    """The cubic with given values and slopes at the ends of each cell, in t = x - centre."""
    return [
        _cubic((nodes[k + 1] - nodes[k]) / 2, *values[k : k + 2].tolist(), *slopes[k : k + 2].tolist())
        for k in range(len(nodes) - 1)
    ]


def _cubic(r: arb, u0: float, u1: float, d0: float, d1: float) -> arb_poly:
    from flint import arb, arb_poly

    left, right, rise, fall = arb(u0), arb(u1), r * d0, r * d1
    step, bend, mean = (right - left) / 4, (fall - rise) / 4, (rise + fall) / 4
    coefficients = [(left + right) / 2 - bend, 3 * step - mean, bend, mean - step]
    return arb_poly([c / r**k for k, c in enumerate(coefficients)])


def _written(lower: arb, upper: arb, rho: arb, n: int, count: int, bits: int) -> Certificate:
    """In decimals, rounded outwards."""
    from flint import arb

    theorem = "Lehmann, all rates above from Sturm's oscillation theorem for weights constant on cells"
    logs = [x.log() / arb(10).log() for x in (lower, upper)]
    return Certificate(
        learning_rate=math.nan,
        lower=decimal(lower, up=False),
        upper=decimal(upper, up=True),
        log10_lower=math.nextafter(float(logs[0].lower()), -math.inf),
        log10_upper=math.nextafter(float(logs[1].upper()), math.inf),
        rho=decimal(rho, up=False, digits=10),
        functions=n,
        theorem=theorem,
        cells=count,
        bits=bits,
        seconds=math.nan,
    )
