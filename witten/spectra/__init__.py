"""Eigenvalues of the discrete Witten-Laplacian, and the rates they are."""

from witten.spectra.dense import Dense
from witten.spectra.eigensolve import eigensolve
from witten.spectra.lanczos import Lanczos
from witten.spectra.multigrid import Multigrid
from witten.spectra.spectrum import Spectrum

__all__ = ["Dense", "Lanczos", "Multigrid", "Spectrum", "eigensolve"]
