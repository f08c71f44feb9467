"""The rate against the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.barrier_fit import BarrierFit, fit_barrier
from witten.display import Displayed, Table, same, shortened
from witten.errors import RequestError
from witten.io import netcdf
from witten.rates.rate_dataset import ALONG, read_records, variables
from witten.rates.record import RateRecord

if TYPE_CHECKING:
    import pandas
    import xarray

    from witten.rates.ratio import RateRatio

__all__ = ["KIND", "RateCurve", "sensible_fit"]

KIND = "rate-curve"
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class RateCurve(netcdf.Saved, Displayed):
    """lambda_s at several learning rates, in the order asked for.

    `len`, iteration and `curve[0.1]` are those of its records; two curves are equal if all that they hold is, and
    `curve / law` is a `RateRatio`.

    >>> curve = witten.gap("double-well", (0.05, 0.1))
    >>> bool(np.all(curve.lower < curve.log_rates) and np.all(curve.log_rates < curve.upper))
    True

    Parameters
    ----------
    records : one `RateRecord` for each of the n learning rates
    method : 'finite-differences', ...
    objective : its name or formula
    options : what was asked for (rtol, noise, box, ...), as JSON values
    """

    kind: ClassVar[str] = KIND
    picture: ClassVar[str] = "plot_curve"

    records: tuple[RateRecord, ...]
    method: str
    objective: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "records", tuple(self.records))
        object.__setattr__(self, "options", dict(self.options))

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[RateRecord]:
        return iter(self.records)

    def __getitem__(self, learning_rate: float) -> RateRecord:
        """The record of a learning rate, to 12 digits; KeyError names those that there are."""
        for record in self.records:
            if math.isclose(record.learning_rate, learning_rate, rel_tol=1e-12):
                return record
        known = ", ".join(f"{s:g}" for s in self.learning_rates[:20])
        raise KeyError(f"no learning rate {learning_rate:g} here; there are {known or 'none'}")

    def __contains__(self, learning_rate: object) -> bool:
        return isinstance(learning_rate, int | float) and any(
            math.isclose(s, learning_rate, rel_tol=1e-12) for s in self.learning_rates
        )

    def __eq__(self, other: object) -> bool:
        return same(self, other) if isinstance(other, RateCurve) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.objective, self.method, *self.learning_rates.tolist()))

    def __truediv__(self, other: RateCurve) -> RateRatio:
        """The ratio to another curve, as computed rates to a law, with the bars of both, where both have a record.

        Raises
        ------
        RequestError
            where no learning rate is in both curves, or one of them is there twice with rates that exclude each other.
        """
        from witten.rates.ratio import RateRatio

        if not isinstance(other, RateCurve):
            return NotImplemented
        above, below = self.each_once(), other.each_once()
        common = sorted(s for s in above.learning_rates.tolist() if s in below)
        if not common:
            raise RequestError("the two curves have no learning rate in common; compute both at the same ones")
        names = [f"{shortened(each.objective, 30)} ({each.method})" for each in (self, other)]
        return RateRatio((names[0], names[1]), [(above[s], below[s]) for s in common])

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        good = [record for record in self if record.resolved]
        ends = good[:1] + good[1:][-1:]
        told = [f"{record.text} at s = {record.learning_rate:g}" for record in ends]
        bad = len(self) - int(self.resolved.sum())
        count = f"{len(self)} learning rate{'' if len(self) == 1 else 's'}" + (f", {bad} unresolved" if bad else "")
        return f"{shortened(self.objective)}, {self.method}, {count}" + (f": {' to '.join(told)}" if told else "")

    def table(self) -> Table:
        """One row for each learning rate; bars are of log10 of the rate."""
        rows = [(f"{r.learning_rate:g}", r.text, _tenth(r.log10_rate), r.solver) for r in self.records]
        bars = [(r.lower, r.log_rate if r.resolved else math.nan, r.upper) for r in self.records]
        return Table(("learning rate", "rate", "log10 rate", "solver"), rows, bars)

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each learning rate, the index; xarray is `to_dataset`."""
        import pandas

        names = ("rate", "rate_error", "log_rate", "lower", "upper", "resolved", "continuous", "solver")
        columns = {name: [getattr(record, name) for record in self.records] for name in names}
        return pandas.DataFrame(columns, index=pandas.Index(self.learning_rates, name=ALONG))

    def _array(self, name: str, kind: type = float) -> NDArray[Any]:
        """An attribute of all records, nan where it is None; it cannot be written."""
        found = [getattr(record, name) for record in self.records]
        out: NDArray[Any] = np.array([math.nan if value is None else value for value in found], dtype=kind)
        out.setflags(write=False)
        return out

    @cached_property
    def learning_rates(self) -> Array:
        """s, shape (n,)."""
        return self._array("learning_rate")

    @cached_property
    def log_rates(self) -> Array:
        """Natural logarithms of lambda_s, shape (n,)."""
        return self._array("log_rate")

    @cached_property
    def lower(self) -> Array:
        """Natural logarithms of the lower ends of the error bars, shape (n,); they may be -inf."""
        return self._array("lower")

    @cached_property
    def upper(self) -> Array:
        """Natural logarithms of the upper ends of the error bars, shape (n,)."""
        return self._array("upper")

    @cached_property
    def resolved(self) -> NDArray[np.bool_]:
        """Whether the rates mean anything, shape (n,)."""
        return self._array("resolved", bool)

    @cached_property
    def rates(self) -> Array:
        """lambda_s, shape (n,); nan where it is below the normal doubles: see log_rates."""
        return self._array("rate")

    @cached_property
    def rate_errors(self) -> Array:
        """Half-widths of the error bars of lambda_s, shape (n,); nan where the rate is."""
        return self._array("rate_error")

    @cached_property
    def continuous(self) -> NDArray[np.bool_]:
        """Whether the rate is the bottom of the continuous spectrum, shape (n,)."""
        return self._array("continuous", bool)

    @property
    def noise(self) -> float:
        """sigma, the scale of the gradient noise: the SDE is that of learning rate s sigma^2."""
        return float(self.options.get("noise") or 1.0)

    def fit_barrier(self) -> BarrierFit:
        """Barrier H and prefactor alpha of lambda_s = alpha e^{-2H/(s sigma^2)} (1 + O(s)), from resolved eigenvalues.

        Raises
        ------
        RequestError
            for fewer than 3 resolved learning rates.
        """
        log_errors = self._array("log_error")
        use = self.resolved & np.isfinite(self.log_rates) & np.isfinite(log_errors) & ~self.continuous
        return fit_barrier(self.noise**2 * self.learning_rates[use], self.log_rates[use], log_errors[use])

    def each_once(self) -> RateCurve:
        """The curve without the learning rates that are there already.

        Raises
        ------
        RequestError
            where two records of one learning rate contradict each other.
        """
        first: dict[float, RateRecord] = {}
        for record in self.records:
            known = first.setdefault(record.learning_rate, record)
            if known.upper < record.lower or record.upper < known.lower:
                raise RequestError(
                    f"learning rate {record.learning_rate:g} has two rates that exclude each other; keep one of them"
                )
        return replace(self, records=tuple(first.values()))

    def to_dataset(self) -> xarray.Dataset:
        """The curve as an xarray Dataset that describes itself; each learning rate once."""
        import xarray

        curve = self.each_once()
        attributes = {"objective": self.objective, "method": self.method, "options": netcdf.dump_options(self.options)}
        title = "Convergence rate of stochastic gradient descent against the learning rate"
        return xarray.Dataset(
            variables(curve.records),
            coords={ALONG: (ALONG, curve.learning_rates, netcdf.described("learning rate s"))},
            attrs=netcdf.provenance(KIND, title, attributes),
        )

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> RateCurve:
        """The curve that `to_dataset` described; KeyError or ValueError where a part is missing or cannot be true."""
        options = netcdf.read_options(dataset.attrs["options"])
        names = dataset.attrs["method"], dataset.attrs["objective"]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("method and objective are no words")
        return cls(read_records(dataset), *names, options)


def _tenth(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def sensible_fit(curve: RateCurve) -> BarrierFit | None:
    """The barrier fit where it says something: enough points, and a barrier that is distinguished from none."""
    try:
        fit = curve.fit_barrier()
    except RequestError:
        return None
    known = fit.is_barrier and math.isfinite(fit.prefactor_error) and fit.prefactor > 0
    return fit if known else None
