"""Gradient descent as a dynamical system: x+ = x - s grad f(x), its orbits, fates, exponents, basins and thresholds.

Start with `gradient_map`, one step, and `attractor`, where a run ends; `cycle_detection` runs many starts at once,
`orbits` finds cycles by Newton's method, `bifurcation` follows them in s, `thresholds` has closed forms.
"""
