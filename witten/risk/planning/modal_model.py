"""The risk of any piecewise-constant schedule in microseconds: modes at some learning rates, and how they overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from witten.domains.grid import Grid
from witten.errors import ConvergenceError, RequestError
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.risk.laws.fokker_planck import Modes, domain_of
from witten.risk.laws.semi_lagrangian import distribute
from witten.risk.planning.modal_model_2d import modal_model_2d
from witten.risk.separable import Term
from witten.schedules import Schedule

__all__ = ["ModalModel"]

Array = NDArray[np.float64]
# Cells on a line; modes.
LINE_CELLS, MODE_COUNT = 500, {1: 48, 2: 20}
# In which formulas of one variable are compared.
VARIABLE = sp.Symbol("x", real=True)
# Lifetimes of the fastest mode that is kept, after which the others are gone.
DECAY_LIFETIMES = 4.0


@dataclass(eq=False)
class ModalModel:
    """E f - min f after stages (s_i, t_i) of the SDE, by the slowest modes at each of some learning rates.

    A law is c_j = E u_j(X), u_j the modes; a stage multiplies by e^{-lambda_j t}, a switch from s to s' by the matrix
    of all int u'_i u_j dmu_s. Times much below 1/lambda_max of the modes that are kept are not resolved.

    Parameters
    ----------
    terms : of the objective
    learning_rates : those that stages may have, descending; in the plane those too small for a grid are left out
    noise : sigma

    Raises
    ------
    RequestError
        if a term has more than two variables.
    ConvergenceError
        if all learning rates but one are too small for a grid.
    """

    terms: Sequence[Term]
    learning_rates: Array
    noise: float = 1.0
    _models: list[_TermModel] = field(default_factory=list)

    def __post_init__(self) -> None:
        if any(term.objective.dimension > 2 for term in self.terms):
            raise RequestError(
                "schedules are planned for sums of functions of one variable, and up to dimension 2; "
                f"{self.terms[0].objective.name} is neither"
            )
        lines: Lines = {}
        self._models = [_term_modes(term, self.learning_rates, self.noise, lines) for term in self.terms]
        self.learning_rates = self.learning_rates[: min(len(part.modes) for part in self._models)]
        if self.learning_rates.size < 2:
            raise ConvergenceError(
                f"{self.terms[0].objective.name} varies too fast for a grid at the learning rates that reach the "
                "target; ask for a larger one"
            )

    def risk(self, stages: Sequence[int], times: Sequence[float]) -> float:
        """After stages given by the numbers of their learning rates, and their times."""
        return sum(part.count * part.risk(stages, times) for part in self._models)

    @property
    def shortest(self) -> Array:
        """Times at each learning rate below which modes that are left out still matter."""
        return np.array([max(DECAY_LIFETIMES / part.modes[i].rates[-1] for part in self._models)
                         for i in range(self.learning_rates.size)])  # fmt: skip

    @property
    def plateaus(self) -> Array:
        """eps(s) at each learning rate."""
        return np.asarray(sum(part.count * np.array([m.seen[0] for m in part.modes]) for part in self._models))


@dataclass(eq=False)
class _TermModel:
    """One term: modes at each learning rate, the law at the start in each of their bases, and how to change these.

    carry(i, j) : int u'_a u_b dmu_s, modes u' of learning rate number j, u and mu_s of number i
    """

    count: int
    modes: list[Modes]
    start: list[Array]
    carry: Callable[[int, int], Array]
    switches: dict[tuple[int, int], Array] = field(default_factory=dict)

    def switch(self, old: int, new: int) -> Array:
        """c' = B c."""
        if (old, new) not in self.switches:
            self.switches[old, new] = self.carry(old, new)
        return self.switches[old, new]

    def risk(self, stages: Sequence[int], times: Sequence[float]) -> float:
        """What the fastest quarter of the modes adds at the end of a stage, were it positive, is added once more.

        Where that is not small the expansion has not converged: just after a switch to a much smaller learning rate the
        law is too wide for it. Such a stage is too short for this model, and so it looks bad.
        """
        c, doubt = self.start[stages[0]], 0.0
        for position, (i, t) in enumerate(zip(stages, times, strict=True)):
            c = self.switch(stages[position - 1], i) @ c if position else c
            modes = self.modes[i]
            c = np.exp(-t * modes.rates) * c
            doubt += float(np.abs(c * modes.seen)[3 * c.size // 4 :].sum())
        return float(c @ modes.seen) + doubt


# Modes of functions of one variable, by formula and box, and their grid: terms may differ by their start alone.
Lines = dict[tuple, tuple[Grid, list[Modes]]]


def _term_modes(term: Term, learning_rates: Array, noise: float, lines: Lines) -> _TermModel:
    """On a line one grid serves all learning rates; in the plane each has its own."""
    if term.objective.dimension == 1:
        return _on_line(term, learning_rates, noise, lines)
    found = [modal_model_2d(term, s * noise**2, MODE_COUNT[2]) for s in learning_rates.tolist()]
    known = [each for each in found[: (*found, None).index(None)] if each is not None]
    start = [each.at(term.start[:, None])[0] for each in known]

    def carry(old: int, new: int) -> Array:
        return np.asarray(known[new].at(known[old].grid.points).T @ known[old].modes.masses)

    return _TermModel(term.count, [each.modes for each in known], start, carry)


def _on_line(term: Term, learning_rates: Array, noise: float, lines: Lines) -> _TermModel:
    f, box = term.objective, domain_of(term, Schedule.constant(float(learning_rates.max()), 1), noise)
    key = (f if f.formula is None else f.formula.subs(f.symbols[0], VARIABLE), box.lower, box.upper)
    if key not in lines:
        grid = Grid(box, (LINE_CELLS,))
        discretisation, excess = FiniteDifferences(f, grid), term.excess(grid.points)
        operators = (discretisation.assemble(s * noise**2) for s in learning_rates.tolist())
        modes = [Modes.of(operator, excess, MODE_COUNT[1]) for operator in operators]
        lines[key] = grid, modes
    grid, found = lines[key]
    point = distribute(grid, term.start[:, None], np.ones(1)).ravel()

    def carry(old: int, new: int) -> Array:
        return np.asarray(found[new].functions.T @ found[old].masses)

    return _TermModel(term.count, found, [modes.functions.T @ point for modes in found], carry)
