"""Eigenvalues of the discrete Witten-Laplacian, and the rates they are."""

from witten.spectra.chain import Chain
from witten.spectra.committors import Committors
from witten.spectra.dense import Dense
from witten.spectra.eigensolve import eigensolve
from witten.spectra.lanczos import Lanczos
from witten.spectra.multigrid import Multigrid
from witten.spectra.spectrum import Spectrum
from witten.spectra.two_scales import TwoScales

__all__ = ["Chain", "Committors", "Dense", "Lanczos", "Multigrid", "Spectrum", "TwoScales", "eigensolve"]
