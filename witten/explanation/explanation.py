"""What an explanation holds: values of all routes, each with its error, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.display import Displayed, shortened
from witten.explanation.relief import Pass
from witten.landscape.landscape import Landscape
from witten.objectives import Objective
from witten.rates import LawRate, RateRecord, SampledRate

__all__ = [
    "CONTINUOUS", "RELAXATION", "TRANSITION", "UNKNOWN",
    "Change", "Explanation", "MeanTime", "Mode", "Passage", "Relaxation", "Well",
]  # fmt: skip

Array = NDArray[np.float64]
TRANSITION, RELAXATION, CONTINUOUS, UNKNOWN = "transition", "relaxation", "continuous", "unknown"


@dataclass(frozen=True, eq=False)
class Well:
    """A well, deeper than s: the minimum, and what it holds of the Gibbs measure.

    Attributes
    ----------
    number : of the minimum among all, the lowest first
    x, value, curvatures : the minimum; curvatures are nan on a kink
    depth : how far f rises from it until the well joins a deeper one; inf for the lowest
    log_mass, log_mass_error : natural logarithm of its part of mu_s by the grid; nan where there is none
    law_log_mass, law_log_mass_error : by the law to first order, shallower wells in it counted
    """

    number: int
    x: Array
    value: float
    curvatures: Array
    depth: float
    log_mass: float = np.nan
    log_mass_error: float = np.nan
    law_log_mass: float = np.nan
    law_log_mass_error: float = np.nan


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Which way a mode that is no transition relaxes.

    Attributes
    ----------
    direction, direction_error : unit vector along which the mean of x moves, shape (d,), and the error of each entry
    linear : part of the mode's variance that a linear function of x has
    curvature : second derivative of f along it at the lowest minimum; nan on a kink
    centre, centre_error : the mean of x weighted with the square of the mode, shape (d,): where it lives
    height : f there above its lowest value on the grid
    """

    direction: Array
    direction_error: float
    linear: float
    curvature: float
    centre: Array
    centre_error: float
    height: float


@dataclass(frozen=True, eq=False)
class Mode:
    """What the slowest mode does.

    Attributes
    ----------
    within : part of its variance inside wells; what is left it has by being different from well to well. nan where
        wells are not told apart, or there is one
    moved : by how much of the mass each well gains or loses, as parts of all that moves, shape (k,)
    multiplicity : how many rates agree with the slowest within their bars: only the span of their modes is fixed
    log_next, log_next_error : natural logarithm of the next rate; nan where it is not known
    relaxation : the way it relaxes, where it is no transition
    """

    within: float = np.nan
    moved: Array = field(default_factory=lambda: np.empty(0))
    multiplicity: int = 1
    log_next: float = np.nan
    log_next_error: float = np.nan
    relaxation: Relaxation | None = None


@dataclass(frozen=True)
class MeanTime:
    """Mean time t = s times the number of steps from one well to another, by their places in `Explanation.wells`.

    Attributes
    ----------
    start, end : from where and to where
    route : 'committor' or 'law'
    log_time, log_error : natural logarithm, and what that may be off
    """

    start: int
    end: int
    route: str
    log_time: float
    log_error: float


@dataclass(frozen=True, eq=False)
class Passage:
    """The way that limits the rate, from well A to well B.

    Attributes
    ----------
    start, end : A, the higher of the two, and B, by their places in `Explanation.wells`
    saddle : the highest pass on the lowest way from A to B
    points : the minimum-energy path from A to B, shape (d, n); None where there is none
    heights, lengths : f along it, and its length up to each point, shape (n,)
    length_error : of the whole length
    saddle_at : length of the path up to the saddle
    q : the committor from A to B along it, shape (n,); None where there is none
    half, half_error : length of the path up to q = 1/2, and what that may be off; nan without q
    q_at_saddle, q_at_saddle_error : q at the saddle
    law_offset : how far beyond the saddle the law to first order has q = 1/2; nan where it does not say
    """

    start: int
    end: int
    saddle: Pass
    points: Array | None = None
    heights: Array | None = None
    lengths: Array | None = None
    length_error: float = np.nan
    saddle_at: float = np.nan
    q: Array | None = None
    half: float = np.nan
    half_error: float = np.nan
    q_at_saddle: float = np.nan
    q_at_saddle_error: float = np.nan
    law_offset: float = np.nan


@dataclass(frozen=True)
class Change:
    """The rate at another learning rate: computed, and by the law; None where one does not say, with the reason in
    `Explanation.why`."""

    learning_rate: float
    spectral: RateRecord | None
    law: LawRate | None


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Displayed):
    """Why the rate is what it is at s.

    >>> found = witten.explain("x^2/2 + y^2/50", 0.1)
    >>> found.kind, abs(found.mode.relaxation.direction).round(6).tolist()
    ('relaxation', [0.0, 1.0])

    Attributes
    ----------
    objective, learning_rate, noise : f, s and sigma; everything is that of the learning rate s sigma^2, but for steps
    kind : 'transition' between wells, 'relaxation' in one, 'continuous' spectrum, or 'unknown'
    spectral, law, simulated : the rate by each route, None where it has no answer
    mode : what the slowest mode does
    wells : those deeper than s sigma^2, the lowest first
    minima : how many minima are known, shallow ones too
    passage : the way between wells that limits the rate; None without one
    limits : (i, j) -> d log rate / d log conductance between these wells, by the law: they sum to one
    times : mean times between the two wells of the passage
    halved, doubled : the same at s/2 and 2 s
    landscape : critical points; None where they are refused
    why : part of the page -> why it has no number
    notes : what a reader should know
    """

    picture: ClassVar[str] = "plot_passage"

    objective: Objective
    learning_rate: float
    noise: float
    kind: str
    spectral: RateRecord | None
    law: LawRate | None
    simulated: SampledRate | RateRecord | None
    mode: Mode
    wells: tuple[Well, ...]
    minima: int
    passage: Passage | None
    limits: Mapping[tuple[int, int], float]
    times: tuple[MeanTime, ...]
    halved: Change
    doubled: Change
    landscape: Landscape | None
    why: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: float

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        best, h = self.best, "" if self.barrier is None else f", H = {self.barrier:.6g}"
        rate = "unknown" if best is None else best.text
        return f"{shortened(self.objective.name)}, s = {self.learning_rate:g}: {self.kind}, rate {rate}{h}"

    @property
    def s(self) -> float:
        """s sigma^2, the effective learning rate."""
        return self.learning_rate * self.noise**2

    def name(self, place: int) -> str:
        """A well in words, by its place in `wells`."""
        return f"well {self.wells[place].number}"

    @property
    def barrier(self) -> float | None:
        """H, the largest depth of a well but the lowest, deeper than s or not; None where there is none."""
        depths = [well.depth for well in self.wells if well.depth < np.inf]
        return max(depths) if depths else None if self.landscape is None else self.landscape.barrier

    @property
    def extent(self) -> float:
        """How far the wells lie apart; 0 for one."""
        x = np.array([well.x for well in self.wells])
        return float(np.ptp(x, axis=0).max()) if x.size else 0.0

    @property
    def best(self) -> RateRecord | None:
        """The rate by the route that knows it best: spectral, else the law where it is resolved."""
        if self.spectral is not None:
            return self.spectral
        return self.law if self.law is not None and self.law.resolved else self.simulated
