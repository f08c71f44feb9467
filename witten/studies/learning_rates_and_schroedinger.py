"""Shi, Su, Jordan: On Learning Rates and Schroedinger Operators [Shi2023].

The rate at which SGD converges is the gap of a Schroedinger operator: it does not vanish with the learning rate on
convex objectives, and vanishes like e^{-2H/s} on others. Hence large steps first and small ones later."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.simulation import simulate_rate
from witten.landscape.landscape import describe_landscape
from witten.landscape.laws.eyring_kramers import eyring_kramers, prefactor
from witten.risk import IdealisedRisk, plateau, risk_bound
from witten.sgd.transfer_spectrum import transfer_spectrum
from witten.spectra.gap import gap, spectrum
from witten.studies import convex_descent
from witten.studies.crossing_risks import LARGE, PAPER, SMALL, START, Crossing
from witten.studies.study import Check, Illustration, Study, above, agrees, at_most, close, holds, same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
# The one-dimensional factor by quadrature to nine digits: s and lambda_s; its barrier and prefactor.
FACTOR = "shi-su-jordan-1d"
QUADRATURE = {0.1: 3.6128558845e-2, 0.05: 4.0316284531e-3, 0.01: 1.0956734777e-10}
BARRIER, PREFACTOR = 0.1093188456, 0.3479346925


def run(*, quick: bool = False) -> Study:
    """Every claim of the paper and its experiments; with `quick` on fewer runs."""
    risks = Crossing(60, 36) if quick else Crossing(4000, 141)
    paths = 1000 if quick else 10_000
    checks = (*_bound(), *_rates(), *_landscape(), *_chain_and_runs(), *_convex_rates(), *convex_descent.checks(paths),
              *risks.checks(), *_idealised())  # fmt: skip
    figures = (
        Illustration("risks", "Excess risk from (-0.9, 0.9) at s = 0.1 and 0.05: the larger learning rate falls faster "
                     "to a higher plateau. SGD and the SDE are two laws, O(s) apart, and cross at two times. Dots "
                     "are runs of SGD, crosses runs of the SDE.",
                     risks.draw_risks),
        Illustration("runs", "1000 runs of SGD at equal times t = ks: the four minima, left sooner where s is larger.",
                     risks.draw_runs),
        Illustration("decays", "Decay from 0.1 to 0.05 and to 0.01, beside 0.1 kept.",
                     risks.draw_decays),
        Illustration("rates", "The rate against 1/s: a line of slope -2H where there is a barrier, a constant where f "
                     "is convex.", _draw_rates),
        Illustration("convex", "GD, SGD and SGLD on 0.05 x^2 + 0.025 y^2 from (8, 8): at s = 1 SGD and SGLD are one, "
                     "at a smaller s SGLD keeps its plateau.", partial(convex_descent.draw, paths)),
        Illustration("idealised", "The idealised risk: the lower plateau of s = 0.001 costs 10^45 times as many steps.",
                     _draw_idealised),
    )  # fmt: skip
    title = "Shi, Su, Jordan: On Learning Rates and Schrödinger Operators"
    return Study("learning-rates-and-schroedinger", title, checks, figures)


# ------------------------------------------------------------------------------------------- linear convergence
def _bound() -> list[Check]:
    """Claim 1: E f(X_t) - f* <= eps(s) + D e^{-lambda t}, eps increasing, at most A s."""
    conditions = describe_landscape(PAPER).conditions
    checks = [holds("f is confining and satisfies the Villani condition",
                    conditions.confining is True and conditions.villani is True)]  # fmt: skip
    for s in (LARGE, SMALL):
        found = risk_bound(PAPER, s, 300.0, START, after=1.0)
        what = f"s = {s:g}: risk over eps(s) + D e^(-lambda t), 1 <= t <= 300"
        checks.append(at_most(what, 1.0, float((found.risk / found.bound).max())))
        tail = found.risk - found.plateau.risk
        slope = float(np.log(tail[40] / tail[80]) / (found.times[80] - found.times[40]))
        what = f"s = {s:g}: rate at which the risk of the SDE falls to eps(s), beside the gap"
        checks.append(close(what, _rate(s), slope, relative=1e-3))
    levels = [plateau(PAPER, s) for s in np.geomspace(1e-3, 1.0, 31).tolist()]
    s, eps = np.array([(level.learning_rate, level.risk) for level in levels]).T
    measured = float((plateau(PAPER, 0.1001).risk - plateau(PAPER, 0.0999).risk) / 2e-4)
    return [
        *checks,
        above("0.001 <= s <= 1: smallest slope of eps(s), strictly increasing", 0.0, min(e.slope for e in levels)),
        close("s = 0.1: slope of eps beside 2 Var(f)/s^2", plateau(PAPER, 0.1).slope, measured, relative=1e-4),
        at_most("0.001 <= s <= 1: largest eps(s)/s, so that eps(s) <= A s with A = 1", 1.0, float((eps / s).max())),
        close("eps(s)/s as s -> 0, d/4", 0.5, levels[0].linear, relative=2e-3),
    ]


# -------------------------------------------------------------------------------------------------- the rates
@cache
def _rate(s: float) -> float:
    """lambda_s of the example, in the plane."""
    return float(gap(PAPER, [s]).rates[0])


def _rates() -> list[Check]:
    """Claim 2, by the spectrum: the rates, twofold, and the barrier read off them."""
    checks = [
        close(f"rate at s = {s:g}, beside quadrature of the factor", expected, _rate(s), relative=1e-6)
        for s, expected in QUADRATURE.items()
    ]
    found = spectrum(PAPER, SMALL, 4).rates
    fit = gap(FACTOR, np.geomspace(0.005, 0.05, 10)).fit_barrier()
    return [
        *checks,
        close("s = 0.05: second rate over the first, barriers tie", 1.0, found[2] / found[1], absolute=1e-6),
        close("s = 0.05: third rate over the first, the sum of two", 2.0, found[3] / found[1], relative=1e-4),
        agrees("barrier read off the rates", BARRIER, fit.barrier, fit.barrier - fit.barrier_error,
               fit.barrier + fit.barrier_error),
        agrees("prefactor read off the rates", PREFACTOR, fit.prefactor, fit.prefactor - fit.prefactor_error,
               fit.prefactor + fit.prefactor_error),
    ]  # fmt: skip


def _landscape() -> list[Check]:
    """Claim 2, by critical points."""
    landscape = describe_landscape(PAPER)
    law = eyring_kramers(landscape, SMALL, order=0).records[0].rates
    small = [0.01, 0.005, 0.0025]
    off = gap(FACTOR, small).log_rates - eyring_kramers(FACTOR, small, order=0).log_rates
    return [
        same("minima of f", 4, len(landscape.minima)),
        close("barrier H from the critical points", BARRIER, landscape.barrier or np.nan, relative=1e-9),
        holds("barriers tie", landscape.tied),
        close("prefactor alpha from the critical points", PREFACTOR, prefactor(landscape) or np.nan, relative=1e-8),
        close("Eyring-Kramers law: second rate over the first", 1.0, law[1] / law[0], absolute=1e-12),
        close("rate over alpha e^(-2H/s), less 1, at s = 0.005 over that at s = 0.0025: O(s)", 2.0,
              float(np.expm1(off[1]) / np.expm1(off[2])), relative=0.05),
    ]  # fmt: skip


def _chain_and_runs() -> list[Check]:
    """The rate by Monte Carlo; that of SGD itself, of which the paper asks."""
    curve = simulate_rate(PAPER, [SMALL])
    low, high = (float(np.exp(end[0])) for end in (curve.lower, curve.upper))
    exact = {s: float(gap(FACTOR, [s]).rates[0]) for s in (LARGE, SMALL, SMALL / 2)}
    excess = {s: -np.log1p(-float(transfer_spectrum(FACTOR, s).gap)) / s / rate - 1 for s, rate in exact.items()}
    return [
        agrees("rate at s = 0.05 by Monte Carlo, beside quadrature", QUADRATURE[SMALL], float(curve.rates[0]), low,
               high),
        close("rate of SGD over that of the SDE at s = 0.1: faster, by a few percent", 1.05, 1 + excess[LARGE],
              absolute=0.02),
        close("rate of SGD over that of the SDE, less 1, at s = 0.05 over that at s = 0.025: O(s)", 2.0,
              excess[SMALL] / excess[SMALL / 2], relative=0.1),
    ]  # fmt: skip


def _convex_rates() -> list[Check]:
    """Claim 2 where f is convex: the rate does not vanish."""
    quadratic = gap(convex_descent.FORMULA, [1.0, 0.1, 0.01]).rates
    quartic = gap("x^2/2 + x^4/4", [1.0, 0.1, 0.01, 0.001]).rates
    return [
        at_most("convex, 0.05 x^2 + 0.025 y^2: change of the rate 0.05 from s = 1 to 0.01, relative", 1e-4,
                float(abs(quadratic / 0.05 - 1).max())),
        above("convex, x^2/2 + x^4/4: smallest rate at s = 1 to 0.001", 1.0, float(quartic.min())),
        close("convex, x^2/2 + x^4/4: rate at s = 0.001, the curvature at the minimum", 1.0, float(quartic[-1]),
              relative=2e-3),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ idealised risk
def _idealised() -> list[Check]:
    """Claim 5."""
    risk = IdealisedRisk()
    steps = {s: 10 ** risk.log10_steps(s, 1e-2) for s in (0.1, 0.001)}
    left = float(risk(0.1, 0.1 * steps[0.1])) - 0.1
    return [
        close("idealised risk, s = 0.1: steps until the transient is 0.01", 2.5e2, steps[0.1], relative=0.02),
        close("idealised risk, s = 0.001: the same", 2.5e47, steps[0.001], relative=0.02),
        close("its transient at s = 0.1 after so many steps", 0.01, left, relative=1e-9),
    ]


# ------------------------------------------------------------------------------------------------------- figures
def _draw_rates() -> Figure:
    from witten.plots.style import BLUE, GREEN, GREY, finished, new_figure

    figure, panels = new_figure(1, 1, (6.8, 4.6))
    s = np.geomspace(0.004, 0.2, 24)
    curves = {
        "non-convex example": (gap(FACTOR, s), BLUE),
        r"convex: $0.05 x_1^2 + 0.025 x_2^2$": (gap("x^2/40", s), GREEN),
    }
    for label, (curve, colour) in curves.items():
        panels[0].plot(1 / s, curve.log_rates / np.log(10), ".-", color=colour, label=label)
    law = (np.log(PREFACTOR) - 2 * BARRIER / s) / np.log(10)
    label = r"$\alpha e^{-2H/s}$, $H = 0.10932$ from the critical points"
    panels[0].plot(1 / s, law, "--", color=GREY, linewidth=1.0, label=label)
    panels[0].set(xlabel="$1/s$", ylabel=r"$\log_{10} \lambda_s$")
    panels[0].grid(True, color="0.9", linewidth=0.6)
    panels[0].legend(frameon=False, fontsize=9)
    return finished(figure, None)


def _draw_idealised() -> Figure:
    from witten.plots.style import BLUE, VERMILION, finished, new_figure

    figure, panels = new_figure(1, 1, (6.8, 4.6))
    risk = IdealisedRisk()
    for s, colour, digits in ((0.1, BLUE, 4), (0.001, VERMILION, 49)):
        k = np.logspace(0, digits, 600)
        panels[0].plot(k, risk(s, s * k), color=colour, label=f"$s = {s:g}$")
        panels[0].axvline(10 ** risk.log10_steps(s, 1e-2), color=colour, linestyle=":", linewidth=1.0)
    panels[0].set(xscale="log", yscale="log", xlabel="steps $k = t/s$", ylabel="idealised risk $R$")
    panels[0].legend(frameon=False, fontsize=9, title="dotted: transient 0.01", title_fontsize=9)
    panels[0].grid(True, color="0.9", linewidth=0.6)
    return finished(figure, None)
