"""The law in ten dimensions.

No grid reaches this far, the law does: nine quadratic directions change nothing about two wells in the first.
"""

import numpy as np

import witten
from witten.plots import plot_law

rates = np.geomspace(0.02, 0.08, 6)
many, one = witten.eyring_kramers("double-well:dim=10", rates), witten.gap("double-well", rates)
figure = plot_law(many, one)
assert abs(many.rates[0] / one.rates[0] - 1) < 0.01
