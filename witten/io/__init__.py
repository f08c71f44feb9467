"""Results on disk: what they hold, and that they appear atomically or not at all.

Start with `netcdf`, which every file goes through; `spectrum_dataset` is a spectrum with its modes as an xarray
dataset.
"""
