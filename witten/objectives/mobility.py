"""Noise whose variance is not the same everywhere, where it has a potential f: measure e^{-2f/s}, Dirichlet form
(s/2) sum_i int a_i (d_i u)^2 e^{-2f/s}. What is a fact about f alone for unit noise is one about f and a here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives.objective import Objective

__all__ = ["positive_mobility", "without_mobility"]

Array = NDArray[np.float64]


def positive_mobility(mobility: Objective, points: Array) -> Array:
    """a at points (d, n), shape (n,); RequestError with the place, where it is not positive and finite."""
    a = np.asarray(mobility(points), dtype=float)
    bad = ~(np.isfinite(a) & (a > 0))
    if bad.any():
        where = ", ".join(f"{c:.6g}" for c in points[:, bad.argmax()])
        raise RequestError(
            f"the covariance is not positive and finite at ({where}), it is {a[bad.argmax()]:.3g} there; add a floor, "
            "or give a box without this place"
        )
    return a


def without_mobility(f: Objective, x: Array, s: float) -> tuple[Array, Array]:
    """(sqrt(a_i) d_i g, sqrt(a_i a_j) d_ij g) of g = f - (s/2) log a at points (d, n): shapes (d, n) and (d, d, n).

    In the time that runs with a, noise is of unit variance and its potential is g: a mode of the rate lambda is large
    where a V_s(g) <= 2 lambda alone. Of a sum along the axes that holds for each part.
    """
    slope, curvature = f.gradient(x).copy(), f.piecewise_hessian(x).copy()
    roots = []
    for i, mobility in enumerate(f.mobility):
        a, da, dda = mobility(x), mobility.gradient(x), mobility.piecewise_hessian(x)
        slope[i] -= 0.5 * s * da[i] / a
        curvature[i] -= 0.5 * s * (dda[i] / a - da[i] * da / a**2)
        roots.append(np.sqrt(a))
    root = np.array(roots)
    return root * slope, root[:, None] * root * curvature
