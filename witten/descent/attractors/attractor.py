"""What becomes of a run of gradient descent: fixed point, cycle, torus, chaos, infinity, or too slow to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.descent.attractors.convergence_order import power_law, steadiness
from witten.descent.attractors.cycle_detection import DIVERGED, UNDECIDED, settle
from witten.descent.attractors.divergence import COMPARED, growth
from witten.descent.attractors.limit_orbit import approached
from witten.descent.attractors.orbit_stability import exact_gradient, judged
from witten.descent.gradient_map import DescentMap, checked_starts
from witten.descent.lyapunov import lyapunov
from witten.descent.orbits import ROUNDING, Orbit, orbit_at, polish, split_exponents, state_hull
from witten.objectives.objective import Objective

__all__ = ["CHAOTIC", "DIVERGES", "FIXED", "KINDS", "PERIODIC", "QUASI_PERIODIC", "SLOW", "Fate", "Share", "fate",
           "fate_of_state", "fate_shares"]  # fmt: skip

Array = NDArray[np.float64]
FIXED, PERIODIC, QUASI_PERIODIC, CHAOTIC, DIVERGES, SLOW = (
    "fixed-point", "periodic", "quasi-periodic", "chaotic", "diverged", "slow",
)  # fmt: skip
KINDS = (FIXED, PERIODIC, QUASI_PERIODIC, CHAOTIC, DIVERGES, SLOW)
# Points of an attractor that is no cycle that are kept.
KEPT = 200
# A run has come to an orbit where its remaining distance is less than this, relative to what it came.
ARRIVED = 1e-3
# Unstable orbits that a run may pass.
PASSED = 20
EXACTLY: dict[str, Any] = {"tolerance": 0.0, "rounding": 0.0}
# A bounded run crosses its mean this often in each quarter, and its width stays within this factor.
CROSSINGS, STEADY, VERY_STEADY = 20, 2.0, 1.02


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
    stable : whether runs that start near the orbit stay near it; None where there is no orbit, or its multipliers do
        not say
    why : what the verdict rests on, in words
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
    stable: bool | None = None
    why: str = ""

    @property
    def settled(self) -> bool:
        """Whether the run ended on a fixed point or cycle."""
        return self.kind in (FIXED, PERIODIC)


def fate(
    objective: Objective, learning_rate: float, x: ArrayLike, *, momentum: float = 0.0, nesterov: bool = False,
    steps: int = 100_000,
) -> Fate:  # fmt: skip
    """The fate of x+ = x - s grad f(x), or with momentum of the map of pairs `DescentMap`, from x (d,) at rest, judged
    after at most so many steps.

    A run that returns to itself within 1e-12 of its own width has converged, and its orbit is polished; from an
    unstable one it goes on, unless it stands there exactly. A run that x^2 overflows on has diverged, and one that
    grows as the map does at every distance ahead of it (`growth`). Distances |x_{k+p} - x_k| that fall like a power of
    k make it slow, with its exponent. A bounded run is chaotic if its largest Lyapunov exponent is five standard errors
    above zero, and quasi-periodic if that is zero and its width does not change. Else it is slow: `why` says how far it
    came. RequestError where f is not a number at x.

    >>> f = witten.Objective.from_callable(lambda x: (1 - x[0]**2)**2/4, 1, gradient=lambda x: x**3 - x)
    >>> witten.fate(f, 1.2, (0.3,)).kind
    'periodic'
    """
    descent = DescentMap(objective, learning_rate, momentum, nesterov)
    start = checked_starts(objective, np.reshape(x, (objective.dimension, 1)))
    found = fate_of_state(descent, descent.at_rest(start), steps)
    return replace(found, x=descent.position(found.x))


def fate_of_state(descent: DescentMap, start: Array, steps: int) -> Fate:
    """The fate of a run from a state (m, 1); its `x` are states, too."""
    here, taken, exactly = start, 0, False
    for _ in range(PASSED):
        done = settle(descent, here, steps - taken, **(EXACTLY if exactly else {}))
        period, used = int(done.period[0]), taken + int(done.steps[0])
        if period == DIVERGED:
            return _diverged(descent, here, used, int(done.steps[0]))
        if period == UNDECIDED:
            return _stuck(descent, done.x, used) if used < steps else _undecided(descent, start, done.x, steps)
        found = _settled(descent, start, done.x, period, used)
        if found is not None:
            return found
        # On an unstable orbit, but not exactly: the run goes on until it has left, or stands still to the last bit.
        here, taken, exactly = done.x, used, True
        if taken >= steps:
            break
    return _undecided(descent, start, here, steps)


def _images(descent: DescentMap, x: Array, period: int) -> Array:
    points = [x]
    for _ in range(period - 1):
        points.append(descent(points[-1]))
    return np.hstack(points)


def _diverged(descent: DescentMap, start: Array, used: int, steps: int) -> Fate:
    """Divergence; `why` says where f ends or overflows instead."""
    last = descent.iterate(start, steps - 1)
    evaluated = descent.evaluated(last)
    if np.isfinite(descent(last)).all() or not np.isnan(descent.objective.gradient(evaluated)).any():
        return Fate(DIVERGES, descent.learning_rate, None, last, steps=used, why="|x| grows without bound")
    exact = exact_gradient(descent.objective, evaluated[:, 0])
    where = _place(evaluated)
    if exact is None or not all(np.isfinite(float(c)) for c in exact):
        why = f"the run leaves where f is defined: grad f is not a number at ({where})"
        return Fate(DIVERGES, descent.learning_rate, None, last, steps=used, why=why)
    why = f"grad f overflows while it is evaluated at ({where}), which the run had reached"
    return Fate(SLOW, descent.learning_rate, None, last, steps=used, why=why)


def _place(x: Array) -> str:
    return ", ".join(f"{c:.6g}" for c in x[:4, 0]) + (", ..." if len(x) > 4 else "")


def _settled(descent: DescentMap, start: Array, end: Array, period: int, steps: int) -> Fate | None:
    """A fixed point or cycle, polished where Newton's method stays close by; None if the run has yet to leave it."""
    points = _images(descent, end, period)
    polished = polish(descent, points)
    way = max(float(abs(end - start).max()), float(np.ptp(points, axis=1).max()))
    close = 1e-5 * way + ROUNDING * float(abs(points).max())
    near = polished is not None and abs(polished.points - points[:, : polished.period]).max() <= close
    orbit = polished if near else orbit_at(descent, points)
    if orbit is None:  # a kink: there is no Jacobian
        return _on_a_kink(descent, points, steps)
    found = _of_orbit(descent, orbit, steps)
    stands = (_images(descent, end, period + 1)[:, -1] == end[:, 0]).all()
    return found if stands or found.stable is not False else None


def _on_a_kink(descent: DescentMap, points: Array, steps: int) -> Fate:
    kind = FIXED if points.shape[1] == 1 else PERIODIC
    why = "on a kink, where f has no curvature"
    return Fate(kind, descent.learning_rate, points.shape[1], points, np.inf, steps=steps, why=why,
                stable=False if kind == FIXED else None)  # fmt: skip


def _of_orbit(descent: DescentMap, orbit: Orbit, steps: int) -> Fate:
    tangential, transverse = split_exponents(descent, orbit.points, state_hull(descent, orbit.points))
    stable, why = judged(descent, orbit)
    return Fate(
        FIXED if orbit.period == 1 else PERIODIC, descent.learning_rate, orbit.period, orbit.points,
        _sharpness(descent, orbit.points), orbit.multipliers, orbit.exponents,
        np.zeros(orbit.exponents.size), tangential, transverse, steps=steps, stable=stable, why=why,
    )  # fmt: skip


def _sharpness(descent: DescentMap, states: Array) -> float:
    """The largest eigenvalue of Hess f at any of the points of states (m, n); inf on a kink."""
    try:
        hessian = descent.objective.hessian(descent.position(states))
        return float(np.linalg.eigvalsh(np.moveaxis(hessian, 2, 0)).max())
    except ValueError:
        return np.inf


def _stuck(descent: DescentMap, end: Array, steps: int) -> Fate:
    """A run that no longer moves: where f is flatter than a parabola, or since its steps are below rounding."""
    f, s, x = descent.objective, descent.learning_rate, descent.position(end)
    exact = exact_gradient(f, x[:, 0])
    if exact is not None and all(c == 0 for c in exact):
        orbit = orbit_at(descent, end)
        return _on_a_kink(descent, end, steps) if orbit is None else _of_orbit(descent, orbit, steps)
    polished = polish(descent, end)
    if polished is not None and abs(polished.points - end).max() <= ROUNDING * abs(end).max():
        found = _of_orbit(descent, polished, steps)
        if found.stable is not None and polished.neutral == 0:
            return found
    with np.errstate(all="ignore"):
        flat = not f.gradient(x).any()
    why = (
        "grad f is zero in double precision, and so is its change nearby: a plateau, or a very flat minimum"
        if flat
        else f"steps of length {s * abs(f.gradient(x)).max():.1e} are lost in the rounding of x: the run cannot move"
    )
    return Fate(SLOW, s, None, end, _sharpness(descent, end), steps=steps, why=why)


def _undecided(descent: DescentMap, start: Array, end: Array, steps: int) -> Fate:
    """Divergence, an orbit that is nearly reached, a torus or chaos; else what can be said of a slow run."""
    x = descent.position(end)
    if np.isnan(descent.objective(x)).any():
        why = f"the run left where f is defined: it is not a number at ({_place(x)})"
        return Fate(DIVERGES, descent.learning_rate, None, end, steps=steps, why=why)
    ahead = settle(descent, end, COMPARED)
    if ahead.period[0] == DIVERGED:
        return _diverged(descent, end, steps + int(ahead.steps[0]), int(ahead.steps[0]))
    factor = growth(descent, end[:, 0])
    if factor is not None:
        why = f"each step leads {abs(factor):.9g} times as far away, and would at every distance further out"
        return Fate(DIVERGES, descent.learning_rate, None, end, steps=steps, why=why)
    tail = descent.path(end[:, 0], 2 * KEPT - 1)
    orbit = approached(descent, tail, float(abs(end - start).max()))
    if orbit is not None and judged(descent, orbit)[0]:
        left = _distance(tail[:, -1:], orbit)
        if left <= ARRIVED * _distance(start, orbit):
            return _of_orbit(descent, orbit, steps)
    slow = _slow(descent, start, end, steps, orbit)
    if np.isfinite(slow.exponent) or orbit is not None:
        return slow
    return _wandering(descent, start, end, steps) or slow


def _distance(x: Array, orbit: Orbit) -> float:
    return float(abs(orbit.points - x).max(axis=0).min())


def _slow(descent: DescentMap, start: Array, end: Array, steps: int, orbit: Orbit | None) -> Fate:
    """With the power of k by which it slows down, or how far away the orbit is that it comes closer to."""
    found = Fate(SLOW, descent.learning_rate, None, end, _sharpness(descent, end), steps=steps)
    power = power_law(descent, start, steps)
    if power is not None:
        why = f"steps fall like a power of their number: |x - x_inf| ~ k^-{power[1]:.3g}"
        return replace(found, period=power[0], exponent=power[1], why=why)
    if orbit is None:
        far = float(abs(end - start).max())
        return replace(found, why=f"after {steps} steps the run has not converged; it is {far:.3g} from its start")
    name = "the fixed point" if orbit.period == 1 else f"the cycle of period {orbit.period}"
    why = f"the run is still {_distance(end, orbit):.3g} away from {name} that it comes closer to"
    if orbit.exponents[0] < 0 and np.isfinite(orbit.exponents[0]):
        why += f", by a factor of {np.exp(orbit.exponents[0]):.9g} a step"
    return replace(found, period=orbit.period, why=why)


def _wandering(descent: DescentMap, start: Array, end: Array, steps: int) -> Fate | None:
    """Chaos or a torus, by the largest exponent and its error; None for a run that is not seen to be bounded."""
    factor, crossings = steadiness(descent, start, steps)
    if factor > STEADY or crossings < CROSSINGS:
        return None
    points = descent.path(end[:, 0], KEPT - 1)
    found = lyapunov(descent, end[:, 0], max(steps // 2, 2000), burn=0, along=state_hull(descent, points))
    order = np.argsort(-found.exponents)
    top, error = float(found.exponents[order[0]]), float(found.errors[order[0]])
    if top > 5 * error and top > 20 / steps:
        kind, why = CHAOTIC, f"bounded, and the largest Lyapunov exponent is {top:.3g} +- {error:.1g}"
    elif descent.dimension > 1 and factor < VERY_STEADY and abs(top) <= 5 * error + 20 / steps:
        kind, why = QUASI_PERIODIC, "bounded and steady, and the largest Lyapunov exponent is zero"
    else:
        return None
    return Fate(
        kind, descent.learning_rate, None, points, _sharpness(descent, points),
        lyapunov=found.exponents[order], lyapunov_errors=found.errors[order],
        tangential=found.tangential, transverse=found.transverse, steps=steps, why=why,
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
        from scipy.stats import binomtest

        ends = binomtest(self.count, self.total).proportion_ci(method="wilson")
        return float(ends.low), float(ends.high)


def fate_shares(
    objective: Objective, learning_rate: float, starts: ArrayLike, *, momentum: float = 0.0, nesterov: bool = False,
    steps: int = 100_000,
) -> tuple[Share, ...]:  # fmt: skip
    """Which fates starts (d, n) at rest have, the commonest first; those that do not converge are judged one by one.

    >>> from witten.descent.attractors.attractor import fate_shares
    >>> f = witten.Objective.from_callable(lambda x: (1 - x[0]**2)**2/4, 1, gradient=lambda x: x**3 - x)
    >>> [(share.kind, share.count) for share in fate_shares(f, 0.5, [[-0.5, 0.3, 9.0]])]
    [('fixed-point', 2), ('diverged', 1)]
    """
    descent = DescentMap(objective, learning_rate, momentum, nesterov)
    states = descent.at_rest(np.asarray(starts, dtype=float).reshape(objective.dimension, -1))
    done = settle(descent, states, steps)
    kinds = [_kind(period) for period in done.period.tolist()]
    for i in np.flatnonzero(done.period == UNDECIDED):
        kinds[i] = fate_of_state(descent, states[:, i : i + 1], steps).kind
    return _counted(kinds)


def _kind(period: int) -> str:
    return DIVERGES if period == DIVERGED else FIXED if period == 1 else PERIODIC


def _counted(kinds: Sequence[str]) -> tuple[Share, ...]:
    shares = [Share(kind, kinds.count(kind), len(kinds)) for kind in KINDS if kind in kinds]
    return tuple(sorted(shares, key=lambda share: -share.count))
