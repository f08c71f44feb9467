"""Ranks of MPI, or one process alone: start with `communicators`, the one module that knows mpi4py.

`task_farm` hands learning rates to groups of ranks as these become free; `load_dolfinx` loads DOLFINx, PETSc and
SLEPc in the order in which they can live in one process.
"""

from witten.parallel.communicators import (
    Communicator,
    abort,
    agree,
    alone,
    collectively,
    communicator,
    end_all,
    launched,
    outcomes,
    patience,
    portable,
    threads_may_call,
    together,
    world,
)

__all__ = [
    "Communicator",
    "abort",
    "agree",
    "alone",
    "collectively",
    "communicator",
    "end_all",
    "launched",
    "outcomes",
    "patience",
    "portable",
    "threads_may_call",
    "together",
    "world",
]
