"""The law to order 40.

On a line the law goes on in powers of s. The series diverges and is ended where it is best, which its error bar says.
"""

import numpy as np

import witten
from witten.plots import plot_law

rates = np.geomspace(0.01, 0.05, 6)
law, curve = witten.eyring_kramers("double-well", rates, order=40), witten.gap("double-well", rates)
figure = plot_law(law, curve)
print(f"{law.rates[0]:.9e}")
assert abs(law.rates[0] / 8.616200742e-23 - 1) < 1e-8
