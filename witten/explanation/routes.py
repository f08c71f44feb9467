"""Asking every route about one learning rate, and putting together what they say, or why one does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from witten.domains.grid import Grid
from witten.explanation.asked import Asked
from witten.explanation.basins import Basins, basins
from witten.explanation.by_law import law_limits, law_log_masses, law_log_time, law_offset
from witten.explanation.explanation import (
    CONTINUOUS,
    RELAXATION,
    TRANSITION,
    UNKNOWN,
    Change,
    Explanation,
    MeanTime,
    Mode,
    Passage,
    Well,
)
from witten.explanation.passage import followed, with_committor
from witten.explanation.relief import Relief, relief_of_grid, relief_of_landscape
from witten.explanation.spectral_view import seen_mode
from witten.landscape.landscape import Landscape
from witten.objectives import Objective, resolve
from witten.objectives.periodicity import Periods
from witten.objectives.periodicity import periodic as on_circles
from witten.rates import LawRate, RateRecord
from witten.request import effective_learning_rate
from witten.spectra.committor import Committor

__all__ = ["explain"]

Intervals = Sequence[tuple[float, float]]
# Of a mode that is a transition at most this part of its variance is inside wells.
INSIDE = 0.1
# Depths that differ by no more than this part are equal: the lowest of these wells then stands for them.
TIED = 1e-9
ON_GRID = "wells and passes are those of f on a grid; of several passes between the same wells the lowest is listed"
NO_PASSAGE = "the slowest mode is no passage between wells"
NOT_ASKED = "not asked for; --simulate (simulate=True) runs paths, which takes time"


def explain(
    objective: Objective | str,
    learning_rate: float,
    *,
    rtol: float = 1e-3,
    noise: float = 1.0,
    box: Intervals | None = None,
    periodic: Periods | None = None,
    seed: int = 0,
    simulate: bool = False,
    progress: Callable[[str], Any] = lambda step: None,
) -> Explanation:
    """Why lambda_s is what it is: the slowest mode, wells, the saddle that limits, mean times, s halved and doubled.

    Mean times and the committor are those of transition path theory [Bovier2004], the law is that of
    `eyring_kramers`; see docs/explain.md.

    >>> found = witten.explain("double-well", 0.1)
    >>> found.kind, found.passage.saddle.value
    ('transition', 0.25)

    Parameters
    ----------
    objective : an Objective, or its text; above three dimensions the law and the landscape alone have answers
    learning_rate : s > 0
    rtol : wanted error of computed rates, relative
    noise, box, periodic : as in `gap`
    seed : of random starts above three dimensions, and of simulated paths
    simulate : whether the rate is estimated from simulated paths, too
    progress : called before each step with its name

    Raises
    ------
    RequestError, ConvergenceError
        if the request is wrong, or no route has an answer; where some have, `Explanation.why` says what others lack.
    """
    began = time.perf_counter()
    f = resolve(objective, on_torus=True)
    f = on_circles(f, periodic) if periodic else f
    asked = Asked(f, float(learning_rate), effective_learning_rate(learning_rate, noise), float(noise), rtol, box, seed)
    found = _computed(asked, simulate, progress)
    return replace(found, seconds=time.perf_counter() - began)


def _computed(asked: Asked, simulate: bool, progress: Callable[[str], Any]) -> Explanation:
    """All parts, one after the other."""
    f, s = asked.f, asked.s
    progress("the landscape")
    landscape = asked.tried("landscape", asked.landscape)
    law = asked.tried("law", lambda: asked.law(landscape, asked.learning_rate))
    relief = None if landscape is None else relief_of_landscape(landscape)
    progress("the spectrum")
    deep = 2 if relief is None else relief.deep(s).size
    spectral, modes = asked.tried("spectral", lambda: asked.spectrum(deep)) or (None, None)
    if spectral is None and f.dimension <= 3 and law is None:
        raise asked.errors["spectral"]
    grid = modes.grid if modes is not None and isinstance(modes.grid, Grid) else None
    if relief is None and grid is not None:
        relief = relief_of_grid(f, grid, s)
        asked.notes.append(ON_GRID)
    cells = None if relief is None or grid is None else basins(f, relief, grid, s)
    mode = Mode() if modes is None else seen_mode(modes, f, relief, cells)
    kind = _kind(spectral, law, relief, mode, s)
    lawful = landscape if law is not None and np.isfinite(law.log_error) else None
    wells = () if relief is None else _wells(asked, relief, cells, lawful)
    progress("the committor")
    passage: Passage | None = None
    times: tuple[MeanTime, ...] = ()
    if relief is not None and kind == TRANSITION:
        passage, times = _passage(asked, relief, mode, lawful)
    else:
        asked.why["passage"] = NO_PASSAGE if kind != UNKNOWN else "nothing tells what the slowest mode is"
    progress("half and twice the learning rate")
    halved, doubled = (_change(asked, landscape, name, part) for name, part in (("halved", 0.5), ("doubled", 2.0)))
    simulated = None
    if simulate:
        progress("simulated paths")
        simulated = asked.tried("simulated", asked.simulated)
    else:
        asked.why["simulated"] = NOT_ASKED
    return Explanation(
        f, asked.learning_rate, asked.noise, kind, spectral, law, simulated, mode, wells,
        0 if relief is None else relief.floors.size, passage,
        law_limits(lawful, s) if law is not None and law.resolved and lawful is not None else {},
        times, halved, doubled, landscape, dict(asked.why), _notes(asked, landscape, spectral), 0.0,
    )  # fmt: skip


def _kind(spectral: RateRecord | None, law: LawRate | None, relief: Relief | None, mode: Mode, s: float) -> str:
    """What the slowest mode is: by itself where it was computed, else by the law where that is resolved."""
    if spectral is not None and spectral.continuous:
        return CONTINUOUS
    deep = 0 if relief is None else relief.deep(s).size
    if deep > 1 and mode.within <= INSIDE:
        return TRANSITION
    if spectral is not None and (np.isfinite(mode.within) or deep == 1):
        return RELAXATION
    if deep > 1 and law is not None and law.resolved:
        return TRANSITION
    return RELAXATION if deep == 1 else UNKNOWN


# ------------------------------------------------------------------------------------------------ wells, and the way


def _wells(asked: Asked, relief: Relief, cells: Basins | None, landscape: Landscape | None) -> tuple[Well, ...]:
    """The wells deeper than s, with what they hold by the grid and by the law."""
    deep, owner = relief.deep(asked.s), relief.owner(asked.s)
    unknown = np.full(deep.size, np.nan)
    by_grid = (unknown, unknown) if cells is None else (cells.log_masses, cells.log_errors)
    by_law = None
    if landscape is not None:
        groups = np.searchsorted(deep, owner)
        by_law = asked.tried("law masses", lambda: law_log_masses(landscape, asked.s, groups))
    columns = zip(*by_grid, *(by_law or (unknown, unknown)), strict=True)
    return tuple(
        Well(int(k), relief.minima[:, k], float(relief.floors[k]), relief.curvatures[k], float(relief.depths[k]),
             *map(float, column))
        for k, column in zip(deep, columns, strict=True)
    )  # fmt: skip


def _passage(
    asked: Asked, relief: Relief, mode: Mode, landscape: Landscape | None
) -> tuple[Passage | None, tuple[MeanTime, ...]]:
    """The way that limits the rate, as far as it is known, and mean times along it."""
    start, end = _ends(relief, mode, asked.s)
    deep = relief.deep(asked.s)
    places = int(np.searchsorted(deep, start)), int(np.searchsorted(deep, end))
    way = relief.route(start, end)
    saddle = max(way, key=lambda p: p.value)
    passage = asked.tried("path", lambda: followed(asked.f, relief, way, start, end))
    passage = Passage(start, end, saddle) if passage is None else passage
    found = asked.tried("committor", lambda: asked.committor(relief.minima[:, start], relief.minima[:, end]))
    if found is not None and passage.points is not None:
        curve, seen = passage, found
        passage = replace(passage, **(asked.tried("committor_half", lambda: with_committor(curve, seen)) or {}))
    passage = replace(passage, start=places[0], end=places[1])
    if landscape is not None:
        ahead = relief.minima[:, end] - relief.minima[:, start]
        if passage.points is not None and passage.lengths is not None:
            k = int(np.searchsorted(passage.lengths, passage.saddle_at))
            near = [min(max(k + step, 0), passage.lengths.size - 1) for step in (5, -5)]
            ahead = passage.points[:, near[0]] - passage.points[:, near[1]]
        passage = replace(passage, law_offset=law_offset(landscape, asked.s, saddle.x, ahead))
    return passage, tuple(_times(asked, found, landscape, (start, end), places))


def _ends(relief: Relief, mode: Mode, s: float) -> tuple[int, int]:
    """The deepest wells that lose and gain most by the mode, the higher first; those of the largest barrier where no
    mode tells."""
    deep = relief.deep(s)
    if mode.moved.size == deep.size and mode.multiplicity == 1:
        ends = deep[[int(mode.moved.argmin()), int(mode.moved.argmax())]]
    else:
        depths = np.where(np.isfinite(relief.depths), relief.depths, -np.inf)
        last = int(np.flatnonzero(depths >= depths.max() * (1 - TIED))[0])
        ends = np.array([last, relief.tree.into[last]])
    low, high = sorted(ends.tolist(), key=lambda k: (relief.floors[k], k))
    return high, low


def _times(
    asked: Asked, found: Committor | None, landscape: Landscape | None, ends: tuple[int, int], places: tuple[int, int]
) -> list[MeanTime]:
    """Both ways, by committors and by the law."""
    times = []
    if found is not None:
        errors = -np.log1p(-np.minimum(found.relative_errors[1:], 1 - 1e-15))
        logs = (-found.log_rate, -found.log_rate_back)
        ways = (places, places[::-1])
        times += [MeanTime(*way, "committor", log, float(e)) for way, log, e in zip(ways, logs, errors, strict=True)]
    if landscape is not None:
        for way, place in ((ends, places), (ends[::-1], places[::-1])):
            answer = asked.tried("law times", partial(law_log_time, landscape, asked.s, *way))
            times += [] if answer is None else [MeanTime(*place, "law", *answer)]
    return times


# ------------------------------------------------------------------------------------------------ other answers


def _change(asked: Asked, landscape: Landscape | None, name: str, part: float) -> Change:
    s = part * asked.learning_rate
    law = asked.tried(f"{name} law", lambda: asked.law(landscape, s))
    return Change(s, asked.tried(f"{name} spectral", lambda: asked.gap(s)), law)


def _notes(asked: Asked, landscape: Landscape | None, spectral: RateRecord | None) -> tuple[str, ...]:
    """What a reader should know, each once."""
    known = () if landscape is None else landscape.notes
    return tuple(dict.fromkeys((*known, *(() if spectral is None else spectral.notes), *asked.notes)))
