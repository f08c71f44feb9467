"""A learning rate that changes with the step: a value that the chain, the SDE, SGD and plain descent all take."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError
from witten.number_format import as_number

__all__ = ["HOW_TO_WRITE", "Run", "Schedule", "Stage", "Stop"]

Array = NDArray[np.float64]
# Steps of a schedule beyond which it is refused: every step has its own number.
MOST_STEPS = 20_000_000
HOW_TO_WRITE = (
    "write stages LEARNING_RATE:STEPS (0.1:500,0.05:500), cosine:S:STEPS, poly:S:STEPS:POWER, log:C:STEPS or "
    "step:S:STEPS:FACTOR:EVERY (divided by FACTOR, 2 for a half), each with :flow at its end for continuous time, and "
    "at the end of all of them 'until risk<E' or 'until loss<E'"
)


class Run(NamedTuple):
    """Steps of one learning rate in a row; in continuous time, where `flow`, for as long as these steps take."""

    learning_rate: float
    steps: int
    flow: bool

    @property
    def time(self) -> float:
        """t = s k."""
        return self.learning_rate * self.steps


@dataclass(frozen=True)
class Stage:
    """One stage of a schedule.

    Parameters
    ----------
    kind : 'constant', 'cosine', 'poly', 'log' or 'step'
    learning_rate : s of the first step; for 'log' the constant C
    steps : how many
    parameters : of the kind: POWER; FACTOR, above 1, by which s is divided EVERY so many steps
    flow : continuous time: the SDE, or the gradient flow, for the time that the steps take
    """

    kind: str
    learning_rate: float
    steps: int
    parameters: tuple[float, ...] = ()
    flow: bool = False

    def __post_init__(self) -> None:
        if self.kind not in LAWS:
            raise RequestError(f"unknown kind of schedule {self.kind[:40]!r}; {HOW_TO_WRITE}")
        _positive("learning rate" if self.kind != "log" else "constant", self.learning_rate)
        if not 1 <= self.steps <= MOST_STEPS:
            raise RequestError(f"a stage must have 1 to {MOST_STEPS} steps, got {self.steps}")
        names = LAWS[self.kind].parameters
        if len(self.parameters) != len(names):
            wanted = f"{len(names)} ({', '.join(names)})" if names else "none"
            raise RequestError(f"{self.kind}: got {len(self.parameters)} parameters, it takes {wanted}")
        for name, value in zip(names, self.parameters, strict=True):
            _positive(name, value)
            if name == "factor" and value <= 1:
                half = value if value < 1 else 0.5
                raise RequestError(
                    f"step: the learning rate is divided by the factor, which must be above 1, got {_short(value)}; "
                    f"write {1 / half:.6g} for a decay to {half:.6g} of it"
                )

    @property
    def learning_rates(self) -> Array:
        """s_k, k = 0, ..., steps - 1."""
        k = np.arange(self.steps, dtype=float)
        return LAWS[self.kind].law(self.learning_rate, k, self.steps, *self.parameters)

    @property
    def text(self) -> str:
        """What `Schedule.parse` reads."""
        words = [] if self.kind == "constant" else [self.kind]
        words += [_short(self.learning_rate), str(self.steps), *map(_short, self.parameters)]
        return ":".join(words + ["flow"] * self.flow)


class _Law(NamedTuple):
    law: Callable[..., Array]
    parameters: tuple[str, ...]


def _constant(s: float, k: Array, n: int) -> Array:
    return np.full(k.size, s)


def _cosine(s: float, k: Array, n: int) -> Array:
    """(s/2)(1 + cos(pi k/n))."""
    return 0.5 * s * (1.0 + np.cos(np.pi * k / n))


def _polynomial(s: float, k: Array, n: int, power: float) -> Array:
    """s/(1 + k)^power."""
    return s / (1.0 + k) ** power


def _logarithmic(c: float, k: Array, n: int) -> Array:
    """c/log(2 + k), the classical law of annealing, which needs c >= 2H to be sure of the minimum."""
    return c / np.log(2.0 + k)


def _decay(s: float, k: Array, n: int, factor: float, every: float) -> Array:
    """s/factor^floor(k/every)."""
    return s / factor ** np.floor(k / every)


LAWS: dict[str, _Law] = {
    "constant": _Law(_constant, ()),
    "cosine": _Law(_cosine, ()),
    "poly": _Law(_polynomial, ("power",)),
    "log": _Law(_logarithmic, ()),
    "step": _Law(_decay, ("factor", "every")),
}


@dataclass(frozen=True)
class Stop:
    """Stop as soon as a quantity is below a bound: `risk` is E f - min f, `loss` the value of f on one run."""

    quantity: str
    below: float

    def __post_init__(self) -> None:
        if self.quantity not in ("risk", "loss"):
            raise RequestError(f"a schedule stops by risk or by loss, got {self.quantity[:40]!r}; write 'until risk<E'")
        if not math.isfinite(self.below):
            raise RequestError(f"the bound on the {self.quantity} must be finite, got {self.below}")
        if self.quantity == "risk" and self.below <= 0:
            raise RequestError(f"the risk is never below 0, and {self.text!r} never stops; give a bound above 0")

    @property
    def text(self) -> str:
        return f"until {self.quantity}<{_short(self.below)}"


@dataclass(frozen=True)
class Schedule:
    """Stages one after the other, and perhaps a rule to stop before their end.

    Made by `parse`, `constant`, `piecewise`, `cosine`, `polynomial`, `logarithmic`, `step_decay`; joined by `+`.

    >>> schedule = witten.Schedule.parse("0.1:500,0.05:500")
    >>> schedule.steps
    1000
    """

    stages: tuple[Stage, ...]
    stop: Stop | None = None

    def __post_init__(self) -> None:
        if not self.stages:
            raise RequestError(f"a schedule needs a stage; {HOW_TO_WRITE}")
        if self.steps > MOST_STEPS:
            raise RequestError(f"a schedule of {self.steps} steps is too long; give at most {MOST_STEPS}")

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """The schedule that a text describes, as in `0.1:500,0.05:500` or `cosine:0.1:1000 until risk<0.01`.

        Raises
        ------
        RequestError
            for anything else: what was given, what is wrong, how to write it.
        """
        body, until, bound = text.partition("until")
        stages = tuple(_parse_stage(word.strip(), text) for word in body.split(","))
        return cls(stages, _parse_stop(bound.strip(), text) if until else None)

    @classmethod
    def of(cls, schedule: Schedule | str) -> Schedule:
        """A schedule, or the text of one."""
        return schedule if isinstance(schedule, Schedule) else cls.parse(schedule)

    @classmethod
    def constant(cls, learning_rate: float, steps: int) -> Schedule:
        """s for so many steps."""
        return cls((Stage("constant", float(learning_rate), int(steps)),))

    @classmethod
    def piecewise(cls, stages: Iterable[tuple[float, int]]) -> Schedule:
        """(learning rate, steps) one after the other."""
        return cls(tuple(Stage("constant", float(s), int(n)) for s, n in stages))

    @classmethod
    def cosine(cls, learning_rate: float, steps: int) -> Schedule:
        """(s/2)(1 + cos(pi k/n))."""
        return cls((Stage("cosine", float(learning_rate), int(steps)),))

    @classmethod
    def polynomial(cls, learning_rate: float, steps: int, power: float = 1.0) -> Schedule:
        """s/(1 + k)^power."""
        return cls((Stage("poly", float(learning_rate), int(steps), (float(power),)),))

    @classmethod
    def logarithmic(cls, constant: float, steps: int) -> Schedule:
        """C/log(2 + k): annealing; C = 2H, with H the barrier, is its classical constant."""
        return cls((Stage("log", float(constant), int(steps)),))

    @classmethod
    def step_decay(cls, learning_rate: float, steps: int, factor: float = 10.0, every: int = 1000) -> Schedule:
        """s divided by the factor after every so many steps."""
        return cls((Stage("step", float(learning_rate), int(steps), (float(factor), float(every))),))

    @property
    def steps(self) -> int:
        """How many there are, unless a rule stops them."""
        return sum(stage.steps for stage in self.stages)

    @cached_property
    def learning_rates(self) -> Array:
        """s_k of step k, shape (steps,)."""
        return np.concatenate([stage.learning_rates for stage in self.stages])

    @cached_property
    def times(self) -> Array:
        """t_k = s_0 + ... + s_{k-1}, shape (steps + 1,)."""
        return np.append(0.0, np.cumsum(self.learning_rates))

    @property
    def text(self) -> str:
        """What `parse` reads."""
        words = ",".join(stage.text for stage in self.stages)
        return words if self.stop is None else f"{words} {self.stop.text}"

    def runs(self, steps: int | None = None) -> Iterator[Run]:
        """Steps of equal learning rate put together, of the first so many steps."""
        left = self.steps if steps is None else steps
        for stage in self.stages:
            s = stage.learning_rates[:left]
            if not s.size:
                return
            starts = np.flatnonzero(np.append(True, s[1:] != s[:-1]))
            for first, last in zip(starts, np.append(starts[1:], s.size), strict=True):
                yield Run(float(s[first]), int(last - first), stage.flow)
            left -= s.size

    def in_continuous_time(self) -> Schedule:
        """The same times and learning rates, of the SDE or the gradient flow."""
        return replace(self, stages=tuple(replace(stage, flow=True) for stage in self.stages))

    def until(self, stop: Stop) -> Schedule:
        """The same schedule, stopped early."""
        return replace(self, stop=stop)

    def descend(self, gradient: Callable[[Array], ArrayLike], start: ArrayLike) -> Array:
        """The points of plain descent x+ = x - s_k grad f(x), shape (steps + 1, d).

        Raises
        ------
        RequestError
            for a stage in continuous time.
        """
        if any(stage.flow for stage in self.stages):
            raise RequestError("a stage in continuous time has no steps of descent; leave :flow away")
        x = np.atleast_1d(np.asarray(start, dtype=float))
        out = np.empty((self.steps + 1, x.size))
        out[0] = x
        for k, s in enumerate(self.learning_rates.tolist()):
            out[k + 1] = out[k] - s * np.asarray(gradient(out[k]))
        return out

    def __add__(self, other: Schedule) -> Schedule:
        if self.stop is not None:
            raise RequestError(f"the schedule {self.text!r} stops by a rule; nothing can follow it")
        return Schedule(self.stages + other.stages, other.stop)


def _parse_stage(word: str, text: str) -> Stage:
    pieces = [piece.strip() for piece in word.split(":")]
    flow = pieces[-1] == "flow"
    pieces = pieces[:-1] if flow else pieces
    named = bool(pieces) and pieces[0] in LAWS and pieces[0] != "constant"
    kind, numbers = (pieces[0], pieces[1:]) if named else ("constant", pieces)
    if not named and pieces and re.fullmatch(r"[A-Za-z]+", pieces[0]):
        raise RequestError(f"schedule {_quoted(text)}: {_quoted(pieces[0])} is not known; {HOW_TO_WRITE}")
    if len(numbers) < 2:
        raise RequestError(f"schedule {_quoted(text)}: {_quoted(word)} has no number of steps; {HOW_TO_WRITE}")
    values = [_number(piece, text) for piece in numbers]
    if values[1] != int(values[1]):
        raise RequestError(f"schedule {_quoted(text)}: steps must be a whole number, got {numbers[1]}")
    return Stage(kind, values[0], int(values[1]), tuple(values[2:]), flow)


def _parse_stop(words: str, text: str) -> Stop:
    quantity, less, bound = words.partition("<")
    if not less:
        raise RequestError(f"schedule {_quoted(text)}: cannot read 'until {words[:40]}'; write 'until risk<0.01'")
    return Stop(quantity.strip(), _number(bound.strip(), text))


def _number(word: str, text: str) -> float:
    try:
        value = as_number(word, float)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RequestError(f"schedule {_quoted(text)}: {_quoted(word)} is not a number; {HOW_TO_WRITE}")
    return value


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise RequestError(f"{name} of a schedule must be positive, got {_short(value)}")


def _short(value: float) -> str:
    """The shortest text that reads back to the same number."""
    return repr(value).removesuffix(".0")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

