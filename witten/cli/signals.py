"""Ctrl-C, SIGTERM and SIGUSR1: a command ends cleanly, soon, and whatever the main thread is doing.

A signal is noted, and what loops asks for it (`patiently`). Elsewhere, or after GRACE, it raises `Interrupted`. A
library may swallow what is raised in one of its callbacks, so that it is raised again until the main thread has left; a
compiler that is left half way crashes, so that nothing is raised in one. A thread that hears every signal ends what
neither notes nor exceptions end: a step in compiled code, or a compilation, that takes longer than LIMIT. Libraries
that keep Python's lock stop that thread, too; `parallel.watchdog` ends them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

from witten import parallel
from witten.cli.streams import say

__all__ = ["EARLY", "KEPT", "Interrupted", "closed", "end_at_once", "listen", "patiently"]

# The exit status of what was stopped early.
EARLY = 4
# What batch systems send before the limit; Windows has none.
USR1 = getattr(signal, "SIGUSR1", None)
ENDING = (signal.SIGINT, signal.SIGTERM)
# A launcher may pass on what the terminal has already sent to everybody: within so many seconds it is the same signal.
ECHO = 1.0
# Seconds for a sweep to finish the learning rate in hand; for any work to be left, and then to save and print.
GRACE, LIMIT = 5.0, 9.0
# Seconds after which an exception that was swallowed is raised again, and one that would have met a compiler.
AGAIN, SOON = 1.0, 0.05
COMPILERS = {"numba", "llvmlite"}
# Those that start processes, which hear Ctrl-C as well.
WITH_PROCESSES = ("ffcx.codegeneration.jit", "dolfinx.jit")
# Loaded with the libraries that need it.
WATCHDOG = "witten.parallel.watchdog"
# What is left where the main thread cannot say it.
KEPT = "a file of -o holds what was finished"


class Interrupted(BaseException):
    """The command shall end, or has ended, early; what it carries is the line that says what was kept."""

    exit_status = EARLY


class Signals:
    """What has arrived, and what is done about it.

    Attributes
    ----------
    reason : in words, once a signal has come, at the time `first`
    patient : whether the work in hand asks for `reason` itself
    over : the work has ended, well or not: nothing is raised any more
    deadline : when the listening thread ends the process
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.first = 0.0
        self.patient = False
        self.over = False
        self.deadline: float | None = None

    def arrived(self, number: int, frame: FrameType | None) -> None:
        """The handler, in the main thread."""
        if self.repeated(number):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.note(number)
        if not self.patient:
            self.insist(frame)
            return
        if number != USR1:
            _ask_again(GRACE)
        if not self.over and sys.stderr.isatty():
            say(f"{self.reason}, after the learning rate in hand or {GRACE:.0f} s; once more ends it at once")

    def note(self, number: int) -> None:
        """The first signal is the reason."""
        if self.reason is None:
            self.first, self.reason = time.monotonic(), f"stopped by {signal.Signals(number).name}"

    def repeated(self, number: int) -> bool:
        """Whether somebody insists."""
        return self.reason is not None and number != USR1 and time.monotonic() - self.first > ECHO

    def overdue(self, number: int, frame: FrameType | None) -> None:
        """The timer has run out, in the main thread."""
        self.insist(frame)

    def insist(self, frame: FrameType | None) -> None:
        """Raise Interrupted, now and until it is heard; not while it is being handled, nor inside a compiler."""
        if self.over:
            return
        compiling = _compiling(frame)
        _ask_again(SOON if compiling else AGAIN)
        if not (compiling or isinstance(sys.exception(), Interrupted)):
            raise Interrupted(self.reason or "")

    def relent(self) -> None:
        """The work has been left: no more of that, and as much time again for what is to be saved and printed."""
        _ask_again(0.0)
        if self.deadline is not None:
            self.deadline = time.monotonic() + LIMIT
        if WATCHDOG in sys.modules:
            sys.modules[WATCHDOG].relent()

    def heard(self, number: int) -> None:
        """What the listening thread does: the main thread may be in compiled code and hear nothing."""
        if self.deadline is None:
            self.deadline = time.monotonic() + LIMIT
        elif self.repeated(number):
            self.deadline = time.monotonic() + ECHO
        self.note(number)

    def end_if_overdue(self) -> None:
        """End the process, from the listening thread."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            say(f"{self.reason}, in a step that cannot be interrupted; {KEPT}")
            parallel.abort(parallel.Communicator(), EARLY)


_signals = Signals()


def end_at_once() -> None:
    """Until there is something to keep, a signal ends the process as it ends any other: what Python raises for Ctrl-C
    would come out of the libraries that are being loaded, and MPI crashes when it is left half way."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)


def listen() -> None:
    """Ctrl-C, SIGTERM and SIGUSR1 end a command cleanly; a second Ctrl-C or SIGTERM ends it at once."""
    for number in (*ENDING, USR1):
        if number is not None:
            signal.signal(number, _signals.arrived)
    sys.unraisablehook = _say_unless_raised_again
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _signals.overdue)
        signal.set_wakeup_fd(_listening_thread(), warn_on_full_buffer=False)
        if WATCHDOG in sys.modules:
            sys.modules[WATCHDOG].guard()


@cache
def _listening_thread() -> int:
    """Where the numbers of signals are written to be heard by a thread."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    threading.Thread(target=_hear, args=(read,), name="signals", daemon=True).start()
    return write


def _hear(pipe: int) -> None:
    while True:
        limit = _signals.deadline
        left = None if limit is None else max(limit - time.monotonic(), 0.0) + 0.01
        ready, _, _ = select.select([pipe], [], [], left)
        for number in os.read(pipe, 64) if ready else b"":
            if number in ENDING:
                _signals.heard(number)
        _signals.end_if_overdue()


def _say_unless_raised_again(swallowed: Any) -> None:
    """What a callback has raised in vain is reported, but not what comes again anyway."""
    if not isinstance(swallowed.exc_value, Interrupted):
        sys.__unraisablehook__(swallowed)


def _ask_again(seconds: float) -> None:
    """Let the timer run out after so many seconds, and then every AGAIN; 0 stops it. Windows has no such timer."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN if seconds else 0.0)


def _compiling(frame: FrameType | None) -> bool:
    """Whether a compiler is at work, which would swallow an exception in its callbacks and crash later."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in COMPILERS:
            return True
        frame = frame.f_back
    return False


def _raised_by_compiler(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") in WITH_PROCESSES for frame, _ in frames)


@contextmanager
def patiently() -> Iterator[Callable[[], str | None]]:
    """Inside, a signal is only noted; what this yields says which has come: the work ends at a good place."""
    _signals.patient = True
    try:
        yield lambda: _signals.reason
    finally:
        _signals.relent()
        _signals.patient = False


@contextmanager
def closed() -> Iterator[None]:
    """Around a whole command: once it has been left, nothing is raised any more. A compiler that the signal ended, as
    Ctrl-C does with all that the terminal has, failed for that reason."""
    try:
        yield
    except Exception as error:
        if _signals.reason is None or not _raised_by_compiler(error):
            raise
        raise Interrupted(_signals.reason) from error
    finally:
        _signals.over = True
        _signals.relent()
