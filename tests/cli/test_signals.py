"""A signal ends a command within seconds whatever the main thread does: exit status 4, one line, no crash."""

import signal
import subprocess
import sys
import time

import pytest
from launcher import PATIENCE

from witten.cli import signals

# Runs a command that says when it has begun.
COMMAND = """
import ctypes, hashlib, os, sys, time
from witten.cli import signals
from witten.cli.errors import exit_status
signals.LIMIT = {limit}

def busy(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass

{code}
sys.exit(exit_status(command))
"""
SWALLOWED = """
called = ctypes.CFUNCTYPE(None)(lambda: time.sleep(0.05))

def command():
    print("begun", flush=True)
    while True:
        called()
"""
# One in a callback is swallowed, and the main thread goes on elsewhere.
SWALLOWED_ONCE = """
called = ctypes.CFUNCTYPE(None)(lambda: busy(0.3))

def command():
    print("begun", flush=True)
    called()
    time.sleep(1000)
"""
COMPILING = """
compiler = {"__name__": "numba.core.compiler", "busy": busy}
exec("def compiled():\\n    try:\\n        busy(1.2)\\n    except BaseException:\\n        print('crash')\\n", compiler)

def command():
    print("begun", flush=True)
    compiler["compiled"]()
    print("compiled", flush=True)
    time.sleep(1000)
"""
UNWINDING = """
def command():
    print("begun", flush=True)
    try:
        time.sleep(1000)
    finally:
        busy(1.2)
        print("kept", flush=True)
"""
IN_COMPILED_CODE = """
def command():
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
# What PETSc does in a factorisation: Python's lock is kept, so that none of its threads runs.
WITH_THE_LOCK = """
import itertools
from witten.parallel import watchdog
watchdog.LIMIT = {limit}

def command():
    watchdog.guard()
    print("begun", flush=True)
    sum(itertools.repeat(0))
"""
PETSC = """
def command():
    from witten.spectra.solvers.distributed import petsc_options
    print("begun", flush=True)
    time.sleep(1000)
"""


def ended(code, number, *more, limit=3.0):
    """Exit status, both outputs, and the seconds it took, of a command that is sent a signal once it has begun."""
    script = COMMAND.format(code=code, limit=limit)
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1, text=True) as process:
        try:
            assert process.stdout.readline() == "begun\n", process.communicate()
            time.sleep(0.1)
            began = time.monotonic()
            for each in (number, *more):
                process.send_signal(each)
                time.sleep(1.5 if more else 0)
            out, err = process.communicate(timeout=PATIENCE)
            return process.returncode, out, err, time.monotonic() - began
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("code", "out"),
    [
        (SWALLOWED, ""),
        (SWALLOWED_ONCE, ""),
        (COMPILING, "compiled\n"),
        (UNWINDING, "kept\n"),
        (IN_COMPILED_CODE, ""),
        (WITH_THE_LOCK.format(limit=2.0), ""),
        (PETSC, ""),
    ],
    ids=("swallowed", "swallowed-once", "compiling", "unwinding", "in-compiled-code", "with-the-lock", "petsc"),
)
def test_a_signal_ends_a_command_whatever_it_does(code, out):
    if code is PETSC:
        pytest.importorskip("petsc4py")
    status, printed, err, seconds = ended(code, signal.SIGTERM)
    assert (status, printed) == (4, out) and seconds < 60, err
    assert err.count("\n") == 1 and err.startswith("witten: stopped by SIGTERM")


def test_a_second_signal_ends_even_compiled_code():
    status, _, _, seconds = ended(IN_COMPILED_CODE, signal.SIGTERM, signal.SIGTERM, limit=1000.0)
    assert status == 4 and seconds < 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_there_is_anything_to_keep_a_signal_ends_the_process_as_any_other(number):
    """Without a traceback out of a library that is being loaded."""
    code = (
        "import time, witten.cli as cli\n"
        "cli._ranks = lambda: (print('begun', flush=True), time.sleep(1000))\n"
        "cli.main(['objectives'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "begun\n", process.communicate()
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == -number


@pytest.mark.parametrize("module", ["ffcx.codegeneration.jit", "witten"])
def test_what_ctrl_c_ends_with_its_compiler_is_stopped_and_has_not_failed(module, monkeypatch):
    monkeypatch.setattr(signals, "_signals", signals.Signals())
    signals._signals.note(signal.SIGINT)
    compiler = {"__name__": module}
    exec("def compiled(): raise RuntimeError(\"'cc' died with SIGINT\")", compiler)
    expected = signals.Interrupted if module.startswith("ffcx") else RuntimeError
    with pytest.raises(expected), signals.closed():
        compiler["compiled"]()
