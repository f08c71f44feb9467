"""GD, SGD and SGLD on f = 0.05 x^2 + 0.025 y^2 from (8, 8): every moment is known.

x+ = x - s grad f(x) + c xi with c = 0, s and sqrt(s) gives, with q_i = (1 - s theta_i)^2,

    E f(x_k) = sum_i (theta_i/2) [q_i^k x_i^2 + c^2 (1 - q_i^k)/(1 - q_i)]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.objectives.objective import Objective
from witten.risk import excess_risk
from witten.risk.laws.master_equation import MasterEquation
from witten.risk.separable import terms
from witten.schedules import Schedule
from witten.sgd.transfer_spectrum import transfer_spectrum
from witten.spectra.gap import gap
from witten.studies.study import Check, at_most, close

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["checks", "draw"]

Array = NDArray[np.float64]
FORMULA, THETA, START = "x^2/20 + y^2/40", (0.1, 0.05), (8.0, 8.0)
STEPS = {1.0: 200, 0.1: 1000}


@dataclass(frozen=True)
class Method:
    """One of the three, by the standard deviation c = s sigma of its noise."""

    name: str
    power: float | None

    def sigma(self, s: float) -> float:
        """c/s."""
        return 0.0 if self.power is None else s**self.power / s

    def closed_form(self, s: float, k: Array) -> Array:
        """E f(x_k)."""
        moments = (_moments(theta, s, self.sigma(s), k) for theta in THETA)
        return np.asarray(sum(0.5 * theta * second for theta, (_, second) in zip(THETA, moments, strict=True)))


GD, SGD, SGLD = Method("GD", None), Method("SGD", 1.0), Method("SGLD", 0.5)


def _moments(theta: float, s: float, sigma: float, k: Array) -> tuple[Array, Array]:
    """E x_k and E x_k^2 of one coordinate."""
    a = 1.0 - s * theta
    return 8.0 * a**k, 64.0 * a ** (2 * k) + (s * sigma) ** 2 * (1.0 - a ** (2 * k)) / (1.0 - a**2)


def checks(paths: int) -> list[Check]:
    """The closed form against plain descent, the distribution of the chain and runs; how the limits depend on s."""
    f = Objective.from_formula(FORMULA)
    out = []
    for s, steps in STEPS.items():
        k = np.arange(steps + 1.0)
        points = Schedule.constant(s, steps).descend(lambda x: f.gradient(x[:, None])[:, 0], START)
        error = float(np.max(abs(f(points.T) / GD.closed_form(s, k) - 1)))
        out.append(at_most(f"convex, GD, s = {s:g}: f(x_k) over the closed form, largest error", 1e-10, error))
        # At s = 1 the two are the same.
        for method in (SGD, SGLD) if s != 1 else (SGD,):
            out += [_moments_of_the_chain(f, method, s), _runs(f, method, s, paths)]
    return out + _limits(f)


def _moments_of_the_chain(f: Objective, method: Method, s: float) -> Check:
    """Mean and second moment of every coordinate at some steps."""
    plan, sigma, worst = Schedule.constant(s, STEPS[s]), method.sigma(s), 0.0
    asked = np.unique(np.geomspace(1, plan.steps, 25).astype(np.int64))
    for term, theta in zip(terms(f, np.array(START)), THETA, strict=True):
        law = MasterEquation(term, plan, sigma)
        # So wide that nothing is missing from x^2.
        for k, grid, masses in law.laws(law.box.expanded(0.3, 0.3), asked):
            mean, second = _moments(theta, s, sigma, np.array(float(k)))
            x = grid.points[0]
            worst = max(worst, abs(masses @ x - mean) / 8.0, abs(masses @ x**2 / second - 1))
    what = f"convex, {method.name}, s = {s:g}: first two moments of the chain off the closed form, at most"
    return at_most(what, 1e-12, float(worst))


def _runs(f: Objective, method: Method, s: float, paths: int) -> Check:
    found = excess_risk(f, Schedule.constant(s, STEPS[s]), START, method="simulate", noise=method.sigma(s), paths=paths,
                        records=51, plateaus=False)  # fmt: skip
    expected = method.closed_form(s, found.steps.astype(float))
    errors = (found.upper - found.lower)[1:] / 3.92
    what = f"convex, {method.name}, s = {s:g}: mean of {paths} runs off the closed form, in standard errors, at most"
    return at_most(what, 4.5, float(np.max(abs(found.excess_risk - expected)[1:] / errors)))


def _limits(f: Objective) -> list[Check]:
    """The plateau of SGD is proportional to s; plateau and rate of SGLD keep none of it."""
    plateaus = {
        method: [excess_risk(f, Schedule.constant(s, 1), START, noise=method.sigma(s)).plateau[0] for s in (0.1, 0.01)]
        for method in (SGD, SGLD)
    }
    s, temperature = 0.01, 0.2
    chain = transfer_spectrum("double-well", s, noise=math.sqrt(2 * temperature / s))
    rate = -math.log1p(-float(chain.gap)) / s
    return [
        close("convex, SGD: plateau at s = 0.1 over that at s = 0.01, proportional to s", 10.0,
              plateaus[SGD][0] / plateaus[SGD][1], relative=0.01),
        close("convex, SGLD: plateau at s = 0.1 over that at s = 0.01, the limit keeps no s", 1.0,
              plateaus[SGLD][0] / plateaus[SGLD][1], relative=0.01),
        close("double well, SGLD at temperature 0.2, s = 0.01: rate of the chain beside that of the diffusion, which "
              "knows of no s", float(gap("double-well", [2 * temperature]).rates[0]), rate, relative=0.02),
    ]  # fmt: skip


def draw(paths: int) -> Figure:
    """E f(x_k) of the three: lines closed form, points runs."""
    from witten.plots.style import BLUE, GREEN, VERMILION, finished, new_figure

    f = Objective.from_formula(FORMULA)
    figure, panels = new_figure(1, len(STEPS), (11.0, 4.4), sharey=True)
    for axes, (s, steps) in zip(panels, STEPS.items(), strict=True):
        k = np.arange(steps + 1.0)
        for method, colour in ((GD, GREEN), (SGD, BLUE), (SGLD, VERMILION)):
            axes.plot(k, method.closed_form(s, k), color=colour, label=method.name)
            if method is not GD:
                runs = excess_risk(f, Schedule.constant(s, steps), START, method="simulate", noise=method.sigma(s),
                                   paths=paths, records=26, plateaus=False)  # fmt: skip
                axes.errorbar(runs.steps, runs.excess_risk, runs.upper - runs.excess_risk, fmt=".", color=colour,
                              markersize=5, linewidth=0.8)  # fmt: skip
        axes.set(yscale="log", ylim=(1e-3, 10), xlabel="step $k$", title=f"$s = {s:g}$")
        axes.grid(True, color="0.9", linewidth=0.6)
    panels[0].set_ylabel(r"$\mathrm{E} f(x_k)$")
    panels[0].legend(frameon=False, fontsize=9, title=f"lines exact, points {paths} runs", title_fontsize=9)
    return finished(figure, None)
