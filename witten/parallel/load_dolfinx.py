"""Loads DOLFINx, PETSc and SLEPc in the order in which they can live in one process; imported before any of them.

h5py comes first: the wheel of DOLFINx brings an HDF5 of its own and offers it to all that is loaded later. Then
`dolfinx_solver`, where that wheel is what is installed, which prepares the libraries for petsc4py and slepc4py. PETSc
leaves signals to whoever listens already: its own handler of SIGTERM prints a page and aborts. While any of them
works Python hears nothing, so that `watchdog` begins to listen.
"""

from __future__ import annotations

from contextlib import suppress

import h5py  # noqa: F401

from witten.parallel.communicators import no_mpi
from witten.parallel.watchdog import guard

try:
    with suppress(ModuleNotFoundError):  # conda and Spack have no such package, and no need of it
        import dolfinx_solver  # noqa: F401

    import petsc4py

    petsc4py.init(["witten", "-no_signal_handler"])
except ModuleNotFoundError:
    raise
except (ImportError, OSError, RuntimeError) as error:  # the packages are there, and no MPI
    raise no_mpi(error) from None
guard()
