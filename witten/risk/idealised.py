"""R(t) = (R_0 - s) exp(-e^{-2H/s} t) + s: what the plateau and the barrier alone say of the excess risk.

The plateau is taken as s and the rate as e^{-2H/s}, with no prefactor: enough to see why a smaller learning rate ends
lower and takes exponentially longer ([Shi2023], with R_0 = 100 and 2H = 0.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.request import positive

__all__ = ["IdealisedRisk"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class IdealisedRisk:
    """R(t) at learning rate s.

    >>> print(f"{10 ** witten.risk.IdealisedRisk().log10_steps(0.1, 0.01):.0f}")
    250

    Parameters
    ----------
    start : R_0, the excess risk at t = 0
    barrier : H

    Raises
    ------
    RequestError
        unless both are positive.
    """

    start: float = 100.0
    barrier: float = 0.05

    def __post_init__(self) -> None:
        for name in ("start", "barrier"):
            positive(f"the {name} of an idealised risk", getattr(self, name))

    def __call__(self, learning_rate: float, time: ArrayLike) -> Array:
        """R at times t = s k, of any shape."""
        positive("learning rate", learning_rate)
        rate = math.exp(-2.0 * self.barrier / learning_rate)
        transient = (self.start - learning_rate) * np.exp(-rate * np.asarray(time, dtype=float))
        return np.asarray(transient + learning_rate)

    def log10_steps(self, learning_rate: float, transient: float) -> float:
        """log10 of the steps k = (1/s) e^{2H/s} log((R_0 - s)/transient) after which R - s is so small; -inf where it
        is from the start."""
        positive("learning rate", learning_rate)
        positive("transient", transient)
        falls = (self.start - learning_rate) / transient
        if falls <= 1:
            return -math.inf
        log_k = 2.0 * self.barrier / learning_rate - math.log(learning_rate) + math.log(math.log(falls))
        return log_k / math.log(10)


