"""How a command ends: exit status, and one line on standard error, by one rank alone."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import typer

from witten import parallel
from witten.errors import ConvergenceError, RequestError

__all__ = ["DISAGREEMENT", "EARLY", "FAILED", "FINE", "WRONG", "Interrupted", "exit_status", "mute", "patiently", "say"]

FINE, FAILED, WRONG, DISAGREEMENT, EARLY = 0, 1, 2, 3, 4
# A line on standard error is not longer than this, whatever was quoted in it.
LONGEST_LINE = 600
# What batch systems send before the limit; Windows has none.
USR1 = getattr(signal, "SIGUSR1", None)
# A launcher may pass on what the terminal has already sent to everybody: within so many seconds it is the same signal.
ECHO = 1.0
# Seconds that the work in hand has to come to a good place after Ctrl-C or SIGTERM, and after which it is asked again
# where a library has swallowed the exception that should have ended it.
GRACE = 5.0


class Interrupted(BaseException):
    """The command shall end, or has ended, early; what it carries is the line that says what was kept."""


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


def exit_status(
    command: Callable[[], Any], *, debug: bool = False, ranks: parallel.Communicator | None = None
) -> int:
    """Run a command and turn whatever happens into an exit status and one line, the same status on all ranks.

    0 fine; 1 the computation failed; 2 the request is wrong; 3 what a command itself returns where routes disagree;
    4 stopped early by a signal or the walltime. A rank that fails while others wait for it ends them.
    """
    comm = ranks or parallel.Communicator()
    _listen_for_signals()
    warnings.showwarning = _show_warning
    sys.excepthook = _say_by_itself
    status, lines = _outcome(command, debug)
    _signals.relent()
    _signals.patient = True  # from here on the end is near anyway
    heard = parallel.outcomes(comm, status, None if status == FINE else parallel.patience(comm))
    if heard is None:
        _unmute()
        _tell(lines)
        parallel.abort(comm, status)
    speaker = next((rank for rank, each in enumerate(heard) if each != FINE), 0)
    if comm.rank == speaker:
        if speaker:
            _unmute()
        _tell(lines)
    return heard[speaker]


def _outcome(command: Callable[[], Any], debug: bool) -> tuple[int, list[str]]:
    """Exit status of a command, and what there is to say: a traceback if wanted, and one line."""
    try:
        status = command()
        sys.stdout.flush()
        return (status if isinstance(status, int) else FINE), []
    except BrokenPipeError:
        return _unread(), []
    except SystemExit as leaving:  # typer leaves so when the reader of the output has gone
        return (_unread() if _is_broken_pipe(leaving) else _status_of(leaving)), []
    except BaseException as error:
        status, line = _explained(error)
        return status, [*([traceback.format_exc()] if debug else []), line]


def _tell(lines: list[str]) -> None:
    for trace in lines[:-1]:
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
    _unmute()
    say(_explained(error)[1])


def mute() -> None:
    """Let this rank say nothing: rank 0 alone speaks."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)


def _unmute() -> None:
    sys.stderr = sys.__stderr__


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


# ----------------------------------------------------------------------------------------------------- signals
class _Signals:
    """Ctrl-C, SIGTERM and SIGUSR1: they end a command at once, or a sweep after the learning rate in hand.

    A learning rate that takes longer than GRACE is given up; SIGUSR1, which comes long before the limit, waits for it.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.first = 0.0
        self.patient = False

    def arrived(self, number: int, frame: FrameType | None) -> None:
        if self.reason is None:
            self.reason, self.first = f"stopped by {signal.Signals(number).name}", time.monotonic()
        elif number != USR1 and time.monotonic() - self.first > ECHO:
            _by_default(number)
            os.kill(os.getpid(), number)
        if not self.patient:
            _by_default(signal.SIGINT, signal.SIGTERM)
            self.insist()
            raise Interrupted(self.reason)
        if number != USR1:
            self.insist()
        if sys.stderr.isatty():
            say(f"{self.reason}, after the learning rate in hand or {GRACE:.0f} s; once more ends it at once")

    def insist(self) -> None:
        """Raise Interrupted after GRACE, and again until it is heard; Windows has no such timer."""
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self.overdue)
            signal.setitimer(signal.ITIMER_REAL, GRACE, GRACE)

    def overdue(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted(self.reason or "")

    def relent(self) -> None:
        """The work has ended: no more of that."""
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)


_signals = _Signals()


def _by_default(*numbers: int) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)


def _listen_for_signals() -> None:
    """Ctrl-C, SIGTERM and SIGUSR1 end a command cleanly; a second Ctrl-C or SIGTERM ends it at once."""
    for number in (signal.SIGINT, signal.SIGTERM, USR1):
        if number is not None:
            signal.signal(number, _signals.arrived)


@contextmanager
def patiently() -> Iterator[Callable[[], str | None]]:
    """Inside, a signal is only noted; what this yields says which has come: the work ends at a good place."""
    _signals.patient = True
    try:
        yield lambda: _signals.reason
    finally:
        _signals.relent()
        _signals.patient = False


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """What this package warns of is for the user, in one line; what libraries tell each other is not."""
    if issubclass(category, UserWarning):
        say(f"warning: {message}")
