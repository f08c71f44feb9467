"""More noise is a larger learning rate.

With gradient noise of deviation σ the SDE is that of the learning rate sσ²: the two curves are one.
"""

import numpy as np

import witten
from witten.plots.style import log_ticks, new_figure

rates = np.array([0.025, 0.05, 0.1])
loud, plain = witten.gap("double-well", rates, noise=2.0), witten.gap("double-well", 4 * rates)
figure, (axes,) = new_figure(1, 1, (6.4, 4.2))
axes.loglog(4 * rates, plain.rates, "-", label="σ = 1")
axes.loglog(4 * rates, loud.rates, "o", label="σ = 2, s four times smaller")
axes.set_xlabel(r"$s\,\sigma^2$")
axes.set_ylabel(r"rate $\lambda_s$")
axes.legend(frameon=False)
for axis in (axes.xaxis, axes.yaxis):
    log_ticks(axis)
assert np.allclose(loud.rates, plain.rates, rtol=1e-6)
