"""Forms by finite elements on meshes, on one rank.

Start with `mesh_rates`; `element_complex` holds the spaces and derivatives, `element_forms` finds singular values.
"""
