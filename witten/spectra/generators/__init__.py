"""Rates under noise that is neither isotropic nor the same everywhere.

Start with `noisy`: where the noise has a potential the rates are those of a Witten-Laplacian; otherwise `irreversible`
finds eigenvalues of a Markov generator by `generator_pairs`, exponentially small ones by `lowest_rates`. `contraction`
is the gap of its symmetric part.
"""
