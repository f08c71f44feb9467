"""A path between two minima of a loss of many parameters: a nudged elastic band, whose top is climbed to a saddle.

Descents from the saddle on either side make the path: f(saddle) is then its highest point, and gives an upper bound of
the barrier, since another path may be lower. Images are pulled along the tangent alone, pushed across it by
the gradient alone [Henkelman2000], and moved as particles that forget a speed against their force [Bitzek2006]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.models.derivatives import unit
from witten.models.model_loss import ModelLoss
from witten.models.transitions.stationary_points import Stationary, minimum_below, saddle_near

__all__ = ["Transition", "transition_path"]

Array = NDArray[np.float64]
# Images, steps of the band, and the part of its first force across itself at which its top is climbed from.
IMAGES, STEPS, RELAXED = 17, 400, 0.03
# Of springs, in units of the largest curvature; of particles: the first step of time in units of the longest, how it
# grows and shrinks, how much speed turns into the force's direction, after how many steps.
STIFF, SHORTEST, GROWS, SHRINKS, MIXING, PATIENT = 0.1, 0.1, 1.1, 0.5, 0.1, 5
# Points are one that are closer than this part of the distance between the minima.
SAME = 1e-3
# The first step off a saddle, in that distance; places in each step of a descent at which the loss is looked at.
OFF, LOOKS = 1e-3, np.linspace(0.25, 1.0, 4)
# Searches for saddles on either side of one; points of a descent that are kept.
PASSES, KEPT = 3, 60


@dataclass(frozen=True, eq=False)
class Transition:
    """From the minimum below one point to that below another.

    Attributes
    ----------
    start, end : the minima
    saddle : the highest point of the path, a saddle where the climb ended in one
    others : lower saddles on the way
    connects : whether descents from the saddles lead from one minimum to the other
    leaves_start : whether one from the highest saddle ends in the first minimum
    highest : the largest loss seen on the path
    images : points of the path, the minima first and last, (m, n); those of the band, where it does not connect
    losses : at the images, (m,)
    """

    start: Stationary
    end: Stationary
    saddle: Stationary
    others: tuple[Stationary, ...]
    connects: bool
    leaves_start: bool
    highest: float
    images: Array
    losses: Array

    @property
    def barrier(self) -> float:
        """The largest loss on the path less that of the first minimum: an upper bound of the barrier."""
        return self.highest - self.start.loss

    @property
    def distance(self) -> float:
        """|saddle - start|."""
        return float(np.linalg.norm(self.saddle.x - self.start.x))


@dataclass(frozen=True, eq=False)
class _Pass:
    """A saddle, the path (m, n) of the two descents from it, and the largest loss on that."""

    saddle: Stationary
    points: Array
    highest: float

    def turned(self, start: Array, end: Array) -> _Pass:
        """The same, from the minimum nearer to `start` to that nearer to `end`."""
        first, last = self.points[0], self.points[-1]
        as_it_is = _distance(first, start) + _distance(last, end)
        back = _distance(last, start) + _distance(first, end)
        return self if as_it_is <= back else _Pass(self.saddle, self.points[::-1], self.highest)


def transition_path(f: ModelLoss, x0: Array, x1: Array) -> Transition:
    """From the minimum below x0 (n,) to that below x1.

    Raises
    ------
    RequestError
        where both are the same, or the loss is not finite on the way.
    """
    start, end = minimum_below(f, x0), minimum_below(f, x1)
    length = float(np.linalg.norm(end.x - start.x))
    if length <= SAME * max(float(np.linalg.norm(x1 - x0)), np.finfo(float).tiny):
        raise RequestError("descent from both points ends in one minimum: there is no barrier; give another x1")
    sharpness = max(abs(each.spectrum.largest[0].value) for each in (start, end))
    images, losses = _band(f, start.x, end.x, sharpness)
    chain, joined = _passes(f, (start.x, end.x), (images, losses), sharpness, length)
    top = max(chain, key=lambda each: each.highest)
    if joined:
        images = np.concatenate([each.points for each in chain])
        losses = np.array([float(f.called("value", x)) for x in images])
    highest = max(top.highest, float(losses.max()))
    others = tuple(each.saddle for each in chain if each is not top)
    leaves = _distance(top.points[0], start.x) <= SAME * length
    return Transition(start, end, top.saddle, others, joined, leaves, highest, images, losses)


def _passes(
    f: ModelLoss,
    ends: tuple[Array, Array],
    band: tuple[Array, Array],
    sharpness: float,
    length: float,
    room: int = PASSES,
) -> tuple[list[_Pass], bool]:
    """Saddles from one end to the other, over the highest image first, and whether their descents join them."""
    found = _over(f, band, length).turned(*ends)
    near = found.points[0], found.points[-1]
    if found.saddle.index < 1 or _distance(*near) <= SAME * length:
        return [found], False
    sides: list[tuple[list[_Pass], bool]] = []
    for pair in ((ends[0], near[0]), (near[1], ends[1])):
        if _distance(*pair) <= SAME * length:
            sides.append(([], True))
        elif room > 1:
            sides.append(_passes(f, pair, _band(f, pair[0], pair[1], sharpness), sharpness, length, room - 1))
        else:
            sides.append(([], False))
    (before, first), (after, last) = sides
    return [*before, found, *after], first and last


def _distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b))


def _over(f: ModelLoss, band: tuple[Array, Array], length: float) -> _Pass:
    """The saddle above the highest image."""
    images, losses = band
    top = _top(losses)
    tangent = _tangents(images, losses)[top - 1]
    saddle = saddle_near(f, images[top], tangent, _distance(images[top + 1], images[top]))
    (one, high), (other, higher) = (
        _descent(f, saddle.x, sign * OFF * length * saddle.spectrum.lowest.vector) for sign in (1, -1)
    )
    return _Pass(saddle, np.concatenate([one[::-1], saddle.x[None], other]), max(saddle.loss, high, higher))


def _descent(f: ModelLoss, x: Array, step: Array) -> tuple[Array, float]:
    """Points (m, n) from x + step down to a minimum, and the largest loss seen on straight lines between these."""
    trail = _Trail([x + step], float(f.called("value", x + step)))

    def look(y: Array) -> None:
        here = trail.last
        trail.add(y.copy(), max(float(f.called("value", here + part * (y - here))) for part in LOOKS))

    look(minimum_below(f, x + step, look).x)
    return np.array([*trail.kept, trail.last]), trail.highest


class _Trail:
    """Points of a descent, ever fewer of them as they come, and the largest loss between them."""

    def __init__(self, points: list[Array], highest: float) -> None:
        self.kept, self.last, self.highest, self._count, self._every = points, points[-1], highest, 0, 1

    def add(self, x: Array, highest: float) -> None:
        self.last, self.highest, self._count = x, max(self.highest, highest), self._count + 1
        if self._count % self._every == 0:
            self.kept.append(x)
        if len(self.kept) > KEPT:
            self.kept, self._every = self.kept[::2], 2 * self._every


def _band(f: ModelLoss, a: Array, b: Array, sharpness: float) -> tuple[Array, Array]:
    """Images from a to b and their losses, relaxed until the highest is near a saddle."""
    images = a + (b - a) * np.linspace(0, 1, IMAGES)[:, None]
    losses, slopes = _evaluated(f, images)
    motion, spacing = _Motion(np.zeros_like(images[1:-1]), 1 / np.sqrt(sharpness)), np.linalg.norm(b - a) / IMAGES
    first = 0.0
    for _ in range(STEPS):
        force = _force(images, losses, slopes, STIFF * sharpness)
        top = float(np.linalg.norm(force[_top(losses) - 1]))
        first = max(first, top)
        if top <= RELAXED * first:
            break
        images = images.copy()
        images[1:-1] += motion.step(force, float(spacing))
        losses, slopes = _evaluated(f, images)
    return images, losses


def _top(losses: Array) -> int:
    """The highest image but the ends."""
    return int(np.argmax(losses[1:-1])) + 1


def _evaluated(f: ModelLoss, images: Array) -> tuple[Array, Array]:
    return np.array([float(f.called("value", x)) for x in images]), np.array([f.slope(x) for x in images])


def _tangents(images: Array, losses: Array) -> Array:
    """Unit vectors at the inner images towards the higher neighbour, or between both at a top or a bottom."""
    ahead, behind = np.diff(images, axis=0)[1:], np.diff(images, axis=0)[:-1]
    up, down = losses[2:] - losses[1:-1], losses[:-2] - losses[1:-1]
    most, least = np.maximum(abs(up), abs(down)), np.minimum(abs(up), abs(down))
    rising = losses[2:] > losses[:-2]
    mixed = np.where(rising, most, least)[:, None] * ahead + np.where(rising, least, most)[:, None] * behind
    monotone = (up > 0) != (down > 0)
    tangents = np.where(monotone[:, None], np.where(rising[:, None], ahead, behind), mixed)
    return np.array([unit(each) for each in tangents])


def _force(images: Array, losses: Array, slopes: Array, stiff: float) -> Array:
    """-grad f across the band and springs along it, at the inner images; the top climbs along the band."""
    tangents = _tangents(images, losses)
    along = np.einsum("kn,kn->k", slopes[1:-1], tangents)
    lengths = np.linalg.norm(np.diff(images, axis=0), axis=1)
    pull = stiff * np.diff(lengths) + along
    top = _top(losses) - 1
    pull[top] = 2 * along[top]
    return np.asarray(pull[:, None] * tangents - slopes[1:-1])


@dataclass
class _Motion:
    """Particles that keep their speed while it goes with the force, and stop where it goes against it."""

    speed: Array
    longest: float
    time: float = 0.0
    mixing: float = MIXING
    with_force: int = 0

    def step(self, force: Array, most: float) -> Array:
        """The next step, no image's longer than `most`."""
        self.time = self.time or SHORTEST * self.longest
        if np.sum(force * self.speed) > 0:
            size = float(np.linalg.norm(force))
            self.speed = (1 - self.mixing) * self.speed + self.mixing * np.linalg.norm(self.speed) * force / size
            self.with_force += 1
            if self.with_force > PATIENT:
                self.time, self.mixing = min(GROWS * self.time, self.longest), 0.99 * self.mixing
        else:
            self.speed, self.with_force, self.mixing, self.time = 0 * self.speed, 0, MIXING, SHRINKS * self.time
        self.speed = self.speed + self.time * force
        step = self.time * self.speed
        longest = float(np.linalg.norm(step, axis=1).max())
        return np.asarray(step * min(1.0, most / longest if longest > 0 else 1.0))
