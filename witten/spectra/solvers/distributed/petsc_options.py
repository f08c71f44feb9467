"""Options of PETSc, set for as long as they are wanted."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
from petsc4py import PETSc

__all__ = ["LARGE", "petsc_options"]

# The name of the options for large runs, to be given among others, as in {"large": None, "eps_ncv": "40"}.
LARGE = "large"
# Multigrid whose coarse levels stay sparse on many ranks: hypre's as its manual advises for parallel runs in space,
# GAMG with symmetric sweeps as smoother, and coarse levels on as few ranks as keep them busy.
BOOMERAMG = {
    "st_pc_hypre_boomeramg_coarsen_type": "HMIS",
    "st_pc_hypre_boomeramg_interp_type": "ext+i",
    "st_pc_hypre_boomeramg_P_max": "4",
    "st_pc_hypre_boomeramg_agg_nl": "1",
    "st_pc_hypre_boomeramg_strong_threshold": "0.5",
}
GAMG = {
    "st_mg_levels_ksp_type": "richardson",
    "st_mg_levels_ksp_max_it": "1",
    "st_mg_levels_pc_type": "sor",
    "st_pc_gamg_aggressive_coarsening": "2",
    "st_pc_gamg_repartition": "true",
    "st_pc_gamg_process_eq_limit": "1000",
    "st_pc_gamg_coarse_eq_limit": "1000",
}


@contextmanager
def petsc_options(options: Mapping[str, str | None], **defaults: object) -> Iterator[None]:
    """Inside, PETSc's database holds these options, given by the user before defaults; afterwards what it held before.

    Names are those of PETSc without the leading minus; None stands for an option without a value. `LARGE` stands for
    several, each of which may be given otherwise.
    """
    if LARGE in options:
        several = BOOMERAMG if PETSc.Sys.hasExternalPackage("hypre") else GAMG
        options = {**several, **{name: value for name, value in options.items() if name != LARGE}}
    database: Any = PETSc.Options()
    wanted = {name: value for name, value in {**defaults, **options}.items() if name in options or name not in database}
    before = {name: database.getString(name) for name in wanted if name in database}
    for name, value in wanted.items():
        database.setValue(name, value)
    try:
        yield
    finally:
        for name in wanted:
            database.delValue(name)
        for name, value in before.items():
            database.setValue(name, value)
