"""How paths of SGD with momentum move: a state of two points, (x, x-), in rows one above the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.dynamics.paths import schemes
from witten.dynamics.paths.ensemble import Motion
from witten.dynamics.paths.philox import normals

__all__ = ["MomentumMotion"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MomentumMotion(Motion):
    """x+ = y - s grad f(x) + s sigma xi, y = x + alpha (x - x-), with the noise that SGD of this seed has.

    Parameters
    ----------
    learning_rate, noise : s and sigma
    dt : what time a step counts for
    momentum : alpha, -1 < alpha < 1
    nesterov : whether the gradient is taken at y
    """

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def dimension(self) -> int:
        """2 d, of the state."""
        return 2 * self.objective.dimension

    @property
    def amplitude(self) -> float:
        """sigma s, the standard deviation of the noise of a step."""
        return self.noise * self.learning_rate

    @property
    def compiled_step(self) -> tuple[float, float, float, int]:
        name = schemes.NESTEROV if self.nesterov else schemes.HEAVY_BALL
        number = len(schemes.SCHEMES) + schemes.MOMENTUM.index(name)
        return self.learning_rate, self.amplitude, self.momentum, number

    def moved(self, paths: range, x: Array, step: int) -> Array:
        """The state after one step by NumPy, shape (2d, n): for functions that are not compiled."""
        here, before = np.split(x, 2)
        d = len(here)
        with np.errstate(all="ignore"):
            y = here + self.momentum * (here - before)
            slope = self.objective.gradient(y if self.nesterov else here)
            xi = self.amplitude * normals(self.seed, paths, d, first=step * d, stream=self.stream)
            return np.concatenate([(y - self.learning_rate * slope) + xi, here])
