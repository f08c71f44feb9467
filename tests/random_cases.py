"""Random objectives with known rates: shapes of one variable, shifted, dilated, turned and added.

A case is the formula that the package reads, a learning rate, and the truth from `references`, which sees the shape
where it was made: rates of f((x - c)/L) are those of f over L^2, those of a sum the smallest of its terms, and a
rotation changes nothing. Rotations have rational entries and coefficients few digits, so that all this is exact.

A case is a function of its kind, its number and a seed alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from random_shapes import KINDS, Dice, Shape, less, number, rounded, total
from references import Array, gap_1d

# How many there are of each in a full run: 400.
COUNTS = {**dict.fromkeys(KINDS, 18), "kinked": 34, "plane": 84, "plane-kinked": 20, "space": 40, "space-far": 6}
PLANE = ("quartic", "wells", "gaussians", "trigonometric", "plateau", "degenerate", "perturbed", "steep", "linear")
SPACE = ("quartic", "wells", "trigonometric", "perturbed", "steep")
# (integer matrix, common denominator): rows of length one
TURNS = {
    2: (((1, 0, 0, 1), 1), ((4, 3, -3, 4), 5), ((12, -5, 5, 12), 13), ((7, 24, -24, 7), 25), ((21, 20, -20, 21), 29)),
    3: (
        ((1, 0, 0, 0, 1, 0, 0, 0, 1), 1),
        ((2, -1, 2, 2, 2, -1, -1, 2, 2), 3),
        ((3, 4, 0, -4, 3, 0, 0, 0, 5), 5),
        ((2, 3, 6, 3, -6, 2, 6, 2, -3), 7),
    ),
}


@dataclass(frozen=True)
class Term:
    """a f((r . (x - c))/L): one shape along one direction."""

    shape: Shape
    length: float
    height: float


@dataclass(frozen=True)
class Truth:
    """A rate, and a bound of its own error."""

    rate: float
    error: float


@dataclass(frozen=True)
class Case:
    """An objective whose rate is known.

    Parameters
    ----------
    name : kind, seed and number
    formula : as the package reads it
    learning_rate : s
    terms : of which the formula is the sum
    axes : the variables of the terms as texts
    """

    name: str
    kind: str
    formula: str
    learning_rate: float
    terms: tuple[Term, ...]
    axes: tuple[str, ...]

    @property
    def dimension(self) -> int:
        return len(self.terms)

    @cached_property
    def truth(self) -> Truth:
        found = [self._rate_of(term) for term in self.terms]
        return min(found, key=lambda each: each.rate)

    def _rate_of(self, term: Term) -> Truth:
        shape = term.shape
        rate, error = gap_1d(
            lambda u: term.height * shape.f(u), self.learning_rate, points=shape.points, reach=shape.reach
        )
        return Truth(rate / term.length**2, error / term.length**2)

    def __str__(self) -> str:
        return self.name


def cases(seed: int = 0, counts: dict[str, int] = COUNTS) -> Iterator[Case]:
    for kind, count in counts.items():
        for index in range(count):
            yield case(kind, seed, index)


def case(kind: str, seed: int, index: int) -> Case:
    d = Dice(seed, crc32(kind.encode()), index)
    name = f"{kind}-{seed}-{index}"
    if kind in KINDS:
        return _line(d, name, kind)
    dimension = 2 if kind.startswith("plane") else 3
    names = [d.choice(PLANE if dimension == 2 else SPACE) for _ in range(dimension)]
    if kind == "plane-kinked":
        names[0] = "kinked"
    deepest = 40.0 if dimension == 2 else 16.0
    shapes = [KINDS[each](d) for each in names]
    return _sum(d, name, kind, shapes, deepest, far=kind.endswith("far") or d.whole(0, 2) == 0)


def _line(d: Dice, name: str, kind: str) -> Case:
    shape = KINDS[kind](d)
    s = learning_rate(d, shape, 90.0)
    height = d.choice([1.0, 1.0, 1.0, 0.01, 250.0, 1e-6, 1e4])
    length = d.choice([1.0, 1.0, d.log(0.2, 6, 2), d.log(1e-2, 1e2, 2), d.log(1e-6, 1e6, 2)])
    shift = d.choice([0.0, 0.0, d.uniform(-3, 3), d.sign() * d.log(3, 60), d.sign() * d.log(10, 1e4), d.sign() * 1e6])
    center = rounded(length * shift, 5)
    axis = less("x", center) if length == 1 else f"({less('x', center)}/{number(length)})"
    formula = placed(shape.text, {"u": axis}, height)
    return Case(name, kind, formula, rounded(s * height, 6), (Term(shape, length, height),), (axis,))


def _sum(d: Dice, name: str, kind: str, shapes: list[Shape], depth: float, *, far: bool) -> Case:
    """A sum along turned axes; the first shape sets the learning rate, the others are as high as suits it."""
    s = learning_rate(d, shapes[0], depth)
    heights = [1.0, *(rounded(s / learning_rate(d, shape, depth), 2) for shape in shapes[1:])]
    axes, lengths = turned_axes(d, len(shapes), far=far)
    texts = [placed(shape.text, {"u": axis}, height) for shape, axis, height in zip(shapes, axes, heights, strict=True)]
    terms = tuple(Term(*each) for each in zip(shapes, lengths, heights, strict=True))
    return Case(name, kind, " + ".join(texts), s, terms, tuple(axes))


def turned_axes(d: Dice, n: int, *, far: bool) -> tuple[list[str], list[float]]:
    """n texts (r . (x - c))/L with orthonormal r, and each L."""
    unit = d.choice([1.0, 1.0, d.log(0.1, 10, 2), d.log(1e-5, 1e5, 2)])
    lengths = [rounded(unit * d.log(0.5, 2), 2) for _ in range(n)]
    matrix, denominator = d.choice(TURNS[n])
    center = [rounded(unit * d.sign() * d.log(0.3, 300 if far else 3), 5) if d.whole(0, 2) else 0.0 for _ in range(n)]
    rows = np.reshape(matrix, (n, n))
    return [_axis(row, denominator * length, center) for row, length in zip(rows, lengths, strict=True)], lengths


def _axis(row: Array, length: float, center: list[float]) -> str:
    """(r . (x - c))/L."""
    offsets = [(int(m), less(name, c)) for m, name, c in zip(row, "xyz", center, strict=False)]
    along = total(*(offset if m == 1 else f"{m}*{offset}" for m, offset in offsets))
    return f"(({along})/{number(rounded(length, 12))})" if length != 1 else f"({along})"


def placed(text: str, axes: dict[str, str], height: float) -> str:
    """The text with axes for its variables, times a height."""
    text = re.sub(rf"\b({'|'.join(axes)})\b", lambda found: axes[found[0]], text)
    return text if height == 1 else f"{number(height)}*({text})"


def learning_rate(d: Dice, shape: Shape, depth: float) -> float:
    """One at which the barrier is worth e^{-1} to e^{-depth}; where there is none, one that suits the shape. None is
    so low that f varies by more than 800 s below the saddle."""
    barrier, depth_below = shape.barrier()
    exponent, level = d.log(1, depth), d.log(*shape.heights)
    s = 2 * barrier / exponent if barrier > 0.02 * shape.heights[1] else level
    return rounded(min(max(s, depth_below / 800), shape.hot))
