"""Boxes: products of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError

__all__ = ["Box"]


@dataclass(frozen=True)
class Box:
    """The box [lower_1, upper_1] x ... x [lower_d, upper_d].

    >>> witten.Box((-1.0, 0.0), (1.0, 3.0)).dimension
    2

    Raises
    ------
    RequestError
        if an interval is empty, reversed or not finite.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.lower) != len(self.upper) or not self.lower:
            raise RequestError(f"a box needs one interval per axis, got {self.lower} and {self.upper}")
        for a, b in zip(self.lower, self.upper, strict=True):
            if not (np.isfinite(a) and np.isfinite(b) and a < b):
                raise RequestError(f"box interval {a:g}:{b:g} is empty or not finite; give it as low:high")

    @classmethod
    def of(cls, intervals: Sequence[tuple[float, float]]) -> Box:
        """The box with the given (low, high) pair on each axis."""
        return cls(tuple(float(a) for a, _ in intervals), tuple(float(b) for _, b in intervals))

    @property
    def dimension(self) -> int:
        return len(self.lower)

    @property
    def widths(self) -> NDArray[np.float64]:
        """upper - lower, shape (d,)."""
        return np.subtract(self.upper, self.lower)

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        return tuple(zip(self.lower, self.upper, strict=True))

    def expanded(self, below: float | NDArray[np.float64], above: float | NDArray[np.float64]) -> Box:
        """The box with each side moved outwards by the given fractions of its width (scalars or shape (d,))."""
        lower = np.asarray(self.lower) - below * self.widths
        upper = np.asarray(self.upper) + above * self.widths
        return Box(tuple(lower.tolist()), tuple(upper.tolist()))

    def joined(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(tuple(map(min, self.lower, other.lower)), tuple(map(max, self.upper, other.upper)))

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points (d, n) lie in the box, shape (n,)."""
        low, high = np.array(self.lower)[:, None], np.array(self.upper)[:, None]
        return np.all((points >= low) & (points <= high), axis=0)

    def __str__(self) -> str:
        return ",".join(f"{a:g}:{b:g}" for a, b in self.intervals)
