"""Rates of any size from simulated paths: fluxes between wells by adaptive multilevel splitting [Cerou2007].

Start with `adaptive_multilevel_splitting`; `transitions` are what is simulated, `kernels` the compiled loops,
`reaction_coordinate` and the two `_committors` what orders paths by how far they have come.
"""
