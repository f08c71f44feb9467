"""A large step, then a smaller one.

The decay keeps the fast start and ends on the low plateau.
"""

import witten
from witten.plots import plot_risks

schedules = "0.1:1500", "0.02:1500", "0.1:700,0.05:300,0.02:500"
found = [witten.excess_risk("shi-su-jordan-1d", schedule, (-0.62,)) for schedule in schedules]
figure = plot_risks(found)
assert found[2].excess_risk[-1] < min(found[0].excess_risk[-1], found[1].excess_risk[-1])
