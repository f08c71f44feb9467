"""The distribution of SGD with momentum along a schedule, in one variable: masses on pairs (x, x-), step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from witten.descent.gradient_map import DescentMap
from witten.domains.box import Box
from witten.errors import ConvergenceError, RequestError
from witten.risk.laws.gibbs_risk import each_rate
from witten.risk.laws.master_equation import MarginalRisk
from witten.risk.separable import Term
from witten.schedules import Schedule
from witten.sgd.arnoldi import leading_masses
from witten.sgd.chain_domain import first_domain
from witten.sgd.gradient_noise import GaussianNoise
from witten.sgd.momentum_chain import MomentumStep, pair_matrix
from witten.sgd.steps.step_noise import UniformNoise

__all__ = ["MomentumLaw"]

Array = NDArray[np.float64]
Steps = NDArray[np.int64]
# Nodes per standard deviation of the noise of the smallest learning rate, and of the law that says how good these are;
# what that says of kinks, where errors fall like a square.
NODES_PER_DEVIATION, ROUGH, DOUBT = 1.6, 1.2, 2.0
# Half the width of the strip |x - x-|, in standard deviations of that difference on a slope.
STRIP = 9.0
# Pairs of nodes, and these times learning rates, that are taken; steps of descent that say where the law is on its way.
MOST_PAIRS, MOST_MATRICES, WAY = 300_000, 20_000_000, 2000
# Mass that may be lost before box and strip are widened, how often they are, and by what part.
LOST_MASS, MOST_ENLARGEMENTS, WIDER = 1e-8, 4, 0.2
# Rounding of a risk, relative to it or to that at the start.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class MomentumLaw:
    """masses <- masses P_s on pairs, x+ = y - s f'(x or y) + s sigma xi, y = x + alpha (x - x-), from (x_0, x_0).

    One grid serves all learning rates: as fine as the noise of the smallest needs, as wide as the law of the largest.

    Parameters
    ----------
    term : a function of one variable, with its start
    schedule : in discrete time
    noise, momentum, nesterov : sigma, alpha, and whether the gradient is taken at y
    nodes : per standard deviation of the noise of the smallest learning rate
    wider : how much wider box and strip are than they are first taken to be
    """

    term: Term
    schedule: Schedule
    noise: float
    momentum: float
    nesterov: bool = False
    nodes: float = NODES_PER_DEVIATION
    wider: float = 1.0

    def step(self, learning_rate: float) -> MomentumStep:
        """The recursion at a learning rate."""
        return MomentumStep(self.term.objective, learning_rate, self.momentum, self.nesterov, self.noise)

    @cached_property
    def _extent(self) -> tuple[float, float, float]:
        """Ends of the box, and half the width of the strip: those of the stationary law, and of the way there."""
        f, s = self.term.objective, float(self.schedule.learning_rates.max())
        deviation = s * self.noise
        usual = UniformNoise(f, s * (1 - self.momentum), GaussianNoise.isotropic(1, deviation))
        box = first_domain(usual, 6).box
        way = self._way()
        spread = STRIP * deviation / math.sqrt(1 - self.momentum**2)
        low = min(box.lower[0], float(way.min()) - spread)
        high = max(box.upper[0], float(way.max()) + spread)
        margin = 0.5 * (self.wider - 1) * (high - low)
        return low - margin, high + margin, self.wider * (spread + float(abs(np.diff(way)).max(initial=0.0)))

    def _way(self) -> Array:
        """Where descent without noise goes from the start."""
        f, x = self.term.objective, self.term.start[:, None]
        state, way = np.concatenate([x, x]), [float(x[0, 0])]
        with np.errstate(all="ignore"):
            for s in self.schedule.learning_rates[:WAY].tolist():
                state = DescentMap(f, s, self.momentum, self.nesterov)(state)
                way.append(float(state[0, 0]))
        if not np.isfinite(way).all():
            start = f"{float(x[0, 0]):.6g}"
            raise ConvergenceError(f"descent on {f.name} from ({start}) diverges; take smaller learning rates")
        return np.array(way)

    @cached_property
    def _nodes(self) -> tuple[Array, float, int, int]:
        """Nodes x, their distance, half the width of the strip in nodes, and which node the start is."""
        if self.term.objective.dimension > 1:
            raise RequestError(
                f"{self.term.objective.name} is not a sum of functions of one variable, and with momentum its "
                "distribution is computed in one; use the method 'simulate'"
            )
        low, high, half = self._extent
        x0, rates = float(self.term.start[0]), self.schedule.learning_rates
        h = float(rates.min()) * self.noise / self.nodes
        before, after, m = (math.ceil(length / h) for length in (x0 - low, high - x0, half))
        pairs, different = (before + after + 1) * (2 * m + 1), np.unique(rates).size
        if pairs > MOST_PAIRS or pairs * different > MOST_MATRICES:
            raise RequestError(
                f"the distribution on {self.term.objective.name} with momentum {self.momentum:g} takes {pairs:.3g} "
                f"pairs of nodes at {different} learning rates, down to {rates.min():.4g}: more than are taken; use "
                "the method 'simulate', larger learning rates, or fewer of them"
            )
        return np.asarray(x0 + h * np.arange(-before, after + 1), dtype=float), h, m, before

    @property
    def fits(self) -> bool:
        """Whether there is a grid, and not too large a one."""
        try:
            return bool(self._nodes[0].size)
        except RequestError:
            return False

    @cached_property
    def _excess(self) -> Array:
        """f - min f at the x of all pairs."""
        x, _, m, _ = self._nodes
        return np.repeat(self.term.excess(x[None]), 2 * m + 1)

    def laws(self, steps: Steps) -> Iterator[tuple[Array, Array]]:
        """(x, masses of the pairs at each x, shape (n, 2m + 1)) after these numbers of steps, ascending."""
        x, h, m, start = self._nodes
        masses = np.zeros(x.size * (2 * m + 1))
        masses[start * (2 * m + 1) + m] = 1.0
        done, wanted = 0, set(steps.tolist())
        if 0 in wanted:
            yield x, masses.reshape(x.size, -1)
        for run in self.schedule.runs(int(steps[-1])):
            adjoint = pair_matrix(self.step(run.learning_rate), x, h, m)[0].T.tocsr()
            for _ in range(run.steps):
                masses, done = adjoint @ masses, done + 1
                if done in wanted:
                    yield x, masses.reshape(x.size, -1)

    def means(self, steps: Steps) -> tuple[Array, float]:
        """The mean of f - min f of those who have not left, and what has."""
        risks, left = [], 1.0
        for _, masses in self.laws(steps):
            left = float(masses.sum())
            risks.append(float(self._excess @ masses.ravel()) / left)
        return np.array(risks), max(0.0, 1.0 - left)

    def risks(self, steps: Steps) -> MarginalRisk:
        """E f - min f at these steps, ascending; RequestError if that takes too many nodes; ConvergenceError if mass
        keeps leaving."""
        law = self
        for _ in range(MOST_ENLARGEMENTS):
            found, lost = law.means(steps)
            if lost <= LOST_MASS:
                break
            law = replace(law, wider=law.wider * (1 + WIDER))
        else:
            raise ConvergenceError(
                f"SGD with momentum {self.momentum:g} on {self.term.objective.name} leaves every box ({lost:.1e} of "
                "it), and the risk of the rest is not known; take smaller learning rates"
            )
        x, top = law._nodes[0], max(found[0], float(law._excess[[0, -1]].max()))
        rounded = ROUNDING + 200 * np.finfo(float).eps * float(abs(x).max()) / float(np.ptp(x))
        bars = lost * top + rounded * np.maximum(found, found[0])
        return MarginalRisk(found, bars, lost, Box((float(x[0]),), (float(x[-1]),)))

    def error(self, steps: Steps, found: MarginalRisk) -> Array:
        """What fewer nodes change, shape (n,)."""
        rough = replace(self, nodes=ROUGH).means(steps)[0]
        return np.asarray(DOUBT * abs(found.risks - rough))

    def plateaus(self) -> dict[float, float]:
        """The stationary excess risk at each learning rate of the schedule; nan where no grid fits."""
        return each_rate(self.schedule, self.stationary if self.fits else lambda s: np.nan)

    def stationary(self, learning_rate: float) -> float:
        """E f - min f under the (quasi-)stationary law at a learning rate."""
        x, h, m, _ = self._nodes
        step = self.step(learning_rate)
        adjoint = pair_matrix(step, x, h, m)[0].T.tocsr()
        differences = h * np.arange(-m, m + 1)
        # The Gibbs measure: (x - x-)/dt has the variance T = s sigma^2/(2 - 2 alpha), dt^2 = 2s/(1 + alpha).
        spread = step.deviation**2 / (1 - self.momentum**2)
        guess = np.exp(-2 * self._excess / step.unit).reshape(x.size, -1) * np.exp(-(differences**2) / (2 * spread))
        masses = leading_masses(lambda u: adjoint @ u, adjoint.shape[0], guess.ravel() / guess.sum())
        return float(masses @ self._excess)
