"""Ends a process that a signal should have ended, from a thread that needs nothing of Python.

PETSc, SLEPc and DOLFINx keep Python's lock while they work, in a factorisation for minutes: no handler runs, and no
thread of Python that would end them. The number of a signal is written into a pipe all the same
(`signal.set_wakeup_fd`). A compiled thread reads it, hands it on to whoever has listened so far, and ends the process
where the main thread has neither left nor said that it is leaving (`relent`).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from witten.parallel.communicators import launched

__all__ = ["LIMIT", "guard", "relent"]

# Seconds from a signal to the end: one more than a thread of Python takes, which can say more.
LIMIT = 9.9
# The exit status of what was stopped early, and what is said of it; what `relent` writes into the pipe.
EARLY, RELENT = 4, 0
KEPT = "a file of -o holds what was finished"
SIGINT, SIGTERM = int(signal.SIGINT), int(signal.SIGTERM)
# A second signal within a second is the same one, passed on by a launcher.
ECHO = 1.0
MONOTONIC, POLLIN = 1, 1

_integer, _pointer = types.int32, types.voidptr
_clock_gettime = types.ExternalFunction("clock_gettime", _integer(_integer, _pointer))
_poll = types.ExternalFunction("poll", _integer(_pointer, types.uint64, _integer))
_read = types.ExternalFunction("read", types.int64(_integer, _pointer, types.uint64))
_write = types.ExternalFunction("write", types.int64(_integer, _pointer, types.uint64))
_exit = types.ExternalFunction("_exit", types.void(_integer))

_pipes: list[int] = []


def guard() -> None:
    """Watch from now on, if somebody listens to signals and this is the main thread; once in a process."""
    if _pipes or threading.current_thread() is not threading.main_thread():
        return
    listener = signal.set_wakeup_fd(-1)
    if listener < 0:
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    words = [_last_words(number) for number in (signal.SIGINT, signal.SIGTERM)]
    _watch.compile((types.uint8[::1], _integer, _integer, types.float64, types.uint8[::1], types.uint8[::1]))
    watches = np.zeros(1, np.uint8)
    threading.Thread(target=_watch, args=(watches, read, listener, LIMIT, *words), name="watchdog", daemon=True).start()
    while not watches[0]:  # to begin it needs Python's lock, once
        time.sleep(1e-3)
    _pipes.append(write)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)


def relent() -> None:
    """The main thread is leaving, or saving: as much time again. Nothing where no signal has come."""
    for pipe in _pipes:
        os.write(pipe, bytes([RELENT]))


def _last_words(number: signal.Signals) -> NDArray[np.uint8]:
    """A line for standard error, of rank 0 alone."""
    line = f"witten: stopped by {number.name}, in a step that cannot be interrupted; {KEPT}\n"
    return np.frombuffer(line.encode() if launched()[0] == 0 else b"", np.uint8).copy()


@numba.njit(cache=True)
def _now(clock: Any) -> Any:
    _clock_gettime(MONOTONIC, clock.ctypes)
    return clock[0] + 1e-9 * clock[1]


@numba.njit(nogil=True, cache=True)
def _watch(watches: Any, pipe: Any, listener: Any, limit: Any, on_interrupt: Any, on_termination: Any) -> None:
    """Wait for signals, and say so in `watches`; the process ends `limit` after the first, or after it relented."""
    byte, clock, slot = np.zeros(1, np.uint8), np.zeros(2, np.int64), np.zeros(2, np.int32)
    slot[0], slot[1], watches[0] = pipe, POLLIN, 1
    first, end, heard = 0.0, 0.0, 0
    while True:
        left = max(end - _now(clock), 0.0) if heard else -1.0
        ready = _poll(slot.ctypes, 1, np.int32(1e3 * left))
        if ready == 0:
            words = on_interrupt if heard == SIGINT else on_termination
            _write(2, words.ctypes, len(words))
            _exit(EARLY)
        if ready < 0 or _read(pipe, byte.ctypes, 1) < 1:
            continue
        if byte[0] != RELENT:
            _write(listener, byte.ctypes, 1)
        if byte[0] == RELENT:
            end = _now(clock) + limit
        elif byte[0] == SIGINT or byte[0] == SIGTERM:
            if not heard:
                first, heard = _now(clock), int(byte[0])
                end = first + limit
            elif _now(clock) > first + ECHO:
                end = min(end, _now(clock) + ECHO)
