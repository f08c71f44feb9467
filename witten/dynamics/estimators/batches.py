"""More paths than are held at once: batches one after another, of which only sums are kept.

What an estimator sees of independent paths is a sum over them, so that it can be added up batch by batch: the memory is
that of one, whatever the number of paths. Another round is one of new paths, since those of the last are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

from witten import stopwatch
from witten.dynamics.paths.ensemble import Motion, affordable
from witten.dynamics.request import Level, Stop
from witten.errors import ConvergenceError

__all__ = ["Batches", "are_many", "batch_size", "in_batches"]

# Paths and coordinates of a batch, and the fewest paths.
MOST_PATHS, MOST_COORDINATES, FEWEST = 2**14, 2**20, 2**12
# Steps of a round after which nobody waits for its end: a day or so of one core.
MOST_STEPS = 10_000_000_000_000


class Seen(Protocol):
    """What paths have shown, without the paths."""

    def __add__(self, other: Self) -> Self: ...

    @property
    def log_rate(self) -> tuple[float, float]: ...

    @property
    def later(self) -> tuple[float, float]: ...

    @property
    def remark(self) -> str: ...


class Batch[S: Seen](Level, Protocol):
    """A level whose paths are held."""

    @property
    def seen(self) -> S: ...


class Batches[S: Seen]:
    """A level of paths that are run batch by batch, each for one round.

    Parameters
    ----------
    start : the batch of the paths of some numbers, from where they start
    count : the paths of a round; those of later ones are numbered on
    size : the paths of a batch
    most_steps : of a round; one that would take more is refused then
    """

    seen: S

    def __init__(self, start: Callable[[range], Batch[S]], count: int, size: int, most_steps: float) -> None:
        self.start, self.count, self.size, self.most_steps = start, count, size, most_steps
        self.n_paths = self.n_steps = self.diverged = 0

    def more(self, stop: Stop = lambda: None) -> None:
        """One more round, or a part of it if it is stopped.

        Raises
        ------
        ConvergenceError
            if it would take days.
        """
        began = stopwatch.seconds()
        end = self.n_paths + self.count
        while self.n_paths < end:
            batch = self.start(range(self.n_paths, min(self.n_paths + self.size, end)))
            batch.more(stop)
            self.seen = self.seen + batch.seen if self.n_paths else batch.seen
            self.n_paths += batch.n_paths
            self.n_steps += batch.n_steps
            self.diverged += batch.diverged
            if self.n_paths == self.size:
                self._require_end(stopwatch.seconds() - began)
            if stop() is not None:
                return

    def _require_end(self, seconds: float) -> None:
        """ConvergenceError where a round is too long, judged by its first batch and how long that took."""
        times = self.count / self.size
        if self.n_steps * times > self.most_steps:
            raise ConvergenceError(
                f"{self.count} paths would take {self.n_steps * times:.1e} steps, about {seconds * times / 3600:.2g} "
                f"hours at the speed of the first {self.size}; ask for fewer paths, or more ranks"
            )

    @property
    def log_rate(self) -> tuple[float, float]:
        """log lambda and its standard deviation; (nan, inf) as long as nothing is known."""
        return self.seen.log_rate

    @property
    def later(self) -> tuple[float, float]:
        """The same from later times."""
        return self.seen.later

    @property
    def remark(self) -> str:
        """What the estimator says of itself."""
        return self.seen.remark


def batch_size(dimension: int) -> int:
    """How many paths in d dimensions are held at once."""
    return min(MOST_PATHS, max(FEWEST, MOST_COORDINATES // dimension))


def are_many(count: int, motion: Motion) -> bool:
    """Whether paths are run in batches."""
    return count > batch_size(motion.dimension)


def in_batches[S: Seen](start: Callable[[range], Batch[S]], count: int, motion: Motion) -> Batch[S] | Batches[S]:
    """`count` paths of a motion: all at once where they are not too many."""
    size = batch_size(motion.dimension)
    if not are_many(count, motion):
        return start(range(count))
    return Batches(start, count, size, affordable(motion, MOST_STEPS))
