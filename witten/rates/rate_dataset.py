"""Records of rates as variables of an xarray Dataset, and back; what earlier versions of witten wrote is read too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from witten.io import netcdf
from witten.rates.record import NOBODY, ChainRate, KineticRate, LawRate, NoisyRate, RateRecord, SampledRate

if TYPE_CHECKING:
    import xarray

__all__ = ["ALONG", "read_records", "variables"]

ALONG = "learning_rate"
# Relative difference of a rate and the exponential of its logarithm in a file.
SAME = 1e-9
BLANK: dict[type, Any] = {float: math.nan, int: 0, bool: False, str: ""}


@dataclass(frozen=True)
class Variable:
    """A variable of the file: what it means, and how it comes from a record and goes back to a field of one.

    `field` is None where a variable follows from others; `along` is the axis of those that have several values at each
    learning rate. Records of other kinds, which say why there is no rate, have blanks.
    """

    name: str
    field: str | None
    meaning: str
    units: str = "1"
    kind: type = float
    along: str = ""
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value

    @property
    def dims(self) -> tuple[str, ...]:
        """The axes."""
        return (ALONG, self.along) if self.along else (ALONG,)

    def values(self, records: Sequence[RateRecord]) -> NDArray[Any]:
        """One value for each record, or one row."""
        blank = () if self.along else BLANK[self.kind]
        values = [self.write(getattr(record, self.field or self.name, blank)) for record in records]
        if self.along:
            return _padded(values)
        return np.array(values, dtype={bool: np.int8, str: object, int: np.int64}.get(self.kind, self.kind))

    def column(self, dataset: xarray.Dataset) -> list[Any]:
        """What `values` has written, as values of the field."""
        values = netcdf.column(dataset, self.name, self.dims, self.kind).tolist()
        return [self.read(value) for value in values]


def _padded(rows: Sequence[tuple[float, ...]]) -> NDArray[np.float64]:
    """Rows of unequal length as an array, nan where a row has ended."""
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


LINES: dict[str, Any] = {
    "units": "", "kind": str, "write": "\n".join, "read": lambda text: tuple(text.splitlines()),
}  # fmt: skip
ROW: dict[str, Any] = {"along": "index", "read": lambda row: tuple(value for value in row if not math.isnan(value))}
MODE = ROW | {"along": "mode"}
COUNT: dict[str, Any] = {
    "kind": int, "write": lambda n: -1 if n is None else n, "read": lambda n: None if n < 0 else n,
}  # fmt: skip
DOUBLE: dict[str, Any] = {"field": None, "write": lambda value: math.nan if value is None else value}
VARIABLES = {
    RateRecord: (
        Variable("rate", meaning="lambda_s, the spectral gap (nan where a double cannot hold it)", **DOUBLE),
        Variable("rate_error", meaning="half-width of the error bar of rate", **DOUBLE),
        Variable("log_rate", "log_rate", "natural logarithm of rate"),
        Variable("log_rate_lower", "lower", "natural logarithm of the lower end of the error bar"),
        Variable("log_rate_upper", "upper", "natural logarithm of the upper end of the error bar"),
        Variable("resolved", "resolved", "1 where the rate is resolved, else 0", "", bool),
        Variable("rates", None, "all rates computed, nan where a double cannot hold one, nan-padded", along="index"),
        Variable("log_rates", "log_rates", "natural logarithms of all rates computed, nan-padded", **ROW),
        Variable("solver", "solver", "what computed it", "", str),
        Variable("n_dofs", "n_dofs", "number of unknowns", kind=int),
        Variable("seconds", "seconds", "wall time", "s"),
        Variable(
            "modes_counted", "modes_counted",
            "eigenvalues counted by inertia, zero included; -1 where none were counted", **COUNT,
        ),
        Variable(
            "continuous", "continuous", "1 where the rate is the bottom of the continuous spectrum, else 0", kind=bool
        ),
        Variable("notes", "notes", "what a reader should know", **LINES),
        Variable("examined", "examined", "how far the objective was looked at", "", str),
    ),
    SampledRate: (
        Variable("n_steps", "n_steps", "steps of all paths together", kind=int),
        Variable("dt", "dt", "finest time step"),
        Variable("confidence", "confidence", "of the interval that the error bar is"),
        Variable("diverged", "diverged", "paths that left for infinity", kind=int),
        Variable(
            "stopped", "stopped", "1 where it was ended before the interval was narrow enough, else 0", kind=bool
        ),
        Variable("blind", "blind", "1 where a mode may live where the paths hardly ever come, else 0", kind=bool),
        Variable("remarks", "notes", "what a reader should know, a line each", **LINES),
    ),
    NoisyRate: (
        Variable("reversible", "reversible", "1 where there is detailed balance, else 0", kind=bool),
        Variable("imaginary", "imaginary", "imaginary part of the eigenvalue of -L whose real part is the rate"),
        Variable("log_contraction", "log_contraction", "natural logarithm of the gap of the symmetrised generator"),
        Variable("contraction_error", "contraction_error", "its relative error"),
    ),
    KineticRate: (
        Variable("momentum", "momentum", "alpha of the recursion; nan where there is none"),
        Variable("friction", "friction", "gamma of the Langevin equation"),
        Variable("temperature", "temperature", "T of the Langevin equation"),
        Variable("step_time", "step_time", "time of one step of the recursion; nan where there is none"),
        Variable("hermite_order", "hermite_order", "up to which the velocity was expanded", kind=int),
        Variable("kinetic_real", "kinetic_real", "real parts of the eigenvalues of -L, ascending", **MODE),
        Variable("kinetic_imag", "kinetic_imag", "imaginary parts of these eigenvalues", **MODE),
    ),
    LawRate: (
        Variable("leading", None, "rates of leading order, nan where a double cannot hold one", along="index"),
        Variable("log_leading", "log_leading", "natural logarithms of leading, nan-padded", **ROW),
        Variable("coefficient", "coefficients", "c in rate = leading (1 + c s + O(s^2)), nan-padded", **ROW),
        Variable("error", "log_errors", "half-widths of the error bars of log_rates, nan-padded", **ROW),
    ),
    ChainRate: (
        Variable("eigenvalue_real", "eigenvalue_real", "real parts of the eigenvalues of one step, by modulus", **MODE),
        Variable("eigenvalue_imag", "eigenvalue_imag", "imaginary parts of the eigenvalues of one step", **MODE),
        Variable("eigenvalue_error", "eigenvalue_errors", "error bars of these eigenvalues, absolute", **MODE),
        Variable("loss", "loss", "part lost in each step, 1 minus the first eigenvalue"),
    ),
}  # fmt: skip


def _of(kind: type[RateRecord]) -> list[Variable]:
    """The variables of records of a kind."""
    return [variable for base in reversed(kind.__mro__) for variable in VARIABLES.get(base, ())]


def variables(records: Sequence[RateRecord]) -> dict[str, Any]:
    """Data variables for `xarray.Dataset`; those of a kind of records only if all that have a rate are of it."""
    kinds = {type(record) for record in records if record.solver not in ("", NOBODY)}
    kind = kinds.pop() if len(kinds) == 1 else RateRecord
    return {
        variable.name: (variable.dims, variable.values(records), netcdf.described(variable.meaning, variable.units))
        for variable in _of(kind)
    }


def read_records(dataset: xarray.Dataset) -> tuple[RateRecord, ...]:
    """The records in a dataset.

    Raises
    ------
    KeyError, ValueError
        where a part is missing, or cannot be true.
    """
    dataset = dataset.isel({ALONG: netcdf.column(dataset, "solver", (ALONG,), str) != ""})
    if "log_rates" not in dataset and "rates" in dataset:
        dataset = dataset.assign(log_rates=_logarithms(dataset))
    kinds: dict[str, type[RateRecord]] = {
        "friction": KineticRate, "n_steps": SampledRate, "reversible": NoisyRate, "log_leading": LawRate,
        "eigenvalue_real": ChainRate,
    }  # fmt: skip
    kind = next((kind for mark, kind in kinds.items() if mark in dataset), RateRecord)
    optional = {each.name for each in fields(kind) if each.default is not MISSING} - {"log_rates"}
    columns = {"learning_rate": netcdf.column(dataset, ALONG, (ALONG,)).tolist()} | {
        variable.field: variable.column(dataset)
        for variable in _of(kind)
        if variable.field and (variable.name in dataset or variable.field not in optional)
    }
    _require_true(columns, netcdf.column(dataset, "rate", (ALONG,)))
    if kind is LawRate:  # of a rate without digits for it the coefficient is nan, as where a row has ended
        rows = zip(columns["coefficients"], map(len, columns["log_rates"]), strict=True)
        columns["coefficients"] = [(row + (math.nan,) * n)[:n] for row, n in rows]
    spectra = {ChainRate: ("eigenvalue_real", "eigenvalue_imag"), KineticRate: ("kinetic_real", "kinetic_imag")}
    if kind in spectra:
        parts = zip(*(columns.pop(name) for name in spectra[kind]), strict=True)
        columns["eigenvalues"] = [tuple(map(complex, *each)) for each in parts]
    return tuple(kind(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


def _logarithms(dataset: xarray.Dataset) -> tuple[tuple[str, str], NDArray[np.float64]]:
    """What a file of an earlier version holds of all rates: those below the doubles it has as zeros, but for the first
    if its logarithm is there."""
    rates = netcdf.column(dataset, "rates", (ALONG, "index"))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(rates > 0, np.log(rates), np.nan)
    if logs.size:
        first = netcdf.column(dataset, "log_rate", (ALONG,))
        logs[:, 0] = np.where(rates[:, 0] == 0, first, logs[:, 0])
    return (ALONG, "index"), logs


def _require_true(columns: Mapping[str, list[Any]], rates: NDArray[np.float64]) -> None:
    """ValueError for a learning rate that is none or there twice, and for a rate that contradicts itself."""
    names = ("learning_rate", "log_rate", "lower", "upper", "resolved")
    s, log_rates, lower, upper, resolved = (np.array(columns[name]) for name in names)
    netcdf.require(np.isfinite(s) & (s > 0), s, "a learning rate is not positive")
    netcdf.require(np.isin(np.arange(s.size), np.unique(s, return_index=True)[1]), s, "there are two rates")
    known = np.isfinite(log_rates) & ~np.isnan(lower) & np.isfinite(upper)
    netcdf.require(known | ~resolved.astype(bool), s, "the rate is resolved and not known")
    wrong = (lower > log_rates) | (log_rates > upper) | (lower > upper)
    netcdf.require(~wrong, s, "the rate is not within its error bar")
    with np.errstate(over="ignore", invalid="ignore"):
        differ = np.abs(rates - np.exp(log_rates)) > SAME * np.abs(rates)
    netcdf.require(~(np.isfinite(rates) & differ), s, "rate and log_rate are two different rates")
