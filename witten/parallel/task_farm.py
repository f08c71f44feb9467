"""A self-scheduling task farm: each task goes to the group of ranks that is free first, until it is time to stop.

Rank 0 schedules: a thread of its own answers the leaders of the other groups and takes in their results while the ranks
of group 0 compute. With one group nobody needs to be asked, and there is no thread.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from witten.errors import RequestError
from witten.parallel import communicators
from witten.parallel.communicators import Communicator

__all__ = ["WALLTIME", "deal"]

WALLTIME = "stopped at the walltime"
# Seconds between two polls of the other groups' messages.
TICK = 0.01
# How many of the last tasks tell how long the next may take.
LAST = 3
QUESTION, ANSWER = 1, 2

Stop = Callable[[], str | None]


def deal[Task, Value](
    tasks: Sequence[Task],
    compute: Callable[[Task, Communicator], Value],
    keep: Callable[[Task, Value], Any],
    *,
    comm: Communicator,
    groups: int = 1,
    walltime: float | None = None,
    stop: Stop = lambda: None,
) -> str | None:
    """keep(task, compute(task, group)) for each task, by groups of ranks at once; why it stopped early, or None.

    Tasks are handed out in their order, each to the group that is free first. A rank that is one too many for groups of
    equal size schedules and does not compute. Collective over `comm`; every rank gets the same answer.

    Parameters
    ----------
    tasks : the same on all ranks
    compute : called on all ranks of a group; rank 0 of the group has the value that counts
    keep : called on rank 0 of `comm`, as the values come; in a thread of its own where there are several groups
    groups : from 1 to the number of ranks
    walltime : seconds from now after which no task is begun, nor one that would not be finished by then, judged by the
        longest of the last three
    stop : asked on all ranks before each task; a reason to stop, or None

    Raises
    ------
    RequestError
        if there cannot be so many groups. What `compute` raises on all ranks of a group, or `keep`, is raised on all
        ranks; what it raises on some ends the run.
    """
    if not 1 <= groups <= comm.size:
        ranks = "is 1 rank" if comm.size == 1 else f"are {comm.size} ranks"
        raise RequestError(
            f"cannot make {groups} groups: there {ranks}; ask for 1 to {comm.size}, or start more with mpiexec -n"
        )
    limit = None if walltime is None else time.monotonic() + walltime
    scheduler = Scheduler(deque(range(len(tasks))), lambda i, value: keep(tasks[i], value), stop, groups, limit)
    if groups == 1:
        with communicators.together(comm):
            _work(comm, scheduler, lambda i: compute(tasks[i], comm), stop)
        return comm.bcast(scheduler.reason)
    return _in_groups(comm, scheduler, lambda i, group: compute(tasks[i], group), stop)


class TaskQueue(Protocol):
    """What a group asks of the scheduler."""

    def next_task(self, reason: str | None) -> int | None: ...
    def submit(self, index: int, value: Any) -> None: ...
    def fail(self, error: BaseException) -> None: ...


@dataclass(eq=False)
class Scheduler:
    """The tasks not yet handed out, on rank 0; its methods may be called by two threads."""

    pending: deque[int]
    keep: Callable[[int, Any], Any]
    stop: Stop
    active: int  # groups that still work
    limit: float | None = None
    reason: str | None = None
    failure: BaseException | None = None
    failed_at: float = 0.0
    began: dict[int, float] = field(default_factory=dict)
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=LAST))
    lock: Any = field(default_factory=threading.RLock)

    def next_task(self, reason: str | None) -> int | None:
        """The next task for a group; None if there is no more."""
        with self.lock:
            if self.pending and self.failure is None:
                self.reason = self.reason or reason or self.stop() or self._out_of_time()
            if not self.pending or self.failure is not None or self.reason is not None:
                self.active -= 1
                return None
            index = self.pending.popleft()
            self.began[index] = time.monotonic()
            return index

    def submit(self, index: int, value: Any) -> None:
        """Take in a result."""
        with self.lock:
            self.durations.append(time.monotonic() - self.began.pop(index))
            self.keep(index, value)

    def fail(self, error: BaseException) -> None:
        """A group has failed and leaves: nothing more is handed out."""
        with self.lock:
            self.active -= 1
            self.record_failure(error)

    def record_failure(self, error: BaseException) -> None:
        """Remember the first failure."""
        if self.failure is None:
            self.failure, self.failed_at = error, time.monotonic()

    def _out_of_time(self) -> str | None:
        if self.limit is None or time.monotonic() + max(self.durations, default=0.0) < self.limit:
            return None
        return WALLTIME


def _work(group: Communicator, queue: TaskQueue, compute: Callable[[int], Any], stop: Stop) -> None:
    """Task after task, until the scheduler has none for this group."""
    while True:
        reason = next(filter(None, group.allgather(stop())), None)
        index = communicators.agree(group, lambda reason=reason: queue.next_task(reason))  # type: ignore[misc]
        if index is None:
            return
        value = compute(index)
        communicators.agree(group, lambda index=index, value=value: queue.submit(index, value))  # type: ignore[misc]


# ------------------------------------------------------------------------------------------- more than one group
@dataclass(frozen=True, eq=False)
class RemoteScheduler:
    """The scheduler as the leader of another group sees it."""

    comm: Communicator

    def next_task(self, reason: str | None) -> int | None:
        self._send("next_task", reason)
        index: int | None = self.comm.side.recv(source=0, tag=ANSWER)
        return index

    def submit(self, index: int, value: Any) -> None:
        self._send("submit", index, value)

    def fail(self, error: BaseException) -> None:
        self._send("fail", communicators.portable(error))

    def _send(self, *message: Any) -> None:
        self.comm.side.send((self.comm.rank, *message), dest=0, tag=QUESTION)


@dataclass(frozen=True, eq=False)
class PolledScheduler:
    """The scheduler as group 0 sees it where MPI allows no second thread: others are served between two tasks."""

    scheduler: Scheduler
    comm: Communicator

    def next_task(self, reason: str | None) -> int | None:
        _serve(self.scheduler, self.comm, wait=False)
        return self.scheduler.next_task(reason)

    def submit(self, index: int, value: Any) -> None:
        self.scheduler.submit(index, value)

    def fail(self, error: BaseException) -> None:
        self.scheduler.fail(error)


def _in_groups(
    comm: Communicator, scheduler: Scheduler, compute: Callable[[int, Communicator], Any], stop: Stop
) -> str | None:
    """Groups of neighbouring ranks at work; rank 0 serves them."""
    scheduler.keep = _with_warnings(scheduler.keep)
    group = comm.split(_color(comm.rank, comm.size, scheduler.active))
    error = None
    with _service(scheduler, comm) as mine:
        if group is not None:
            error = _worked(group, mine, lambda index: _recorded(lambda: compute(index, group)), stop)
    leads_a_failed_group = error is not None and group is not None and group.rank == 0
    seconds = 2 * communicators.patience(comm) if leads_a_failed_group else None
    if communicators.outcomes(comm, 0, seconds) is None and error is not None:
        communicators.end_all(comm, error)
    reason, failure = comm.bcast((scheduler.reason, scheduler.failure and communicators.portable(scheduler.failure)))
    if failure is not None:
        raise scheduler.failure or failure
    if group is not None:
        group.free()
    return reason


def _color(rank: int, size: int, groups: int) -> int | None:
    """The group of a rank; None for a rank 0 that only schedules."""
    if size % groups == 1:
        return None if rank == 0 else (rank - 1) * groups // (size - 1)
    return rank * groups // size


@contextmanager
def _service(scheduler: Scheduler, comm: Communicator) -> Iterator[TaskQueue]:
    """The scheduler as this rank sees it; on rank 0 the others are served until all have left."""
    if comm.rank != 0:
        yield RemoteScheduler(comm)
    elif communicators.threads_may_call():
        thread = threading.Thread(target=_serve, args=(scheduler, comm), name="scheduler", daemon=True)
        thread.start()
        yield scheduler
        thread.join()
    else:
        yield PolledScheduler(scheduler, comm)
        _serve(scheduler, comm)


def _worked(group: Communicator, queue: TaskQueue, compute: Callable[[int], Any], stop: Stop) -> BaseException | None:
    """Work; the error with which this group has failed, all of its ranks alike."""
    try:
        with communicators.together(group):
            _work(group, queue, compute, stop)
    except BaseException as error:
        if group.rank == 0:
            queue.fail(error)
        return error
    return None


def _serve(scheduler: Scheduler, comm: Communicator, *, wait: bool = True) -> None:
    """Answer the other groups until all have left; without `wait`, only those that have asked."""
    try:
        while scheduler.active > 0 or not wait:
            if message := comm.side.improbe(tag=QUESTION):
                _answer(scheduler, comm, *message.recv())
            elif not wait:
                return
            else:
                _end_if_overdue(scheduler, comm)
                time.sleep(TICK)
    except BaseException as error:  # without an answer the others would wait forever
        communicators.end_all(comm, error)


def _answer(scheduler: Scheduler, comm: Communicator, rank: int, kind: str, *message: Any) -> None:
    if kind == "next_task":
        comm.side.send(scheduler.next_task(*message), dest=rank, tag=ANSWER)
    elif kind == "fail":
        scheduler.fail(*message)
    else:
        try:
            scheduler.submit(*message)
        except BaseException as error:
            scheduler.record_failure(error)


def _end_if_overdue(scheduler: Scheduler, comm: Communicator) -> None:
    """A failure ends the run within seconds, whatever the other groups have in hand."""
    if scheduler.failure is not None and time.monotonic() > scheduler.failed_at + communicators.PATIENCE:
        communicators.end_all(comm, scheduler.failure)


def _recorded(function: Callable[[], Any]) -> tuple[Any, list[tuple[str, type[Warning]]]]:
    """A value and the warnings that came with it: rank 0 alone speaks."""
    with warnings.catch_warnings(record=True) as caught:
        value = function()
    return value, [(str(each.message), each.category) for each in caught]


def _with_warnings(keep: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
    """Warn on rank 0 of what another rank was warned of."""

    def warned(index: int, both: Any) -> None:
        value, caught = both
        for text, category in caught:
            warnings.warn(text, category, stacklevel=2)
        keep(index, value)

    return warned
