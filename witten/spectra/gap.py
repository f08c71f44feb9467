"""The rate against the learning rate, by a discretisation that is chosen for it, and the lowest rates at one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from witten.errors import ConvergenceError, GridError, RequestError
from witten.noise import Noise, parted
from witten.objectives import Objective, resolve
from witten.objectives.callables import Function
from witten.objectives.fingerprint import fingerprint
from witten.objectives.periodicity import Periods
from witten.objectives.periodicity import periodic as on_circles
from witten.parallel.communicators import Communicator, agree, communicator
from witten.rates import RateCurve, RateRecord
from witten.request import checked_learning_rates, effective_learning_rate
from witten.spectra.continuous_spectrum import continuous_from
from witten.spectra.fixed_discretisation import noisy_record, rate_record
from witten.spectra.generators.noisy import noisy_spectrum, require_room
from witten.spectra.grids.nested_grids import refined_spectrum
from witten.spectra.grids.shared_grid import RankTeam
from witten.spectra.spectrum import Spectrum
from witten.sweeps import Part, run_sweep

if TYPE_CHECKING:
    from dolfinx.mesh import Mesh

__all__ = ["FINITE_DIFFERENCES", "FINITE_ELEMENTS", "finite_elements", "gap", "spectrum"]

FINITE_DIFFERENCES, FINITE_ELEMENTS = METHODS = ("finite-differences", "finite-elements")
BOUNDARIES = REFLECTING, ABSORBING = "reflecting", "absorbing"
Intervals = Sequence[tuple[float, float]]


def spectrum(
    objective: Objective | str | Function,
    learning_rate: float,
    k: int = 6,
    *,
    rtol: float = 1e-4,
    noise: float | Noise = 1.0,
    method: str | None = None,
    box: Intervals | None = None,
    boundary: str = REFLECTING,
    periodic: Periods | None = None,
    degree: int | None = None,
    mesh: str | PathLike[str] | Mesh | None = None,
    petsc: Mapping[str, str | None] | None = None,
    dimension: int | None = None,
    gradient: Function | None = None,
    hessian: Function | None = None,
    comm: Any = None,
) -> Spectrum:
    """The k lowest rates of dX = -grad f dt + sigma sqrt(s) dW, zero included, with error bars and modes.

    >>> print(*(f"{rate:.3f}" for rate in witten.spectrum("x^2/2", 0.1, 3).rates))
    0.000 1.000 2.000

    Parameters
    ----------
    objective : an Objective, or its text: a gallery name, `name:key=value`, or a formula; or a function of points
        (d, n) or (d,), or of d coordinates; dimension 1 to 3
    learning_rate : s > 0
    k : number of eigenvalues, the zero counted
    rtol : wanted error, relative to each rate
    noise : sigma > 0; the rates are those at learning rate s sigma^2. Or one of `witten.noise`, dX = -grad f dt +
        sqrt(s) Sigma^{1/2}(X) dW; by finite differences
    method : 'finite-differences', or 'finite-elements', which is the default where a mesh or a degree is given
    box : (low, high) per axis that is not periodic, instead of automatic truncation
    boundary : of the box, 'reflecting', or 'absorbing': the rates are then those of leaving it, none is zero, and the
        first is the exit rate; by finite differences
    periodic : {"x": (low, high)} for axes that are circles, of which low and high are one point: f and grad f must be
        the same there; by finite differences
    degree : of finite elements, 1, 2 or 3; 3 in one and two dimensions and 2 in three where left out
    mesh : a gmsh file (.msh) or a DOLFINx mesh, with reflecting walls, instead of automatic truncation
    petsc : options for PETSc and SLEPc, {'eps_ncv': '40', 'st_mat_mumps_icntl_14': '50'}, where they compute: finite
        elements, and finite differences on grids that several ranks share
    dimension, gradient, hessian : of a function of points, where the dimension is not clear, and its derivatives, which
        are checked; made by finite differences where left out
    comm : the ranks that compute it together, all of which call this and get the same; all there are where left out

    Raises
    ------
    RequestError
        if the request is wrong; ConvergenceError if a solver fails, or where so many isolated rates are not there.
    """
    how = finite_elements(method, degree, mesh)
    ranks = communicator(comm)
    _require_use(petsc, how, ranks)
    f = _posed(objective, periodic, how, dimension, gradient, hessian)
    walls = _walls(boundary, how)
    sigma, model = parted(noise, f)
    require_room(model, how is not None, bool(walls))
    given = {"rtol": rtol, "box": box}
    if model is not None:
        found = _noisy(f, learning_rate, k, model, ranks, **given)
    else:
        found = _spectrum(f, learning_rate, k, sigma, how, ranks, petsc=petsc, **given, **walls)
        if found.continuous:
            raise ConvergenceError(continuous_from(found.objective, learning_rate, found.gap, 1))
    return replace(found, heights=np.asarray(f(found.grid.points), dtype=float))


def _posed(
    objective: Objective | str | Function,
    periods: Periods | None,
    how: Mapping[str, Any] | None,
    dimension: int | None,
    gradient: Function | None,
    hessian: Function | None,
) -> Objective:
    """The objective with its periodic axes, which finite differences know."""
    f = resolve(objective, on_torus=True, dimension=dimension, gradient=gradient, hessian=hessian)
    f = on_circles(f, periods) if periods else f
    if f.periods and how is not None:
        raise RequestError(f"finite elements know no periodic axes, and {f.name} has some; use finite differences")
    return f


def _walls(boundary: str, how: Mapping[str, Any] | None) -> dict[str, Any]:
    """What absorbing boundaries add to the options."""
    if boundary not in BOUNDARIES:
        raise RequestError(f"boundary {boundary!r} is not known; use {' or '.join(map(repr, BOUNDARIES))}")
    if boundary == REFLECTING:
        return {}
    if how is not None:
        raise RequestError("finite elements have reflecting boundaries only; use finite differences, or leave it out")
    return {"absorbing": True}


def _noisy(f: Objective, learning_rate: float, k: int, model: Noise, ranks: Communicator, **options: Any) -> Spectrum:
    """On rank 0, for all."""
    return RankTeam(ranks, f).lead(lambda: noisy_spectrum(f, learning_rate, k, model, **options))


def _spectrum(
    f: Objective,
    learning_rate: float,
    k: int,
    noise: float,
    how: Mapping[str, Any] | None,
    ranks: Communicator,
    *,
    petsc: Mapping[str, str | None] | None,
    **options: Any,
) -> Spectrum:
    """By finite elements if their settings are given, else by finite differences."""
    s = effective_learning_rate(learning_rate, noise)
    if how is None:
        team = RankTeam(ranks, f, petsc or {})
        found = team.lead(lambda: refined_spectrum(f, s, k, choose=team.solver, **options))
    else:
        from witten.spectra.meshes.adaptive_meshes import adapted_spectrum

        found = adapted_spectrum(f, s, k, comm=ranks, petsc=petsc, **how, **options)
    return replace(found, learning_rate=float(learning_rate), noise=float(noise))


def gap(
    objective: Objective | str | Function,
    learning_rates: float | Iterable[float],
    *,
    rtol: float = 1e-4,
    noise: float | Noise = 1.0,
    method: str | None = None,
    box: Intervals | None = None,
    boundary: str = REFLECTING,
    periodic: Periods | None = None,
    degree: int | None = None,
    mesh: str | PathLike[str] | Mesh | None = None,
    petsc: Mapping[str, str | None] | None = None,
    dimension: int | None = None,
    gradient: Function | None = None,
    hessian: Function | None = None,
    seed: int = 0,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] | None = None,
    groups: int = 1,
    walltime: float | None = None,
    stop: Callable[[], str | None] = lambda: None,
    comm: Any = None,
) -> RateCurve:
    """The spectral gap lambda_s of dX = -grad f dt + sigma sqrt(s) dW at each learning rate, with error bars.

    With an absorbing boundary it is the exit rate: the lowest eigenvalue, 1/lambda_s the mean time in the box in the
    long run. Source: [Shi2023].

    >>> print(f"{witten.gap('double-well', 0.1).rates[0]:.6f}")
    0.002776
    >>> print(f"{witten.gap(lambda x: (x**2 - 1) ** 2 / 4, 0.1).rates[0]:.6f}")
    0.002776

    Parameters
    ----------
    objective, rtol, noise, method, box, boundary, periodic, degree, mesh, petsc : as in `spectrum`; in more than
        three dimensions an objective that is a sum of blocks of at most three coordinates, turned ones included, which
        are found (`independent_blocks`), with noise of one strength in all of space. A formula in three dimensions is
        taken apart as well unless `method` is given; else, up to three, where no grid serves for all blocks
    dimension, gradient, hessian, comm : as in `spectrum`
    learning_rates : s > 0, one or many, in any order
    seed : kept in the file, as that of all that is random; nothing is here
    output : netCDF file, rewritten whole after each learning rate
    resume : go on from `output`; what is there is not computed again
    progress : called on rank 0 with each RateRecord as it comes, from another thread where there are several groups
    groups : into how many groups the ranks are parted, each of which takes the next learning rate when it is free;
        neither the results nor the file depend on it
    walltime : seconds from now after which no learning rate is begun, nor one that would not be finished by then,
        judged by the longest of the last three
    stop : asked before each learning rate on every rank; a reason to stop there, or None

    Raises
    ------
    RequestError
        if the request is wrong.
    ConvergenceError
        if a solver fails; what was computed is in `output`.
    Stopped
        at the walltime or by `stop`, with the curve so far; `resume` goes on, with any number of ranks and groups.
    """
    ranks = communicator(comm)
    how = finite_elements(method, degree, mesh)
    f, walls = _posed(objective, periodic, how, dimension, gradient, hessian), _walls(boundary, how)
    _require_use(petsc, how, ranks)
    sigma, model = parted(noise, f)
    require_room(model, how is not None, bool(walls))
    asked = checked_learning_rates(learning_rates, sigma)
    covariance = {} if model is None else {"covariance": model.text}
    options = _options(rtol, sigma, box, seed, agree(ranks, lambda: _identified(f, how, petsc) | walls | covariance))
    in_all_of_space = not (f.periods or f.mobility or walls) and box is None
    may_part = in_all_of_space and model is None and how is None
    if may_part and f.dimension > 3:
        from witten.spectra.blocks import require_blocks

        require_blocks(f)
    if 1 < groups < ranks.size or (groups > 1 and how is not None):
        _start_petsc()

    def compute(s: float, group: Communicator) -> RateRecord:
        if model is not None:
            return noisy_record(_noisy(f, s, 2, model, group, rtol=rtol, box=box, modes=False))
        if not may_part:
            return of_all(s, group)
        if f.dimension > 3:
            return of_blocks(s, group)
        # In space a grid is dear; that a formula is a sum is proved, and of a function seen at points.
        blocks_first = f.dimension == 3 and f.formula is not None and not (method or petsc)
        ways = (of_blocks, of_all) if blocks_first else (of_all, of_blocks)
        first, other = ways if has_parts() else (of_all, None)
        try:
            return first(s, group)
        except (GridError, ConvergenceError):
            if other is None:
                raise
            return other(s, group)

    @cache
    def has_parts() -> bool:
        from witten.spectra.blocks import parts

        return bool(parts(f))

    def of_all(s: float, group: Communicator) -> RateRecord:
        quickly = how and {**how, "modes": False}
        wanted = 1 if walls else 2
        return rate_record(_spectrum(f, s, wanted, sigma, quickly, group, rtol=rtol, box=box, petsc=petsc, **walls))

    def of_blocks(s: float, group: Communicator) -> RateRecord:
        from witten.spectra.blocks import gap_of_blocks

        alone = partial(_spectrum, learning_rate=s, k=2, noise=sigma, how=None, ranks=group, rtol=rtol, petsc=petsc)
        return gap_of_blocks(f, effective_learning_rate(s, sigma), alone, rate_record)

    return run_sweep(
        f.name, Part(compute, FINITE_DIFFERENCES if how is None else FINITE_ELEMENTS, options), asked, comm=ranks,
        output=output, resume=resume, progress=progress, groups=groups, walltime=walltime, stop=stop,
    )  # fmt: skip


def _start_petsc() -> None:
    """PETSc starts on all ranks at once: a group that came to it by itself would wait for the others for ever."""
    if find_spec("slepc4py") is not None:
        import_module("witten.spectra.solvers.distributed.krylov_schur")


def _options(rtol: float, noise: float, box: Intervals | None, seed: int, how: Mapping[str, Any]) -> dict[str, Any]:
    """What the numbers depend on: a sweep is resumed only if these are the same."""
    return {
        "rtol": float(rtol),
        "noise": float(noise),
        "box": None if box is None else [[float(a), float(b)] for a, b in box],
        "seed": int(seed),
        **{name: value for name, value in how.items() if value},
    }


def _identified(
    f: Objective, how: Mapping[str, Any] | None, petsc: Mapping[str, str | None] | None
) -> dict[str, Any]:
    """What f is, and settings of finite elements and of PETSc, as JSON values; of a mesh file what is in it counts."""
    circles = {s.name: list(period) for s, period in zip(f.symbols, f.periods, strict=False) if period is not None}
    settings = {"fingerprint": fingerprint(f), **(how or {}), "periodic": circles, "petsc": dict(petsc or {})}
    mesh = settings.pop("mesh", None)
    if isinstance(mesh, str | PathLike):
        from witten.domains.meshes.msh import require_file

        require_file(Path(mesh))
        try:
            settings["mesh"] = f"{Path(mesh).name} sha256:{sha256(Path(mesh).read_bytes()).hexdigest()[:16]}"
        except OSError as error:
            raise RequestError(f"cannot read the mesh {str(mesh)!r}: {error.strerror}; give a .msh file") from None
    elif mesh is not None:
        settings["mesh"] = "given"
    return settings


def finite_elements(
    method: str | None,
    degree: int | None,
    mesh: str | PathLike[str] | Mesh | None,
) -> dict[str, Any] | None:
    """The settings of finite elements where they are the method, None for finite differences."""
    if method not in (None, *METHODS):
        raise RequestError(f"method {method!r} is not available; use {METHODS[0]!r} or {METHODS[1]!r}")
    settings = {"degree": degree, "mesh": mesh}
    given = [name for name, value in settings.items() if value is not None]
    if method == FINITE_ELEMENTS or (method is None and given):
        _require_dolfinx()
        return settings
    if given:
        raise RequestError(f"{given[0]} was given, and finite differences do not use it; leave it out, or the method")
    return None


def _require_use(petsc: Mapping[str, str | None] | None, how: Mapping[str, Any] | None, ranks: Communicator) -> None:
    if petsc and how is None and ranks.size == 1:
        raise RequestError(
            "options for PETSc were given, and finite differences on one rank do not use it; leave them out, or take "
            "finite elements"
        )


def _require_dolfinx() -> None:
    if find_spec("dolfinx_solver") is None and find_spec("dolfinx") is None:
        raise RequestError(
            "finite elements need DOLFINx, PETSc and SLEPc, which are not installed; install witten[fem] (Linux on "
            "x86-64) or the packages of environment.yml, or use finite differences"
        )
