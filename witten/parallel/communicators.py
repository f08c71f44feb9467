"""Ranks of MPI, or one process alone with the same few methods: the one module that knows mpi4py.

MPI is started only where a launcher has started several processes, or when somebody asks for `Communicator.mpi`.

What happens to one rank happens to all. A value that one rank finds is broadcast (`agree`), an error that one rank can
find alone is raised on all (`collectively`), and an error that comes up where nobody expected one ends the run
on all ranks within seconds (`together`): the others may be waiting for a message that will never come.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
import warnings
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from witten.errors import ConvergenceError, RequestError

__all__ = [
    "Communicator",
    "abort",
    "agree",
    "alone",
    "collectively",
    "communicator",
    "end_all",
    "launched",
    "no_mpi",
    "outcomes",
    "patience",
    "portable",
    "threads_may_call",
    "together",
    "world",
]

# Where launchers leave the rank of a process and how many there are.
RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PALS_RANKID")
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# Seconds that a failing rank waits for the others to fail too, before it ends them.
PATIENCE = 2.0
# Seconds that a launcher has to pass on what was said before the ranks are ended; a busy one loses it otherwise.
FORWARDING = 0.5
REDUCTIONS: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "min": min, "max": max}


@dataclass(frozen=True, eq=False)
class Communicator:
    """Ranks that work together; without `raw`, this process alone.

    Attributes
    ----------
    raw : the communicator of mpi4py, or None
    side : a duplicate of it, for messages that must not meet those of a computation
    """

    raw: Any = None
    side: Any = None

    @property
    def rank(self) -> int:
        return 0 if self.raw is None else int(self.raw.rank)

    @property
    def size(self) -> int:
        return 1 if self.raw is None else int(self.raw.size)

    @property
    def mpi(self) -> Any:
        """The communicator that PETSc and DOLFINx want; asking for it starts MPI."""
        return _mpi().COMM_SELF if self.raw is None else self.raw

    def bcast[Value](self, value: Value, root: int = 0) -> Value:
        """The value of one rank, on all."""
        found: Value = value if self.raw is None else self.raw.bcast(value, root=root)
        return found

    def allgather[Value](self, value: Value) -> list[Value]:
        """The values of all ranks, in their order."""
        return [value] if self.raw is None else list(self.raw.allgather(value))

    def allreduce(self, value: Any, operation: str = "sum") -> Any:
        """'sum', 'min' or 'max' over the ranks, taken in their order: the same bits on each. Arrays can be summed."""
        return REDUCTIONS[operation](self.allgather(value))

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.raw is not None:
            self.raw.Barrier()

    def split(self, color: int | None) -> Communicator | None:
        """The ranks of one colour, in their order; None for those that have none."""
        if self.raw is None:
            return None if color is None else self
        raw = self.raw.Split(_mpi().UNDEFINED if color is None else color, self.rank)
        if raw == _mpi().COMM_NULL:
            return None
        if raw.size > 1:
            return Communicator(raw, raw.Dup())
        raw.Free()
        return Communicator()

    def free(self) -> None:
        """Give back what `split` made; collective."""
        for each in (self.side, self.raw):
            if each is not None:
                each.Free()


_only: ContextVar[Communicator | None] = ContextVar("_only", default=None)


def world() -> Communicator:
    """All ranks of this run; this process alone where no launcher started more. RequestError if a launcher started
    several processes that cannot work together."""
    return _only.get() or _world()


@contextmanager
def alone() -> Iterator[None]:
    """Inside, `world()` is this process alone: what is called there must not wait for the others."""
    token = _only.set(Communicator())
    try:
        yield
    finally:
        _only.reset(token)


def communicator(comm: Any = None) -> Communicator:
    """A Communicator from what a caller gave: nothing (the world), a Communicator, or one of mpi4py."""
    if comm is None:
        return world()
    if isinstance(comm, Communicator):
        return comm
    if comm.size == 1:
        return Communicator()
    known: Communicator | None = comm.Get_attr(_attribute())
    if known is None:
        known = Communicator(comm, comm.Dup())
        comm.Set_attr(_attribute(), known)
    return known


@cache
def _attribute() -> int:
    """Under which a communicator of mpi4py remembers its duplicate."""
    return int(_mpi().Comm.Create_keyval())


def launched() -> tuple[int, int | None]:
    """Rank and number of the processes as their launcher counts them, (0, 1) without one; None if it does not say."""
    rank = _number(*RANK_VARIABLES)
    size = _number(*SIZE_VARIABLES)
    # srun counts tasks whether or not it tells MPI about them; a batch script is no step of its own.
    if "SLURM_STEP_ID" in os.environ and size is None:
        rank = _number("SLURM_PROCID") if rank is None else rank
        size = _number("SLURM_STEP_NUM_TASKS")
    if rank is None and size is None:
        return 0, 1
    return rank or 0, size


def _number(*names: str) -> int | None:
    """The first of some environment variables that holds a number."""
    return next((int(text) for text in map(os.environ.get, names) if text is not None and text.isdigit()), None)


@cache
def _world() -> Communicator:
    rank, size = launched()
    if size == 1:
        return Communicator()
    everybody = _mpi().COMM_WORLD
    if everybody.size != (size or everybody.size) or everybody.size <= rank:
        raise RequestError(
            f"{size or 'several'} processes were started, but MPI sees {everybody.size}: start them with the mpiexec "
            "that belongs to the MPI of mpi4py (witten doctor names it), or with srun --mpi=pmi2 or --mpi=pmix"
        )
    return Communicator() if everybody.size == 1 else Communicator(everybody, everybody.Dup())


@cache
def _mpi() -> Any:
    """mpi4py.MPI; importing it starts MPI."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a foreign launcher, which `_world` refuses
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there and finds no MPI library
        raise no_mpi(error) from None
    return MPI


def no_mpi(error: Exception) -> RequestError:
    """What to say where MPI, or PETSc for want of it, cannot be loaded; `error` may be long, its first line counts."""
    why = (str(error).splitlines() or [type(error).__name__])[0].strip()[:120]
    return RequestError(
        f"this needs MPI, and its library cannot be loaded ({why}); install witten[fem] (Linux on x86-64), which has "
        "one, or load the MPI that mpi4py was built for; finite differences on one rank need none; see witten doctor"
    )


def threads_may_call() -> bool:
    """Whether two threads of one rank may use MPI at the same time."""
    return bool(_mpi().Query_thread() == _mpi().THREAD_MULTIPLE)


# ---------------------------------------------------------------------------------------------------- together
def agree(comm: Communicator, function: Callable[[], Any]) -> Any:
    """What rank 0 gets from a function, on all ranks; what it raises is raised on all."""
    if comm.raw is None:
        return function()
    error: BaseException | None = None
    value = None
    if comm.rank == 0:
        try:
            value = function()
        except BaseException as caught:
            error = caught
    value, told = comm.bcast((value, None if error is None else portable(error)))
    if told is not None:
        raise told if error is None else error
    return value


def collectively(comm: Communicator, function: Callable[[], Any]) -> Any:
    """What every rank gets from a function of its own; if it raises on some, the first rank's error is raised on all.

    The function must not wait for other ranks: they may have failed.
    """
    if comm.raw is None:
        return function()
    value, error = None, None
    try:
        value = function()
    except BaseException as caught:
        error = caught
    told = comm.allgather(None if error is None else portable(error))
    first = next(((rank, each) for rank, each in enumerate(told) if each is not None), None)
    if first is not None:
        raise error if error is not None and first[0] == comm.rank else first[1]
    return value


def portable(error: BaseException) -> BaseException:
    """An exception as it can be sent to another rank."""
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error) and str(copy) == str(error):
            return error
    except Exception:
        pass
    return ConvergenceError(f"unexpected {type(error).__name__}: {error}")


@contextmanager
def together(comm: Communicator) -> Iterator[None]:
    """An error that all ranks meet is raised on each; one that others do not meet within seconds ends them all."""
    try:
        yield
    except BaseException as error:
        if outcomes(comm, 1, patience(comm)) is None:
            end_all(comm, error)
        raise


def patience(comm: Communicator) -> float:
    """Seconds to wait for others before ending them; not the same for all, so that one alone speaks."""
    return PATIENCE * (1 + comm.rank / comm.size)


def outcomes(comm: Communicator, mine: int, seconds: float | None = None) -> list[int] | None:
    """A number from every rank; None if some have not come here within so many seconds."""
    if comm.raw is None:
        return [mine]
    given, found = array("i", [mine]), array("i", [0] * comm.size)
    request = comm.side.Iallgather(given, found)
    limit = None if seconds is None else time.monotonic() + seconds
    pause = 1e-4
    while not request.Test():
        if limit is not None and time.monotonic() > limit:
            return None
        time.sleep(pause)  # a rank that only waits leaves its core to the others
        pause = min(2 * pause, 0.05)
    comm.side.Barrier()  # nobody speaks whom another has given up
    return found.tolist()


def end_all(comm: Communicator, error: BaseException) -> NoReturn:
    """Say what happened, by way of sys.excepthook, and end every rank; with the `exit_status` of an error that has one,
    else 1."""
    sys.excepthook(type(error), error, error.__traceback__)
    abort(comm, getattr(error, "exit_status", 1))


def abort(comm: Communicator, status: int) -> NoReturn:
    """End every rank with this exit status, without more words."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if comm.raw is None:
        os._exit(status)
    time.sleep(FORWARDING)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # MPI has something to say about every Abort
    _mpi().COMM_WORLD.Abort(status)
    os._exit(status)
