"""Results on disk as netCDF-4 files that say themselves what they hold, which xarray reads without this package."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.io.atomic_files import check_writable, write_bytes
from witten.version import __version__, version_of

if TYPE_CHECKING:
    import xarray

__all__ = [
    "AXES",
    "SIMPLICES",
    "Saved",
    "check_output",
    "column",
    "described",
    "provenance",
    "read_dataset",
    "read_kind",
    "read_options",
    "require",
    "ugrid",
    "whole",
    "write_dataset",
]

AXES, SIMPLICES = ("x", "y", "z"), ("edge", "face", "volume")
# What `witten_kind` says, in words.
KINDS = {
    "rate-curve": "a rate curve",
    "spectrum": "a spectrum",
    "form-spectrum": "a spectrum of forms",
    "risk-curve": "an excess risk along a schedule",
    "orbit-diagram": "an orbit diagram",
    "committor": "a committor",
    "explanation": "an explanation",
    "training-record": "a record of a training",
}


# What follows the HDF5 data of a file, where its readers do not look: the sum of what comes before. HDF5 itself does
# not end on some files that have been damaged, and hears no signal. Whatever else changes a file cuts this off.
SEAL = b"witten crc32 %08x\n"
# Files without a seal are read by another process first, which may compute for so many seconds.
READING = 20
READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]), int(sys.argv[2])))
import h5py

def look(name, found):
    dict(found.attrs)
    isinstance(found, h5py.Dataset) and found[()]

with h5py.File(sys.argv[1], "r", locking=False) as file:
    look("", file)
    file.visititems(look)
"""
HDF5 = b"\x89HDF\r\n\x1a\n"
# Brackets in the options of a file, of which each is a list or a table.
MOST_NESTED = 500


def check_output(path: str | Path, kind: str) -> Path:
    """Refuse an output file before anything is computed for it: only a witten result of the same kind is ever replaced;
    RequestError as `check_writable`, and when the file exists and holds something else."""
    path = check_writable(path, (".nc",))
    if path.exists():
        found = read_kind(path)
        if found != kind:
            held = KINDS.get(found, found)
            raise RequestError(
                f"will not overwrite {str(path)!r}: it holds {held}, not {KINDS[kind]}; give another name"
            )
    return path


def read_kind(path: str | Path) -> str:
    """What kind of result a file holds, one of `KINDS`; RequestError if the file is missing, unreadable, or not written
    by this package."""
    import h5netcdf

    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise RequestError(f"{str(path)!r} is not an ordinary file; give a result saved with -o FILE.nc")
    if not _unharmed(path):
        raise RequestError(f"{str(path)!r} is damaged: its bytes are not those that were written; compute it again")
    h5netcdf.File._writable = False  # which the end of a broken file asks for that could not be opened
    try:
        with h5netcdf.File(path, "r", locking=False) as file:
            kind = file.attrs["witten_kind"]
    except FileNotFoundError:
        raise RequestError(f"there is no file {str(path)!r}") from None
    except IsADirectoryError:
        raise RequestError(f"{str(path)!r} is a directory; give a result saved with -o FILE.nc") from None
    except PermissionError:
        raise RequestError(f"may not read {str(path)!r}; check its permissions") from None
    except Exception:  # whatever a broken or foreign file makes the reader raise
        raise RequestError(f"{str(path)!r} is not a witten result; give another name") from None
    return str(kind)


def _unharmed(path: str | Path) -> bool:
    """Whether a file that has a seal is as it was written, and one that has none can be read to its end."""
    length = len(SEAL % 0)
    try:
        data = memoryview(Path(path).read_bytes())
        when = os.stat(path).st_mtime_ns
    except OSError:  # which whoever opens it explains
        return True
    seal = bytes(data[-length:])
    if seal.startswith(SEAL[:-5]):
        return seal == SEAL % zlib.crc32(data[:-length])
    return bytes(data[: len(HDF5)]) != HDF5 or _can_be_read(os.path.abspath(path), when)


@cache
def _can_be_read(path: str, when: int) -> bool:
    """Whether another process gets through a file as it was at that time; what it raises is raised here again."""
    words = [sys.executable, "-c", READ, path, str(READING)]
    return subprocess.run(words, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL).returncode >= 0


def provenance(kind: str, title: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The global attributes of a result file: what it is, what made it, when."""
    return {
        "title": title,
        "witten_kind": kind,
        **attributes,
        "source": f"witten {__version__}",
        "witten_version": __version__,
        **{f"{name}_version": version_of(name) or "unknown" for name in ("numpy", "scipy")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def dump_options(options: Mapping[str, Any]) -> str:
    """Options as JSON text, the same text for the same options; paths as their names."""
    return json.dumps(dict(options), sort_keys=True, allow_nan=False, default=os.fspath)


def read_options(text: str) -> dict[str, Any]:
    """What `dump_options` wrote.

    Raises
    ------
    ValueError, TypeError
        for anything else: no table, one that is nested without need, a number that is not finite.
    """
    if not isinstance(text, str):
        raise ValueError("the options are no text")
    if text.count("{") + text.count("[") > MOST_NESTED:
        raise ValueError("the options are nested too deeply")
    options = json.loads(text, parse_float=_finite, parse_constant=_finite)
    if not isinstance(options, dict):
        raise ValueError("the options are no table")
    noise = options.get("noise", 1.0)
    if not (isinstance(noise, int | float) and noise > 0):
        raise ValueError(f"the noise is {noise!r}")
    return options


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"an option is {text}")
    return float(text)


def write_dataset(dataset: xarray.Dataset, path: str | Path) -> None:
    """Save a dataset as netCDF-4, atomically."""
    image = dataset.to_netcdf(engine="h5netcdf", format="NETCDF4")
    write_bytes(path, bytes(image) + SEAL % zlib.crc32(image))


def read_dataset(path: str | Path, kind: str) -> xarray.Dataset:
    """Load a result of the given kind into memory; RequestError if the file is missing, unreadable, or holds something
    else."""
    import h5netcdf
    import xarray
    from xarray.backends import H5NetCDFStore

    found = read_kind(path)
    if found != kind:
        raise RequestError(f"{str(path)!r} holds {KINDS.get(found, found)}, not {KINDS[kind]}")
    try:
        with h5netcdf.File(path, "r", locking=False) as file:
            return xarray.load_dataset(H5NetCDFStore(file))
    except Exception as error:
        raise RequestError(f"{str(path)!r} cannot be read as {KINDS[kind]}: {' '.join(str(error).split())}") from None


# Letters that NumPy has for what a variable of a file may hold.
LETTERS = {float: "fiu", int: "iu", bool: "biu", str: "OUS"}


def described(long_name: str, units: str = "1") -> dict[str, str]:
    """The attributes of a variable."""
    return {"long_name": long_name, "units": units}


def ugrid(points: NDArray[np.float64], cells: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coordinates of nodes (d, n), and variables that join them to simplices (cells, d + 1): `mesh` names both."""
    d = len(points)
    coordinates = {name: ("node", x, described(f"coordinate {name}")) for name, x in zip(AXES, points, strict=False)}
    topology = {
        "cf_role": "mesh_topology",
        "long_name": "nodes joined by simplices",
        "topology_dimension": d,
        "node_coordinates": " ".join(AXES[:d]),
        f"{SIMPLICES[d - 1]}_node_connectivity": "cells",
    }
    of_cells = {"cf_role": f"{SIMPLICES[d - 1]}_node_connectivity", "start_index": 0}
    return coordinates, {"mesh": ((), np.int32(0), topology), "cells": (("cell", "corner"), cells, of_cells)}


def column(dataset: xarray.Dataset, name: str, dims: tuple[str, ...], kind: type = float) -> NDArray[Any]:
    """A variable of a file as numbers, whole numbers, truth values or words along these dimensions.

    Raises
    ------
    KeyError, ValueError
        if it is missing, lies along others, or holds something else.
    """
    if name not in dataset.variables:
        raise KeyError(name)
    variable = dataset[name]
    if variable.dims != dims:
        raise ValueError(f"{name} lies along ({', '.join(map(str, variable.dims))}) instead of ({', '.join(dims)})")
    values = np.asarray(variable.values)
    fits = values.dtype.kind in LETTERS[kind] or not values.size
    if kind is bool:
        fits = fits and bool(np.isin(values, (0, 1)).all())
    if kind is str:
        fits = fits and all(isinstance(word, str) for word in values.ravel().tolist())
    if not fits:
        raise ValueError(f"{name} does not hold {WORDS[kind]}")
    return values if kind is str else values.astype(kind)


WORDS = {float: "numbers", int: "whole numbers", bool: "zeros and ones alone", str: "words"}


def require(fits: NDArray[np.bool_], learning_rates: NDArray[np.float64], what: str) -> None:
    """ValueError that says at which learning rate, or step, something does not fit."""
    if not fits.all():
        raise ValueError(f"{what} at {learning_rates[int(np.argmin(fits))]:.6g}")


@contextmanager
def whole(path: str | Path, kind: str) -> Iterator[None]:
    """What is missing in a file, or cannot be true, as a RequestError that names the file."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        held = KINDS[kind].partition(" ")[2]
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise RequestError(
            f"{str(path)!r} is not a whole {held}: {what}; take another file, or compute it again"
        ) from None


class Saved(ABC):
    """A result that can be kept on disk: `kind` is one of `KINDS`."""

    kind: ClassVar[str]

    @abstractmethod
    def to_dataset(self) -> xarray.Dataset:
        """The result as an xarray Dataset that describes itself."""

    @classmethod
    @abstractmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> Self:
        """The result that `to_dataset` described; KeyError or ValueError where a part is missing or cannot be true."""

    def save(self, path: str | Path) -> None:
        """Write netCDF-4, atomically; only a result of the same kind is ever overwritten.

        Raises
        ------
        RequestError
            if `path` cannot be written, or holds something else.
        """
        check_output(path, self.kind)
        write_dataset(self.to_dataset(), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        RequestError
            if the file is missing, holds something else, or what cannot be true.
        """
        dataset = read_dataset(path, cls.kind)
        with whole(path, cls.kind):
            return cls.from_dataset(dataset)
