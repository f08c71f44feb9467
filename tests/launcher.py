"""Running the command line from a test: in this process, in one of its own, or on ranks by the mpiexec that belongs to
this Python, one thread per rank, never without a limit."""

import atexit
import contextlib
import gc
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

# A rank that waits for another that is gone waits forever: this is when a test takes it for a hang.
PATIENCE = 600
MPIEXEC = Path(sys.executable).with_name("mpiexec")
needs_mpi = pytest.mark.skipif(not MPIEXEC.exists(), reason=f"no mpiexec beside {sys.executable}")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
# MPICH: a rank that waits sleeps. Where others want its core, and tests run side by side, what it does otherwise
# (sched_yield) gives them the core for milliseconds at each message.
PATIENT = {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1"}
STARTED = str(Path(__file__).with_name("started.py"))
# Environment that libraries read when they are loaded.
READ_BY_LIBRARIES = ("PYTHON", "NUMBA_", "OMP_", "OPENBLAS_", "MKL_")


def ranks(n, *arguments, **kwargs):
    """`mpiexec -n N python ARGUMENTS`, ended."""
    words = [str(MPIEXEC), "-n", str(n), *python(*arguments, environment=environment())]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=environment(), **kwargs)


def command(n, *arguments):
    """The same for whoever sends it signals: ranks that mpiexec itself has started."""
    return [str(MPIEXEC), "-n", str(n), sys.executable, *map(str, arguments)]


def python(*arguments, environment=os.environ):
    """`python ARGUMENTS`; -c CODE and -m MODULE find the large libraries loaded already, where the system allows it.
    What tests how Python or the package start needs `sys.executable`."""
    words = [str(each) for each in arguments]
    if words[0] not in ("-c", "-m") or not hasattr(os, "pidfd_open"):
        return [sys.executable, *words]
    read = {name: value for name, value in environment.items() if name.startswith(READ_BY_LIBRARIES)}
    return [sys.executable, "-I", "-S", STARTED, _server(tuple(sorted(read.items()))), *words]


@cache
def _server(read):
    """The socket of the server for this environment."""
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "socket")
    others = {name: value for name, value in os.environ.items() if not name.startswith(READ_BY_LIBRARIES)}
    words = [sys.executable, STARTED, "serve", path]
    server = subprocess.Popen(words, stdin=-1, stdout=-1, env={**others, **dict(read)}, start_new_session=True)
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.communicate, timeout=PATIENCE)
    assert server.stdout.readline() == b"ready\n"
    return path


def environment(**more):
    return {**os.environ, **ONE_THREAD, **PATIENT, **more}


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


def cli(*arguments, **kwargs):
    """`python -m witten ARGUMENTS`, ended."""
    words = python("-m", "witten", *arguments, environment=kwargs.get("env", os.environ))
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, **kwargs)


def in_process(*arguments, cwd="."):
    """`witten ARGUMENTS` without a process of its own, which takes longer to start than most answers: exit status and
    what is printed. Not for --walltime, which counts from when the package was loaded."""
    from witten.cli import main

    words, out, err = list(map(str, arguments)), io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), restored(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as leaving:
            return subprocess.CompletedProcess(words, leaving.code, out.getvalue(), err.getvalue())
    raise AssertionError("the command line returned")


@contextlib.contextmanager
def restored():
    """The command line is made for a process of its own: it listens for signals and remembers them, shows warnings its
    way, and leaves garbage lying."""
    from witten.cli import signals

    listened = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM)
    heard = {number: signal.getsignal(number) for number in listened}
    hook, unraisable, often = sys.excepthook, sys.unraisablehook, gc.get_threshold()
    try:
        with warnings.catch_warnings(), mock.patch.object(signals, "_signals", signals.Signals()):
            yield
    finally:
        sys.excepthook = hook
        gc.set_threshold(*often)
        gc.unfreeze()
        for number, handler in heard.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        sys.unraisablehook = unraisable
