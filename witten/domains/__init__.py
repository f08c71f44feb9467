"""Domains: boxes, balls and other sets, grids masked to a sublevel set, meshes of simplices.

Start with `sublevel`, the part of space that matters at a learning rate; discretisations take a `grid` or a `mesh`,
`msh` reads gmsh files, `sets` are those of committors.
"""
