"""How a command ends: exit status, and one line on standard error, by one rank alone."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

import typer

from witten import parallel
from witten.cli import signals
from witten.cli.signals import EARLY, KEPT, Interrupted
from witten.cli.streams import output, say, unmute
from witten.errors import ConvergenceError, RequestError

__all__ = ["DISAGREEMENT", "EARLY", "FAILED", "FINE", "WRONG", "exit_status"]

FINE, FAILED, WRONG, DISAGREEMENT = 0, 1, 2, 3


def exit_status(
    command: Callable[[], Any], *, debug: bool = False, ranks: parallel.Communicator | None = None
) -> int:
    """Run a command and turn whatever happens into an exit status and one line, the same status on all ranks.

    0 fine; 1 the computation failed; 2 the request is wrong; 3 what a command itself returns where routes disagree;
    4 stopped early by a signal or the walltime. A rank that fails while others wait for it ends them.
    """
    comm = ranks or parallel.Communicator()
    signals.listen()
    warnings.showwarning = _show_warning
    sys.excepthook = _say_by_itself
    status, lines = _outcome(command, debug)
    heard = parallel.outcomes(comm, status, None if status == FINE else parallel.patience(comm))
    if heard is None:
        unmute()
        _tell(lines)
        parallel.abort(comm, status)
    speaker = next((rank for rank, each in enumerate(heard) if each != FINE), 0)
    if comm.rank == speaker:
        if speaker:
            unmute()
        _tell(lines)
    return heard[speaker]


def _outcome(command: Callable[[], Any], debug: bool) -> tuple[int, list[str]]:
    """Exit status of a command, and what there is to say: a traceback if wanted, and one line."""
    try:
        with signals.closed():
            status = command()
            output().flush()
        return (status if isinstance(status, int) else FINE), []
    except BrokenPipeError:
        return FINE, []  # the reader of our output has left
    except SystemExit as leaving:  # typer leaves so when the reader of the output has gone
        return (FINE if _is_broken_pipe(leaving) else _status_of(leaving)), []
    except BaseException as error:
        status, line = _explained(error)
        return status, [*([traceback.format_exc()] if debug else []), line]


def _tell(lines: list[str]) -> None:
    for trace in lines[:-1]:
        with suppress(OSError):  # nobody is listening
            sys.stderr.write(trace)
    for line in lines[-1:]:
        say(line)


def _explained(error: BaseException) -> tuple[int, str]:
    """The exit status that an error means, and the line that says what went wrong."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return EARLY, str(error) or "interrupted; nothing was saved"
    if isinstance(error, RequestError):
        return WRONG, str(error)
    if isinstance(error, ConvergenceError):
        return FAILED, str(error)
    if isinstance(error, typer.Abort):
        return FAILED, "aborted"
    if hasattr(error, "format_message"):  # the usage errors of typer, whichever click they come from
        return WRONG, _usage(error)
    if isinstance(error, MemoryError):
        return FAILED, "out of memory; ask for a larger --rtol, a smaller --box or fewer modes"
    return FAILED, f"unexpected {type(error).__name__}: {error} (WITTEN_DEBUG=1 shows where)"


def _say_by_itself(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last words of a rank that ends all others: the way of this package to show an uncaught exception."""
    unmute()
    line = _explained(error)[1]
    say(f"{line}, while other ranks were at work; {KEPT}" if isinstance(error, Interrupted) else line)


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


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """What this package warns of is for the user, in one line; what libraries tell each other is not."""
    if issubclass(category, UserWarning):
        say(f"warning: {message}")
