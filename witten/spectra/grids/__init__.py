"""Spectra on finite-difference grids that are halved until the error is small: start with `nested_grids`."""
