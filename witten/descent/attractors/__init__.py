"""What becomes of a run of gradient descent: start with `attractor`.

`cycle_detection` finds which runs converge, `limit_orbit` to what, `orbit_stability` whether that is stable,
`divergence` and `convergence_order` what the others do.
"""
