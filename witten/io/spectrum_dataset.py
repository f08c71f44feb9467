"""A spectrum as an xarray dataset that says itself what it holds: on a grid, or on nodes joined by simplices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from witten.io import netcdf

if TYPE_CHECKING:
    import xarray

__all__ = [
    "SPECTRUM",
    "GridLike",
    "MeshLike",
    "SpectrumLike",
    "is_mesh",
    "load_spectrum",
    "nodal_fields",
    "require_spectrum",
    "save_spectrum",
    "spectrum_dataset",
]

SPECTRUM = "spectrum"

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


class MeshLike(Protocol):
    """What is asked of nodes joined by simplices; `NodalMesh` in witten.domains has it."""

    @property
    def points(self) -> Array: ...
    @property
    def cells(self) -> NDArray[np.int64]: ...
    @property
    def weights(self) -> Array: ...


class SpectrumLike(Protocol):
    """What is asked of a spectrum; `witten.Spectrum` has it."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def eigenvalues(self) -> Array: ...
    @property
    def rates(self) -> Array: ...
    @property
    def log_rates(self) -> Array: ...
    @property
    def errors(self) -> Array: ...
    @property
    def resolved(self) -> NDArray[np.bool_]: ...
    @property
    def modes(self) -> Array: ...
    @property
    def grid(self) -> GridLike | MeshLike: ...
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


def is_mesh(grid: GridLike | MeshLike) -> TypeGuard[MeshLike]:
    """Whether simplices join the nodes; else they lie on a grid."""
    return hasattr(grid, "cells")


def nodal_fields(spectrum: SpectrumLike, objective: Callable[[Array], Array] | None = None) -> dict[str, Array]:
    """The objective f, the stationary density, of unit noise that of the Gibbs measure e^{-2f/s}/Z, and its root,
    the ground state, on the nodes.

    Nothing where neither the objective is given nor the spectrum has its values.
    """
    values = getattr(spectrum, "heights", None) if objective is None else objective(spectrum.grid.points)
    if values is None:
        return {}
    grid = spectrum.grid
    volumes = grid.weights if is_mesh(grid) else np.prod(cast(GridLike, grid).spacing)
    values = np.asarray(values, dtype=float)
    potential = getattr(spectrum, "potential", None)
    potential = values if potential is None else potential
    weights = np.exp(-2 * (potential - potential.min()) / (spectrum.learning_rate * spectrum.noise**2))
    density = weights / np.sum(weights * volumes)
    return {"objective": values, "gibbs_density": density, "ground_state": np.sqrt(density)}


FIELDS = {
    "objective": "objective f",
    "gibbs_density": "density of the Gibbs measure mu_s",
    "ground_state": "ground state of the Witten-Laplacian, unit norm in L2",
}


def spectrum_dataset(
    spectrum: SpectrumLike,
    objective: Callable[[Array], Array] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> xarray.Dataset:
    """A spectrum as an xarray Dataset: dimensions mode, x, y, z, nan outside the mask of the grid.

    On simplices the dimensions are mode, node, and the topology follows the conventions of UGRID.
    """
    import xarray

    grid = spectrum.grid
    place = _on_mesh(grid) if is_mesh(grid) else _on_grid(cast(GridLike, grid))
    variables: dict[str, Any] = {
        "rate": ("mode", spectrum.rates, netcdf.described("lambda, the rate of each mode")),
        "log_rate": ("mode", spectrum.log_rates, netcdf.described("natural logarithm of rate: of any size")),
        "rate_error": ("mode", spectrum.errors, netcdf.described("half-width of the error bar of rate")),
        "eigenvalue": ("mode", spectrum.eigenvalues, netcdf.described("delta, eigenvalue of the Witten-Laplacian")),
        "resolved": ("mode", np.asarray(spectrum.resolved, dtype=np.int8), {"long_name": "1 where resolved, else 0"}),
        "modes": place(spectrum.modes, "mode u, unit norm in L2(mu_s)"),
    }
    for name, values in nodal_fields(spectrum, objective).items():
        variables[name] = place(values, FIELDS[name])
    attributes = {
        "objective": spectrum.objective,
        "learning_rate": float(spectrum.learning_rate),
        "noise": float(spectrum.noise),
        "form": 0,
        "solver": spectrum.solver,
        "n_dofs": int(spectrum.n_dofs),
        "seconds": float(spectrum.seconds),
        "options": netcdf.dump_options(options or {}),
    }
    return xarray.Dataset(
        variables | place.topology,
        coords=place.coordinates,
        attrs=netcdf.provenance(SPECTRUM, "Lowest rates and modes of the Witten-Laplacian", attributes),
    )


def require_spectrum(dataset: xarray.Dataset) -> None:
    """KeyError or ValueError unless a dataset is what `spectrum_dataset` makes, and may be true."""
    rates, errors = (netcdf.column(dataset, name, ("mode",)) for name in ("rate", "rate_error"))
    resolved = netcdf.column(dataset, "resolved", ("mode",), bool)
    number = np.arange(rates.size, dtype=float)
    netcdf.require(~resolved | (np.isfinite(rates) & np.isfinite(errors)), number, "a rate is resolved and not known")
    netcdf.require(~(errors < 0), number, "an error is negative")
    netcdf.require(~(rates < -np.abs(errors)), number, "a rate is negative")
    for name in ("learning_rate", "noise"):
        value = float(dataset.attrs.get(name, 1.0) if name == "noise" else dataset.attrs[name])
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"the {name.replace('_', ' ')} is {value}")
    if "modes" not in dataset:
        raise KeyError("modes")
    places = ("node",) if "node" in dataset["modes"].dims else netcdf.AXES[: dataset["modes"].ndim - 1]
    modes = netcdf.column(dataset, "modes", ("mode", *places)).reshape(rates.size, -1)
    known = np.isfinite(modes)
    netcdf.require(known.any(axis=1) & (known == known[0]).all(axis=1), number, "no mode on the nodes of the first")
    for axis in netcdf.AXES[: len(places)] if places != ("node",) else ():
        x = netcdf.column(dataset, axis, (axis,))
        if not (np.isfinite(x).all() and (np.diff(x) > 0).all()):
            raise ValueError(f"the coordinate {axis} does not ascend")
    if places == ("node",):
        cells = netcdf.column(dataset, "cells", ("cell", "corner"), int)
        if not ((cells >= 0) & (cells < dataset.sizes["node"])).all():
            raise ValueError("cells have corners that are no nodes")


@dataclass(frozen=True, eq=False)
class _Place:
    """How values on nodes become variables of a dataset.

    Attributes
    ----------
    dimensions : of one value per node
    expand : values (..., n) as an array with those dimensions last
    coordinates : the coordinates of the dataset
    topology : variables that say how nodes are joined
    attributes : of each variable on the nodes
    """

    dimensions: tuple[str, ...]
    expand: Callable[[Array], Array]
    coordinates: dict[str, Any]
    topology: dict[str, Any]
    attributes: dict[str, str]

    def __call__(self, values: Array, long_name: str) -> tuple[tuple[str, ...], Array, dict[str, str]]:
        lead = ("mode",) if values.ndim == 2 else ()
        return (*lead, *self.dimensions), self.expand(values), netcdf.described(long_name) | self.attributes


def _on_grid(grid: GridLike) -> _Place:
    axes = netcdf.AXES[: len(grid.axes)]
    about = (netcdf.described(f"coordinate {name}") for name in axes)
    coordinates = {name: (name, *each) for name, *each in zip(axes, grid.axes, about, strict=True)}
    return _Place(axes, grid.expand, coordinates, {}, {})


def _on_mesh(mesh: MeshLike) -> _Place:
    """UGRID: a variable `mesh` that names the coordinates of the nodes and the corners of the cells."""
    coordinates, topology = netcdf.ugrid(mesh.points, mesh.cells)
    return _Place(("node",), lambda values: values, coordinates, topology, {"mesh": "mesh", "location": "node"})


def save_spectrum(
    spectrum: SpectrumLike,
    path: str | Path,
    objective: Callable[[Array], Array] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write rates and modes as netCDF-4, atomically; only a spectrum is ever overwritten.

    With the objective, its values and the Gibbs density are saved beside the modes: the file can be drawn alone.

    Raises
    ------
    RequestError
        if `path` cannot be written, or holds something else.
    """
    netcdf.check_output(path, SPECTRUM)
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
