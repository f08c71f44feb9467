"""Which orbit the end of a run approaches, however slowly: candidates by Newton's method, judged by their multipliers
and by whether the run comes closer to them all the time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witten.descent.gradient_map import DescentMap
from witten.descent.kernels import TINY
from witten.descent.orbits import ROUNDING, Orbit, polish

__all__ = ["ARRIVED", "approached", "distances"]

Array = NDArray[np.float64]
# Parts of a run that are compared.
PARTS = 8
# A period is a candidate if the run is back after it, or after twice as long, to within this of its width.
RETURNS = 0.2
# A run has arrived at an orbit if it is this close to it, relative to the length it is judged by.
ARRIVED = 1e-6
# A run is near an orbit if its distance is less than this share of its own width, or falls as it should to this.
NEAR, FORETOLD = 0.75, 0.05
# A run that was stretched by more than e^2 over its last p steps is at no attracting orbit of period p.
REPELLED = 2.0


def approached(descent: DescentMap, tail: Array, length: float, *, longest: int | None = None) -> Orbit | None:
    """The stable or neutral orbit that consecutive states (m, n) of a run come ever closer to, or have come to as
    closely as ARRIVED of a length that f or the run has; None if there is none of period up to `longest` (n/4 by
    default).

    Beside a bifurcation a run converges far too slowly to be waited for. Its last points are averaged over two
    periods, which is within the square of their distance of the orbit where convergence alternates, and Newton's
    method does the rest."""
    n = tail.shape[1]
    stretches = _stretches(descent, tail)
    for p in _candidates(tail, n // 4 if longest is None else longest):
        if stretches[-p:].sum() > REPELLED:
            continue
        blocks = tail[:, n - 2 * p :].reshape(len(tail), 2, p)
        orbit = polish(descent, blocks.mean(axis=1))
        if orbit is None or orbit.period != p or not orbit.stable:
            continue
        if _comes_closer(distances(orbit.points, tail), tail, orbit, length):
            return orbit
    return None


def _stretches(descent: DescentMap, tail: Array) -> Array:
    """log |F'| at the points of a run (d, n), the geometric mean over directions, shape (n,); 0 on a kink."""
    try:
        jacobians = np.moveaxis(descent.jacobian(tail), 2, 0)
    except ValueError:
        return np.zeros(tail.shape[1])
    with np.errstate(divide="ignore"):
        return np.linalg.slogdet(jacobians)[1] / len(tail)


def _candidates(tail: Array, longest: int) -> list[int]:
    """Periods after which the run is nearly back, and their halves: where convergence alternates."""
    half, width = tail[:, tail.shape[1] // 2 :], float(np.ptp(tail, axis=1).max())
    found = set[int]()
    for p in range(1, min(2 * longest, half.shape[1] - 1) + 1):
        if abs(half[:, p:] - half[:, :-p]).max() <= RETURNS * width:
            found |= {p} if p % 2 else {p, p // 2}
    return sorted(p for p in found if p <= longest)


def distances(points: Array, tail: Array) -> Array:
    """The largest distance of a run (d, n) from an orbit (d, p) in step with it, in each of up to PARTS of the run."""
    n, p = tail.shape[1], points.shape[1]
    at = np.arange(n)
    shifts = [abs(points[:, (at[-p:] + k) % p] - tail[:, -p:]).max() for k in range(p)]
    away = abs(points[:, (at + int(np.argmin(shifts))) % p] - tail).max(axis=0)
    return np.array([part.max() for part in np.array_split(away, max(min(PARTS, n // p), 2))])


def _comes_closer(away: Array, tail: Array, orbit: Orbit, length: float) -> bool:
    """Whether distances fall from part to part, down to what rounding lets see, and either are no larger than the run
    is wide, or fall as the multipliers say."""
    width = max(float(np.ptp(tail, axis=1).max()), float(np.ptp(orbit.points, axis=1).max()))
    known = ROUNDING * float(abs(tail).max()) + TINY
    if away[-1] <= known or (away[-1] <= ARRIVED * length and away[-1] <= away[0] + known):
        return True
    if not np.all(away[1:] < np.maximum(away[:-1], known)):
        return False
    steps = tail.shape[1] * (away.size - 1) / away.size
    foretold = steps * float(orbit.exponents[0])
    return bool(away[-1] <= NEAR * width or abs(np.log(away[-1] / away[0]) - foretold) <= FORETOLD * abs(foretold))
