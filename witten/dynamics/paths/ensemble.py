"""Many paths of dX = -grad f dt + sigma sqrt(s) dW at once, on all threads and ranks.

A path is known by its number, and its noise by (seed, stream, number, step): which thread or rank moves it, and in how
many goes, changes no bit of it. What is counted are whole numbers, and what is averaged is first put in the order of
the paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from witten.dynamics.paths import schemes
from witten.dynamics.paths.gradient_kernels import block_gradient
from witten.dynamics.paths.noise_kernels import block_root, unit_root
from witten.dynamics.paths.philox import normals, words
from witten.errors import RequestError
from witten.noise import Diffusion
from witten.objectives import Objective
from witten.objectives.objective import CallableObjective
from witten.parallel.communicators import Communicator
from witten.request import checked_seed, positive

__all__ = ["CoreMap", "Motion", "Paths", "ResidenceTimes", "Steps", "affordable", "in_threads"]

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
# How many times longer than a compiled one a step takes with a gradient by NumPy, and by differences of f.
BY_NUMPY, BY_DIFFERENCES = 40, 1000
# Steps of paths that another thread is worth: it takes as long to begin as some thousand of them.
STEPS_OF_A_THREAD = 20_000


@dataclass(frozen=True)
class Motion:
    """How paths move: x <- x - h grad f(x) + sigma sqrt(s h) xi, or a scheme like it (see `steps`).

    Parameters
    ----------
    objective : f
    learning_rate : s
    dt : the time step h; with h = s, sigma = 1 and Euler-Maruyama this is SGD
    noise : sigma, the scale of the gradient noise
    scheme : 'euler-maruyama', 'leimkuhler-matthews' or 'heun'
    seed, stream : choose the random numbers
    diffusion : Sigma, noise with a covariance; with one that depends on x, 'euler-maruyama' alone
    """

    objective: Objective
    learning_rate: float
    dt: float
    noise: float = 1.0
    scheme: str = schemes.EULER_MARUYAMA
    seed: int = 0
    stream: int = 0
    diffusion: Diffusion | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "dt", "noise"):
            positive(name.replace("_", " "), getattr(self, name))
        if self.scheme not in schemes.SCHEMES:
            raise RequestError(f"unknown scheme {self.scheme[:60]!r}; use one of {', '.join(schemes.SCHEMES)}")
        checked_seed(self.seed)
        if self.scheme != schemes.EULER_MARUYAMA and self.diffusion is not None and not self.diffusion.is_constant:
            raise RequestError(
                f"scheme {self.scheme!r} is for noise that is the same everywhere, and this depends on x; use "
                f"{schemes.EULER_MARUYAMA}"
            )

    @property
    def dimension(self) -> int:
        """d."""
        return self.objective.dimension

    @property
    def amplitude(self) -> float:
        """sigma sqrt(s h), the standard deviation of the noise of a step."""
        return self.noise * math.sqrt(self.learning_rate * self.dt)

    @property
    def compiled_step(self) -> tuple[float, float, float, int]:
        """What the compiled loop takes: step size, amplitude, momentum and the number of the scheme."""
        return self.dt, self.amplitude, 0.0, schemes.SCHEMES.index(self.scheme)

    def moved(self, paths: range, x: Array, step: int) -> Array:
        """x after one step by NumPy, shape (d, n): for functions that are not compiled."""
        d, h, f = x.shape[0], self.dt, self.objective

        def noise(k: int) -> Array:
            xi = self.amplitude * normals(self.seed, paths, d, first=k * d, stream=self.stream)
            return xi if self.diffusion is None else np.einsum("ijn,jn->in", self.diffusion.root(x), xi)

        with np.errstate(all="ignore"):
            forward = x - h * f.gradient(x)
            if self.scheme == schemes.LEIMKUHLER_MATTHEWS:
                return np.asarray(forward + 0.5 * (noise(step) + noise(step + 1)))
            xi = noise(step)
            if self.scheme == schemes.EULER_MARUYAMA:
                return np.asarray(forward + xi)
            return np.asarray(x - 0.5 * h * (f.gradient(x) + f.gradient(forward + xi)) + xi)


@dataclass(frozen=True, eq=False)
class CoreMap:
    """Where a path counts as inside a well: ellipsoids (x - c)^T M (x - c) <= 1, centres (m, d) and M (m, d, d); or a
    label 1, ..., m for each cell of a grid, 0 elsewhere. With momentum it counts where the square of its last step is
    at most `slow` (m,), which is empty otherwise."""

    count: int
    low: Array
    scale: Array
    shape: Counts
    labels: NDArray[np.int16]
    centres: Array
    metrics: Array
    slow: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def on_grid(cls, low: Array, spacing: Array, labels: NDArray[np.int16]) -> CoreMap:
        """Labels of the cells of a grid that starts at `low`, shape (n_1, ..., n_d)."""
        shape = np.array(labels.shape, dtype=np.int64)
        flat = np.ascontiguousarray(labels, dtype=np.int16).ravel()
        d = labels.ndim
        return cls(
            int(labels.max()), np.array(low, float), 1.0 / spacing, shape, flat, np.zeros((0, d)), np.zeros((0, d, d))
        )

    @classmethod
    def within(cls, centres: Array, metrics: Array) -> CoreMap:
        """Ellipsoids, centres (m, d) and M (m, d, d)."""
        m, d = centres.shape
        nothing, zeros = np.zeros(0, dtype=np.int16), np.zeros(d, dtype=np.int64)
        return cls(m, np.zeros(d), np.ones(d), zeros, nothing, *map(np.ascontiguousarray, (centres, metrics)))

    @classmethod
    def none(cls, dimension: int) -> CoreMap:
        """No well is watched."""
        return cls.within(np.zeros((0, dimension)), np.zeros((0, dimension, dimension)))

    def as_arguments(self) -> tuple[Array, Array, Counts, NDArray[np.int16], Array, Array, Array]:
        """As the kernels of `schemes` take them."""
        return self.low, self.scale, self.shape, self.labels, self.centres, self.metrics, self.slow


@dataclass(frozen=True, eq=False)
class ResidenceTimes:
    """How long paths stayed with the cores of m wells, counted in observations: the core last seen is a path's home.

    Attributes
    ----------
    resided : (m,) observations of paths whose home is i
    moved : (m, m) times that a path with home i was seen in core j
    transit : (m, m) observations on the way there, after the last at home and before that in j
    """

    resided: Counts
    moved: Counts
    transit: Counts


class Steps(Protocol):
    """What a motion by NumPy offers: a step of consecutive paths."""

    @property
    def dimension(self) -> int: ...

    @property
    def dt(self) -> float: ...

    def moved(self, paths: range, x: Array, step: int) -> Array: ...


def affordable(motion: Steps, steps: int) -> int:
    """As many steps as take about the time of so many compiled ones."""
    if not isinstance(motion, Motion):
        return steps // BY_NUMPY
    if isinstance(motion.objective, CallableObjective):
        return steps // (BY_NUMPY if motion.objective.given[1] else BY_DIFFERENCES)
    return steps


class Paths:
    """Paths of a motion from given points: those of this rank, and collective methods that speak of all.

    Parameters
    ----------
    motion : how they move
    points : (d, n) where all of them start, the same on every rank
    comm : the ranks that share them
    cores : the wells that are watched
    home : the core that paths count as coming from, of all or (n,); -1 for none, before one has been seen
    first : the number of the first of them
    """

    def __init__(
        self,
        motion: Steps,
        points: Array,
        *,
        comm: Communicator | None = None,
        cores: CoreMap | None = None,
        home: int | Counts = -1,
        first: int = 0,
    ) -> None:
        self.motion = motion
        self.comm = comm or Communicator()
        self.cores = cores or CoreMap.none(motion.dimension)
        self.count = points.shape[1]
        self.step = 0
        begin, end = _share(self.count, self.comm.rank, self.comm.size)
        self.first = first + begin
        self.x = np.array(points[:, begin:end], dtype=float, order="C")
        m, own = self.cores.count, self.x.shape[1]
        blocks = own // schemes.WIDTH_OF_LONG + 1
        homes = np.broadcast_to(home, self.count)[begin:end]
        self._state = np.vstack([homes, np.zeros(own, dtype=np.int64)]).astype(np.int64)
        self._counts = tuple(np.zeros((blocks, *shape), dtype=np.int64) for shape in ((m,), (m, m), (m, m)))

    @property
    def time(self) -> float:
        """t = h times the number of steps done."""
        return self.step * self.motion.dt

    def advance(self, count: int) -> None:
        """`count` more steps of every path."""
        self._walk(count, 1, np.empty((0, 0, 0)), self.cores.none(self.x.shape[0]))

    def record(self, count: int, every: int) -> Array:
        """The points of this rank's paths after `every`, 2 * `every`, ... more steps, shape (count, d, own)."""
        snapshots = np.empty((count, *self.x.shape))
        self._walk(every, count, snapshots, self.cores.none(self.x.shape[0]))
        return snapshots

    def watch(self, count: int, every: int) -> None:
        """`count` observations of the cores, one after each `every` steps."""
        self._walk(every, count, np.empty((0, 0, 0)), self.cores)

    def forget(self) -> None:
        """Count from here; where paths come from stays known."""
        for counts in self._counts:
            counts[...] = 0

    def gathered(self, values: Array | None = None) -> Array:
        """The points of all paths (d, n), or what `record` gave (count, d, n), in the order of the paths."""
        return np.concatenate(self.comm.allgather(self.x if values is None else values), axis=-1)

    def residence_times(self) -> ResidenceTimes:
        """What all paths have done while they were watched."""
        return ResidenceTimes(*(self.comm.allreduce(each.sum(axis=0)) for each in self._counts))

    def of_home(self, home: int) -> NDArray[np.bool_]:
        """Which of all paths have last been seen in a core and are not lost, shape (n,)."""
        return self.gathered((self._state[0] == home) & (np.abs(self.x) < schemes.FAR).all(axis=0)).astype(bool)

    @property
    def diverged(self) -> int:
        """Paths of all ranks that have left for infinity."""
        return int(self.comm.allreduce(int(np.count_nonzero(~(np.abs(self.x) < schemes.FAR).all(axis=0)))))

    def _walk(self, every: int, chunks: int, snapshots: Array, cores: CoreMap) -> None:
        motion = self.motion
        if not isinstance(motion, Motion) or motion.objective.formula is None:
            self._walk_callable(every, chunks, snapshots, cores)
        elif self.x.size:
            self._walk_compiled(motion, every, chunks, snapshots, cores)
        self.step += every * chunks

    def _walk_compiled(self, motion: Motion, every: int, chunks: int, snapshots: Array, cores: CoreMap) -> None:
        gradient, walk = block_gradient(motion.objective), schemes.walker()
        coloured = motion.diffusion is not None
        root = unit_root if motion.diffusion is None else block_root(motion.diffusion)

        def some(first: int, last: int) -> None:
            walk(
                gradient, root, self.x, first, last, *words(motion.seed, motion.stream, self.first), self.step, every,
                chunks, *motion.compiled_step, coloured, snapshots,
                *cores.as_arguments(), self._state, *self._counts,
            )  # fmt: skip

        threads = min(numba.get_num_threads(), 1 + self.x.shape[1] * every * chunks // STEPS_OF_A_THREAD)
        in_threads(some, list(_slices(self.x.shape[1], threads)))

    def _walk_callable(self, every: int, chunks: int, snapshots: Array, cores: CoreMap) -> None:
        """The same steps by NumPy, for a gradient that is a Python function."""
        d, own = self.x.shape
        move = partial(self.motion.moved, range(self.first, self.first + own))
        for chunk in range(chunks):
            for k in range(self.step + chunk * every, self.step + (chunk + 1) * every):
                self.x = move(self.x, k)
            if snapshots.size:
                snapshots[chunk] = self.x
            if cores.count:
                schemes.observe(self.x, *cores.as_arguments(), self._state, *self._counts)


def _share(count: int, rank: int, size: int) -> tuple[int, int]:
    """The paths of a rank: whole vector blocks where there are enough of them."""
    blocks = -(-count // schemes.WIDTH)
    return min(blocks * rank // size * schemes.WIDTH, count), min(blocks * (rank + 1) // size * schemes.WIDTH, count)


def _slices(count: int, parts: int) -> Iterator[tuple[int, int]]:
    """(first, last) of the paths of each thread."""
    for part in range(parts):
        first, last = _share(count, part, parts)
        if last > first:
            yield first, last


def in_threads(function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
    """What a function that gives up the interpreter's lock returns for each tuple of arguments, on threads."""
    if len(calls) == 1:
        return [function(*calls[0])]
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda arguments: function(*arguments), calls))
