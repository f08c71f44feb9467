"""The rate of SGD itself against the learning rate, from the spectrum of one step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from witten.noise import Noise
from witten.objectives import Objective, resolve
from witten.rates import ChainRate, RateCurve
from witten.request import checked_learning_rates
from witten.sgd.arnoldi import TransferSpectrum
from witten.sgd.gradient_noise import GaussianNoise
from witten.sgd.transfer_spectrum import transfer_spectrum

__all__ = ["CHAIN", "chain", "chain_options", "chain_rate", "recorded"]

Intervals = Sequence[tuple[float, float]]
CHAIN = "chain"


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
