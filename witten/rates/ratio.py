"""Two curves compared: one rate over another at each learning rate, with the bars of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.display import Displayed, Table
from witten.number_format import readable, with_log_error
from witten.rates.record import RateRecord

if TYPE_CHECKING:
    import pandas

__all__ = ["RateRatio", "ratio_with_error"]

Array = NDArray[np.float64]

UNRESOLVED = "unresolved"


@dataclass(frozen=True, repr=False)
class RateRatio(Displayed):
    """One rate over another at n learning rates, in ascending order: what a `RateCurve` over another is.

    The ends of a bar are low/high and high/low of the two rates, so that the ratio lies inside where both rates do.

    >>> ratio = witten.gap("double-well", (0.01, 0.02)) / witten.eyring_kramers("double-well", (0.01, 0.02))
    >>> bool(np.all(ratio.lower < 0) and np.all(ratio.upper > 0))  # log 1 is in all bars: they agree
    True

    Parameters
    ----------
    names : what is divided by what, in words
    pairs : the two records of each learning rate; the ratio is known where both are resolved, and nan elsewhere
    """

    picture: ClassVar[str] = "plot_ratio"

    names: tuple[str, str]
    pairs: Sequence[tuple[RateRecord, RateRecord]]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        known = [(s, text) for s, text in zip(self.learning_rates, self._texts, strict=True) if text != UNRESOLVED]
        told = " to ".join(f"{text} at s = {s:g}" for s, text in known[:1] + known[1:][-1:])
        bad = len(self) - len(known)
        return f"{self.names[0]} / {self.names[1]}: {told}" + (f"{', ' if told else ''}{bad} unresolved" if bad else "")

    def table(self) -> Table:
        """One row for each learning rate; bars are of the logarithm of the ratio."""
        rows = [(f"{s:g}", text) for s, text in zip(self.learning_rates, self._texts, strict=True)]
        bars = list(zip(self.lower.tolist(), self.log_ratios.tolist(), self.upper.tolist(), strict=True))
        return Table(("learning rate", "ratio"), rows, bars)

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each learning rate, the index."""
        import pandas

        names = ("ratios", "log_ratios", "lower", "upper", "resolved")
        columns = {name: getattr(self, name) for name in names}
        return pandas.DataFrame(columns, index=pandas.Index(self.learning_rates, name="learning_rate"))

    @property
    def _texts(self) -> list[str]:
        bars = np.maximum(self.upper - self.log_ratios, self.log_ratios - self.lower).tolist()
        both = zip(self.log_ratios.tolist(), bars, strict=True)
        return [readable(with_log_error(log, bar)) if log == log else UNRESOLVED for log, bar in both]

    @cached_property
    def learning_rates(self) -> Array:
        """s, shape (n,)."""
        return np.array([above.learning_rate for above, _ in self.pairs])

    @cached_property
    def log_ratios(self) -> Array:
        """Natural logarithms of the ratios, shape (n,)."""
        return np.array([a.log_rate - b.log_rate if _known(a, b) else math.nan for a, b in self.pairs])

    @cached_property
    def lower(self) -> Array:
        """Natural logarithms of the lower ends of the error bars, shape (n,); they may be -inf."""
        return np.array([a.lower - b.upper if _known(a, b) else math.nan for a, b in self.pairs])

    @cached_property
    def upper(self) -> Array:
        """Natural logarithms of the upper ends of the error bars, shape (n,); they may be inf."""
        return np.array([a.upper - b.lower if _known(a, b) else math.nan for a, b in self.pairs])

    @cached_property
    def resolved(self) -> NDArray[np.bool_]:
        """Whether the ratios mean anything, shape (n,)."""
        return np.array([_known(a, b) for a, b in self.pairs])

    @cached_property
    def ratios(self) -> Array:
        """The ratios, shape (n,); 0 or inf where they are beyond the doubles: see log_ratios."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(self.log_ratios))


def _known(above: RateRecord, below: RateRecord) -> bool:
    return above.resolved and below.resolved


def ratio_with_error(a: float | None, a_error: float | None, b: float | None, b_error: float | None) -> tuple[Any, Any]:
    """a/b and its error; None where something is not known."""
    if a is None or a_error is None or b is None or b_error is None:
        return None, None
    return a / b, a / b * (a_error / a + b_error / b)
