"""The gap of a sum of independent blocks: the smallest of theirs, as the spectrum of a sum is the sums of spectra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from witten.errors import ConvergenceError, RequestError
from witten.objectives.independent_blocks import Block, independent_blocks, remainder
from witten.objectives.objective import Objective
from witten.rates import RateRecord
from witten.spectra.spectrum import RESOLVED, Spectrum

__all__ = ["gap_of_blocks", "parts", "require_blocks"]

Array = NDArray[np.float64]
# Places in all of space at which the sum is compared with f, where the modes of the blocks live.
PLACES = 2048


def parts(objective: Objective) -> tuple[Block, ...]:
    """The independent blocks of f, none of more than three coordinates; up to three dimensions the smallest that are
    found, of fewer than f has. Empty where there are none."""
    d = objective.dimension
    found = (independent_blocks(objective, most) for most in (range(1, d) if d <= 3 else (3,)))
    return next(filter(None, found), ())


def require_blocks(objective: Objective) -> tuple[Block, ...]:
    """The same; RequestError where there are none."""
    blocks = parts(objective)
    if not blocks:
        raise RequestError(
            f"{objective.name} has dimension {objective.dimension} and is no sum of blocks of at most 3 coordinates, "
            "turned ones included; grids go up to 3: use theory or simulate"
        )
    return blocks


def gap_of_blocks(
    objective: Objective, s: float, compute: Callable[[Objective], Spectrum], record: Callable[[Spectrum], RateRecord]
) -> RateRecord:
    """lambda_s = min_b lambda_s(g_b) of f(c + A t) = f(c) + sum_b g_b(t_b), at s with the noise in it.

    What f is more than the sum, r, is measured where the modes live, and is in the bar: a rate is that of the sum but
    for a factor between e^{-2 osc(r)/s} and e^{2 osc(r)/s} [Holley1987]."""
    blocks = require_blocks(objective)
    found = [compute(block.objective) for block in blocks]
    records = [record(each) for each in found]
    doubt = 2.0 * _oscillation(objective, s, blocks, found) / s
    if not doubt <= np.log1p(RESOLVED):
        raise ConvergenceError(
            f"{objective.name} at learning rate {s:g} is a sum of blocks but for a term that may change the rate by "
            f"a factor of {np.exp(min(doubt, 700.0)):.2g}; use theory or simulate"
        )
    return _smallest(records, doubt, _note(blocks, doubt))


def _oscillation(objective: Objective, s: float, blocks: Sequence[Block], found: Sequence[Spectrum]) -> float:
    """max r - min r where each block is at a node of its grid: half of the places as the Gibbs measure has them, the
    others anywhere in the domain."""
    rng = np.random.default_rng(0)
    places = [_nodes(block.objective, s, each, rng) for block, each in zip(blocks, found, strict=True)]
    rest, _ = remainder(objective, tuple(blocks), places)
    return float(np.ptp(rest)) if np.isfinite(rest).all() else np.inf


def _nodes(g: Objective, s: float, found: Spectrum, rng: np.random.Generator) -> Array:
    nodes = np.asarray(found.grid.points)
    f = g(nodes)
    likely = np.exp(-2.0 * (f - f.min()) / s)
    half = PLACES // 2
    at = np.append(rng.choice(f.size, half, p=likely / likely.sum()), rng.integers(f.size, size=half))
    return np.asarray(nodes[:, rng.permutation(at)])


def _smallest(records: Sequence[RateRecord], doubt: float, note: str) -> RateRecord:
    """The record of the smallest rate, its bar as wide as any block may make it."""
    first = min(records, key=lambda each: each.log_rate)
    lower, upper = (min(getattr(each, end) for each in records) for end in ("lower", "upper"))
    below = [each for each in records if each.lower <= upper]
    return replace(
        first,
        lower=lower - doubt,
        upper=max(upper, first.log_rate) + doubt,
        resolved=all(each.resolved for each in below),
        n_dofs=sum(each.n_dofs for each in records),
        seconds=sum(each.seconds for each in records),
        log_rates=(first.log_rate,),
        modes_counted=None,
        notes=(note, *dict.fromkeys(line for each in records for line in each.notes)),
        examined="; ".join(dict.fromkeys(each.examined for each in records if each.examined)),
    )


def _note(blocks: Sequence[Block], doubt: float) -> str:
    sizes = ", ".join(str(block.axes.shape[1]) for block in blocks)
    return f"a sum of independent blocks of {sizes} coordinates, to a part of {np.expm1(doubt):.1e} of the rate"
