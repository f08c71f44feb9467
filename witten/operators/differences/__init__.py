"""Finite differences on a masked grid, on one rank (`finite_differences`) and on many.

`truncation_error` is the term in h^2, `cell_averages` are for kinks, `absorption` is for absorbing faces.
"""
