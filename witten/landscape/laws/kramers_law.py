"""Kramers's law: exponentially small rates with momentum, from minima and saddles alone.

    k_ij = lambda_+/(2 pi) sqrt(det Hess f(m_i)/|det Hess f(z)|) e^{-(f(z) - f(m_i))/T},
    lambda_+ = sqrt(gamma^2/4 + |eta|) - gamma/2

of leading order in T [Kramers1940]. It takes a path for caught once it has crossed, which it is if friction takes more
than T from it on its way through the well and back: where that is not so, rates fall again as friction does, by the
factor of [Melnikov1986], and the law does not hold. The bar says by how much."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad

from witten.errors import RequestError
from witten.landscape.landscape import Landscape, describe_landscape
from witten.landscape.laws.eyring_kramers import TOO_WIDE, WIDEST
from witten.landscape.laws.reduced_generator import require_confining, well_graph
from witten.langevin import Langevin, checked_momentum
from witten.linalg.graded_eigenvalues import log_rates
from witten.objectives import Objective, resolve
from witten.rates import LawRate, RateCurve
from witten.request import checked_learning_rates

__all__ = ["kramers_law", "log_depopulation"]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
METHOD = "kramers"
# The next order with momentum is not known; that without it, in logarithms, times this is the bar.
NEXT_ORDER = 1.25
# A well's action at the height of its saddle is about 2 pi times height over frequency; it is taken as half of that.
ACTION = math.pi
TURNOVER = "friction takes too little energy from a path on its way through a well: below the turnover the law fails"
# From which part of the rate on that is said.
TOLD = 0.1


def kramers_law(
    objective: Objective | str | Landscape,
    learning_rates: float | Iterable[float],
    momentum: float,
    *,
    noise: float = 1.0,
    box: Intervals | None = None,
    seed: int = 0,
) -> RateCurve:
    """All exponentially small rates of SGD with momentum, per unit of its time t = k dt, of leading order, with bars.

    Records are `LawRate`s. Its equation is that of `Langevin.of_momentum`.

    >>> print(f"{witten.kramers_law('double-well', 0.01, 0.5).rates[0]:.4e}")
    1.0522e-12

    Parameters
    ----------
    objective : an Objective, its text, or a Landscape that is known already
    learning_rates, momentum, noise : s > 0, one or many; alpha from 0 to below 1; sigma
    box, seed : as in `describe_landscape`

    Raises
    ------
    RequestError
        as `eyring_kramers`.
    """
    alpha, asked = checked_momentum(momentum), checked_learning_rates(learning_rates, noise)
    if isinstance(objective, Landscape):
        landscape = objective
    else:
        f = resolve(objective)
        if box is None:
            require_confining(f)
        landscape = describe_landscape(f, box=box, seed=seed)
    records = tuple(_record(landscape, s, Langevin.of_momentum(s, alpha, noise)) for s in asked)
    options: dict[str, Any] = {"noise": float(noise), "momentum": alpha}
    return RateCurve(records, METHOD, landscape.objective.name, options)


def _record(landscape: Landscape, learning_rate: float, langevin: Langevin) -> LawRate:
    """The law at one learning rate."""
    began = time.perf_counter()
    several = len(landscape.minima) > 1 and not landscape.unbounded
    leading, errors, turnover = _leading(landscape, langevin) if several else (np.empty(0), np.empty(0), 0.0)
    first, error = (float(each[0]) if several else math.nan for each in (leading, errors))
    notes = (TURNOVER,) if turnover > TOLD else (TOO_WIDE,) if several and error > WIDEST else ()
    return LawRate(
        learning_rate, first, first - error, first + error, error <= WIDEST, "reduced generator",
        len(landscape.minima), time.perf_counter() - began, tuple(leading.tolist()), notes=notes,
        log_leading=tuple(leading.tolist()), log_errors=tuple(errors.tolist()),
        coefficients=(math.nan,) * leading.size,
    )  # fmt: skip


def _leading(landscape: Landscape, langevin: Langevin) -> tuple[Array, Array, float]:
    """Logarithms of the rates, their errors, and what the turnover has in these."""
    s, friction = langevin.usual_learning_rate, langevin.friction
    found = log_rates(well_graph(landscape, s, friction=friction))
    moved = [log_rates(well_graph(landscape, s, order=1, side=side, friction=friction)) for side in (-1, 0, 1)]
    next_order = np.max([abs(each - found) for each in moved], axis=0)
    turnover = _turnover(landscape, langevin)
    return found, NEXT_ORDER * next_order + turnover + 1e-14 * abs(found), turnover


def _turnover(landscape: Landscape, langevin: Langevin) -> float:
    """By how much, in logarithms, rates may be below the law since paths are not caught: the most at one saddle."""
    worst = 0.0
    for z in landscape.saddles:
        ends = [landscape.minima[i] for i in z.connects if i is not None]
        actions = [ACTION * (z.value - m.value) / math.sqrt(float(m.curvatures.max())) for m in ends]
        losses = [langevin.friction * action / langevin.temperature for action in actions]
        worst = max(worst, -sum(log_depopulation(loss) for loss in losses if loss > 0))
    return worst


def log_depopulation(loss: float) -> float:
    """log Upsilon(delta) = (1/2 pi) int log(1 - e^{-delta (x^2 + 1/4)})/(x^2 + 1/4) dx, delta: the energy lost on the
    way through the well and back over T. The rate is the law's times Upsilon [Melnikov1986]; delta for small delta.

    >>> from witten.landscape.laws.kramers_law import log_depopulation
    >>> print(f"{log_depopulation(1e-3) / math.log(1e-3):.1f} {log_depopulation(40.0):.4f}")
    1.0 -0.0000

    Raises
    ------
    RequestError
        unless delta is positive.
    """
    if not loss > 0:
        raise RequestError(f"the energy lost must be positive, got {loss}")

    def integrand(angle: float) -> float:  # x = tan(angle)/2
        exponent = loss / (4 * math.cos(angle) ** 2)
        return math.log(-math.expm1(-min(exponent, 700.0)))

    value, _ = quad(integrand, 0.0, math.pi / 2, limit=200)
    return float(2 * value / math.pi)
