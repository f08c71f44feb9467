"""Whether momentum helps SGD over barriers, per step, at equal temperature and at equal learning rates; the momentum
that does best; and what of the literature's claims stands.

In one variable, where the recursion is a matrix and its Langevin equation an operator; risks also on a sum of two."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.descent.attractors.attractor import fate
from witten.kinetic.momentum_gap import langevin_gap, momentum_gap
from witten.landscape.landscape import describe_landscape
from witten.landscape.laws.kramers_law import kramers_law
from witten.langevin import BBK, SHI, Langevin
from witten.objectives import resolve
from witten.risk import RiskCurve, excess_risk
from witten.sgd.momentum_chain import momentum_chain
from witten.sgd.transfer_spectrum import transfer_spectrum
from witten.studies.study import Check, Illustration, Study, above, agrees, at_most, close, same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
# That of SGD without momentum at s = 0.1.
TEMPERATURE = 0.05
# Of the quadratic, whose pairs of nodes are then few.
HOT = 0.2
WELL, PAPER, BOWL = "double-well", "shi-su-jordan-1d", "x^2/2"
# Curvature of the best minimum of shi-su-jordan, 2 (1.4^2 + 0.1), in both variables.
THETA = 4.12
# One deep well and a shallow one, whose rates differ by e^-10 at the temperature at which the law is examined.
TILTED, COLD = "double-well:tilt=0.1", 0.02


def run(*, quick: bool = False) -> Study:
    """Every claim; with `quick` for fewer momenta."""
    alphas, grid = ((0.5,), (0.0, 0.4, 0.8)) if quick else ((0.5, 0.8), (0.0, 0.2, 0.4, 0.6, 0.8))
    more = [] if quick else [*_turnover(), *_prefactor()]
    checks = (*_barriers(alphas), *_best(grid), *_bowl(), *_claims(), *_risks(), *more)
    figures = (
        Illustration("per-step", "Rates per step at equal temperature over those without momentum: over barriers "
                     "momentum does not help, within a well up to twofold.", _draw_rates),
        Illustration("risks", "The excess risk on shi-su-jordan with and without momentum at equal temperature.",
                     _draw_risks),
    )  # fmt: skip
    return Study("momentum", "Whether momentum helps over barriers", checks, figures)


def _rate(alpha: float, temperature: float = TEMPERATURE) -> float:
    """The learning rate that has the temperature with this momentum: 2 T (1 - alpha)."""
    return 2 * temperature * (1 - alpha)


@cache
def _chain(objective: str, s: float, alpha: float) -> tuple[float, float]:
    """Rate per step of the recursion itself, -log of the ratio of its first eigenvalues, and its error."""
    found = momentum_chain(objective, s, alpha, 2) if alpha else transfer_spectrum(resolve(objective), s, 2)
    return s * float(found.rate), found.gap_error


@cache
def _operator(objective: str, alpha: float, equation: str = BBK) -> float:
    """Rate per step of the Langevin equation at the temperature, or of the one printed for that learning rate."""
    rate = momentum_gap(objective, _rate(alpha), alpha, equation=equation).records[0].rate
    time = Langevin.of_momentum(_rate(alpha), alpha, equation=equation).step_time
    return math.nan if rate is None or time is None else rate * time


def _law(alpha: float, curvature: float = 1.0) -> float:
    """lambda_+ dt, all of Kramers's law that depends on momentum at one temperature: r = gamma dt/2,
    sqrt(r^2 + 4 T r |eta|) - r, which falls with alpha."""
    r = (1 - alpha) / (1 + alpha)
    return math.sqrt(r**2 + 4 * TEMPERATURE * r * curvature) - r


def _barriers(alphas: tuple[float, ...]) -> list[Check]:
    out = []
    without, _ = _chain(WELL, _rate(0.0), 0.0)
    for alpha in alphas:
        s = _rate(alpha)
        per_step, _ = _chain(WELL, s, alpha)
        of = f"{WELL}, momentum {alpha:g}, s = {s:g}"
        out += [
            close(f"{of}: rate per step of the recursion over that of its Langevin equation, 1 + O(s)", 1.0,
                  per_step / _operator(WELL, alpha), absolute=s),
            at_most(f"{of}: rate per step over that without momentum at the same temperature", 1.0, per_step / without),
            close(f"{of}: the same by Kramers's law, 1 + O(T)", _law(alpha) / _law(0.0), per_step / without,
                  relative=2 * TEMPERATURE),
        ]  # fmt: skip
    s = _rate(0.5)
    wells = describe_landscape(resolve(WELL))
    laws = [kramers_law(wells, s, alpha).records[0] for alpha in (0.5, 0.0)]
    steps = [Langevin.of_momentum(s, alpha).step_time or math.nan for alpha in (0.5, 0.0)]
    expected = laws[0].log_rate - laws[1].log_rate + math.log(steps[0] / steps[1])
    observed = math.log(_chain(WELL, s, 0.5)[0] / _chain(WELL, s, 0.0)[0])
    bar = laws[0].log_error + laws[1].log_error
    return [
        *out,
        above(f"{WELL}, s = {s:g}: rate per step with momentum 0.5 over that without, at the same s", 10.0,
              math.exp(observed)),
        agrees("the log of that by Kramers's law", expected, observed, observed - bar, observed + bar),
    ]  # fmt: skip


def _best(grid: tuple[float, ...]) -> list[Check]:
    """Which momentum has the largest rate per step at the temperature."""
    which = f"at temperature {TEMPERATURE:g}: the momentum, of {', '.join(f'{a:g}' for a in grid)}, best per step"
    return [
        same(f"{name} {which}", 0.0, max(grid, key=partial(_operator, name)))
        for name in (WELL, PAPER)
    ]


def _turnover() -> list[Check]:
    """Per unit of the equation's time there is a best friction; per step it is none that helps."""
    rate = langevin_gap(WELL, 0.36303, TEMPERATURE, rtol=1e-7).rate or math.nan
    beside = max(langevin_gap(WELL, friction, TEMPERATURE).rate or math.nan for friction in (0.3, 0.45))
    r = 0.36303**2 * TEMPERATURE
    return [
        close(f"{WELL}: rate per time at friction 0.36303, the best one", 2.27625847e-3, rate, relative=1e-6),
        at_most("at frictions 0.3 and 0.45, over that", 1.0, beside / rate),
        at_most(f"per step, which is momentum {(1 - r) / (1 + r):.3f}, over SGD without it", 0.5,
                rate * math.sqrt(4 * TEMPERATURE * r) / _operator(WELL, 0.0)),
    ]  # fmt: skip


def _relaxation(alpha: float, temperature: float = TEMPERATURE) -> float:
    """-log of the modulus of the larger root of z^2 - (1 + alpha - s) z + alpha at the temperature."""
    return -math.log(float(abs(np.roots([1.0, _rate(alpha, temperature) - 1 - alpha, alpha])).max()))


def _bowl() -> list[Check]:
    """A quadratic of curvature 1, c = 2 T: at one temperature both roots meet where 1 - alpha = 4 c/(1 + c)^2."""
    c = 2 * HOT
    best = ((1 - c) / (1 + c)) ** 2
    found = {alpha: _chain(BOWL, _rate(alpha, HOT), alpha) for alpha in (0.1, best, 0.3)}
    top = max(found, key=lambda alpha: found[alpha][0])
    bar = found[best][1] / found[best][0] + 1e-6
    alike = [
        close(f"{BOWL}, momentum {alpha:.3g}, s = {_rate(alpha, HOT):.3g}: rate per step, -log|z|",
              _relaxation(alpha, HOT), rate, absolute=error + 1e-9)
        for alpha, (rate, error) in found.items()
    ]  # fmt: skip
    s = 0.05
    polyak = (1 - math.sqrt(s)) ** 2
    end = fate(resolve(BOWL), s, [1.0], momentum=polyak)
    return [
        *alike,
        same(f"{BOWL} at temperature {HOT:g}: the momentum best per step is ((1 - c)/(1 + c))^2, c = 2 T",
             round(best, 6), round(top, 6)),
        close("and its rate per step over that without momentum is log((1 + c)/(1 - c))/-log(1 - c), below 2",
              math.log((1 + c) / (1 - c)) / -math.log(1 - c), found[top][0] / _chain(BOWL, _rate(0.0, HOT), 0.0)[0],
              relative=bar),
        close(f"{BOWL} at s = {s:g} without noise: (1 - sqrt(s))^2 contracts by 1 - sqrt(s) a step", 1 - math.sqrt(s),
              float(abs(end.multipliers[0])), absolute=1e-6),
    ]  # fmt: skip


def _claims() -> list[Check]:
    """Of [Shi2024], beside the recursion."""
    s, alpha = 0.05, 0.5
    equation = Langevin.of_momentum(s, alpha, equation=SHI)
    variance = 2 * excess_risk(BOWL, f"{s}:200", (0.5,), momentum=alpha, plateaus=False).final
    return [
        close("x^2/2, momentum 0.5, s = 0.05: variance over s/(2(1 - alpha)), 1/(1 - s/(2(1 + alpha)))",
              1 / (1 - s / (2 * (1 + alpha))), variance / (s / (2 * (1 - alpha))), relative=1e-9),
        above("variance over the temperature of the printed equation; 1 + O(s) if it stood, 2/(1 + alpha) = 1.33",
              1.3, variance / equation.temperature),
        above(f"{WELL}: rate per step of the recursion over that of the printed equation; 1 + O(s) if it stood", 5.0,
              _chain(WELL, s, alpha)[0] / _operator(WELL, alpha, SHI)),
        above("momentum 1/3, s = 0.1: rate per step over that of SGD at the same s; 1 if they were equal", 3.0,
              _chain(WELL, 0.1, 1 / 3)[0] / _chain(WELL, 0.1, 0.0)[0]),
    ]  # fmt: skip


def _prefactor() -> list[Check]:
    """Of a well so deep beside the other that one rate is all of the gap."""
    alpha = 0.5
    s = 2 * COLD * (1 - alpha)
    law = kramers_law(TILTED, s, alpha).records[0]
    apart = momentum_gap(TILTED, s, alpha).records[0].log_rate - law.log_rate
    return [
        agrees(f"{TILTED}, T = {COLD:g}: log of the rate over the law with prefactor lambda_+/(2 pi)", 0.0, apart,
               apart - law.log_error, apart + law.log_error),
        at_most("the rate over the law with the printed 1/pi", 0.6, math.exp(apart) / 2),
    ]  # fmt: skip


def _second_moments(s: float, alpha: float, steps: int) -> float:
    """E x^2/2 of the recursion on x^2/2 from rest at 1: mean and covariance of pairs, step by step."""
    step = np.array([[1 + alpha - s, -alpha], [1.0, 0.0]])
    mean, covariance = np.ones(2), np.zeros((2, 2))
    for _ in range(steps):
        mean, covariance = step @ mean, step @ covariance @ step.T + np.diag([s**2, 0.0])
    return float(mean[0] ** 2 + covariance[0, 0]) / 2


@cache
def _both() -> tuple[RiskCurve, RiskCurve]:
    """On shi-su-jordan at one temperature, with momentum 0.5 and without."""
    start = (-0.9, 0.9)
    return (
        excess_risk("shi-su-jordan", f"{_rate(0.5)}:1000", start, momentum=0.5),
        excess_risk("shi-su-jordan", f"{_rate(0.0)}:1000", start),
    )


def _risks() -> list[Check]:
    expected = _second_moments(0.1, 0.5, 40)
    chain = excess_risk(BOWL, "0.1:40", (1.0,), momentum=0.5, plateaus=False)
    runs = excess_risk(BOWL, "0.1:40", (1.0,), momentum=0.5, plateaus=False, method="simulate", records=2)
    half = 1.5 * (runs.upper[-1] - runs.final)
    momentum, without = _both()
    return [
        close("x^2/2, momentum 0.5, s = 0.1: risk after 40 steps by masses on pairs, second moments beside", expected,
              chain.final, relative=1e-9),
        agrees("the same by runs", expected, runs.final, runs.final - half, runs.final + half),
        above("shi-su-jordan: risk above its plateau after 1000 steps with momentum 0.5 over that without, at one "
              "temperature", 1.0, (momentum.final - momentum.plateau[-1]) / (without.final - without.plateau[-1])),
        close("their plateaus, (1 - s theta/2)/(1 - s theta/(2(1 + alpha))) by the curvature theta of the best minimum",
              (1 - _rate(0.0) * THETA / 2) / (1 - _rate(0.5) * THETA / 3),
              float(momentum.plateau[-1] / without.plateau[-1]), relative=0.1),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ figures
def _draw_rates() -> Figure:
    from witten.plots.style import BLUE, GREY, VERMILION, finished, new_figure

    figure, (axes,) = new_figure(1, 1, (6.4, 4.2))
    fine, few = np.linspace(0.0, 0.95, 200), (0.0, 0.2, 0.4, 0.6, 0.8)
    bowl, law = ([of(a) / of(0.0) for a in fine.tolist()] for of in (_relaxation, _law))
    axes.plot(fine, bowl, color=GREY, label="$x^2/2$, roots")
    axes.plot(fine, law, color=BLUE, label="double well, Kramers's law")
    for name, colour, mark in ((WELL, BLUE, "o"), (PAPER, VERMILION, "s")):
        axes.plot(few, [_operator(name, a) / _operator(name, 0.0) for a in few], mark, color=colour,
                  label=f"{name}, operator")  # fmt: skip
    chains = [(a, _chain(WELL, _rate(a), a)[0] / _chain(WELL, _rate(0.0), 0.0)[0]) for a in (0.0, 0.5)]
    axes.plot(*zip(*chains, strict=True), "x", color=BLUE, label=f"{WELL}, recursion")
    axes.axhline(1.0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel=r"momentum $\alpha$, at $s = 2T(1 - \alpha)$, $T = 0.05$", ylim=(0, 2.1),
             ylabel="rate per step over that without momentum")  # fmt: skip
    axes.legend(frameon=False, fontsize=8)
    return finished(figure, None)


def _draw_risks() -> Figure:
    from witten.plots import plot_risks

    return plot_risks(_both())
