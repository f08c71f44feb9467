"""Differential forms: the spectrum of the Witten-Laplacian on p-forms [Witten1982], from the singular values of d_f, whose
nonzero ones p and p + 1 share. Start with `form_spectrum`; `cubical_complex` holds the discrete differential."""
