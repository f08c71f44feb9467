"""How a command ends: exit status, and one line on standard error."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

import typer

from witten.errors import ConvergenceError, RequestError

__all__ = ["EARLY", "FAILED", "FINE", "WRONG", "Interrupted", "exit_status", "say"]

FINE, FAILED, WRONG, EARLY = 0, 1, 2, 4
# A line on standard error is not longer than this, whatever was quoted in it.
LONGEST_LINE = 600


class Interrupted(BaseException):
    """A signal asked the command to end; what it carries is the line that says what was kept."""


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


def exit_status(command: Callable[[], Any], *, debug: bool = False) -> int:
    """Run a command and turn whatever happens into an exit status and one line.

    0 fine; 1 the computation failed; 2 the request is wrong; 4 stopped early by a signal.
    """
    _listen_for_signals()
    warnings.showwarning = _show_warning
    try:
        status = command()
        sys.stdout.flush()
        return status if isinstance(status, int) else FINE
    except BrokenPipeError:
        return _unread()
    except SystemExit as leaving:  # typer leaves so when the reader of the output has gone
        return _unread() if _is_broken_pipe(leaving) else _status_of(leaving)
    except BaseException as error:
        if debug:
            traceback.print_exc()
        return _explained(error)


def _explained(error: BaseException) -> int:
    """Say what went wrong, in one line; the exit status it means."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        say(str(error) or "interrupted; nothing was saved")
        return EARLY
    if isinstance(error, RequestError):
        say(str(error))
        return WRONG
    if isinstance(error, ConvergenceError):
        say(str(error))
        return FAILED
    if isinstance(error, typer.Abort):
        say("aborted")
        return FAILED
    if hasattr(error, "format_message"):  # the usage errors of typer, whichever click they come from
        say(_usage(error))
        return WRONG
    if isinstance(error, MemoryError):
        say("out of memory; ask for a larger --rtol, a smaller --box or fewer modes")
        return FAILED
    say(f"unexpected {type(error).__name__}: {error} (WITTEN_DEBUG=1 shows where)")
    return FAILED


def _usage(error: Any) -> str:
    """A usage error with the way to help."""
    message = str(error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "witten")
    return f"{message}; see {path} --help"


def _status_of(leaving: SystemExit) -> int:
    return leaving.code if isinstance(leaving.code, int) else FINE if leaving.code is None else FAILED


def _is_broken_pipe(error: BaseException) -> bool:
    cause = error.__context__
    return isinstance(cause, BrokenPipeError)


def _unread() -> int:
    """The reader of our output has left: be quiet, also while Python shuts down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FINE


def _listen_for_signals() -> None:
    """Ctrl-C and SIGTERM end a command cleanly; a second one ends it at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """What this package warns of is for the user, in one line; what libraries tell each other is not."""
    if issubclass(category, UserWarning):
        say(f"warning: {message}")
