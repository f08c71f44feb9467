"""One quadratic well: 0, θ, 2θ, ...

The rates of θx²/2 are whole multiples of θ at every learning rate; the modes are Hermite polynomials.
"""

import witten

f = witten.gallery.quadratic(theta=2.0)
found = witten.spectrum(f, 0.1, 5)
figure = found.plot()
print(*(f"{rate:.4f}" for rate in found.rates))
assert abs(found.rates[3] - 6.0) <= found.errors[3]
