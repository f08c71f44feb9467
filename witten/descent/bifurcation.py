"""How the attractor changes with the learning rate: orbit diagrams with their largest Lyapunov exponent, and the
learning rates at which periods double."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from witten import files
from witten.descent import kernels
from witten.descent.lyapunov import lyapunov
from witten.descent.map import DescentMap, checked_learning_rate, checked_starts
from witten.descent.orbits import Orbit, polish
from witten.descent.settling import REACH, settle
from witten.errors import ConvergenceError, RequestError
from witten.objectives.objective import Objective

if TYPE_CHECKING:
    import xarray

__all__ = ["KIND", "Diagram", "Doubling", "bifurcation_diagram", "doublings", "flip"]

KIND = "orbit-diagram"

Array = NDArray[np.float64]
# Moves a run off what has just become unstable: rounding would need long to do it.
KICK = 1e-9
# Points that are closer than this, relative to 1 + |x|, are one point of a cycle.
SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Diagram(files.Saved):
    """Attractors against the learning rate, from several starts.

    Attributes
    ----------
    objective : its name
    learning_rates : s, shape (m,)
    points : of the attractor, in order, shape (m, starts, kept, d); nan where a run diverged
    exponents : largest Lyapunov exponent per step, -inf where superstable, nan where a run diverged, (m, starts)
    periods : of the cycle, 0 where there is none up to half of `kept`, -1 where the run diverged, (m, starts)
    """

    kind: ClassVar[str] = KIND

    objective: str
    learning_rates: Array
    points: Array
    exponents: Array
    periods: NDArray[np.int64]

    @property
    def dimension(self) -> int:
        """d."""
        return self.points.shape[-1]

    def to_dataset(self) -> xarray.Dataset:
        """The diagram as an xarray Dataset that describes itself."""
        import xarray

        def about(long_name: str) -> dict[str, str]:
            return {"long_name": long_name, "units": "1"}

        each = ("learning_rate", "start")
        return xarray.Dataset(
            {
                "points": ((*each, "kept", "axis"), self.points, about("points of the attractor; nan where diverged")),
                "exponents": (each, self.exponents, about("largest Lyapunov exponent per step")),
                "periods": (each, self.periods, about("period of the cycle, 0 for none, -1 where diverged")),
            },
            coords={"learning_rate": ("learning_rate", self.learning_rates, about("learning rate s"))},
            attrs=files.provenance(KIND, "Attractors of gradient descent", {"objective": self.objective}),
        )

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> Diagram:
        """The diagram that `to_dataset` described."""
        columns = {name: dataset[name].values for name in ("points", "exponents", "periods")}
        return cls(str(dataset.attrs["objective"]), dataset["learning_rate"].values, **columns)


def bifurcation_diagram(
    objective: Objective, learning_rates: Sequence[float] | Array, starts: ArrayLike, *, burn: int = 3000,
    keep: int = 256,
) -> Diagram:  # fmt: skip
    """Run gradient descent from starts (d, k) at every learning rate, each going on from the end of the one below it.

    Parameters
    ----------
    burn, keep : steps that are thrown away, and points that are kept

    Raises
    ------
    RequestError
        where f is not a number at a start.
    """
    s = np.array([checked_learning_rate(rate) for rate in learning_rates])
    x = checked_starts(objective, starts)
    order = np.argsort(s, kind="stable")
    points = np.empty((s.size, x.shape[1], keep, objective.dimension))
    exponents = np.empty((s.size, x.shape[1]))
    for i, start in enumerate(np.ascontiguousarray(x.T)):
        found = np.empty((s.size, keep, objective.dimension))
        exponents[order, i] = _continued(objective, start, s[order], burn, found)
        points[order, i] = found
    periods = np.array([[_period(run) for run in row] for row in points], dtype=np.int64).reshape(exponents.shape)
    return Diagram(objective.name, s, points, exponents, periods)


def _continued(objective: Objective, start: Array, s: Array, burn: int, out: Array) -> Array:
    if objective.formula is not None:
        return kernels.diagram(*kernels.pointers(objective), start, s, burn, REACH, KICK, out)
    exponents, x = np.full(s.size, np.nan), start
    for i, rate in enumerate(s.tolist()):
        descent = DescentMap(objective, rate)
        with np.errstate(all="ignore"):
            out[i] = descent.path(descent.iterate(x + KICK, burn), out.shape[1] - 1).T
        if abs(out[i]).max() < REACH:
            exponents[i] = lyapunov(descent, out[i, 0], out.shape[1], burn=0, count=1).exponents[0]
            x = out[i, -1]
        else:
            out[i], x = np.nan, start
    return exponents


def _period(points: Array) -> int:
    """The smallest p <= kept/2 after which all points (kept, d) come again; 0 if none, -1 for nan."""
    if not np.isfinite(points).all():
        return -1
    close = SAME * (1 + abs(points).max())
    for p in range(1, len(points) // 2 + 1):
        if abs(points[p] - points[0]).max() <= close and abs(points[p:] - points[:-p]).max() <= close:
            return p
    return 0


@dataclass(frozen=True, eq=False)
class Doubling:
    """Where a cycle gives way to one twice as long.

    Attributes
    ----------
    period : p of the cycle that becomes unstable
    learning_rate : where its multiplier is -1
    orbit : the cycle there
    """

    period: int
    learning_rate: float
    orbit: Orbit


def flip(objective: Objective, points: ArrayLike, low: float, high: float) -> Doubling:
    """The learning rate in [low, high] at which the cycle through points (d, p) at `low` has a multiplier -1.

    The cycle is followed in s by Newton's method, steps being halved where it is lost.

    Raises
    ------
    ConvergenceError
        if it does not double its period there, or cannot be followed.
    """
    orbit = polish(DescentMap(objective, low), points)
    if orbit is None:
        raise ConvergenceError(f"no cycle near the given points at learning rate {low:g}; start from its own points")
    s, step = low, (high - low) / 50
    while s < high:
        after = _followed(objective, orbit, min(s + step, high))
        if after is None:
            step /= 2
            if step < 1e-9 * high:
                raise ConvergenceError(f"the cycle of period {orbit.period} is lost at learning rate {s:.9g}")
        elif _offset(orbit) * _offset(after) <= 0:
            return _refined(objective, orbit, s, min(s + step, high))
        else:
            s, orbit = min(s + step, high), after
    raise ConvergenceError(f"the cycle of period {orbit.period} does not double between {low:g} and {high:g}")


def _offset(orbit: Orbit) -> float:
    """The smallest real multiplier, plus one."""
    real = orbit.multipliers.real[abs(orbit.multipliers.imag) < 1e-9]
    return float(real.min(initial=np.inf)) + 1.0


def _followed(objective: Objective, orbit: Orbit, s: float) -> Orbit | None:
    """The cycle at a learning rate nearby; None if Newton's method finds another one."""
    after = polish(DescentMap(objective, s), orbit.points)
    if after is None or after.period != orbit.period:
        return None
    moved = abs(after.points - orbit.points).max()
    return after if moved < 0.1 * (1 + abs(orbit.points).max()) else None


def _refined(objective: Objective, orbit: Orbit, low: float, high: float) -> Doubling:
    def offset(s: float) -> float:
        there = _followed(objective, orbit, s)
        if there is None:
            raise ConvergenceError(f"the cycle of period {orbit.period} is lost at learning rate {s:.9g}")
        return _offset(there)

    s = float(brentq(offset, low, high, xtol=1e-15, rtol=1e-14))
    there = _followed(objective, orbit, s)
    return Doubling(orbit.period, s, orbit if there is None else there)


def doublings(
    objective: Objective, start: ArrayLike, low: float, high: float, count: int, *, steps: int = 200_000
) -> tuple[Doubling, ...]:
    """The first `count` period doublings of the attractor reached from `start` (d,) at `low`, up to `high`.

    After each one the doubled cycle is found by running on a little above it.

    Raises
    ------
    RequestError
        if the run from the start does not settle.
    ConvergenceError
        if the cascade breaks off.
    """
    x, s, found = np.asarray(start, dtype=float).reshape(objective.dimension), low, list[Doubling]()
    end = high
    for _ in range(count):
        points = _cycle_at(objective, x, s, steps)
        if found and points.shape[1] != 2 * found[-1].period:
            raise ConvergenceError(f"after period {found[-1].period} comes {points.shape[1]}, not its double")
        found.append(flip(objective, points, s, end))
        gap = found[-1].learning_rate - (found[-2].learning_rate if len(found) > 1 else low)
        x, s = points[:, 0], found[-1].learning_rate + 0.02 * gap
        # Gaps shrink, from the second on by a factor that tends to Feigenbaum's 4.669.
        end = high if len(found) < 2 else min(high, found[-1].learning_rate + gap)
    return tuple(found)


def _cycle_at(objective: Objective, x: Array, s: float, steps: int) -> Array:
    descent = DescentMap(objective, s)
    done = settle(descent, x[:, None] + KICK, steps)
    if done.period[0] <= 0:
        raise RequestError(f"the run does not settle at learning rate {s:g}; start where it does")
    return descent.path(done.x[:, 0], int(done.period[0]) - 1)
