"""Meshes of simplices: gmsh files (`msh`), the domain that DOLFINx computes on (`mesh`), and plain arrays of them."""
