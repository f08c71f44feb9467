"""The excess risk along a schedule by three methods: the marginal distribution of SGD, that of the SDE, simulation.

Start with `master_equation`, step by step without paths; `fokker_planck` does the same for the SDE and `monte_carlo`
simulates. `semi_lagrangian` and `krylov_powers` serve the first.
"""
