"""The spectrum of the Witten-Laplacian on p-forms, merged from singular values of d_f of degrees p and p - 1."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.forms.shared_rates import ABSOLUTE, BOUNDARIES, RELATIVE, FormProblem, Intervals, SharedRates
from witten.forms.small_rates_law import shared_law
from witten.landscape.landscape import Landscape, describe_landscape
from witten.objectives import Objective, resolve
from witten.parallel.communicators import agree, alone, collectively, communicator
from witten.request import checked_learning_rates
from witten.spectra.gap import FINITE_DIFFERENCES, FINITE_ELEMENTS, finite_elements

if TYPE_CHECKING:
    from witten.forms.on_meshes.form_modes import FormModes

__all__ = ["BOUNDARIES", "FormSpectrum", "form_spectrum"]

Array = NDArray[np.float64]
# A rate whose error bar is wider than this part of it is not resolved.
RESOLVED = 0.1


@dataclass(frozen=True, eq=False)
class FormSpectrum:
    """The k lowest rates lambda = delta/(2s) of p-forms, ascending, the b_p zeros first.

    Attributes
    ----------
    objective : the objective's name
    learning_rate : s
    form : p
    boundary : 'absolute' or 'relative'
    log_rates : natural logarithms, -inf for zeros, shape (k,)
    relative_errors : error bars as parts of the rates, 0 for zeros, shape (k,)
    partner_forms : of each rate the degree, p + 1 or p - 1, that has it, too; None for zeros
    betti : b_0, ..., b_d of the domain (relative ones for a relative boundary)
    critical_points : c_0, ..., c_d, how many of each index; None in a box, or where some are degenerate
    small_counted : how many rates are exponentially small, zeros included: below half of the smallest curvature at a
        critical point, which no other rate is below as s -> 0. None where the last rate computed is small, too, one is
        too close to that bound, or points are not known
    n_dofs : nodes or cells of the finest grid or mesh
    method : 'finite-differences' or 'finite-elements'
    log_law : of each rate the logarithm of what the law says to leading order as s -> 0, nan where it says nothing, or
        critical points are not known, shape (k,); see `small_rates_law`
    seconds : wall time
    modes : FormModes, where they were asked for
    """

    objective: str
    learning_rate: float
    form: int
    boundary: str
    log_rates: Array
    relative_errors: Array
    partner_forms: tuple[int | None, ...]
    betti: tuple[int, ...]
    critical_points: tuple[int, ...] | None
    small_counted: int | None
    n_dofs: int
    method: str
    log_law: Array
    seconds: float = field(repr=False)
    modes: FormModes | None = field(default=None, repr=False)

    @property
    def rates(self) -> Array:
        """lambda_j, 0 where no double holds it, shape (k,)."""
        return np.exp(self.log_rates)

    @property
    def errors(self) -> Array:
        """|true - rate| <= error, shape (k,)."""
        return self.relative_errors * self.rates

    @property
    def resolved(self) -> NDArray[np.bool_]:
        """Whether the bar is at most a tenth of the rate."""
        return self.relative_errors <= RESOLVED

    @property
    def morse_inequalities_hold(self) -> bool | None:
        """sum_{q<=p} (-1)^{p-q} (c_q - b_q) >= 0 for every p, with equality for p = d; None where c is not known."""
        if self.critical_points is None:
            return None
        sums, last = [], 0
        for c, b in zip(self.critical_points, self.betti, strict=True):
            last = c - b - last
            sums.append(last)
        return min(sums) >= 0 and sums[-1] == 0


def form_spectrum(
    objective: Objective | str,
    learning_rate: float,
    form: int,
    k: int = 6,
    *,
    rtol: float = 1e-3,
    boundary: str = ABSOLUTE,
    box: Intervals | None = None,
    method: str | None = None,
    degree: int | None = None,
    mesh: str | PathLike[str] | None = None,
    modes: bool = False,
) -> FormSpectrum:
    """The k lowest eigenvalues of Delta^(p)/(2s), Delta^(p) = d_f^* d_f + d_f d_f^*, with error bars.

    The nonzero ones are the squares of the singular values of d_f from p to p + 1 and from p - 1 to p. Those of degree
    0 are the rates of functions; those of degree d - 1 the rates of functions of -f, killed at the boundary; in space
    those of degree 1 are apart (`curl_form`). Zeros are as many as the Betti number. Source: [Witten1982].

    >>> found = witten.form_spectrum("x^2/2", 0.1, 1, 3)
    >>> print(*(f"{rate:.3f}" for rate in found.rates), found.betti)
    1.000 2.000 3.000 (1, 0)

    Parameters
    ----------
    objective : an Objective, or its text; dimension 1, 2 or 3
    learning_rate : s > 0
    form : p, from 0 to d
    k : how many, zeros included
    rtol : wanted error, relative to each rate
    boundary : 'absolute', which reflects for p = 0 and kills for p = d, or 'relative', the other way about; the latter
        needs a box
    box : (low, high) per axis, instead of all of space; then f must be a formula for p > 0
    method : 'finite-differences', or 'finite-elements', the default where a mesh or a degree is given: the complex of
        Lagrange, Nedelec, Raviart-Thomas and discontinuous elements (`element_complex`), on one rank
    degree : of the elements, 1, 2 or 3; 2 where left out
    mesh : a gmsh file (.msh) instead of all of space; see `spectrum`
    modes : whether to compute the eigenforms, too, in two and three dimensions; by finite elements

    Raises
    ------
    RequestError
        if the request is wrong.
    ConvergenceError
        where a solver fails, or slow modes have no end.
    """
    began = time.perf_counter()
    f = resolve(objective)
    (s,) = checked_learning_rates(learning_rate, 1.0)
    _check(f, form, k, rtol, boundary, box if mesh is None else mesh)
    if modes:
        _require_fields(f, form, boundary, method)
        method = FINITE_ELEMENTS
    how = finite_elements(method, degree, mesh)
    if mesh is not None and box is not None:
        raise RequestError("give a mesh or a box, not both: the mesh is the domain")
    if how is None and box is not None and f.formula is None:
        raise RequestError(f"forms in a box need a formula, and {f.name} has none; leave the box out")
    known = describe_landscape(f) if box is None and mesh is None else None
    betti = _betti(f, boundary, mesh)
    wanted = max(k - betti[form], 1)
    degrees = [q for q in (form, form - 1) if 0 <= q < f.dimension]
    asked = FormProblem(f, s, wanted, rtol, boundary, box, mesh, known)
    lists = _dealt(degrees, asked.on_grids if how is None else lambda q: asked.on_meshes(q, degree))
    log_rates, errors, partners = _merged(lists, form, k, betti[form])
    points = None if known is None else _counted(known)
    small = _small(known, log_rates, errors) if known is not None and points is not None else None
    n_dofs = max(each.n_dofs for each in lists)
    law = np.full(k, np.nan)
    if known is not None and points is not None:
        for q in degrees:
            _place(shared_law(known, s, q), law, [p == (q + 1 if q == form else q) for p in partners])
    fields = asked.fields(form, partners, lists, degree) if modes else None
    return FormSpectrum(
        f.name, s, form, boundary, log_rates, errors, partners, betti, points, small, n_dofs,
        FINITE_DIFFERENCES if how is None else FINITE_ELEMENTS, law, time.perf_counter() - began, fields,
    )  # fmt: skip


def _dealt(degrees: list[int], solve: Callable[[int], SharedRates]) -> list[SharedRates]:
    """The rates of each degree: where there are several ranks, two degrees are solved at once, each by one rank."""
    ranks = communicator(None)
    if ranks.size == 1 or len(degrees) == 1:
        return [solve(q) for q in degrees]

    def mine() -> SharedRates | None:
        with alone():
            return solve(degrees[ranks.rank]) if ranks.rank < len(degrees) else None

    return ranks.allgather(collectively(ranks, mine))[: len(degrees)]


def _place(values: Array, into: Array, where: list[bool]) -> None:
    """The first values at the first of these places."""
    places = np.flatnonzero(where)[: values.size]
    into[places] = values[: places.size]


def _require_fields(f: Objective, form: int, boundary: str, method: str | None) -> None:
    if f.dimension == 1 or (form == 0 and boundary == ABSOLUTE):
        raise RequestError(
            "modes of forms are fields in two and three dimensions; those of functions come without a form and an "
            "absolute boundary"
        )
    if method == FINITE_DIFFERENCES:
        raise RequestError("modes of forms come from finite elements; leave the method out")


def _betti(f: Objective, boundary: str, mesh: str | PathLike[str] | None) -> tuple[int, ...]:
    """Of all of space, a box or a mesh; relative ones are those of the complementary degree."""
    found = (1,) + (0,) * f.dimension
    if mesh is not None:
        from witten.domains.meshes.msh import read_msh
        from witten.forms.on_meshes.simplicial_betti import simplicial_betti

        found = agree(communicator(None), lambda: simplicial_betti(read_msh(Path(mesh), f.dimension)))
    return found if boundary == ABSOLUTE else found[::-1]


def _check(f: Objective, form: int, k: int, rtol: float, boundary: str, domain: object) -> None:
    d = f.dimension
    if d > 3:
        raise RequestError(f"forms are computed in up to 3 dimensions, and {f.name} has {d}")
    if not 0 <= form <= d:
        raise RequestError(f"forms of {f.name} have degrees from 0 to {d}, got {form}")
    if k < 1 or not 0 < rtol < 1:
        raise RequestError(f"k must be at least 1 and rtol between 0 and 1, got {k} and {rtol:g}")
    if boundary not in BOUNDARIES:
        raise RequestError(f"boundary {boundary!r} is not known for forms; use {' or '.join(map(repr, BOUNDARIES))}")
    if boundary == RELATIVE and domain is None:
        raise RequestError("all of space has no boundary, and 'relative' is about one; give a box")
    if f.periodic_axes.any():
        raise RequestError("forms know no periodic axes; give an objective without")


def _merged(
    lists: list[SharedRates], form: int, k: int, zeros: int
) -> tuple[Array, Array, tuple[int | None, ...]]:
    """The k lowest of all, zeros first."""
    log_rates = np.concatenate([np.full(zeros, -np.inf), *(each.log_rates for each in lists)])
    errors = np.concatenate([np.zeros(zeros), *(each.relative for each in lists)])
    partners: list[int | None] = [None] * zeros
    for each in lists:
        partners += [form + 1 if each.degree == form else form - 1] * each.log_rates.size
    order = np.argsort(log_rates, kind="stable")[:k]
    return log_rates[order], errors[order], tuple(partners[i] for i in order)


def _counted(known: Landscape) -> tuple[int, ...] | None:
    """c_0, ..., c_d; None where a point is degenerate, or it is not proved that there are no others."""
    points = (*known.minima, *known.saddles, *known.others)
    proved = known.search.complete and (known.search.box is None or known.search.everywhere)
    if not proved or any(point.degenerate for point in points):
        return None
    return tuple(np.bincount([point.index for point in points], minlength=known.objective.dimension + 1).tolist())


def _small(known: Landscape, log_rates: Array, errors: Array) -> int | None:
    """How many rates are exponentially small, if that is certain of each, and one is not."""
    points = (*known.minima, *known.saddles, *known.others)
    bound = np.log(0.5 * min(float(abs(np.asarray(point.curvatures)).min()) for point in points))
    below = log_rates + np.log1p(errors) < bound
    with np.errstate(divide="ignore"):
        above = log_rates + np.log1p(-np.minimum(errors, 1.0)) > bound
    certain = (below | above).all() and above[-1]
    return int(np.count_nonzero(below)) if certain else None
