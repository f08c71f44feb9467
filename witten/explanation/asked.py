"""A request, asked of one route at a time; what a route does not say, it says why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.simulation import simulate_rate
from witten.errors import AccuracyWarning, ConvergenceError, RequestError
from witten.landscape.landscape import Landscape, describe_landscape
from witten.landscape.laws.eyring_kramers import eyring_kramers
from witten.objectives import Objective
from witten.rates import LawRate, RateRecord
from witten.spectra.committor import Committor, committor
from witten.spectra.fixed_discretisation import rate_record
from witten.spectra.gap import gap, spectrum
from witten.spectra.spectrum import Spectrum

__all__ = ["Asked"]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
# Rates computed beside the slowest: one for each deep well, so many at most.
MOST_RATES = 6


@dataclass(frozen=True, eq=False)
class Asked:
    """The request, and why parts of the answer are missing.

    Attributes
    ----------
    f, learning_rate, noise, rtol, box, seed : as in `explain`
    s : learning_rate noise^2
    why, errors : part -> why it has no answer, and the exception that said it
    notes : what computations have warned of
    """

    f: Objective
    learning_rate: float
    s: float
    noise: float
    rtol: float
    box: Intervals | None
    seed: int
    why: dict[str, str] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tried[T](self, part: str, compute: Callable[[], T]) -> T | None:
        """What a computation gives; None, with the reason kept, where it is refused or fails."""
        try:
            return compute()
        except (RequestError, ConvergenceError) as error:
            self.why[part], self.errors[part] = str(error), error
            return None

    def gap(self, learning_rate: float) -> RateRecord:
        """The spectral rate; ConvergenceError where it is not resolved."""
        self._require_grid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)  # the bar says it
            return _resolved(gap(self.f, learning_rate, **self._how).records[0])

    def spectrum(self, deep: int) -> tuple[RateRecord, Spectrum | None]:
        """The spectral rate, and the lowest rates with their modes: one for each deep well and the next, as many as
        are isolated; no modes where the spectrum is continuous from the slowest rate on."""
        self._require_grid()
        with self._noted():
            with suppress(ConvergenceError):
                return self._modes(min(max(deep, 2), MOST_RATES) + 1)
            record = _resolved(gap(self.f, self.learning_rate, **self._how).records[0])
            return (record, None) if record.continuous else self._modes(2)

    def _modes(self, count: int) -> tuple[RateRecord, Spectrum]:
        found = spectrum(self.f, self.learning_rate, count, **self._how)
        return _resolved(rate_record(found)), found

    def committor(self, start: Array, end: Array) -> Committor:
        """From the well around one minimum to that around another."""
        self._require_grid()
        with self._noted(), np.errstate(invalid="ignore"):
            found = committor(self.f, self.learning_rate, start.tolist(), end.tolist(), **self._how)
        if not np.isfinite([found.log_rate, found.log_rate_back, *found.relative_errors]).all():
            raise ConvergenceError("the mean times are beyond the doubles in which the committor is computed")
        return found

    @property
    def _how(self) -> dict[str, Any]:
        return {"rtol": self.rtol, "noise": self.noise, "box": self.box}

    def _require_grid(self) -> None:
        if self.f.dimension > 3:
            raise RequestError(f"a grid needs one to three dimensions, {self.f.name} has {self.f.dimension}")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Warnings become notes."""
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", AccuracyWarning)
            yield
        self.notes.extend(str(each.message) for each in heard if issubclass(each.category, AccuracyWarning))

    def landscape(self) -> Landscape:
        """The critical points."""
        if self.f.periods:
            raise RequestError("critical points and the law know no periodic axes; wells are those of f on the grid")
        return describe_landscape(self.f, box=self.box, seed=self.seed)

    def law(self, landscape: Landscape | None, learning_rate: float) -> LawRate:
        """The rate by the law; RequestError where it has none."""
        if landscape is None:
            raise RequestError(self.why["landscape"])
        record = eyring_kramers(landscape, learning_rate, noise=self.noise).records[0]
        assert isinstance(record, LawRate)
        if landscape.unbounded:
            raise RequestError("barriers grow without bound: no rate is exponentially small")
        if not record.log_leading:
            raise RequestError("one minimum: no rate is exponentially small, and the law says nothing")
        return record

    def simulated(self) -> RateRecord:
        """The rate of simulated paths."""
        if self.f.periods or self.box is not None:
            raise RequestError("paths know no periodic axes and no box")
        return simulate_rate(self.f, self.learning_rate, noise=self.noise, seed=self.seed).records[0]


def _resolved(record: RateRecord) -> RateRecord:
    if not record.resolved:
        raise ConvergenceError("not resolved: the error bar is wider than a tenth of the rate")
    return record
