"""All eigenvalues of a small matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.ritz import RitzPairs, rayleigh_ritz

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense:
    """LAPACK on the full matrix, then one step of Rayleigh-Ritz in edge form. For up to about a thousand nodes."""

    name = "dense"

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` is not needed."""
        # Moving the ground state to the top of the spectrum takes it out of the way whatever else is small.
        top = 2.0 * operator.matrix.diagonal().max()
        shifted = operator.matrix.toarray() + top * np.outer(operator.ground_state, operator.ground_state)
        _, psi = eigh(shifted, subset_by_index=[0, k - 1], check_finite=False)
        return rayleigh_ritz(operator, psi)
