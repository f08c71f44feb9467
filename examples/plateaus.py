"""What a constant learning rate leaves.

The excess risk ends on a plateau ε(s), about s/4 for each dimension of a single well.
"""

import numpy as np

from witten.plots.style import log_ticks, new_figure
from witten.risk import plateau

rates = np.geomspace(0.005, 0.5, 9)
found = [plateau("convex-quartic", s).risk for s in rates]
figure, (axes,) = new_figure(1, 1, (6.4, 4.2))
axes.loglog(rates, found, "o", label="computed")
axes.loglog(rates, rates / 4, "--", label="$s/4$")
axes.set_xlabel("learning rate $s$")
axes.set_ylabel(r"plateau $\varepsilon(s)$")
axes.legend(frameon=False)
for axis in (axes.xaxis, axes.yaxis):
    log_ticks(axis)
assert abs(found[0] / (rates[0] / 4) - 1) < 0.02
