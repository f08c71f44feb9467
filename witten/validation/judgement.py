"""The routes by name, and at one learning rate: what was compared with what, and whether it agrees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from witten.rates import RateRecord

__all__ = ["MONTE_CARLO", "NAMES", "ROUTES", "SPECTRAL", "THEORY", "Comparison", "Judgement", "factor"]

SPECTRAL, THEORY, MONTE_CARLO = ROUTES = ("spectral", "theory", "monte_carlo")
NAMES = {SPECTRAL: "spectral", THEORY: "theory", MONTE_CARLO: "Monte Carlo"}


@dataclass(frozen=True)
class Judgement:
    """Whether two routes agree at one learning rate.

    Attributes
    ----------
    pair : the routes compared, the second is the reference
    log_ratio : log(first/second)
    low, high : what log_ratio may be
    """

    pair: tuple[str, str]
    log_ratio: float
    low: float
    high: float

    @property
    def agree(self) -> bool:
        """low <= log(first/second) <= high."""
        return self.low <= self.log_ratio <= self.high

    def __str__(self) -> str:
        first, second = (NAMES[name] for name in self.pair)
        return f"{first}/{second} = {factor(self.log_ratio)}, allowed {factor(self.low)} to {factor(self.high)}"


@dataclass(frozen=True)
class Comparison:
    """All routes at one learning rate.

    Attributes
    ----------
    learning_rate : s
    spectral, theory, monte_carlo : the records, None where left out
    why : route -> why it is left out
    judgements : what was compared with what
    """

    learning_rate: float
    spectral: RateRecord | None
    theory: RateRecord | None
    monte_carlo: RateRecord | None
    why: Mapping[str, str]
    judgements: tuple[Judgement, ...]

    @property
    def agree(self) -> bool | None:
        """Whether all that was compared agrees; None where there was nothing to compare."""
        return all(j.agree for j in self.judgements) if self.judgements else None


def factor(log_ratio: float) -> str:
    """A ratio to three digits, from its logarithm, however large."""
    if abs(log_ratio) < 13:
        return f"{math.exp(log_ratio):.3g}"
    return f"10^{log_ratio / math.log(10):.1f}" if math.isfinite(log_ratio) else ("0" if log_ratio < 0 else "inf")
