"""Claim: a short command takes little more than the libraries that it needs.

CPU seconds, user and system, of whole processes: warm, with the kernels in Numba's cache, the least of several; cold,
with an empty one. Beside them what loading NumPy, SciPy's sparse solvers, SymPy, Numba and typer takes by itself,
the modules that a command has loaded when it ends, and those of this package among them, folders not counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import table

import witten

LIBRARIES = "import numpy, scipy.sparse.linalg, scipy.optimize, sympy, numba, typer"
COMMANDS = (
    ("--help",),
    ("gap", "double-well", "--lr", "0.1"),
    ("gap", "x^4/4-x^2/2", "--lr", "0.1"),
    ("gap", "double-well:dim=2", "--lr", "0.1"),
    ("theory", "double-well", "--lr", "0.1"),
    ("theory", "mueller-brown", "--lr", "0.1"),
    ("landscape", "double-well"),
    ("spectrum", "double-well", "--lr", "0.1"),
    ("descend", "double-well", "--lr", "0.1", "--x0", "0.5"),
)
# Runs a command, or else prints what it has loaded, too, after all it prints itself.
RUN = "import sys; from witten.cli import main; main(sys.argv[1:])"
COUNT = f"import atexit, sys; atexit.register(lambda: print(chr(10), *sys.modules)); {RUN.removeprefix('import sys; ')}"


@dataclass(frozen=True)
class Start:
    """CPU seconds of a command, nan for what was not measured, and the modules that it loads."""

    command: str
    warm: float
    cold: float
    modules: int
    own_modules: int


def seconds(*words: str, cache: str | None = None) -> float:
    """CPU seconds of `python WORDS`, on one thread; CalledProcessError where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    environment |= {} if cache is None else {"NUMBA_CACHE_DIR": cache}
    with subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, words)
    return used.ru_utime + used.ru_stime


def loaded(*words: str) -> list[str]:
    """The modules that `witten WORDS` has loaded when it ends."""
    done = subprocess.run([sys.executable, "-c", COUNT, *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def is_folder(module: str) -> bool:
    """Whether a module is a package, of which Python loads the `__init__` with every file in it."""
    return (Path(witten.__file__).parents[1] / module.replace(".", "/")).is_dir()


def start(words: tuple[str, ...], repeats: int, cold: bool) -> Start:
    modules = loaded(*words)  # fills the cache, too
    warm = min(seconds("-c", RUN, *words) for _ in range(repeats))
    with tempfile.TemporaryDirectory() as empty:
        first = seconds("-c", RUN, *words, cache=empty) if cold else float("nan")
    own = sum(name.startswith("witten.") and not is_folder(name) for name in modules)
    return Start(" ".join(words), warm, first, len(modules), own)


def main(quick: bool = False) -> list[Start]:
    repeats = 1 if quick else 7
    found = [start(words, repeats, not quick) for words in (COMMANDS[:2] if quick else COMMANDS)]
    print("CPU seconds of commands, and the modules they load")
    table(
        ["witten", "warm", "cold", "cold/warm", "modules", "of them ours"],
        [(row.command, row.warm, row.cold, row.cold / row.warm, str(row.modules), str(row.own_modules))
         for row in found],
    )
    if not quick:
        print(f"the libraries by themselves: {min(seconds('-c', LIBRARIES) for _ in range(repeats)):.2f}")
    return found


if __name__ == "__main__":
    main()
