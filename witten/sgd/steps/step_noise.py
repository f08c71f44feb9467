"""The noise e of one step x+ = x - s grad f(x) + e, and where its law is: the same everywhere, or `local_noise`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import RequestError
from witten.objectives import Objective
from witten.sgd.gradient_noise import GaussianNoise
from witten.sgd.steps.transfer_operator import TransferOperator, transfer_operator

__all__ = ["StepNoise", "UniformNoise", "too_many_nodes"]

Array = NDArray[np.float64]
# Nodes beyond which a chain is refused, by dimension, and cells of a box.
MOST_NODES, MOST_CELLS = {1: 8000, 2: 120_000}, 4_000_000


def too_many_nodes(f: Objective, step_size: float, cells: float) -> RequestError:
    """The refusal of a chain that is too large."""
    return RequestError(
        f"the chain on {f.name} at step size {step_size:g} needs {cells:.0f} nodes, more than the "
        f"{MOST_NODES[f.dimension]} that are taken; ask for a larger learning rate or a smaller box"
    )


class StepNoise(ABC):
    """The noise of a step, and where its law may be.

    Attributes
    ----------
    objective, step_size : f and s
    height : whose sublevel sets are domains: the potential of the noise where it has one, else f
    """

    objective: Objective
    step_size: float

    @property
    def height(self) -> Objective:
        return self.objective

    def require_positive(self, box: Sequence[tuple[float, float]] | None) -> None:  # noqa: B027
        """RequestError, with the place, where e is none in the box, or around the wells of f."""

    @abstractmethod
    def region(self, wells: int, margin: float) -> tuple[Sublevel, float]:
        """Where the law of the SDE is, and the learning rate at which unit noise has it."""

    @abstractmethod
    def unit(self, box: Box) -> float:
        """The learning rate at which unit noise has its law on `height`, in a box."""

    @abstractmethod
    def deviations(self, box: Box) -> Array:
        """The largest of the noise of a step along each of its axes in a box, shape (d,)."""

    @abstractmethod
    def along_axes(self, symbols: Sequence[Any]) -> list[Any] | None:
        """The noise along each axis where it is independent of the others and of their coordinates, as values that
        tell equal ones; else None."""

    @abstractmethod
    def of_axis(self, line: Objective, noise: Any) -> StepNoise:
        """The noise of a step on a function of one variable, from one of `along_axes`."""

    @abstractmethod
    def operator(self, box: Box, level: float, unit: float, per_deviation: float) -> TransferOperator:
        """A step on nodes of the box where `height` is at most a level, so many to a standard deviation.

        Raises
        ------
        RequestError
            where they are more than fit.
        """

    def around(self, box: Box) -> Box:
        """The box, and two deviations more on each side."""
        wide = 2 * self.deviations(box) / box.widths
        return box.expanded(wide, wide)


@dataclass(frozen=True, eq=False)
class UniformNoise(StepNoise):
    """e ~ N(0, C), the same everywhere; boxes are along the axes of C."""

    objective: Objective
    step_size: float
    noise: GaussianNoise

    @classmethod
    def of_sgd(cls, objective: Objective, step_size: float, sigma: float) -> UniformNoise:
        """e = s xi, xi ~ N(0, sigma^2 I)."""
        return cls(objective, step_size, GaussianNoise.isotropic(objective.dimension, step_size * sigma))

    def region(self, wells: int, margin: float) -> tuple[Sublevel, float]:
        unit = float(self.noise.axes()[0].max() ** 2 / self.step_size)
        return sublevel(self.objective, unit, wells=wells, margin=margin), unit

    def unit(self, box: Box) -> float:
        return float(self.noise.axes()[0].max() ** 2 / self.step_size)

    def deviations(self, box: Box) -> Array:
        return self.noise.axes()[0]

    def along_axes(self, symbols: Sequence[Any]) -> list[Any] | None:
        deviations, axes = self.noise.axes()
        return deviations.tolist() if np.array_equal(axes, np.eye(len(deviations))) else None

    def of_axis(self, line: Objective, noise: Any) -> StepNoise:
        return UniformNoise(line, self.step_size, GaussianNoise.isotropic(1, noise))

    def operator(self, box: Box, level: float, unit: float, per_deviation: float) -> TransferOperator:
        f, s = self.objective, self.step_size
        cells = float(np.prod(np.ceil(box.widths * per_deviation / self.deviations(box))))
        if cells > MOST_CELLS:
            raise too_many_nodes(f, s, cells)
        return transfer_operator(f, s, box, noise=self.noise, per_deviation=per_deviation, level=level)

    def around(self, box: Box) -> Box:
        axes = self.noise.axes()[1]
        if not np.array_equal(axes, np.eye(box.dimension)):
            corners = axes.T @ np.stack([x.ravel() for x in np.meshgrid(*box.intervals, indexing="ij")])
            box = Box(tuple(corners.min(axis=1).tolist()), tuple(corners.max(axis=1).tolist()))
        return super().around(box)
