"""The plane of step size h and temperature T: x+ = x - h grad f(x) + sqrt(2 h T) xi, from descent to the SDE.

T = 0 is plain descent; h = s, T = s/2 is SGD with learning rate s; h -> 0 at fixed T is the SDE. Along T = 0 a minimum
can be reached while h < 2/L, L its largest curvature; noise makes the choice between minima long before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.display import Displayed, shortened
from witten.errors import ConvergenceError, RequestError
from witten.landscape.landscape import Landscape, describe_landscape
from witten.objectives import Objective, resolve
from witten.sgd.arnoldi import TransferSpectrum
from witten.sgd.transfer_spectrum import transfer_spectrum

__all__ = ["Plane", "gap_plane"]

Array = NDArray[np.float64]
# Plain descent: starts, steps, and the distance from a minimum at which it counts as converged.
STARTS, STEPS, NEAR = 600, 3000, 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Plane(Displayed):
    """Gap and stationary distribution over the plane; nan where the chain has none or asks for too many nodes.

    Attributes
    ----------
    objective : its name
    step_sizes : h, shape (n,)
    temperatures : T > 0, shape (m,)
    rates : -log(|rho_1|/rho_0)/h, shape (m, n)
    leaks : 1 - rho_0, what escapes in a step, shape (m, n)
    shares : stationary mass around each minimum, up to the saddles, shape (m, n, w)
    descent : at T = 0, the share of evenly spread starts that converge to each minimum; the rest does not, (n, w)
    minima : the minima x, ascending, shape (w,)
    thresholds : 2/f'' at each of them, shape (w,): plain descent converges to it for smaller h only
    """

    picture: ClassVar[str] = "plot_plane"

    objective: str
    step_sizes: Array
    temperatures: Array
    rates: Array
    leaks: Array
    shares: Array
    descent: Array
    minima: Array
    thresholds: Array

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        m, n = self.rates.shape
        known = int(np.isfinite(self.rates).sum())
        return f"{shortened(self.objective)}: {n} step sizes, {m} temperatures, {known} of {m * n} rates known"


def gap_plane(
    objective: Objective | str,
    step_sizes: ArrayLike,
    temperatures: ArrayLike,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Plane:
    """The chain at every pair of a step size and a temperature; in one dimension.

    >>> from witten.gap_plane import gap_plane
    >>> print(f"{gap_plane('x^2/2', 0.2, 0.1).rates[0, 0]:.4f}")  # -log(1 - h)/h
    1.1157

    Raises
    ------
    RequestError
        for another dimension, or what is not positive.
    """
    f = resolve(objective)
    h, t = (np.atleast_1d(np.asarray(each, dtype=float)) for each in (step_sizes, temperatures))
    if f.dimension != 1:
        raise RequestError(f"the plane is drawn for functions of one variable; {f.name} has {f.dimension}")
    if not ((h > 0).all() and (t > 0).all()):
        raise RequestError("step sizes and temperatures must be positive; T = 0 is the lower edge of the plane")
    landscape = describe_landscape(f)
    minima = sorted(landscape.minima, key=lambda point: float(point.x[0]))
    ends = _saddles(landscape, len(minima))
    rates, leaks = np.full((2, t.size, h.size), np.nan)
    shares = np.full((t.size, h.size, len(minima)), np.nan)
    for i, j in np.ndindex(t.size, h.size):
        found = _spectrum(f, float(h[j]), float(t[i]))
        if found is not None:
            rates[i, j], leaks[i, j], shares[i, j] = found.rate, found.leak, _shares(found, ends)
        progress()
    x = np.array([float(point.x[0]) for point in minima])
    settled = np.array([_settled(f, step, x) for step in h.tolist()])
    thresholds = np.array([2.0 / float(point.curvatures[-1]) for point in minima])
    return Plane(f.name, h, t, rates, leaks, shares, settled, x, thresholds)


def _settled(f: Objective, h: float, minima: Array) -> Array:
    """Where plain descent ends from points between the outer minima and half their distance around, shape (w,)."""
    room = 0.5 * np.ptp(minima) if minima.size > 1 else 1.0
    x = np.linspace(minima[0] - room, minima[-1] + room, STARTS)[None]
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            x = x - h * f.gradient(x)
    return np.array([np.mean(abs(x[0] - minimum) < NEAR) for minimum in minima])


def _spectrum(f: Objective, h: float, t: float) -> TransferSpectrum | None:
    try:
        return transfer_spectrum(f, h, 3, temperature=t)
    except (ConvergenceError, RequestError):  # it escapes, or asks for too many nodes: a hole in the picture
        return None


def _saddles(landscape: Landscape, wells: int) -> Array:
    """Where one well ends and the next begins, shape (w - 1,)."""
    maxima = sorted(float(point.x[0]) for point in landscape.saddles)
    if len(maxima) != wells - 1:
        raise RequestError(
            f"{landscape.objective.name} has {wells} minima and {len(maxima)} saddles between them; one less was "
            "expected"
        )
    return np.array(maxima)


def _shares(found: TransferSpectrum, ends: Array) -> Array:
    """Stationary mass between the saddles."""
    assert found.stationary is not None and found.operator is not None  # one dimension
    well = np.searchsorted(ends, found.operator.points[0])
    return np.bincount(well, weights=found.stationary, minlength=ends.size + 1)
