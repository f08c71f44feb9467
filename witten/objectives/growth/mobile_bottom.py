"""Where the continuous spectrum starts if noise is not the same everywhere: estimated along axes and diagonals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.objectives.growth.bottom import Bottom
from witten.objectives.objective import Objective
from witten.objectives.topography.critical_set import reach, rise

__all__ = ["mobile_bottom"]

Array = NDArray[np.float64]
# Distances, in units of the extent of the critical points; values taken into account in a trend; a factor over the last
# two decades that is no limit.
DISTANCES = np.geomspace(1e1, 1e6, 26)
FEWEST, TREND = 9, 1.5


def mobile_bottom(f: Objective, s: float) -> Bottom:
    """The bottom of the continuous spectrum of noise with the potential f and the mobility a, estimated.

    Along a ray, in the length y with dy = dr/sqrt(a), noise is of unit variance and has the potential
    g = f - (s/4) log a - (s/2) (d - 1) log r; a finite limit of (g_y^2/s - g_yy)/2 is the bottom. Where f is a sum and
    each a_i depends on x_i alone, the rays are the axes, without the last term.

    Raises
    ------
    RequestError
        where the stationary density has no integral, or that limit is zero: there is no gap then.
    """
    known = reach(f)
    if not known.points.size:
        raise RequestError(f"the potential of {f.name} with this noise has no minimum; give a box")
    # Lows that were seen may be one point twice.
    unit = max(known.scale, float(np.mean(rise(f, known.lowest, s))))
    round_it = len(set(f.mobility)) == 1
    rays = [_Ray(f, s, known.lowest, unit, e, f.dimension - 1 if round_it else 0) for e in _directions(f, round_it)]
    return min((ray.bottom() for ray in rays), key=lambda bottom: bottom.rate)


def _directions(f: Objective, diagonals: bool) -> list[Array]:
    steps = [np.array(step) for step in product((-1.0, 0.0, 1.0), repeat=f.dimension) if any(step)]
    return [step / np.linalg.norm(step) for step in steps if diagonals or np.count_nonzero(step) == 1]


@dataclass(frozen=True, eq=False)
class _Ray:
    f: Objective
    s: float
    start: Array
    unit: float
    direction: Array
    around: int

    def bottom(self) -> Bottom:
        """Of the continuous spectrum far out along the ray."""
        x = self.start[:, None] + self.unit * self.direction[:, None] * DISTANCES
        with np.errstate(all="ignore"):
            log_mass = -2 * np.asarray(self.f(x)) / self.s + (self.around + 1) * np.log(DISTANCES)
            decay = self._decay(x)
        known = np.isfinite(log_mass) & np.isfinite(decay)
        n = x.shape[1] if known.all() else int(known.argmin())
        where = "(" + ", ".join(f"{c:.3g}" for c in self.direction) + ")"
        if n < FEWEST:
            return Bottom(np.inf, 0.0, f"undecided: the noise was not followed far in direction {where}")
        if not log_mass[n - 1] < log_mass[n - 4] - 1e-3:
            raise RequestError(
                f"learning rate {self.s:g}: with this noise the stationary density of {self.f.name} has no finite "
                f"integral in direction {where}; take a smaller learning rate, less noise, or a box"
            )
        last, before = float(decay[n - 1]), float(decay[n - 5])
        if last > TREND * before and last > 0:
            return Bottom(np.inf)
        if last < before / TREND or last <= 0:
            raise RequestError(
                f"with this noise {self.f.name} has no spectral gap at learning rate {self.s:g}: in direction {where} "
                "paths come back ever more slowly; give a box"
            )
        return Bottom(last, abs(last - before), "where the continuous spectrum starts is estimated along rays")

    def _decay(self, x: Array) -> Array:
        """(g_y^2/s - g_yy)/2 at points (d, n) of the ray."""
        e, s, r = self.direction, self.s, self.unit * DISTANCES
        mobility = self.f.mobility[int(abs(e).argmax())]
        (slope, curvature), (da, dda) = (
            (e @ f.gradient(x), np.einsum("i,ijn,j->n", e, f.piecewise_hessian(x), e)) for f in (self.f, mobility)
        )
        a = mobility(x)
        slope = slope - 0.25 * s * da / a - 0.5 * s * self.around / r
        curvature = curvature - 0.25 * s * (dda / a - (da / a) ** 2) + 0.5 * s * self.around / r**2
        return np.asarray((a * slope**2 / s - a * curvature - 0.5 * da * slope) / 2)
