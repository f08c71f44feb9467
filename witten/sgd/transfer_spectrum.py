"""The spectrum of one step of noisy gradient descent: how fast SGD itself forgets where it started."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.domains.box import Box
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import AccuracyWarning, RequestError
from witten.noise import Noise, parted
from witten.objectives import Objective, resolve
from witten.objectives.growth.chain_bottom import chain_bottom
from witten.objectives.topography.convexity import separate
from witten.request import positive
from witten.sgd.arnoldi import LEAK, ROUNDING, TransferSpectrum, by_modulus, operator_spectrum
from witten.sgd.chain_domain import Domain, coarse_spectrum, enclosing_domain, step_operator
from witten.sgd.gradient_noise import AtomicNoise, GaussianNoise
from witten.sgd.steps.collocation import AtomicMap
from witten.sgd.steps.step_noise import StepNoise, UniformNoise
from witten.spectra.checks import require_isolated
from witten.spectra.continuous_spectrum import FAR_BELOW, ROUGHLY, Attempt, gap_beside

__all__ = ["transfer_spectrum"]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
# Nodes per standard deviation of the noise, by dimension.
FINE = {1: 2.0, 2: 1.7}
# The relative error of the gap and the errors of eigenvalues at which resolution is enough, by what factor it is raised
# along each axis before, and the nodes above which it is not.
RTOL, ATOL = {1: 1e-9, 2: 1e-6}, {1: 1e-11, 2: 1e-5}
FINER = {1: 1.5, 2: 1.25}
AGAIN = {1: 3000, 2: 30_000}
# Chebyshev points along each axis that are tried for noise of atoms.
POINTS = {1: (24, 48, 96, 192, 384), 2: (10, 16, 24, 32)}
# How far above the wells, in units of the learning rate, f may be at the ends: weights e^{-2 f/s} are doubles there.
# The nodes of such a domain are no more than these.
WIDEST, WIDE_NODES = 200.0, 1200.0


def transfer_spectrum(
    objective: Objective | str,
    step_size: float,
    k: int = 6,
    *,
    noise: float | GaussianNoise | AtomicNoise | Noise = 1.0,
    temperature: float | None = None,
    box: Intervals | None = None,
) -> TransferSpectrum:
    """The k leading eigenvalues of x+ = x - h grad f(x) + e: e = h xi (SGD), or e ~ N(0, 2 h T I) at temperature T.

    >>> print(*(f"{rho:.4f}" for rho in witten.transfer_spectrum("x^2/2", 0.2, 3).eigenvalues.real))  # (1 - h)^k
    1.0000 0.8000 0.6400

    Parameters
    ----------
    objective : dimension 1 or 2, or a sum of functions of one variable each, of any dimension
    step_size : h > 0; the learning rate, where no temperature is given
    noise : xi ~ N(0, sigma^2 I) for a number sigma, or the distribution of xi: Gaussian, bounded, or of minibatches; or
        one of `witten.noise`, xi ~ N(0, Sigma(x)) with x the place where the step begins
    temperature : T > 0, instead of the noise
    box : (low, high) per axis, the first to be tried; found from f where left out

    Raises
    ------
    RequestError
        if the request is wrong, asks for more nodes than fit, or needs a box: a continuous spectrum begins where it is
        not known.
    ConvergenceError
        if mass keeps leaving every box: there is no stationary distribution, nor a quasi-stationary one.

    Without a box, where f grows like m|x| on a line, the gap is an eigenvalue above the continuous spectrum or the
    bottom of that (`continuous`); where f grows more slowly there is none, and the bar reaches zero.
    """
    f = resolve(objective)
    began = stopwatch.seconds()
    if isinstance(noise, AtomicNoise):
        return _of_atoms(AtomicMap(f, noise, float(step_size)), k, box)
    step = _step_noise(f, step_size, noise, temperature)
    if f.dimension <= 2:
        step.require_positive(box)
    terms = _terms(step) if f.dimension > 1 else None
    found = _of_box(step, k, box) if terms is None else _of_sum(f.name, terms, k, box)
    return replace(found, seconds=stopwatch.seconds() - began)


def _step_noise(
    f: Objective, step_size: float, noise: float | GaussianNoise | Noise, temperature: float | None
) -> StepNoise:
    """The distribution of e."""
    h = positive("learning rate", step_size)
    if not 0 < float(h) * float(h) < np.inf:
        size, other = ("small", "larger") if h < 1 else ("large", "smaller")
        raise RequestError(
            f"learning rate {h:g} is too {size} for a chain: its square is none of a double; take a {other} one"
        )
    if temperature is not None:
        if not (np.isfinite(temperature) and temperature > 0):
            raise RequestError(f"temperature must be positive, got {temperature}; descent without noise has none")
        return UniformNoise(f, h, GaussianNoise.isotropic(f.dimension, math.sqrt(2 * h * temperature)))
    if not isinstance(noise, GaussianNoise):
        sigma, model = parted(noise, f)
        if model is not None:
            from witten.sgd.steps.local_noise import noise_of_step  # what most requests have no use for

            return noise_of_step(model.bind(f), float(h))
        noise = GaussianNoise.isotropic(f.dimension, sigma)
    if noise.dimension != f.dimension:
        raise RequestError(f"{f.name} has dimension {f.dimension}, the covariance of the noise {noise.dimension}")
    return UniformNoise(f, h, GaussianNoise.of(h**2 * np.array(noise.covariance)))


# ------------------------------------------------------------------------------------------------ sums of functions


def _terms(step: StepNoise) -> list[tuple[StepNoise, Any]] | None:
    """The steps on f_i(x_i), of which f is the sum, each with what tells equal ones; None where the coordinates are not
    independent."""
    parts = separate(step.objective)
    if parts is None:
        return None
    one = parts[0][1]
    noises = step.along_axes([symbol for _, symbol in parts])
    if noises is None:
        return None
    lines = [Objective.from_sympy(part.subs(symbol, one), [one]) for part, symbol in parts]
    return [(step.of_axis(line, noise), noise) for line, noise in zip(lines, noises, strict=True)]


def _of_sum(name: str, terms: Sequence[tuple[StepNoise, Any]], k: int, box: Intervals | None) -> TransferSpectrum:
    """f_1(x_1) + ... + f_d(x_d): the kernel is a product, and so is every eigenvalue."""
    known: dict[tuple, TransferSpectrum] = {}
    found = []
    for i, (step, noise) in enumerate(terms):
        inner = None if box is None else [box[i]]
        key = (step.objective.formula, noise, tuple(inner[0]) if inner else None)
        if key not in known:
            known[key] = _of_box(step, k, inner)
        found.append(known[key])
    return _product(name, terms[0][0].step_size, k, found)


def _product(name: str, step_size: float, k: int, found: Sequence[TransferSpectrum]) -> TransferSpectrum:
    values, errors = np.ones(1, dtype=complex), np.zeros(1)
    for one in found:
        pairs = np.multiply.outer(values, one.eigenvalues).ravel()
        bars = (errors[:, None] + one.errors).ravel()
        order = np.argsort(-abs(pairs), kind="stable")[:k]
        values, errors = pairs[order], bars[order]
    slowest = min(found, key=lambda one: one.gap)
    leak = -math.expm1(sum(math.log1p(-one.leak) for one in found))
    return TransferSpectrum(
        step_size, values, errors, leak, slowest.gap, slowest.gap_error, None, None, name,
        max(one.n_dofs for one in found), 0.0, slowest.solver, slowest.continuous,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ noise of atoms


def _of_atoms(atoms: AtomicMap, k: int, box: Intervals | None) -> TransferSpectrum:
    """On Chebyshev points, more of them until the eigenvalues agree."""
    f, h = atoms.objective, atoms.step_size
    positive("learning rate", h)
    began = stopwatch.seconds()
    start = Box.of(box) if box is not None else sublevel(f, h, wells=k, margin=2.0).box
    domain = atoms.invariant_box(start)
    values, change = np.zeros(k, dtype=complex), np.full(k, np.inf)
    for n in POINTS[f.dimension]:
        before, values = values, by_modulus(np.linalg.eigvals(atoms.matrix(domain, n)))[:k]
        change = np.abs(np.abs(values) - np.abs(before))
        if change.max() < 1e-10:
            break
    errors = change + 1e3 * ROUNDING
    gap = 1.0 - abs(values[1])
    return TransferSpectrum(
        h, values, errors, max(0.0, 1.0 - float(values[0].real)), gap, float(errors[:2].sum()), None, None, f.name,
        n**f.dimension, stopwatch.seconds() - began, "collocation",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ one box


def _of_box(step: StepNoise, k: int, box: Intervals | None) -> TransferSpectrum:
    """On a domain large enough, at resolutions that agree; without a box, beside the continuous spectrum."""
    domain, rough = enclosing_domain(step, k, box)
    found = _refined(step, k, domain, rough)
    return found if box is not None or found.leak > LEAK else _beside(step, k, domain, found)


def _refined(step: StepNoise, k: int, domain: Domain, rough: TransferSpectrum) -> TransferSpectrum:
    d = step.objective.dimension
    per_deviation = FINE[d]
    while True:
        domain = replace(domain, box=domain.box.expanded(0.05, 0.05), level=domain.level + 2 * domain.unit)
        fine = operator_spectrum(step_operator(step, domain, per_deviation), k)
        # Where the map stretches space, functions vary over less than the noise does.
        errors = np.abs(np.abs(fine.eigenvalues) - np.abs(rough.eigenvalues)) + fine.errors
        gap_error = abs(fine.gap - rough.gap) + abs(fine.leak - rough.leak) + fine.gap_error
        per_deviation *= FINER[d]
        enough = gap_error <= RTOL[d] * fine.gap and (errors <= ATOL[d]).all()
        if enough or fine.n_dofs * FINER[d] ** d > AGAIN[d]:
            return replace(fine, errors=errors, gap_error=gap_error)
        rough = fine


def _beside(step: StepNoise, k: int, domain: Domain, found: TransferSpectrum) -> TransferSpectrum:
    """The gap where f grows so slowly that the spectrum is not discrete: an eigenvalue, with what a larger box changes
    in its error, or the bottom of the continuous spectrum."""
    f, h = step.objective, found.step_size
    try:
        bottom, known = chain_bottom(step.height, domain.unit)
    except RequestError as none:  # there is none in all of space: the gap of a box is all bar
        warnings.warn(str(none), AccuracyWarning, stacklevel=2)
        return replace(found, gap_error=max(found.gap, found.gap_error))
    if not np.isfinite(bottom.rate):
        return found
    if not known:
        if found.rate + found.rate_error < FAR_BELOW * bottom.rate:
            return found
        raise RequestError(
            f"{f.name} grows so slowly that its spectrum is not discrete; of this chain it is not known where the "
            "continuous spectrum begins: give a box"
        )

    def widen(margin: float) -> _Wider | None:
        wider = _Wider(step, k, sublevel(f, domain.unit, wells=k, margin=min(margin, WIDEST)))
        return None if margin > WIDEST or wider.n_nodes > WIDE_NODES else wider

    first = _attempt(found)
    # Walls need not be further away than nodes know the rate: on as many nodes a larger domain knows it less well.
    rtol = min(max(RTOL[1], 2 * first.error), ROUGHLY)
    beside = gap_beside(bottom, domain.unit, first, widen, rtol)
    require_isolated(f, h, np.array([beside.rate]), bottom, beside.continuous)
    gap, last = -math.expm1(-h * beside.rate), beside.result
    errors = _errors_beside(last, h * bottom.rate, domain.unit * h)
    error = h * beside.error * beside.rate * (1.0 - gap)
    return replace(last, errors=errors, gap=gap, gap_error=error, continuous=beside.continuous)


def _errors_beside(found: TransferSpectrum, edge: float, variance: float) -> Array:
    """The errors of eigenvalues, with what the ends of the box are in them: a mode of modulus e^{-r} decays like
    e^{-kappa |x|}, kappa = sqrt(2 (edge - r)/v). What is none is somewhere below e^{-edge}."""
    modulus = abs(found.eigenvalues)
    with np.errstate(divide="ignore"):
        r = -np.log(modulus)
    decay = np.sqrt(2 * np.maximum(edge - r, 0.0) / variance)
    cut = 4 * np.exp(-decay * _attempt(found).extent) * np.maximum(r, 0.0) * modulus
    return np.where(modulus <= math.exp(-edge) + found.errors, math.exp(-edge), found.errors + cut)


@dataclass(frozen=True)
class _Wider:
    """The chain on a larger sublevel set, not computed yet."""

    step: StepNoise
    k: int
    region: Sublevel

    @property
    def n_nodes(self) -> float:
        return 2 * self.extent * FINE[1] / math.sqrt(self.region.learning_rate * self.step.step_size)

    @property
    def extent(self) -> float:
        return float(self.region.box.widths[0]) / 2

    def attempt(self, tolerance: float) -> Attempt[TransferSpectrum]:
        """As well as two resolutions agree, whatever the tolerance."""
        region = self.region
        domain = Domain(self.step.around(region.box), region.level, region.learning_rate, region)
        return _attempt(_refined(self.step, self.k, domain, coarse_spectrum(self.step, domain, self.k)))


def _attempt(found: TransferSpectrum) -> Attempt[TransferSpectrum]:
    """At the ends of a line a mode is lost, not reflected."""
    assert found.operator is not None
    extent = float(found.operator.grid.box.widths[0]) / 2
    return Attempt(found.rate, found.rate_error / found.rate, extent, 0.0, found)
