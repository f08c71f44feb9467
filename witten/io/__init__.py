"""Results on disk: what they hold, and that they appear atomically or not at all.

Start with `netcdf`, which every file goes through; `sweep_file` is the checkpoint of a sweep over learning rates,
that can be resumed, and `spectrum_dataset` a spectrum with its modes as an xarray dataset.
"""
