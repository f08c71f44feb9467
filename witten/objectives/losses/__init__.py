"""Losses of models that this subject keeps coming back to: products of matrices, deep linear networks, small
networks.

Start with `factorisation`.
"""
