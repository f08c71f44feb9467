"""Tasks dealt to groups of ranks as these become free, until all are done or it is time to stop.

Rank 0 deals: a thread of its own answers the leaders of the other groups and takes in their results while the ranks of
group 0 compute. With one group nobody needs to be asked, and there is no thread.
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
# Seconds between two looks at the messages of other groups.
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

    Tasks are dealt in their order, each to the group that is free first. A rank that is one too many for groups of
    equal size deals and does not compute. Collective over `comm`; every rank gets the same answer.

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
    dealer = Dealer(deque(range(len(tasks))), lambda i, value: keep(tasks[i], value), stop, groups, limit)
    if groups == 1:
        with communicators.together(comm):
            _work(comm, dealer, lambda i: compute(tasks[i], comm), stop)
        return comm.bcast(dealer.reason)  # type: ignore[no-any-return]
    return _in_groups(comm, dealer, lambda i, group: compute(tasks[i], group), stop)


class Hands(Protocol):
    """What a group wants of the dealer."""

    def take(self, reason: str | None) -> int | None: ...
    def put(self, index: int, value: Any) -> None: ...
    def fail(self, error: BaseException) -> None: ...


@dataclass(eq=False)
class Dealer:
    """The tasks not yet dealt, on rank 0; its methods may be called by two threads."""

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

    def take(self, reason: str | None) -> int | None:
        """The next task for a group; None if it shall go home."""
        with self.lock:
            if self.pending and self.failure is None:
                self.reason = self.reason or reason or self.stop() or self._out_of_time()
            if not self.pending or self.failure is not None or self.reason is not None:
                self.active -= 1
                return None
            index = self.pending.popleft()
            self.began[index] = time.monotonic()
            return index

    def put(self, index: int, value: Any) -> None:
        """Take in a result."""
        with self.lock:
            self.durations.append(time.monotonic() - self.began.pop(index))
            self.keep(index, value)

    def fail(self, error: BaseException) -> None:
        """A group has failed and goes home: nothing more is dealt."""
        with self.lock:
            self.active -= 1
            self.mourn(error)

    def mourn(self, error: BaseException) -> None:
        """Remember the first failure."""
        if self.failure is None:
            self.failure, self.failed_at = error, time.monotonic()

    def _out_of_time(self) -> str | None:
        if self.limit is None or time.monotonic() + max(self.durations, default=0.0) < self.limit:
            return None
        return WALLTIME


def _work(group: Communicator, hands: Hands, compute: Callable[[int], Any], stop: Stop) -> None:
    """Task after task, until the dealer has none for this group."""
    while True:
        reason = next(filter(None, group.allgather(stop())), None)
        index = communicators.agree(group, lambda reason=reason: hands.take(reason))  # type: ignore[misc]
        if index is None:
            return
        value = compute(index)
        communicators.agree(group, lambda index=index, value=value: hands.put(index, value))  # type: ignore[misc]


# ------------------------------------------------------------------------------------------- more than one group
@dataclass(frozen=True, eq=False)
class Remote:
    """The dealer as the leader of another group sees it."""

    comm: Communicator

    def take(self, reason: str | None) -> int | None:
        self._tell("take", reason)
        index: int | None = self.comm.side.recv(source=0, tag=ANSWER)
        return index

    def put(self, index: int, value: Any) -> None:
        self._tell("put", index, value)

    def fail(self, error: BaseException) -> None:
        self._tell("fail", communicators.portable(error))

    def _tell(self, *message: Any) -> None:
        self.comm.side.send((self.comm.rank, *message), dest=0, tag=QUESTION)


@dataclass(frozen=True, eq=False)
class Attended:
    """The dealer as group 0 sees it where MPI allows no second thread: others are served between two tasks."""

    dealer: Dealer
    comm: Communicator

    def take(self, reason: str | None) -> int | None:
        _serve(self.dealer, self.comm, wait=False)
        return self.dealer.take(reason)

    def put(self, index: int, value: Any) -> None:
        self.dealer.put(index, value)

    def fail(self, error: BaseException) -> None:
        self.dealer.fail(error)


def _in_groups(
    comm: Communicator, dealer: Dealer, compute: Callable[[int, Communicator], Any], stop: Stop
) -> str | None:
    """Groups of neighbouring ranks at work, and rank 0 at their service."""
    dealer.keep = _with_warnings(dealer.keep)
    group = comm.split(_color(comm.rank, comm.size, dealer.active))
    error = None
    with _service(dealer, comm) as mine:
        if group is not None:
            error = _worked(group, mine, lambda index: _recorded(lambda: compute(index, group)), stop)
    hasty = error is not None and group is not None and group.rank == 0
    seconds = 2 * communicators.patience(comm) if hasty else None
    if communicators.outcomes(comm, 0, seconds) is None and error is not None:
        communicators.end_all(comm, error)
    reason, failure = comm.bcast((dealer.reason, dealer.failure and communicators.portable(dealer.failure)))
    if failure is not None:
        raise dealer.failure or failure
    if group is not None:
        group.free()
    return reason  # type: ignore[no-any-return]


def _color(rank: int, size: int, groups: int) -> int | None:
    """The group of a rank; None for a rank 0 that deals only."""
    if size % groups == 1:
        return None if rank == 0 else (rank - 1) * groups // (size - 1)
    return rank * groups // size


@contextmanager
def _service(dealer: Dealer, comm: Communicator) -> Iterator[Hands]:
    """The dealer as this rank sees it; on rank 0 the others are served until all have gone home."""
    if comm.rank != 0:
        yield Remote(comm)
    elif communicators.threads_may_call():
        thread = threading.Thread(target=_serve, args=(dealer, comm), name="dealer", daemon=True)
        thread.start()
        yield dealer
        thread.join()
    else:
        yield Attended(dealer, comm)
        _serve(dealer, comm)


def _worked(group: Communicator, hands: Hands, compute: Callable[[int], Any], stop: Stop) -> BaseException | None:
    """Work; the error with which this group has failed, all of its ranks alike."""
    try:
        with communicators.together(group):
            _work(group, hands, compute, stop)
    except BaseException as error:
        if group.rank == 0:
            hands.fail(error)
        return error
    return None


def _serve(dealer: Dealer, comm: Communicator, *, wait: bool = True) -> None:
    """Answer the other groups until all have gone home; without `wait`, only those that have asked."""
    try:
        while dealer.active > 0 or not wait:
            if message := comm.side.improbe(tag=QUESTION):
                _answer(dealer, comm, *message.recv())
            elif not wait:
                return
            else:
                _end_if_overdue(dealer, comm)
                time.sleep(TICK)
    except BaseException as error:  # without an answer the others would wait forever
        communicators.end_all(comm, error)


def _answer(dealer: Dealer, comm: Communicator, rank: int, kind: str, *message: Any) -> None:
    if kind == "take":
        comm.side.send(dealer.take(*message), dest=rank, tag=ANSWER)
    elif kind == "fail":
        dealer.fail(*message)
    else:
        try:
            dealer.put(*message)
        except BaseException as error:
            dealer.mourn(error)


def _end_if_overdue(dealer: Dealer, comm: Communicator) -> None:
    """A failure ends the run within seconds, whatever the other groups have in hand."""
    if dealer.failure is not None and time.monotonic() > dealer.failed_at + communicators.PATIENCE:
        communicators.end_all(comm, dealer.failure)


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
