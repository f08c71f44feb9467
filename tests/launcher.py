"""Starting ranks from a test: the mpiexec that belongs to this Python, one thread per rank, never without a limit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A rank that waits for another that is gone waits forever: this is when a test takes it for a hang.
PATIENCE = 600
MPIEXEC = Path(sys.executable).with_name("mpiexec")
needs_mpi = pytest.mark.skipif(not MPIEXEC.exists(), reason=f"no mpiexec beside {sys.executable}")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def ranks(n, *arguments, **kwargs):
    """`mpiexec -n N python ARGUMENTS`, ended."""
    return subprocess.run(
        command(n, *arguments), capture_output=True, text=True, timeout=PATIENCE, env=environment(), **kwargs
    )


def command(n, *arguments):
    return [str(MPIEXEC), "-n", str(n), sys.executable, *map(str, arguments)]


def environment(**more):
    return {**os.environ, **ONE_THREAD, **more}


def patched(code):
    """A script that runs the command line after a change to the package; it knows the rank."""
    return "\n".join(
        [
            "import sys, time, witten",
            "from witten import parallel",
            "rank = parallel.world().rank",
            code,
            "from witten.cli import main",
            "main()",
        ]
    )


def cli(*arguments):
    """`python -m witten ARGUMENTS`, ended."""
    words = [sys.executable, "-m", "witten", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
