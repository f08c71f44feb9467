"""The law and what is computed.

The Eyring-Kramers law knows minima and saddles only. The ratio of the computed rate to it tends to 1 like 1 + O(s²), to
the law of leading order like 1 + O(s).
"""

import numpy as np

import witten
from witten.plots import plot_law

rates = np.geomspace(0.02, 0.1, 7)
law, curve = witten.eyring_kramers("shi-su-jordan-1d", rates), witten.gap("shi-su-jordan-1d", rates)
figure = plot_law(law, curve)
assert abs(curve.rates[0] / law.rates[0] - 1) < 0.005
