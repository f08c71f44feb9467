"""Time that was spent on the question, without that of the compiler; and who wants to know when it starts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["announce_compilation", "seconds"]


class _Compiler:
    """How long Numba has compiled so far. Kernels that call others compile them meanwhile: the outermost count."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth, self.began, self.total = 0, 0.0, 0.0
        self.announce: Callable[[], Any] | None = None

    def on_start(self, event: Any) -> None:
        with self.lock:
            if self.depth == 0:
                self.began = time.perf_counter()
            self.depth += 1
            announce, self.announce = (self.announce, None) if _is_kept(event) else (None, self.announce)
        if announce is not None:
            announce()

    def on_end(self, event: Any) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.total += time.perf_counter() - self.began


_compiler = _Compiler()


def _is_kept(event: Any) -> bool:
    """Whether what is compiled goes to Numba's cache on disk: kernels of one objective do not."""
    return getattr(getattr(event.data["dispatcher"], "_cache", None), "cache_path", None) is not None


def announce_compilation(announce: Callable[[], Any] | None) -> None:
    """Call this once, when a kernel that is kept on disk is compiled; or nothing any more."""
    _compiler.announce = announce


@cache
def _listen() -> None:
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            _compiler.on_start(event)

        def on_end(self, event: Any) -> None:
            _compiler.on_end(event)

    event.register("numba:compile", Listener())


def seconds() -> float:
    """A clock that stands still while kernels are compiled: differences of it are what a computation takes the second
    time, too. It does not load Numba.

    >>> from witten.stopwatch import seconds
    >>> began = seconds()
    >>> 0 <= seconds() - began < 1
    True
    """
    if "numba" in sys.modules:
        _listen()
    with _compiler.lock:
        now = _compiler.began if _compiler.depth else time.perf_counter()
        return now - _compiler.total
