"""Paths of dX = -grad f dt + sigma sqrt(s) dW: random numbers, time steps, many paths at once.

Start with `ensemble`; `schemes` has the steps, `gradient_kernels` grad f compiled for them, `philox` random numbers
that depend on their address alone [Salmon2011].
"""
