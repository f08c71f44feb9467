"""What a run leaves on disk: the sweep that can be resumed, the spectrum with its modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.io import netcdf
from witten.io.netcdf import check_output
from witten.io.spectrum_dataset import SPECTRUM, SpectrumLike, require_spectrum, spectrum_dataset
from witten.rates import KIND as RATE_CURVE
from witten.rates import RateCurve, RateRecord, SampledRate

if TYPE_CHECKING:
    import xarray

__all__ = [
    "Ledger",
    "SPECTRUM",
    "SpectrumLike",
    "check_output",
    "load_spectrum",
    "open_sweep",
    "save_spectrum",
    "save_sweep",
    "spectrum_dataset",
]


Array = NDArray[np.float64]
# Options of a file that does not hold them.
UNSAID = {"seed": 0}
# The option that says what the objective is, whatever its name.
FINGERPRINT = "fingerprint"


def open_sweep(
    path: str | Path | None,
    resume: bool,
    objective_name: str,
    method: str,
    options: Mapping[str, Any],
    learning_rates: Sequence[float] | Array,
) -> list[RateRecord]:
    """Check the output of a sweep before it starts; the records among `learning_rates` that need not be repeated.

    Raises
    ------
    RequestError
        if the file cannot be written or holds something else; with `resume`, if it was made for another objective or
        with other options, or holds learning rates that are not asked for now and would be lost.
    """
    if path is None:
        if resume:
            raise RequestError("nothing to resume: name the file of the stopped run (-o FILE.nc, output=)")
        return []
    check_output(path, RATE_CURVE)
    if not resume or not Path(path).exists():
        return []
    curve = RateCurve.load(path)
    _same_request(path, curve, objective_name, method, options)
    asked = [float(s) for s in learning_rates]
    lost = [s for s in curve.learning_rates.tolist() if s not in asked]
    if lost:
        raise RequestError(
            f"cannot resume from {str(path)!r}: it holds learning rate {lost[0]:.6g}, which is not asked for now; "
            "ask for it too, or give another file"
        )
    done = {record.learning_rate: record for record in curve.records}
    return [done[s] for s in dict.fromkeys(asked) if s in done]


def _same_request(
    path: str | Path, curve: RateCurve, objective_name: str, method: str, options: Mapping[str, Any]
) -> None:
    """Refuse a file that answers another question, and say which option differs."""
    before = {**UNSAID, "objective": curve.objective, "method": curve.method, **curve.options}
    now = {**UNSAID, "objective": objective_name, "method": method, **options}
    for name in dict.fromkeys((*before, *now)):
        old, new = (netcdf.dump_options({name: request.get(name)}) for request in (before, now))
        if old != new:
            if name == FINGERPRINT:
                raise RequestError(_another_objective(path, objective_name, name in before))
            raise RequestError(
                f"cannot resume from {str(path)!r}: it was made with {name} {_said(before.get(name))}, "
                f"now it is {_said(now.get(name))}; give the same options, or another file"
            )


def _another_objective(path: str | Path, objective_name: str, known: bool) -> str:
    """Why rates of an objective of the same name are not gone on with."""
    why = "has been changed since its rates were computed" if known else "may be another one: the file holds no mark"
    return (
        f"cannot resume from {str(path)!r}: {objective_name} {why}, and old rates would stand beside new ones; restore "
        "the objective, or give another file"
    )


def _said(value: Any) -> str:
    """An option's value in words."""
    return "unset" if value is None else str(value)


def save_sweep(
    path: str | Path,
    finished: Sequence[RateRecord],
    kept: Sequence[RateRecord],
    *,
    method: str,
    objective: str,
    options: Mapping[str, Any],
) -> None:
    """Save a sweep under way: what this run has finished, and what an earlier run left that it has not come to yet.

    Writing only `finished` would lose the rest of an earlier file to a second kill.
    """
    here = {record.learning_rate for record in finished}
    records = [*finished, *(record for record in kept if record.learning_rate not in here)]
    RateCurve(tuple(records), method, objective, options).save(path)


@dataclass(eq=False)
class Ledger:
    """The records of a sweep, on rank 0, and the file that has them all in the order asked for.

    Attributes
    ----------
    asked : the learning rates
    path : of the file, None for no file
    progress : called with each record as it comes
    request : method, objective and options, which a file that is resumed must share
    known : the records there are
    """

    asked: list[float]
    path: Path | None
    progress: Callable[[RateRecord], Any]
    request: dict[str, Any]
    known: dict[float, RateRecord] = field(default_factory=dict)

    def open(self, resume: bool) -> None:
        """Check the file; with `resume`, start from what is there. Raises what `open_sweep` does."""
        method, name, options = (self.request[key] for key in ("method", "objective", "options"))
        kept = open_sweep(self.path, resume, name, method, options, self.asked)
        # A run of paths that was stopped has an interval of some width, and is done again.
        kept = [record for record in kept if not (isinstance(record, SampledRate) and record.stopped)]
        self.known = {record.learning_rate: record for record in kept}
        if kept:
            self._save()
        for record in kept:
            self.progress(record)

    @property
    def missing(self) -> list[float]:
        """The learning rates that are still to be computed, each once."""
        return [s for s in dict.fromkeys(self.asked) if s not in self.known]

    @property
    def finished(self) -> tuple[RateRecord, ...]:
        """The records there are, in the order asked for."""
        return tuple(self.known[s] for s in self.asked if s in self.known)

    def keep(self, learning_rate: float, record: RateRecord) -> None:
        """One more record, saved at once."""
        self.known[learning_rate] = record
        self._save()
        self.progress(record)

    def _save(self) -> None:
        if self.path is not None:
            save_sweep(self.path, self.finished, (), **self.request)


def save_spectrum(
    spectrum: SpectrumLike,
    path: str | Path,
    objective: Callable[[Array], Array] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write rates and modes as netCDF-4, whole or not at all; only a spectrum is ever overwritten.

    With the objective, its values and the Gibbs density are saved beside the modes: the file can be drawn alone.

    Raises
    ------
    RequestError
        if `path` cannot be written, or holds something else.
    """
    check_output(path, SPECTRUM)
    netcdf.write_dataset(spectrum_dataset(spectrum, objective, options=options), path)


def load_spectrum(path: str | Path) -> xarray.Dataset:
    """Read what `save_spectrum` wrote, as the dataset of `spectrum_dataset`.

    Raises
    ------
    RequestError
        if the file is missing, holds something else, or what cannot be true: a rate that is resolved and not known, ...
    """
    dataset = netcdf.read_dataset(path, SPECTRUM)
    with netcdf.whole(path, SPECTRUM):
        require_spectrum(dataset)
    return dataset
