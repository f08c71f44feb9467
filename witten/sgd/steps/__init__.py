"""One step of SGD as an operator on functions, x+ = x - s grad f(x) + e: what e is, and P u(x) = E u(x+).

Start with `step_noise`. Noise that is the same everywhere has the windows of `transfer_operator`; `local_noise`, which
is another at each place, those of `local_operators`; noise of finitely many values the polynomials of `collocation`.
"""
