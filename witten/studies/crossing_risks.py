"""The non-convex example of Shi, Su and Jordan from (-0.9, 0.9): when a smaller learning rate begins to pay.

The distributions of SGD and of the SDE differ by O(s); the curves of risk at s = 0.1 and s = 0.05 cross in both, but
not at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from witten.dynamics.paths.ensemble import Motion, Paths
from witten.objectives import resolve
from witten.risk import RiskCurve, crossing, excess_risk
from witten.studies.study import Check, above, agrees, at_most, close

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Crossing"]

Array = NDArray[np.float64]
PAPER, START, LARGE, SMALL = "shi-su-jordan", (-0.9, 0.9), 0.1, 0.05
# Time up to which risks are compared, and sides of the window in which those of runs are fitted by a parabola.
END, WINDOW = 700.0, 150.0
BATCHES, CONFIDENCE = 10, 0.99
DECAYS = ("0.1:1500,0.05:1500", "0.1:1500,0.01:1500")


@dataclass(frozen=True)
class Crossing:
    """The curves, computed once.

    Parameters
    ----------
    paths : runs of a batch; there are ten
    records : times at which runs are looked at, the start among them
    """

    paths: int
    records: int

    @cached_property
    def chain(self) -> tuple[RiskCurve, RiskCurve]:
        """By the distribution of SGD, at s = 0.1 and 0.05."""
        return _both("chain", "")

    @cached_property
    def spectral(self) -> tuple[RiskCurve, RiskCurve]:
        """By the distribution of the SDE."""
        return _both("spectral", "")

    @cached_property
    def sgd(self) -> list[tuple[RiskCurve, RiskCurve]]:
        """Batches of runs of SGD."""
        return [_both("simulate", "", self.paths, seed, self.records) for seed in range(BATCHES)]

    @cached_property
    def sde(self) -> list[tuple[RiskCurve, RiskCurve]]:
        """Batches of runs of the SDE, by Heun's scheme in steps of s/4."""
        return [_both("simulate", ":flow", self.paths, seed, self.records) for seed in range(BATCHES)]

    @cached_property
    def decays(self) -> list[RiskCurve]:
        """0.1, and then 0.05 or 0.01, by the distribution of SGD."""
        return [excess_risk(PAPER, text, START) for text in DECAYS]

    def checks(self) -> list[Check]:
        """Claims 4 and 6, and the decay schedules."""
        return [*self._crossings(), *self._order(), *self._means(), *self._decayed()]

    def _crossings(self) -> list[Check]:
        expected = {"chain": 483.0, "spectral": 552.0}
        exact = {"chain": crossing(*self.chain), "spectral": crossing(*self.spectral)}
        out = [
            close("risks at s = 0.1 and 0.05 cross at time t, distribution of SGD (the chain)", expected["chain"],
                  exact["chain"], absolute=1.5),
            close("they cross at time t, distribution of the SDE (spectral expansion)", expected["spectral"],
                  exact["spectral"], absolute=1.5),
        ]  # fmt: skip
        for law, name, batches in (("chain", "runs of SGD", self.sgd), ("spectral", "runs of the SDE", self.sde)):
            mean, half = _crossing_of_runs(batches, expected[law])
            what = f"they cross at time t, {BATCHES} times {self.paths} {name}, {CONFIDENCE:.0%} interval"
            out.append(agrees(what, expected[law], mean, mean - half, mean + half))
        large, small = self.chain
        return [
            *out,
            above("SGD at t = 100: risk at s = 0.05 over that at s = 0.1", 2.0,
                  small.at_time(100) / large.at_time(100)),
            at_most("SGD at t = 700: risk at s = 0.05 over that at s = 0.1", 0.7,
                    small.at_time(END) / large.at_time(END)),
        ]  # fmt: skip

    def _order(self) -> list[Check]:
        """The two distributions up to t = 2, s <= 1/L: half the learning rate, half the difference."""
        differences = []
        for s in (0.04, 0.02, 0.01):
            chain, sde = (
                excess_risk(PAPER, f"{s}:{round(2 / s)}", START, method=method, plateaus=False).excess_risk
                for method in ("chain", "spectral")
            )
            differences.append(float(abs(chain - sde).max()))
        orders = np.log2(np.array(differences[:-1]) / differences[1:])
        return [
            close(f"largest difference of the risks of SGD and the SDE, t <= 2, s = {s:g}: order in s", 1.0, order,
                  absolute=0.06)
            for s, order in zip((0.02, 0.01), orders.tolist(), strict=True)
        ]  # fmt: skip

    def _means(self) -> list[Check]:
        """All runs together against the exact distributions, at all times recorded."""
        out = []
        for name, laws, batches in (("SGD", self.chain, self.sgd), ("the SDE", self.spectral, self.sde)):
            for i, s in enumerate((LARGE, SMALL)):
                risks = np.array([batch[i].excess_risk for batch in batches])[:, 1:]
                error = risks.std(axis=0, ddof=1) / np.sqrt(BATCHES)
                # Ten batches know their own spread to a quarter only: times share it.
                error = np.maximum(error, np.median(error))
                deviation = abs(risks.mean(axis=0) - laws[i].at_time(batches[0][i].time[1:])) / error
                what = f"{name}, s = {s:g}: mean of {BATCHES * self.paths} runs off the exact law, in standard errors"
                out.append(at_most(what, 4.5, float(deviation.max())))
        return out

    def _decayed(self) -> list[Check]:
        constant = {s: excess_risk(PAPER, f"{s}:3000", START, plateaus=False).final for s in (0.1, 0.05, 0.01)}
        out = []
        for curve, s in zip(self.decays, (0.05, 0.01), strict=True):
            runs = excess_risk(PAPER, curve.schedule, START, method="simulate", paths=BATCHES * self.paths, seed=99,
                               records=2, plateaus=False)  # fmt: skip
            half = 2.0 * (runs.upper[-1] - runs.final)
            best = min(constant[0.1], constant[s])
            out += [
                at_most(f"3000 steps, decayed from 0.1 to {s:g} in the middle: risk over the better constant one", 0.5,
                        curve.final / best),
                agrees(f"decayed to {s:g}: risk at the end by runs, beside the distribution of SGD", curve.final,
                       runs.final, runs.final - half, runs.final + half),
            ]  # fmt: skip
        longer = excess_risk(PAPER, "0.1:1500,0.01:6000", START)
        kept = (longer.final - longer.plateau[-1]) / (self.decays[1].final - self.decays[1].plateau[-1])
        what = "decayed to 0.01, where no well is left any more: what is above the plateau 6000 and 1500 steps later"
        return [*out, close(what, 1.0, kept, absolute=1e-6)]

    # ------------------------------------------------------------------------------------------------- figures
    def draw_risks(self) -> Figure:
        from witten.plots import plot_risks
        from witten.plots.style import GREY

        figure = plot_risks([*self.chain, *self.spectral])
        for batches, mark in ((self.sgd, "."), (self.sde, "x")):
            for i in (0, 1):
                risks = np.mean([batch[i].excess_risk for batch in batches], axis=0)
                figure.axes[1].plot(batches[0][i].time[::5], risks[::5], mark, color=GREY, markersize=3.5, zorder=3)
        sgd, sde = crossing(*self.chain), crossing(*self.spectral)
        title = f"Two laws: the risks of SGD cross at $t = {sgd:.0f}$, those of the SDE at $t = {sde:.0f}$"
        figure.suptitle(title, fontsize=11)
        return figure

    def draw_decays(self) -> Figure:
        from witten.plots import plot_risks

        return plot_risks([excess_risk(PAPER, "0.1:3000", START), *self.decays])

    def draw_runs(self) -> Figure:
        """Where runs of SGD are at equal times."""
        from witten.plots.style import BLUE, GREY, VERMILION, finished, new_figure

        f = resolve(PAPER)
        figure, panels = new_figure(2, 3, (11.0, 7.2), sharex=True, sharey=True)
        line = np.linspace(-1.5, 1.5, 161)
        values = f(np.array(np.meshgrid(line, line)).reshape(2, -1)).reshape(161, 161)
        for row, (s, colour) in enumerate(((LARGE, BLUE), (SMALL, VERMILION))):
            runs = Paths(Motion(f, s, s), np.repeat(np.array(START)[:, None], 1000, axis=1))
            for axes, time in zip(panels[3 * row : 3 * row + 3], (10.0, 100.0, 600.0), strict=True):
                runs.advance(round(time / s) - runs.step)
                axes.contour(line, line, values, levels=np.geomspace(0.02, 6, 9), colors="0.8", linewidths=0.7)
                axes.plot(*runs.x, ".", color=colour, markersize=2.5, alpha=0.6)
                axes.plot(*START, "s", color=GREY, markersize=5)
                axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", title=f"$s = {s:g}$, $t = {time:g}$")
        return finished(figure, None)


def _both(method: str, flow: str, paths: int = 2, seed: int = 0, records: int = 7001) -> tuple[RiskCurve, RiskCurve]:
    """The curves at both learning rates; runs of one batch use other random numbers at each."""
    first, second = (
        excess_risk(PAPER, f"{s}:{round(END / s)}{flow}", START, method=method, paths=paths, seed=2 * seed + i,
                    records=records, plateaus=method != "simulate")
        for i, s in enumerate((LARGE, SMALL))
    )  # fmt: skip
    return first, second


def _crossing_of_runs(batches: list[tuple[RiskCurve, RiskCurve]], around: float) -> tuple[float, float]:
    """Where a parabola through the mean difference of the risks vanishes, and half an interval, by the jackknife."""
    near = abs(batches[0][0].time - around) <= WINDOW
    t = batches[0][0].time[near]
    differences = np.array([small.at_time(t) - large.excess_risk[near] for large, small in batches])
    others = np.array([_zero(t - around, np.delete(differences, i, axis=0).mean(axis=0)) for i in range(BATCHES)])
    error = np.sqrt((BATCHES - 1) * np.var(others))
    half = float(student.ppf(0.5 + CONFIDENCE / 2, BATCHES - 1)) * float(error)
    return around + _zero(t - around, differences.mean(axis=0)), half


def _zero(t: Array, difference: Array) -> float:
    """The zero nearest to t = 0 of a parabola through the values; nan where it has none."""
    roots = np.polynomial.Polynomial.fit(t, difference, 2).roots()
    real = roots[abs(roots.imag) < 1e-9].real if roots.size else np.zeros(0)
    return float(min(real, key=abs)) if real.size else float("nan")
