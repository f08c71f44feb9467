"""The chain on the minima: Q at s as a graph of masses and conductances, and where there is none."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.landscape.landscape import Landscape, Saddle
from witten.landscape.laws.first_order import first_order
from witten.landscape.laws.laplace_series import series_law
from witten.linalg.graded_eigenvalues import WellGraph, log_rates
from witten.number_format import listed
from witten.objectives import Objective
from witten.objectives.growth.conditions import is_confining
from witten.request import positive

__all__ = ["law_log_rates", "log_factors", "log_frequency", "require_confining", "require_law", "well_graph"]

Array = NDArray[np.float64]


def law_log_rates(landscape: Landscape, learning_rate: float, *, order: int = 0) -> Array:
    """Logarithms of the non-zero eigenvalues of -Q at s, ascending, shape (n_min - 1,); errors as `eyring_kramers`.

    None where barriers grow without bound: of endlessly many rates, with zero as their limit, a list is no part."""
    if len(landscape.minima) < 2 or landscape.unbounded:
        require_law(landscape)
        positive("learning rate", learning_rate)
        return np.empty(0)
    return log_rates(well_graph(landscape, learning_rate, order=order))


def well_graph(
    landscape: Landscape, learning_rate: float, *, order: int = 0, side: int = 0, share: float = 1.0,
    friction: float | None = None,
) -> WellGraph:
    """Q at s as a graph: masses pi_i ~ e^{-2 f(m_i)/s}/sqrt(det Hess f(m_i)), and for each saddle a conductance
    |eta|/(2 pi) e^{-2 f(z)/s}/sqrt|det Hess f(z)|; saddles between the same wells add. Errors as `eyring_kramers`.

    With a friction the |eta| before the exponential is lambda_+, the growth rate at the saddle with momentum
    [Kramers1940]. With order=1 the factors of first order are in them, with 2, 3, ... those of `laplace_series`, or a
    share of their logarithms; with side=1 or -1 their errors, too, for the fastest and the slowest rates."""
    require_law(landscape)
    positive("learning rate", learning_rate)
    lowest = landscape.minima[0].value
    masses = np.array([-0.5 * m.log_det - 2 * (m.value - lowest) / learning_rate for m in landscape.minima])
    factors = np.zeros(len(landscape.saddles))
    if order:
        of_masses, factors = log_factors(landscape, learning_rate / 2, order, side)
        masses, factors = masses + share * of_masses, share * factors
    log_c = np.full((masses.size, masses.size), -np.inf)
    for z, factor in zip(landscape.saddles, factors, strict=True):
        i, j = z.connects
        if i is None or j is None or i == j:
            continue
        value = log_frequency(z, friction) - 0.5 * z.log_det - 2 * (z.value - lowest) / learning_rate + factor
        log_c[i, j] = log_c[j, i] = np.logaddexp(log_c[i, j], value)
    return WellGraph(masses, log_c)


def log_factors(landscape: Landscape, t: float, order: int, side: int) -> tuple[Array, Array]:
    """Logarithms of the factors of masses and conductances to an order of at least one, t = s/2."""
    if order > 1:
        return series_law(landscape).log_factors(t, order, side)
    return first_order(landscape).log_factors(t, side)


def require_confining(objective: Objective) -> None:
    """RequestError where there is no law for want of a Gibbs measure: before critical points are searched for, which
    may take long and find no end."""
    if is_confining(objective) is False:
        raise RequestError(_not_confining(objective.name))


def _not_confining(name: str) -> str:
    return f"no Eyring-Kramers law: {name} is not confining (e^(-2f/s) has no finite integral)"


def require_law(landscape: Landscape) -> None:
    """RequestError, with the reason, where the law does not hold."""
    name = landscape.objective.name
    if landscape.conditions.confining is False and not landscape.boxed:
        raise RequestError(_not_confining(name))
    for minimum in landscape.minima:
        if minimum.degenerate:
            raise RequestError(
                f"no Eyring-Kramers law: {name} has a degenerate minimum at ({listed(minimum.x)}), where a curvature "
                "is zero; witten gap computes the rate without it"
            )
    joined = [landscape.saddles[pair.saddle].value for pair in landscape.pairs if pair.saddle is not None]
    highest = max(joined, default=-math.inf) if landscape.connected else math.inf
    for point in (*landscape.saddles, *landscape.others):
        if point.degenerate and point.value <= highest and len(landscape.minima) > 1:
            raise RequestError(
                f"no Eyring-Kramers law: {name} has a degenerate critical point at ({listed(point.x)}), where wells "
                "may join; witten gap computes the rate without it"
            )
    if not landscape.connected:
        raise RequestError(
            f"no Eyring-Kramers law: the saddles found do not join all minima of {name}; give a box that holds them"
        )
    if not landscape.minima:
        raise RequestError(f"no Eyring-Kramers law: {name} has no minimum; give a confining objective")


def log_frequency(z: Saddle, friction: float | None = None) -> float:
    """log(|eta|/(2 pi)), or log(lambda_+/(2 pi)), lambda_+ = sqrt(gamma^2/4 + |eta|) - gamma/2."""
    eta = abs(float(z.curvatures[0]))
    growth = eta if friction is None else eta / (math.sqrt(friction**2 / 4 + eta) + friction / 2)
    return math.log(growth / (2 * math.pi))
