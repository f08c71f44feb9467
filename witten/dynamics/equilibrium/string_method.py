"""Strings between two minima of f that come to rest on paths of least height.

Newton steps across a string, away from crests and towards valleys, and equal distances along it bring it to a path that
has grad f along it everywhere: over a saddle, if nothing else is between (the string method of [E2007], here with
curvatures).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from witten.objectives import Objective

__all__ = ["curvatures_across", "lengths", "relaxed", "strings_between"]

Array = NDArray[np.float64]
# Points of a string; how far it is bent to begin with, over its length: several, for there may be several ways around.
POINTS, BENT = 41, (0.01, 0.4, -0.4)
# Newton steps at most, how far a point may move in one, and how little is rest, in distances between points.
STEPS, REACH, STILL = 200, 0.5, 2e-3
# The part of Newton's step that is taken at first, and after how many steps it is half of that: curved strings swing.
BOLD, TAMED = 0.5, 30
# Curvatures across are taken to be this part of the largest at least.
FLATTEST = 1e-3
# Strings nearer to each other than this part of their length are one.
SAME = 0.05


def strings_between(f: Objective, a: Array, b: Array) -> list[Array]:
    """Strings (n, d) from one minimum to another at rest, each once, the lowest first."""
    found: list[Array] = []
    strings = relaxed(f, np.array([_bent(a, b, share, (k + 1) // 2) for k, share in enumerate(BENT)]))
    for string in sorted(strings, key=lambda each: float(np.max(f(each.T)))):
        length = float(lengths(string)[-1])
        if all(np.abs(string - other).max() > SAME * length for other in found):
            found.append(string)
    return found


def _bent(a: Array, b: Array, share: float, seed: int) -> Array:
    """A bow from a to b, off the straight line by a share of its length, shape (n, d)."""
    t = np.linspace(0.0, 1.0, POINTS)[:, None]
    aside = np.random.default_rng(seed).normal(size=a.size)
    aside -= (b - a) * (aside @ (b - a)) / ((b - a) @ (b - a))
    aside *= share * np.linalg.norm(b - a) / max(float(np.linalg.norm(aside)), 1e-300)
    return np.asarray(a + t * (b - a) + np.sin(np.pi * t) * aside)


def relaxed(f: Objective, strings: Array) -> Array:
    """Strings (k, n, d) with fixed ends, once they are at rest or after so many steps as are allowed."""
    x = strings.copy()
    moving = np.ones(len(x), dtype=bool)
    for k in range(STEPS):
        now = x[moving]
        spacing = np.array([lengths(string)[-1] / (POINTS - 1) for string in now])[:, None, None]
        step = _downhill(f, now) * BOLD / (1 + k / TAMED)
        step[:, [0, -1]] = 0.0
        size = np.linalg.norm(step, axis=2, keepdims=True) / spacing
        new = np.array([_evenly(string) for string in now + step * np.minimum(1.0, REACH / np.maximum(size, 1e-300))])
        x[moving] = new
        moving[moving] = np.max(np.linalg.norm(new - now, axis=2) / spacing[..., 0], axis=1) > STILL
        if not moving.any():
            break
    return x


def _downhill(f: Objective, strings: Array) -> Array:
    """Steps of the points of strings (k, n, d): Newton's -|H|^{-1} grad f across, away from crests; a short one along.

    The step along changes nothing at rest, where points are spread evenly again, but takes folds out.
    """
    tangents = _tangents(strings, _at(f, strings))
    slope = _at(f.gradient, strings)
    along = tangents * np.sum(tangents * slope, axis=2, keepdims=True)
    curvatures, axes = np.linalg.eigh(_bordered(f, strings, tangents))
    sizes = np.abs(curvatures)
    largest = sizes.max(axis=2, keepdims=True) + 1e-300
    inside = np.einsum("knia,kni->kna", axes, slope - along) / np.maximum(sizes, FLATTEST * largest)
    step = np.einsum("knia,kna->kni", axes, inside)
    return np.asarray(tangents * np.sum(tangents * step, axis=2, keepdims=True) - step - along / largest)


def _bordered(f: Objective, strings: Array, tangents: Array) -> Array:
    """Hess f with what is along the string taken out, shape (k, n, d, d)."""
    h = _at(f.piecewise_hessian, strings)
    along = np.einsum("knij,knj->kni", h, tangents)
    twice = np.sum(along * tangents, axis=2)[..., None, None]
    outer = along[..., :, None] * tangents[..., None, :]
    return np.asarray(h - outer - np.swapaxes(outer, 2, 3) + twice * tangents[..., :, None] * tangents[..., None, :])


def _at(function: Callable[[Array], Array], strings: Array) -> Array:
    """f or its derivatives at points (k, n, d): (k, n), (k, n, d) or (k, n, d, d); zero where there are none."""
    values = np.moveaxis(function(np.moveaxis(strings, 2, 0)), (-2, -1), (0, 1))
    return np.where(np.isfinite(values), values, 0.0)


def _tangents(strings: Array, heights: Array) -> Array:
    """Unit vectors towards the higher neighbour; near crests and dips a mean [Henkelman2000]: with differences of both
    neighbours strings kink."""
    steps, rises = np.diff(strings, axis=1), np.diff(heights, axis=1)
    ahead, behind = (np.concatenate(part, axis=1) for part in ((steps, steps[:, -1:]), (steps[:, :1], steps)))
    up, down = (np.concatenate(part, axis=1) for part in ((rises, rises[:, -1:]), (-rises[:, :1], -rises)))
    large, small = np.maximum(np.abs(up), np.abs(down)), np.minimum(np.abs(up), np.abs(down))
    extreme, forward = (up > 0) == (down > 0), up > down
    weight = np.where(extreme, np.where(forward, large, small), 1.0 * forward)
    t = weight[..., None] * ahead + np.where(extreme, large + small - weight, 1.0 - weight)[..., None] * behind
    return np.asarray(t / np.maximum(np.linalg.norm(t, axis=2, keepdims=True), 1e-300))


def _evenly(points: Array) -> Array:
    """Points at equal distances along the string."""
    along = lengths(points)
    even = np.linspace(0.0, along[-1], len(points))
    return np.array([np.interp(even, along, coordinate) for coordinate in points.T]).T


def lengths(points: Array) -> Array:
    """Length up to each point (n, d), shape (n,)."""
    return np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))


def curvatures_across(f: Objective, string: Array) -> Array:
    """Sizes of the curvatures of f across a string at its points, none too small, shape (n, d - 1)."""
    at = string[None]
    curvatures = np.linalg.eigvalsh(_bordered(f, at, _tangents(at, _at(f, at))))[0]
    # What is along the string has been taken out: the smallest, which is zero, is no curvature across.
    sizes = np.sort(np.abs(curvatures), axis=1)
    return np.asarray(np.maximum(sizes[:, 1:], FLATTEST * sizes[:, -1:] + 1e-300))
