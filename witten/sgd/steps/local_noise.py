"""The noise of a step that is another at each place: x+ = x + s (c - grad f(x)) + s Sigma(x)^{1/2} xi."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import RequestError
from witten.noise import Diffusion, Reversible, reversible
from witten.objectives import Objective
from witten.sgd.gradient_noise import GaussianNoise
from witten.sgd.steps.local_operators import CorrelatedTransferOperator, LocalTransferOperator
from witten.sgd.steps.step_noise import MOST_CELLS, StepNoise, UniformNoise
from witten.sgd.steps.transfer_operator import lowered, somewhere
from witten.spectra.generators.irreversible import matched_region
from witten.spectra.generators.noisy import require_positive

__all__ = ["LocalNoise", "noise_of_step"]

Array = NDArray[np.float64]
# Places along each axis at which Sigma is looked at before there is a grid.
LOOKED_AT = {1: 401, 2: 61}
# Of noise without a potential: f at the rim of the first domain, above the saddles in units of s sigma^2. It is
# enlarged until next to nothing leaves.
FIRST = 6.0
# A grid is made anew where noise at its nodes is narrower than this part of what it was made for.
NARROWER, ANEW = 0.95, 8


def noise_of_step(diffusion: Diffusion, step_size: float) -> StepNoise:
    """The same everywhere, or another at each place."""
    if not diffusion.is_constant or diffusion.current:
        return LocalNoise(diffusion, step_size)
    covariance = step_size**2 * np.array(diffusion.matrix.tolist(), dtype=float)
    return UniformNoise(diffusion.objective, step_size, GaussianNoise.of(covariance))


@dataclass(frozen=True, eq=False)
class LocalNoise(StepNoise):
    """The noise of a step at a learning rate s; diffusion : Sigma, f and the drift."""

    diffusion: Diffusion
    step_size: float

    @property
    def objective(self) -> Objective:  # type: ignore[override]
        return self.diffusion.objective

    @property
    def dimension(self) -> int:
        return self.diffusion.dimension

    @cached_property
    def potential(self) -> Reversible | None:
        """That of the SDE, in the coordinates of f; None where there is none."""
        found = reversible(self.diffusion, self.step_size)
        return None if found is None or found.turned else found

    @property
    def height(self) -> Objective:
        return self.objective if self.potential is None else self.potential.potential

    def require_positive(self, box: Sequence[tuple[float, float]] | None) -> None:
        require_positive(self.diffusion, box)

    def region(self, wells: int, margin: float) -> tuple[Sublevel, float]:
        if self.potential is not None:
            return sublevel(self.height, self.step_size, wells=wells, margin=margin), self.step_size
        region, strength = matched_region(self.diffusion, self.step_size, min(margin, FIRST))
        return region, self.step_size * strength

    def unit(self, box: Box) -> float:
        if self.potential is not None:
            return self.step_size
        return float(self.deviations(box).max() ** 2 / self.step_size)

    def deviations(self, box: Box) -> Array:
        x = Grid(box, (LOOKED_AT[self.dimension],) * self.dimension).points
        with np.errstate(all="ignore"):
            variances = np.diagonal(self.diffusion.sigma(x))
        return self.step_size * np.sqrt(np.where(np.isfinite(variances), variances, 0.0).max(axis=0, initial=0.0))

    def narrowest(self, grid: Grid) -> Array:
        """The smallest deviation of a step along each axis, the other coordinates given, at the nodes; shape (d,)."""
        self.diffusion.require_positive(grid.points)
        inverse = np.linalg.inv(np.moveaxis(self.diffusion.sigma(grid.points), 2, 0))
        return self.step_size / np.sqrt(np.diagonal(inverse, axis1=1, axis2=2).max(axis=0))

    def grid(self, box: Box, level: float, per_deviation: float) -> tuple[Grid, Array]:
        """Cells of 1/per_deviation of the narrowest noise at their nodes, which is returned with them.

        Raises
        ------
        RequestError
            where they are more than are taken.
        """
        grid = self._below(Grid(box, (LOOKED_AT[self.dimension],) * self.dimension), level)
        wanted = self.narrowest(grid)
        for _ in range(ANEW):
            cells = np.maximum(np.ceil(box.widths * per_deviation / wanted), 8)
            if np.prod(cells) > MOST_CELLS:
                break
            grid = self._below(Grid(box, tuple(int(n) for n in cells)), level)
            found = self.narrowest(grid)
            if (found >= NARROWER * wanted).all():
                return grid, found
            wanted = np.minimum(found, wanted)
        raise RequestError(
            f"the noise of a step on {self.objective.name} is as narrow as {wanted.min():.3g} in {box}, and needs "
            f"{np.prod(cells):.3g} cells; ask for a larger learning rate or a smaller box, or add a floor to the "
            "covariance"
        )

    def _below(self, grid: Grid, level: float) -> Grid:
        return lowered(grid, self.height, level, self.objective.name, self.step_size)

    def along_axes(self, symbols: Sequence[Any]) -> list[Any] | None:
        matrix, own = self.diffusion.matrix, self.objective.symbols
        places = [own.index(symbol) for symbol in symbols]
        noises = [matrix[i, i].subs(own[i], symbols[0]) for i in places]
        independent = matrix.is_diagonal() is True and not self.diffusion.current
        return noises if independent and all(a.free_symbols <= {symbols[0]} for a in noises) else None

    def of_axis(self, line: Objective, noise: Any) -> StepNoise:
        return noise_of_step(Diffusion.of(line, [[noise]]), self.step_size)

    def operator(self, box: Box, level: float, unit: float, per_deviation: float) -> LocalTransferOperator:
        grid, deviations = self.grid(box, level, per_deviation)
        f, x = self.objective, grid.points
        with np.errstate(all="ignore"):
            images = somewhere(x + self.step_size * (self.diffusion.pull(x) + self.diffusion.stream(x)))
            values = np.asarray(self.height(x), dtype=float)
        kind = LocalTransferOperator if self.diffusion.matrix.is_diagonal() is True else CorrelatedTransferOperator
        return kind(
            grid, np.eye(f.dimension), images, deviations, self.step_size, f.name, values, unit, self.diffusion
        )
