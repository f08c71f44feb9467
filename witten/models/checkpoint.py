"""A point of many parameters from a file of arrays: .npz, .safetensors, a state dict of PyTorch. It runs no code."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError

__all__ = ["flattened", "read_checkpoint"]

Array = NDArray[np.float64]
Shapes = Mapping[str, tuple[int, ...]]
# Numbers of a .safetensors file; those of BF16 are the upper halves of single precision.
DTYPES = {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}
DTYPES |= {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_checkpoint(path: Path, shapes: Shapes | None = None) -> Array:
    """The arrays of a file, flattened one after the other in the order of their names: (n,).

    Parameters
    ----------
    path : .npz; .safetensors; .pt or .pth, read by PyTorch with `weights_only`
    shapes : of the parameters of a module by their names: arrays are then taken in their order, and must be these. A
        file of one array is a point as it is.

    Raises
    ------
    RequestError
        if it cannot be read, holds anything but finite real numbers (objects are refused, not unpickled), or not the
        parameters that are asked for; of a state dict if PyTorch is missing.
    """
    read = {".safetensors": _safetensors, ".pt": _state_dict, ".pth": _state_dict}.get(path.suffix, _npz)
    try:
        arrays = read(path)
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RequestError(
            f"cannot read the checkpoint {path}: {reason}; save numbers by numpy.savez, or as .safetensors"
        ) from None
    if shapes is not None and len(arrays) > 1:
        arrays = _in_order(arrays, shapes, str(path))
        return flattened({f"{k:09}": array for k, array in enumerate(arrays.values())}, str(path))
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


def _in_order(arrays: Mapping[str, Any], shapes: Shapes, title: str) -> dict[str, Any]:
    """The arrays in the order of `shapes`, whose names and shapes are theirs."""
    for name in sorted(arrays.keys() ^ shapes.keys()):
        what = "is no parameter of the module" if name in arrays else "is missing"
        raise RequestError(f"{title}: {name[:60]!r} {what}; save dict(module.named_parameters())")
    for name, shape in shapes.items():
        if np.shape(arrays[name]) != tuple(shape):
            raise RequestError(f"{title}: {name[:60]!r} has the shape {np.shape(arrays[name])}, not {tuple(shape)}")
    return {name: arrays[name] for name in shapes}


def _npz(path: Path) -> dict[str, Any]:
    with path.open("rb") as opened, np.lib.npyio.NpzFile(opened, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _safetensors(path: Path) -> dict[str, Any]:
    """By their own library, as bytes of whichever type."""
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise RequestError(f"{path} needs the package safetensors; install witten[torch] or witten[jax]") from None
    try:
        entries = dict(deserialize(path.read_bytes()))
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    return {name: _tensor(**entry) for name, entry in entries.items()}


def _tensor(shape: Sequence[int], dtype: str, data: bytes) -> Array:
    if dtype not in DTYPES:
        raise ValueError(f"{dtype[:20]} are no numbers that it may hold")
    array = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    return array.astype(float)


def _state_dict(path: Path) -> dict[str, Any]:
    """By PyTorch, which makes tensors of such a file and nothing else."""
    try:
        import torch
    except ImportError:
        raise RequestError(f"{path}: a state dict needs the package torch; install witten[torch]") from None
    if not path.is_file():
        raise OSError("no such file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever PyTorch makes of a damaged file, or of one that asks for more than tensors
        raise ValueError("it is damaged, or no state dict, of tensors alone") from None
    if not isinstance(found, Mapping) or not all(isinstance(each, torch.Tensor) for each in found.values()):
        raise ValueError("it is no state dict, of tensors by name")
    tensors = {name: each.detach() for name, each in found.items()}
    return {name: (each.double() if each.is_floating_point() else each).numpy() for name, each in tensors.items()}
