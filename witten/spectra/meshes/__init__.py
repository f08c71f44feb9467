"""Spectra on meshes that are refined where the residuals are: start with `adaptive_meshes`."""
