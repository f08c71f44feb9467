"""Eigensolvers for an assembled operator, each a value with a method `solve`.

Start with `eigensolve`, which chooses one by size and dimension: `sturm` bisects a tridiagonal pencil, `lanczos`
factorises, `lobpcg` uses multigrid, those in `distributed` run on many ranks with PETSc and SLEPc. `combined` takes
exponentially small rates from committors and the others from one of these.
"""
