"""The chain on the wells: rates from masses and conductances that differ by any number of powers of ten."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import mpmath
import numpy as np
from numpy.typing import NDArray

__all__ = ["WellChain"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WellChain:
    """The chain on the wells: log masses (m,) and log conductances (m, m), -inf where there are none."""

    log_masses: Array
    log_conductances: Array

    def log_rates(self) -> Array:
        """Logarithms of the non-zero eigenvalues, ascending, shape (m - 1,); -inf where the chain is in pieces."""
        m = self.log_masses.size
        with mpmath.workdps(60 + int(self._spread() / 2.3)):
            mass = [mpmath.exp(mpmath.mpf(value)) for value in self.log_masses.tolist()]
            a = mpmath.zeros(m)
            for i, j in combinations(range(m), 2):
                value = float(self.log_conductances[i, j])
                if value > -math.inf:
                    c = mpmath.exp(mpmath.mpf(value))
                    a[i, j] = a[j, i] = -c / mpmath.sqrt(mass[i] * mass[j])
                    a[i, i] += c / mass[i]
                    a[j, j] += c / mass[j]
            values = sorted(mpmath.eigsy(a, eigvals_only=True))[1:]
            return np.array([float(mpmath.log(v)) if v > 0 else -math.inf for v in values])

    def _spread(self) -> float:
        """The range of all logarithms that take part: so many digits are needed."""
        finite = self.log_conductances[np.isfinite(self.log_conductances)]
        every = np.concatenate([finite, self.log_masses])
        return 2 * float(np.ptp(every))
