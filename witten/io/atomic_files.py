"""Files and folders that appear atomically, refused before anything is computed for them where they could not.

A file is written as `.NAME.part` beside its destination, flushed to the disk and renamed over it. A reader, a kill or
a full disk therefore sees the old file or the new one, never half of one; a killed run leaves at most one `.part`, and
the next run overwrites it. Two processes that write one file do so one after the other: the `.part` is locked, and
still is when it gets its name, so that readers ask for no lock.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from witten.errors import ConvergenceError, RequestError

if TYPE_CHECKING:
    pass

__all__ = ["check_folder", "check_writable", "write_bytes", "write_folder"]

def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file atomically; ConvergenceError if the disk refuses (full, gone, read-only); what stood at `path`
    before still stands."""
    target = Path(os.path.realpath(path))
    part = _part(target)
    with _or_unharmed(path, part), _locked(part) as stream:
        stream.truncate(0)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
        os.replace(part, target)
    _sync_directory(target.parent)


@contextmanager
def _or_unharmed(path: str | Path, part: Path) -> Iterator[None]:
    """Nothing is left of `part` where writing fails, and the disk's reason is a ConvergenceError."""
    try:
        yield
    except BaseException as error:
        _remove(part)
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            raise ConvergenceError(f"cannot write {path}: {why}; what was there before is unharmed") from error
        raise


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The temporary file, open for writing by this process alone; the lock goes with the process."""
    while True:
        with open(part, "ab") as stream:
            _lock(stream)
            if _is_still(part, stream):
                yield stream
                return


def _is_still(part: Path, stream: BinaryIO) -> bool:
    """Whether a file has its name yet: whoever had locked it may have made it the result."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), part.stat())
    except FileNotFoundError:
        return False


def _lock(stream: BinaryIO) -> None:
    """Wait for other processes on this machine, where the system has locks."""
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return


def _part(target: Path) -> Path:
    """The one temporary name that belongs to a file."""
    return target.with_name(f".{target.name}.part")


def _sync_directory(directory: Path) -> None:
    """Make a rename durable, where the system can."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def check_writable(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    """Refuse a file name that could not be written, before anything is computed for it; RequestError for another
    suffix, a directory that is missing or not writable, or a name that is a directory."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise RequestError(f"cannot write {str(path)!r}: give a name that ends in {' or '.join(suffixes)}")
    target = Path(os.path.realpath(path))
    if os.path.islink(target):
        raise RequestError(f"cannot write {str(path)!r}: its links lead in a circle; give another name")
    if not os.path.isdir(target.parent):
        raise RequestError(f"cannot write {str(path)!r}: there is no directory {str(target.parent)!r}; create it first")
    if os.path.exists(target) and not target.is_file():
        raise RequestError(f"cannot write {str(path)!r}: it is not an ordinary file; give another name")
    _probe(path, _part(target))
    return path


def _probe(path: Path, part: Path) -> None:
    """Create a temporary file once: only the system knows whether it lets us. Not that of others who write now."""
    own = part.with_name(f"{part.name}{os.getpid()}")
    try:
        open(own, "ab").close()
    except OSError as error:
        why = error.strerror or error
        raise RequestError(f"cannot write {str(path)!r}: {why}; give a place you may write to") from None
    own.unlink(missing_ok=True)


def check_folder(path: str | Path, suffixes: tuple[str, ...], card: str) -> Path:
    """As `check_writable`, for a result that is a folder; one of ours holds a file named `card`. RequestError as
    `check_writable`, and when a folder without the card stands there."""
    path = Path(path)
    if not path.is_dir():
        return check_writable(path, suffixes)
    if not (path / card).is_file():
        raise RequestError(f"will not overwrite {str(path)!r}: witten did not write that folder; give another name")
    target = Path(os.path.realpath(path))
    _probe(path, target.with_name(f".{target.name}.probe"))
    return path


def write_folder(path: str | Path, fill: Callable[[Path], None]) -> None:
    """Write a folder atomically: `fill` puts its files into an empty one; ConvergenceError if the disk refuses; what
    stood at `path` before still stands."""
    target = Path(os.path.realpath(path))
    part, old = _part(target), target.with_name(f".{target.name}.old")
    with _or_unharmed(path, part):
        for left in (part, old):
            _remove(left)
        part.mkdir()
        fill(part)
        for file in part.rglob("*"):
            _sync_file(file)
        _swap(part, target, old)
    _sync_directory(target.parent)
    _remove(old)


def _swap(part: Path, target: Path, old: Path) -> None:
    """Put `part` in the place of `target`; two renames, since a folder cannot be renamed over another."""
    stood = target.exists()
    if stood:
        os.rename(target, old)
    try:
        os.rename(part, target)
    except OSError:
        if stood:
            os.rename(old, target)
        raise


def _remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    if path.is_file():
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
