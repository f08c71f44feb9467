"""What an explanation comes to, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.explanation.explanation import CONTINUOUS, RELAXATION, TRANSITION, Explanation, Passage
from witten.number_format import readable, scientific, with_log_error

if TYPE_CHECKING:
    from witten.explanation.explanation import Relaxation

__all__ = [
    "FLAT", "LINEAR", "NOT_RESOLVED", "WIDEST",
    "in_words", "joined", "place", "ratio", "with_bar", "with_bar_of_log",
]  # fmt: skip

# Of all mass that a mode moves a well with less than this part is a bystander.
BYSTANDER = 0.05
# A logarithm known less well than this, a factor of two, is not resolved; as rates of the law.
WIDEST = math.log(2)
NOT_RESOLVED = "not resolved"
# A mode of which less than this part of the variance is linear in x has no one direction.
LINEAR = 0.5
# A curvature that is this part of the rate is none.
FLAT = 1e-6


def in_words(found: Explanation) -> tuple[str, ...]:
    """Sentences: what the slowest mode is, what limits it, how long that takes, what another learning rate would do."""
    kinds = {TRANSITION: _transition, RELAXATION: _relaxation, CONTINUOUS: _continuous}
    return tuple(f"{each}." for each in (*kinds.get(found.kind, _unknown)(found), *_changes(found)))


def _transition(found: Explanation) -> Iterator[str]:
    mode = found.mode
    how_many = "slowest mode" if mode.multiplicity == 1 else f"{mode.multiplicity} slowest modes"
    verb = "is" if mode.multiplicity == 1 else "are"
    yield f"The {how_many} {verb} a transition: {_exchange(found)}"
    if mode.multiplicity > 1:
        yield (
            f"Their rates agree within their bars, so that only the span of the {mode.multiplicity} modes is fixed; "
            "what follows is about one of the ways that they take"
        )
    if math.isfinite(mode.within):
        yield f"Inside wells it is flat: {_percent(mode.within)} of its variance is there{_separation(found)}"
    if found.passage is not None:
        yield from _limit(found, found.passage)


def _exchange(found: Explanation) -> str:
    """Which wells."""
    moved, wells = found.mode.moved, range(len(found.wells))
    if moved.size != len(found.wells) or found.mode.multiplicity > 1:
        if found.mode.multiplicity > 1 or found.passage is None:
            return f"the wells exchange mass: {_named(found, wells)}"
        low, high = (_named(found, (k,)) for k in (found.passage.end, found.passage.start))
        return f"wells exchange mass: {low} with {high}"
    gains, loses = (np.flatnonzero(sign * moved > BYSTANDER).tolist() for sign in (1, -1))
    first, second = sorted((gains, loses), key=min)
    rest = [k for k in wells if k not in gains and k not in loses]
    aside = f"; {_named(found, rest)} {'takes' if len(rest) == 1 else 'take'} no part" if rest else ""
    return f"wells exchange mass: {_named(found, first)} with {_named(found, second)}{aside}"


def _named(found: Explanation, wells: Sequence[int]) -> str:
    return joined([f"{found.name(k)} at {place(found.wells[k].x, found.extent)}" for k in wells])


def _separation(found: Explanation) -> str:
    """By how much the next mode is faster."""
    best, following = found.spectral, found.mode.log_next
    if best is None or not math.isfinite(following):
        return ""
    error = found.mode.log_next_error + best.log_error
    return f", and the next mode is {with_bar_of_log(following - best.log_rate, error)} times faster"


def _limit(found: Explanation, way: Passage) -> Iterator[str]:
    start, end, s = found.wells[way.start], found.wells[way.end], found.s
    up, down = way.saddle.value - start.value, way.saddle.value - end.value
    rough = way.saddle.error > 1e-6 * up
    heights = [with_bar(h, way.saddle.error) if rough else f"{h:.6g}" for h in (up, down)]
    smooth = bool(np.isfinite(way.saddle.curvatures).all())
    curvature = f", its negative curvature {way.saddle.curvatures[0]:.6g}" if smooth else ""
    yield (
        f"What limits it is the saddle at {place(way.saddle.x, found.extent)}: {heights[0]} above "
        f"{found.name(way.start)}, that is {up / s:.3g} s, and {heights[1]} = {down / s:.3g} s above "
        f"{found.name(way.end)}{curvature}"
    )
    times = {(t.start, t.end): t for t in reversed(found.times) if t.log_error <= WIDEST}
    for ends in ((way.start, way.end), (way.end, way.start)):
        if ends in times:
            log, error = times[ends].log_time, times[ends].log_error
            steps = with_bar_of_log(log - math.log(found.learning_rate), error)
            yield (
                f"From {found.name(ends[0])} to {found.name(ends[1])} it takes {steps} steps on average, "
                f"t = {with_bar_of_log(log, error)}"
            )
    yield from _half(found, way)


def _half(found: Explanation, way: Passage) -> Iterator[str]:
    """Where paths turn either way, beside the saddle."""
    if not math.isfinite(way.half):
        return
    away, error = way.half - way.saddle_at, way.half_error
    probability = with_bar(way.q_at_saddle, way.q_at_saddle_error)
    chance = f"from the saddle a path comes to {found.name(way.end)} first with probability {probability}"
    if abs(away) <= error:
        yield f"The committor is one half at the saddle, as far as its error of {error:.2g} tells: {chance}"
        return
    side = "beyond" if away > 0 else "before"
    yield (
        f"The committor is one half {with_bar(abs(away), error)} {side} the saddle on the way from "
        f"{found.name(way.start)} to {found.name(way.end)}, since f falls off unevenly there or goes on over other "
        f"passes: {chance}"
    )


def _relaxation(found: Explanation) -> Iterator[str]:
    if len(found.wells) > 1 and (highest := found.barrier) is not None:
        yield (
            f"The slowest mode is no passage between the {len(found.wells)} wells, although the shallower ones are up "
            f"to {highest:.6g} = {highest / found.s:.3g} s deep: {_percent(found.mode.within)} of its variance "
            f"lies inside wells. {_direction(found)}"
        )
    elif found.minima > 1:
        yield (
            f"There is no separation of scales: f has {found.minima} minima, but {_highest(found)} the noise carries "
            f"paths over them, and they are one well. {_direction(found)}"
        )
    else:
        yield f"There is one well and no barrier. {_direction(found)}"
    if math.isfinite(found.mode.log_next) and found.spectral is not None:
        error = found.mode.log_next_error + found.spectral.log_error
        yield f"The next mode is {with_bar_of_log(found.mode.log_next - found.spectral.log_rate, error)} times faster"


def _highest(found: Explanation) -> str:
    h = found.barrier
    return "none is deeper than s:" if h is None else f"no barrier is higher than {h:.6g} = {h / found.s:.3g} s:"


def _direction(found: Explanation) -> str:
    along = found.mode.relaxation
    if along is None:
        softest = _softest(found)
        return "The slowest mode is relaxation within it" + (f"; {softest}" if softest else "")
    if found.mode.multiplicity > 1:
        return (
            f"{found.mode.multiplicity} rates agree within their bars: it relaxes equally slowly along "
            f"{found.mode.multiplicity} directions, {place(along.direction)} one of them{_curvature(found, along)}"
        )
    if along.linear < LINEAR:
        return (
            f"The slowest mode is relaxation within it, along no one direction: {_percent(along.linear)} of its "
            f"variance is linear in x. It lives around {place(along.centre)}, where f is {along.height:.3g} = "
            f"{along.height / found.s:.3g} s above its minimum: paths seldom come there, and leave slowly as from a "
            "plateau"
        )
    where = "" if along.direction.size == 1 else f" along {place(along.direction)}"
    return f"The slowest mode is relaxation{where}{_curvature(found, along)}"


def _curvature(found: Explanation, along: Relaxation) -> str:
    """The curvature of f that way, beside the rate."""
    if found.spectral is None:
        return ""
    if not math.isfinite(along.curvature):
        return ", where the bottom is a kink and has no curvature"
    if not along.curvature > FLAT * math.exp(found.spectral.log_rate):
        return ", where f is flat at the bottom"
    times = with_bar_of_log(found.spectral.log_rate - math.log(along.curvature), found.spectral.log_error)
    return f", where f has the curvature {along.curvature:.6g} at the bottom; the rate is {times} times that"


def _softest(found: Explanation) -> str:
    """In many dimensions: what the rate tends to."""
    if found.spectral is not None or not found.wells or not np.isfinite(found.wells[0].curvatures).all():
        return ""
    smallest = found.wells[0].curvatures[0]
    return f"it is not computed here, and tends to the smallest curvature at the bottom, {smallest:.8g}, as s -> 0"


def _continuous(found: Explanation) -> Iterator[str]:
    assert found.spectral is not None
    rate = with_bar_of_log(found.spectral.log_rate, found.spectral.log_error)
    slope = with_bar_of_log(0.5 * (math.log(2 * found.s) + found.spectral.log_rate), 0.5 * found.spectral.log_error)
    yield (
        f"There is no slowest mode: from rate {rate} on the spectrum is continuous, and there is no eigenvalue below. "
        f"Far out f rises like a plateau that is tilted, as by a slope of {slope}, and no faster: the further out a "
        "path starts, the longer it takes to return"
    )


def _unknown(found: Explanation) -> Iterator[str]:
    yield "What the slowest mode is, nothing here tells: see what is missing, and why"


def _changes(found: Explanation) -> Iterator[str]:
    """Half and twice the learning rate, by the best route that knows both."""
    parts = []
    for change, words in ((found.halved, "half"), (found.doubled, "twice")):
        for route in ("spectral", "law"):
            now, then = getattr(found, route), getattr(change, route)
            if now is not None and then is not None and max(now.log_error, then.log_error) <= WIDEST:
                factor, error = then.log_rate - now.log_rate, then.log_error + now.log_error
                steps = -factor - math.log(change.learning_rate / found.learning_rate)
                parts.append(
                    f"at {words} the learning rate the rate is {with_bar_of_log(factor, error)} times what it is, and "
                    f"{with_bar_of_log(steps, error)} times as many steps are needed"
                )
                break
    if parts:
        yield f"{'; '.join(parts)}"[0].upper() + "; ".join(parts)[1:]


def joined(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def place(x: NDArray[np.float64], extent: float = 0.0) -> str:
    """A point, or curvatures: (-1.0467, 0.5), six of them at most; what rounding leaves of
    zero, beside the extent that others have, is zero."""
    if not np.isfinite(x).all():
        return "none: a kink"
    small = 1e-12 * max(float(abs(x).max(initial=0.0)), extent)
    shown = ", ".join(f"{0.0 if abs(v) <= max(small, 1e-25) else v:.6g}" for v in x[:6].tolist())
    return f"({shown}, ...)" if x.size > 6 else f"({shown})"


def with_bar_of_log(log_value: float, log_error: float) -> str:
    """A positive number from its logarithm, with the error of its last digits in brackets."""
    return readable(with_log_error(log_value, log_error))


def ratio(log_value: float, digits: int = 3) -> str:
    """A positive number from its logarithm."""
    return readable(scientific(log_value, digits))


def with_bar(value: float, error: float) -> str:
    """A number of either sign with the error of its last digits in brackets; in plain notation where it is short."""
    if not error > 0 or not math.isfinite(error):
        return f"{value:.10g}"
    if value == 0 or abs(value) <= error:
        return f"0 +- {abs(value) + error:.2g}"
    text = readable(with_log_error(math.log(abs(value)), 0.0, error / abs(value)))
    return ("-" if value < 0 else "") + text


def _percent(part: float) -> str:
    return f"about {100 * part:.{2 if part < 0.1 else 3}g} %" if part > 1e-12 else "nothing"
