"""Python processes that find the large libraries loaded: `python -I -S started.py SOCKET -c CODE ...`, or -m MODULE.

A start of the command line spends a second on NumPy, SciPy, Numba and SymPy. A server has loaded them, once per run of
the tests, and forks itself for each start; of this package it has loaded nothing. What is started is a small process,
by anybody, mpiexec included: it hands the server its descriptors, environment, folder and words, and ends as the fork
ends. When it is ended by a signal the fork is killed: how signals are heard is not to be tested by it.
"""

import fcntl
import json
import os
import select
import signal
import socket
import sys

LIBRARIES = (
    "numba",
    "scipy.sparse.linalg",
    "scipy.sparse.csgraph",
    "scipy.optimize",
    "scipy.integrate",
    "scipy.ndimage",
    "scipy.interpolate",
    "scipy.differentiate",
    "sympy.codegen",
    "mpmath",
    "xarray",
    "h5netcdf",
    "pydantic",
    "typer.rich_utils",
)
# Above the descriptors of the server itself and of what a fork is to have.
HIGH = 100


def start(path, words):
    """The small process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # MPICH speaks to its ranks by a descriptor that they inherit.
    descriptors = [0, 1, 2, *(int(os.environ[name]) for name in ("PMI_FD",) if name in os.environ)]
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b"."], descriptors)
        server.sendall(json.dumps([words, dict(os.environ), os.getcwd(), descriptors]).encode() + b"\n")
        with server.makefile() as answers:
            status = int(answers.readline())
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def serve(path):
    """The server, until its standard input ends. It returns in the forks, each with its words."""
    from importlib import import_module

    for name in LIBRARIES:
        import_module(name)
    import_module("numba").njit("f8(f8)")(lambda x: x)  # what Numba loads when it compiles
    attending = set()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        os.write(1, b"ready\n")
        while 0 not in select.select([listening, 0], [], [])[0]:
            asked, _ = listening.accept()
            attending = {each for each in attending if os.waitpid(each, os.WNOHANG) == (0, 0)}
            child = os.fork()
            if not child:
                listening.close()
                return attend(asked)
            attending.add(child)
            asked.close()
    os._exit(0)


def attend(asked):
    """One start, in a process that waits for it. It returns in the other, which is started."""
    _, received, _, _ = socket.recv_fds(asked, 1, 8)
    with asked.makefile() as lines:
        words, environment, folder, descriptors = json.loads(lines.readline())
    forked = os.fork()
    if forked:
        ended = os.pidfd_open(forked)
        if ended not in select.select([ended, asked], [], [])[0]:
            os.kill(forked, signal.SIGKILL)  # whoever asked is gone
        status = os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
        try:
            asked.sendall(b"%d\n" % status)
        finally:
            os._exit(0)
    asked.close()
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD, HIGH) for each in received]
    os.closerange(3, HIGH)
    for each, descriptor in zip(moved, descriptors, strict=True):
        os.dup2(each, descriptor)
        os.close(each)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    return words


def run(kind, named, *arguments):
    """What `python -c CODE ...` and `python -m MODULE ...` do."""
    import runpy
    import types

    sys.argv = [kind, *arguments]
    if kind == "-m":
        runpy.run_module(named, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(named, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        run(*serve(sys.argv[2]))
    else:
        start(sys.argv[1], sys.argv[2:])
