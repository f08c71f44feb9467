"""The same rate from paths.

Simulated paths know nothing of the operator. Their 95 % intervals hold what it says, or should 19 times in 20.
"""

import numpy as np

import witten

rates = np.array([0.15, 0.3])
sampled, curve = witten.simulate_rate("double-well", rates, paths=512), witten.gap("double-well", rates)
figure = sampled.plot()
figure.axes[0].plot(1 / rates, curve.rates, "x", color="black", label="of the operator")
figure.axes[0].legend(frameon=False)
assert np.all(np.abs(sampled.log_rates - curve.log_rates) < 3 * (sampled.upper - sampled.lower))
