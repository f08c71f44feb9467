"""Critical learning rates in closed form, each with an experiment that finds the same number: a table to read, and to
run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from witten.descent.attractors.attractor import DIVERGES, FIXED, SLOW, Fate, fate
from witten.descent.bifurcation import doublings
from witten.descent.gradient_map import DescentMap, stability_threshold
from witten.descent.lyapunov import lyapunov, random_product
from witten.descent.orbits import orbits, polish
from witten.errors import ConvergenceError, RequestError
from witten.objectives.losses.factorisation import balanced_line, deep_scalar, scalar_factorisation
from witten.objectives.objective import Objective
from witten.objectives.symbolic.grammar import nearest

__all__ = ["THRESHOLDS", "Threshold", "critical_learning_rate", "measure", "predict", "two_minima"]

Parameters = Mapping[str, float]


@dataclass(frozen=True)
class Threshold:
    """A closed form and the experiment that measures it.

    Attributes
    ----------
    name : a word
    formula : what it says, in a line
    parameters : with the values that are taken where none are given
    predict, measure : of the parameters; `measure` runs gradient descent
    tolerance : relative difference that the experiment can be trusted to
    """

    name: str
    formula: str
    parameters: Parameters
    predict: Callable[..., float]
    measure: Callable[..., float]
    tolerance: float = 1e-3


def predict(name: str, **parameters: float) -> float:
    """The closed form; RequestError for an unknown name or parameter.

    >>> from witten.descent.thresholds import predict
    >>> predict("flip"), round(predict("minimum", x=2.0), 6)
    (1.0, 0.2)
    """
    return _entry(name, parameters).predict(**{**THRESHOLDS[name].parameters, **parameters})


def measure(name: str, **parameters: float) -> float:
    """What the experiment finds; RequestError for an unknown name or parameter."""
    return _entry(name, parameters).measure(**{**THRESHOLDS[name].parameters, **parameters})


def _entry(name: str, parameters: Parameters) -> Threshold:
    if name not in THRESHOLDS:
        hint = nearest(name, THRESHOLDS)
        raise RequestError(f"unknown threshold {name[:60]!r}{hint}; known: {', '.join(THRESHOLDS)}")
    for key in parameters:
        if key not in THRESHOLDS[name].parameters:
            raise RequestError(f"{name} has no parameter {key!r}; it has {', '.join(THRESHOLDS[name].parameters)}")
    return THRESHOLDS[name]


def critical_learning_rate(
    holds: Callable[[float], bool], low: float, high: float, *, rtol: float = 1e-4
) -> float:
    """The learning rate in [low, high] up to which something holds, by bisection.

    Raises
    ------
    ConvergenceError
        if it does not hold at `low`, or still holds at `high`.
    """
    if not holds(low) or holds(high):
        raise ConvergenceError(f"nothing changes between learning rates {low:g} and {high:g}; give a wider bracket")
    while high - low > rtol * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return 0.5 * (low + high)


def two_minima() -> Objective:
    """(x^2 + 1)(x - 1)^2 (x - 2)^2: a flat minimum at 1 and a sharp one at 2 [Nar2018]."""
    return Objective.from_formula("(x^2+1)*(x-1)^2*(x-2)^2")


# --------------------------------------------------------------------------------------------- the experiments
def _stays(objective: Objective, x: np.ndarray, s: float, steps: int = 40_000) -> bool:
    """Whether a run from next to a minimum x ends at a fixed point there."""
    start = x * (1 + 1e-4) + 1e-5
    found = fate(objective, s, start, steps=steps)
    return found.kind in (FIXED, SLOW) and bool(abs(found.x[:, 0] - x).max() < 0.02 * (1 + abs(x).max()))


def _minimum(x: float) -> float:
    return 2.0 / float(two_minima().hessian([x])[0, 0])


def _minimum_measured(x: float) -> float:
    guess, f = _minimum(x), two_minima()
    return critical_learning_rate(lambda s: _stays(f, np.array([x]), s), 0.7 * guess, 1.3 * guess)


def _with_momentum(alpha: float, nesterov: float) -> float:
    return stability_threshold(alpha, nesterov=bool(nesterov)) / 2.0


def _with_momentum_measured(alpha: float, nesterov: float) -> float:
    """Up to which a run ends in the minimum 1 of (1 - x^2)^2/4, of sharpness 2."""
    return critical_learning_rate(
        lambda s: fate(balanced_line(), s, [0.999], momentum=alpha, nesterov=bool(nesterov), steps=20_000).period == 1,
        0.9 * _with_momentum(alpha, nesterov), 1.1 * _with_momentum(alpha, nesterov),
    )  # fmt: skip


def _period_four(alpha: float) -> float:
    """(1 + alpha) a with (1 + alpha)^2 (9 - 2 (1 + a)^2) = -(1 - alpha)^2: pairs of momentum alpha have the 2-cycles
    that descent has at a = s/(1 + alpha), and -1 is a multiplier where descent's is -((1 - alpha)/(1 + alpha))^2."""
    ratio = (1 - alpha) / (1 + alpha)
    return (1 + alpha) * (math.sqrt((9 + ratio**2) / 2) - 1)


def _period_four_measured(alpha: float) -> float:
    s = _period_four(alpha)
    return doublings(balanced_line(), [0.99], 0.97 * s, 1.1 * s, 1, momentum=alpha)[0].learning_rate


def _kink(s: float) -> float:
    return s**2 / 4


def _kink_measured(s: float) -> float:
    return float(abs(fate(Objective.from_formula("2/3*abs(x)^1.5"), s, [0.3]).x).max())


def _exact_step(mu: float, x: float, y: float) -> float:
    """min{1/|mu|, 8/(S + sqrt(S^2 - 16 mu (p - mu)))}, S = x^2 + y^2, p = x y [Liang2025]."""
    size, product = x**2 + y**2, x * y
    return min(1 / abs(mu), 8 / (size + math.sqrt(size**2 - 16 * mu * (product - mu))))


def _exact_step_measured(mu: float, x: float, y: float) -> float:
    f = scalar_factorisation(mu)

    def converges(s: float) -> bool:
        found = fate(f, s, [x, y], steps=20_000)
        return found.kind in (FIXED, SLOW) and float(f(found.x[:, 0])) < 1e-3 * mu**2

    guess = _exact_step(mu, x, y)
    return critical_learning_rate(converges, 0.6 * guess, 1.4 * guess)


def _deep(depth: float, rho: float) -> float:
    """2/(L rho^{2 (L - 1)/L})."""
    return 2.0 / (depth * rho ** (2 * (depth - 1) / depth))


def _deep_measured(depth: float, rho: float) -> float:
    f, x = deep_scalar(rho, depth=int(depth)), np.full(int(depth), rho ** (1 / depth))
    guess = _deep(depth, rho)
    return critical_learning_rate(lambda s: _stays(f, x, s), 0.7 * guess, 1.3 * guess)


def _line(a: float) -> Fate:
    """The fate on the balanced line, from a start in general position."""
    return fate(balanced_line(), a, [0.3173], steps=20_000)


def _catapult_measured() -> float:
    """Largest a at which no step from z > 1 makes the residual z^2 - 1 change sign and grow."""

    def tame(a: float) -> bool:
        z = np.linspace(1.0001, math.sqrt(1 + 1 / a), 20_001)
        after = DescentMap(balanced_line(), a)(z[None])[0]
        return bool(((after**2 - 1) / (z**2 - 1)).min() >= -1)

    return critical_learning_rate(tame, 0.5, 0.99)


def _superstable_measured() -> float:
    """Where the multiplier of the 2-cycle with both points positive is zero."""
    points = _line(1.05).x

    def multiplier(a: float) -> float:
        orbit = polish(DescentMap(balanced_line(), a), points)
        return float("nan") if orbit is None else float(orbit.multipliers[0].real)

    return critical_learning_rate(lambda a: multiplier(a) > 0, 1.06, 1.2, rtol=1e-10)


def _chaos_measured() -> float:
    """The accumulation point of the period doublings, extrapolated from the last three (Aitken)."""
    a, b, c = [each.learning_rate for each in doublings(balanced_line(), [0.9], 0.9, 1.4, 7)][-3:]
    return c - (c - b) ** 2 / ((c - b) - (b - a))


def _merging_measured() -> float:
    """Up to which the attractor of z > 0 does not reach z < 0, judged on the critical point's orbit."""

    def apart(a: float) -> bool:
        top = math.sqrt((1 + a) / (3 * a))
        return bool(DescentMap(balanced_line(), a).path([top], 20_000).min() > 0)

    return critical_learning_rate(apart, 1.4, 1.9)


def _escape_measured() -> float:
    """Up to which the critical point's orbit is bounded."""

    def bounded(a: float) -> bool:
        return fate(balanced_line(), a, [math.sqrt((1 + a) / (3 * a))], steps=20_000).kind != DIVERGES

    return critical_learning_rate(bounded, 1.7, 2.3)


def _full_chaos_measured() -> float:
    return float(lyapunov(DescentMap(balanced_line(), 2.0), [0.3173], 400_000).exponents[0])


def _transverse(a: float) -> float:
    return 3.0 - 2.0 * a


def _transverse_measured(a: float) -> float:
    """Across x = y, on the 2-cycle of f = (1 - x y)^2/2 that lies on it."""
    found = fate(scalar_factorisation(1.0), a, [0.9, 0.9], steps=20_000)
    return math.exp(2 * float(found.transverse[0]))


def _multiscale(s: float, eps: float) -> float:
    return math.log(s / (2 * eps))


def _multiscale_measured(s: float, eps: float) -> float:
    return float(lyapunov(DescentMap(multiscale(eps), s), [1.0], 400_000).exponents[0])


def multiscale(eps: float) -> Objective:
    """x^2/2 + eps sin(x/eps): a bowl under a ripple of amplitude and period of order eps [Kong2020]."""
    return Objective.from_formula(f"x^2/2 + {eps!r}*sin(x/{eps!r})")


def _random(low: float, high: float) -> float:
    """1/low + 1/high, where (s low - 1)(s high - 1) = 1; the last zero of the mean of log |1 - s h|, and the only one
    if high/low < 3 + 2 sqrt 2."""
    return (low + high) / (low * high)


def _random_measured(low: float, high: float) -> float:
    def attracts(s: float) -> bool:
        return random_product(np.array([[[1 - s * low]], [[1 - s * high]]]))[0] < 0

    return critical_learning_rate(attracts, 0.75 * _random(low, high), 1.3 * _random(low, high), rtol=1e-9)


def _period_three_measured() -> float:
    """Number of cycles of period three at a = 2, where the line is a threefold cover of an interval."""
    return float(len(orbits(DescentMap(balanced_line(), 2.0), 3, [(-1.5, 1.5)])))


_ON_THE_LINE = "z' = z + a z (1 - z^2): "
THRESHOLDS = {
    entry.name: entry
    for entry in (
        Threshold("minimum", "2/f''(x) at the minimum x = 1 or 2 of (x^2+1)(x-1)^2(x-2)^2", {"x": 2.0}, _minimum,
                  _minimum_measured, 2e-4),
        Threshold("kink-cycle", "s^2/4, the amplitude of the 2-cycle of (2/3)|x|^(3/2)", {"s": 0.4}, _kink,
                  _kink_measured, 1e-9),
        Threshold("scalar-factorisation",
                  "min{1/|mu|, 8/(S + sqrt(S^2 - 16 mu (p - mu)))}, S = x^2 + y^2, p = x y, for (mu - x y)^2/2",
                  {"mu": 1.0, "x": 3.0, "y": 0.7}, _exact_step, _exact_step_measured, 1e-3),
        Threshold("deep-linear", "2/(L rho^(2(L-1)/L)), L layers whose product is rho", {"depth": 3, "rho": 2.0}, _deep,
                  _deep_measured, 2e-4),
        Threshold("catapult", _ON_THE_LINE + "2 sqrt 2 - 2, the loss may grow before it falls", {},
                  lambda: 2 * math.sqrt(2) - 2, _catapult_measured, 2e-4),
        Threshold("flip", _ON_THE_LINE + "1, the minimum becomes a 2-cycle", {}, lambda: 1.0,
                  lambda: critical_learning_rate(lambda a: _line(a).period == 1, 0.9, 1.1), 2e-4),
        Threshold("superstable", _ON_THE_LINE + "3/sqrt 2 - 1, the 2-cycle is superstable", {},
                  lambda: 3 / math.sqrt(2) - 1, _superstable_measured, 1e-8),
        Threshold("period-four", _ON_THE_LINE + "sqrt 5 - 1, the 2-cycle doubles", {}, lambda: math.sqrt(5) - 1,
                  lambda: doublings(balanced_line(), [0.9], 1.05, 1.3, 1)[0].learning_rate, 1e-9),
        Threshold("chaos", _ON_THE_LINE + "about 1.3023, doublings accumulate", {}, lambda: 1.3023, _chaos_measured,
                  4e-5),
        Threshold("merging", _ON_THE_LINE + "3 sqrt 3/2 - 1, the attractors of z > 0 and z < 0 merge", {},
                  lambda: 1.5 * math.sqrt(3) - 1, _merging_measured, 2e-4),
        Threshold("escape", _ON_THE_LINE + "2, runs diverge", {}, lambda: 2.0, _escape_measured, 2e-4),
        Threshold("full-chaos", _ON_THE_LINE + "log 3, the Lyapunov exponent at a = 2", {}, lambda: math.log(3),
                  _full_chaos_measured, 2e-3),
        Threshold("three-cycles", _ON_THE_LINE + "(3^3 - 3)/3 = 8 cycles of period three at a = 2", {}, lambda: 8.0,
                  _period_three_measured, 0.0),
        Threshold("transverse", "3 - 2 a, the multiplier across x = y of the balanced 2-cycle of (1 - x y)^2/2",
                  {"a": 1.15}, _transverse, _transverse_measured, 1e-9),
        Threshold("momentum", "(1 + alpha), Nesterov's (1 + alpha)/(1 + 2 alpha): 2-cycles around 1 of (1 - x^2)^2/4",
                  {"alpha": 0.5, "nesterov": 0.0}, _with_momentum, _with_momentum_measured, 2e-4),
        Threshold("momentum-period-four",
                  "(1 + alpha)(sqrt((9 + r^2)/2) - 1), r = (1 - alpha)/(1 + alpha): these 2-cycles double",
                  {"alpha": 0.5}, _period_four, _period_four_measured, 1e-9),
        Threshold("multiscale", "log(s/(2 eps)), the Lyapunov exponent on x^2/2 + eps sin(x/eps)",
                  {"s": 0.1, "eps": 1e-3}, _multiscale, _multiscale_measured, 0.02),
        Threshold("random-product", "1/low + 1/high, SGD on samples of curvature low and high",
                  {"low": 1.0, "high": 3.0}, _random, _random_measured, 1e-8),
    )
}  # fmt: skip
