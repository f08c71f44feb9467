"""The theorem's bound on the excess risk, with its constants, beside the risk itself: how loose is it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.errors import RequestError
from witten.objectives import Objective, resolve
from witten.request import positive
from witten.risk.laws.fokker_planck import on_two_grids
from witten.risk.laws.gibbs_risk import gibbs_points
from witten.risk.separable import START_HEIGHT, Term, starting_point, terms, without_constant
from witten.schedules import Schedule

__all__ = ["Plateau", "RiskBound", "plateau", "risk_bound"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plateau:
    """What the excess risk tends to at a learning rate, and how it grows with it.

    Attributes
    ----------
    learning_rate : s
    risk : eps(s) = E_mu f - min f
    slope : eps'(s) = 2 Var_mu(f)/s^2
    deviation : C(s), the standard deviation of f under mu_s, the best constant of the bound
    """

    learning_rate: float
    risk: float
    slope: float
    deviation: float

    @property
    def linear(self) -> float:
        """A = eps(s)/s: eps(s) <= A s; d/4 for one well of d dimensions as s -> 0."""
        return self.risk / self.learning_rate


@dataclass(frozen=True, eq=False)
class RiskBound:
    """E f(X_t) - min f <= eps(s) + D e^{-lambda (t - t_0)}, D = C(s) ||rho_{t_0} - mu_s||, norm of L2(1/mu_s).

    From a point the norm is infinite at t = 0: the law at a time t_0 > 0 is taken.

    Attributes
    ----------
    plateau : eps(s) and C(s)
    rate : lambda
    factor : D
    times : t from t_0 on, shape (n,)
    risk : E f(X_t) - min f
    """

    plateau: Plateau
    rate: float
    factor: float
    times: Array
    risk: Array

    @property
    def bound(self) -> Array:
        """The right-hand side, shape (n,)."""
        fading = np.exp(-self.rate * (self.times - self.times[0]))
        return np.asarray(self.plateau.risk + self.factor * fading)

    @property
    def looseness(self) -> Array:
        """How many times larger the bound on the transient is than the transient, shape (n,); inf where that is not
        positive."""
        transient = np.abs(self.risk - self.plateau.risk)
        with np.errstate(divide="ignore"):
            return np.asarray((self.bound - self.plateau.risk) / transient)


def plateau(objective: Objective | str, learning_rate: float, *, noise: float = 1.0) -> Plateau:
    """eps(s), its slope and C(s), by quadrature.

    >>> print(f"{witten.risk.plateau('x^2/2', 0.1).risk:.4f}")  # s/4
    0.0250

    Raises
    ------
    RequestError
        unless f is a sum of functions of one variable, or has at most three.
    """
    f = without_constant(resolve(objective))
    positive("learning rate", learning_rate)
    s = learning_rate * noise**2
    risk = variance = 0.0
    for term in terms(f, np.zeros(f.dimension)):
        one, spread = _moments(term, s)
        risk, variance = risk + term.count * one, variance + term.count * spread
    return Plateau(float(learning_rate), risk, 2 * variance / s**2 * noise**2, float(np.sqrt(variance)))


def _moments(term: Term, s: float) -> tuple[float, float]:
    """Mean and variance of f - min f under mu_s."""
    if term.objective.dimension > 3:
        raise RequestError(f"{term.objective.name} has too many variables for quadrature, which takes up to three")
    excess = term.excess(gibbs_points(term.objective, s))
    weights = np.exp(-2.0 * excess / s)
    weights /= weights.sum()
    mean = float(weights @ excess)
    return mean, float(weights @ (excess - mean) ** 2)


def risk_bound(
    objective: Objective | str, learning_rate: float, time: float, x0: ArrayLike | None = None, *,
    after: float | None = None, noise: float = 1.0, points: int = 200,
) -> RiskBound:  # fmt: skip
    """The bound and the risk of the SDE at a constant learning rate, from the law at time t_0 on.

    >>> found = witten.risk.risk_bound("x^2/2", 0.1, 2.0, (1.0,), after=1.0)
    >>> bound = found.plateau.risk + found.factor * np.exp(-found.rate * (found.times - 1.0))
    >>> bool(np.all(found.risk <= bound))
    True

    Parameters
    ----------
    objective, x0, noise : as in `excess_risk`
    learning_rate : s
    time : the last t
    after : t_0; a hundredth of the time where left out

    Raises
    ------
    RequestError
        if the times are out of order, or the law at t_0 has no finite norm: take a later one.
    """
    f = without_constant(resolve(objective))
    t0 = time / 100 if after is None else float(after)
    if not 0 < t0 < time:
        raise RequestError(f"the bound starts from a time between 0 and {time:g}, got {t0:g}")
    start = starting_point(f, x0, START_HEIGHT * f.dimension * learning_rate * noise**2)
    times = np.linspace(t0, time, points)
    risk, chi = np.zeros(points), 1.0
    rates = []
    for term in terms(f, start):
        *_, law = on_two_grids(term, Schedule.constant(learning_rate, 1), noise)
        values, norm, rate = law.from_time(learning_rate, times)
        risk += term.count * values
        chi *= (1.0 + norm) ** term.count
        rates.append(rate)
    if not np.isfinite(chi):
        raise RequestError(f"the norm of the distribution at time {t0:g} is not finite; let the bound start later")
    level = plateau(f, learning_rate, noise=noise)
    return RiskBound(level, min(rates), level.deviation * float(np.sqrt(chi - 1.0)), times, risk)
