"""Rates and modes of forms as an xarray dataset, on the cells of a mesh as UGRID has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from witten.forms.form_spectrum import FormSpectrum
from witten.io import netcdf

if TYPE_CHECKING:
    import xarray

__all__ = ["FORM_SPECTRUM", "form_dataset", "save_form_spectrum"]

FORM_SPECTRUM = "form-spectrum"


def form_dataset(found: FormSpectrum, *, options: Mapping[str, Any] | None = None) -> xarray.Dataset:
    """Rates of p-forms, dimension mode, and with modes these: dimensions mode, component, cell."""
    import xarray

    partners = [-1 if each is None else each for each in found.partner_forms]
    variables: dict[str, Any] = {
        "rate": ("mode", found.rates, netcdf.described("lambda, the rate of each mode")),
        "log_rate": ("mode", found.log_rates, netcdf.described("natural logarithm of rate: of any size")),
        "rate_error": ("mode", found.errors, netcdf.described("half-width of the error bar of rate")),
        "resolved": ("mode", found.resolved.astype(np.int8), {"long_name": "1 where resolved, else 0"}),
        "partner_form": ("mode", partners, {"long_name": "degree that has the rate, too; -1 for zeros"}),
    }
    attributes = {
        "objective": found.objective,
        "learning_rate": float(found.learning_rate),
        "form": found.form,
        "boundary": found.boundary,
        "betti": list(found.betti),
        "method": found.method,
        "options": netcdf.dump_options(options or {}),
    }
    about = netcdf.provenance(FORM_SPECTRUM, "Lowest rates of the Witten-Laplacian on forms", attributes)
    return xarray.Dataset(variables | _fields(found), attrs=about)


def _fields(found: FormSpectrum) -> dict[str, Any]:
    modes = found.modes
    if modes is None:
        return {}
    coordinates, topology = netcdf.ugrid(modes.points, modes.cells)
    where = {"mesh": "mesh", "location": netcdf.SIMPLICES[len(modes.points) - 1]}
    about = netcdf.described("eigenform at the middles of cells, unit norm in L2") | where
    return coordinates | topology | {"modes": (("mode", "component", "cell"), modes.values, about)}


def save_form_spectrum(
    found: FormSpectrum, path: str | Path, *, options: Mapping[str, Any] | None = None
) -> None:
    """Write rates, and modes where there are some, as netCDF-4, atomically; only a spectrum of forms is overwritten.

    Raises
    ------
    RequestError
        if `path` cannot be written, or holds something else.
    """
    netcdf.check_output(path, FORM_SPECTRUM)
    netcdf.write_dataset(form_dataset(found, options=options), path)
