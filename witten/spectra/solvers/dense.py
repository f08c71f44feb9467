"""All eigenvalues of a small matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.solvers.lanczos import factorised, polished
from witten.spectra.solvers.rayleigh_ritz import RitzPairs

__all__ = ["Dense"]

# A_ii beyond this many times what it is where f is flat.
STEEP = 1e4


@dataclass(frozen=True)
class Dense:
    """LAPACK on the full matrix, then inverse iteration with Rayleigh-Ritz in edge form. For up to a thousand nodes.

    LAPACK knows vectors to eps ||A||, which is more than the rates where f is steep: such nodes are given more mass, as
    A_ii then is smaller. Hardly anything of a low mode is there, and inverse iteration takes A as it is.

    >>> f, grid = witten.gallery.quadratic(), witten.Grid(witten.Box((-4.0,), (4.0,)), (256,))
    >>> curve = witten.sweep(witten.FiniteDifferences(f, grid), (0.5,), solver=witten.spectra.Dense())
    >>> print(f"{curve.rates[0]:.2f}")
    1.00

    Parameters
    ----------
    shift : relative to `WittenLaplacian.scale`, as of `Lanczos`
    polish : at most this many steps of inverse iteration
    """

    shift: float = 1e-12
    polish: int = 6
    name = "dense"

    def solve(self, operator: WittenLaplacian, k: int, start: NDArray[np.float64] | None = None) -> RitzPairs:
        """The k lowest pairs above the ground state; `start` is not needed."""
        matrix, highest = operator.matrix.toarray(), STEEP * operator.scale
        lighter = np.sqrt(highest / np.maximum(matrix.diagonal(), highest))
        matrix *= np.multiply.outer(lighter, lighter)
        # Moving the ground state to the top of the spectrum takes it out of the way whatever else is small.
        kernel = operator.ground_state / lighter
        matrix += 2.0 * matrix.diagonal().max() / (kernel @ kernel) * np.outer(kernel, kernel)
        _, psi = eigh(matrix, subset_by_index=[0, k - 1], check_finite=False)
        psi *= lighter[:, None]
        return polished(operator, factorised(operator.matrix, self.shift * operator.scale), psi, k, self.polish)
