"""Differential forms: the spectrum of the Witten-Laplacian on p-forms [Witten1982], from the singular values of d_f.

The nonzero ones are shared by two degrees. Start with `form_spectrum`; `cubical_complex` holds the discrete
differential."""
