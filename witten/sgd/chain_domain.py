"""Where the law of SGD lives: a box that hardly anything leaves, with the places of all its slow modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from witten.domains.box import Box
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import ConvergenceError, RequestError
from witten.sgd.arnoldi import LEAK, TransferSpectrum, operator_spectrum
from witten.sgd.steps.step_noise import MOST_NODES, StepNoise, too_many_nodes
from witten.sgd.steps.transfer_operator import TransferOperator

__all__ = ["Domain", "coarse_spectrum", "enclosing_domain", "first_domain", "step_operator", "with_allowed_region"]

Intervals = Sequence[tuple[float, float]]
# Nodes per standard deviation of the noise, by dimension, while a domain is looked for.
COARSE = {1: 1.5, 2: 1.3}
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


@dataclass(frozen=True)
class Domain:
    """The nodes of a box where f <= level; unit: the learning rate that has this noise; region: where it comes from."""

    box: Box
    level: float
    unit: float
    region: Sublevel | None = None


def first_domain(step: StepNoise, k: int, box: Intervals | None = None) -> Domain:
    """Where exp(-2 f/s) is, s = v/h the learning rate that has this noise; along the axes of the noise."""
    f = step.objective
    if f.dimension > 2:
        raise RequestError(
            f"the chain is there in 1 and 2 dimensions, and for sums of functions of one variable; {f.name} has "
            f"dimension {f.dimension}"
        )
    if box is not None:
        return Domain(Box.of(box), np.inf, step.unit(Box.of(box)))
    wells, unit = step.region(k, MARGIN[f.dimension])
    return Domain(step.around(wells.box), wells.level, unit, wells)


def enclosing_domain(step: StepNoise, k: int, box: Intervals | None) -> tuple[Domain, TransferSpectrum]:
    """A domain that hardly anything leaves, or that makes no difference; and the spectrum there. ConvergenceError if
    mass keeps leaving every box."""
    domain = first_domain(step, k, box)
    rough = coarse_spectrum(step, domain, k)
    for _ in range(ALLOWED_REGION_MODES):
        larger = with_allowed_region(domain, rough, k, step)
        if larger is domain:
            break
        domain, rough = larger, coarse_spectrum(step, larger, k)
    for _ in range(ENLARGED):
        if rough.leak <= LEAK:
            return domain, rough
        domain = replace(domain, box=domain.box.expanded(0.15, 0.15), level=np.inf)
        before, rough = rough, coarse_spectrum(step, domain, k)
        change = max(abs(rough.gap / before.gap - 1), abs(rough.leak / before.leak - 1))
        if change < SETTLED or rough.leak <= LEAK:
            return domain, rough
    raise ConvergenceError(
        f"at step size {step.step_size:g} the chain on {step.objective.name} leaves every box ({rough.leak:.1e} of it "
        f"in a step, as far as {domain.box}): it has no stationary distribution; take a smaller step"
    )


def coarse_spectrum(step: StepNoise, domain: Domain, k: int) -> TransferSpectrum:
    """The leading eigenvalues on few nodes."""
    return operator_spectrum(step_operator(step, domain, COARSE[step.objective.dimension]), k)


def step_operator(step: StepNoise, domain: Domain, per_deviation: float) -> TransferOperator:
    """A step on a domain, so many nodes to a standard deviation of the noise.

    Raises
    ------
    RequestError, ConvergenceError
        where these are too many, or fewer than two.
    """
    f, h = step.objective, step.step_size
    out = step.operator(domain.box, domain.level, domain.unit, per_deviation)
    if out.n_dofs < 2:
        raise ConvergenceError(
            f"at step size {h:g} the chain on {f.name} takes steps so long that {domain.box} has no place for two "
            "nodes; take a smaller step"
        )
    if out.n_dofs > MOST_NODES[f.dimension]:
        raise too_many_nodes(f, h, out.n_dofs)
    return out


def with_allowed_region(domain: Domain, rough: TransferSpectrum, k: int, step: StepNoise) -> Domain:
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
    box = domain.box if wide is None else domain.box.joined(step.around(wide.box))
    return replace(domain, box=box, level=level)
