"""Exponentially small rates, every digit, through the committors of wells [Bovier2004].

Start with `grounded_laplacian`, a weighted graph with one core grounded in each well; `graph` applies it to finite
differences, `elements` to finite elements on any number of ranks, whose systems `grounded_inverse` solves.
"""
