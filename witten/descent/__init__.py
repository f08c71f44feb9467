"""Gradient descent as a dynamical system: x+ = x - s grad f(x), its orbits, fates, exponents, basins and thresholds."""
