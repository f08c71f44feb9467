"""What is proved of a rate."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Certificate"]


@dataclass(frozen=True)
class Certificate:
    """lower <= lambda_1 <= upper, decimal strings rounded outwards.

    Attributes
    ----------
    learning_rate : s, the decimal number that it is printed as
    lower, upper : the bounds
    log10_lower, log10_upper : their decimal logarithms, rounded outwards
    rho : a number below rate number n + 1, on which the lower bound rests
    functions : n, how many trial functions there are
    theorem : what proves it
    cells : into how many the line was cut
    bits : of the balls
    seconds : wall time
    """

    learning_rate: float
    lower: str
    upper: str
    log10_lower: float
    log10_upper: float
    rho: str
    functions: int
    theorem: str
    cells: int
    bits: int
    seconds: float

    @property
    def relative_width(self) -> float:
        """(upper - lower)/lower."""
        return float(Fraction(self.upper) / Fraction(self.lower) - 1)
