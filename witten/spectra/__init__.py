"""Eigenvalues of the discrete Witten-Laplacian, and the rates they are.

Start with `gap`: `grids` and `meshes` are refined until the error is small, `committor` asks which of two sets a path
meets first, `generators` are for noise with a covariance. The solvers, values that `eigensolve` and `sweep` take, are
names of this package. Those for many ranks, `KrylovSchur` and `Preconditioned`, need PETSc and SLEPc and are loaded
when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from witten.spectra.committors.graph import Committors
from witten.spectra.solvers.combined import TwoScales
from witten.spectra.solvers.dense import Dense
from witten.spectra.solvers.eigensolve import eigensolve
from witten.spectra.solvers.lanczos import Lanczos
from witten.spectra.solvers.lobpcg import Multigrid
from witten.spectra.solvers.sturm import Chain
from witten.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur
    from witten.spectra.solvers.distributed.lobpcg import Preconditioned

__all__ = [
    "Chain",
    "Committors",
    "Dense",
    "KrylovSchur",
    "Lanczos",
    "Multigrid",
    "Preconditioned",
    "Spectrum",
    "TwoScales",
    "eigensolve",
]

_NEEDS_PETSC = {"KrylovSchur": "krylov_schur", "Preconditioned": "lobpcg"}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_PETSC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"witten.spectra.solvers.distributed.{_NEEDS_PETSC[name]}"), name)
