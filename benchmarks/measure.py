"""What the benchmarks share: runs side by side, paired ratios, the machine's bandwidth, peak memory.

Run by itself, it measures the machine.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

Seconds = dict[str, NDArray[np.float64]]


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int) -> Seconds:
    """Seconds of every run of every job: once each to warm up, then in turns, so that a busy spell hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: np.array(times) for name, times in seconds.items()}


def ratio(seconds: Seconds, name: str, reference: str) -> float:
    """How much longer `name` takes than `reference`: the median over the turns."""
    return float(np.median(seconds[name] / seconds[reference]))


class Triad:
    """a = b + 3 c on n doubles, as in STREAM, on Numba's current number of threads; 24 n bytes are counted."""

    def __init__(self, n: int) -> None:
        self.a, self.b, self.c = np.zeros(n), np.ones(n), np.ones(n)
        self.bytes = 24 * n

    def __call__(self) -> None:
        _triad(self.a, self.b, self.c)


@numba.njit(parallel=True)
def _triad(a, b, c):  # type: ignore[no-untyped-def]
    for i in numba.prange(a.size):
        a[i] = b[i] + 3.0 * c[i]


def peak_memory(job: Callable[[], object]) -> float:
    """Bytes by which the resident memory of this process rises while the job runs; nan where it cannot be known.

    What was freed is given back and the system's high-water mark set back first, which Linux and glibc alone can do.
    """
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        job()
        return _status("VmHWM") - before
    except (OSError, AttributeError):
        job()
        return float("nan")


def _status(field: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024.0 * float(line.split()[1])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """p of the fit values ~ sizes^p; nan where all sizes are the same."""
    if len(set(sizes)) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, aligned: text to the left, numbers to the right."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for line in [list(headings), *cells]:
        rest = (f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        print("  ".join([f"{line[0]:<{widths[0]}}", *rest]))
    print()


def _text(cell: object) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def main(quick: bool = False) -> dict[int, float]:
    """Bytes per second of the triad, by number of threads."""
    found = {}
    for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        numba.set_num_threads(threads)
        triad = Triad(10**6 if quick else 10**7)
        found[threads] = triad.bytes / float(np.median(interleaved({"triad": triad}, 15)["triad"]))
    table(["threads", "GB/s"], [(threads, 1e-9 * speed) for threads, speed in found.items()])
    print(f"largest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return found


if __name__ == "__main__":
    main()
