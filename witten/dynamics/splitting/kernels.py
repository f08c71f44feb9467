"""Excursions from a well, and their splitting: the kernels.

A path runs by Heun's scheme, of weak order two for additive noise,

    y = x - h grad f(x) + sqrt(h) sigma xi,    x+ = x - h/2 (grad f(x) + grad f(y)) + sqrt(h) sigma xi,

until it is in one of the cores, ellipsoids (x - c)^T M (x - c) <= 1 about the minima. Its level is a number of a table,
read off a grid or off the nearest of some minimum-energy paths, rounded down: the reaction coordinate.

Adaptive multilevel splitting ([Cerou2007]; unbiased with ties and in discrete time: [Brehier2016]): of n paths those
whose highest level is the lowest, L, are killed; each is replaced by a copy of a survivor up to the first point above L
and goes on from there with noise of its own. If K of n are killed, the estimate of the probability to reach the target
is multiplied by 1 - K/n. No survivor, no estimate: the population is extinct, and zero is the unbiased answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types

from witten.dynamics.paths.core_kernels import core_of
from witten.dynamics.paths.philox import four_normals, normal, uniform
from witten.dynamics.splitting.location_kernels import LEVELS, level_along, level_of

__all__ = ["DIVERGED", "ENDLESS", "GRADIENT", "VALUE", "excursion", "splitter"]

# Functions of the objective as values: the kernels are compiled once and for all objectives.
VALUE = types.FunctionType(types.float64(types.float64[::1]))
GRADIENT = types.FunctionType(types.void(types.float64[::1], types.float64[::1]))
MATRICES = types.float64[:, :, ::1]
CORES = types.Tuple((types.float64[:, ::1], MATRICES))
VECTOR = types.float64[::1]
WHOLE = types.int64[::1]
# A grid (low, spacing, shape, table), paths (nodes, values, joined), and how values are cut into levels (first, scale).
COORDINATE = types.Tuple(
    (VECTOR, VECTOR, WHOLE, VECTOR, types.float64[:, ::1], VECTOR, WHOLE, types.float64, types.float64)
)
KEY = types.UniTuple(types.uint64, 3)
# Ends of a path that is in no core.
ENDLESS, DIVERGED = -1, -2
HUGE = 1e8
compiled = numba.njit(cache=True, error_model="numpy", nogil=True)


@compiled
def excursion(gradient, x, h, sigma, cores, coordinate, target, noise, limits, levels, points, known):  # type: ignore[no-untyped-def]
    """Run x, in place, until it is in a core; returns where it ended, its steps, and how many points it has kept.

    Cores are not looked for at the first `limits[0]` points, and `limits[1]` steps are the most. Each time the path is
    above all its earlier levels, the level and the point are added to `levels` and `points`, after the `known` ones
    that are there; in the target the level is LEVELS.
    """
    centres, metrics = cores
    low, spacing, shape, table, nodes, values, joined, first, scale = coordinate
    seed, stream, path = noise
    d = x.size
    g, y, g_y, normals = np.empty(d), np.empty(d), np.empty(d), np.empty(4)
    root = np.sqrt(h) * sigma
    lane, block = 4, np.uint64(0)
    for step in range(limits[1]):
        if step >= limits[0]:
            core = core_of(x, centres, metrics)
            if core >= 0:
                if core == target:
                    levels[known] = LEVELS
                    points[known] = x
                    known += 1
                return core, step, known
            if joined.size == 0:
                level = level_of(x, low, spacing, shape, table, first, scale)
            else:
                level = level_along(x, nodes, values, joined, first, scale)
            if known == 0 or level > levels[known - 1]:
                levels[known] = level
                points[known] = x
                known += 1
        gradient(x, g)
        for a in range(d):
            if lane == 4:
                normals[0], normals[1], normals[2], normals[3] = four_normals(seed, stream, path, block)
                block += np.uint64(1)
                lane = 0
            x[a] += root * normals[lane]
            y[a] = x[a] - h * g[a]
            lane += 1
        gradient(y, g_y)
        for a in range(d):
            x[a] -= 0.5 * h * (g[a] + g_y[a])
            if not abs(x[a]) < HUGE:
                return DIVERGED, step + 1, known
    return ENDLESS, limits[1], known


@compiled
def _uniform_start(value, centre, root, floor, log_weight, seed, stream, path, x):  # type: ignore[no-untyped-def]
    """x from e^{-2f/s} within the core, by rejection from uniform points; returns the number of tries."""
    d = x.size
    y = np.empty(d)
    index = 0
    tries = 0
    while True:
        size = 0.0
        for a in range(d):
            y[a] = 2.0 * uniform(seed, stream, path, index) - 1.0
            size += y[a] * y[a]
            index += 1
        tries += size <= 1.0
        accept = uniform(seed, stream, path, index)
        index += 1
        if size > 1.0:
            continue
        for a in range(d):
            x[a] = centre[a]
            for b in range(d):
                x[a] += root[a, b] * y[b]
        if accept < np.exp(-log_weight * (value(x) - floor)):
            return tries


@compiled
def _normal_start(value, source, cores, root, floor, log_weight, seed, stream, path, x):  # type: ignore[no-untyped-def]
    """The same from points c + root y, y normal; returns the number of tries and the weight of x.

    The ratio of e^{-2(f - floor)/s} to e^{-|y|^2/2} is the chance to be accepted; where it is above one, the weight.
    """
    centres, metrics = cores
    d = x.size
    y = np.empty(d)
    tries = 0
    while True:
        # Numbers of a try, in whole blocks of four: those of one block are not both normal and uniform.
        first = 4 * tries * ((d + 3) // 4 + 1)
        tries += 1
        size = 0.0
        for a in range(d):
            y[a] = normal(seed, stream, path, first + 4 + a)
            size += y[a] * y[a]
        for a in range(d):
            x[a] = centres[source, a]
            for b in range(d):
                x[a] += root[a, b] * y[b]
        if core_of(x, centres, metrics) == source:
            ratio = np.exp(0.5 * size - log_weight * (value(x) - floor))
            if uniform(seed, stream, path, first) < ratio:
                return tries, max(ratio, 1.0)


def _split(value, gradient, source, target, n, h, sigma, cores, roots, many, floor, coordinate, key, limit):  # type: ignore[no-untyped-def]
    """One population of n excursions from a core, split until all have reached the target or none can.

    Parameters
    ----------
    source, target : numbers of cores; target -1 ends after the first excursions
    h, sigma : time step, noise
    roots, many : (m, d, d) the core is c + root (unit ball); or starts are tried at c + root (normal numbers)
    floor : no more than f within the core of the source, and as near as can be; with normal numbers, f at its centre
    coordinate : as `Coordinate.as_arguments` gives it
    key : seed, stream of the noise, stream of the starts
    limit : steps after which an excursion counts as endless

    Returns
    -------
    tries, starts, outside, log_probability, alive, steps, branches, lost : points tried in the core, and the weight of
    those accepted; steps of the first n excursions outside of cores, times the weights of their starts; log of the mean
    over excursions of the weight of those that end in the target;
    whether the population has not died out; all steps; paths run after the first; paths that ended in no core
    """
    centres, metrics = cores
    d = centres.shape[1]
    seed, stream, start_stream = key
    levels, points = np.empty((n, LEVELS + 2), np.int64), np.empty((n, LEVELS + 2, d))
    known, top = np.zeros(n, np.int64), np.empty(n, np.int64)
    x = np.empty(d)
    log_weight = 2.0 / (sigma * sigma)
    weights = np.empty(n)
    starts = outside = 0.0
    tries = steps = branches = lost = 0
    found = 0
    path = np.uint64(0)
    while found < n:
        weight = 1.0
        if many:
            tried, weight = _normal_start(
                value, source, cores, roots[source], floor, log_weight, seed, start_stream, path, x
            )
        else:
            tried = _uniform_start(
                value, centres[source], roots[source], floor, log_weight, seed, start_stream, path, x
            )
        tries += tried
        starts += weight
        noise = (seed, stream, path)
        path += np.uint64(1)
        end, taken, kept = excursion(
            gradient, x, h, sigma, cores, coordinate, target, noise, (1, limit), levels[found], points[found], 0
        )
        steps += taken
        lost += end < 0
        if end == source and taken == 1:
            continue  # it has not left
        if kept == 0:  # from one core to the next in one step, or lost at once
            levels[found, 0], kept = 0, 1
            points[found, 0] = x
        known[found], top[found] = kept, levels[found, kept - 1]
        outside += weight * (taken - 1)
        weights[found] = weight
        found += 1
    if target < 0:
        return tries, starts, outside, -np.inf, False, steps, branches, lost
    log_probability = 0.0
    survivors = np.empty(n, np.int64)
    while True:
        lowest = top.min()
        if lowest == LEVELS:
            log_probability += np.log(weights.mean())
            return tries, starts, outside, log_probability, True, steps, branches, lost
        alive = 0
        for i in range(n):
            if top[i] > lowest:
                survivors[alive] = i
                alive += 1
        if alive == 0:
            return tries, starts, outside, -np.inf, False, steps, branches, lost
        log_probability += np.log(alive / n)
        for i in range(n):
            if top[i] > lowest:
                continue
            parent = survivors[int(alive * uniform(seed, start_stream, path, 0))]
            weights[i] = weights[parent]
            k = 0
            while True:
                levels[i, k] = levels[parent, k]
                points[i, k] = points[parent, k]
                k += 1
                if levels[i, k - 1] > lowest:
                    break
            x[:] = points[i, k - 1]
            if levels[i, k - 1] < LEVELS:
                noise = (seed, stream, path)
                end, taken, k = excursion(
                    gradient, x, h, sigma, cores, coordinate, target, noise, (0, limit), levels[i], points[i], k
                )
                lost += end < 0
                steps += taken
            path += np.uint64(1)
            branches += 1
            known[i] = k
            top[i] = levels[i, k - 1]


@cache
def splitter() -> Callable[..., Any]:
    """`_split`, compiled when first asked for, and kept on disk."""
    whole, real = types.int64, types.float64
    found = types.Tuple((whole, real, real, real, types.boolean, whole, whole, whole))
    signature = found(
        VALUE, GRADIENT, whole, whole, whole, real, real, CORES, MATRICES, types.boolean, real, COORDINATE, KEY, whole
    )  # fmt: skip
    kernel: Callable[..., Any] = numba.njit(signature, cache=True, error_model="numpy", nogil=True)(_split)
    return kernel
