"""A formula and what can be computed from it: text through a whitelist, derivatives, code, enclosures.

Start with `formula`, which reads text, and `codegen`, which turns a formula into one program for NumPy, Numba, UFL,
mpmath and intervals.
"""
