"""Rates from a Markov state model, as a cross-check: deeptime's estimators on the same simulated paths.

Points are put into cells around centres, the transitions between cells over a lag are counted, and a reversible chain
is fitted to them; lambda = -log(second eigenvalue)/lag. Another way from paths to the rate than `autocorrelation` and
`hitting_times`, by a library that many have used (deeptime [Hoffmann2022]).
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from witten.dynamics.estimators.autocorrelation import Decay, Plan
from witten.dynamics.paths.ensemble import Steps
from witten.dynamics.paths.schemes import FAR
from witten.errors import RequestError
from witten.parallel.communicators import Communicator

__all__ = ["MarkovStates", "require_deeptime"]

Array = NDArray[np.float64]
STATES, GROUPS = 60, 32
# The lag, in units of 1/lambda.
LAG = 0.5


def require_deeptime() -> None:
    """RequestError where deeptime is not installed."""
    if find_spec("deeptime") is None:
        raise RequestError("the estimator msm needs deeptime, which is not installed: pip install 'witten[deeptime]'")


class MarkovStates(Decay):
    """Cells that stationary paths of one motion visit, more observations with each round."""

    def __init__(
        self, motion: Steps, points: Array, plan: Plan, comm: Communicator, *, burn_in: float = 0.0, first: int = 0
    ) -> None:
        super().__init__(motion, points, plan, comm, burn_in=burn_in, first=first)
        self.lag = max(1, round(LAG / (plan.rate * motion.dt * self.every)))
        y = plan.mode.coordinates(plan.ends)
        chosen = np.linspace(0, y.shape[1] - 1, min(STATES, y.shape[1])).astype(int)
        # Evenly along the slow observable: transitions there are what matters.
        self.centres = y[:, np.argsort(plan.mode(plan.ends), kind="stable")[chosen]].T

    def observed(self, snapshots: Array) -> Array:
        """The cell of every point, nan for paths that have left for infinity."""
        y = self.mode.coordinates(snapshots)
        inside = (np.abs(snapshots) < FAR).all(axis=1)
        _, cells = cKDTree(self.centres).query(np.where(inside, y, 0.0).reshape(len(y), inside.size).T)
        return np.where(inside, cells.reshape(inside.shape), np.nan)

    @property
    def remark(self) -> str:
        """How many cells."""
        return f"reversible chain on {len(self.centres)} cells"

    @property
    def later(self) -> tuple[float, float]:
        """Not known."""
        return math.nan, math.inf

    @property
    def log_rate(self) -> tuple[float, float]:
        """log lambda, and its standard deviation by leaving out groups of paths."""
        if len(self.values) <= self.lag:
            return math.nan, math.inf
        cells = self.values[:, np.isfinite(self.values).all(axis=0)].astype(np.int32)
        groups = np.arange(cells.shape[1]) * GROUPS // cells.shape[1]
        counts = np.array([_counts(cells[:, groups == g], self.lag) for g in range(GROUPS)])
        total = counts.sum(axis=0)
        value = self._fitted(total)
        left_out = np.array([self._fitted(total - each) for each in counts])
        spread = math.sqrt((GROUPS - 1) * float(np.mean((left_out - left_out.mean()) ** 2)))
        return (value, spread) if math.isfinite(value + spread) else (math.nan, math.inf)

    def _fitted(self, counts: Array) -> float:
        """log lambda of the reversible chain that is likeliest."""
        from deeptime.markov import TransitionCountModel
        from deeptime.markov.msm import MaximumLikelihoodMSM

        model: Any = TransitionCountModel(counts, lagtime=1).submodel_largest()
        chain = MaximumLikelihoodMSM(reversible=True).fit_fetch(model)
        rho = float(np.sort(np.abs(chain.eigenvalues(2)))[0])
        interval = self.lag * self.every * self.paths.motion.dt
        return math.log(-math.log(rho) / interval) if 0 < rho < 1 else math.nan


def _counts(cells: NDArray[np.int32], lag: int) -> Array:
    """Transitions over the lag, shape (STATES, STATES)."""
    pairs = cells[:-lag].ravel() * STATES + cells[lag:].ravel()
    return np.bincount(pairs, minlength=STATES**2).reshape(STATES, STATES).astype(float)
