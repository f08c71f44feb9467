"""When a smaller learning rate begins to pay.

The larger one gets away from the bad minimum sooner and ends on a higher plateau: the risks cross.
"""

import witten
import witten.risk
from witten.plots import plot_risks

large, small = (witten.excess_risk("shi-su-jordan-1d", schedule, (-0.62,)) for schedule in ("0.1:9000", "0.05:18000"))
figure = plot_risks([large, small])
crossing = witten.risk.crossing(large, small)
print(f"they cross at t = {crossing:.0f}")
assert small.excess_risk[-1] < large.excess_risk[-1]
