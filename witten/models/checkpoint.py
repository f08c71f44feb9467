"""A point of many parameters from a file of arrays, which is never unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError

__all__ = ["flattened", "read_checkpoint"]

Array = NDArray[np.float64]


def read_checkpoint(path: Path) -> Array:
    """The arrays of an .npz file, flattened one after the other in the order of their names: (n,).

    Raises
    ------
    RequestError
        if it cannot be read, or holds anything but finite real numbers; objects are refused, not unpickled.
    """
    try:
        with path.open("rb") as opened, np.lib.npyio.NpzFile(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RequestError(f"cannot read the checkpoint {path}: {reason}; save numbers by numpy.savez") from None
    return flattened(arrays, str(path))


def flattened(arrays: Mapping[str, ArrayLike], title: str) -> Array:
    """Arrays by name as one vector (n,), in the order of their names."""
    parts = []
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise RequestError(f"{title}: {name[:60]!r} must hold finite real numbers, in {array.dtype} it does not")
        parts.append(array.astype(float).ravel())
    if not sum(part.size for part in parts):
        raise RequestError(f"{title} holds no numbers")
    return np.concatenate(parts)
