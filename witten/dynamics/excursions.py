"""Excursions from a well, and their splitting: the kernels.

A path runs by Heun's scheme, of weak order two for additive noise,

    y = x - h grad f(x) + sqrt(h) sigma xi,    x+ = x - h/2 (grad f(x) + grad f(y)) + sqrt(h) sigma xi,

until it is in one of the cores, ellipsoids (x - c)^T M (x - c) <= 1 about the minima. Its level is a number of a table,
read off a grid, rounded down: the reaction coordinate.

Adaptive multilevel splitting (Cerou and Guyader, Stoch. Anal. Appl. 25, 2007; unbiased with ties and in discrete time:
Brehier, Gazeau, Goudenege, Lelievre and Rousset, Ann. Appl. Probab. 26, 2016): of n paths those whose highest level is
the lowest, L, are killed; each is replaced by a copy of a survivor up to the first point above L and goes on from there
with noise of its own. If K of n are killed, the estimate of the probability to reach the target is multiplied by
1 - K/n. No survivor, no estimate: the population is extinct, and zero is the unbiased answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types

from witten.dynamics.philox import four_normals, uniform

__all__ = ["DIVERGED", "ENDLESS", "GRADIENT", "LEVELS", "VALUE", "core_of", "excursion", "level_of", "splitter"]

# Functions of the objective as values: the kernels are compiled once and for all objectives.
VALUE = types.FunctionType(types.float64(types.float64[::1]))
GRADIENT = types.FunctionType(types.void(types.float64[::1], types.float64[::1]))
MATRICES = types.float64[:, :, ::1]
CORES = types.Tuple((types.float64[:, ::1], MATRICES))
VECTOR = types.float64[::1]
GRID = types.Tuple((VECTOR, VECTOR, types.int64[::1], VECTOR, types.float64, types.float64))
KEY = types.UniTuple(types.uint64, 3)
# Levels of the table, and the level of the target.
LEVELS = 1024
# Ends of a path that is in no core.
ENDLESS, DIVERGED = -1, -2
HUGE = 1e8
compiled = numba.njit(cache=True, error_model="numpy", nogil=True)


@compiled
def core_of(x, centres, metrics):  # type: ignore[no-untyped-def]
    """The number of the core that holds x, or -1."""
    m, d = centres.shape
    for k in range(m):
        total = 0.0
        for a in range(d):
            inner = 0.0
            for b in range(d):
                inner += metrics[k, a, b] * (x[b] - centres[k, b])
            total += (x[a] - centres[k, a]) * inner
        if total <= 1.0:
            return k
    return -1


@compiled
def level_of(x, low, spacing, shape, table, first, scale):  # type: ignore[no-untyped-def]
    """floor(scale (table(x) - first)) within 0 and LEVELS - 1, the table interpolated between the nodes of its grid."""
    d = x.size
    corner = 0
    share = np.empty(d)
    for a in range(d):
        place = (x[a] - low[a]) / spacing[a]
        cell = int(min(max(np.floor(place), 0.0), shape[a] - 2.0))
        share[a] = min(max(place - cell, 0.0), 1.0)
        corner = corner * shape[a] + cell
    total = 0.0
    for vertex in range(1 << d):
        weight, index, stride = 1.0, corner, 1
        for a in range(d - 1, -1, -1):
            if (vertex >> a) & 1:
                weight *= share[a]
                index += stride
            else:
                weight *= 1.0 - share[a]
            stride *= shape[a]
        total += weight * table[index]
    return int(min(max((total - first) * scale, 0.0), LEVELS - 1.0))


@compiled
def excursion(gradient, x, h, sigma, cores, grid, target, noise, limits, levels, points, known):  # type: ignore[no-untyped-def]
    """Run x, in place, until it is in a core; returns where it ended, its steps, and how many points it has kept.

    Cores are not looked for at the first `limits[0]` points, and `limits[1]` steps are the most. Each time the path is
    above all its earlier levels, the level and the point are added to `levels` and `points`, after the `known` ones
    that are there; in the target the level is LEVELS.
    """
    centres, metrics = cores
    low, spacing, shape, table, first, scale = grid
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
            level = level_of(x, low, spacing, shape, table, first, scale)
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
def _start(value, centre, root_metric, floor, log_weight, seed, stream, path, x):  # type: ignore[no-untyped-def]
    """x from e^{-2f/s} within the core, by rejection; returns the number of tries."""
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
                x[a] += root_metric[a, b] * y[b]
        if accept < np.exp(-log_weight * (value(x) - floor)):
            return tries


def _split(value, gradient, source, target, n, h, sigma, cores, roots, floor, grid, key, limit):  # type: ignore[no-untyped-def]
    """One population of n excursions from a core, split until all have reached the target or none can.

    Parameters
    ----------
    source, target : numbers of cores; target -1 ends after the first excursions
    h, sigma : time step, noise
    roots : (m, d, d) the core is c + root (unit ball)
    floor : no more than f within the core of the source, and as near as can be
    key : seed, stream of the noise, stream of the starts
    limit : steps after which an excursion counts as endless

    Returns
    -------
    tries, starts, outside, log_probability, alive, steps, branches, lost : points tried and accepted in the core;
    steps of the first n excursions outside of cores; log of the probability that an excursion ends in the target;
    whether the population has not died out; all steps; paths run after the first; paths that ended in no core
    """
    centres, metrics = cores
    d = centres.shape[1]
    seed, stream, start_stream = key
    levels, points = np.empty((n, LEVELS + 2), np.int64), np.empty((n, LEVELS + 2, d))
    known, top = np.zeros(n, np.int64), np.empty(n, np.int64)
    x = np.empty(d)
    log_weight = 2.0 / (sigma * sigma)
    tries = starts = outside = steps = branches = lost = 0
    found = 0
    path = np.uint64(0)
    while found < n:
        tries += _start(value, centres[source], roots[source], floor, log_weight, seed, start_stream, path, x)
        starts += 1
        noise = (seed, stream, path)
        path += np.uint64(1)
        end, taken, kept = excursion(
            gradient, x, h, sigma, cores, grid, target, noise, (1, limit), levels[found], points[found], 0
        )
        steps += taken
        lost += end < 0
        if end == source and taken == 1:
            continue  # it has not left
        if kept == 0:  # from one core to the next in one step, or lost at once
            levels[found, 0], kept = 0, 1
            points[found, 0] = x
        known[found], top[found] = kept, levels[found, kept - 1]
        outside += taken - 1
        found += 1
    if target < 0:
        return tries, starts, outside, -np.inf, False, steps, branches, lost
    log_probability = 0.0
    survivors = np.empty(n, np.int64)
    while True:
        lowest = top.min()
        if lowest == LEVELS:
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
                    gradient, x, h, sigma, cores, grid, target, noise, (0, limit), levels[i], points[i], k
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
    found = types.Tuple((whole, whole, whole, real, types.boolean, whole, whole, whole))
    signature = found(
        VALUE, GRADIENT, whole, whole, whole, real, real, CORES, MATRICES, real, GRID, KEY, whole
    )  # fmt: skip
    kernel: Callable[..., Any] = numba.njit(signature, cache=True, error_model="numpy", nogil=True)(_split)
    return kernel
