"""Which starts of a plane go where, and how rough the border between them is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.descent.attractors.attractor import DIVERGES, FIXED, PERIODIC, SLOW, Share
from witten.descent.attractors.cycle_detection import DIVERGED, UNDECIDED, settle
from witten.descent.gradient_map import DescentMap
from witten.display import Displayed, shortened
from witten.errors import RequestError
from witten.objectives.objective import Objective

__all__ = ["Basins", "Dimension", "basins", "border", "box_counting"]

Array = NDArray[np.float64]
# Starts that are run together: their coordinates stay in the cache, and progress can be reported.
BATCH = 1 << 20
# Two ends of runs are one attractor if they agree to this, relative to the size of the picture.
SAME = 1e-5
MOST_ATTRACTORS = 64


@dataclass(frozen=True, eq=False, repr=False)
class Basins(Displayed):
    """What became of starts x = origin + u e_1 + v e_2 on a grid.

    Attributes
    ----------
    objective, learning_rate : f and s
    u, v : coordinates of the cells' centres, shapes (n,) and (m,)
    period : of the cycle that a start ended on, DIVERGED = -1 or UNDECIDED = 0, shape (m, n): rows are v
    steps : how many it took, shape (m, n)
    ends : where it was left, shape (d, m, n), with momentum (2d, m, n): pairs
    momentum, nesterov : alpha, and whether the gradient is Nesterov's
    """

    picture: ClassVar[str] = "plot_basins"

    objective: Objective
    learning_rate: float
    u: Array
    v: Array
    period: NDArray[np.int16]
    steps: NDArray[np.int32]
    ends: Array
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def descent(self) -> DescentMap:
        """The map."""
        return DescentMap(self.objective, self.learning_rate, self.momentum, self.nesterov)

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        told = ", ".join(f"{share.kind} {share.count / self.period.size:.1%}" for share in self.shares())
        return f"{shortened(self.objective.name)}, s = {self.learning_rate:g}, {self.period.size} starts: {told}"

    def shares(self) -> tuple[Share, ...]:
        """The share of starts of each kind; what stays undecided is slow, chaos too (`fate` distinguishes)."""
        counts = {
            FIXED: np.count_nonzero(self.period == 1),
            PERIODIC: np.count_nonzero(self.period > 1),
            SLOW: np.count_nonzero(self.period == UNDECIDED),
            DIVERGES: np.count_nonzero(self.period == DIVERGED),
        }
        return tuple(Share(kind, int(count), self.period.size) for kind, count in counts.items() if count)

    @property
    def size(self) -> float:
        """The longer side of the picture, the length that others are measured by."""
        return float(max(np.ptp(self.u), np.ptp(self.v)))

    def labels(self) -> tuple[NDArray[np.int16], Array]:
        """A number for the attractor of each start, and a point of each attractor, (d, count).

        -1 where it diverged, -2 where undecided. RequestError where there are too many to distinguish: fixed points
        that fill curves, as minima of factorisations do, have no basins of their own."""
        settled, descent = self.period > 0, self.descent
        ends, same = self.ends[:, settled], SAME * self.size
        points = _representatives(descent, ends, self.period[settled], same)
        # On a grid shifted by an irrational part of its width, so that points next to the first stay together.
        keys = np.floor((points - points[:, :1]) / same + 0.6180339887).astype(np.int64)
        unique, first, inverse = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        if unique.shape[1] > MOST_ATTRACTORS:
            raise RequestError(f"{unique.shape[1]} attractors: they fill curves and have no basins; colour by period")
        found = np.where(self.period == UNDECIDED, -2, -1).astype(np.int16)
        found[settled] = inverse.ravel()
        return found, descent.position(points)[:, first]


def basins(
    objective: Objective, learning_rate: float, box: ArrayLike, shape: tuple[int, int] = (512, 512), *,
    momentum: float = 0.0, nesterov: bool = False,
    plane: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None, steps: int = 2000, tolerance: float = 1e-6,
    progress: Callable[[float], None] | None = None,
) -> Basins:  # fmt: skip
    """Run every start of a grid on a plane until it converges or diverges.

    Parameters
    ----------
    box : ((u_low, u_high), (v_low, v_high)); cells are sampled at their centres
    shape : columns (along u) and rows (along v)
    momentum, nesterov : see `DescentMap`; all starts x_0 are at rest, but where the plane is one of pairs
    plane : origin, e_1, e_2 in R^d, or with momentum in R^2d, pairs (x_0, x_-1); in two dimensions the plane is all
        there is, and so is that of the pairs in one
    tolerance : see `settle`: relative to how far a run came lately, so that its square is the remaining distance
    progress : called with the share that is done
    """
    descent = DescentMap(objective, learning_rate, momentum, nesterov)
    origin, e1, e2 = _plane(descent, plane)
    (a, b), (c, d) = np.asarray(box, dtype=float)
    if not (a < b and c < d):
        raise RequestError(f"an interval of the box is empty or reversed: {a:g}:{b:g},{c:g}:{d:g}")
    columns, rows = shape
    u = a + (np.arange(columns) + 0.5) * (b - a) / columns
    v = c + (np.arange(rows) + 0.5) * (d - c) / rows
    period, used = np.empty((rows, columns), np.int16), np.empty((rows, columns), np.int32)
    ends = np.empty((descent.dimension, rows, columns))
    together = max(BATCH // columns, 1)
    for start in range(0, rows, together):
        some = slice(start, min(start + together, rows))
        across, up = np.meshgrid(u, v[some])
        points = origin[:, None] + np.outer(e1, across) + np.outer(e2, up)
        done = settle(descent, points, steps, tolerance=tolerance)
        period[some] = done.period.reshape(across.shape)
        used[some] = done.steps.reshape(across.shape)
        ends[:, some] = done.x.reshape(-1, *across.shape)
        if progress is not None:
            progress(some.stop / rows)
    return Basins(objective, learning_rate, u, v, period, used, ends, momentum, nesterov)


def _plane(
    descent: DescentMap, plane: tuple[ArrayLike, ArrayLike, ArrayLike] | None
) -> tuple[Array, Array, Array]:
    """Origin and directions of states (m,)."""
    dimension = descent.objective.dimension
    if plane is None:
        if 2 not in (dimension, descent.dimension):
            raise RequestError(f"a picture of {dimension} dimensions needs a plane: origin and two directions")
        plane = (np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    given = [np.asarray(each, dtype=float).reshape(-1) for each in plane]
    sizes = {each.size for each in given}
    if len(sizes) > 1 or not sizes <= {dimension, descent.dimension}:
        raise RequestError(f"origin and directions of the plane must have {dimension} coordinates")
    origin, e1, e2 = (descent.at_rest(each) if each.size == dimension else each for each in given)
    return origin, e1, e2


def _representatives(descent: DescentMap, x: Array, period: NDArray[np.int16], same: float) -> Array:
    """The first point, in the order of coordinates, of the cycle that each x (d, n) lies on."""
    best, here = x.copy(), x
    for _ in range(int(period.max(initial=1)) - 1):
        here = descent(here)
        smaller = _precedes(here, best, same)
        best[:, smaller] = here[:, smaller]
    return best


def _precedes(a: Array, b: Array, same: float) -> NDArray[np.bool_]:
    """Whether a comes before b, coordinate by coordinate, differences below `same` not counted."""
    before, tied = np.zeros(a.shape[1], bool), np.ones(a.shape[1], bool)
    for p, q in zip(a, b, strict=True):
        close = abs(p - q) <= same
        before |= tied & ~close & (p < q)
        tied &= close
    return before


@dataclass(frozen=True, eq=False)
class Dimension:
    """Boxes of side 2^k cells that the border meets, and the slope of their number.

    Attributes
    ----------
    dimension, error : the slope of log(count) against -log(size), and the standard error of its pieces' mean
    sizes, counts : sides of the boxes in cells, and how many the border meets
    """

    dimension: float
    error: float
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]


def border(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The cells whose right or upper neighbour has another label."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def box_counting(labels: NDArray[np.integer], *, smallest: int = 2, largest: int | None = None) -> Dimension:
    """The box-counting dimension of the border between labels (m, n), from boxes of `smallest` to `largest` cells.

    The largest are a 32nd of the picture by default; the very smallest see its pixels."""
    edge = border(labels)
    side = min(edge.shape)
    largest = max(side // 32, 4 * smallest) if largest is None else largest
    sizes, counts = [], []
    size, boxes = 1, edge[: side // 2 * 2, : side // 2 * 2]
    while size <= largest:
        if size >= smallest:
            sizes.append(size)
            counts.append(np.count_nonzero(boxes))
        m, n = (length // 2 * 2 for length in boxes.shape)
        boxes = boxes[:m, :n].reshape(m // 2, 2, n // 2, 2).any(axis=(1, 3))
        size *= 2
    if len(sizes) < 3 or min(counts) == 0:
        raise RequestError("the picture is too small, or has no border: too few sizes of boxes to see a dimension")
    slope = float(-np.polyfit(np.log(sizes), np.log(counts), 1)[0])
    pieces = -np.diff(np.log(counts)) / np.log(2.0)
    return Dimension(slope, float(pieces.std(ddof=1) / np.sqrt(pieces.size)), np.array(sizes), np.array(counts))
