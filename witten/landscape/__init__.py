"""The asymptotic route: critical points, barriers, the Eyring-Kramers law.

Start with `landscape`: `critical_points` finds them, `saddle_connections` the wells that saddles join, `barriers` the
pairs. `eyring_kramers` is the law, `first_order` its correction and error from `local_expansion`, `poincare_bounds`
what is proved of the rate.
"""
