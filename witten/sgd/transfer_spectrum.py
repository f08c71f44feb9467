"""The spectrum of one step of noisy gradient descent: how fast SGD itself forgets where it started."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.domains.box import Box
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import AccuracyWarning, ConvergenceError, RequestError
from witten.noise import Diffusion, Noise, parted
from witten.objectives import Objective, resolve
from witten.objectives.growth.chain_bottom import chain_bottom
from witten.objectives.topography.convexity import separate
from witten.rates import ChainRate, RateCurve
from witten.request import checked_learning_rates, positive
from witten.sgd.arnoldi import LEAK, ROUNDING, TransferSpectrum, by_modulus, operator_spectrum
from witten.sgd.collocation import AtomicMap
from witten.sgd.gradient_noise import AtomicNoise, GaussianNoise
from witten.sgd.transfer_operator import TransferOperator, transfer_operator
from witten.spectra.checks import require_isolated
from witten.spectra.continuous_spectrum import FAR_BELOW, ROUGHLY, Attempt, gap_beside

if TYPE_CHECKING:
    from witten.sgd.local_noise import LocalNoise

__all__ = [
    "CHAIN",
    "Domain",
    "chain",
    "chain_options",
    "chain_rate",
    "first_domain",
    "gibbs_distance",
    "recorded",
    "transfer_spectrum",
    "with_allowed_region",
]

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Intervals = Sequence[tuple[float, float]]
type Step = GaussianNoise | LocalNoise

CHAIN = "chain"
# Nodes per standard deviation of the noise, by dimension: the computation, and the coarser one it is compared with.
FINE, COARSE = {1: 2.0, 2: 1.7}, {1: 1.5, 2: 1.3}
# f at the rim above the saddles, in units of the learning rate: e^{-2 MARGIN} of the measure is outside.
MARGIN = {1: 26.0, 2: 17.0}
# The same above the saddles of wells that hold no measure, which matter where rates are below this; and an eigenvalue
# that is as good as none.
MARGIN_OF_WELLS, TINY, FORGOTTEN = 8.0, 1e-3, 0.02
# How often a box is enlarged for modes found in it, and how often one that mass leaves.
ALLOWED_REGION_MODES = 4
ENLARGED = 16
# Relative change of gap and leak that a larger box may still make, before resolution is examined: where paths escape
# from, a box that is too small changes them by factors, while coarse nodes are good for some tenths only.
SETTLED = 0.3
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
# Nodes beyond which a chain is refused, and cells of a box.
MOST_NODES, MOST_CELLS = {1: 8000, 2: 120_000}, 4_000_000


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
    if not isinstance(step, GaussianNoise) and f.dimension <= 2:
        step.require_positive(box)
    terms = _terms(f, step_size, step) if f.dimension > 1 else None
    found = _of_box(f, step_size, k, step, box) if terms is None else _of_sum(f, step_size, k, terms, box)
    return replace(found, seconds=stopwatch.seconds() - began)


def gibbs_distance(found: TransferSpectrum, objective: Objective | str) -> float:
    """(1/2) int |rho - mu|: the total variation between the stationary distribution and exp(-2 f/s), s = v/h.

    Raises
    ------
    RequestError
        where the noise is not the same along all axes, or there is no stationary distribution (see
        `TransferSpectrum.density`).
    """
    f = resolve(objective)
    density, operator = found.density, found.operator
    assert operator is not None  # else density raises
    weights = np.exp(operator.log_gibbs(f))
    masses = density * operator.volume
    return float(0.5 * np.abs(masses / masses.sum() - weights / weights.sum()).sum())


def chain(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    *,
    noise: float | GaussianNoise | Noise = 1.0,
    box: Intervals | None = None,
) -> RateCurve:
    """The rate -log(|rho_1|/rho_0)/s of SGD, x+ = x - s grad f(x) + s xi, against the learning rate.

    The parameters are those of `transfer_spectrum`.
    """
    f = resolve(objective)
    records = tuple(chain_rate(f, s, noise, box) for s in checked_learning_rates(learning_rates))
    return RateCurve(records, CHAIN, f.name, chain_options(noise, box))


def chain_options(noise: float | GaussianNoise | Noise, box: Intervals | None) -> dict[str, Any]:
    """What a chain is asked with, as JSON values."""
    if isinstance(noise, Noise):
        said: Any = noise.text
    else:
        said = noise if isinstance(noise, float | int) else [list(row) for row in noise.covariance]
    return {
        "noise": said,
        "box": None if box is None else [[float(a), float(b)] for a, b in box],
    }


def chain_rate(
    objective: Objective | str, learning_rate: float, noise: float | GaussianNoise | Noise, box: Intervals | None
) -> ChainRate:
    """The rate of SGD at one learning rate and the spectrum of a step; parameters as `transfer_spectrum`."""
    return recorded(transfer_spectrum(objective, learning_rate, noise=noise, box=box))


def recorded(found: TransferSpectrum) -> ChainRate:
    """As a record; without a rate where there is no gap above rounding."""
    known = found.rate > 0
    log_rate = math.log(found.rate) if known else math.nan
    relative = found.rate_error / found.rate if known else math.nan
    return ChainRate(
        learning_rate=found.step_size,
        log_rate=log_rate,
        lower=log_rate + (-math.inf if relative >= 1 else math.log1p(-relative)),
        upper=log_rate + math.log1p(relative),
        resolved=found.resolved,
        solver=found.solver,
        n_dofs=found.n_dofs,
        seconds=found.seconds,
        log_rates=(log_rate,),
        eigenvalues=tuple(found.eigenvalues.tolist()),
        eigenvalue_errors=tuple(found.errors.tolist()),
        loss=found.leak,
        continuous=found.continuous,
    )


def _step_noise(
    f: Objective, step_size: float, noise: float | GaussianNoise | Noise, temperature: float | None
) -> Step:
    """The distribution of e."""
    positive("learning rate", step_size)
    if not 0 < float(step_size) * float(step_size) < np.inf:
        size, other = ("small", "larger") if step_size < 1 else ("large", "smaller")
        raise RequestError(
            f"learning rate {step_size:g} is too {size} for a chain: its square is none of a double; take a {other} "
            "one"
        )
    if temperature is not None:
        if not (np.isfinite(temperature) and temperature > 0):
            raise RequestError(f"temperature must be positive, got {temperature}; descent without noise has none")
        return GaussianNoise.isotropic(f.dimension, math.sqrt(2 * step_size * temperature))
    if not isinstance(noise, GaussianNoise):
        sigma, model = parted(noise, f)
        if model is not None:
            return _local_noise(model.bind(f), float(step_size))
        noise = GaussianNoise.isotropic(f.dimension, sigma)
    law = noise
    if law.dimension != f.dimension:
        raise RequestError(f"{f.name} has dimension {f.dimension}, the covariance of the noise {law.dimension}")
    return GaussianNoise.of(step_size**2 * np.array(law.covariance))


def _local_noise(diffusion: Diffusion, step_size: float) -> Step:
    """The same everywhere, or another at each place."""
    if diffusion.is_constant and not diffusion.current:
        return GaussianNoise.of(step_size**2 * np.array(diffusion.matrix.tolist(), dtype=float))
    from witten.sgd.local_noise import LocalNoise  # what most requests have no use for

    return LocalNoise(diffusion, step_size)


# ------------------------------------------------------------------------------------------------ sums of functions


def _terms(f: Objective, step_size: float, step: Step) -> list[tuple[Objective, Step, Any]] | None:
    """f_i(x_i), of which f is the sum, with the noise along each axis where that is a function of x_i alone, and what
    tells equal ones; None where the coordinates are not independent."""
    parts = separate(f)
    if parts is None:
        return None
    one, symbols = parts[0][1], [symbol for _, symbol in parts]
    lines = [Objective.from_sympy(part.subs(symbol, one), [one]) for part, symbol in parts]
    if isinstance(step, GaussianNoise):
        deviations, axes = step.axes()
        noises: list[Any] = deviations.tolist()
        steps: list[Step] = [GaussianNoise.isotropic(1, each) for each in noises]
        independent = np.array_equal(axes, np.eye(f.dimension))
    else:
        matrix = step.diffusion.matrix
        places = [f.symbols.index(symbol) for symbol in symbols]
        noises = [matrix[i, i].subs(f.symbols[i], one) for i in places]
        steps = [_local_noise(Diffusion.of(line, [[a]]), step_size) for line, a in zip(lines, noises, strict=True)]
        independent = matrix.is_diagonal() is True and not step.diffusion.current
        independent &= all(a.free_symbols <= {one} for a in noises)
    return list(zip(lines, steps, noises, strict=True)) if independent else None


def _of_sum(
    f: Objective, step_size: float, k: int, terms: Sequence[tuple[Objective, Step, Any]], box: Intervals | None
) -> TransferSpectrum:
    """f_1(x_1) + ... + f_d(x_d): the kernel is a product, and so is every eigenvalue."""
    known: dict[tuple, TransferSpectrum] = {}
    found = []
    for i, (line, step, noise) in enumerate(terms):
        inner = None if box is None else [box[i]]
        key = (line.formula, noise, tuple(inner[0]) if inner else None)
        if key not in known:
            known[key] = _of_box(line, step_size, k, step, inner)
        found.append(known[key])
    return _product(f.name, step_size, k, found)


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


def _of_box(
    f: Objective, step_size: float, k: int, step: Step, box: Intervals | None
) -> TransferSpectrum:
    """On a domain large enough, at resolutions that agree; without a box, beside the continuous spectrum."""
    domain, rough = _enclosing(f, step_size, k, step, box)
    found = _refined(f, step_size, k, step, domain, rough)
    return found if box is not None or found.leak > LEAK else _beside(f, k, step, domain, found)


def _refined(
    f: Objective, step_size: float, k: int, step: Step, domain: Domain, rough: TransferSpectrum
) -> TransferSpectrum:
    per_deviation = FINE[f.dimension]
    while True:
        domain = replace(domain, box=domain.box.expanded(0.05, 0.05), level=domain.level + 2 * domain.unit)
        fine = operator_spectrum(_operator(f, step_size, domain, step, per_deviation), k)
        # Where the map stretches space, functions vary over less than the noise does.
        errors = np.abs(np.abs(fine.eigenvalues) - np.abs(rough.eigenvalues)) + fine.errors
        gap_error = abs(fine.gap - rough.gap) + abs(fine.leak - rough.leak) + fine.gap_error
        per_deviation *= FINER[f.dimension]
        enough = gap_error <= RTOL[f.dimension] * fine.gap and (errors <= ATOL[f.dimension]).all()
        if enough or fine.n_dofs * FINER[f.dimension] ** f.dimension > AGAIN[f.dimension]:
            return replace(fine, errors=errors, gap_error=gap_error)
        rough = fine


def _beside(f: Objective, k: int, step: Step, domain: Domain, found: TransferSpectrum) -> TransferSpectrum:
    """The gap where f grows so slowly that the spectrum is not discrete: an eigenvalue, with what a larger box changes
    in its error, or the bottom of the continuous spectrum."""
    h = found.step_size
    height = f if isinstance(step, GaussianNoise) else step.height
    try:
        bottom, known = chain_bottom(height, domain.unit)
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
        wider = _Wider(f, h, k, step, sublevel(f, domain.unit, wells=k, margin=min(margin, WIDEST)))
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

    objective: Objective
    step_size: float
    k: int
    step: Step
    region: Sublevel

    @property
    def n_nodes(self) -> float:
        return float(self.region.box.widths[0]) * FINE[1] / math.sqrt(self.region.learning_rate * self.step_size)

    @property
    def extent(self) -> float:
        return float(self.region.box.widths[0]) / 2

    def attempt(self, tolerance: float) -> Attempt[TransferSpectrum]:
        """As well as two resolutions agree, whatever the tolerance."""
        f, h, region = self.objective, self.step_size, self.region
        domain = Domain(_around(region.box, self.step), region.level, region.learning_rate, region)
        rough = operator_spectrum(_operator(f, h, domain, self.step, COARSE[f.dimension]), self.k)
        return _attempt(_refined(f, h, self.k, self.step, domain, rough))


def _attempt(found: TransferSpectrum) -> Attempt[TransferSpectrum]:
    """At the ends of a line a mode is lost, not reflected."""
    assert found.operator is not None
    extent = float(found.operator.grid.box.widths[0]) / 2
    return Attempt(found.rate, found.rate_error / found.rate, extent, 0.0, found)


@dataclass(frozen=True)
class Domain:
    """The nodes of a box where f <= level; unit: the learning rate that has this noise; region: where it comes from."""

    box: Box
    level: float
    unit: float
    region: Sublevel | None = None


def _enclosing(
    f: Objective, step_size: float, k: int, step: Step, box: Intervals | None
) -> tuple[Domain, TransferSpectrum]:
    """A domain that hardly anything leaves, or that makes no difference; and the spectrum there."""
    domain = first_domain(f, step_size, k, step, box)
    rough = operator_spectrum(_operator(f, step_size, domain, step, COARSE[f.dimension]), k)
    for _ in range(ALLOWED_REGION_MODES):
        larger = with_allowed_region(domain, rough, k, step)
        if larger is domain:
            break
        domain = larger
        rough = operator_spectrum(_operator(f, step_size, domain, step, COARSE[f.dimension]), k)
    for _ in range(ENLARGED):
        if rough.leak <= LEAK:
            return domain, rough
        domain = replace(domain, box=domain.box.expanded(0.15, 0.15), level=np.inf)
        before, rough = rough, operator_spectrum(_operator(f, step_size, domain, step, COARSE[f.dimension]), k)
        change = max(abs(rough.gap / before.gap - 1), abs(rough.leak / before.leak - 1))
        if change < SETTLED or rough.leak <= LEAK:
            return domain, rough
    raise ConvergenceError(
        f"at step size {step_size:g} the chain on {f.name} leaves every box ({rough.leak:.1e} of it in a step, as "
        f"far as {domain.box}): it has no stationary distribution; take a smaller step"
    )


def _operator(
    f: Objective, step_size: float, domain: Domain, step: Step, per_deviation: float
) -> TransferOperator:
    box, level = domain.box, domain.level
    if isinstance(step, GaussianNoise):
        cells = float(np.prod(np.ceil(box.widths * per_deviation / step.axes()[0])))
        if cells > MOST_CELLS:
            raise _too_many(f, step_size, cells)
        out = transfer_operator(f, step_size, box, noise=step, per_deviation=per_deviation, level=level)
    else:
        out = step.operator(box, level, domain.unit, per_deviation, MOST_CELLS)
    if out.n_dofs < 2:
        raise ConvergenceError(
            f"at step size {step_size:g} the chain on {f.name} takes steps so long that {box} has no place "
            "for two nodes; take a smaller step"
        )
    if out.n_dofs > MOST_NODES[f.dimension]:
        raise _too_many(f, step_size, out.n_dofs)
    return out


def _too_many(f: Objective, step_size: float, cells: float) -> RequestError:
    return RequestError(
        f"the chain on {f.name} at step size {step_size:g} needs {cells:.0f} nodes, more than the "
        f"{MOST_NODES[f.dimension]} that are taken; ask for a larger learning rate or a smaller box"
    )


def first_domain(
    f: Objective, step_size: float, k: int, step: Step, box: Intervals | None
) -> Domain:
    """Where exp(-2 f/s) is, s = v/h the learning rate that has this noise; along the axes of the noise."""
    if f.dimension > 2:
        raise RequestError(
            f"the chain is there in 1 and 2 dimensions, and for sums of functions of one variable; {f.name} has "
            f"dimension {f.dimension}"
        )
    if not isinstance(step, GaussianNoise):
        if box is not None:
            return Domain(Box.of(box), np.inf, step.unit(Box.of(box)))
        wells, unit = step.region(k, MARGIN[f.dimension])
        return Domain(_around(wells.box, step), wells.level, unit, wells)
    deviations, _ = step.axes()
    unit = float(deviations.max() ** 2 / step_size)
    if box is not None:
        return Domain(Box.of(box), np.inf, unit)
    found = sublevel(f, unit, wells=k, margin=MARGIN[f.dimension])
    return Domain(_around(found.box, step), found.level, unit, found)


def with_allowed_region(domain: Domain, rough: TransferSpectrum, k: int, step: Step) -> Domain:
    """The domain, or a larger one where there are other places to which modes as slow as those found may belong.

    Hardly any measure is there, and what a mode looks like there does not show in what leaves: plateaus, and wells
    far above the saddles. V_s and the barriers show them, as for the generator.
    """
    region, modulus = domain.region, np.abs(rough.eigenvalues[1:])
    if region is None:
        return domain
    rate = -math.log(max(float(modulus.min(initial=1.0)), FORGOTTEN)) / rough.step_size
    if rate > TINY:
        slow = region.allowed_region(1.2 * rate)
        if not slow.end:
            return domain
        level = slow.level + MARGIN[region.box.dimension] * domain.unit
    else:  # only wells make a rate so small
        level = sublevel(region.objective, domain.unit, wells=2 * k + 4, margin=MARGIN_OF_WELLS).level
    if level <= domain.level:
        return domain
    wide = region.wider(region.grid(), level)
    box = domain.box if wide is None else domain.box.joined(_around(wide.box, step))
    return replace(domain, box=box, level=level)


def _around(box: Box, step: Step) -> Box:
    """The box along the axes of the noise, and two of its deviations more on each side."""
    if not isinstance(step, GaussianNoise):
        wide = 2 * step.deviations(box) / box.widths
        return box.expanded(wide, wide)
    deviations, axes = step.axes()
    if not np.array_equal(axes, np.eye(box.dimension)):
        corners = axes.T @ np.stack([x.ravel() for x in np.meshgrid(*box.intervals, indexing="ij")])
        box = Box(tuple(corners.min(axis=1).tolist()), tuple(corners.max(axis=1).tolist()))
    wide = 2 * deviations / box.widths
    return box.expanded(wide, wide)
