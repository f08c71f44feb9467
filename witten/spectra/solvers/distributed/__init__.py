"""Solvers for operators whose rows are distributed to ranks (PETSc, SLEPc): start with `distributed.eigensolve`."""
