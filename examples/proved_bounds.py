"""What is proved, around what is computed.

On a line the rate lies between two integrals [Muckenhoupt1972], a factor of four apart.
"""

import numpy as np

import witten

rates = np.geomspace(0.05, 0.4, 7)
curve = witten.gap("double-well:tilt=0.05", rates)
bounds = [witten.rate_bounds("double-well:tilt=0.05", s) for s in rates]
low = np.array([max(bound.lower for bound in each) for each in bounds])
high = np.array([min(bound.upper for bound in each) for each in bounds])
figure = curve.plot()
figure.axes[0].fill_between(1 / rates, np.exp(low), np.exp(high), alpha=0.2, label="proved")
figure.axes[0].legend(frameon=False)
assert np.all((low < curve.log_rates) & (curve.log_rates < high))
