"""The spectrum of one step of SGD with momentum: a chain whose state is where it is and where it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtr

from witten import stopwatch
from witten.domains.box import Box
from witten.errors import ConvergenceError, RequestError
from witten.langevin import checked_momentum
from witten.objectives import Objective, resolve
from witten.request import effective_learning_rate, positive
from witten.sgd.arnoldi import ROUNDING, TransferSpectrum, arnoldi, by_modulus
from witten.sgd.balanced_basis import conditions
from witten.sgd.chain_domain import first_domain, with_allowed_region
from witten.sgd.gradient_noise import GaussianNoise
from witten.sgd.steps.step_noise import UniformNoise
from witten.sgd.steps.transfer_operator import REACH, somewhere
from witten.spectra.checks import require_discrete

__all__ = ["MomentumStep", "momentum_chain", "pair_matrix"]

Array = NDArray[np.float64]
# Nodes per standard deviation of the noise, of the search for a domain; the result has twice as many.
COARSE = 1.25
# Half the width of the strip |x - x-|, in standard deviations of that difference on a slope.
STRIP = 9.0
# How often box and strip are widened until they make no difference, how often if nothing leaves, and by what part.
ENLARGED, PATIENCE, WIDER = 8, 2, 0.15
# What is lost in a step, relative to the gap, and the relative change by widening, below which that is enough.
LOST, SETTLED = 1e-10, 1e-9
# What leaves in a step from wherever, beyond which there are no eigenvalues to compute.
ALL = 0.999
# Nodes of the result, beyond which a chain is refused.
MOST_NODES = 300_000


def momentum_chain(
    objective: Objective | str,
    learning_rate: float,
    momentum: float,
    k: int = 6,
    *,
    nesterov: bool = False,
    noise: float = 1.0,
    box: Sequence[tuple[float, float]] | None = None,
) -> TransferSpectrum:
    """The k leading eigenvalues of x+ = x + alpha (x - x-) - s f'(y) + s sigma xi, a chain of pairs (x, x-).

    y is x, or with Nesterov's gradient x + alpha (x - x-). In one dimension. `rate` is per unit of k s, as that of
    `transfer_spectrum`, which this is at alpha = 0; a step has the rate s times that.

    >>> found = witten.momentum_chain("double-well", 0.05, 0.5)
    >>> print(f"{0.05 * found.rate:.4e}")
    2.5660e-04

    Parameters
    ----------
    objective : f, of one variable
    learning_rate : s > 0
    momentum : alpha, from 0 to below 1
    k : how many eigenvalues, at least 2
    nesterov : the gradient is taken after the step of the momentum
    noise : sigma > 0
    box : (low, high), the first to be tried; found from f where left out

    Raises
    ------
    RequestError
        if the request is wrong, f has more than one variable or grows too slowly, or the chain takes more nodes than
        fit: their number grows like (1 - alpha^2)^(-1/2)/s^2.
    ConvergenceError
        if mass keeps leaving every box, or eigenvalues do not converge.
    """
    began, f = stopwatch.seconds(), resolve(objective)
    step = MomentumStep(f, float(learning_rate), checked_momentum(momentum), nesterov, positive("noise", noise))
    _require(step, k, box)
    coarse, narrower, wider = _enclosing(step, k, box)
    fine = _spectrum(replace(wider, per_deviation=2 * COARSE), k)
    others = (coarse, narrower)
    errors = fine.errors + np.abs(np.abs(fine.eigenvalues) - np.abs(coarse.eigenvalues))
    errors += np.abs(np.abs(narrower.eigenvalues) - np.abs(coarse.eigenvalues))
    gap_error = fine.gap_error + abs(fine.gap - coarse.gap) + abs(narrower.gap - coarse.gap)
    # What both resolutions know badly is known badly.
    gap_error += max(other.gap_error for other in others)
    return replace(fine, errors=errors, gap_error=gap_error, seconds=stopwatch.seconds() - began)


@dataclass(frozen=True)
class MomentumStep:
    """The recursion in one variable, x+ = y - s f'(x or y) + s sigma xi, y = x + alpha (x - x-)."""

    objective: Objective
    s: float
    alpha: float
    nesterov: bool
    noise: float

    @property
    def deviation(self) -> float:
        return self.s * self.noise

    @property
    def unit(self) -> float:
        """The learning rate at which SGD without momentum has its Gibbs measure."""
        return effective_learning_rate(self.s, self.noise) / (1 - self.alpha)

    def images(self, x: Array, before: Array) -> Array:
        """Where pairs go but for the noise; far away where that overflows."""
        y = x + self.alpha * (x - before)
        with np.errstate(all="ignore"):
            return somewhere(y - self.s * self.objective.gradient((y if self.nesterov else x)[None])[0])


@dataclass(frozen=True)
class _Strip:
    """`pair_matrix` on an interval, |x - x-| <= half."""

    step: MomentumStep
    box: Box
    half: float
    per_deviation: float = COARSE

    def wider(self) -> _Strip:
        return replace(self, box=self.box.expanded(WIDER, WIDER), half=self.half * (1 + WIDER))

    @property
    def shape(self) -> tuple[int, int]:
        """Nodes x and m; refused before any array is made is what would not fit at the resolution of the result."""
        spacing = self.step.deviation / self.per_deviation
        n, m = float(self.box.widths[0]) / spacing, self.half / spacing
        nodes = n * (2 * m + 1) * (2 * COARSE / self.per_deviation) ** 2
        if not nodes <= MOST_NODES:
            s, alpha = self.step.s, self.step.alpha
            raise RequestError(
                f"the chain on {self.step.objective.name} at learning rate {s:g} with momentum {alpha:g} needs "
                f"{nodes:.0f} nodes, more than the {MOST_NODES} that are taken; ask for a larger learning "
                "rate, less momentum or a smaller box, or for the Langevin equation that it is (gap --momentum)"
            )
        return max(math.ceil(n), 8), max(math.ceil(m), 2)

    @cached_property
    def _parts(self) -> tuple[csr_array, Array]:
        """P and the probability to leave in one step, from each pair."""
        (n, m), low = self.shape, self.box.lower[0]
        h = float(self.box.widths[0]) / n
        return pair_matrix(self.step, np.asarray(low + h * (np.arange(n) + 0.5), dtype=float), h, m)

    @property
    def matrix(self) -> csr_array:
        return self._parts[0]

    @property
    def killed(self) -> Array:
        return self._parts[1]


def pair_matrix(step: MomentumStep, x: Array, h: float, m: int) -> tuple[csr_array, Array]:
    """P by the trapezoid rule on pairs of nodes x (n,), h apart, and the probability to leave in one step from each.

    Pair (i, o) is x = x_i and x- = x_{i-o+m}, o = 0..2m. From there it goes to (j, j-i+m): a row is a window of j.
    Pairs whose x- is no node are left and never entered.
    """
    n, sigma = x.size, step.deviation
    i, o = (part.ravel() for part in np.meshgrid(np.arange(n), np.arange(2 * m + 1), indexing="ij"))
    y = step.images(x[i], x[i] - h * (o - m))
    least, most = np.maximum(i - m, 0), np.minimum(i + m, n - 1)
    first = np.clip(np.ceil((y - REACH * sigma - x[0]) / h), least, n).astype(np.int64)
    last = np.clip(np.floor((y + REACH * sigma - x[0]) / h), -1, most).astype(np.int64)
    count = np.maximum(last - first + 1, 0)
    start = np.concatenate([[0], np.cumsum(count)])
    rows = np.repeat(np.arange(i.size), count)
    j = first[rows] + np.arange(start[-1]) - start[rows]
    weights = h / (math.sqrt(2 * math.pi) * sigma) * np.exp(-0.5 * ((x[0] + h * j - y[rows]) / sigma) ** 2)
    columns = j * (2 * m + 1) + j - i[rows] + m
    lost = ndtr((x[least] - 0.5 * h - y) / sigma) + ndtr((y - x[most] - 0.5 * h) / sigma)
    return csr_array((weights, columns, start), shape=(i.size, i.size)), np.minimum(lost, 1.0)


def _require(step: MomentumStep, k: int, box: Sequence[tuple[float, float]] | None) -> None:
    """RequestError for what has no such chain, or none that is known here."""
    f = step.objective
    if f.dimension != 1 or f.periods:
        what = f"dimension {f.dimension}" if f.dimension != 1 else "a periodic axis"
        raise RequestError(f"{f.name} has {what}; the chain with momentum is there for one variable on a line")
    if step.deviation**2 == 0:
        raise RequestError(f"learning rate {step.s:g} is too small for a chain: its square is none of a double")
    if k < 2:
        raise RequestError(f"a gap takes two eigenvalues, got k = {k}")
    if box is not None and len(box) != 1:
        raise RequestError(f"{f.name} has dimension 1, the box {len(box)}")
    require_discrete(f, step.unit, box)


def _enclosing(
    step: MomentumStep, k: int, box: Sequence[tuple[float, float]] | None
) -> tuple[TransferSpectrum, TransferSpectrum, _Strip]:
    """Spectra on a strip that hardly anything leaves and on a narrower one, and that strip; on coarse nodes.

    Over the time of SGD without momentum, k s/(1 - alpha), Gibbs measure and slow modes are those of its rate.
    """
    usual = UniformNoise(step.objective, step.s * (1 - step.alpha), GaussianNoise.isotropic(1, step.deviation))
    domain = first_domain(usual, k, box)
    # The differences of a random walk with momentum are an autoregression.
    strip = _Strip(step, domain.box, STRIP * step.deviation / math.sqrt(1 - step.alpha**2))
    found = _spectrum(strip, k)
    larger = with_allowed_region(domain, replace(found, step_size=usual.step_size), k, usual)
    if larger is not domain:
        strip = replace(strip, box=larger.box)
        found = _spectrum(strip, k)
    for times in range(ENLARGED):
        strip, before = strip.wider(), found
        found = _spectrum(strip, k)
        known = max(found.gap, found.gap_error)
        settled = abs(found.gap - before.gap) <= SETTLED * known + found.gap_error
        # At kinks other nodes make a difference that no width takes away; it is in the bar.
        if found.leak <= LOST * known and (settled or times >= PATIENCE):
            return found, before, strip
    raise ConvergenceError(
        f"at learning rate {step.s:g} with momentum {step.alpha:g} the chain on {step.objective.name} leaves every box "
        f"({found.leak:.1e} of it in a step, as far as {strip.box}): it has no stationary "
        "distribution, and the rate of those that have not left is not known with momentum; take a smaller learning "
        "rate"
    )


def _spectrum(strip: _Strip, k: int) -> TransferSpectrum:
    """The leading eigenvalues of one matrix, from the right and from the left; bars are those of the solver alone."""
    matrix, step, began = strip.matrix, strip.step, stopwatch.seconds()
    n, enough = matrix.shape[0], k + 2
    if strip.killed.min() > ALL:
        raise ConvergenceError(
            f"at learning rate {step.s:g} the chain on {step.objective.name} leaves {strip.box} in one step from "
            "wherever; take a smaller learning rate"
        )
    adjoint = matrix.T.tocsr()
    values, right = arnoldi(lambda u: matrix @ u, n, enough)
    left_values, left = arnoldi(lambda u: adjoint @ u, n, enough)
    norm = math.sqrt(float(matrix.sum(axis=0).max()) * float(matrix.sum(axis=1).max()))
    apart = np.abs(values[:, None] - left_values).min(axis=1)
    errors = apart + ROUNDING * norm * conditions(values, right, left_values, left.conj())
    order = [int(np.abs(values - value).argmin()) for value in by_modulus(values)[:k]]
    values, errors = values[order], errors[order]
    masses = np.abs(left[:, np.argmax(left_values.real)].real)
    leak = float(masses / masses.sum() @ strip.killed)
    gap = 1.0 - float(abs(values[1])) / max(float(values[0].real), 1e-300)
    return TransferSpectrum(
        step.s, values, errors, leak, gap, float(errors[:2].sum()), None, None, step.objective.name, n,
        stopwatch.seconds() - began, "arnoldi",
    )  # fmt: skip
