"""What becomes of a run of gradient descent: fixed point, cycle, torus, chaos, infinity, or too slow to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from witten.descent.lyapunov import lyapunov
from witten.descent.map import DescentMap, checked_starts
from witten.descent.orbits import Orbit, hull, orbit_at, polish, split_exponents
from witten.descent.settling import DIVERGED, UNDECIDED, settle
from witten.objectives.objective import Objective

__all__ = ["CHAOTIC", "DIVERGES", "FIXED", "KINDS", "PERIODIC", "QUASI_PERIODIC", "SLOW", "Fate", "Share", "fate",
           "fate_shares"]  # fmt: skip

Array = NDArray[np.float64]
FIXED, PERIODIC, QUASI_PERIODIC, CHAOTIC, DIVERGES, SLOW = (
    "fixed-point", "periodic", "quasi-periodic", "chaotic", "diverged", "slow",
)  # fmt: skip
KINDS = (FIXED, PERIODIC, QUASI_PERIODIC, CHAOTIC, DIVERGES, SLOW)
# Points of an attractor that is no cycle that are kept, and periods tried for runs that are still on their way.
KEPT, PERIODS = 200, (1, 2, 3, 4, 6, 8)
# A run is on its way somewhere if it moves less than CLOSE (1 + |x|) in each of so many steps in a row.
CLOSE, WINDOW = 0.05, 50


@dataclass(frozen=True, eq=False)
class Fate:
    """Where a run of gradient descent ends up.

    Attributes
    ----------
    kind : one of KINDS
    learning_rate : s
    period : p of a fixed point (1) or cycle; of what a slow run approaches; None otherwise
    x : the points of the orbit in order, polished by Newton's method, (d, p); some points of any other attractor; the
        last point of a slow run; the last finite one, (d, 1), of one that diverged
    sharpness : the largest eigenvalue of Hess f on the orbit, to be compared with 2/s; nan where unknown
    multipliers : eigenvalues of (F^p)' by falling modulus; empty unless there is an orbit
    lyapunov : exponents per step, descending, and their standard errors (0 for an orbit)
    tangential, transverse : exponents inside and across the smallest affine subspace that holds the attractor
    exponent : a of |x_k - x_inf| ~ k^-a for a slow run; nan otherwise
    steps : taken by the run
    """

    kind: str
    learning_rate: float
    period: int | None
    x: Array
    sharpness: float = np.nan
    multipliers: NDArray[np.complex128] = field(default_factory=lambda: np.empty(0, complex))
    lyapunov: Array = field(default_factory=lambda: np.empty(0))
    lyapunov_errors: Array = field(default_factory=lambda: np.empty(0))
    tangential: Array = field(default_factory=lambda: np.empty(0))
    transverse: Array = field(default_factory=lambda: np.empty(0))
    exponent: float = np.nan
    steps: int = 0

    @property
    def settled(self) -> bool:
        """Whether the run ended on a fixed point or cycle."""
        return self.kind in (FIXED, PERIODIC)


def fate(objective: Objective, learning_rate: float, x: ArrayLike, *, steps: int = 100_000) -> Fate:
    """The fate of x+ = x - s grad f(x) from x (d,), judged after at most so many steps.

    A run that returns to itself within 1e-12 has settled, and its orbit is polished. Otherwise distances
    |x_{k+p} - x_k| that fall like a power of k make it slow, with its exponent; a largest Lyapunov exponent five
    standard errors above zero makes it chaotic; else it is quasi-periodic. RequestError where f is not a number at x.
    """
    descent = DescentMap(objective, learning_rate)
    start = checked_starts(objective, np.reshape(x, (descent.dimension, 1)))
    done = settle(descent, start, steps)
    period, end, used = int(done.period[0]), done.x, int(done.steps[0])
    if period == DIVERGED:
        return Fate(DIVERGES, learning_rate, None, end, steps=used)
    if period != UNDECIDED:
        return _settled(descent, end, period, used)
    return _undecided(descent, start, end, steps)


def _images(descent: DescentMap, x: Array, period: int) -> Array:
    points = [x]
    for _ in range(period - 1):
        points.append(descent(points[-1]))
    return np.hstack(points)


def _settled(descent: DescentMap, end: Array, period: int, steps: int) -> Fate:
    """A fixed point or cycle, polished where Newton's method stays close by."""
    points = _images(descent, end, period)
    polished = polish(descent, points)
    near = polished is not None and abs(polished.points - points[:, : polished.period]).max() < 1e-5 * (
        1 + abs(points).max()
    )
    orbit = polished if near else orbit_at(descent, points)
    if orbit is None:  # a kink: there is no Jacobian
        return Fate(FIXED if period == 1 else PERIODIC, descent.learning_rate, period, points, np.inf, steps=steps)
    return _of_orbit(descent, orbit, steps)


def _of_orbit(descent: DescentMap, orbit: Orbit, steps: int) -> Fate:
    tangential, transverse = split_exponents(descent, orbit.points, hull(orbit.points))
    return Fate(
        FIXED if orbit.period == 1 else PERIODIC, descent.learning_rate, orbit.period, orbit.points,
        sharpness(descent.objective, orbit.points), orbit.multipliers, orbit.exponents,
        np.zeros(orbit.exponents.size), tangential, transverse, steps=steps,
    )  # fmt: skip


def sharpness(objective: Objective, points: Array) -> float:
    """The largest eigenvalue of Hess f at any of the points (d, n); inf on a kink."""
    try:
        return float(np.linalg.eigvalsh(np.moveaxis(objective.hessian(points), 2, 0)).max())
    except ValueError:
        return np.inf


def _undecided(descent: DescentMap, start: Array, end: Array, steps: int) -> Fate:
    found = _approach(descent, start, steps)
    if found is None:
        return _wandering(descent, end, steps)
    period, exponent = found
    if np.isfinite(exponent):
        return Fate(SLOW, descent.learning_rate, period, end, sharpness(descent.objective, end), exponent=exponent,
                    steps=steps)  # fmt: skip
    orbit = polish(descent, _images(descent, end, period))  # geometric: it would settle if it were given the time
    near = orbit is not None and abs(orbit.points[:, :1] - end).max() < CLOSE * (1 + abs(end).max())
    if orbit is not None and near and orbit.stable:
        return _of_orbit(descent, orbit, steps)
    return _wandering(descent, end, steps)


def _approach(descent: DescentMap, start: Array, steps: int) -> tuple[int, float] | None:
    """p and a with |x_{k+p} - x_k| ~ k^{-1-a}; a = inf if it falls geometrically; None if it does not fall.

    Told from three places, a quarter, half and the whole of the run: a power gives the same ratio twice, a geometric
    sequence its square. The gap at each is the largest of WINDOW steps, so that chance returns do not count."""
    x, gaps, previous = start, [], 0
    for mark in (steps // 4, steps // 2, steps):
        x = descent.iterate(x, mark - previous)
        previous = mark
        path = descent.path(x[:, 0], WINDOW + max(PERIODS))
        gaps.append([float(abs(path[:, p : p + WINDOW] - path[:, :WINDOW]).max()) for p in PERIODS])
    with np.errstate(all="ignore"):
        quarter, half, whole = np.log(np.array(gaps))
    falling = (quarter - half > 0.3) & (half - whole > 0.3) & (whole < np.log(CLOSE * (1 + abs(x).max())))
    if not falling.any():
        return None
    best = int(np.argmin(np.where(falling, whole, np.inf)))
    # The shortest period whose gap closes as well: alternating signs make twice the period look closer.
    shorter = [i for i in range(best) if falling[i] and PERIODS[best] % PERIODS[i] == 0]
    best = shorter[0] if shorter else best
    first, second = quarter[best] - half[best], half[best] - whole[best]
    if second > 1.6 * first:
        return PERIODS[best], np.inf
    # Alternating convergence |x - x_inf| ~ k^-a closes its gap after one step like k^-a itself.
    rate = second / np.log(2.0)
    return PERIODS[best], float(rate if shorter else rate - 1.0)


def _wandering(descent: DescentMap, end: Array, steps: int) -> Fate:
    """Chaos or a torus, by the largest exponent and its error."""
    points = descent.path(end[:, 0], KEPT - 1)
    within = hull(points)
    found = lyapunov(descent, end[:, 0], max(steps // 2, 2000), burn=0, along=within)
    order = np.argsort(-found.exponents)
    top, error = found.exponents[order[0]], found.errors[order[0]]
    kind = CHAOTIC if top > 5 * error and top > 2e-4 else QUASI_PERIODIC
    return Fate(
        kind, descent.learning_rate, None, points, sharpness(descent.objective, points),
        lyapunov=found.exponents[order], lyapunov_errors=found.errors[order],
        tangential=found.tangential, transverse=found.transverse, steps=steps,
    )  # fmt: skip


@dataclass(frozen=True)
class Share:
    """The share of starts with one fate: count of total, and a 95 % interval (Wilson)."""

    kind: str
    count: int
    total: int

    @property
    def share(self) -> float:
        """count/total."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % interval."""
        ends = binomtest(self.count, self.total).proportion_ci(method="wilson")
        return float(ends.low), float(ends.high)


def fate_shares(
    objective: Objective, learning_rate: float, starts: ArrayLike, *, steps: int = 100_000
) -> tuple[Share, ...]:
    """Which fates starts (d, n) have, the commonest first; those that do not settle are judged one by one."""
    descent = DescentMap(objective, learning_rate)
    points = np.asarray(starts, dtype=float).reshape(descent.dimension, -1)
    done = settle(descent, points, steps)
    kinds = [_kind(period) for period in done.period.tolist()]
    for i in np.flatnonzero(done.period == UNDECIDED):
        kinds[i] = fate(objective, learning_rate, points[:, i], steps=steps).kind
    return _counted(kinds)


def _kind(period: int) -> str:
    return DIVERGES if period == DIVERGED else FIXED if period == 1 else PERIODIC


def _counted(kinds: Sequence[str]) -> tuple[Share, ...]:
    shares = [Share(kind, kinds.count(kind), len(kinds)) for kind in KINDS if kind in kinds]
    return tuple(sorted(shares, key=lambda share: -share.count))
