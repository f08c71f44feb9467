"""The Witten-Laplacian, discretised so that K u_0 = 0 holds exactly.

Start with `witten_laplacian`, a weighted graph; `differences` and `elements` assemble it, and the `distributed_`
modules do so on many ranks. `generators` are those of noise with any covariance, without a potential.
"""
