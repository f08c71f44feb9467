"""What the routes say at each learning rate, and whether that agrees, by the errors they quote.

Every rate carries an interval: two routes agree where the logarithm of their ratio lies within both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from scipy.special import ndtri

from witten.barrier_fit import BarrierFit
from witten.display import Displayed, shortened
from witten.errors import RequestError
from witten.landscape.landscape import Landscape
from witten.objectives import Objective
from witten.rates import RateCurve, RateRecord
from witten.validation.judgement import MONTE_CARLO, ROUTES, SPECTRAL, THEORY, Comparison, Judgement
from witten.validation.verdict import barriers, outcome

__all__ = ["Route", "Validation", "compare"]

Range = tuple[float, float]
# Tables of routes that are right in which chance alone makes some interval miss so far that it counts.
FALSE_ALARMS = 1e-3
# A fitted barrier this many errors away from H_f is another one; asked where the smallest s is below H_f/ASYMPTOTIC.
FAR, ASYMPTOTIC = 3.0, 6.0


@dataclass(frozen=True, eq=False)
class Route:
    """What one route says at each learning rate: a record, or why there is none."""

    name: str
    records: tuple[RateRecord | None, ...]
    why: tuple[str | None, ...]
    method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Wall time of all records."""
        return float(sum(r.seconds for r in self.records if r is not None and math.isfinite(r.seconds)))

    def curve(self, objective: str) -> RateCurve | None:
        """The records there are, as a curve; None where there is none."""
        known = tuple(record for record in self.records if record is not None)
        return RateCurve(known, self.method, objective, self.options) if known else None


@dataclass(frozen=True, eq=False, repr=False)
class Validation(Displayed):
    """The routes side by side at several learning rates.

    Attributes
    ----------
    objective : f
    noise : sigma
    landscape : what theory saw; None where it could not be described
    routes : by name
    records : one for each learning rate, in the order asked for
    flaws : what makes a route contradict itself, in words
    seed, seconds : of the whole
    stopped : why it was ended early, what was done by then being compared; or None
    covariance : of the noise, in words; "" for noise of one strength
    """

    picture: ClassVar[str] = "plot_validation"

    objective: Objective
    noise: float
    landscape: Landscape | None
    routes: Mapping[str, Route]
    records: tuple[Comparison, ...]
    flaws: tuple[str, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    stopped: str | None = None
    covariance: str = ""

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        return f"{shortened(self.objective.name)}: {self.verdict}"

    @property
    def barrier(self) -> float | None:
        """H_f of the landscape; None under noise with a covariance, whose barriers are others."""
        return None if self.landscape is None or self.covariance else self.landscape.barrier

    def fit(self, route: str) -> BarrierFit | None:
        """Barrier and prefactor fitted to a route's own rates; None for fewer than three of them."""
        curve = self.routes[route].curve(self.objective.name)
        if curve is None:
            return None
        try:
            return curve.fit_barrier()
        except RequestError:
            return None

    @property
    def barrier_agrees(self) -> bool | None:
        """Whether the barrier fitted to the spectral rates is H_f; None where they do not reach far enough to tell."""
        fit, h = self.fit(SPECTRAL), self.barrier
        smallest = min(c.learning_rate for c in self.records) * self.noise**2
        if fit is None or h is None or not smallest < h / ASYMPTOTIC:
            return None
        return abs(fit.barrier - h) <= FAR * fit.barrier_error

    @property
    def agree(self) -> bool | None:
        """Whether the routes agree, one with another; None where nothing could be compared."""
        known = [c.agree for c in self.records if c.agree is not None]
        if self.flaws or self.barrier_agrees is False or False in known:
            return False
        return True if known else None

    @property
    def verdict(self) -> str:
        """What came out, in words: what agrees or which route stands apart, what is left out, the barriers."""
        fits = {name: self.fit(name) for name in (SPECTRAL, MONTE_CARLO)}
        flaws = (f"theory is not whole: {flaw}" for flaw in self.flaws)
        lines = [*outcome(self.records), *flaws, *barriers(fits, self.barrier, self.barrier_agrees)]
        return " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)


def compare(
    objective: Objective,
    learning_rates: Sequence[float],
    routes: Mapping[str, Route],
    landscape: Landscape | None,
    *,
    noise: float = 1.0,
    covariance: str = "",
) -> Validation:
    """Judge what the routes have said. An interval that misses counts where chance would do that to one table of
    right answers in a thousand."""
    scale = _widening(sum(record is not None for record in routes[MONTE_CARLO].records))
    rows = []
    for i, s in enumerate(learning_rates):
        there = {name: routes[name].records[i] for name in ROUTES}
        why = {name: reason for name in ROUTES if (reason := routes[name].why[i]) is not None}
        rows.append(Comparison(s, **there, why=why, judgements=tuple(_judged(there, scale))))
    flaws = tuple(_flaws(landscape))
    return Validation(objective, noise, landscape, routes, tuple(rows), flaws, covariance=covariance)


# ------------------------------------------------------------------------------------------------ judging


def _judged(there: Mapping[str, RateRecord | None], scale: float) -> Iterable[Judgement]:
    """What can be compared: theory and Monte Carlo with the spectral rate, or with each other where that is missing."""
    scales = {SPECTRAL: 1.0, THEORY: 1.0, MONTE_CARLO: scale}
    known = {name for name in ROUTES if there[name] is not None}
    for pair in ((SPECTRAL, THEORY), (MONTE_CARLO, SPECTRAL), (MONTE_CARLO, THEORY)):
        if known.issuperset(pair) and not (pair == (MONTE_CARLO, THEORY) and SPECTRAL in known):
            yield _judgement(pair, there, scales)


def _judgement(
    pair: tuple[str, str], there: Mapping[str, RateRecord | None], scales: Mapping[str, float]
) -> Judgement:
    first, second = (there[name] for name in pair)
    assert first is not None and second is not None
    (low, high), (least, most) = _bar(first, scales[pair[0]]), _bar(second, scales[pair[1]])
    return Judgement(pair, first.log_rate - second.log_rate, low - most, high - least)


def _bar(record: RateRecord, scale: float) -> Range:
    """What log(rate/truth) may be, the interval widened by a factor."""
    return scale * (record.log_rate - record.upper), scale * (record.log_rate - record.lower)


def _widening(n: int) -> float:
    """By how much n intervals of 95 % are widened, so that all hold the truth but for one time in a thousand."""
    return float(ndtri(FALSE_ALARMS / (2 * max(n, 1))) / ndtri(0.025))


def _flaws(landscape: Landscape | None) -> Iterable[str]:
    """Signs that the list of critical points is not whole: then theory is wrong whatever it says."""
    if landscape is None:
        return
    if not landscape.connected:
        yield "the saddles that theory knows do not join all minima: some are missing"
    if landscape.search.complete and landscape.search.everywhere and landscape.conditions.confining:
        total = landscape.euler_sum
        if total is not None and total != 1:
            yield f"minima minus saddles of index 1 plus ... is {total} and not 1: critical points are missing"
