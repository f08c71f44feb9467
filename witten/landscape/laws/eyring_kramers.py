"""The Eyring-Kramers law: all exponentially small rates as s -> 0, from minima and saddles alone.

For each index-1 saddle z between minima i and j, with eta the negative curvature at z,

    k_ij = |eta|/(2 pi) sqrt(det Hess f(m_i)/|det Hess f(z)|) e^{-2 (f(z) - f(m_i))/s},

Q_ij is their sum over z, and the smallest non-zero rates are those of -Q times 1 + O(s), whatever ties or symmetries
there are. In this project's convention the temperature is s/2 ([Kramers1940], [Bovier2004], [Bovier2005]). With
the factors of `first_order` in masses and conductances that is 1 + O(s^2), with those of `laplace_series`, on a line,
1 + O(s^{n+1}), and how far off is estimated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.errors import RequestError
from witten.landscape.landscape import Landscape, describe_landscape
from witten.landscape.laws.first_order import first_order
from witten.landscape.laws.laplace_series import HIGHEST_ORDER, series_law
from witten.landscape.laws.reduced_generator import (
    law_log_rates,
    log_factors,
    log_frequency,
    require_confining,
    require_law,
    well_graph,
)
from witten.landscape.laws.relaxation import slowest_relaxation
from witten.linalg.graded_eigenvalues import WellGraph, log_mean_time, log_rates
from witten.noise import Diffusion, Noise, parted
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.parallel.communicators import collectively, communicator
from witten.rates import LawRate, RateCurve, RateRecord
from witten.request import checked_learning_rates, effective_learning_rate, positive
from witten.sweeps import Part, Stop, run_sweep

__all__ = [
    "eyring_kramers",
    "labelled_log_rates",
    "log_mean_transition_time",
    "mean_transition_time",
    "prefactor",
]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
METHOD = "eyring-kramers"
# A rate is resolved where its logarithm is known to this, a factor of two.
WIDEST = math.log(2)
TOO_WIDE = "the law is not resolved here: its error bar is wider than a factor of two; it needs smaller learning rates"
# What the logarithm of a rate loses by rounding, in units of its last place.
ROUNDINGS = 4.0
# Rates of this part of the smallest curvature are compared with what wells do at this very s.
NEAR = 1e-4
# Logarithms of factors of first order, errors counted, beyond which nothing is computed with them.
HOPELESS = 300.0
# A rate is that of the chain but for a part of this many rates times a passage: .7 to 2 where that part is small.
PASSAGES = 2.0
# Size of the logarithms at which the effect of the first order on a rate is differentiated.
STEP = 1e-4


def eyring_kramers(
    objective: Objective | str | Landscape,
    learning_rates: float | Iterable[float],
    *,
    noise: float | Noise = 1.0,
    order: int = 1,
    box: Intervals | None = None,
    seed: int = 0,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] | None = None,
    walltime: float | None = None,
    stop: Stop = lambda: None,
    comm: Any = None,
) -> RateCurve:
    """lambda_s of -Q at each learning rate, to first order in s, with an error bar: off by a factor 1 + O(s^2).
    On a line to any order n: off by 1 + O(s^{n+1}).

    Its records are `LawRate`s: all rates, the law of leading order and the coefficient between the two beside them.
    Where the bar is wider than a factor of two, which it is for s that are not small beside the barrier, a rate is not
    resolved. With one minimum, or barriers that grow without bound, the law says nothing: the rate is nan.

    >>> law, curve = (verb("double-well", 0.05) for verb in (witten.eyring_kramers, witten.gap))
    >>> print(f"{law.rates[0]/curve.rates[0]:.1f}")
    1.0

    Parameters
    ----------
    objective : an Objective, its text, or a Landscape that is known already
    learning_rates : s > 0, one or many
    noise : sigma > 0; the law is that of learning rate s sigma^2. Or one of `witten.noise`: then of leading order, by
        paths of least action (`noisy_law`), its bar an estimate of the first order
    order : 0 for the law of leading order, its bar wide enough to hold the first order with its own; 2 to 40 for the
        next ones, of a formula of one variable alone. Their series diverge, so that each s has an order from which on
        nothing changes: about the barrier in units of s/2
    box, seed : as in `describe_landscape`
    output, resume, progress, walltime, stop : of a sweep, as in `gap`
    comm : the ranks, each of which computes one law after the other; all there are where left out. Each searches the
        landscape itself, which takes no longer than to wait for one that does

    Raises
    ------
    Stopped
        at the walltime or by `stop`, with the curve so far.
    RequestError
        for a learning rate that is not positive, an f that is not confining, a degenerate minimum or a degenerate
        point where wells may join, or saddles that do not join all minima; for an order that is not there.
    """
    ranks = communicator(comm)
    landscape = collectively(ranks, lambda: _landscape(objective, box, seed))
    _require_order(order, landscape.objective)
    sigma, model = parted(noise, landscape.objective)
    if model is not None and order > 1:
        raise RequestError(f"order must be 0 or 1 with a covariance, got {order}: the leading one is what is known")
    asked = checked_learning_rates(learning_rates, sigma)
    walls = None if box is None else [[*map(float, interval)] for interval in box]
    options: dict[str, Any] = {"noise": sigma, "order": order, "box": walls, "seed": seed}
    options |= {"fingerprint": fingerprint(landscape.objective)} | ({} if model is None else {"covariance": model.text})
    diffusion = None if model is None else model.bind(landscape.objective)
    compute = partial(_record, landscape, sigma, order) if diffusion is None else partial(_noisy, landscape, diffusion)
    part = Part(lambda s, group: compute(s), METHOD, options)
    return run_sweep(
        landscape.objective.name, part, asked, comm=ranks, groups=ranks.size, output=output, resume=resume,
        progress=progress, walltime=walltime, stop=stop,
    )  # fmt: skip


def _landscape(objective: Objective | str | Landscape, box: Intervals | None, seed: int) -> Landscape:
    if isinstance(objective, Landscape):
        return objective
    f = resolve(objective)
    if box is None:
        require_confining(f)
    return describe_landscape(f, box=box, seed=seed)


def _require_order(order: int, f: Objective) -> None:
    if order not in range(HIGHEST_ORDER + 1):
        raise RequestError(f"order must be a whole number from 0 to {HIGHEST_ORDER}, got {order}")
    if order > 1 and f.dimension > 1:
        raise RequestError(f"order must be 0 or 1 for {f.name} in {f.dimension} dimensions: beyond, one alone is known")
    if order > 1 and f.formula is None:
        raise RequestError(f"order must be 0 or 1 for {f.name}: beyond, derivatives are needed that only formulas have")


def _noisy(landscape: Landscape, diffusion: Diffusion, s: float) -> LawRate:
    """The law under noise with a covariance."""
    from witten.landscape.laws.noisy_law import exits, noisy_log_rates  # what most requests have no use for

    began, count = stopwatch.seconds(), len(landscape.minima)
    require_law(landscape)
    values, errors = np.empty(0), np.empty(0)
    if count > 1 and not landscape.unbounded:
        values, errors = noisy_log_rates(exits(landscape, diffusion), count, s)
    first, error = (float(each[0]) if each.size else math.nan for each in (values, errors))
    resolved = error <= WIDEST
    return LawRate(
        s, first, first - error, first + error, resolved, "quasi-potential", count, stopwatch.seconds() - began,
        tuple(values.tolist()), notes=() if resolved or not values.size else (TOO_WIDE,),
        log_leading=tuple(values.tolist()), log_errors=tuple(errors.tolist()),
        coefficients=(math.nan,) * values.size,
    )  # fmt: skip


def _record(landscape: Landscape, noise: float, order: int, learning_rate: float) -> LawRate:
    """The law at one learning rate."""
    began = stopwatch.seconds()
    s = effective_learning_rate(learning_rate, noise)
    leading = law_log_rates(landscape, s)
    corrected, errors = _corrected(landscape, s, max(order, 1)) if leading.size else (leading, leading)
    values = corrected if order else leading
    errors = errors + abs(values - corrected)
    first, error = (float(each[0]) if each.size else math.nan for each in (values, errors))
    resolved = error <= WIDEST
    return LawRate(
        learning_rate, first, first - error, first + error, resolved, "reduced generator", len(landscape.minima),
        stopwatch.seconds() - began, tuple(values.tolist()), notes=() if resolved or not leading.size else (TOO_WIDE,),
        log_leading=tuple(leading.tolist()), log_errors=tuple(errors.tolist()),
        coefficients=tuple(_coefficients(landscape, s, leading, noise)),
    )  # fmt: skip


def _corrected(landscape: Landscape, s: float, order: int) -> tuple[Array, Array]:
    """Logarithms of the rates to an order of at least one, and their errors.

    The reduced chain itself has the small rates up to their ratio to those within a well. Where that is one, the law
    does not know which are the smallest. Nor does it where the factors are no small corrections by far. To first order
    its bar covers what passages between wells take, too."""
    factors = (f for side in (-1, 1) for f in log_factors(landscape, s / 2, order, side))
    if not all(float(abs(f).max()) <= HOPELESS for f in factors):  # or there is none: derivatives beyond doubles
        leading = law_log_rates(landscape, s)
        return leading, np.full_like(leading, np.inf)
    slowest, values, fastest = (log_rates(well_graph(landscape, s, order=order, side=side)) for side in (-1, 0, 1))
    with np.errstate(over="ignore", divide="ignore"):
        rates = np.exp(values)
        parts = [rates / _relaxation(landscape, s, float(rates[-1]))]
        if order > 1:
            parts.append(PASSAGES * rates * _passage(landscape, s))
        chain = np.maximum(fastest - values, values - slowest) + ROUNDINGS * np.spacing(abs(values))
        return values, chain - sum(np.log1p(-np.minimum(part, 1.0)) for part in parts)


def _passage(landscape: Landscape, s: float) -> float:
    """The longest mean time of a passage from one minimum to the next, on a line."""
    times = series_law(landscape).passage_times(s / 2)
    return max(time / abs(float(z.curvatures[0])) for time, z in zip(times, landscape.saddles, strict=True))


def _relaxation(landscape: Landscape, s: float, rate: float) -> float:
    """The smallest rate within a well: its curvature, at s instead of in the limit where a rate comes near to that."""
    smallest = min(float(abs(point.curvatures).min()) for point in (*landscape.minima, *landscape.saddles))
    if rate < NEAR * smallest:
        return smallest
    wells = zip(landscape.minima, first_order(landscape).minima, strict=True)
    return min(smallest, *(float(m.curvatures[0]) * slowest_relaxation(well, s / 2) for m, well in wells))


def _coefficients(landscape: Landscape, s: float, leading: Array, noise: float) -> list[float]:
    """c_k with rate k = leading (1 + c_k s + O(s^2)), the weights of wells and saddles in it those at this s; nan where
    the logarithms have no digits for that."""
    if not leading.size:
        return []
    small, large = first_order(landscape).log_factors(s / 2)
    size = float(max(abs(small).max(), abs(large).max())) or 1.0
    if not math.isfinite(size):
        return [math.nan] * leading.size
    lost = np.finfo(float).eps * float(abs(leading).max())
    step = max(STEP, lost ** (1 / 3)) / size
    one, two = (log_rates(well_graph(landscape, s, order=1, share=share)) for share in (step, 2 * step))
    found = (4 * one - two - 3 * leading) / (2 * step) / s * noise**2
    return np.where(lost < 1e-6, found, np.nan).tolist()


def labelled_log_rates(landscape: Landscape, learning_rate: float) -> Array:
    """log k of each labelled pair, ascending: the law where no two barriers are equal or nearly so, shape (n_min - 1,).

    Off by factors where they are: see `Landscape.tied` and `near_ties`.

    >>> from witten.landscape.laws.eyring_kramers import labelled_log_rates
    >>> print(*(f"{x:.2f}" for x in labelled_log_rates(witten.describe_landscape("double-well"), 0.05)))
    -11.49
    """
    require_law(landscape)
    positive("learning rate", learning_rate)
    found = []
    for pair in landscape.pairs:
        if pair.saddle is None or pair.barrier is None:
            continue
        m, z = landscape.minima[pair.minimum], landscape.saddles[pair.saddle]
        found.append(log_frequency(z) + 0.5 * (m.log_det - z.log_det) - 2 * pair.barrier / learning_rate)
    return np.sort(np.array(found))


def prefactor(landscape: Landscape) -> float | None:
    """alpha = lim lambda_s e^{2 H_f/s} as s -> 0, ties and symmetry included; None where `Landscape.barrier` is."""
    h = landscape.barrier
    if h is None:
        return None
    s, before = h / 50, math.inf
    while True:
        log_alpha = float(law_log_rates(landscape, s)[0]) + 2 * h / s
        if abs(log_alpha - before) < 1e-11 or s < h / 1e5:
            return math.exp(log_alpha)
        s, before = s / 2, log_alpha


def mean_transition_time(landscape: Landscape, learning_rate: float, start: int, target: int) -> float:
    """Mean time from one minimum to (a neighbourhood of) another, by their numbers, in t = s times the number of
    steps, to first order in s; inf beyond the doubles.

    Deep enough wells one saddle apart: 1/k_ij. Symmetric double well: 2/lambda_1. Half of it is spent before the
    saddle between two wells is first reached. Errors as `eyring_kramers`; see `log_mean_transition_time`.

    >>> from witten.landscape.laws.eyring_kramers import mean_transition_time
    >>> wells = witten.describe_landscape("double-well")
    >>> time, rate = mean_transition_time(wells, 0.05, 0, 1), witten.eyring_kramers(wells, 0.05).rates[0]
    >>> print(f"{time * rate:.3f}")  # two equal wells: the rate is twice that of leaving one
    2.000
    """
    with np.errstate(over="ignore"):
        return float(np.exp(log_mean_transition_time(landscape, learning_rate, start, target)[0]))


def log_mean_transition_time(
    landscape: Landscape, learning_rate: float, start: int, target: int
) -> tuple[float, float]:
    """The logarithm of `mean_transition_time`, and how far it may be off: what each mass and each conductance may do,
    added up, for times are no monotone functions of all of them; and what wells and rates are, as in `eyring_kramers`.

    >>> from witten.landscape.laws.eyring_kramers import log_mean_transition_time
    >>> value, error = log_mean_transition_time(witten.describe_landscape("double-well"), 0.05, 0, 1)
    >>> print(f"{value:.2f} +- {error:.2f}")
    11.53 +- 0.01
    """
    n = len(landscape.minima)
    if not (0 <= start < n and 0 <= target < n):
        raise RequestError(f"minima are numbered 0 to {n - 1}, got {start} and {target}")
    if start == target:
        return -math.inf, 0.0
    graph, fastest = (well_graph(landscape, learning_rate, order=1, side=side) for side in (0, 1))
    value = log_mean_time(graph, start, target)
    moved = [log_mean_time(each, start, target) for each in _one_by_one(graph, fastest)]
    smallest = min(float(abs(p.curvatures).min()) for p in (*landscape.minima, *landscape.saddles))
    ratio = min(math.exp(min(-value, 700.0)) / smallest, 1.0)
    chain = sum(max(abs(up - value), abs(down - value)) for up, down in zip(moved[::2], moved[1::2], strict=True))
    return value, chain + ROUNDINGS * float(np.spacing(abs(value))) + (-math.log1p(-ratio) if ratio < 1 else math.inf)


def _one_by_one(graph: WellGraph, extreme: WellGraph) -> Iterable[WellGraph]:
    """The graph with each mass and conductance in turn as in the extreme one, and as far to the other side."""
    for k, there in enumerate(extreme.log_masses):
        for value in (there, 2 * graph.log_masses[k] - there):
            yield replace(graph, log_masses=np.where(np.arange(len(extreme.log_masses)) == k, value, graph.log_masses))
    for i, j in np.argwhere(np.triu(graph.log_conductances > -np.inf, 1)):
        there, here = extreme.log_conductances[i, j], graph.log_conductances[i, j]
        for value in (there, 2 * here - there):
            changed = graph.log_conductances.copy()
            changed[i, j] = changed[j, i] = value
            yield replace(graph, log_conductances=changed)
