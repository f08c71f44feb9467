"""Eigenvalues of the discrete Witten-Laplacian, and the rates they are."""

from witten.spectra.committors.graph import Committors
from witten.spectra.solvers.combined import TwoScales
from witten.spectra.solvers.dense import Dense
from witten.spectra.solvers.eigensolve import eigensolve
from witten.spectra.solvers.lanczos import Lanczos
from witten.spectra.solvers.lobpcg import Multigrid
from witten.spectra.solvers.sturm import Chain
from witten.spectra.spectrum import Spectrum

__all__ = ["Chain", "Committors", "Dense", "Lanczos", "Multigrid", "Spectrum", "TwoScales", "eigensolve"]
