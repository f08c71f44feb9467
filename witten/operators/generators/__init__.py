"""Generators of diffusions without detailed balance, as Markov chains on a grid: `markov_generator`, by Selling's
decomposition (`selling`) of the covariance.
"""
