"""Rates against the learning rate: the one value in which every route answers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.barrier_fit import BarrierFit, fit_barrier
from witten.errors import RequestError
from witten.io import netcdf

if TYPE_CHECKING:
    import xarray

__all__ = ["BarrierFit", "RateCurve", "RateRecord", "Sampling", "effective_learning_rate"]

KIND = "rate-curve"
DETAILS = ("solver", "n_dofs", "seconds", "rates", "modes_counted", "continuous", "notes", "examined")
# What a `Sampling` is on disk: a name, its meaning, and units.
SAMPLING = {
    "n_steps": ("steps of all paths together", "1"),
    "dt": ("finest time step", "1"),
    "confidence": ("of the interval that the error bar is", "1"),
    "diverged": ("paths that left for infinity", "1"),
    "stopped": ("1 where it was ended before the interval was narrow enough, else 0", "1"),
    "blind": ("1 where a mode may live where the paths hardly ever come, else 0", "1"),
    "remarks": ("what a reader should know, a line each", ""),
}
# Relative difference of a rate and the exponential of its logarithm in a file.
SAME = 1e-9
# Below this a double loses digits: the rate is then known by its logarithm alone.
SMALLEST = float(np.finfo(float).tiny)


def effective_learning_rate(learning_rate: float, noise: float = 1.0) -> float:
    """s sigma^2, the learning rate that gives the SDE of unit noise the same rates.

    Raises
    ------
    RequestError
        if s or sigma is not positive and finite, or s sigma^2 is more or less than a double holds.
    """
    for name, value in (("noise", noise), ("learning rate", learning_rate)):
        if not (math.isfinite(value) and value > 0):
            raise RequestError(f"{name} must be positive, got {value}")
    product = float(learning_rate) * float(noise) * float(noise)
    if not (math.isfinite(product) and product >= SMALLEST):
        size, remedy = ("large", "smaller") if product > 1 else ("small", "larger")
        raise RequestError(
            f"learning rate {learning_rate:g} times the square of noise {noise:g} is too {size} for a double; give "
            f"{remedy} ones"
        )
    return product


@dataclass(frozen=True)
class Sampling:
    """What simulated paths tell of themselves beside the rate.

    Parameters
    ----------
    n_steps : steps of all paths together, those of every step size counted
    dt : the finest time step
    confidence : of the interval that the error bar is
    diverged : paths that left for infinity; they are counted and left out of the averages
    stopped : whether it was ended before the interval was narrow enough
    blind : whether a mode, a slower one perhaps, may live where the paths hardly ever come
    remarks : what a reader should know, in words
    """

    n_steps: int
    dt: float
    confidence: float
    diverged: int = 0
    stopped: bool = False
    blind: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RateRecord:
    """The rate lambda_s at one learning rate s, as a logarithm, with its error bar.

    Parameters
    ----------
    learning_rate : s
    log_rate : natural logarithm of lambda_s
    lower, upper : natural logarithms of the ends of the error bar; lower may be -inf
    resolved : whether the number means anything
    solver : what computed it, in words
    n_dofs : unknowns of the largest system
    seconds : wall time
    rates : all rates computed at this s, without the zero
    modes_counted : eigenvalues that inertia counts below a bound, zero included; None where nothing was counted
    sampling : where the rate is from simulated paths (`n_dofs` of them, by the estimator `solver`), more of that
    continuous : whether the rate is the bottom of the continuous spectrum, and no eigenvalue
    notes : what a reader should know, in words
    examined : how far f was looked at, in words; "" where nothing was left out
    """

    learning_rate: float
    log_rate: float
    lower: float
    upper: float
    resolved: bool
    solver: str
    n_dofs: int
    seconds: float
    rates: tuple[float, ...] = ()
    modes_counted: int | None = None
    sampling: Sampling | None = None
    continuous: bool = False
    notes: tuple[str, ...] = ()
    examined: str = ""

    @property
    def rate(self) -> float | None:
        """lambda_s, or None where it is below the normal doubles (or unknown)."""
        if not math.isfinite(self.log_rate) or self.log_rate > math.log(np.finfo(float).max):
            return None
        rate = math.exp(self.log_rate)
        return rate if rate >= SMALLEST else None

    @property
    def log_error(self) -> float:
        """Half-width of the error bar of log lambda_s, the larger side."""
        return max(self.upper - self.log_rate, self.log_rate - self.lower)

    @property
    def rate_error(self) -> float | None:
        """Half-width of the error bar of lambda_s, the larger side; None where the rate is."""
        if self.rate is None or not math.isfinite(self.upper):
            return None
        return self.rate * max(math.expm1(self.upper - self.log_rate), -math.expm1(self.lower - self.log_rate))

    @property
    def log10_rate(self) -> float | None:
        """log10 lambda_s, for every size of rate; None where it is unknown."""
        return self.log_rate / math.log(10) if math.isfinite(self.log_rate) else None

    @property
    def witten_eigenvalue(self) -> float | None:
        """delta_1 = 2 s lambda_s, the first positive eigenvalue of the Witten-Laplacian (at unit noise)."""
        return None if self.rate is None else 2 * self.learning_rate * self.rate


@dataclass(frozen=True, eq=False)
class RateCurve(netcdf.Saved):
    """lambda_s at several learning rates, in the order asked for.

    Parameters
    ----------
    learning_rates : (n,) s > 0
    log_rates : (n,) natural logarithms of lambda_s
    lower, upper : (n,) natural logarithms of the ends of the error bars; lower may be -inf
    resolved : (n,) bool
    method : 'finite-differences', ...
    objective : its name or formula
    options : what was asked for (rtol, noise, box, ...), as JSON values
    details : n dicts with solver, n_dofs, seconds, rates, modes_counted, continuous, notes, examined; of simulated
        paths also estimator, n_paths and what a `Sampling` holds
    """

    kind: ClassVar[str] = KIND

    learning_rates: NDArray[np.float64]
    log_rates: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    resolved: NDArray[np.bool_]
    method: str
    objective: str
    options: Mapping[str, Any] = field(default_factory=dict)
    details: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        n = np.size(self.learning_rates)
        for name in ("learning_rates", "log_rates", "lower", "upper", "resolved"):
            values = np.array(getattr(self, name), dtype=bool if name == "resolved" else np.float64, ndmin=1)
            if values.shape != (n,):
                raise ValueError(f"{name} has shape {values.shape}, learning_rates ({n},)")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        object.__setattr__(self, "options", dict(self.options))
        object.__setattr__(self, "details", tuple(self.details) or ({},) * n)
        if len(self.details) != n:
            raise ValueError(f"{len(self.details)} details for {n} learning rates")

    @classmethod
    def from_records(
        cls, records: Iterable[RateRecord], *, method: str, objective: str, options: Mapping[str, Any] | None = None
    ) -> RateCurve:
        """The curve through some records."""
        rows = tuple(records)
        columns = {
            name: np.array([getattr(row, name) for row in rows])
            for name in ("log_rate", "learning_rate", "lower", "upper", "resolved")
        }
        details = tuple(_detail(row) for row in rows)
        return cls(
            learning_rates=columns["learning_rate"],
            log_rates=columns["log_rate"],
            lower=columns["lower"],
            upper=columns["upper"],
            resolved=columns["resolved"],
            method=method,
            objective=objective,
            options=options or {},
            details=details,
        )

    @property
    def records(self) -> tuple[RateRecord, ...]:
        """One record per learning rate."""
        columns = (self.learning_rates, self.log_rates, self.lower, self.upper, self.resolved)
        rows = zip(*(column.tolist() for column in columns), self.details, strict=True)
        return tuple(_record(*row) for row in rows)

    @property
    def rates(self) -> NDArray[np.float64]:
        """lambda_s, shape (n,); nan where it is below the normal doubles: see log_rates."""
        return np.array([math.nan if r.rate is None else r.rate for r in self.records])

    @property
    def rate_errors(self) -> NDArray[np.float64]:
        """Half-widths of the error bars of lambda_s, shape (n,); nan where the rate is."""
        return np.array([math.nan if r.rate_error is None else r.rate_error for r in self.records])

    @property
    def continuous(self) -> NDArray[np.bool_]:
        """Whether the rate is the bottom of the continuous spectrum, shape (n,)."""
        return np.array([bool(detail.get("continuous", False)) for detail in self.details], dtype=bool)

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
        log_errors = np.maximum(self.upper - self.log_rates, self.log_rates - self.lower)
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
            if not (known.upper < record.lower or record.upper < known.lower):
                continue
            raise RequestError(
                f"learning rate {record.learning_rate:g} has two rates that exclude each other; keep one of them"
            )
        if len(first) == len(self.records):
            return self
        return RateCurve.from_records(
            first.values(), method=self.method, objective=self.objective, options=self.options
        )

    def to_dataset(self) -> xarray.Dataset:
        """The curve as an xarray Dataset that describes itself; each learning rate once."""
        return self.each_once()._to_dataset()

    def _to_dataset(self) -> xarray.Dataset:
        import xarray

        records, resolved = self.records, self.resolved & np.isfinite(self.log_rates)
        along = "learning_rate"
        variables = {
            "rate": (along, self.rates, _about("lambda_s, the spectral gap (nan where a double cannot hold it)")),
            "rate_error": (along, self.rate_errors, _about("half-width of the error bar of rate")),
            "log_rate": (along, self.log_rates, _about("natural logarithm of rate")),
            "log_rate_lower": (along, self.lower, _about("natural logarithm of the lower end of the error bar")),
            "log_rate_upper": (along, self.upper, _about("natural logarithm of the upper end of the error bar")),
            "resolved": (along, resolved.astype(np.int8), {"long_name": "1 where the rate is resolved, else 0"}),
            "rates": ((along, "index"), _padded([r.rates for r in records]), _about("all rates computed, nan-padded")),
            "solver": (along, np.array([r.solver for r in records], dtype=object), {"long_name": "what computed it"}),
            "n_dofs": (along, np.array([r.n_dofs for r in records], dtype=np.int64), _about("number of unknowns")),
            "seconds": (along, np.array([r.seconds for r in records]), _about("wall time", "s")),
            "modes_counted": (
                along,
                np.array([-1 if r.modes_counted is None else r.modes_counted for r in records], dtype=np.int64),
                _about("eigenvalues counted by inertia, zero included; -1 where none were counted"),
            ),
            "continuous": (
                along,
                np.array([r.continuous for r in records], dtype=np.int8),
                _about("1 where the rate is the bottom of the continuous spectrum, else 0"),
            ),
            "notes": (along, _words("\n".join(r.notes) for r in records), _about("what a reader should know", "")),
            "examined": (along, _words(r.examined for r in records), _about("how far the objective was looked at", "")),
        }
        sampled = [record.sampling for record in records]
        if sampled and all(sampled):
            variables |= {name: (along, _column(name, sampled), _about(*about)) for name, about in SAMPLING.items()}
        attributes = {"objective": self.objective, "method": self.method, "options": netcdf.dump_options(self.options)}
        title = "Convergence rate of stochastic gradient descent against the learning rate"
        return xarray.Dataset(
            variables,
            coords={along: (along, self.learning_rates, _about("learning rate s"))},
            attrs=netcdf.provenance(KIND, title, attributes),
        )

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> RateCurve:
        """The curve that `to_dataset` described; KeyError or ValueError where a part is missing or cannot be true."""
        along = ("learning_rate",)
        names = ("learning_rate", "log_rate", "log_rate_lower", "log_rate_upper", "seconds")
        s, log_rates, lower, upper, seconds = (netcdf.column(dataset, name, along) for name in names)
        rates = netcdf.column(dataset, "rates", (*along, "index"))
        solvers, n_dofs = netcdf.column(dataset, "solver", along, str), netcdf.column(dataset, "n_dofs", along, int)
        curve = cls(
            learning_rates=s,
            log_rates=log_rates,
            lower=lower,
            upper=upper,
            resolved=netcdf.column(dataset, "resolved", along, bool),
            method=str(dataset.attrs["method"]),
            objective=str(dataset.attrs["objective"]),
            options=_options(dataset.attrs["options"]),
            details=tuple(
                {
                    "solver": str(solvers[i]),
                    "n_dofs": int(n_dofs[i]),
                    "seconds": float(seconds[i]),
                    "rates": tuple(rates[i][~np.isnan(rates[i])].tolist()),
                    "modes_counted": _counted(dataset, i),
                    **_said(dataset, i),
                    **_sampled(dataset, i),
                }
                for i in range(s.size)
            ),
        )
        _require_true(curve, netcdf.column(dataset, "rate", along))
        return curve


def _options(text: Any) -> dict[str, Any]:
    options = json.loads(text)
    if not isinstance(options, dict):
        raise ValueError("the options are no table")
    return options


def _require_true(curve: RateCurve, rates: NDArray[np.float64]) -> None:
    """ValueError for a learning rate that is none or there twice, and for a rate that contradicts itself."""
    s, log_rates = curve.learning_rates, curve.log_rates
    netcdf.require(np.isfinite(s) & (s > 0), s, "a learning rate is not positive")
    netcdf.require(np.isin(np.arange(s.size), np.unique(s, return_index=True)[1]), s, "there are two rates")
    known = np.isfinite(log_rates) & ~np.isnan(curve.lower) & np.isfinite(curve.upper)
    netcdf.require(known | ~curve.resolved, s, "the rate is resolved and not known")
    wrong = (curve.lower > log_rates) | (log_rates > curve.upper) | (curve.lower > curve.upper)
    netcdf.require(~wrong, s, "the rate is not within its error bar")
    with np.errstate(over="ignore", invalid="ignore"):
        differ = np.abs(rates - np.exp(log_rates)) > SAME * np.abs(rates)
    netcdf.require(~(np.isfinite(rates) & differ), s, "rate and log_rate are two different rates")


def _record(
    learning_rate: float, log_rate: float, lower: float, upper: float, resolved: bool, detail: Mapping[str, Any]
) -> RateRecord:
    """One row of a curve."""
    return RateRecord(
        learning_rate,
        log_rate,
        lower,
        upper,
        resolved,
        solver=str(detail.get("solver", "")),
        n_dofs=int(detail.get("n_dofs", 0)),
        seconds=float(detail.get("seconds", math.nan)),
        rates=tuple(detail.get("rates", ())),
        modes_counted=detail.get("modes_counted"),
        continuous=bool(detail.get("continuous", False)),
        notes=tuple(detail.get("notes", ())),
        examined=str(detail.get("examined", "")),
        sampling=Sampling(**{name: detail[name] for name in SAMPLING}) if "n_steps" in detail else None,
    )


def _detail(record: RateRecord) -> dict[str, Any]:
    """What a record knows beside the rate."""
    detail = {name: getattr(record, name) for name in DETAILS}
    if record.sampling is None:
        return detail
    known = {name: getattr(record.sampling, name) for name in SAMPLING}
    return detail | {"estimator": record.solver, "n_paths": record.n_dofs} | known


def _column(name: str, sampled: Sequence[Any]) -> NDArray[Any]:
    """One attribute of all `Sampling`s as a netCDF variable."""
    values = [getattr(each, name) for each in sampled]
    if name == "remarks":
        return np.array(["\n".join(lines) for lines in values], dtype=object)
    return np.array(values, dtype=np.int8 if isinstance(values[0], bool) else None)


def _sampled(dataset: xarray.Dataset, i: int) -> dict[str, Any]:
    """What `_column` has written, as details; nothing where paths had no part."""
    if "n_steps" not in dataset:
        return {}
    found: dict[str, Any] = {"stopped": False, "blind": False, "remarks": ""}
    kinds = {"n_steps": int, "diverged": int, "stopped": bool, "blind": bool, "remarks": str}
    for name in SAMPLING:
        if name in dataset or name not in found:
            found[name] = netcdf.column(dataset, name, ("learning_rate",), kinds.get(name, float))[i]
    found = {name: value.item() if isinstance(value, np.generic) else value for name, value in found.items()}
    found |= {"remarks": tuple(found["remarks"].splitlines())}
    return found | {"estimator": str(dataset["solver"].values[i]), "n_paths": int(dataset["n_dofs"].values[i])}


def _counted(dataset: xarray.Dataset, i: int) -> int | None:
    """What a file of this or an earlier version says of eigenvalues counted."""
    if "modes_counted" not in dataset:
        return None
    counted = int(netcdf.column(dataset, "modes_counted", ("learning_rate",), int)[i])
    return None if counted < 0 else counted


def _words(texts: Iterable[str]) -> NDArray[Any]:
    """Texts as a netCDF variable."""
    return np.array(list(texts), dtype=object)


def _said(dataset: xarray.Dataset, i: int) -> dict[str, Any]:
    """What a file says of the nature of a rate; files of earlier versions say nothing."""
    if "continuous" not in dataset:
        return {}
    return {
        "continuous": bool(dataset["continuous"].values[i]),
        "notes": tuple(str(dataset["notes"].values[i]).splitlines()),
        "examined": str(dataset["examined"].values[i]),
    }


def _about(long_name: str, units: str = "1") -> dict[str, str]:
    """The attributes of a netCDF variable."""
    return {"long_name": long_name, "units": units}


def _padded(rows: Sequence[tuple[float, ...]]) -> NDArray[np.float64]:
    """Rows of unequal length as an array, nan where a row has ended."""
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out
