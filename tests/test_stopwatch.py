"""The clock of records stands still while kernels are compiled, and says when that begins."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

from launcher import PATIENCE, environment

from witten import stopwatch

FIRST_AND_SECOND = """
import time, numba
from witten import stopwatch

said = []
stopwatch.announce_compilation(lambda: said.append("compiling"))
stopwatch.seconds()

@numba.njit
def inner(x):
    return x + 1

@numba.njit
def outer(x):
    return inner(x) * 2

def timed():
    wall, own = time.perf_counter(), stopwatch.seconds()
    outer(1.0)
    return time.perf_counter() - wall, stopwatch.seconds() - own

wall, own = timed()
assert 0 < stopwatch._compiler.total and own < wall - stopwatch._compiler.total / 2, (own, wall)
assert said == []  # a kernel that is not kept
"""


def test_compilation_is_not_in_the_seconds_of_a_record():
    done = subprocess.run(
        [sys.executable, "-c", FIRST_AND_SECOND], capture_output=True, text=True, timeout=PATIENCE, env=environment()
    )
    assert done.returncode == 0, done.stderr


def test_compilation_is_announced_once_where_it_is_kept(monkeypatch):
    """Of kernels within kernels the outermost counts; what waits is told at its start."""
    compiler, said = stopwatch._Compiler(), []
    compiler.announce = lambda: said.append("once")
    kept = SimpleNamespace(data={"dispatcher": SimpleNamespace(_cache=SimpleNamespace(cache_path=os.curdir))})
    for _ in range(2):
        compiler.on_start(kept)
        compiler.on_start(kept)
        time.sleep(0.01)
        compiler.on_end(kept)
        compiler.on_end(kept)
    assert said == ["once"]
    assert compiler.total >= 0.02
    monkeypatch.setattr(stopwatch, "_compiler", compiler)
    compiler.on_start(kept)
    began = stopwatch.seconds()
    time.sleep(0.01)
    assert stopwatch.seconds() == began
