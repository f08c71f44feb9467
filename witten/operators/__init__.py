"""The Witten-Laplacian, discretised so that K u_0 = 0 holds exactly."""
