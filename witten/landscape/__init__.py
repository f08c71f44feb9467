"""The asymptotic route: critical points, barriers, the Eyring-Kramers law.

Start with `landscape`: `critical` finds critical points and the wells that saddles join, `barriers` the pairs. `laws`
are what the rates tend to, with their errors, `instantons` the paths that noise with a covariance takes,
`poincare_bounds` what is proved of the rate.
"""
