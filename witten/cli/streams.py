"""Standard output and standard error, whatever the caller has made of them: closed, full, unread, or in ASCII."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from witten.errors import ConvergenceError

__all__ = ["keep_output", "mute", "open_streams", "output", "say", "unmute"]

# A line on standard error is not longer than this, whatever was quoted in it.
LONGEST_LINE = 600

# Where results go once standard output belongs to the user's code.
_kept: TextIO | None = None


class Descriptor(io.FileIO):
    """Standard output: one line says that it cannot be written, and what is written later, at the end too, is lost."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise ConvergenceError(
                f"cannot write standard output: {error.strerror}; let it go to a file or a pipe (a file of -o is kept)"
            ) from None


def open_streams() -> None:
    """Make all three descriptors and both streams usable, so that no file of ours becomes standard error.

    Where standard output was closed, writing to it fails, as elsewhere; nobody has to listen to standard error.
    """
    global _kept
    _kept = None
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # the lowest that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _text(1, sys.stdout)


def _text(descriptor: int, like: TextIO | None) -> TextIO:
    """A text stream to a descriptor; what its encoding lacks is escaped."""
    raw = Descriptor(descriptor, "w", closefd=False)
    encoding = None if like is None else like.encoding
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=raw.isatty())


def keep_output() -> None:
    """From here on standard output is ours alone: what the user's code prints goes to standard error."""
    global _kept
    if _kept is not None:
        return
    _kept, sys.stdout = sys.stdout, sys.stderr
    if isinstance(getattr(getattr(_kept, "buffer", None), "raw", None), Descriptor):
        _kept = _text(os.dup(1), _kept)
        os.dup2(2, 1)


def output() -> TextIO:
    """Where results go."""
    return _kept or sys.stdout


def say(text: str) -> None:
    """One line on standard error."""
    line = " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE // 2 - 3]} ... {line[-LONGEST_LINE // 2 + 2 :]}"
    try:
        sys.stderr.write(f"witten: {line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody is listening
        pass


def mute() -> None:
    """Let this rank say nothing: rank 0 alone speaks."""
    sys.stdout = sys.stderr = open(os.devnull, "w", errors="backslashreplace")  # noqa: SIM115 (as long as the process)


def unmute() -> None:
    """Let this rank speak on standard error after all."""
    if sys.__stderr__ is not None:
        sys.stderr = sys.__stderr__
