"""How the attractor changes with the learning rate: orbit diagrams with their largest Lyapunov exponent, and the
learning rates at which periods double."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from witten.descent import kernels
from witten.descent.attractors.attractor import DIVERGES, SLOW, fate_of_state
from witten.descent.attractors.cycle_detection import settle
from witten.descent.attractors.limit_orbit import ARRIVED, approached
from witten.descent.attractors.orbit_stability import judged
from witten.descent.gradient_map import DescentMap, checked_starts
from witten.descent.lyapunov import lyapunov
from witten.descent.orbits import ROUNDING, Orbit, polish
from witten.display import Displayed, shortened
from witten.errors import ConvergenceError, RequestError
from witten.io import netcdf
from witten.objectives.objective import Objective
from witten.objectives.topography.length_scales import nonlinear_length
from witten.request import positive

if TYPE_CHECKING:
    import xarray

__all__ = ["KIND", "Diagram", "Doubling", "bifurcation_diagram", "doublings", "flip"]

KIND = "orbit-diagram"

Array = NDArray[np.float64]
Attractor = tuple[Array, float, int, str]
# Moves a run off what has just become unstable, beside the length over which f is linear: rounding would need long.
KICK = 1e-9
# A bounded run is chaotic if it was stretched by more than e^3 over the points kept, and these are spread in each
# quarter alike to this factor; one that is undecided is followed so many times longer.
CHAOS, STEADY, LONGER = 3.0, 1.5, 20


@dataclass(frozen=True, eq=False, repr=False)
class Diagram(netcdf.Saved, Displayed):
    """Attractors against the learning rate, from several starts.

    Attributes
    ----------
    objective : its name
    learning_rates : s, shape (m,)
    points : of the attractor, in order, shape (m, starts, kept, d); nan where a run diverged
    exponents : largest Lyapunov exponent per step, -inf where superstable, nan where a run diverged, (m, starts): of
        the cycle where there is one, else of the run
    periods : of the cycle, 0 where none up to a quarter of `kept` is known, -1 where the run diverged, (m, starts)
    why : what the periods rest on, in words, (m, starts)
    momentum, nesterov : alpha, and whether the gradient is Nesterov's
    """

    kind: ClassVar[str] = KIND
    picture: ClassVar[str] = "plot_bifurcation"

    objective: str
    learning_rates: Array
    points: Array
    exponents: Array
    periods: NDArray[np.int64]
    why: NDArray[np.str_]
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        s, found = self.learning_rates, sorted(set(self.periods[self.periods > 0].tolist()))
        seen = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
        rates = f"{s.size} learning rates {s.min():g} to {s.max():g}"
        return f"{shortened(self.objective)}, {rates}, periods {seen or 'none'}"

    @property
    def dimension(self) -> int:
        """d."""
        return self.points.shape[-1]

    def to_dataset(self) -> xarray.Dataset:
        """The diagram as an xarray Dataset that describes itself."""
        import xarray

        each, about = ("learning_rate", "start"), netcdf.described
        return xarray.Dataset(
            {
                "points": ((*each, "kept", "axis"), self.points, about("points of the attractor; nan where diverged")),
                "exponents": (each, self.exponents, about("largest Lyapunov exponent per step")),
                "periods": (each, self.periods, about("period of the cycle, 0 for none, -1 where diverged")),
                "why": (each, self.why.astype(object), {"long_name": "what the period rests on"}),
            },
            coords={"learning_rate": ("learning_rate", self.learning_rates, about("learning rate s"))},
            attrs=netcdf.provenance(KIND, "Attractors of gradient descent", {
                "objective": self.objective, "momentum": self.momentum, "nesterov": int(self.nesterov),
            }),
        )

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> Diagram:
        """The diagram that `to_dataset` described."""
        columns = {name: dataset[name].values for name in ("points", "exponents", "periods")}
        why = dataset["why"].values.astype(str) if "why" in dataset else np.full(columns["periods"].shape, "")
        about = dataset.attrs
        return cls(
            str(about["objective"]), dataset["learning_rate"].values, **columns, why=why,
            momentum=float(about.get("momentum", 0.0)), nesterov=bool(about.get("nesterov", False)),
        )  # fmt: skip


def bifurcation_diagram(
    objective: Objective, learning_rates: Sequence[float] | Array, starts: ArrayLike, *, momentum: float = 0.0,
    nesterov: bool = False, burn: int = 3000, keep: int = 256,
) -> Diagram:  # fmt: skip
    """Run gradient descent from starts (d, k) at rest, with momentum the map of pairs `DescentMap`, at every learning
    rate, each going on from the end of the one below it.

    A period is that of an orbit found by Newton's method from the points kept, stable or neutral, that the run comes
    closer to all the time (`limit_orbit.approached`), and `points` are then its own: beside a bifurcation the run is
    still far away. Where there is none, `why` distinguishes chaos from what more steps would decide.

    >>> f = witten.Objective.from_callable(lambda x: (1 - x[0]**2)**2/4, 1, gradient=lambda x: x**3 - x)
    >>> witten.bifurcation_diagram(f, (0.8, 1.2), [[0.3]], burn=300, keep=16).periods.tolist()
    [[1], [2]]

    Parameters
    ----------
    burn, keep : steps that are thrown away, and points that are kept

    Raises
    ------
    RequestError
        where f is not a number at a start.
    """
    s = np.array([positive("learning rate", rate) for rate in learning_rates])
    maps = [DescentMap(objective, rate, momentum, nesterov) for rate in s.tolist()]
    x = checked_starts(objective, starts)
    x = maps[0].at_rest(x) if maps else x
    order = np.argsort(s, kind="stable")
    points = np.empty((s.size, x.shape[1], keep, len(x)))
    exponents = np.empty((s.size, x.shape[1]))
    periods, why = np.empty(exponents.shape, dtype=np.int64), np.empty(exponents.shape, dtype=object)
    for i, start in enumerate(np.ascontiguousarray(x.T)):
        found = np.empty((s.size, keep, start.size))
        exponents[order, i] = _continued([maps[j] for j in order], start, burn, found)
        points[order, i] = found
        for j, descent in enumerate(maps):
            there = _attractor(descent, points[j, i], float(exponents[j, i])) or _longer(descent, points[j, i], burn)
            points[j, i], exponents[j, i], periods[j, i], why[j, i] = there
    points = points[..., : objective.dimension]
    return Diagram(objective.name, s, points, exponents, periods, why.astype(str), momentum, nesterov)


def _attractor(descent: DescentMap, points: Array, exponent: float) -> Attractor | None:
    """What the last states (kept, m) of a run show: an orbit it approaches, chaos, infinity; None where they do not."""
    if not np.isfinite(points).all():
        return np.full_like(points, np.nan), np.nan, -1, "|x| grows without bound"
    length = _length(descent, points[-1])
    orbit = approached(descent, points.T, length)
    if orbit is not None:
        return _along(orbit.points.T, points), float(orbit.exponents[0]), orbit.period, judged(descent, orbit)[1]
    if np.ptp(points, axis=0).max() > ARRIVED * length and (p := _repeats(points)):
        return points, exponent, p, "the run repeats itself to the last digits"
    widths = [np.ptp(part, axis=0).max() for part in np.array_split(points, 4)]
    if exponent * len(points) > CHAOS and max(widths) < STEADY * min(widths):
        return points, exponent, 0, f"chaotic: bounded, no cycle is approached, and the exponent is {exponent:.3g}"
    return None


def _longer(descent: DescentMap, points: Array, burn: int) -> Attractor:
    """The fate of a run as far off as f is linear, LONGER times as long, where the points kept left it undecided."""
    x = points[-1]
    end = fate_of_state(descent, (x + 0.1 * _length(descent, x))[:, None], LONGER * burn)
    if end.kind == DIVERGES:
        return np.full_like(points, np.nan), np.nan, -1, end.why
    exponent = float(end.lyapunov.max(initial=-np.inf)) if end.lyapunov.size else np.nan
    if end.settled:
        return _along(end.x.T, points), exponent, end.x.shape[1], end.why
    tail = descent.path(end.x[:, -1], len(points) - 1).T
    length = _length(descent, x)
    if end.kind == SLOW and end.period is not None and (orbit := approached(descent, tail.T, length)) is not None:
        return _along(orbit.points.T, tail), float(orbit.exponents[0]), orbit.period, end.why
    return tail, exponent, 0, f"{end.kind}: {end.why}"


def _along(orbit: Array, points: Array) -> Array:
    """As many states of an orbit (p, m) as of a run (kept, m), in step with it."""
    first = int(np.argmin(abs(orbit - points[0]).max(axis=1)))
    return orbit[(np.arange(len(points)) + first) % len(orbit)]


def _repeats(points: Array) -> int:
    """The smallest p <= kept/4 after which all points (kept, d) come again but for rounding; 0 if none."""
    close = ROUNDING * abs(points).max()
    for p in range(1, len(points) // 4 + 1):
        if abs(points[p:] - points[:-p]).max() <= close:
            return p
    return 0


def _continued(maps: list[DescentMap], start: Array, burn: int, out: Array) -> Array:
    first, kick = maps[0], _kick(maps[0], start)
    if first.compiled:
        s, momentum = np.array([float(each.learning_rate) for each in maps]), first.kernel_arguments[1]
        return kernels.diagram(*kernels.pointers(first.objective), start, s, momentum, burn, kick, out)
    exponents, x = np.full(len(maps), np.nan), start
    for i, descent in enumerate(maps):
        with np.errstate(all="ignore"):
            out[i] = descent.path(descent.iterate(x + kick, burn), out.shape[1] - 1).T
        if abs(out[i]).max() < kernels.OVERFLOW:
            exponents[i] = lyapunov(descent, out[i, 0], out.shape[1], burn=0, count=1).exponents[0]
            x = out[i, -1]
        else:
            out[i], x = np.nan, start
    return exponents


def _kick(descent: DescentMap, state: Array) -> float:
    """A move that is small beside the length over which f is linear near a state (m,), but not lost in rounding."""
    return max(KICK * _length(descent, state), ROUNDING * float(abs(state).max()))


def _length(descent: DescentMap, state: Array) -> float:
    """Over which grad f is linear near a state (m,); a parabola has no length of its own."""
    x = descent.position(state)
    length = nonlinear_length(descent.objective, x)
    return length if np.isfinite(length) else float(abs(x).max()) or 1.0


@dataclass(frozen=True, eq=False)
class Doubling:
    """Where a cycle gives way to one twice as long.

    Attributes
    ----------
    period : p of the cycle that becomes unstable
    learning_rate : where its multiplier is -1
    orbit : the cycle there, of states
    """

    period: int
    learning_rate: float
    orbit: Orbit


def flip(
    objective: Objective, points: ArrayLike, low: float, high: float, *, momentum: float = 0.0, nesterov: bool = False
) -> Doubling:
    """The learning rate in [low, high] at which the cycle through points (d, p) at `low` has a multiplier -1.

    The cycle is followed in s by Newton's method, steps being halved where it is lost.

    Raises
    ------
    ConvergenceError
        if it does not double its period there, or cannot be followed.
    """
    descent = DescentMap(objective, low, momentum, nesterov)
    return _flip(descent, descent.in_turn(points), high)


def _flip(descent: DescentMap, states: Array, high: float) -> Doubling:
    """`flip` of the cycle through states (m, p) at the learning rate of a map."""
    orbit, low = polish(descent, states), descent.learning_rate
    if orbit is None:
        raise ConvergenceError(f"no cycle near the given points at learning rate {low:g}; start from its own points")
    s, step = low, (high - low) / 50
    while s < high:
        after = _followed(replace(descent, learning_rate=min(s + step, high)), orbit)
        if after is None:
            step /= 2
            if step < 1e-9 * high:
                raise ConvergenceError(f"the cycle of period {orbit.period} is lost at learning rate {s:.9g}")
        elif _offset(orbit) * _offset(after) <= 0:
            return _refined(descent, orbit, s, min(s + step, high))
        else:
            s, orbit = min(s + step, high), after
    raise ConvergenceError(f"the cycle of period {orbit.period} does not double between {low:g} and {high:g}")


def _offset(orbit: Orbit) -> float:
    """The smallest real multiplier, plus one; where all are complex, as with momentum, how far from -1 they are."""
    real = orbit.multipliers.real[abs(orbit.multipliers.imag) < 1e-9]
    return float(real.min()) + 1.0 if real.size else float(abs(orbit.multipliers + 1.0).min())


def _followed(descent: DescentMap, orbit: Orbit) -> Orbit | None:
    """The cycle at a learning rate nearby; None if Newton's method finds another one."""
    after = polish(descent, orbit.points)
    if after is None or after.period != orbit.period:
        return None
    moved = abs(after.points - orbit.points).max()
    if orbit.period == 1:  # a critical point of f: it does not move with s
        return after if moved <= ROUNDING * abs(orbit.points).max() else None
    return after if moved < 0.2 * np.ptp(orbit.points, axis=1).max() else None


def _refined(descent: DescentMap, orbit: Orbit, low: float, high: float) -> Doubling:
    def followed(s: float) -> Orbit | None:
        return _followed(replace(descent, learning_rate=s), orbit)

    def offset(s: float) -> float:
        there = followed(s)
        if there is None:
            raise ConvergenceError(f"the cycle of period {orbit.period} is lost at learning rate {s:.9g}")
        return _offset(there)

    s = float(brentq(offset, low, high, xtol=1e-15, rtol=1e-14))
    there = followed(s)
    return Doubling(orbit.period, s, orbit if there is None else there)


def doublings(
    objective: Objective, start: ArrayLike, low: float, high: float, count: int, *, momentum: float = 0.0,
    nesterov: bool = False, steps: int = 200_000,
) -> tuple[Doubling, ...]:  # fmt: skip
    """The first `count` period doublings of the attractor reached from `start` (d,) at rest at `low`, up to `high`.

    After each one the doubled cycle is found by running on a little above it.

    Raises
    ------
    RequestError
        if the run from the start does not converge.
    ConvergenceError
        if the cascade breaks off.
    """
    descent = DescentMap(objective, low, momentum, nesterov)
    x, found = descent.at_rest(np.asarray(start, dtype=float).reshape(objective.dimension)), list[Doubling]()
    end = high
    for _ in range(count):
        points = _cycle_at(descent, x, steps)
        if found and points.shape[1] != 2 * found[-1].period:
            raise ConvergenceError(f"after period {found[-1].period} comes {points.shape[1]}, not its double")
        found.append(_flip(descent, points, end))
        gap = found[-1].learning_rate - (found[-2].learning_rate if len(found) > 1 else low)
        x, descent = points[:, 0], replace(descent, learning_rate=found[-1].learning_rate + 0.02 * gap)
        # Gaps shrink, from the second on by a factor that tends to Feigenbaum's 4.669 [Feigenbaum1978].
        end = high if len(found) < 2 else min(high, found[-1].learning_rate + gap)
    return tuple(found)


def _cycle_at(descent: DescentMap, x: Array, steps: int) -> Array:
    done = settle(descent, x[:, None] + _kick(descent, x), steps)
    if done.period[0] <= 0:
        raise RequestError(
            f"the run does not converge at learning rate {descent.learning_rate:g}; start where it does"
        )
    return descent.path(done.x[:, 0], int(done.period[0]) - 1)
