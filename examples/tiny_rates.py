"""A rate of 1e-2172.

Eigensolvers return noise below 1e-14. Nothing is subtracted here, and rates are kept as logarithms.
"""

import numpy as np

import witten

curve = witten.gap("double-well", np.geomspace(1e-4, 1e-2, 6))
figure = curve.plot()
log10 = curve.log_rates / np.log(10)
print(f"λ = 1e{log10[0]:.2f} at s = {curve.learning_rates[0]:g}")
# the law of leading order, (√2/π) exp(-1/(2s)), is off by a factor 1 + O(s)
assert abs(curve.log_rates[0] - np.log(np.sqrt(2) / np.pi) + 0.5 / 1e-4) < 1e-3
