"""The rate against the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.barrier_fit import BarrierFit, fit_barrier
from witten.errors import RequestError
from witten.io import netcdf
from witten.rates.rate_dataset import ALONG, about, read_records, variables
from witten.rates.record import RateRecord

if TYPE_CHECKING:
    import xarray

__all__ = ["KIND", "RateCurve", "sensible_fit"]

KIND = "rate-curve"
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RateCurve(netcdf.Saved):
    """lambda_s at several learning rates, in the order asked for.

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

    records: tuple[RateRecord, ...]
    method: str
    objective: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "records", tuple(self.records))
        object.__setattr__(self, "options", dict(self.options))

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
            coords={ALONG: (ALONG, curve.learning_rates, about("learning rate s"))},
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


def sensible_fit(curve: RateCurve) -> BarrierFit | None:
    """The barrier fit where it says something: enough points, and a barrier that is distinguished from none."""
    try:
        fit = curve.fit_barrier()
    except RequestError:
        return None
    known = fit.is_barrier and math.isfinite(fit.prefactor_error) and fit.prefactor > 0
    return fit if known else None
