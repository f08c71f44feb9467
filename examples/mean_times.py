"""How long is SGD stuck?

The mean time from one minimum to the other, in steps: time over the learning rate.
"""

import numpy as np

import witten
from witten.landscape.laws.eyring_kramers import mean_transition_time
from witten.plots.style import new_figure

wells = witten.describe_landscape("shi-su-jordan-1d")
rates = np.geomspace(0.02, 0.08, 10)
steps = [mean_transition_time(wells, s, 1, 0) / s for s in rates]
figure, (axes,) = new_figure(1, 1, (6.4, 4.2))
axes.semilogy(rates, steps)
axes.set_xlabel("learning rate $s$")
axes.set_ylabel("mean number of steps to leave the bad minimum")
slope = np.polyfit(1 / rates, np.log(steps * rates), 1)[0]
print(f"H = {slope / 2:.4f}, to be {wells.barrier:.4f}")
assert abs(slope / 2 - wells.barrier) < 0.01
