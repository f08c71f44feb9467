"""The Witten-Laplacian, discretised so that K u_0 = 0 holds exactly.

Start with `witten_laplacian`, a weighted graph; `finite_differences` and `finite_elements` assemble it, and the
`distributed_` modules do so on many ranks. `residual_estimator`, `quadrature_estimator` and `boundary_sensitivity`
measure the errors of elements, `cell_averages` are for kinks, `absorption` for absorbing boundaries.
"""
