"""What a run leaves on disk: the sweep that can be resumed, the spectrum with its modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from witten import files
from witten.errors import RequestError
from witten.files import check_output
from witten.rates import KIND as RATE_CURVE
from witten.rates import RateCurve, RateRecord

if TYPE_CHECKING:
    import xarray

__all__ = ["check_output", "load_spectrum", "open_sweep", "save_spectrum", "save_sweep", "spectrum_dataset"]

SPECTRUM = "spectrum"
AXES = ("x", "y", "z")

Array = NDArray[np.float64]


class GridLike(Protocol):
    """What is asked of a grid: its nodes, and values on them as an array with nan outside the mask."""

    @property
    def axes(self) -> tuple[Array, ...]: ...
    @property
    def points(self) -> Array: ...
    @property
    def spacing(self) -> Array: ...
    def expand(self, values: Array) -> Array: ...


class SpectrumLike(Protocol):
    """What is asked of a spectrum; `witten.Spectrum` has it."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def eigenvalues(self) -> Array: ...
    @property
    def rates(self) -> Array: ...
    @property
    def errors(self) -> Array: ...
    @property
    def resolved(self) -> NDArray[np.bool_]: ...
    @property
    def modes(self) -> Array: ...
    @property
    def grid(self) -> GridLike: ...
    @property
    def objective(self) -> str: ...
    @property
    def solver(self) -> str: ...
    @property
    def n_dofs(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def noise(self) -> float: ...


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
    before = {"objective": curve.objective, "method": curve.method, **curve.options}
    now = {"objective": objective_name, "method": method, **options}
    for name in dict.fromkeys((*before, *now)):
        old, new = (files.dump_options({name: request.get(name)}) for request in (before, now))
        if old != new:
            raise RequestError(
                f"cannot resume from {str(path)!r}: it was made with {name} {_said(before.get(name))}, "
                f"now it is {_said(now.get(name))}; give the same options, or another file"
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
    RateCurve.from_records(records, method=method, objective=objective, options=options).save(path)


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
    files.write_dataset(spectrum_dataset(spectrum, objective, options=options), path)


def load_spectrum(path: str | Path) -> xarray.Dataset:
    """Read what `save_spectrum` wrote, as the dataset of `spectrum_dataset`.

    Raises
    ------
    RequestError
        if the file is missing or holds something else.
    """
    dataset = files.read_dataset(path, SPECTRUM)
    missing = {"rate", "rate_error", "resolved", "modes"} - set(dataset)
    if missing:
        raise RequestError(f"{str(path)!r} is not a whole spectrum: {', '.join(sorted(missing))} missing")
    return dataset


def spectrum_dataset(
    spectrum: SpectrumLike,
    objective: Callable[[Array], Array] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> xarray.Dataset:
    """A spectrum as an xarray Dataset: dimensions mode, x, y, z; nan outside the mask of the grid."""
    import xarray

    grid = spectrum.grid
    axes = AXES[: len(grid.axes)]
    variables: dict[str, Any] = {
        "rate": ("mode", spectrum.rates, _about("lambda, the rate of each mode")),
        "rate_error": ("mode", spectrum.errors, _about("half-width of the error bar of rate")),
        "eigenvalue": ("mode", spectrum.eigenvalues, _about("delta, eigenvalue of the Witten-Laplacian")),
        "resolved": ("mode", np.asarray(spectrum.resolved, dtype=np.int8), {"long_name": "1 where resolved, else 0"}),
        "modes": (("mode", *axes), grid.expand(spectrum.modes), _about("mode u, unit norm in L2(mu_s)")),
    }
    if objective is not None:
        values = np.asarray(objective(grid.points), dtype=float)
        density = _gibbs_density(values, spectrum.learning_rate * spectrum.noise**2, float(np.prod(grid.spacing)))
        variables["objective"] = (axes, grid.expand(values), _about("objective f"))
        variables["gibbs_density"] = (axes, grid.expand(density), _about("density of the Gibbs measure mu_s"))
    attributes = {
        "objective": spectrum.objective,
        "learning_rate": float(spectrum.learning_rate),
        "noise": float(spectrum.noise),
        "form": 0,
        "solver": spectrum.solver,
        "n_dofs": int(spectrum.n_dofs),
        "seconds": float(spectrum.seconds),
        "options": files.dump_options(options or {}),
    }
    return xarray.Dataset(
        variables,
        coords={name: (name, axis, _about(f"coordinate {name}")) for name, axis in zip(axes, grid.axes, strict=True)},
        attrs=files.provenance(SPECTRUM, "Lowest rates and modes of the Witten-Laplacian", attributes),
    )


def _gibbs_density(values: Array, learning_rate: float, cell: float) -> Array:
    """e^{-2f/s}/Z on the nodes."""
    weights = np.exp(-2 * (values - values.min()) / learning_rate)
    return np.asarray(weights / (weights.sum() * cell))


def _about(long_name: str, units: str = "1") -> dict[str, str]:
    """The attributes of a netCDF variable."""
    return {"long_name": long_name, "units": units}
