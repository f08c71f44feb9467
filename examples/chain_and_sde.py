"""Is the SDE a fair model of SGD?

The gap of the chain beside that of the equation. Their ratio is 1 + O(s).
"""

import numpy as np

from witten.plots import plot_chain
from witten.sgd.sde_comparison import chain_beside_sde

curves = chain_beside_sde("shi-su-jordan-1d", np.geomspace(0.02, 0.2, 6)).curves
sgd, sde = curves[""], curves["sde"]
figure = plot_chain(sgd, sde)
ratio = sgd.rates / sde.rates
slope = (ratio[:2] - 1) / sgd.learning_rates[:2]
print(f"chain/SDE = 1 + {slope[0]:.2f} s")
assert abs(slope[1] / slope[0] - 1) < 0.1
