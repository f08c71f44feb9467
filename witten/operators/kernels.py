"""Loops over the rows of an operator: compiled once for one thread and once for all."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba

__all__ = ["SERIAL_BELOW", "kernel"]

# Waking the threads costs up to tens of milliseconds on a busy machine: fewer rows than this are cheaper on one.
SERIAL_BELOW = 32_768


def kernel(function: Any) -> Callable[..., Any]:
    """Compile function(rows, ...), a loop `numba.prange` over the entries of the array `rows`.

    What is returned runs on all threads, on one where there are few rows: the same loop, the same results to the bit.
    """
    threaded = numba.njit(cache=True, parallel=True, error_model="numpy")(function)
    serial = numba.njit(cache=True, error_model="numpy")(_renamed(function, f"{function.__name__}_serial"))

    def dispatch(rows: Any, *arguments: Any) -> Any:
        return (serial if len(rows) < SERIAL_BELOW else threaded)(rows, *arguments)

    return dispatch


def _renamed(function: Any, name: str) -> FunctionType:
    """A copy of a function. Numba's cache on disk distinguishes compiled functions by name, not by options."""
    copy = FunctionType(function.__code__, function.__globals__, name)
    copy.__qualname__, copy.__module__ = name, function.__module__
    return copy
