"""Rates of noise without a potential: the eigenvalues of a Markov generator with the smallest real parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from witten import stopwatch
from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import Sublevel, sublevel
from witten.errors import RequestError
from witten.linalg.richardson import extrapolated, extrapolated_logs
from witten.noise import Diffusion
from witten.operators.generators.markov_generator import MarkovGenerator, markov_generator
from witten.spectra.checks import given_box, warn_if_wide
from witten.spectra.generators.contraction import log_contraction
from witten.spectra.generators.generator_pairs import GeneratorPairs, all_eigenvalues
from witten.spectra.generators.lowest_rates import lowest_rates, nodes_of_wells
from witten.spectra.spectrum import Spectrum
from witten.spectra.truncation import WIDENING

__all__ = ["generator_spectrum", "matched_region"]

Array = NDArray[np.float64]
# Nodes of the first grid, on which all eigenvalues are computed, and of the largest one; and grids at least.
DENSE, LARGEST = {1: 400, 2: 500, 3: 250}, {1: 400_000, 2: 160_000, 3: 20_000}
LEVELS = {1: 3, 2: 3, 3: 2}
# Nodes from which on two domains are compared.
FEWEST = {1: 1000, 2: 3000, 3: 1000}
# How often the strength of the noise and the domain that it asks for are matched, and how much it may grow each time.
MATCHED, FASTEST = 12, 30.0


def generator_spectrum(
    diffusion: Diffusion, learning_rate: float, k: int, rtol: float, box: Sequence[tuple[float, float]] | None
) -> Spectrum:
    """The k eigenvalues of -L with the smallest real parts, zero included, each with an error bar.

    All eigenvalues of a coarse grid say how many lie nearer to zero; finer ones compute as many by Arnoldi's method
    around a shift below zero, until the limit is known (`lowest_rates`).

    Raises
    ------
    RequestError, ConvergenceError
        where Sigma is not positive definite, the domain has no end, or a solver fails.
    """
    began, s = stopwatch.seconds(), float(learning_rate)
    within = None if box is None else given_box(diffusion.objective, box)
    first, wider = _domain(diffusion, s, rtol, within)
    levels = _Levels(diffusion, s, k, rtol)
    cut = np.zeros(k - 1) if wider is None else levels.cut(first, wider)
    log_rates, errors, imaginary = levels.refine(first if wider is None else wider)
    errors = errors + cut
    contraction, doubt = log_contraction(
        diffusion.objective, levels.generator, _resized(levels.grid, DENSE[levels.grid.dimension]), levels.grid
    )
    warn_if_wide(diffusion.objective, s, log_rates, errors, rtol)
    pairs, grid = levels.pairs, levels.grid
    return Spectrum.above_zero(
        log_rates,
        errors,
        learning_rate=s,
        modes=pairs.modes(k),
        grid=grid,
        objective=diffusion.objective.name,
        solver=f"generator {levels.solver}",
        n_dofs=grid.n_nodes,
        seconds=stopwatch.seconds() - began,
        examined=f"the domain {grid.box}" if within is None else f"the box {within}, whose walls reflect",
        reversible=False,
        imaginary=np.append(0.0, imaginary),
        log_contraction=contraction,
        contraction_error=doubt + float(cut[0]),
        potential=-0.5 * s * pairs.log_density,
    )


@dataclass(eq=False)
class _Levels:
    """Rates on ever finer grids, by real part."""

    diffusion: Diffusion
    s: float
    k: int
    rtol: float
    grid: Grid = field(init=False)
    pairs: GeneratorPairs = field(init=False)
    solver: str = "arnoldi"

    def generator(self, grid: Grid) -> MarkovGenerator:
        d = self.diffusion
        d.require_positive(grid.points)
        stream = d.stream if d.current else None
        return markov_generator(grid, d.sigma, d.pull, d.divergence, self.s, stream)

    def refine(self, grid: Grid) -> tuple[Array, Array, Array]:
        """Logarithms of the k - 1 limits, their relative errors, and imaginary parts."""
        grid = _resized(grid, DENSE[grid.dimension])
        known = all_eigenvalues(self.generator(grid).matrix)
        logs: list[Array] = []
        others: list[Array] = []
        while True:
            grid = grid.refined()
            found, loss = self.level(grid, known)
            known = self.pairs.eigenvalues
            logs.append(np.log(found.real))
            others.append(found.imag)
            if len(logs) < LEVELS[grid.dimension]:
                continue
            limits, errors = extrapolated_logs(logs, erratic=0.0 if self.diffusion.is_smooth else 2.0)
            large = grid.n_nodes * 2**grid.dimension > LARGEST[grid.dimension]
            if large or (errors <= np.maximum(0.5 * self.rtol, loss)).all():
                scale = np.exp(limits)
                shifted = [np.abs(each) + scale for each in others]  # not zero
                imaginary = np.sign(others[-1]) * (extrapolated(shifted)[0] - scale)
                return limits, errors + loss, np.where(others[-1] == 0, 0.0, imaginary)

    def level(self, grid: Grid, known: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], Array]:
        """The k - 1 eigenvalues on a grid, and what rounding and the chain of wells may have lost."""
        wells = nodes_of_wells(self.diffusion.objective, grid)
        found = lowest_rates(self.generator(grid), self.k, known, wells)
        self.grid, self.pairs, self.solver = grid, found.pairs, found.solver
        return found.values, found.loss

    def cut(self, inner: Grid, outer: Grid) -> Array:
        """What the domain beyond the inner one changes, relative; the outer one is computed on, and lacks less."""
        while outer.n_nodes < FEWEST[outer.dimension]:
            inner, outer = inner.refined(), outer.refined()
        while outer.n_nodes > 8 * FEWEST[outer.dimension]:
            inner, outer = inner.coarsened(), outer.coarsened()
        rates = []
        for grid in (inner, outer):
            coarse = all_eigenvalues(self.generator(_resized(grid, DENSE[grid.dimension])).matrix)
            rates.append(np.log(self.level(grid, coarse)[0].real))
        return np.asarray(abs(np.expm1(rates[1] - rates[0])))


def _resized(grid: Grid, nodes: int) -> Grid:
    """The same domain with about so many nodes."""
    factor = (nodes / grid.n_nodes) ** (1 / grid.dimension)
    shape = tuple(max(4, round(n * factor)) for n in grid.shape)
    index = np.ix_(*(((np.arange(m) + 0.5) * n / m).astype(int) for m, n in zip(shape, grid.shape, strict=True)))
    return Grid(grid.box, shape, grid.mask[index])


def _domain(diffusion: Diffusion, s: float, rtol: float, box: Box | None) -> tuple[Grid, Grid | None]:
    """A box as it is; else {f <= level} up to where noise of the largest strength in it reaches, and a wider one."""
    if box is not None:
        widths = box.widths
        cells = 40 * widths / widths.max()
        return Grid(box, tuple(int(max(12, round(n))) for n in cells)), None
    region, strength = matched_region(diffusion, s, max(3.0 - 0.5 * np.log(rtol), 5.0))
    grid = region.grid()
    wide = region.wider(grid, region.level + WIDENING * s * strength)
    return grid, grid if wide is None else wide


def matched_region(diffusion: Diffusion, s: float, margin: float) -> tuple[Sublevel, float]:
    """{f <= level}, `margin` above the saddles in units of s sigma^2, and sigma^2, the largest eigenvalue of Sigma
    there; RequestError where Sigma grows so fast that there is none."""
    strength = 0.0
    for _ in range(MATCHED):
        region = sublevel(diffusion.objective, s * (strength or 1.0), margin=margin)
        largest = _strength(diffusion, region.grid())
        if strength and largest <= 1.05 * strength:
            return region, strength
        if not largest < FASTEST * (strength or largest):
            break
        strength = largest
    raise RequestError(
        f"the covariance grows so fast beside {diffusion.objective.name} that no domain was found that holds enough; "
        "give a box"
    )


def _strength(diffusion: Diffusion, grid: Grid) -> float:
    """The largest eigenvalue of Sigma on a grid."""
    points = grid.points[:, :: max(1, grid.n_nodes // 4000)]
    return float(np.linalg.eigvalsh(np.moveaxis(diffusion.sigma(points), 2, 0)).max())
