"""The rates that q- and (q+1)-forms share, by the route that the domain and the method ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from witten.domains.box import Box
from witten.errors import ConvergenceError
from witten.forms.curl_form import CurlForms, first_grid
from witten.forms.top_form import TopForms
from witten.forms.whole_space import DegreeProblem, FormRates, form_rates, refined_rates
from witten.landscape.landscape import Landscape
from witten.objectives import Objective
from witten.parallel.communicators import agree, communicator
from witten.spectra.gap import FINITE_ELEMENTS, spectrum

if TYPE_CHECKING:
    from witten.forms.on_meshes.form_modes import FormModes

__all__ = ["ABSOLUTE", "BOUNDARIES", "RELATIVE", "FormProblem", "Intervals", "SharedRates"]

Array = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]
BOUNDARIES = ABSOLUTE, RELATIVE = "absolute", "relative"


@dataclass(frozen=True, eq=False)
class SharedRates:
    """sigma(A_q)^2/(2s), ascending: rates that q-forms and (q+1)-forms share, on the domain of the last solve."""

    degree: int
    log_rates: Array
    relative: Array
    n_dofs: int
    domain: Any = None

    @classmethod
    def of(cls, degree: int, found: FormRates) -> SharedRates:
        return cls(degree, found.log_rates, found.relative_errors, found.n_dofs, found.domain)


@dataclass(frozen=True, eq=False)
class FormProblem:
    """k singular values of one degree of an objective, at s, on a domain."""

    f: Objective
    s: float
    k: int
    rtol: float
    boundary: str
    box: Intervals | None
    mesh: str | PathLike[str] | None
    known: Landscape | None

    def on_grids(self, q: int) -> SharedRates:
        """By functions of f (q = 0) or of -f (q = d - 1), and curls in space.

        Of what a box makes reflect, functions of f know the absolute boundary and those of -f the relative one."""
        f, s, k = self.f, self.s, self.k
        if q > 0 and self.known is not None:
            return self._in_space(q, TopForms(f, s) if q == f.dimension - 1 else CurlForms(f, s))
        if self.box is not None and 0 < q < f.dimension - 1:
            return self._in_box(q, CurlForms(f, s, self.boundary == RELATIVE))
        g = f if q == 0 or f.formula is None else Objective.from_sympy(-f.formula, f.symbols, name=f"-({f.name})")
        reflects = (self.boundary == ABSOLUTE) == (q == 0)
        first = 1 if reflects else 0
        walls = "reflecting" if reflects else "absorbing"
        found = spectrum(g, s, k + first, rtol=self.rtol, box=self.box, boundary=walls)
        return SharedRates(q, found.log_rates[first:], found.relative_errors[first:], found.n_dofs)

    def on_meshes(self, q: int, degree: int | None) -> SharedRates:
        """By functions of f (q = 0, absolute), or by `ElementForms`."""
        f, s, k = self.f, self.s, self.k
        if q == 0 and self.boundary == ABSOLUTE:
            found = spectrum(
                f, s, k + 1, rtol=self.rtol, box=self.box, method=FINITE_ELEMENTS, degree=degree, mesh=self.mesh
            )
            return SharedRates(q, found.log_rates[1:], found.relative_errors[1:], found.n_dofs)
        from witten.forms.on_meshes.mesh_rates import ElementForms, mesh_rates

        problem = ElementForms(f, s, q, degree or 2, self.boundary == RELATIVE)
        if self.mesh is None:
            return self._in_space(q, problem) if self.box is None else self._in_box(q, problem)
        path = Path(self.mesh)
        return SharedRates.of(q, agree(communicator(None), lambda: mesh_rates(problem, path, k, self.rtol)))

    def fields(
        self, form: int, partners: tuple[int | None, ...], lists: list[SharedRates], degree: int | None
    ) -> FormModes:
        """The modes, on the smallest mesh that one of the degrees was solved on last."""
        from witten.forms.on_meshes.form_modes import form_modes
        from witten.forms.on_meshes.mesh_rates import ElementForms

        domain = min((each for each in lists if each.domain is not None), key=lambda each: each.n_dofs).domain
        problem = ElementForms(self.f, self.s, form, degree or 2, self.boundary == RELATIVE)
        return agree(communicator(None), lambda: form_modes(problem, domain, form, partners))

    def _in_space(self, q: int, problem: DegreeProblem) -> SharedRates:
        known = self.known
        points = () if known is None else (*known.minima, *known.saddles, *known.others)
        if not points:
            raise ConvergenceError(f"{self.f.name} has no critical point that is known; give a box")
        highest = max(point.value for point in points)
        return SharedRates.of(q, agree(communicator(None), lambda: form_rates(problem, self.k, self.rtol, highest)))

    def _in_box(self, q: int, problem: DegreeProblem) -> SharedRates:
        box = Box.of(self.box or ())

        def found() -> FormRates:
            return refined_rates(problem, first_grid(self.f, self.s, box, problem.largest), self.k, self.rtol)

        return SharedRates.of(q, agree(communicator(None), found))
