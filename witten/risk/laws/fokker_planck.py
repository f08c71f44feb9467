"""The marginal distribution of the SDE along a schedule: the Fokker-Planck equation, in modes where these converge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.sparse import csc_array, diags_array, eye_array
from scipy.sparse.linalg import splu

from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.domains.sublevel import sublevel
from witten.errors import ConvergenceError, GridError, RequestError
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.operators.witten_laplacian import WittenLaplacian
from witten.risk.laws.sde_paths import curvature
from witten.risk.laws.semi_lagrangian import distribute
from witten.risk.separable import Term
from witten.schedules import Run, Schedule
from witten.spectra.solvers.eigensolve import eigensolve

__all__ = ["MODE_TRUNCATION", "FokkerPlanck", "Modes", "on_two_grids", "overlaps"]

Array = NDArray[np.float64]
# f at the rim above the saddles in units of the largest learning rate; cells along an axis of the coarser grid.
MARGIN, COARSE_CELLS = 14.0, {1: 400, 2: 72}
# How many deviations of the narrowest law a cell of the coarser grid may be wide; how many there are, at most.
DEVIATIONS_PER_CELL, MOST_CELLS = {1: 1.0, 2: 3.0}, {1: 6400, 2: 110}
# A time step over the curvature; what modes that are left out and rounding may add to a risk, relative to it.
CURVATURE_STEP, MODE_TRUNCATION = 0.25, 1e-8
# Modes that are computed.
MODE_COUNT = {1: 60, 2: 30}
# A law is expanded in modes once the fastest of them add less than this part to the risk.
SETTLED_PART = 1e-9
# Solves with exp(t G) replaced by a Pade approximant: parts of the first interval after a start or a switch.
GRADED_STEPS = (1 / 64, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 4, 1 / 4)
# The stability function of Radau IIA of order 5: e^z is nearly sum_j w_j/(z - p_j), one p real and two a pair.
_P, _Q = np.array([3.0, 24.0, 60.0]), np.array([-1.0, 9.0, -36.0, 60.0])
POLES = np.roots(_Q)
POLES = np.where(abs(POLES.imag) < 1e-9, POLES.real, POLES)
RESIDUES = np.polyval(_P, POLES) / np.polyval(np.polyder(_Q), POLES)


@dataclass(frozen=True, eq=False)
class Modes:
    """The slowest modes at one learning rate, and what they see of f.

    Attributes
    ----------
    rates : lambda_0 = 0, lambda_1, ..., shape (k,)
    functions : u_j, of unit norm in L2(mu), accurate in every well however little of mu it holds, shape (n, k)
    masses : mu u_j, shape (n, k)
    seen : int (f - min f) u_j dmu, shape (k,); the first is the plateau
    """

    rates: Array
    functions: Array
    masses: Array
    seen: Array

    @classmethod
    def of(cls, operator: WittenLaplacian, excess: Array, k: int) -> Modes:
        """All from one solve."""
        found = eigensolve(operator, k)
        functions, psi0 = found.modes.T, operator.ground_state
        # mu_i = psi_0i^2 may underflow where mu_i u_j does not.
        masses = psi0[:, None] * (psi0[:, None] * functions)
        return cls(found.rates, functions, masses, excess @ masses)

    @property
    def overlaps(self) -> Array:
        """(int f u_j dmu)^2, j >= 1, shape (k - 1,); summed over all modes it is Var f."""
        return np.asarray(self.seen[1:] ** 2)


@dataclass(eq=False)
class FokkerPlanck:
    """d rho/dt = div(rho grad f) + (s/2) Lap rho along a schedule, on one grid of cells.

    Parameters
    ----------
    term : a function of one or two variables, with its start
    schedule : its times are those of continuous time
    grid : where
    noise : sigma; the learning rate s counts as s sigma^2
    parts : into which a time step is divided: with half the step on the finer of two grids, what both differ by holds
        the error in time as well
    """

    term: Term
    schedule: Schedule
    grid: Grid
    noise: float = 1.0
    parts: int = 1
    operators: dict[float, WittenLaplacian] = field(default_factory=dict)
    modes_at: dict[float, Modes] = field(default_factory=dict)
    solvers: dict[tuple[float, float], list[tuple[complex, Solver]]] = field(default_factory=dict)

    @cached_property
    def discretisation(self) -> FiniteDifferences:
        return FiniteDifferences(self.term.objective, self.grid)

    @cached_property
    def curvature(self) -> float:
        """The largest at the start and at the minima."""
        points = [self.term.start, *(minimum.x for minimum in self.term.landscape.minima)]
        return curvature(self.term.objective, np.array(points).T)

    @cached_property
    def excess(self) -> Array:
        return self.term.excess(self.grid.points)

    @cached_property
    def _edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, Array]:
        """Neighbours j -> i, 1/(2 h^2) between them, and f_i - f_j."""
        pattern, d = self.discretisation.pattern, self.grid.dimension
        j = np.repeat(np.arange(self.grid.n_nodes), np.diff(pattern.indptr))
        off = pattern.axis < d
        i, j = pattern.indices[off].astype(np.int64), j[off]
        values = self.discretisation.values
        return i, j, 0.5 / self.grid.spacing[pattern.axis[off]] ** 2, values[i] - values[j]

    def generator(self, learning_rate: float) -> csc_array:
        """G with d masses/dt = G masses: from j to i at the rate (s/2h^2) B(2 (f_i - f_j)/s), B(z) = z/(e^z - 1).

        (Scharfetter-Gummel [Scharfetter1969].) The Gibbs measure is stationary exactly, and where f changes by much
        more than s from one cell to the next mass moves downhill at the speed of descent.
        """
        i, j, coupling, difference = self._edges
        s, n = learning_rate * self.noise**2, self.grid.n_nodes
        rates = csc_array((s * coupling * _bernoulli(2.0 * difference / s), (i, j)), shape=(n, n))
        return csc_array(rates - diags_array(np.asarray(rates.sum(axis=0)).ravel()))

    def operator(self, learning_rate: float) -> WittenLaplacian:
        """-L at a learning rate; the last one is kept."""
        if learning_rate not in self.operators:
            self.operators.clear()
            self.operators[learning_rate] = self.discretisation.assemble(learning_rate * self.noise**2)
        return self.operators[learning_rate]

    def modes(self, learning_rate: float) -> Modes:
        """The slowest modes at a learning rate, computed once."""
        if learning_rate not in self.modes_at:
            k = MODE_COUNT[self.grid.dimension]
            self.modes_at[learning_rate] = Modes.of(self.operator(learning_rate), self.excess, k)
        return self.modes_at[learning_rate]

    def risks(self, steps: NDArray[np.int64]) -> Array:
        """E f_i - min f_i after these steps' times, shape (n,)."""
        out = np.empty(steps.size)
        masses, first = distribute(self.grid, self.term.start[:, None], np.ones(1)).ravel(), 0
        if not np.isclose(masses.sum(), 1.0):
            raise RequestError(f"the start {self.term.start.tolist()} is not in the box {self.grid.box}")
        if steps[0] == 0:
            out[0] = self.term.excess(self.term.start[:, None])[0]
        for run in self.schedule.runs(int(steps[-1])):
            here = np.flatnonzero((steps > first) & (steps <= first + run.steps))
            asked = np.union1d(steps[here] - first, [run.steps])
            found, masses = self._run_risks(run, asked, masses)
            out[here] = found[np.isin(asked, steps[here] - first)]
            first += run.steps
        return out

    def from_time(self, learning_rate: float, times: Array) -> tuple[Array, float, float]:
        """At a constant learning rate: the risk at these times, ascending, the squared norm of rho - mu in L2(1/mu) at
        the first of them, and the gap.

        The norm is bounded below by the modes that are computed, and holds where the fastest of them add nothing.
        """
        masses = distribute(self.grid, self.term.start[:, None], np.ones(1)).ravel()
        for part in GRADED_STEPS:
            masses = self._propagated(learning_rate, masses, part * float(times[0]))
        modes = self.modes(learning_rate)
        c = modes.functions.T @ masses
        norm = float(np.sum(c[1:] ** 2))
        if np.sum(c[3 * c.size // 4 :] ** 2) > 1e-6 * (1.0 + norm):
            norm = np.inf
        risks = np.exp(-np.multiply.outer(times - times[0], modes.rates)) @ (c * modes.seen)
        return risks, norm, float(modes.rates[1])

    def _run_risks(self, run: Run, asked: Array, masses: Array) -> tuple[Array, Array]:
        """Risks after the steps asked for of a run, and the law at its end."""
        s, out, done = run.learning_rate, np.empty(asked.size), 0.0
        short = run.steps < 20
        for i, k in enumerate(asked):
            if not short and self._expandable(s, masses, done):
                return self._expanded(s, masses, asked, done, out, i)
            for part in GRADED_STEPS if done == 0.0 and not short else (0.5, 0.5):
                masses = self._propagated(s, masses, part * s * (k - done))
            done = float(k)
            out[i] = masses @ self.excess
        return out, masses

    def _expandable(self, s: float, masses: Array, done: float) -> bool:
        """Whether the fastest quarter of the modes that are computed adds nothing to the risk any more."""
        if done == 0.0:
            return False
        modes = self.modes(s)
        parts = np.abs((modes.functions.T @ masses) * modes.seen)
        return bool(parts[3 * parts.size // 4 :].sum() < SETTLED_PART * parts.sum())

    def _expanded(self, s: float, masses: Array, asked: Array, done: float, out: Array, i: int) -> tuple[Array, Array]:
        """The rest of a run: sum_j c_j e^{-lambda_j t} mu u_j, exact in time."""
        modes = self.modes(s)
        c = modes.functions.T @ masses
        times = s * (asked[i:] - done)
        out[i:] = np.exp(-np.multiply.outer(times, modes.rates)) @ (c * modes.seen)
        return out, modes.masses @ (np.exp(-times[-1] * modes.rates) * c)

    def _propagated(self, s: float, masses: Array, time: float) -> Array:
        """exp(t G) masses in equal steps, short beside the curvature."""
        count = self.parts * max(1, math.ceil(time * self.curvature / CURVATURE_STEP))
        for _ in range(count):
            masses = self._stepped(s, masses, time / count)
        return masses

    def _stepped(self, s: float, masses: Array, time: float) -> Array:
        """exp(t G) masses by the Pade approximant of Radau IIA: positive where it matters, damping what is fast."""
        key = (s, time)
        if key not in self.solvers:
            self.solvers.clear()
            g = self.generator(s)
            self.solvers[key] = [(w, _shifted(g, time, p)) for p, w in zip(POLES, RESIDUES, strict=True) if p.imag >= 0]
        out = np.zeros(masses.size)
        for w, solve in self.solvers[key]:
            part = (w * solve(masses.astype(complex))).real
            out += part if w.imag == 0 else 2 * part
        return out


Solver = Callable[[NDArray[np.complex128]], NDArray[np.complex128]]


def _shifted(g: csc_array, time: float, pole: complex) -> Solver:
    """x -> (t G - p)^{-1} x."""
    matrix = csc_array(time * g - pole * eye_array(g.shape[0]))
    if abs(matrix.indptr[-1] - 3 * g.shape[0]) > 2:
        return splu(matrix).solve  # type: ignore[no-any-return]
    bands = np.zeros((3, g.shape[0]), dtype=complex)
    bands[0, 1:], bands[1], bands[2, :-1] = matrix.diagonal(1), matrix.diagonal(), matrix.diagonal(-1)
    return lambda x: solve_banded((1, 1), bands, x, check_finite=False)  # type: ignore[no-any-return]


def _bernoulli(z: Array) -> Array:
    """z/(e^z - 1), which is 1 at 0 and -z far below it."""
    z = np.where(abs(z) < 1e-12, 1e-12, z)
    with np.errstate(over="ignore"):
        return np.asarray(z / np.expm1(z))


def domain_of(term: Term, schedule: Schedule, noise: float) -> Box:
    """Where the law of the largest learning rate is, and the start, and the way down from it."""
    s = float(schedule.learning_rates.max()) * noise**2
    box = sublevel(term.objective, s, wells=6, margin=MARGIN).box
    low, high = np.minimum(box.lower, term.start), np.maximum(box.upper, term.start)
    # Behind the start f rises by the margin, too.
    slope = np.maximum(abs(term.objective.gradient(term.start)), 1e-300)
    room = np.minimum(MARGIN * s / slope, 0.25 * (high - low))
    low, high = np.minimum(low, term.start - room), np.maximum(high, term.start + room)
    return Box(tuple(low.tolist()), tuple(high.tolist()))


def on_two_grids(term: Term, schedule: Schedule, noise: float) -> Iterator[FokkerPlanck]:
    """The same problem on cells and in time steps of half the size: differences tell the error, of second order;
    RequestError above dimension 2; GridError where cells that are narrower than the law of the smallest learning rate
    are too many."""
    f = term.objective
    if f.dimension > 2:
        raise RequestError(
            f"{f.name} is not a sum of functions of one variable, and its distribution is computed up to dimension 2; "
            "use the method 'simulate'"
        )
    box, cells = domain_of(term, schedule, noise), COARSE_CELLS[f.dimension]
    if schedule.steps > 1:
        cells = max(cells, _cells_of_the_narrowest(term, schedule, noise, box))
    for factor in (1, 2):
        yield FokkerPlanck(term, schedule, Grid(box, (cells * factor,) * box.dimension), noise, factor)


def _cells_of_the_narrowest(term: Term, schedule: Schedule, noise: float, box: Box) -> int:
    """Cells along an axis, each DEVIATIONS_PER_CELL standard deviations sqrt(s/2f'') wide at the smallest s."""
    d, s = box.dimension, float(schedule.learning_rates.min()) * noise**2
    curvature = max((float(m.curvatures.max()) for m in term.landscape.minima), default=0.0)
    wanted = float(box.widths.max()) * math.sqrt(2 * max(curvature, 0.0) / s) / DEVIATIONS_PER_CELL[d]
    if not wanted <= MOST_CELLS[d]:
        raise GridError(
            f"at learning rate {s:g} the distribution on {term.objective.name} is narrower than the smallest cells "
            "of a grid; end at a larger learning rate"
        )
    return math.ceil(wanted)


def overlaps(law: FokkerPlanck, learning_rate: float, count: int = 6) -> list[dict[str, float]]:
    """The slowest modes: rate, and which part of the variance of f belongs to each.

    Where it vanishes the risk decays at the next rate: lambda_2, not lambda_1, in a symmetric double well.
    """
    modes = law.modes(learning_rate)
    total = float(np.sum((law.operator(learning_rate).ground_state * (law.excess - modes.seen[0])) ** 2))
    parts = modes.overlaps / total
    if total <= 0:
        raise ConvergenceError("f is constant on the support of the Gibbs measure: it overlaps with no mode")
    return [{"rate": float(r), "part": float(p)} for r, p in zip(modes.rates[1:], parts, strict=True)][:count]
