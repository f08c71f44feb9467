"""Paths of least action under noise that is not the same everywhere, and what they cost.

`quasi_potential` finds them, `prefactor` integrates the Riccati equation along them, `tube` bounds what is left out.
"""
