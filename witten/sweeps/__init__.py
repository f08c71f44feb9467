"""Sweeps over the learning rate, as every route and `validation` run them: distributed to ranks, saved after each
record, stopped at a walltime or by a signal, resumed from the file. Start with `run_sweep`."""

from witten.sweeps.sweep import Part, Stop, Sweep, run_sweep, until

__all__ = ["Part", "Stop", "Sweep", "run_sweep", "until"]
