"""Laws of the exponentially small rates, each with its error.

Start with `eyring_kramers`, whose chain on the minima is in `reduced_generator`; `kramers_law` is the one with
momentum, `noisy_law` the one under noise with a covariance. `first_order` and `laplace_series` are corrections in s,
from `local_expansion`.
"""
